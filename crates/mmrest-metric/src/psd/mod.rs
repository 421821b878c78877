//! Symmetric positive semidefinite (PSD) matrices: the projection onto them, their factors.
//!
//! Batches of `[count, dim, dim]` in f64 on the host; each matrix is a task of its own thread.

#[cfg(any(test, not(feature = "lapack")))]
mod faer;
#[cfg(feature = "lapack")]
mod lapack;
mod projection;

use std::ops::Range;

use rayon::prelude::*;

#[cfg(not(feature = "lapack"))]
use self::faer::Solver;
#[cfg(feature = "lapack")]
use self::lapack::Solver;
use self::projection::Projector;
use crate::MetricError;

/// `A = sum_k values[k] v_k v_k^T` of a symmetric matrix.
#[derive(Clone)]
struct Eigen {
    /// Eigenvalues, ascending.
    values: Vec<f64>,
    /// Unit eigenvectors, one after another in the order of the values.
    vectors: Vec<f64>,
}

impl Eigen {
    fn new(dim: usize) -> Self {
        Self {
            values: vec![0.0; dim],
            vectors: vec![0.0; dim * dim],
        }
    }

    /// Where the negative eigenvalues are, or the others where those are fewer.
    fn smaller_side(&self) -> Range<usize> {
        let (dim, negative) = (
            self.values.len(),
            self.values.partition_point(|&value| value < 0.0),
        );
        match 2 * negative <= dim {
            true => 0..negative,
            false => negative..dim,
        }
    }

    fn side(&self, range: Range<usize>) -> Side<'_> {
        let dim = self.values.len();
        Side {
            negative: range.start == 0,
            vectors: &self.vectors[range.start * dim..range.end * dim],
            values: &self.values[range],
        }
    }

    /// The eigenvalues, each with its vector.
    fn pairs(&self) -> impl Iterator<Item = (f64, &[f64])> {
        let dim = self.values.len();
        self.values
            .iter()
            .copied()
            .zip(self.vectors.chunks_exact(dim))
    }
}

/// The eigenvalues that are negative, or those that are not, with their vectors one after another.
struct Side<'a> {
    negative: bool,
    values: &'a [f64],
    vectors: &'a [f64],
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
        .try_for_each_init(
            || Projector::new(dim),
            |projector, (index, matrix)| {
                symmetrise(matrix, dim);
                let done = projector.project(matrix);
                done.ok_or(MetricError::Eigen { index, dim })
            },
        )
}

/// All eigenvalues of the symmetric part of each matrix of `[count, dim, dim]`: `[count, dim]`, the largest of each first.
///
/// ```
/// let values = mmrest_metric::eigenvalues_f64(&[0.0, 1.0, 1.0, 0.0], 2)?;
/// assert!((values[0] - 1.0).abs() < 1e-12 && (values[1] + 1.0).abs() < 1e-12);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// As [`project_psd_f64`].
pub fn eigenvalues_f64(matrices: &[f64], dim: usize) -> Result<Vec<f64>, MetricError> {
    check(matrices, dim)?;
    let all: Result<Vec<Vec<f64>>, MetricError> = matrices
        .par_chunks_exact(dim * dim)
        .enumerate()
        .map(|(index, matrix)| {
            let mut values = decompose_symmetric_part(matrix, dim, index)?.values;
            values.sort_by(|a, b| b.total_cmp(a));
            Ok(values)
        })
        .collect();
    Ok(all?.concat())
}

/// The smallest eigenvalue of the symmetric part of each matrix of `[count, dim, dim]`.
///
/// # Errors
///
/// As [`project_psd_f64`].
pub(crate) fn min_eigenvalues_f64(matrices: &[f64], dim: usize) -> Result<Vec<f64>, MetricError> {
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

/// Decomposes one symmetric matrix; `None` when the iteration does not converge.
fn decompose(matrix: &[f64], dim: usize) -> Option<Eigen> {
    Solver::new(dim).decompose(matrix).cloned()
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

#[cfg(test)]
mod tests;
