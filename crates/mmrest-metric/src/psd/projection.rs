//! The projection of one symmetric matrix, in memory that is used again.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, MatMut, MatRef, Par};

use super::Solver;

/// Projects matrices of one size, one after another.
pub(super) struct Projector {
    dim: usize,
    solver: Solver,
    /// The factor, if there is one.
    factor: Vec<f64>,
    memory: MemBuffer,
    /// Eigenvectors multiplied by the size of their values.
    scaled: Vec<f64>,
}

impl Projector {
    pub(super) fn new(dim: usize) -> Self {
        let scratch = cholesky_in_place_scratch::<f64>(dim, Par::Seq, Default::default());
        Self {
            dim,
            solver: Solver::new(dim),
            factor: vec![0.0; dim * dim],
            memory: MemBuffer::new(scratch),
            scaled: Vec::new(),
        }
    }

    /// Sets the negative eigenvalues of a symmetric matrix to 0; `None` when there is no decomposition.
    pub(super) fn project(&mut self, matrix: &mut [f64]) -> Option<()> {
        if self.is_definite(matrix) {
            return Some(());
        }
        // Whichever of taking away the negative part and adding up the other has fewer terms: fewer roundings.
        let side = self.solver.smaller_side(matrix)?;
        if side.values.is_empty() && side.negative {
            return Some(());
        }
        let dim = self.dim;
        self.scaled.clear();
        let pairs = side.values.iter().zip(side.vectors.chunks_exact(dim));
        for (value, vector) in pairs {
            self.scaled
                .extend(vector.iter().map(|entry| value.abs() * entry));
        }
        if !side.negative {
            matrix.fill(0.0);
        }
        let count = side.values.len();
        let vectors = MatRef::from_row_major_slice(side.vectors, count, dim);
        let scaled = MatRef::from_row_major_slice(&self.scaled, count, dim);
        matmul(
            MatMut::from_row_major_slice_mut(matrix, dim, dim),
            BlockStructure::TriangularLower,
            Accum::Add,
            scaled.transpose(),
            BlockStructure::Rectangular,
            vectors,
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
        mirror(matrix, dim);
        Some(())
    }

    /// Whether the matrix has a Cholesky factor: all eigenvalues positive, as far as f64 can tell.
    fn is_definite(&mut self, matrix: &[f64]) -> bool {
        let dim = self.dim;
        if matrix.iter().step_by(dim + 1).any(|&value| value <= 0.0) {
            return false;
        }
        self.factor.copy_from_slice(matrix);
        let factor = MatMut::from_row_major_slice_mut(&mut self.factor, dim, dim);
        let memory = MemStack::new(&mut self.memory);
        let (regular, settings) = (Default::default(), Default::default());
        cholesky_in_place(factor, regular, Par::Seq, memory, settings).is_ok()
    }
}

/// Copies the lower triangle to the upper one.
fn mirror(matrix: &mut [f64], dim: usize) {
    for row in 0..dim {
        for column in 0..row {
            matrix[column * dim + row] = matrix[row * dim + column];
        }
    }
}
