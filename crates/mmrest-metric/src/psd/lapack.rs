//! The eigendecomposition by LAPACK (`dsyev`) of the system's OpenBLAS.

// Nothing is called in it: it tells the linker where OpenBLAS is.
extern crate openblas_src as _;

use nalgebra::DMatrix;
use nalgebra_lapack::SymmetricEigen;

use super::{Eigen, Side};

/// Decomposes matrices of one size, one after another.
pub(super) struct Solver {
    dim: usize,
    eigen: Eigen,
}

impl Solver {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            dim,
            eigen: Eigen::new(dim),
        }
    }

    /// Decomposes a symmetric matrix `[dim, dim]`; `None` when the iteration does not converge.
    pub(super) fn decompose(&mut self, matrix: &[f64]) -> Option<&Eigen> {
        // Column-major and row-major are the same for a symmetric matrix.
        let matrix = DMatrix::from_column_slice(self.dim, self.dim, matrix);
        let eigen = SymmetricEigen::try_new(matrix)?;
        self.eigen
            .values
            .copy_from_slice(eigen.eigenvalues.as_slice());
        self.eigen
            .vectors
            .copy_from_slice(eigen.eigenvectors.as_slice());
        Some(&self.eigen)
    }

    /// The negative eigenvalues with their vectors, or the others where those are fewer.
    pub(super) fn smaller_side(&mut self, matrix: &[f64]) -> Option<Side<'_>> {
        self.decompose(matrix)?;
        Some(self.eigen.side(self.eigen.smaller_side()))
    }
}
