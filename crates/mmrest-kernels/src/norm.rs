//! `LayerNorm(residual + dropout(x))` as one operation.
//!
//! With n the normalised row, s its inverse deviation and a dash for the gradient of the loss:
//! `n- = y- gamma`, and the sum's gradient is `s (n- - mean(n-) - n mean(n- n))` (Ba, Kiros & Hinton, 2016).

use burn::nn::LayerNorm;
use burn::prelude::*;
use rayon::prelude::*;

use crate::dropout::{Mask, dropped};
use crate::kernel;
use crate::operation::{Input, Tape, apply, input};
use crate::scratch::Scratch;
use crate::vector::vectorised;

/// Rows that one thread takes at a time.
const ROWS: usize = 64;

/// `LayerNorm(residual + dropout(x))` row by row, `[rows, width]`; `epsilon` is that of the norm.
///
/// # Panics
///
/// On shapes that do not fit, and tensors that [`takes`](crate::operation::takes) refuses.
#[must_use]
pub fn residual_norm(
    residual: Tensor<2>,
    x: Tensor<2>,
    mask: Option<Mask>,
    norm: &LayerNorm,
    epsilon: f64,
) -> Tensor<2> {
    let [rows, width] = x.dims();
    let gamma = norm.gamma.val();
    let beta = match &norm.beta {
        Some(beta) => beta.val(),
        None => Tensor::zeros([width], &x.device()),
    };
    let inputs = [input(residual), input(x), input(gamma), input(beta)];
    apply(inputs, |[residual, x, gamma, beta], record| {
        let mut run = Norm {
            width,
            mask,
            normal: Scratch::new(rows * width),
            scales: Scratch::new(rows),
            gamma,
        };
        let out = run.forward([&residual, &x, &beta], epsilon as f32);
        (out, [rows, width], record.then_some(run))
    })
}

#[derive(Clone, Debug)]
struct Norm {
    width: usize,
    mask: Option<Mask>,
    /// Rows with mean 0 and variance 1, and the inverse of the deviation they had.
    normal: Scratch,
    scales: Scratch,
    gamma: Input,
}

impl Norm {
    fn forward(&mut self, [residual, x, beta]: [&Input; 3], epsilon: f32) -> Vec<f32> {
        let (width, mask) = (self.width, self.mask);
        let (gamma, beta) = (self.gamma.values(), beta.values());
        let mut out = vec![0.0; self.normal.len()];
        let block = ROWS * width;
        out.par_chunks_mut(block)
            .zip(self.normal.par_chunks_mut(block))
            .zip(self.scales.par_chunks_mut(ROWS))
            .zip(residual.values().par_chunks(block))
            .zip(x.values().par_chunks(block))
            .enumerate()
            .for_each(|(index, ((((out, normal), scales), residual), x))| {
                vectorised(add, (normal, residual, x, mask, index * block));
                vectorised(forward_rows, (out, normal, scales, gamma, beta, epsilon));
            });
        out
    }
}

impl Tape<4> for Norm {
    fn backward(self, gradient: &[f32], wanted: [bool; 4]) -> [Option<Vec<f32>>; 4] {
        let (width, gamma) = (self.width, self.gamma.values());
        let block = ROWS * width;
        let mut residual = vec![0.0; gradient.len()];
        let sums: Vec<[Vec<f32>; 2]> = residual
            .par_chunks_mut(block)
            .zip(gradient.par_chunks(block))
            .zip(self.normal.par_chunks(block))
            .zip(self.scales.par_chunks(ROWS))
            .map(|(((out, gradient), normal), scales)| {
                let mut sums = [vec![0.0; width], vec![0.0; width]];
                vectorised(
                    backward_rows,
                    (out, gradient, normal, gamma, scales, &mut sums),
                );
                sums
            })
            .collect();
        let total = |part: usize| {
            let mut total = vec![0.0; width];
            for sums in &sums {
                for (total, sum) in total.iter_mut().zip(&sums[part]) {
                    *total += sum;
                }
            }
            total
        };
        let x = wanted[1].then(|| match self.mask {
            Some(mask) => dropped(&residual, mask),
            None => residual.clone(),
        });
        let gamma = wanted[2].then(|| total(0));
        let beta = wanted[3].then(|| total(1));
        [wanted[0].then_some(residual), x, gamma, beta]
    }
}

