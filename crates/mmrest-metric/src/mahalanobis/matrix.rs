//! A Mahalanobis metric on slices.

use std::path::Path;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::psd::pseudo_inverse_psd_f64;
use crate::{EuclideanMap, MetricError, Rows, project_psd_f64};

/// A Mahalanobis metric `M` of rows on the host: `d(p, q)^2 = (p - q)^T M (p - q)`, with `M` symmetric positive
/// semidefinite, in f64.
///
/// [`MahalanobisConfig::fit`](crate::MahalanobisConfig::fit) learns one, [`inverse_covariance`](Self::inverse_covariance) is
/// the classical one. As a module that a network is trained with it is `Mahalanobis` (feature `burn`).
///
/// ```
/// use mmrest_metric::{MahalanobisMatrix, Rows};
///
/// let metric = MahalanobisMatrix::new(vec![4.0, 0.0, 0.0, 9.0], 2)?;
/// assert_eq!(metric.pair_distance(&[0.0, 0.0], &[3.0, 0.0]), 6.0);
///
/// // The same distances, Euclidean ones after the transformation.
/// let there = metric.transform(Rows::new(&[0.0, 0.0, 1.0, 1.0], 2)?)?;
/// let squared: f32 = there[2..].iter().map(|x| x * x).sum();
/// assert!((squared - 13.0).abs() < 1e-5);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MahalanobisMatrix {
    /// `M`, row after row.
    values: Vec<f64>,
    map: EuclideanMap,
    dim: usize,
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    dim: usize,
    matrix: Vec<f64>,
}

impl MahalanobisMatrix {
    /// The metric of a matrix `[dim, dim]`, or of the symmetric positive semidefinite one nearest to it.
    ///
    /// # Errors
    ///
    /// [`MetricError::RaggedMatrices`] and [`MetricError::Length`] when it is not `[dim, dim]`,
    /// [`MetricError::NonFiniteMetric`], [`MetricError::Eigen`].
    pub fn new(mut values: Vec<f64>, dim: usize) -> Result<Self, MetricError> {
        project_psd_f64(&mut values, dim)?;
        let map = EuclideanMap::new(&values, dim)?;
        Ok(Self { values, map, dim })
    }

    /// The inverse of the rows' covariance matrix (its pseudo-inverse, where columns depend on each other): Mahalanobis's
    /// own metric, in which rows of any scale and correlation vary alike in all directions.
    ///
    /// # Errors
    ///
    /// [`MetricError::Empty`] with fewer than two rows, [`MetricError::Eigen`].
    pub fn inverse_covariance(rows: Rows<'_>) -> Result<Self, MetricError> {
        let (count, dim) = (rows.len(), rows.dim());
        if count < 2 {
            let what = "two rows to take a covariance of";
            return Err(MetricError::Empty { what });
        }
        let mut mean = vec![0.0; dim];
        for row in rows.iter() {
            for (mean, &x) in mean.iter_mut().zip(row) {
                *mean += f64::from(x) / count as f64;
            }
        }
        let centered = |row: &[f32]| -> Vec<f64> {
            let columns = row.iter().zip(&mean);
            columns.map(|(&x, mean)| f64::from(x) - mean).collect()
        };
        let centered: Vec<f64> = rows.iter().flat_map(centered).collect();
        let centered = MatRef::from_row_major_slice(&centered, count, dim);
        let mut covariance = vec![0.0; dim * dim];
        matmul(
            MatMut::from_row_major_slice_mut(&mut covariance, dim, dim),
            Accum::Replace,
            centered.transpose(),
            centered,
            1.0 / (count - 1) as f64,
            Par::Seq,
        );
        Self::new(pseudo_inverse_psd_f64(&covariance, dim)?, dim)
    }

    /// Width of the rows that are measured.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// `M`, `[dim, dim]`, row after row.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The distance of two rows.
    ///
    /// # Panics
    ///
    /// When they are not as wide as the metric.
    #[must_use]
    pub fn pair_distance(&self, left: &[f32], right: &[f32]) -> f64 {
        assert_eq!(
            [left.len(), right.len()],
            [self.dim; 2],
            "rows as wide as the metric"
        );
        let columns = left.iter().zip(right);
        let difference: Vec<f64> = columns
            .map(|(&a, &b)| f64::from(a) - f64::from(b))
            .collect();
        length(&self.map.point(&difference))
    }

