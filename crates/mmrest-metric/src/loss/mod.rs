//! `L_MMC`: rows of a sentiment together, clusters apart, the shared metric small.

mod cpu;
mod ordinal;
mod tensors;
#[cfg(test)]
mod tests;

pub use ordinal::{OrdinalLossConfig, ordinal_shares};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::rows::squared_distance;
use crate::{Clusters, MetricError, MultiMetric, mean_laplacian, signed_laplacian};

/// Weights and margins of `L_MMC`, with the published values as defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MmcLossConfig {
    /// Weight of the inter part (`v1`).
    pub inter_weight: f64,
    /// Weight of the Frobenius part (`v2`).
    pub frobenius_weight: f64,
    /// Margin of the intra part (`xi`), in squared distance.
    pub margin: f64,
    /// Margin of the inter part as a multiple of the centres' squared Euclidean distance (`alpha`).
    pub margin_scale: f64,
    /// At most so many pairs of the same bin, and so many of different bins, count in a receptive field.
    pub max_pairs: usize,
    /// Whether a field's hinge is about the means of its pairs' distances instead of their sums, and each part is a
    /// mean over what it sums: fields, rows and other clusters, entries on the diagonal.
    pub means: bool,
}

impl Default for MmcLossConfig {
    fn default() -> Self {
        Self {
            inter_weight: 0.8,
            frobenius_weight: 1.0,
            margin: 3.0,
            margin_scale: 1.0,
            max_pairs: 4000,
            means: false,
        }
    }
}

/// The loss and its unweighted parts, each divided by the number of rows: scalars as tensors of shape `[1]`.
#[derive(Clone, Debug)]
pub struct MmcLoss {
    /// `intra + inter_weight * inter + frobenius_weight * frobenius`.
    pub total: Tensor<1>,
    /// Same-bin rows of a receptive field near, others far.
    pub intra: Tensor<1>,
    /// Rows nearer to their own centre than to any other.
    pub inter: Tensor<1>,
    /// `|M_0|_F^2`.
    pub frobenius: Tensor<1>,
}

impl MmcLossConfig {
    /// `L_MMC` of a batch (paper: multi-metric learning on clusters), with `N` rows:
    ///
    /// ```text
    /// intra     = sum_i max(0, sum_same d_Mi(p, q) - sum_other d_Mi(p, q) + margin) / N
    /// inter     = sum_{i != j} sum_{n in i} max(0, d_Mi(c_n, ce_i) - d_Mj(c_n, ce_j) + scale |ce_i - ce_j|^2) / N
    /// frobenius = |M_0|_F^2 / N
    /// ```
    ///
    /// - `rows`: `[rows, dim]`, tracked by autodiff or not
    /// - `row_bins`: the sentiment bin of each row
    /// - `assignment`: the cluster of each row
    /// - `fields`: the rows that each cluster's pairs are taken from; one without a pair does not count
    /// - `seed`: draws the pairs where there are more than `max_pairs`
    ///
    /// Gradients flow to the rows and the metrics; the centres are constants.
    ///
    /// # Errors
    ///
    /// [`MetricError::Empty`] without rows, [`MetricError::Length`] and [`MetricError::Index`] when lists, clusters
    /// and metrics do not fit together.
    #[expect(
        clippy::too_many_arguments,
        reason = "a batch is five lists and two models"
    )]
    pub fn forward(
        &self,
        rows: Tensor<2>,
        row_bins: &[usize],
        assignment: &[usize],
        fields: &[Vec<usize>],
        clusters: &Clusters,
        metric: &MultiMetric,
        seed: u64,
    ) -> Result<MmcLoss, MetricError> {
        check(&rows, row_bins, assignment, fields, clusters, metric)?;
        let setting = Setting {
            config: self,
            assignment,
            clusters,
            pairs: self.pairs(fields, row_bins, seed),
            margins: self.margins(clusters),
        };
        Ok(match cpu::fits(&rows, metric) {
            true => cpu::forward(rows, metric, &setting),
            false => tensors::forward(rows, metric, &setting),
        })
    }

    /// The fields that have a pair, largest first.
    fn pairs<'a>(
        &self,
        fields: &'a [Vec<usize>],
        row_bins: &[usize],
        seed: u64,
    ) -> Vec<FieldPairs<'a>> {
        let mut pairs: Vec<FieldPairs<'a>> = fields
            .iter()
            .enumerate()
            .filter_map(|(cluster, rows)| {
                let stream = cluster as u64;
                let laplacian = match self.means {
                    true => mean_laplacian(rows, row_bins, self.max_pairs, seed, stream)?,
                    false => signed_laplacian(rows, row_bins, self.max_pairs, seed, stream)?,
                };
                Some(FieldPairs {
                    cluster,
                    rows,
                    laplacian,
                })
            })
            .collect();
        pairs.sort_by_key(|pairs| std::cmp::Reverse(pairs.rows.len()));
        pairs
    }

    /// `scale |ce_i - ce_j|^2` for every two clusters: `[clusters, clusters]`.
    fn margins(&self, clusters: &Clusters) -> Vec<f32> {
        let count = clusters.len();
        let margin = |at| {
            let (i, j) = (at / count, at % count);
            let squared = squared_distance(clusters.center(i), clusters.center(j));
            (self.margin_scale * squared) as f32
        };
        (0..count * count).map(margin).collect()
    }
}

/// What the loss is made of besides tensors, checked.
struct Setting<'a> {
    config: &'a MmcLossConfig,
    /// The cluster of each row.
    assignment: &'a [usize],
    clusters: &'a Clusters,
    pairs: Vec<FieldPairs<'a>>,
    /// `[clusters, clusters]`
    margins: Vec<f32>,
}

impl Setting<'_> {
    /// What each part is divided by.
    fn divisors(&self) -> [f32; 3] {
        let rows = self.assignment.len();
        if !self.config.means {
            return [rows as f32; 3];
        }
        let others = self.clusters.len().saturating_sub(1);
        [self.pairs.len(), rows * others, self.clusters.dim].map(|count| count.max(1) as f32)
    }

    /// Of the parts in the total.
    fn weights(&self) -> [f32; 3] {
        let config = self.config;
        [
            1.0,
            config.inter_weight as f32,
            config.frobenius_weight as f32,
        ]
    }
}

/// A receptive field with its pairs.
struct FieldPairs<'a> {
    cluster: usize,
    rows: &'a [usize],
    /// `[rows, rows]`
    laplacian: Vec<f32>,
}

/// Whether everything fits together.
fn check(
    rows: &Tensor<2>,
    row_bins: &[usize],
    assignment: &[usize],
    fields: &[Vec<usize>],
    clusters: &Clusters,
    metric: &MultiMetric,
) -> Result<(), MetricError> {
    let [count, dim] = rows.dims();
    if count == 0 {
        return Err(MetricError::Empty { what: "rows" });
    }
    clusters.check_shapes()?;
    MetricError::check_length("columns of the rows", dim, clusters.dim)?;
    MetricError::check_length("size of the metrics", metric.dim(), dim)?;
    MetricError::check_length("bins of the rows", row_bins.len(), count)?;
    MetricError::check_length("clusters of the rows", assignment.len(), count)?;
    MetricError::check_length("receptive fields", fields.len(), clusters.len())?;
    let metrics = clusters.metric.iter().copied();
    MetricError::check_indices("local metric", metrics, metric.len())?;
    MetricError::check_indices("cluster", assignment.iter().copied(), clusters.len())?;
    MetricError::check_indices("row", fields.iter().flatten().copied(), count)
}
