//! Squared Mahalanobis distances between rows and centres, each centre under its own metric.

use burn::tensor::Tensor;
use mmrest_kernels::operation::{Input, Tape, apply, input, takes};
use rayon::prelude::*;

use crate::forms::{ROWS, add_scaled, add_weighted_outer, doubled, measure};

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
        in_one_operation(rows, centers, metrics)
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

/// The distances as one operation on the CPU: blocks of rows, each against all centres. Shapes must fit, and only the
/// number of rows may be 0.
fn in_one_operation(rows: Tensor<2>, centers: Tensor<2>, metrics: Tensor<3>) -> Tensor<2> {
    let [count, dim] = rows.dims();
    let clusters = centers.dims()[0];
    let inputs = [input(rows), input(centers), input(metrics)];
    apply(inputs, |[rows, centers, metrics], record| {
        let mut run = Distances {
            rows,
            centers,
            dim,
            clusters,
            slopes: Vec::new(),
        };
        let doubled = doubles(metrics.values(), dim);
        let out = if record {
            run.forward_recorded(&doubled, count)
        } else {
            run.forward(&doubled, count)
        };
        (out, [count, clusters], record.then_some(run))
    })
}

/// `M + M^T` of each metric.
fn doubles(metrics: &[f32], dim: usize) -> Vec<f32> {
    let mut out = vec![0.0; metrics.len()];
    out.par_chunks_mut(dim * dim)
        .zip(metrics.par_chunks(dim * dim))
        .for_each(|(out, metric)| doubled(out, metric, dim));
    out
}

#[derive(Clone, Debug)]
struct Distances {
    rows: Input,
    centers: Input,
    dim: usize,
    clusters: usize,
    /// `(p - c) (M + M^T)`: block by block of rows, in a block cluster by cluster.
    slopes: Vec<f32>,
}

impl Distances {
    fn forward(&self, doubled: &[f32], count: usize) -> Vec<f32> {
        let mut out = vec![0.0; count * self.clusters];
        let block = ROWS * self.dim;
        out.par_chunks_mut(ROWS * self.clusters)
            .zip(self.rows.values().par_chunks(block))
            .for_each(|(out, rows)| {
                let mut slopes = vec![0.0; rows.len()];
                self.forward_block(doubled, rows, out, |_| 0, &mut slopes);
            });
        out
    }

    /// The same, keeping the slopes.
    fn forward_recorded(&mut self, doubled: &[f32], count: usize) -> Vec<f32> {
        let mut out = vec![0.0; count * self.clusters];
        let mut slopes = vec![0.0; count * self.clusters * self.dim];
        let block = ROWS * self.dim;
        out.par_chunks_mut(ROWS * self.clusters)
            .zip(slopes.par_chunks_mut(block * self.clusters))
            .zip(self.rows.values().par_chunks(block))
            .for_each(|((out, slopes), rows)| {
                self.forward_block(doubled, rows, out, |cluster| cluster * rows.len(), slopes);
            });
        self.slopes = slopes;
        out
    }

    /// Distances of a block of rows; the slopes of cluster k go to `slopes[place(k)..]`.
    fn forward_block(
        &self,
        doubled: &[f32],
        rows: &[f32],
        out: &mut [f32],
        place: impl Fn(usize) -> usize,
        slopes: &mut [f32],
    ) {
        let dim = self.dim;
        let mut differences = vec![0.0; rows.len()];
        let centers = self.centers.values().chunks_exact(dim);
        let forms = centers.zip(doubled.chunks_exact(dim * dim));
        for (cluster, (center, doubled)) in forms.enumerate() {
            let at = place(cluster);
            let slopes = &mut slopes[at..at + rows.len()];
            let distances = measure(rows, center, doubled, &mut differences, slopes);
            for (out, distance) in out.chunks_exact_mut(self.clusters).zip(distances) {
                out[cluster] = distance;
            }
        }
    }

    /// The slopes of one cluster, row by row.
    fn slopes_of(&self, cluster: usize) -> impl Iterator<Item = &[f32]> {
        let block = ROWS * self.dim * self.clusters;
        self.slopes.chunks(block).flat_map(move |block| {
            let size = block.len() / self.clusters;
            block[cluster * size..(cluster + 1) * size].chunks_exact(self.dim)
        })
    }