    /// Distances from each of `rows` to each of `others`: `[rows, others]`, row after row, on all threads.
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] when one of them is not as wide as the metric.
    pub fn distances(&self, rows: Rows<'_>, others: Rows<'_>) -> Result<Vec<f64>, MetricError> {
        let (rows, others) = (self.mapped(rows)?, self.mapped(others)?);
        let distances = rows.par_chunks_exact(self.dim).flat_map_iter(|row| {
            let others = others.chunks_exact(self.dim);
            others.map(move |other| {
                let columns = row.iter().zip(other);
                columns.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
            })
        });
        Ok(distances.collect())
    }

    /// The rows in the space where this metric is the Euclidean one, `[rows, dim]`: for any search or clustering that knows
    /// Euclidean distances only.
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] when the rows are not as wide as the metric.
    pub fn transform(&self, rows: Rows<'_>) -> Result<Vec<f32>, MetricError> {
        Ok(self.mapped(rows)?.iter().map(|&x| x as f32).collect())
    }

    fn mapped(&self, rows: Rows<'_>) -> Result<Vec<f64>, MetricError> {
        MetricError::check_length("columns of the rows", rows.dim(), self.dim)?;
        let values = rows.values().par_chunks_exact(self.dim);
        let mapped = values.flat_map_iter(|row| {
            let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            self.map.point(&row)
        });
        Ok(mapped.collect())
    }

    /// Writes the metric to a JSON file, `{"dim": 2, "matrix": [4.0, 0.0, 0.0, 9.0]}`, for [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// [`MetricError::File`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), MetricError> {
        let saved = Saved {
            dim: self.dim,
            matrix: self.values.clone(),
        };
        let text = serde_json::to_string(&saved).map_err(|error| failure(path, &error))?;
        std::fs::write(path, text).map_err(|error| failure(path, &error))
    }

    /// Reads a metric that [`save`](Self::save) has written.
    ///
    /// # Errors
    ///
    /// [`MetricError::File`] when it cannot be read, or holds no metric.
    pub fn load(path: &Path) -> Result<Self, MetricError> {
        let text = std::fs::read_to_string(path).map_err(|error| failure(path, &error))?;
        let Saved { dim, matrix } =
            serde_json::from_str(&text).map_err(|error| failure(path, &error))?;
        Self::new(matrix, dim).map_err(|error| failure(path, &error))
    }
}

fn failure(path: &Path, error: &dyn std::error::Error) -> MetricError {
    MetricError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn length(of: &[f64]) -> f64 {
    of.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_formula_and_of_pairs() {
        let metric = MahalanobisMatrix::new(vec![2.0, 0.5, 0.5, 1.0], 2).unwrap();
        let rows = [0.0, 0.0, 1.0, -2.0, 1000.0, 1001.5];
        let rows = Rows::new(&rows, 2).unwrap();
        let all = metric.distances(rows, rows).unwrap();
        let transformed = metric.transform(rows).unwrap();
        for (at, &found) in all.iter().enumerate() {
            let (p, q) = (rows.row(at / 3), rows.row(at % 3));
            let [x, y] = [0, 1].map(|k| f64::from(p[k]) - f64::from(q[k]));
            let expected = (2.0 * x * x + x * y + y * y).sqrt();
            assert!(
                (found - expected).abs() < 1e-9 * (1.0 + expected),
                "{found}"
            );
            assert!((metric.pair_distance(p, q) - expected).abs() < 1e-9 * (1.0 + expected));
            let there = |row: usize| &transformed[row * 2..row * 2 + 2];
            let columns = there(at / 3).iter().zip(there(at % 3));
            let euclidean = columns.map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
            assert!((f64::from(euclidean) - expected).abs() < 1e-3);
        }
        let wide = Rows::new(&[0.0; 3], 3).unwrap();
        let refused = metric.distances(rows, wide);
        assert!(matches!(refused, Err(MetricError::Length { found: 3, .. })));
    }

    #[test]
    fn the_inverse_covariance_is_that_of_two_columns_and_ignores_what_does_not_vary() {
        let rows = [1.0, 2.0, 7.0, 3.0, 1.0, 7.0, 2.0, 5.0, 7.0, 6.0, 4.0, 7.0];
        let metric = MahalanobisMatrix::inverse_covariance(Rows::new(&rows, 3).unwrap()).unwrap();
        // By hand: the covariance is [[14/3, 1], [1, 10/3]].
        let determinant = 14.0 / 3.0 * 10.0 / 3.0 - 1.0;
        let inverse = [10.0 / 3.0, -1.0, 14.0 / 3.0].map(|x: f64| x / determinant);
        let expected = [
            inverse[0], inverse[1], 0.0, inverse[1], inverse[2], 0.0, 0.0, 0.0, 0.0,
        ];
        for (a, b) in metric.values().iter().zip(expected) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        let one = Rows::new(&rows[..3], 3).unwrap();
        assert!(MahalanobisMatrix::inverse_covariance(one).is_err());
    }

    #[test]
    fn files_give_the_same_metric_back_and_name_themselves_when_they_cannot() {
        let path = std::env::temp_dir().join(format!("mmrest-metric-{}.json", std::process::id()));
        let metric = MahalanobisMatrix::new(vec![0.1, 1e-3, 1e-3, 1.0 / 3.0], 2).unwrap();
        metric.save(&path).unwrap();
        assert_eq!(MahalanobisMatrix::load(&path).unwrap(), metric);
        for wrong in [
            "",
            "{\"dim\": 2, \"matrix\": [1]}",
            "{\"dim\": 0, \"matrix\": []}",
            "{\"dim\": 1, \"matrix\": [1e999]}",
            "{\"dim\": 18446744073709551615, \"matrix\": [1]}",
        ] {
            std::fs::write(&path, wrong).unwrap();
            let refused = MahalanobisMatrix::load(&path).unwrap_err().to_string();
            assert!(refused.starts_with(path.to_str().unwrap()), "{refused}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(MahalanobisMatrix::load(&path).is_err());
    }
}
