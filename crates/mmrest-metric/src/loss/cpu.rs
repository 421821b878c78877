//! `L_MMC` as one operation on the CPU.
//!
//! Both hinges are linear where they are not flat, so the forward pass, which has all distances at hand, already knows
//! the gradients up to a factor; the backward one multiplies and adds up.

use burn::tensor::Tensor;
use mmrest_kernels::operation::{Input, Tape, apply, input, takes};
use rayon::prelude::*;

use super::{FieldPairs, MmcLoss, Setting};
use crate::MultiMetric;
use crate::forms::{
    ROWS, add_outer, add_scaled, add_weighted_outer, dot, doubled, measure, product, subtract,
};

/// Whether [`forward`] can take these.
pub(super) fn fits(rows: &Tensor<2>, metric: &MultiMetric) -> bool {
    takes(rows) && takes(&metric.global.val()) && takes(&metric.local.val())
}

/// The loss of tensors that [`fits`] accepts.
pub(super) fn forward(rows: Tensor<2>, metric: &MultiMetric, setting: &Setting<'_>) -> MmcLoss {
    let inputs = [
        input(rows),
        input(metric.global.val()),
        input(metric.local.val()),
    ];
    let ridge = metric.ridge() as f32;
    let all: Tensor<1> = apply(inputs, |[rows, global, local], record| {
        let doubles = doubles(&global, &local, setting, ridge);
        let batch = Batch {
            rows: rows.values(),
            setting,
            doubles: &doubles,
        };
        let (inter, fields) = rayon::join(|| batch.inter(), || batch.fields());
        let intra: f64 = fields.iter().map(|field| field.hinge).sum();
        let squares = dot(global.values(), global.values());
        let divisors = setting.divisors();
        let sums = [intra as f32, inter.sum as f32, squares];
        let parts = [0, 1, 2].map(|part| sums[part] / divisors[part]);
        let weights = setting.weights();
        let total: f32 = parts.iter().zip(weights).map(|(part, w)| w * part).sum();
        let tape = record.then(|| Terms {
            rows,
            global,
            locals: local.values().len(),
            centers: setting.clusters.centers.clone(),
            which: setting.clusters.metric.clone(),
            fields: fields
                .into_iter()
                .filter(|field| field.hinge != 0.0)
                .collect(),
            inter,
            weights,
            divisors,
        });
        (vec![total, parts[0], parts[1], parts[2]], [4], tape)
    });
    let part = |at| all.clone().narrow(0, at, 1);
    MmcLoss {
        total: part(0),
        intra: part(1),
        inter: part(2),
        frobenius: part(3),
    }
}

/// `M_k + M_k^T` of each cluster's metric `M_0 + dM + ridge I`.
fn doubles(global: &Input, local: &Input, setting: &Setting<'_>, ridge: f32) -> Vec<f32> {
    let (dim, which) = (setting.clusters.dim, &setting.clusters.metric);
    let (global, local) = (global.values(), local.values());
    let size = dim * dim;
    let mut out = vec![0.0; which.len() * size];
    out.par_chunks_mut(size)
        .zip(which)
        .for_each(|(out, which)| {
            let local = &local[which * size..(which + 1) * size];
            let mut metric: Vec<f32> = global.iter().zip(local).map(|(a, b)| a + b).collect();
            for value in metric.iter_mut().step_by(dim + 1) {
                *value += ridge;
            }
            doubled(out, &metric, dim);
        });
    out
}

/// `max(0, x)`, and NaN where `x` is.
fn hinge(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// What the forward pass reads.
struct Batch<'a> {
    rows: &'a [f32],
    setting: &'a Setting<'a>,
    /// `M + M^T` of each cluster.
    doubles: &'a [f32],
}

/// The inter part.
#[derive(Clone, Debug)]
struct Inter {
    sum: f64,
    /// Its gradient by the distances: `[rows, clusters]`.
    shares: Vec<f32>,
    /// Its gradient by the rows.
    slopes: Vec<f32>,
}

/// A receptive field.
#[derive(Clone, Debug)]
struct Field {
    /// Its part of the intra sum, 0 where it is within the margin.
    hinge: f64,
    cluster: usize,
    rows: Vec<usize>,
    /// The rows `X` relative to the centre, `L X`, and the gradient by the rows, `L X (M + M^T)`.
    x: Vec<f32>,
    spread: Vec<f32>,
    slopes: Vec<f32>,
}

