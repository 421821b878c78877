//! The eigendecomposition by faer: no system library.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{
    ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch,
};
use faer::{Auto, ColMut, MatMut, MatRef, Par, Spec};

use super::Eigen;

/// From this size on faer divides and conquers; by default it starts at 128, where matrices of 64 take 6 % longer.
const SMALL: usize = 32;

/// Decomposes matrices of one size, one after another, in the same memory and on the calling thread.
pub(super) struct Solver {
    dim: usize,
    eigen: Eigen,
    memory: MemBuffer,
}

impl Solver {
    pub(super) fn new(dim: usize) -> Self {
        let vectors = ComputeEigenvectors::Yes;
        let scratch = self_adjoint_evd_scratch::<f64>(dim, vectors, Par::Seq, settings());
        Self {
            dim,
            eigen: Eigen::new(dim),
            memory: MemBuffer::new(scratch),
        }
    }

    /// Decomposes a symmetric matrix `[dim, dim]`; `None` when the iteration does not converge.
    pub(super) fn decompose(&mut self, matrix: &[f64]) -> Option<&Eigen> {
        let dim = self.dim;
        self_adjoint_evd(
            MatRef::from_row_major_slice(matrix, dim, dim),
            ColMut::from_slice_mut(&mut self.eigen.values).as_diagonal_mut(),
            Some(MatMut::from_column_major_slice_mut(
                &mut self.eigen.vectors,
                dim,
                dim,
            )),
            Par::Seq,
            MemStack::new(&mut self.memory),
            settings(),
        )
        .ok()?;
        Some(&self.eigen)
    }
}

fn settings() -> Spec<SelfAdjointEvdParams, f64> {
    let usual = <SelfAdjointEvdParams as Auto<f64>>::auto();
    Spec::new(SelfAdjointEvdParams {
        recursion_threshold: SMALL,
        ..usual
    })
}
