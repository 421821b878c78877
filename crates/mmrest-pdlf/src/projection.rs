//! The geometric projection bias: how far a row lies from its nearest centre along the way to the second-nearest.
//!
//! For a row `c` with nearest centre `Ce_near` and second-nearest `Ce_second` (each distance under its own cluster's
//! metric `M_i`), with `u = c - Ce_near` and `v = Ce_second - Ce_near`:
//!
//! ```text
//! r = (u^T M0 v) / sqrt(max(v^T M0 v, 1e-12))
//! ```
//!
//! That is the signed length of `u`'s projection on `v` in the geometry of the global metric `M0`: 0 at the nearest
//! centre, `|v|_M0` at the second-nearest, negative on the far side of the nearest.

use burn::tensor::{Device, Int, Tensor, TensorData};
use mmrest_kernels::host;
use mmrest_metric::{Clusters, MetricError, MultiMetric, distances};

use crate::PdlfError;

/// The least `v^T M0 v` that is divided by: two centres at one place give r = 0.
const LEAST_SQUARED_LENGTH: f64 = 1e-12;

/// Where rows lie between their two nearest clusters.
#[derive(Clone, Debug)]
pub struct Projection {
    /// `r` of each row, in the units of `M0`'s length: `[rows]`. Carries gradients to the rows and to `M0`.
    pub value: Tensor<1>,
    /// The nearest cluster of each row, the lower index on a tie.
    pub near: Vec<usize>,
    /// The second-nearest cluster of each row, the lower index on a tie. Without a second cluster it is `near`.
    pub second: Vec<usize>,
    /// Squared Mahalanobis distance of each row to each centre, on the host: `[rows, clusters]`, row after row.
    pub distances: Vec<f32>,
}

impl Projection {
    /// `r` turned towards the more positive sentiment: `r * sign(bin of second - bin of near)`, `[rows]`.
    ///
    /// `bins` is the sentiment bin of each cluster. Between two clusters of one sentiment there is no such direction:
    /// 0, as where a cluster has no bin.
    #[must_use]
    pub fn signed(&self, bins: &[usize]) -> Tensor<1> {
        let signs: Vec<f32> = self
            .near
            .iter()
            .zip(&self.second)
            .map(
                |(&near, &second)| match (bins.get(near), bins.get(second)) {
                    (Some(near), Some(second)) if second > near => 1.0,
                    (Some(near), Some(second)) if second < near => -1.0,
                    _ => 0.0,
                },
            )
            .collect();
        let rows = signs.len();
        let signs = TensorData::new(signs, [rows]);
        self.value.clone() * Tensor::from_data(signs, &self.value.device())
    }
}

