//! Symmetric positive semidefinite (PSD) matrices: the projection onto them, their factors.
//!
//! Batches of `[count, dim, dim]` in f64 on the host; each matrix is a task of its own thread.

#[cfg(any(test, not(feature = "lapack")))]
mod faer;
#[cfg(feature = "lapack")]
mod lapack;

use rayon::prelude::*;

#[cfg(not(feature = "lapack"))]
use self::faer::decompose;
#[cfg(feature = "lapack")]
use self::lapack::decompose;
use crate::MetricError;

/// `A = sum_k values[k] v_k v_k^T` of a symmetric matrix.
struct Eigen {
    /// Eigenvalues in any order.
    values: Vec<f64>,
    /// Unit eigenvectors, one after another in the order of the values.
    vectors: Vec<f64>,
}

impl Eigen {
    /// The eigenvalues, each with its vector.
    fn pairs(&self) -> impl Iterator<Item = (f64, &[f64])> {
        let dim = self.values.len();
        self.values
            .iter()
            .copied()
            .zip(self.vectors.chunks_exact(dim))
    }
}

/// Replaces each matrix of `[count, dim, dim]` by the symmetric PSD matrix nearest to it in the Frobenius norm:
/// `(A + A^T) / 2` with its negative eigenvalues set to 0 (Higham 1988).
///
/// A matrix without negative eigenvalues is only symmetrised.
///
/// ```
/// let mut matrix = [0.0, 1.0, 1.0, 0.0]; // eigenvalues 1 and -1
/// mmrest_metric::project_psd_f64(&mut matrix, 2)?;
/// assert!(matrix.iter().all(|value| (value - 0.5).abs() < 1e-15));
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// [`MetricError::RaggedMatrices`], [`MetricError::NonFiniteMetric`] and [`MetricError::Eigen`]; after an error
/// some of the matrices may be projected and others not.
pub fn project_psd_f64(matrices: &mut [f64], dim: usize) -> Result<(), MetricError> {
    check(matrices, dim)?;
    matrices
        .par_chunks_exact_mut(dim * dim)
        .enumerate()
        .try_for_each(|(index, matrix)| {
            symmetrise(matrix, dim);
            let eigen = decompose(matrix, dim).ok_or(MetricError::Eigen { index, dim })?;
            clamp_negative(matrix, &eigen);
            Ok(())
        })
}

/// The smallest eigenvalue of the symmetric part of each matrix of `[count, dim, dim]`.
///
/// ```
/// let matrices = [0.0, 1.0, 1.0, 0.0, 2.0, 0.0, 0.0, 3.0];
/// let smallest = mmrest_metric::min_eigenvalues_f64(&matrices, 2)?;
/// assert!((smallest[0] + 1.0).abs() < 1e-12 && (smallest[1] - 2.0).abs() < 1e-12);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// As [`project_psd_f64`].
pub fn min_eigenvalues_f64(matrices: &[f64], dim: usize) -> Result<Vec<f64>, MetricError> {
    check(matrices, dim)?;
    matrices
        .par_chunks_exact(dim * dim)
        .enumerate()
        .map(|(index, matrix)| {
            let eigen = decompose_symmetric_part(matrix, dim, index)?;
            Ok(eigen.values.into_iter().fold(f64::INFINITY, f64::min))
        })
        .collect()
}

/// `L` with `L^T L = M` for a PSD matrix `[dim, dim]`: `|L p - L q|^2 = (p - q)^T M (p - q)`, so `L` carries rows
/// into a space where the metric is Euclidean. Negative eigenvalues count as 0.
///
/// ```
/// let factor = mmrest_metric::factor_psd_f64(&[4.0, 0.0, 0.0, 9.0], 2)?;
/// let lengths: f64 = factor.iter().map(|value| value * value).sum();
/// assert!((lengths - 13.0).abs() < 1e-12); // |L|_F^2 = trace M
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// As [`project_psd_f64`], and [`MetricError::Length`] for more than one matrix.
pub fn factor_psd_f64(matrix: &[f64], dim: usize) -> Result<Vec<f64>, MetricError> {
    check(matrix, dim)?;
    MetricError::check_length("numbers of the matrix", matrix.len(), dim * dim)?;
    let eigen = decompose_symmetric_part(matrix, dim, 0)?;
    let rows = eigen.pairs().flat_map(|(value, vector)| {
        let scale = value.max(0.0).sqrt();
        vector.iter().map(move |entry| scale * entry)
    });
    Ok(rows.collect())
}

/// Whether these are finite square matrices.
fn check(matrices: &[f64], dim: usize) -> Result<(), MetricError> {
    let values = matrices.len();
    if dim == 0 || !values.is_multiple_of(dim * dim) {
        return Err(MetricError::RaggedMatrices { values, dim });
    }
    match matrices.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(MetricError::NonFiniteMetric {
            index: at / (dim * dim),
        }),
    }
}

fn decompose_symmetric_part(
    matrix: &[f64],
    dim: usize,
    index: usize,
) -> Result<Eigen, MetricError> {
    let mut matrix = matrix.to_vec();
    symmetrise(&mut matrix, dim);
    decompose(&matrix, dim).ok_or(MetricError::Eigen { index, dim })
}

/// `A <- (A + A^T) / 2`.
fn symmetrise(matrix: &mut [f64], dim: usize) {
    for row in 0..dim {
        for column in 0..row {
            let (below, above) = (row * dim + column, column * dim + row);
            let mean = 0.5 * matrix[below] + 0.5 * matrix[above];
            matrix[below] = mean;
            matrix[above] = mean;
        }
    }
}

/// `A <- sum over non-negative values of v v^T value`, by whichever of adding those and taking away the negative
/// ones has fewer terms: fewer roundings.
fn clamp_negative(matrix: &mut [f64], eigen: &Eigen) {
    let dim = eigen.values.len();
    let negative = eigen.values.iter().filter(|&&value| value < 0.0).count();
    if negative == 0 {
        return;
    }
    let subtract = 2 * negative <= dim;
    if !subtract {
        matrix.fill(0.0);
    }
    for (value, vector) in eigen.pairs() {
        if (value < 0.0) == subtract {
            add_outer(matrix, value.abs(), vector);
        }
    }
    for row in 0..dim {
        for column in 0..row {
            matrix[column * dim + row] = matrix[row * dim + column];
        }
    }
}

/// `A <- A + scale v v^T`, the lower triangle only.
fn add_outer(matrix: &mut [f64], scale: f64, vector: &[f64]) {
    let rows = matrix.chunks_exact_mut(vector.len());
    for (index, (row, entry)) in rows.zip(vector).enumerate() {
        let factor = scale * entry;
        for (value, other) in row[..=index].iter_mut().zip(vector) {
            *value += factor * other;
        }
    }
}

#[cfg(test)]
mod tests;
