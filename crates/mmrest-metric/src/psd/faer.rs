//! The eigendecomposition by faer: no system library.

use faer::{MatRef, Side};

use super::Eigen;

/// Decomposes a symmetric matrix `[dim, dim]`; `None` when the iteration does not converge.
pub(super) fn decompose(matrix: &[f64], dim: usize) -> Option<Eigen> {
    let matrix = MatRef::from_row_major_slice(matrix, dim, dim);
    let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    let vectors = eigen.U();
    Some(Eigen {
        values: eigen.S().column_vector().iter().copied().collect(),
        vectors: (0..dim)
            .flat_map(|column| vectors.col(column).iter().copied())
            .collect(),
    })
}