/// The projection bias of `rows`, `[rows, dim]`, between their nearest and second-nearest clusters.
///
/// Centres and the choice of the two clusters are constants; gradients flow to the rows and to
/// [`MultiMetric::global`]. With fewer than two clusters every `r` is 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::{Clusters, MultiMetricConfig};
/// use mmrest_pdlf::projection;
///
/// let device = Device::flex();
/// let metric = MultiMetricConfig { dim: 2, clusters: 2, ridge: 0.01 }.init(&device);
/// let clusters = Clusters {
///     dim: 2,
///     centers: vec![0.0, 0.0, 4.0, 0.0],
///     bins: vec![2, 4],
///     metric: vec![0, 1],
/// };
/// // A quarter of the way from the first centre to the second, and off the line by 7.
/// let rows = Tensor::<2>::from_data([[1.0, 7.0]], &device);
/// let projection = projection(rows, &clusters, &metric)?;
/// assert_eq!((projection.near[0], projection.second[0]), (0, 1));
/// assert_eq!(projection.value.into_scalar::<f32>(), 1.0);
/// # Ok::<(), mmrest_pdlf::PdlfError>(())
/// ```
///
/// Clusters and metrics that do not fit the rows, read from a file say, are refused:
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::{Clusters, MultiMetricConfig};
/// use mmrest_pdlf::{PdlfError, projection};
///
/// let device = Device::flex();
/// let metric = MultiMetricConfig { dim: 2, clusters: 1, ridge: 0.01 }.init(&device);
/// let clusters = Clusters { dim: 2, centers: vec![0.0; 2], bins: vec![3], metric: vec![0] };
/// let rows = Tensor::<2>::zeros([4, 3], &device); // three columns, where the clusters have two
/// let refused = projection(rows, &clusters, &metric);
/// assert!(matches!(refused, Err(PdlfError::Width { .. })));
/// ```
///
/// # Errors
///
/// [`PdlfError::Width`] and [`PdlfError::Clusters`] when rows, clusters and metrics do not fit together,
/// [`PdlfError::Read`] when the device does not hand out the distances.
pub fn projection(
    rows: Tensor<2>,
    clusters: &Clusters,
    metric: &MultiMetric,
) -> Result<Projection, PdlfError> {
    let [count, _] = rows.dims();
    let measured = if clusters.is_empty() || count == 0 {
        Vec::new()
    } else {
        let measured = cluster_distances(rows.clone(), clusters, metric)?;
        host::read("distances", measured).map_err(|error| PdlfError::Read {
            rows: count,
            clusters: clusters.len(),
            message: error.to_string(),
        })?
    };
    projection_from_distances(rows, clusters, metric, measured)
}

/// The squared Mahalanobis distances that [`projection_from_distances`] asks for, on the device and without gradients:
/// `[rows, clusters]`. A caller that reads more than these from the device can read all at once.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::{Clusters, MultiMetricConfig};
/// use mmrest_pdlf::{cluster_distances, projection_from_distances};
///
/// let device = Device::flex();
/// let metric = MultiMetricConfig { dim: 1, clusters: 2, ridge: 0.0 }.init(&device);
/// let clusters = Clusters { dim: 1, centers: vec![0.0, 4.0], bins: vec![2, 4], metric: vec![0, 1] };
/// let rows = Tensor::<2>::from_data([[1.0]], &device);
/// let distances = cluster_distances(rows.clone(), &clusters, &metric)?;
/// let distances: Vec<f32> = distances.into_data().try_to_vec()?; // with whatever else is to be read
/// assert_eq!(projection_from_distances(rows, &clusters, &metric, distances)?.near, [0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`projection_from_distances`].
pub fn cluster_distances(
    rows: Tensor<2>,
    clusters: &Clusters,
    metric: &MultiMetric,
) -> Result<Tensor<2>, PdlfError> {
    check(&rows, clusters, metric)?;
    let centers = centers(clusters, &rows.device());
    let metrics = metric.metrics(&clusters.metric).detach();
    Ok(distances(rows.detach(), centers, metrics))
}

/// [`projection()`], with the distances that were read from what [`cluster_distances`] gave.
///
/// # Errors
///
/// [`PdlfError::Width`] and [`PdlfError::Clusters`] when rows, clusters, metrics and distances do not fit together.
pub fn projection_from_distances(
    rows: Tensor<2>,
    clusters: &Clusters,
    metric: &MultiMetric,
    measured: Vec<f32>,
) -> Result<Projection, PdlfError> {
    let [count, _] = rows.dims();
    let device = rows.device();
    check(&rows, clusters, metric)?;
    if measured.len() != count * clusters.len() {
        return Err(PdlfError::Clusters(MetricError::Length {
            what: "distances",
            found: measured.len(),
            expected: count * clusters.len(),
        }));
    }
    if clusters.len() < 2 || count == 0 {
        return Ok(nowhere(count, measured, &device));
    }

    let centers = centers(clusters, &device);
    let pairs = measured.chunks_exact(clusters.len()).map(two_nearest);
    let (near, second): (Vec<usize>, Vec<usize>) = pairs.unzip();
    let origin = centers.clone().select(0, indices(&near, &device)); // Ce_near, [rows, dim]
    let u = rows - origin.clone();
    let v = centers.select(0, indices(&second, &device)) - origin;
    Ok(Projection {
        value: signed_length(u, v, metric.global.val()),
        near,
        second,
        distances: measured,
    })
}