kernel! {
    /// Normalises rows in place and gives them scale and shift in `out`.
    fn forward_rows(
        (out, normal, scales, gamma, beta, epsilon): (&mut [f32], &mut [f32], &mut [f32], &[f32], &[f32], f32)
    ) {
        let width = gamma.len();
        let rows = out.chunks_exact_mut(width).zip(normal.chunks_exact_mut(width));
        for ((out, normal), scale) in rows.zip(scales) {
            *scale = normalise(normal, epsilon);
            for ((out, normal), (gamma, beta)) in
                out.iter_mut().zip(normal).zip(gamma.iter().zip(beta))
            {
                *out = *normal * gamma + beta;
            }
        }
    }
}

kernel! {
    /// Gradients of rows, and the sums that are those of scale and shift.
    fn backward_rows(
        (out, gradient, normal, gamma, scales, sums): (&mut [f32], &[f32], &[f32], &[f32], &[f32], &mut [Vec<f32>; 2])
    ) {
        let width = gamma.len();
        let [by_gamma, by_beta] = sums;
        let rows = gradient.chunks_exact(width).zip(normal.chunks_exact(width));
        for ((out, (gradient, normal)), scale) in out.chunks_exact_mut(width).zip(rows).zip(scales) {
            backward_row(out, gradient, normal, gamma, *scale);
            let sums = by_gamma.iter_mut().zip(by_beta.iter_mut());
            for ((by_gamma, by_beta), (gradient, normal)) in sums.zip(gradient.iter().zip(normal)) {
                *by_gamma += gradient * normal;
                *by_beta += gradient;
            }
        }
    }
}

kernel! {
    /// `residual + dropout(x)`; `at` is the place of the first value.
    fn add(
        (out, residual, x, mask, at): (&mut [f32], &[f32], &[f32], Option<Mask>, usize)
    ) {
        let values = out.iter_mut().zip(residual.iter().zip(x));
        match mask {
            Some(mask) => {
                for ((out, (residual, x)), place) in values.zip(at as u32..) {
                    *out = residual + x * mask.factor(place);
                }
            }
            None => {
                for (out, (residual, x)) in values {
                    *out = residual + x;
                }
            }
        }
    }
}

/// Brings a row to mean 0 and variance 1; gives the inverse of its deviation.
#[inline(always)]
fn normalise(row: &mut [f32], epsilon: f32) -> f32 {
    let count = row.len() as f32;
    let mean = sum(row, |value| value) / count;
    for value in row.iter_mut() {
        *value -= mean;
    }
    let scale = 1.0 / (sum(row, |value| value * value) / count + epsilon).sqrt();
    for value in row.iter_mut() {
        *value *= scale;
    }
    scale
}

#[inline(always)]
fn backward_row(out: &mut [f32], gradient: &[f32], normal: &[f32], gamma: &[f32], scale: f32) {
    for (out, (gradient, gamma)) in out.iter_mut().zip(gradient.iter().zip(gamma)) {
        *out = gradient * gamma;
    }
    let count = out.len() as f32;
    let mean = sum(out, |value| value) / count;
    let along = dot(out, normal) / count;
    for (out, normal) in out.iter_mut().zip(normal) {
        *out = scale * (*out - mean - normal * along);
    }
}

/// Sums in as many lanes as vectors have: a single running sum could not be vectorised.
const LANES: usize = 16;

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane += of(*value);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|value| of(*value)).sum::<f32>()
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}
