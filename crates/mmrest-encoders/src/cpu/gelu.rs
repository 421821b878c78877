//! GELU, x Φ(x), and its derivative Φ(x) + x φ(x), in one pass.

use burn::prelude::*;
use rayon::prelude::*;

use super::math::{kernel, normal, vectorised};
use super::operation::{Tape, apply, input};
use super::scratch::Scratch;

/// Values that one thread takes at a time.
const BLOCK: usize = 1 << 14;

/// GELU of every value, with the error function (to 1e-6).
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let shape = x.dims();
    apply([input(x)], |[x], record| {
        let x = x.values();
        let mut out = vec![0.0; x.len()];
        if !record {
            out.par_chunks_mut(BLOCK)
                .zip(x.par_chunks(BLOCK))
                .for_each(|(out, x)| {
                    vectorised(values, (out, x));
                });
            return (out, shape, None);
        }
        let mut slope = Scratch::new(x.len());
        out.par_chunks_mut(BLOCK)
            .zip(slope.par_chunks_mut(BLOCK))
            .zip(x.par_chunks(BLOCK))
            .for_each(|((out, slope), x)| {
                vectorised(values_and_slopes, (out, slope, x));
            });
        (out, shape, Some(Slope(slope)))
    })
}

kernel! {
    fn values(
        (out, x): (&mut [f32], &[f32])
    ) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x * normal(*x).0;
        }
    }
}

kernel! {
    fn values_and_slopes(
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