/// The bias of each segment: the mean of `r` over its modalities, `[batch]`.
///
/// `value` is `[modalities * batch]`: all rows of one modality, then all of the next, in the segments' order.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_pdlf::mean_over_modalities;
///
/// let text_then_audio = Tensor::<1>::from_data([1.0, 2.0, 3.0, 6.0], &Device::flex());
/// let bias = mean_over_modalities(text_then_audio, 2);
/// assert_eq!(bias.into_data().try_to_vec::<f32>().unwrap(), [2.0, 4.0]);
/// ```
///
/// # Panics
///
/// When `modalities` is 0 or does not divide the number of values.
#[must_use]
pub fn mean_over_modalities(value: Tensor<1>, modalities: usize) -> Tensor<1> {
    let [rows] = value.dims();
    assert!(
        modalities > 0 && rows.is_multiple_of(modalities),
        "{rows} values are not whole batches of {modalities} modalities"
    );
    let stacked = value.reshape([modalities, rows / modalities]);
    stacked.mean_dim(0).squeeze_dim(0)
}

/// Whether rows, clusters and metrics share one width, and every cluster has its metric.
fn check(rows: &Tensor<2>, clusters: &Clusters, metric: &MultiMetric) -> Result<(), PdlfError> {
    let [_, expected] = rows.dims();
    clusters.check(usize::MAX, metric.len())?;
    let fits = |what, found| {
        if found == expected {
            return Ok(());
        }
        Err(PdlfError::Width {
            what,
            found,
            expected,
        })
    };
    if !clusters.is_empty() {
        fits("cluster centres", clusters.dim)?;
    }
    fits("metrics", metric.dim())
}

/// The centres, `[clusters, dim]`.
fn centers(clusters: &Clusters, device: &Device) -> Tensor<2> {
    let shape = [clusters.len(), clusters.dim];
    Tensor::from_data(TensorData::new(clusters.centers.clone(), shape), device)
}

/// The result without a second cluster: r = 0 everywhere.
fn nowhere(rows: usize, distances: Vec<f32>, device: &Device) -> Projection {
    Projection {
        value: Tensor::zeros([rows], device),
        near: vec![0; rows],
        second: vec![0; rows],
        distances,
    }
}

/// The indices of the least and the next of at least two distances, lower indices first on a tie.
fn two_nearest(distances: &[f32]) -> (usize, usize) {
    let (mut near, mut second) = if distances[1] < distances[0] {
        (1, 0)
    } else {
        (0, 1)
    };
    for (index, &distance) in distances.iter().enumerate().skip(2) {
        if distance < distances[near] {
            (near, second) = (index, near);
        } else if distance < distances[second] {
            second = index;
        }
    }
    (near, second)
}

/// Indices as a tensor.
fn indices(of: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = of.iter().map(|&index| index as i64).collect();
    Tensor::from_data(TensorData::new(values, [of.len()]), device)
}

