//! The distances as one operation on the CPU: blocks of rows, each against all centres.

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::cpu::forms::{ROWS, add_scaled, add_weighted_outer, doubled, measure};
use crate::operation::{Input, Tape, apply, input};

/// What [`super::distances`] says, for shapes that fit and are not 0 but for the number of rows.
pub(super) fn distances(rows: Tensor<2>, centers: Tensor<2>, metrics: Tensor<3>) -> Tensor<2> {
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
        let out = match record {
            true => run.forward_recorded(&doubled, count),
            false => run.forward(&doubled, count),
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