    /// The gradients of the distances from one centre.
    fn column<'a>(&self, gradient: &'a [f32], cluster: usize) -> impl Iterator<Item = f32> + 'a {
        gradient
            .iter()
            .skip(cluster)
            .step_by(self.clusters)
            .copied()
    }

    fn of_rows(&self, gradient: &[f32]) -> Vec<f32> {
        let (dim, clusters) = (self.dim, self.clusters);
        let mut out = vec![0.0; self.rows.values().len()];
        out.par_chunks_mut(ROWS * dim)
            .zip(gradient.par_chunks(ROWS * clusters))
            .zip(self.slopes.par_chunks(ROWS * dim * clusters))
            .for_each(|((out, gradient), slopes)| {
                for (cluster, slopes) in slopes.chunks_exact(out.len()).enumerate() {
                    let rows = out.chunks_exact_mut(dim).zip(slopes.chunks_exact(dim));
                    for ((out, slope), weight) in rows.zip(self.column(gradient, cluster)) {
                        add_scaled(out, weight, slope);
                    }
                }
            });
        out
    }

    fn of_centers(&self, gradient: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.clusters * self.dim];
        let centers = out.par_chunks_mut(self.dim).enumerate();
        centers.for_each(|(cluster, out)| {
            let weights = self.column(gradient, cluster);
            for (slope, weight) in self.slopes_of(cluster).zip(weights) {
                add_scaled(out, -weight, slope);
            }
        });
        out
    }

    fn of_metrics(&self, gradient: &[f32]) -> Vec<f32> {
        let dim = self.dim;
        let mut out = vec![0.0; self.clusters * dim * dim];
        out.par_chunks_mut(dim * dim)
            .zip(self.centers.values().par_chunks(dim))
            .enumerate()
            .for_each(|(cluster, (out, center))| {
                let weights = self.column(gradient, cluster);
                add_weighted_outer(out, self.rows.values(), center, weights);
            });
        out
    }
}

impl Tape<3> for Distances {
    fn backward(self, gradient: &[f32], wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        [
            wanted[0].then(|| self.of_rows(gradient)),
            wanted[1].then(|| self.of_centers(gradient)),
            wanted[2].then(|| self.of_metrics(gradient)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use mmrest_testing::{assert_near, assert_same_on_any_threads, host, leaf};

    type Compute = fn(Tensor<2>, Tensor<2>, Tensor<3>) -> Tensor<2>;

    /// The distances and the gradients of a weighted sum of them by rows, centres and metrics.
    fn all(compute: Compute, [count, clusters, dim]: [usize; 3]) -> Vec<Vec<f32>> {
        let rows = leaf([count, dim], 1);
        let centers = leaf([clusters, dim], 2);
        let metrics = leaf([clusters, dim, dim], 3);
        let d = compute(rows.clone(), centers.clone(), metrics.clone());
        let weights = leaf([count, clusters], 4).detach();
        let gradients = (d.clone() * weights).sum().backward();
        vec![
            host(d),
            host(rows.grad(&gradients).unwrap()),
            host(centers.grad(&gradients).unwrap()),
            host(metrics.grad(&gradients).unwrap()),
        ]
    }

    const SHAPES: [[usize; 3]; 6] = [
        [1, 1, 1],
        [1, 4, 3],
        [7, 1, 3],
        [64, 2, 5],
        [150, 7, 64],
        [129, 3, 17],
    ];

    #[test]
    fn the_operation_is_what_tensors_say() {
        for shape in SHAPES {
            let expected = all(by_tensors, shape);
            for (found, expected) in all(in_one_operation, shape).iter().zip(&expected) {
                assert_near(found, expected, &format!("{shape:?}"));
            }
            let [count, clusters, dim] = shape;
            let plain = in_one_operation(
                leaf([count, dim], 1).inner(),
                leaf([clusters, dim], 2).inner(),
                leaf([clusters, dim, dim], 3).inner(),
            );
            assert_eq!(host(plain), all(in_one_operation, shape)[0]);
        }
    }

    #[test]
    fn gradients_are_slopes() {
        let [count, clusters, dim] = [5, 2, 3];
        let values = [
            host(leaf([count, dim], 1)),
            host(leaf([clusters, dim], 2)),
            host(leaf([clusters, dim, dim], 3)),
        ]
        .map(|values| values.into_iter().map(f64::from).collect::<Vec<_>>());
        let weights = host(leaf([count, clusters], 4));
        let total = |[rows, centers, metrics]: &[Vec<f64>; 3]| {
            let mut sum = 0.0;
            for n in 0..count {
                for k in 0..clusters {
                    let x = |i: usize| rows[n * dim + i] - centers[k * dim + i];
                    for i in 0..dim {
                        for j in 0..dim {
                            let weight = f64::from(weights[n * clusters + k]);
                            sum += weight * x(i) * metrics[(k * dim + i) * dim + j] * x(j);
                        }
                    }
                }
            }
            sum
        };
        let found = all(in_one_operation, [count, clusters, dim]);
        for (which, found) in found[1..].iter().enumerate() {
            let slope = |at: usize| {
                let [up, down] = [1e-4, -1e-4].map(|step| {
                    let mut moved = values.clone();
                    moved[which][at] += step;
                    total(&moved)
                });
                ((up - down) / 2e-4) as f32
            };
            let slopes: Vec<f32> = (0..found.len()).map(slope).collect();
            assert_near(found, &slopes, &format!("input {which}"));
        }
    }

    #[test]
    fn threads_do_not_matter() {
        assert_same_on_any_threads(|| all(in_one_operation, [300, 5, 33]));
    }

    #[test]
    fn no_rows_are_fine() {
        for [count, clusters, dim] in [[0, 3, 2], [0, 1, 1]] {
            let d = distances(
                leaf([count, dim], 1),
                leaf([clusters, dim], 2),
                leaf([clusters, dim, dim], 3),
            );
            assert_eq!(d.dims(), [count, clusters]);
        }
    }
}
