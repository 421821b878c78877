//! Projects onto the symmetric positive semidefinite (PSD) matrices, and factors them.
//!
//! Batches of `[count, dim, dim]` in f64 on the host, the matrices in parallel. One eigendecomposition costs about
//! `9 dim^3` operations; the projection first tries a Cholesky factorisation, `dim^3 / 3`, which succeeds for every
//! positive definite matrix.

#[cfg(any(test, not(feature = "lapack")))]
mod faer;
#[cfg(feature = "lapack")]
mod lapack;
#[cfg(feature = "burn")]
pub(crate) mod tensors;

use std::ops::Range;

use ::faer::dyn_stack::{MemBuffer, MemStack};
use ::faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use ::faer::linalg::matmul::triangular::{BlockStructure, matmul};
use ::faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

#[cfg(not(feature = "lapack"))]
use self::faer::Solver;
#[cfg(feature = "lapack")]
use self::lapack::Solver;
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
        if 2 * negative <= dim {
            0..negative
        } else {
            negative..dim
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
#[cfg(any(test, feature = "burn"))]
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

/// The pseudo-inverse of a PSD matrix `[dim, dim]`: the inverse on the space where its eigenvalues are more than rounding
/// errors, `dim` times the f64 precision of the largest.
///
/// # Errors
///
/// As [`factor_psd_f64`].
pub(crate) fn pseudo_inverse_psd_f64(matrix: &[f64], dim: usize) -> Result<Vec<f64>, MetricError> {
    check(matrix, dim)?;
    MetricError::check_length("numbers of the matrix", matrix.len(), dim * dim)?;
    let eigen = decompose_symmetric_part(matrix, dim, 0)?;
    let largest = eigen.values.iter().copied().fold(0.0, f64::max);
    let least = largest * dim as f64 * f64::EPSILON;
    let mut inverse = vec![0.0; dim * dim];
    for (value, vector) in eigen.pairs().filter(|(value, _)| *value > least) {
        for (row, a) in inverse.chunks_exact_mut(dim).zip(vector) {
            for (sum, b) in row.iter_mut().zip(vector) {
                *sum += a * b / value;
            }
        }
    }
    Ok(inverse)
}

/// Whether these are finite square matrices.
fn check(matrices: &[f64], dim: usize) -> Result<(), MetricError> {
    let values = matrices.len();
    let size = dim.checked_mul(dim).filter(|&size| size > 0);
    if !size.is_some_and(|size| values.is_multiple_of(size)) {
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

/// Projects matrices of one size, one after another.
struct Projector {
    dim: usize,
    solver: Solver,
    /// The factor, if there is one.
    factor: Vec<f64>,
    memory: MemBuffer,
    /// Eigenvectors multiplied by the size of their values.
    scaled: Vec<f64>,
}

impl Projector {
    fn new(dim: usize) -> Self {
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
    fn project(&mut self, matrix: &mut [f64]) -> Option<()> {
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

#[cfg(test)]
mod tests;
