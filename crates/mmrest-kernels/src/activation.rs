//! Activations: `exp`, `sigmoid`, `tanh` and the normal distribution for loops over `f32`, and GELU of a tensor.
//!
//! The functions of one `f32` have no calls and no branches, so the compiler turns loops over them into vector code.
//! Polynomials and constants are those of Cephes (Moshier, `expf.c`, `tanhf.c`) and, for the error function,
//! Abramowitz & Stegun 7.1.26. The tests give their errors.

use burn::prelude::*;
use rayon::prelude::*;

use crate::kernel;
use crate::operation::{Tape, apply, input};
use crate::scratch::Scratch;
use crate::vector::{BLOCK, vectorised};

/// e^x, to 2e-7 of it, for x within ±87; what lies beyond counts as the bound.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: added, it rounds to an integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut series = 1.987_569_1e-4;
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        series = series * rest + coefficient;
    }
    let scale = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    (series * rest * rest + rest + 1.0) * scale
}

/// 1 / (1 + e^-x), to 4e-7 of it.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// tanh x, to 2e-7 of it.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    let mut series = -5.704_988_7e-3;
    for coefficient in [2.063_909e-2, -5.373_971_5e-2, 0.133_314_42, -0.333_332_8] {
        series = series * square + coefficient;
    }
    let near = series * square * x + x;
    let far = (1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0)).copysign(x);
    if x.abs() < 0.625 { near } else { far }
}

/// tanh of every value.
///
/// ```
/// let mut values = [0.0, 1.0];
/// mmrest_kernels::activation::tanh_in_place(&mut values);
/// assert!(values[0] == 0.0 && (values[1] - 1.0_f32.tanh()).abs() < 1e-6);
/// ```
pub fn tanh_in_place(values: &mut [f32]) {
    vectorised(all_tanh, values);
}

kernel! {
    fn all_tanh(
        values: &mut [f32]
    ) {
        for value in values.iter_mut() {
            *value = tanh(*value);
        }
    }
}

/// Φ(x) and φ(x), distribution function and density of the standard normal distribution, to 3e-7.
#[inline(always)]
pub fn normal(x: f32) -> (f32, f32) {
    let near = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let mut series = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        series = series * near + coefficient;
    }
    let bell = exp(-0.5 * x * x);
    let beyond = 0.5 * series * near * bell;
    let below = if x < 0.0 { beyond } else { 1.0 - beyond };
    (below, 0.398_942_3 * bell)
}

/// GELU of every value, `x Φ(x)` (to 1e-6), in one pass; its derivative is `Φ(x) + x φ(x)`.
///
/// # Panics
///
/// On a tensor that [`takes`](crate::operation::takes) refuses.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let shape = x.dims();
    apply([input(x)], |[x], record| {
        let x = x.values();
        let mut out = vec![0.0; x.len()];
        if !record {
            out.par_chunks_mut(BLOCK)
                .zip(x.par_chunks(BLOCK))
                .for_each(|(out, x)| {
                    vectorised(gelu_values, (out, x));
                });
            return (out, shape, None);
        }
        let mut slope = Scratch::new(x.len());
        out.par_chunks_mut(BLOCK)
            .zip(slope.par_chunks_mut(BLOCK))
            .zip(x.par_chunks(BLOCK))
            .for_each(|((out, slope), x)| {
                vectorised(gelu_and_slopes, (out, slope, x));
            });
        (out, shape, Some(Slope(slope)))
    })
}

kernel! {
    fn gelu_values(
        (out, x): (&mut [f32], &[f32])
    ) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x * normal(*x).0;
        }
    }
}

kernel! {
    fn gelu_and_slopes(
        (out, slope, x): (&mut [f32], &mut [f32], &[f32])
    ) {
        for ((out, slope), x) in out.iter_mut().zip(slope).zip(x) {
            let (below, density) = normal(*x);
            *out = x * below;
            *slope = below + x * density;
        }
    }
}

#[derive(Clone, Debug)]
struct Slope(Scratch);

impl Tape<1> for Slope {
    fn backward(self, gradient: &[f32], _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        let mut out = vec![0.0; gradient.len()];
        out.par_chunks_mut(BLOCK)
            .zip(self.0.par_chunks(BLOCK))
            .zip(gradient.par_chunks(BLOCK))
            .for_each(|((out, slope), gradient)| {
                for (out, (slope, gradient)) in out.iter_mut().zip(slope.iter().zip(gradient)) {
                    *out = slope * gradient;
                }
            });
        [Some(out)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error of `found` relative to `expected` over the range.
    fn worst(range: f64, found: impl Fn(f32) -> f32, expected: impl Fn(f64) -> f64) -> f64 {
        let error = |step: i32| {
            let x = (f64::from(step) * range / 200_000.0) as f32;
            let exact = expected(f64::from(x));
            (f64::from(found(x)) - exact).abs() / exact.abs().max(1e-30)
        };
        (-200_000..=200_000).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn relative_errors_stay_below_a_millionth() {
        assert!(
            worst(86.0, exp, f64::exp) < 3e-7,
            "{}",
            worst(86.0, exp, f64::exp)
        );
        let exact = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(
            worst(80.0, sigmoid, exact) < 5e-7,
            "{}",
            worst(80.0, sigmoid, exact)
        );
        for range in [0.01, 1.0, 20.0] {
            assert!(
                worst(range, tanh, f64::tanh) < 5e-7,
                "{}",
                worst(range, tanh, f64::tanh)
            );
        }
    }

    /// Φ by its series, good within ±6.
    fn distribution(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    #[test]
    fn the_normal_distribution_is_right_to_a_millionth() {
        for step in -60_000..=60_000 {
            let x = (f64::from(step) / 1e4) as f32;
            let (below, density) = normal(x);
            let wide = f64::from(x);
            assert!((f64::from(below) - distribution(wide)).abs() < 3e-7, "{x}");
            let exact = (-0.5 * wide * wide).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(density) - exact).abs() < 1e-7, "{x}");
        }
        assert_eq!(normal(1e4), (1.0, normal(1e4).1));
        assert!(normal(-1e4).0.abs() < 1e-30 && normal(f32::NAN).1.is_nan());
    }

    #[test]
    fn the_ends_are_finite_and_nothing_becomes_something() {
        assert_eq!(sigmoid(1e9), 1.0);
        assert!(sigmoid(-1e9) < 1e-37);
        assert_eq!((tanh(1e9), tanh(-1e9), tanh(0.0)), (1.0, -1.0, 0.0));
        assert!(sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
    }
}
