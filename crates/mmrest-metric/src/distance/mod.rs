//! Squared Mahalanobis distances between rows and centres, each centre under its own metric.

mod cpu;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use crate::operation::takes;

/// `d[n, k] = (p_n - c_k)^T M_k (p_n - c_k)`, squared: no root is taken (paper eq. of d_M).
///
/// - `rows`: `[rows, dim]`
/// - `centers`: `[clusters, dim]`
/// - `metrics`: `[clusters, dim, dim]`
/// - returns `[rows, clusters]`
///
/// The differences are formed before they are multiplied, so rows far from the origin lose no digits.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::distances;
///
/// let device = Device::flex();
/// let rows = Tensor::<2>::from_data([[1.0, 2.0]], &device);
/// let centers = Tensor::<2>::from_data([[0.0, 0.0]], &device);
/// let metrics = Tensor::<3>::from_data([[[2.0, 0.0], [0.0, 3.0]]], &device);
/// let d: f32 = distances(rows, centers, metrics).into_scalar();
/// assert_eq!(d, 2.0 * 1.0 + 3.0 * 4.0);
/// ```
#[must_use]
pub fn distances(rows: Tensor<2>, centers: Tensor<2>, metrics: Tensor<3>) -> Tensor<2> {
    let [clusters, dim] = centers.dims();
    let fits = rows.dims()[1] == dim && metrics.dims() == [clusters, dim, dim];
    let some = clusters > 0 && dim > 0;
    if fits && some && takes(&rows) && takes(&centers) && takes(&metrics) {
        cpu::distances(rows, centers, metrics)
    } else {
        by_tensors(rows, centers, metrics)
    }
}

/// The distances by burn's own operations: on any device.
pub(crate) fn by_tensors(rows: Tensor<2>, centers: Tensor<2>, metrics: Tensor<3>) -> Tensor<2> {
    let difference = rows.unsqueeze_dim::<3>(0) - centers.unsqueeze_dim::<3>(1); // [K, N, D]
    let weighted = difference.clone().matmul(metrics);
    (weighted * difference)
        .sum_dim(2)
        .squeeze_dim::<2>(2)
        .transpose()
}
