//! `L_MMC` between clusters whose sentiments are in order: each segment's shares of them against its label's place.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::MmcLoss;
use crate::{Clusters, MetricError, MultiMetric};

/// Weights and widths of the ordinal `L_MMC`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrdinalLossConfig {
    /// Squared distance over which a cluster's share of a segment falls to 1/e.
    pub temperature: f64,
    /// Standard deviation of a label's place among the sentiments, in label units. With 0 a label lies between its two
    /// neighbours, the more at the nearer.
    pub smoothing: f64,
    /// Weight of the metrics' distance from the identity.
    pub anchor_weight: f64,
}

impl Default for OrdinalLossConfig {
    fn default() -> Self {
        Self {
            temperature: 64.0,
            smoothing: 0.0,
            anchor_weight: 0.0,
        }
    }
}

impl OrdinalLossConfig {
    /// The loss of a batch of segments.
    ///
    /// ```text
    /// p_i(segment) = softmax_i(-mean over modalities of d_Mi(c, ce_i) / temperature)
    /// inter        = mean over segments of -sum_i q_i(label) log p_i
    /// frobenius    = (|M_0 - I|_F^2 + sum_i |dM_i - I|_F^2) / dim
    /// total        = inter + anchor_weight frobenius
    /// ```
    ///
    /// where `q(label)` is [`ordinal_shares`]; `intra` is 0.
    ///
    /// - `rows`: `[modalities * labels.len(), dim]`: all rows of one modality, then all of the next
    /// - `labels`: one a segment
    /// - `sentiments`: one a cluster, strictly ascending, in label units
    ///
    /// Gradients flow to the rows and the metrics; the centres are constants.
    ///
    /// # Errors
    ///
    /// [`MetricError::Empty`] without rows or clusters, [`MetricError::Length`] and [`MetricError::Index`] when lists,
    /// clusters and metrics do not fit together, [`MetricError::Sentiments`] when the sentiments do not ascend.
    pub fn forward(
        &self,
        rows: Tensor<2>,
        labels: &[f32],
        sentiments: &[f32],
        clusters: &Clusters,
        metric: &MultiMetric,
    ) -> Result<MmcLoss, MetricError> {
        let modalities = check(&rows, labels, sentiments, clusters, metric)?;
        let device = rows.device();
        let shares = metric.log_memberships(rows, modalities, clusters, self.temperature);
        let places: Vec<f32> = labels
            .iter()
            .flat_map(|&label| ordinal_shares(label, sentiments, self.smoothing))
            .collect();
        let places = TensorData::new(places, [labels.len(), clusters.len()]);
        let inter = (Tensor::<2>::from_data(places, &device) * shares)
            .sum()
            .div_scalar(-(labels.len() as f64));
        let frobenius = from_identity(metric);
        let total = inter.clone() + frobenius.clone().mul_scalar(self.anchor_weight);
        Ok(MmcLoss {
            total,
            intra: Tensor::zeros([1], &device),
            inter,
            frobenius,
        })
    }
}

/// `(|M_0 - I|_F^2 + sum_i |dM_i - I|_F^2) / dim`
fn from_identity(metric: &MultiMetric) -> Tensor<1> {
    let global = metric.global.val();
    let identity = Tensor::<2>::eye(metric.dim(), &global.device());
    let locals = metric.local.val() - identity.clone().unsqueeze_dim::<3>(0);
    let sum = (global - identity).square().sum() + locals.square().sum();
    sum.div_scalar(metric.dim() as f64)
}

/// Checks the parts of a batch; how many modalities it has.
fn check(
    rows: &Tensor<2>,
    labels: &[f32],
    sentiments: &[f32],
    clusters: &Clusters,
    metric: &MultiMetric,
) -> Result<usize, MetricError> {
    let [count, dim] = rows.dims();
    if count == 0 || labels.is_empty() {
        return Err(MetricError::Empty { what: "rows" });
    }
    if clusters.is_empty() {
        return Err(MetricError::Empty { what: "clusters" });
    }
    clusters.check_shapes()?;
    MetricError::check_length("columns of the rows", dim, clusters.dim)?;
    MetricError::check_length("size of the metrics", metric.dim(), dim)?;
    MetricError::check_length(
        "sentiments of the clusters",
        sentiments.len(),
        clusters.len(),
    )?;
    let which = clusters.metric.iter().copied();
    MetricError::check_indices("local metric", which, metric.len())?;
    let modalities = count / labels.len();
    MetricError::check_length("rows of the segments", count, modalities * labels.len())?;
    match sentiments.windows(2).position(|pair| pair[0] >= pair[1]) {
        None => Ok(modalities),
        Some(index) => Err(MetricError::Sentiments {
            index: index + 1,
            at: sentiments[index + 1],
        }),
    }
}

/// How a label is shared by clusters whose `sentiments` ascend: sums to 1, or is empty without clusters.
///
/// With `smoothing` 0 the two neighbours share it so that the sentiment expected of the shares is the label itself; a
/// label beyond the outermost belongs to that one. Else the shares are a normal distribution around the label,
/// taken at the sentiments.
///
/// ```
/// use mmrest_metric::ordinal_shares;
///
/// assert_eq!(ordinal_shares(0.25, &[-1.0, 0.0, 1.0], 0.0), [0.0, 0.75, 0.25]);
/// assert_eq!(ordinal_shares(3.0, &[-1.0, 0.0, 1.0], 0.0), [0.0, 0.0, 1.0]);
/// let smooth = ordinal_shares(0.0, &[-1.0, 0.0, 1.0], 0.5);
/// assert!(smooth[0] == smooth[2] && smooth[1] > 0.5);
/// ```
#[must_use]
pub fn ordinal_shares(label: f32, sentiments: &[f32], smoothing: f64) -> Vec<f32> {
    if smoothing > 0.0 {
        normal_shares(label, sentiments, smoothing)
    } else {
        neighbour_shares(label, sentiments)
    }
}

fn neighbour_shares(label: f32, sentiments: &[f32]) -> Vec<f32> {
    let mut shares = vec![0.0; sentiments.len()];
    let above = sentiments.partition_point(|&sentiment| sentiment < label);
    match (above.checked_sub(1), sentiments.get(above)) {
        (Some(below), Some(&upper)) => {
            let lower = sentiments[below];
            shares[above] = (label - lower) / (upper - lower);
            shares[below] = 1.0 - shares[above];
        }
        (Some(outermost), None) => shares[outermost] = 1.0,
        (None, Some(_)) => shares[0] = 1.0,
        (None, None) => {}
    }
    shares
}

fn normal_shares(label: f32, sentiments: &[f32], deviation: f64) -> Vec<f32> {
    let exponents: Vec<f64> = sentiments
        .iter()
        .map(|&sentiment| -0.5 * (f64::from(sentiment - label) / deviation).powi(2))
        .collect();
    // Relative to the largest, so that a narrow distribution does not vanish between two sentiments.
    let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = exponents.iter().map(|e| (e - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}
