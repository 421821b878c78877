//! Linear layers and tanh on slices, forward and back.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Some columns of a row-major matrix: its values, how many columns it has, and which are meant.
pub(super) struct Columns<'a>(
    pub(super) &'a [f32],
    pub(super) usize,
    pub(super) Range<usize>,
);

impl<'a> Columns<'a> {
    pub(super) fn matrix(&self) -> MatRef<'a, f32> {
        matrix(self.0, self.1).subcols(self.2.start, self.2.len())
    }

    /// The sum of each column.
    pub(super) fn sums(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.2.len()];
        for row in self.0.chunks_exact(self.1) {
            for (sum, value) in sums.iter_mut().zip(&row[self.2.clone()]) {
                *sum += value;
            }
        }
        sums
    }
}

/// A row-major matrix of so many columns.
pub(super) fn matrix(values: &[f32], columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(values, values.len() / columns, columns)
}

/// A row-major matrix of so many columns, to write to.
pub(super) fn matrix_mut(values: &mut [f32], columns: usize) -> MatMut<'_, f32> {
    let rows = values.len() / columns;
    MatMut::from_row_major_slice_mut(values, rows, columns)
}

pub(super) fn product(
    out: MatMut<'_, f32>,
    accumulate: Accum,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
) {
    matmul(out, accumulate, a, b, 1.0, Par::Seq);
}

/// `out = x W + b`.
pub(super) fn linear(out: &mut [f32], x: &[f32], (weight, bias): (&[f32], &[f32])) {
    let width = bias.len();
    for row in out.chunks_exact_mut(width) {
        row.copy_from_slice(bias);
    }
    let (out, weight) = (matrix_mut(out, width), matrix(weight, width));
    product(out, Accum::Add, matrix(x, weight.nrows()), weight);
}

/// `x- = s- W^T`.
pub(super) fn linear_back(out: &mut [f32], gradient: &[f32], (weight, bias): (&[f32], &[f32])) {
    let weight = matrix(weight, bias.len());
    let (out, gradient) = (
        matrix_mut(out, weight.nrows()),
        matrix(gradient, bias.len()),
    );
    product(out, Accum::Replace, gradient, weight.transpose());
}

/// tanh x, to 3e-7 of it: Lambert's continued fraction as far as x^2 / 13, at half of x, and the tanh of twice that.
pub(super) fn tanh(x: f32) -> f32 {
    let half = 0.5 * x.clamp(-10.0, 10.0);
    let square = half * half;
    let above = ((square + 378.0) * square + 17_325.0) * square + 135_135.0;
    let below = ((28.0 * square + 3150.0) * square + 62_370.0) * square + 135_135.0;
    let of_half = half * above / below;
    2.0 * of_half / (1.0 + of_half * of_half)
}

/// Multiplies gradients with the slopes of tanh, given its values.
pub(super) fn tanh_back(gradients: &mut [f32], values: &[f32]) {
    for (gradient, value) in gradients.iter_mut().zip(values) {
        *gradient *= 1.0 - value * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_right_to_a_millionth() {
        for step in -200_000..=200_000 {
            for range in [0.01, 1.0, 12.0] {
                let x = (f64::from(step) * range / 200_000.0) as f32;
                let exact = f64::from(x).tanh();
                let error = (f64::from(tanh(x)) - exact).abs();
                assert!(error <= 3e-7 * exact.abs(), "{x}: {}", tanh(x));
            }
        }
        assert_eq!(
            [tanh(1e9), tanh(f32::NEG_INFINITY), tanh(0.0)],
            [1.0, -1.0, 0.0]
        );
        assert!(tanh(f32::NAN).is_nan());
    }
}
