//! Euclidean views of rows: the space in which a Mahalanobis metric is Euclidean, and principal components.

use rayon::prelude::*;

use crate::{MetricError, Rows, factor_psd_f64};

/// The rows `L x`, for `L` with `L^T L = metric`: Euclidean distances between them are the roots of the squared
/// Mahalanobis distances under `metric`, which is `[dim, dim]` and positive semidefinite.
///
/// ```
/// use mmrest_metric::{Rows, to_euclidean};
///
/// let rows = [0.0, 0.0, 3.0, 1.0];
/// let there = to_euclidean(Rows::new(&rows, 2)?, &[4.0, 0.0, 0.0, 1.0])?;
/// let squared: f32 = there[2..].iter().map(|value| value * value).sum();
/// assert!((squared - 37.0).abs() < 1e-4); // 4 * 3^2 + 1 * 1^2
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// As [`factor_psd_f64`].
pub fn to_euclidean(rows: Rows<'_>, metric: &[f64]) -> Result<Vec<f32>, MetricError> {
    Ok(EuclideanMap::new(metric, rows.dim())?.rows(rows))
}

/// The linear map `x -> L x` with `L^T L = M` of a Mahalanobis metric `M`: after it, `M` is the Euclidean metric.
///
/// [`to_euclidean`] maps all rows at once; this keeps `L` for rows that come later.
///
/// ```
/// use mmrest_metric::{EuclideanMap, Rows};
///
/// let map = EuclideanMap::new(&[4.0, 0.0, 0.0, 1.0], 2)?;
/// let point = map.point(&[3.0, 1.0]);
/// assert!((point[0] * point[0] + point[1] * point[1] - 37.0).abs() < 1e-12);
/// assert_eq!(map.rows(Rows::new(&[3.0, 1.0], 2)?), [point[0] as f32, point[1] as f32]);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EuclideanMap {
    dim: usize,
    /// `L`, row after row.
    factor: Vec<f64>,
}

impl EuclideanMap {
    /// The map of a metric `[dim, dim]`; negative eigenvalues count as 0.
    ///
    /// # Errors
    ///
    /// As [`factor_psd_f64`].
    pub fn new(metric: &[f64], dim: usize) -> Result<Self, MetricError> {
        let factor = factor_psd_f64(metric, dim)?;
        Ok(Self { dim, factor })
    }

    /// `L x` of each row; it is summed in f64.
    ///
    /// # Panics
    ///
    /// When the rows are not as wide as the metric.
    #[must_use]
    pub fn rows(&self, rows: Rows<'_>) -> Vec<f32> {
        assert_eq!(rows.dim(), self.dim, "rows as wide as the metric");
        let values = rows.values().par_chunks_exact(self.dim);
        let values = values.flat_map_iter(|row| {
            let image = self.factor.chunks_exact(self.dim);
            image.map(move |factor| {
                let terms = factor.iter().zip(row).map(|(f, &x)| f * f64::from(x));
                terms.sum::<f64>() as f32
            })
        });
        values.collect()
    }

    /// `L x` of one point.
    #[must_use]
    pub fn point(&self, x: &[f64]) -> Vec<f64> {
        let image = self.factor.chunks_exact(self.dim);
        image.map(|factor| dot(factor, x)).collect()
    }

    /// `a^T L`: the direction `b` with `<b, x> = <a, L x>`.
    #[must_use]
    pub fn pull_back(&self, a: &[f64]) -> Vec<f64> {
        let mut direction = vec![0.0; self.dim];
        for (factor, a) in self.factor.chunks_exact(self.dim).zip(a) {
            for (sum, x) in direction.iter_mut().zip(factor) {
                *sum += a * x;
            }
        }
        direction
    }
}

/// Principal component analysis: the directions along which rows vary most.
///
/// They are the eigenvectors of the covariance matrix `sum (x - mean)(x - mean)^T / n`, the widest first. With n rows of d
/// numbers it takes about `2 n d^2` operations for the covariance and `9 d^3` for the eigenvectors.
///
/// ```
/// use mmrest_metric::Pca;
///
/// // Along (1, 1) from the mean (2, 1), and a little across.
/// let rows = [0.0, -1.0, 4.0, 3.0, 2.1, 0.9, 1.9, 1.1];
/// let pca = Pca::fit(&rows, 2)?;
/// let [first, second] = [pca.component(0), pca.component(1)];
/// assert!((first[0] - first[1]).abs() < 1e-9 && (second[0] + second[1]).abs() < 1e-9);
/// assert!((pca.variances[0] - 4.0).abs() < 1e-9 && pca.explained(0) > 0.99);
/// let place = pca.project(&[3.0, 2.0], 2); // one step along the first component
/// assert!((place[0].abs() - 2.0_f64.sqrt()).abs() < 1e-9 && place[1].abs() < 1e-9);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// The mean of each column.
    pub mean: Vec<f64>,
    /// The eigenvectors, each as long as its standard deviation, one after another: `[dim, dim]`. Which of its two ways an
    /// eigenvector points is arbitrary.
    pub loadings: Vec<f64>,
    /// The variance along each, descending.
    pub variances: Vec<f64>,
}

