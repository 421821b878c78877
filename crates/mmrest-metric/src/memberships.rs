//! Soft assignment: how much of a segment belongs to each cluster, under the learned metrics.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

use crate::{Clusters, MultiMetric, distances};

impl MultiMetric {
    /// The logarithms of a segment's shares of the clusters, `[batch, clusters]`: [`log_memberships`] of the distances
    /// `d_{M_i}(c, Ce_i)`.
    ///
    /// `rows` is `[modalities * batch, dim]`. Gradients flow to the rows and the metrics; the centres are constants.
    ///
    /// # Panics
    ///
    /// As [`log_memberships`], or where rows, clusters and metrics have different widths.
    #[must_use]
    pub fn log_memberships(
        &self,
        rows: Tensor<2>,
        modalities: usize,
        clusters: &Clusters,
        temperature: f64,
    ) -> Tensor<2> {
        let centers = TensorData::new(clusters.centers.clone(), [clusters.len(), clusters.dim]);
        let centers = Tensor::<2>::from_data(centers, &rows.device());
        let distances = distances(rows, centers, self.metrics(&clusters.metric));
        log_memberships(distances, modalities, temperature)
    }
}

/// The logarithms of a segment's shares of the clusters, `[batch, clusters]`: a softmax over the clusters of minus the
/// mean squared distance of the segment's modalities, divided by `temperature` (in squared distance).
///
/// `distances` is `[modalities * batch, clusters]`, as [`distances`](crate::distances()) gives it: all rows of one
/// modality, then all of the next, in the segments' order. Shares by a mean of distances are a product of the
/// modalities' opinions: a modality that is as far from every cluster has no say.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::log_memberships;
///
/// // One segment of two modalities, the second undecided between the two clusters.
/// let distances = Tensor::<2>::from_data([[0.0, 2.0], [5.0, 5.0]], &Device::flex());
/// let shares = log_memberships(distances, 2, 1.0).exp();
/// let shares = shares.into_data().try_to_vec::<f32>().unwrap();
/// assert!((shares[0] / shares[1] - 1.0_f32.exp()).abs() < 1e-5);
/// ```
///
/// # Panics
///
/// When `modalities` is 0 or does not divide the number of rows.
#[must_use]
pub fn log_memberships(distances: Tensor<2>, modalities: usize, temperature: f64) -> Tensor<2> {
    let [rows, clusters] = distances.dims();
    assert!(
        modalities > 0 && rows.is_multiple_of(modalities),
        "{rows} rows are not whole batches of {modalities} modalities"
    );
    let mean = distances
        .reshape([modalities, rows / modalities, clusters])
        .mean_dim(0)
        .squeeze_dim::<2>(0);
    log_softmax(mean.div_scalar(-temperature), 1)
}

/// The sentiment expected of each segment, `[batch]`: the clusters' sentiments weighed by its shares of them.
///
/// `log_memberships` is `[batch, clusters]`, `sentiments` one number a cluster, in label units.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::expected_sentiment;
///
/// let shares = Tensor::<2>::from_data([[0.25, 0.75]], &Device::flex());
/// let expected: f32 = expected_sentiment(shares.log(), &[-3.0, 1.0]).into_scalar();
/// assert!(expected.abs() < 1e-6);
/// ```
///
/// # Panics
///
/// When there is not one sentiment for each cluster.
#[must_use]
pub fn expected_sentiment(log_memberships: Tensor<2>, sentiments: &[f32]) -> Tensor<1> {
    let device = log_memberships.device();
    let sentiments = TensorData::new(sentiments.to_vec(), [1, sentiments.len()]);
    let sentiments = Tensor::<2>::from_data(sentiments, &device);
    (log_memberships.exp() * sentiments)
        .sum_dim(1)
        .squeeze_dim::<1>(1)
}