/// `(u^T M v) / sqrt(max(v^T M v, 1e-12))`, row by row: `u`, `v` are `[rows, dim]`, `metric` is `[dim, dim]`.
///
/// `M` is the metric's symmetric part. A metric is symmetric, so the value is the same; but `u^T M v` alone would send
/// it a gradient that is not, and an elementwise optimiser would leave the symmetric matrices.
fn signed_length(u: Tensor<2>, v: Tensor<2>, metric: Tensor<2>) -> Tensor<1> {
    let symmetric = (metric.clone() + metric.transpose()).mul_scalar(0.5);
    let weighted = v.clone().matmul(symmetric); // rows M v
    let along = (u * weighted.clone()).sum_dim(1);
    let squared = (v * weighted).sum_dim(1);
    (along / squared.clamp_min(LEAST_SQUARED_LENGTH).sqrt()).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<const N: usize>(values: [[f32; 2]; N]) -> Tensor<2> {
        Tensor::from_data(values, &Device::flex())
    }

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn ties_go_to_the_lower_index() {
        assert_eq!(two_nearest(&[1.0, 1.0]), (0, 1));
        assert_eq!(two_nearest(&[2.0, 1.0, 1.0]), (1, 2));
        assert_eq!(two_nearest(&[2.0, 2.0, 2.0, 1.0]), (3, 0));
        assert_eq!(two_nearest(&[3.0, 1.0, 2.0, 2.0]), (1, 2));
        assert_eq!(two_nearest(&[f32::NAN; 3]), (0, 1));
    }

    #[test]
    fn two_nearest_are_the_first_two_of_a_stable_sort() {
        for seed in 0..2000_usize {
            let distances: Vec<f32> = (0..2 + seed % 6)
                .map(|k| ((seed / 3 * 7 + k * k * 5) % 4) as f32)
                .collect();
            let mut order: Vec<usize> = (0..distances.len()).collect();
            order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
            assert_eq!(
                two_nearest(&distances),
                (order[0], order[1]),
                "{distances:?}"
            );
        }
    }

    #[test]
    fn the_whole_of_v_projects_on_v_at_its_own_length() {
        let metric = rows([[4.0, 1.0], [1.0, 9.0]]);
        let v = rows([[1.0, 0.0], [0.0, -2.0], [1.0, 1.0]]);
        let lengths = [4.0, 36.0, 15.0].map(f32::sqrt);
        let same = values(signed_length(v.clone(), v.clone(), metric.clone()));
        let opposite = values(signed_length(v.clone().neg(), v, metric));
        for ((same, opposite), length) in same.iter().zip(&opposite).zip(lengths) {
            assert!((same - length).abs() < 1e-5 && (opposite + length).abs() < 1e-5);
        }
    }

    #[test]
    fn what_is_orthogonal_in_the_metric_projects_on_nothing() {
        let metric = rows([[4.0, 1.0], [1.0, 9.0]]);
        // (1, -4) M (1, 0) = 4 - 4 = 0
        let r = signed_length(rows([[1.0, -4.0]]), rows([[1.0, 0.0]]), metric);
        assert_eq!(values(r), [0.0]);
    }

    #[test]
    fn modalities_are_averaged_segment_by_segment() {
        let value = Tensor::from_data([1.0, 2.0, 3.0, 4.0, 5.0, 9.0], &Device::flex());
        assert_eq!(values(mean_over_modalities(value.clone(), 3)), [3.0, 5.0]);
        assert_eq!(
            values(mean_over_modalities(value.clone(), 1)),
            [1.0, 2.0, 3.0, 4.0, 5.0, 9.0]
        );
        assert_eq!(values(mean_over_modalities(value, 6)), [4.0]);
    }

    #[test]
    #[should_panic(expected = "5 values are not whole batches of 3 modalities")]
    fn ragged_modalities_are_refused() {
        let _ = mean_over_modalities(Tensor::zeros([5], &Device::flex()), 3);
    }

    #[test]
    fn the_sign_points_to_the_more_positive_sentiment() {
        let projection = Projection {
            value: Tensor::from_data([0.5, 0.5, 0.5, -0.5], &Device::flex()),
            near: vec![0, 1, 0, 1],
            second: vec![1, 0, 2, 2],
            distances: Vec::new(),
        };
        assert_eq!(values(projection.signed(&[2, 5, 2])), [0.5, -0.5, 0.0, 0.5]);
        assert_eq!(values(projection.signed(&[])), [0.0; 4]);
    }
}
