//! `L_MMC`: rows of a sentiment together, clusters apart, the shared metric small.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::rows::squared_distance;
use crate::{Clusters, MetricError, MultiMetric, distances, signed_laplacian};

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
}

impl Default for MmcLossConfig {
    fn default() -> Self {
        Self {
            inter_weight: 0.8,
            frobenius_weight: 1.0,
            margin: 3.0,
            margin_scale: 1.0,
            max_pairs: 4000,
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
        let device = rows.device();
        let count = assignment.len() as f64;
        let shape = [clusters.len(), clusters.dim];
        let batch = Batch {
            rows,
            centers: Tensor::from_data(TensorData::new(clusters.centers.clone(), shape), &device),
            metrics: metric.metrics(&clusters.metric),
            device,
        };
        let pairs = self.pairs(fields, row_bins, seed);
        let margins = self.margins(assignment, clusters);

        let intra = batch.intra(&pairs, self.margin).div_scalar(count);
        let inter = batch.inter(assignment, margins).div_scalar(count);
        let frobenius = metric.global.val().square().sum().div_scalar(count);
        let total = intra.clone()
            + inter.clone().mul_scalar(self.inter_weight)
            + frobenius.clone().mul_scalar(self.frobenius_weight);
        Ok(MmcLoss {
            total,
            intra,
            inter,
            frobenius,
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
                let laplacian = signed_laplacian(rows, row_bins, self.max_pairs, seed, stream)?;
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

    /// `scale |ce_i - ce_j|^2` for each row's cluster `i` and every cluster `j`: `[rows, clusters]`.
    fn margins(&self, assignment: &[usize], clusters: &Clusters) -> Vec<f32> {
        let count = clusters.len();
        let margin = |i, j| {
            let squared = squared_distance(clusters.center(i), clusters.center(j));
            (self.margin_scale * squared) as f32
        };
        let table: Vec<f32> = (0..count * count)
            .map(|at| margin(at / count, at % count))
            .collect();
        assignment
            .iter()
            .flat_map(|&i| &table[i * count..(i + 1) * count])
            .copied()
            .collect()
    }
}

/// A receptive field with its pairs.
struct FieldPairs<'a> {
    cluster: usize,
    rows: &'a [usize],
    /// `[rows, rows]`
    laplacian: Vec<f32>,
}

/// The tensors of one call.
struct Batch {
    /// `[rows, dim]`
    rows: Tensor<2>,
    /// `[clusters, dim]`
    centers: Tensor<2>,
    /// `[clusters, dim, dim]`
    metrics: Tensor<3>,
    device: Device,
}

impl Batch {
    /// `sum_i max(0, <L_i X_i, X_i M_i> + margin)` over the fields, which are sorted from large to small.
    ///
    /// Fields are padded to the largest of their group, and a group ends where padding would double a field.
    fn intra(&self, pairs: &[FieldPairs<'_>], margin: f64) -> Tensor<1> {
        const SMALL: usize = 32;
        let mut sum = Tensor::<1>::zeros([1], &self.device);
        let mut rest = pairs;
        while let Some(largest) = rest.first() {
            let size = largest.rows.len();
            let padded = |pairs: &FieldPairs<'_>| size <= SMALL.max(2 * pairs.rows.len());
            let end = rest.partition_point(padded);
            let (group, smaller) = rest.split_at(end);
            sum = sum + relu(self.signed_sums(group, size).add_scalar(margin)).sum();
            rest = smaller;
        }
        sum
    }

    /// `sum_same d - sum_other d = <L X, X M>` of each field of a group: `[fields]`.
    ///
    /// `X` is taken relative to the centre: `L` does not see a shift, f32 does. Padding repeats row 0, which
    /// nothing in `L` refers to.
    fn signed_sums(&self, group: &[FieldPairs<'_>], size: usize) -> Tensor<1> {
        let count = group.len();
        let mut indices = vec![0; count * size];
        let mut laplacians = vec![0.0; count * size * size];
        for (at, field) in group.iter().enumerate() {
            let len = field.rows.len();
            indices[at * size..at * size + len].copy_from_slice(field.rows);
            let target = laplacians[at * size * size..].chunks_exact_mut(size);
            for (target, row) in target.zip(field.laplacian.chunks_exact(len)) {
                target[..len].copy_from_slice(row);
            }
        }
        let which: Vec<usize> = group.iter().map(|field| field.cluster).collect();
        let which = self.indices(&which);
        let dim = self.rows.dims()[1];
        let data = TensorData::new(laplacians, [count, size, size]);
        let laplacians = Tensor::<3>::from_data(data, &self.device);

        let centers = self.centers.clone().select(0, which.clone());
        let rows = self.rows.clone().select(0, self.indices(&indices));
        let x = rows.reshape([count, size, dim]) - centers.unsqueeze_dim::<3>(1);
        let weighted = x.clone().matmul(self.metrics.clone().select(0, which));
        (laplacians.matmul(x) * weighted)
            .reshape([count, size * dim])
            .sum_dim(1)
            .squeeze_dim::<1>(1)
    }

    /// `sum_{i != j} sum_{n in i} max(0, d_i(n) - d_j(n) + margin_ij)`; the terms `i = j` are 0 by themselves.
    fn inter(&self, assignment: &[usize], margins: Vec<f32>) -> Tensor<1> {
        let (rows, centers) = (self.rows.clone(), self.centers.clone());
        let all = distances(rows, centers, self.metrics.clone()); // [N, K]
        let margins = Tensor::from_data(TensorData::new(margins, all.dims()), &self.device);
        let own = self.indices(assignment).unsqueeze_dim::<2>(1);
        let own = all.clone().gather(1, own); // [N, 1]
        relu(own - all + margins).sum()
    }

    fn indices(&self, indices: &[usize]) -> Tensor<1, Int> {
        let values: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        Tensor::from_data(TensorData::new(values, [indices.len()]), &self.device)
    }
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