impl Batch<'_> {
    fn inter(&self) -> Inter {
        let (dim, clusters) = (self.setting.clusters.dim, self.setting.clusters.len());
        let mut shares = vec![0.0; self.setting.assignment.len() * clusters];
        let mut slopes = vec![0.0; self.rows.len()];
        let sums: Vec<f64> = self
            .rows
            .par_chunks(ROWS * dim)
            .zip(self.setting.assignment.par_chunks(ROWS))
            .zip(shares.par_chunks_mut(ROWS * clusters))
            .zip(slopes.par_chunks_mut(ROWS * dim))
            .map(|(((rows, own), shares), slopes)| self.inter_block(rows, own, shares, slopes))
            .collect();
        Inter {
            sum: sums.iter().sum(),
            shares,
            slopes,
        }
    }

    /// The sum of a block of rows; its gradients by their distances and by the rows.
    fn inter_block(
        &self,
        rows: &[f32],
        own: &[usize],
        shares: &mut [f32],
        slopes: &mut [f32],
    ) -> f64 {
        let clusters = self.setting.clusters;
        let (dim, count) = (clusters.dim, clusters.len());
        let mut differences = vec![0.0; rows.len()];
        let mut all_slopes = vec![0.0; count * rows.len()];
        let mut distances = Vec::with_capacity(count * own.len());
        for (cluster, slopes) in all_slopes.chunks_exact_mut(rows.len()).enumerate() {
            let doubled = &self.doubles[cluster * dim * dim..(cluster + 1) * dim * dim];
            let center = clusters.center(cluster);
            distances.extend(measure(rows, center, doubled, &mut differences, slopes));
        }
        let mut sum = 0.0;
        let rows = own.iter().zip(shares.chunks_exact_mut(count));
        for (row, ((&own_cluster, shares), slopes)) in
            rows.zip(slopes.chunks_exact_mut(dim)).enumerate()
        {
            let near = distances[own_cluster * own.len() + row];
            for other in (0..count).filter(|&other| other != own_cluster) {
                let margin = self.setting.margins[own_cluster * count + other];
                let above = hinge(near - distances[other * own.len() + row] + margin);
                if above != 0.0 {
                    sum += f64::from(above);
                    shares[own_cluster] += 1.0;
                    shares[other] = -1.0;
                }
            }
            for (cluster, share) in shares
                .iter()
                .enumerate()
                .filter(|(_, share)| **share != 0.0)
            {
                let at = (cluster * own.len() + row) * dim;
                add_scaled(slopes, *share, &all_slopes[at..at + dim]);
            }
        }
        sum
    }

    fn fields(&self) -> Vec<Field> {
        let fields = self.setting.pairs.par_iter();
        fields.map(|field| self.field(field)).collect()
    }

    /// `max(0, <L X, X M> + margin)`.
    fn field(&self, field: &FieldPairs<'_>) -> Field {
        let clusters = self.setting.clusters;
        let dim = clusters.dim;
        let members = field.rows.iter();
        let rows: Vec<f32> = members
            .flat_map(|row| &self.rows[row * dim..(row + 1) * dim])
            .copied()
            .collect();
        let (mut x, mut spread, mut slopes) = (rows.clone(), rows.clone(), rows.clone());
        subtract(&mut x, &rows, clusters.center(field.cluster));
        product(&mut spread, &field.laplacian, &x, field.rows.len(), dim);
        let doubled = &self.doubles[field.cluster * dim * dim..(field.cluster + 1) * dim * dim];
        product(&mut slopes, &spread, doubled, dim, dim);
        let sum = 0.5 * dot(&x, &slopes) + self.setting.config.margin as f32;
        Field {
            hinge: f64::from(hinge(sum)),
            cluster: field.cluster,
            rows: field.rows.to_vec(),
            x,
            spread,
            slopes,
        }
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Terms {
    rows: Input,
    global: Input,
    /// How many numbers the local metrics have.
    locals: usize,
    centers: Vec<f32>,
    /// The local metric of each cluster.
    which: Vec<usize>,
    /// Those that are not within the margin.
    fields: Vec<Field>,
    inter: Inter,
    weights: [f32; 3],
    divisors: [f32; 3],
}

impl Terms {
    fn of_rows(&self, intra: f32, inter: f32, dim: usize) -> Vec<f32> {
        let slopes = self.inter.slopes.iter();
        let mut out: Vec<f32> = slopes.map(|slope| inter * slope).collect();
        for field in &self.fields {
            for (row, slope) in field.rows.iter().zip(field.slopes.chunks_exact(dim)) {
                add_scaled(&mut out[row * dim..(row + 1) * dim], intra, slope);
            }
        }
        out
    }

    /// By the metric of each cluster.
    fn of_metrics(&self, intra: f32, inter: f32, dim: usize) -> Vec<f32> {
        let clusters = self.which.len();
        let mut out = vec![0.0; clusters * dim * dim];
        out.par_chunks_mut(dim * dim)
            .zip(self.centers.par_chunks(dim))
            .enumerate()
            .for_each(|(cluster, (out, center))| {
                let shares = self.inter.shares.iter().skip(cluster).step_by(clusters);
                let weights = shares.map(|share| inter * share);
                add_weighted_outer(out, self.rows.values(), center, weights);
                for field in self.fields.iter().filter(|field| field.cluster == cluster) {
                    add_outer(out, intra, &field.x, &field.spread, dim);
                }
            });
        out
    }

    fn of_global(&self, metrics: &[f32], frobenius: f32) -> Vec<f32> {
        let global = self.global.values().iter();
        let mut out: Vec<f32> = global.map(|value| 2.0 * frobenius * value).collect();
        for metric in metrics.chunks_exact(out.len()) {
            add_scaled(&mut out, 1.0, metric);
        }
        out
    }

    fn of_local(&self, metrics: Vec<f32>, size: usize) -> Vec<f32> {
        if self.which.iter().copied().eq(0..self.locals / size) {
            return metrics;
        }
        let mut out = vec![0.0; self.locals];
        for (metric, which) in metrics.chunks_exact(size).zip(&self.which) {
            add_scaled(&mut out[which * size..(which + 1) * size], 1.0, metric);
        }
        out
    }
}

impl Tape<3> for Terms {
    fn backward(self, gradient: &[f32], wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let dim = self.centers.len() / self.which.len();
        // Of each part, from that of the total and its own.
        let of = |part: usize| {
            (gradient[0] * self.weights[part] + gradient[1 + part]) / self.divisors[part]
        };
        let [intra, inter, frobenius] = [of(0), of(1), of(2)];
        let rows = wanted[0].then(|| self.of_rows(intra, inter, dim));
        if !wanted[1] && !wanted[2] {
            return [rows, None, None];
        }
        let metrics = self.of_metrics(intra, inter, dim);
        let global = wanted[1].then(|| self.of_global(&metrics, frobenius));
        let local = wanted[2].then(|| self.of_local(metrics, dim * dim));
        [rows, global, local]
    }
}