impl Pca {
    /// The components of `[rows, dim]` numbers.
    ///
    /// # Errors
    ///
    /// [`MetricError::RaggedRows`] when they are not whole rows, [`MetricError::Empty`] without rows,
    /// [`MetricError::NonFiniteMetric`] when a number is not finite, [`MetricError::Eigen`].
    pub fn fit(rows: &[f64], dim: usize) -> Result<Self, MetricError> {
        if dim == 0 || !rows.len().is_multiple_of(dim) {
            let values = rows.len();
            return Err(MetricError::RaggedRows { values, dim });
        }
        if rows.is_empty() {
            return Err(MetricError::Empty { what: "rows" });
        }
        let count = (rows.len() / dim) as f64;
        let mut mean = vec![0.0; dim];
        for row in rows.chunks_exact(dim) {
            for (mean, x) in mean.iter_mut().zip(row) {
                *mean += x / count;
            }
        }
        let mut covariance = vec![0.0; dim * dim];
        for row in rows.chunks_exact(dim) {
            let row: Vec<f64> = row.iter().zip(&mean).map(|(x, mean)| x - mean).collect();
            for (line, a) in covariance.chunks_exact_mut(dim).zip(&row) {
                for (sum, b) in line.iter_mut().zip(&row) {
                    *sum += a * b / count;
                }
            }
        }
        // The rows of the factor are the eigenvectors, each as long as its standard deviation.
        let factor = factor_psd_f64(&covariance, dim)?;
        let mut axes: Vec<(&[f64], f64)> = factor
            .chunks_exact(dim)
            .map(|axis| (axis, dot(axis, axis)))
            .collect();
        axes.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(Self {
            mean,
            loadings: axes.iter().flat_map(|(axis, _)| *axis).copied().collect(),
            variances: axes.iter().map(|(_, variance)| *variance).collect(),
        })
    }

    /// Component `index` as a vector of length 1; 0 where the rows do not vary along it, as beyond the last.
    #[must_use]
    pub fn component(&self, index: usize) -> Vec<f64> {
        let dim = self.mean.len();
        let least = 1e-12 * self.variances.first().copied().unwrap_or_default();
        match self.variances.get(index) {
            Some(&variance) if variance > least => {
                let length = variance.sqrt();
                let axis = &self.loadings[index * dim..(index + 1) * dim];
                axis.iter().map(|x| x / length).collect()
            }
            _ => vec![0.0; dim],
        }
    }

    /// The share of the whole variance that lies along component `index`; 0 where there is none.
    #[must_use]
    pub fn explained(&self, index: usize) -> f64 {
        let total: f64 = self.variances.iter().sum();
        let variance = self.variances.get(index).copied().unwrap_or_default();
        if total > 0.0 { variance / total } else { 0.0 }
    }

    /// Where a row lies along the first `count` components.
    #[must_use]
    pub fn project(&self, row: &[f64], count: usize) -> Vec<f64> {
        let row: Vec<f64> = row.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        (0..count)
            .map(|index| dot(&self.component(index), &row))
            .collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn components_are_orthonormal_and_hold_the_variance(
            (dim, rows) in (1_usize..6).prop_flat_map(|dim| {
                (Just(dim), prop::collection::vec(-3.0..3.0_f64, dim * 12))
            })
        ) {
            let pca = Pca::fit(&rows, dim).unwrap();
            prop_assert!(pca.variances.is_sorted_by(|a, b| a >= b));
            for first in 0..dim {
                for second in 0..dim {
                    let product = dot(&pca.component(first), &pca.component(second));
                    let expected = if first == second { 1.0 } else { 0.0 };
                    prop_assert!((product - expected).abs() < 1e-6, "{product}");
                }
                // The variance of the projected rows is that of the component.
                let along: f64 = rows
                    .chunks_exact(dim)
                    .map(|row| pca.project(row, dim)[first].powi(2) / 12.0)
                    .sum();
                prop_assert!((along - pca.variances[first]).abs() < 1e-9);
            }
            let total: f64 = (0..dim).map(|index| pca.explained(index)).sum();
            prop_assert!((total - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn components_are_the_axes_of_an_ellipse() {
        let pca = Pca::fit(&[3.0, 5.0, -1.0, 5.0, 1.0, 6.0, 1.0, 4.0], 2).unwrap();
        assert_eq!(pca.mean, [1.0, 5.0]);
        assert!((pca.variances[0] - 2.0).abs() < 1e-12 && (pca.variances[1] - 0.5).abs() < 1e-12);
        let (first, second) = pca.loadings.split_at(2);
        assert!((first[0].abs() - 2_f64.sqrt()).abs() < 1e-12 && first[1].abs() < 1e-12);
        assert!(second[0].abs() < 1e-12 && (second[1].abs() - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn rows_that_do_not_vary_have_no_component() {
        let pca = Pca::fit(&[1.0, 2.0, 1.0, 2.0], 2).unwrap();
        assert_eq!(pca.component(0), [0.0, 0.0]);
        assert_eq!((pca.explained(0), pca.component(7)), (0.0, vec![0.0; 2]));
    }

    #[test]
    fn what_is_not_rows_is_refused() {
        assert!(matches!(
            Pca::fit(&[1.0; 5], 2),
            Err(MetricError::RaggedRows { .. })
        ));
        assert!(matches!(Pca::fit(&[], 2), Err(MetricError::Empty { .. })));
        let refused = Pca::fit(&[f64::NAN, 1.0], 1);
        assert!(matches!(refused, Err(MetricError::NonFiniteMetric { .. })));
    }

    #[test]
    fn a_direction_that_is_pulled_back_measures_mapped_points() {
        let map = EuclideanMap::new(&[2.0, 0.5, 0.5, 1.0], 2).unwrap();
        let (a, x) = ([0.3, -1.2], [2.0, 5.0]);
        let there = dot(&a, &map.point(&x));
        assert!((there - dot(&map.pull_back(&a), &x)).abs() < 1e-12);
    }
}
