//! `L_MMC`, multi-metric learning on clusters: rows of a sentiment together, clusters apart, the shared metric small.
//!
//! The name is the paper's. It is not MMC, the "Mahalanobis Metric for Clustering" of Xing et al. (2002), which learns one
//! metric by projected gradients under constraints on pairs; `L_MMC` is a hinge loss over one metric for each cluster.
//!
//! With N rows of width D, K clusters and fields of at most F rows, the forward pass takes about `2 N K D^2` operations for
//! the distances and `2 K F D (F + D)` for the pairs.

mod cpu;
mod laplacian;
mod ordinal;
mod tensors;

pub use ordinal::{OrdinalLossConfig, ordinal_shares};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use self::laplacian::{least_of_both, mean_laplacian, signed_laplacian};
use crate::rows::squared_distance;
use crate::{Clusters, MetricError, MultiMetric};

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
    /// Whether as many pairs of different bins as of the same bin count in a receptive field: the more numerous side is
    /// thinned to the other's number. A field without a pair of either side does not count.
    pub balanced: bool,
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
            balanced: false,
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
        Ok(if cpu::fits(&rows, metric) {
            cpu::forward(rows, metric, &setting)
        } else {
            tensors::forward(rows, metric, &setting)
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
                let most = if self.balanced {
                    self.max_pairs.min(least_of_both(rows, row_bins))
                } else {
                    self.max_pairs
                };
                let laplacian = if self.means {
                    mean_laplacian(rows, row_bins, most, seed, stream)?
                } else {
                    signed_laplacian(rows, row_bins, most, seed, stream)?
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

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::Tensor;
    use mmrest_testing::{assert_near, assert_same_on_any_threads, host, leaf};

    use super::*;
    use crate::{MultiMetricConfig, Rows, assign};

    type Compute = fn(Tensor<2>, &MultiMetric, &Setting<'_>) -> MmcLoss;

    /// A batch of a given shape.
    #[derive(Clone, Debug)]
    struct Shape {
        count: usize,
        dim: usize,
        /// The local metric of each cluster.
        which: Vec<usize>,
        locals: usize,
        /// Every so many rows are in a field; none where it is 0.
        step: usize,
        config: MmcLossConfig,
    }

    /// A wish for gradients: of the total, or of parts by themselves.
    type Wish = fn(&MmcLoss) -> Tensor<1>;

    /// The four numbers and the gradients by rows, shared and local metrics.
    fn all(compute: Compute, shape: &Shape, wish: Wish) -> Vec<Vec<f32>> {
        let (count, dim) = (shape.count, shape.dim);
        let clusters = Clusters {
            dim,
            centers: host(leaf([shape.which.len(), dim], 2)),
            bins: vec![0; shape.which.len()],
            metric: shape.which.clone(),
        };
        let rows = leaf([count, dim], 1);
        let values = host(rows.clone());
        let assignment = assign(Rows::new(&values, dim).unwrap(), &clusters.centers);
        let row_bins: Vec<usize> = (0..count).map(|row| row * row % 3).collect();
        let field = |cluster: usize| match shape.step {
            0 => Vec::new(),
            step => (cluster..count).step_by(step + cluster).collect(),
        };
        let fields: Vec<Vec<usize>> = (0..clusters.len()).map(field).collect();
        let config = MultiMetricConfig {
            dim,
            clusters: shape.locals,
            ridge: 0.01,
        };
        let mut metric = config.init(&rows.device());
        metric.global = Param::from_tensor(leaf([dim, dim], 3));
        metric.local = Param::from_tensor(leaf([shape.locals, dim, dim], 4));
        let setting = Setting {
            config: &shape.config,
            assignment: &assignment,
            clusters: &clusters,
            pairs: shape.config.pairs(&fields, &row_bins, 1),
            margins: shape.config.margins(&clusters),
        };
        let loss = compute(rows.clone(), &metric, &setting);
        let gradients = wish(&loss).backward();
        let global = metric.global.val();
        let none = Tensor::zeros([dim, dim], &global.device());
        let nothing = || metric.local.val().zeros_like();
        vec![
            host(Tensor::cat(
                vec![loss.total, loss.intra, loss.inter, loss.frobenius],
                0,
            )),
            host(rows.grad(&gradients).unwrap()),
            host(global.grad(&gradients).unwrap_or(none)),
            host(
                metric
                    .local
                    .val()
                    .grad(&gradients)
                    .unwrap_or_else(|| nothing().inner()),
            ),
        ]
    }

    fn shapes() -> Vec<Shape> {
        let config = MmcLossConfig {
            margin: 50.0,
            margin_scale: 2.0,
            ..Default::default()
        };
        let shape = |count, dim, which: &[usize], locals, step| Shape {
            count,
            dim,
            which: which.to_vec(),
            locals,
            step,
            config,
        };
        let flat = MmcLossConfig {
            margin: -1e6,
            margin_scale: -1e6,
            ..config
        };
        vec![
            shape(1, 1, &[0], 1, 1),
            shape(1, 3, &[0, 1], 2, 1),
            shape(9, 3, &[0], 1, 1),
            shape(40, 3, &[1, 0, 1, 3], 4, 2),
            shape(40, 5, &[0, 1], 2, 0),
            shape(150, 64, &[0, 1, 2, 3, 4, 5, 6], 7, 3),
            shape(129, 17, &[0, 1, 2], 3, 1),
            Shape {
                config: flat,
                ..shape(70, 4, &[0, 1, 2], 3, 1)
            },
            Shape {
                config: MmcLossConfig {
                    means: true,
                    ..config
                },
                ..shape(129, 17, &[2, 0, 1], 3, 1)
            },
        ]
    }

    #[test]
    fn the_operation_is_what_tensors_say() {
        let wishes: [Wish; 3] = [
            |loss| loss.total.clone(),
            |loss| loss.intra.clone() + loss.inter.clone().mul_scalar(3.0),
            |loss| loss.inter.clone() - loss.frobenius.clone() + loss.total.clone(),
        ];
        for shape in shapes() {
            for wish in wishes {
                let expected = all(tensors::forward, &shape, wish);
                for (found, expected) in all(cpu::forward, &shape, wish).iter().zip(&expected) {
                    assert_near(found, expected, &format!("{shape:?}"));
                }
            }
        }
    }

    #[test]
    fn both_hinges_are_tested_on_both_sides() {
        let values =
            |at: usize| all(cpu::forward, &shapes()[at], |loss| loss.total.clone()).remove(0);
        let [_, intra, inter, _] = values(5)[..] else {
            panic!("four numbers")
        };
        assert!(intra > 0.0 && inter > 0.0);
        assert_eq!(values(7)[1..3], [0.0, 0.0]);
    }

    #[test]
    fn threads_do_not_matter() {
        for shape in shapes() {
            assert_same_on_any_threads(|| all(cpu::forward, &shape, |loss| loss.total.clone()));
        }
    }

    #[test]
    fn a_row_that_is_no_number_shows() {
        let shape = &shapes()[3];
        let broken: Compute = |rows, metric, setting| {
            let scale = rows.zeros_like().log(); // -infinity
            cpu::forward(rows * (scale.clone() - scale), metric, setting)
        };
        assert!(all(broken, shape, |loss| loss.total.clone())[0][0].is_nan());
    }
}
