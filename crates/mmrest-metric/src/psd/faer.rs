//! The eigendecomposition by faer: no system library.
//!
//! In faer's own three parts: `A = Q T Q^T` with `T` tridiagonal, the eigenvectors `Z` of `T`, and `Q Z`. Who needs some
//! of the vectors only does the last for those.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::evd::{
    ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd_scratch,
    tridiagonal_self_adjoint_evd,
};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as reflect_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as reflect,
};
use faer::{Auto, ColMut, ColRef, Conj, MatMut, MatRef, Par, Spec};

use super::{Eigen, Side};

/// From this size on faer divides and conquers; by default it starts at 128, where matrices of 64 take 6 % longer.
const SMALL: usize = 32;

/// Reflections that are applied together; by default 8, where matrices of 64 take 2 % longer.
const BLOCK: usize = 16;

/// Decomposes matrices of one size, one after another, in the same memory and on the calling thread.
pub(super) struct Solver {
    dim: usize,
    eigen: Eigen,
    /// `T` on and below the diagonal, and below that the reflections that `Q` is made of; column-major.
    reduced: Vec<f64>,
    /// What each block of reflections is applied with.
    blocks: Vec<f64>,
    diagonal: Vec<f64>,
    below: Vec<f64>,
    memory: MemBuffer,
}

impl Solver {
    pub(super) fn new(dim: usize) -> Self {
        let vectors = ComputeEigenvectors::Yes;
        let reflections = dim.saturating_sub(1);
        let block = BLOCK.min(reflections).max(1);
        let scratch = StackReq::any_of(&[
            tridiag_in_place_scratch::<f64>(dim, Par::Seq, Default::default()),
            self_adjoint_evd_scratch::<f64>(dim, vectors, Par::Seq, settings()),
            reflect_scratch::<f64>(reflections, block, dim),
        ]);
        Self {
            dim,
            eigen: Eigen::new(dim),
            reduced: vec![0.0; dim * dim],
            blocks: vec![0.0; block * reflections],
            diagonal: vec![0.0; dim],
            below: vec![0.0; dim],
            memory: MemBuffer::new(scratch),
        }
    }

    /// Decomposes a symmetric matrix `[dim, dim]`; `None` when the iteration does not converge.
    pub(super) fn decompose(&mut self, matrix: &[f64]) -> Option<&Eigen> {
        self.solve(matrix)?;
        self.carry_back(0..self.dim);
        Some(&self.eigen)
    }

    /// The negative eigenvalues with their vectors, or the others where those are fewer.
    #[cfg_attr(feature = "lapack", allow(dead_code, reason = "LAPACK has its own"))]
    pub(super) fn smaller_side(&mut self, matrix: &[f64]) -> Option<Side<'_>> {
        self.solve(matrix)?;
        let range = self.eigen.smaller_side();
        self.carry_back(range.clone());
        Some(self.eigen.side(range))
    }

    /// Reduces the matrix to `T`, and finds the eigenvalues, ascending, and the eigenvectors of that.
    fn solve(&mut self, matrix: &[f64]) -> Option<()> {
        let dim = self.dim;
        let mut reduced = MatMut::from_column_major_slice_mut(&mut self.reduced, dim, dim);
        reduced.copy_from_triangular_lower(MatRef::from_row_major_slice(matrix, dim, dim));
        if dim > 1 {
            let height = self.blocks.len() / (dim - 1);
            let blocks = MatMut::from_column_major_slice_mut(&mut self.blocks, height, dim - 1);
            let memory = MemStack::new(&mut self.memory);
            tridiag_in_place(reduced, blocks, Par::Seq, memory, Default::default());
        }
        for at in 0..dim {
            self.diagonal[at] = self.reduced[at * dim + at];
            self.below[at] = if at + 1 < dim {
                self.reduced[at * dim + at + 1]
            } else {
                0.0
            };
        }
        let vectors = MatMut::from_column_major_slice_mut(&mut self.eigen.vectors, dim, dim);
        tridiagonal_self_adjoint_evd(
            ColRef::from_slice(&self.diagonal).as_diagonal(),
            ColRef::from_slice(&self.below).as_diagonal(),
            ColMut::from_slice_mut(&mut self.eigen.values).as_diagonal_mut(),
            Some(vectors),
            Par::Seq,
            MemStack::new(&mut self.memory),
            settings(),
        )
        .ok()
    }

    /// Makes eigenvectors of `T` those of the matrix.
    fn carry_back(&mut self, range: Range<usize>) {
        let (dim, count) = (self.dim, range.len());
        if dim < 2 || count == 0 {
            return;
        }
        let vectors = &mut self.eigen.vectors[range.start * dim..range.end * dim];
        let vectors = MatMut::from_column_major_slice_mut(vectors, dim, count);
        let reduced = MatRef::from_column_major_slice(&self.reduced, dim, dim);
        let height = self.blocks.len() / (dim - 1);
        reflect(
            reduced.submatrix(1, 0, dim - 1, dim - 1),
            MatRef::from_column_major_slice(&self.blocks, height, dim - 1),
            Conj::No,
            vectors.subrows_mut(1, dim - 1),
            Par::Seq,
            MemStack::new(&mut self.memory),
        );
    }
}

fn settings() -> Spec<SelfAdjointEvdParams, f64> {
    let usual = <SelfAdjointEvdParams as Auto<f64>>::auto();
    Spec::new(SelfAdjointEvdParams {
        recursion_threshold: SMALL,
        ..usual
    })
}
