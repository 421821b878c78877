//! The eigendecomposition by LAPACK (`dsyev`) of the system's OpenBLAS.

// Nothing is called in it: it tells the linker where OpenBLAS is.
extern crate openblas_src as _;

use nalgebra::DMatrix;
use nalgebra_lapack::SymmetricEigen;

use super::Eigen;

/// Decomposes a symmetric matrix `[dim, dim]`; `None` when the iteration does not converge.
pub(super) fn decompose(matrix: &[f64], dim: usize) -> Option<Eigen> {
    // Column-major and row-major are the same for a symmetric matrix.
    let matrix = DMatrix::from_column_slice(dim, dim, matrix);
    let eigen = SymmetricEigen::try_new(matrix)?;
    Some(Eigen {
        values: eigen.eigenvalues.iter().copied().collect(),
        vectors: eigen.eigenvectors.as_slice().to_vec(),
    })
}
