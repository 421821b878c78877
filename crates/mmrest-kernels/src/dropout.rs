//! Dropout masks without a stream of random numbers: whether a value is kept is a function of a key and its place.
//!
//! The key is drawn from the device, so the device's seed decides every mask; backward computes the mask again instead
//! of keeping it. The function is twice Chris Wellons' `lowbias32`, a bijection of 32 bits whose every output bit depends
//! on every input bit, with one half of the key before each.

use burn::nn::Dropout;
use burn::prelude::*;
use burn::tensor::Distribution;
use rayon::prelude::*;

use crate::kernel;
use crate::operation::{Tape, apply, input};
use crate::vector::{BLOCK, vectorised};

/// Which values one application of dropout keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    key: [u32; 2],
    /// Values whose number is below are dropped.
    threshold: u32,
    /// What values that are kept are multiplied with.
    scale: f32,
}

impl Mask {
    /// The next mask of a device; none where dropout does nothing, as in evaluation.
    #[must_use]
    pub fn draw(dropout: &Dropout, device: &Device) -> Option<Self> {
        if !is_active(dropout, device) {
            return None;
        }
        let sixteen_bits = Distribution::Uniform(0.0, 65_536.0);
        let drawn = Tensor::<1>::random([4], sixteen_bits, &device.clone().inner()).into_data();
        let mut bits = drawn.iter::<f32>().map(|value| value as u32 & 0xffff);
        let mut word = || bits.next().unwrap_or(0) << 16 | bits.next().unwrap_or(0);
        Some(Self::new([word(), word()], dropout.prob))
    }

    fn new(key: [u32; 2], prob: f64) -> Self {
        Self {
            key,
            threshold: (prob * 4_294_967_296.0) as u32,
            scale: (1.0 / (1.0 - prob)) as f32,
        }
    }

    /// What the value at a place is multiplied with: 0, or 1 / (1 - p).
    #[must_use]
    #[inline(always)]
    pub fn factor(&self, place: u32) -> f32 {
        let number = mix(mix(place ^ self.key[0]).wrapping_add(self.key[1]));
        if number < self.threshold {
            0.0
        } else {
            self.scale
        }
    }
}

#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Whether dropout does anything: in training, on a device with autodiff. The conditions are those of [`Dropout::forward`].
#[must_use]
pub fn is_active(dropout: &Dropout, device: &Device) -> bool {
    dropout.training.is_enabled() && device.is_autodiff() && dropout.prob != 0.0
}

/// Dropout of a tensor by a mask, or the tensor itself without one.
///
/// # Panics
///
/// On a tensor that [`takes`](crate::operation::takes) refuses.
#[must_use]
pub fn dropout(x: Tensor<2>, mask: Option<Mask>) -> Tensor<2> {
    let Some(mask) = mask else { return x };
    let shape = x.dims();
    apply([input(x)], |[x], record| {
        let tape = record.then_some(Dropped(mask));
        (dropped(x.values(), mask), shape, tape)
    })
}

#[derive(Clone, Debug)]
struct Dropped(Mask);

impl Tape<1> for Dropped {
    fn backward(self, gradient: &[f32], _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        [Some(dropped(gradient, self.0))]
    }
}

/// Values, or their gradients, after dropout by a mask; the first is at place 0.
#[must_use]
pub fn dropped(values: &[f32], mask: Mask) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(BLOCK)
        .zip(values.par_chunks(BLOCK))
        .enumerate()
        .for_each(|(index, (out, values))| {
            vectorised(drop_values, (out, values, mask, index * BLOCK));
        });
    out
}

/// Multiplies values, or their gradients, with 0 or 1 / (1 - p); the first is at place `at`.
pub fn drop_in_place(values: &mut [f32], mask: Mask, at: usize) {
    vectorised(drop_all, (values, mask, at));
}

kernel! {
    fn drop_all(
        (values, mask, at): (&mut [f32], Mask, usize)
    ) {
        for (value, place) in values.iter_mut().zip(at as u32..) {
            *value *= mask.factor(place);
        }
    }
}

kernel! {
    /// Dropout; `at` is the place of the first value.
    pub fn drop_values(
        (out, values, mask, at): (&mut [f32], &[f32], Mask, usize)
    ) {
        for ((out, value), place) in out.iter_mut().zip(values).zip(at as u32..) {
            *out = value * mask.factor(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::DropoutConfig;

    #[test]
    fn as_many_are_dropped_as_asked_and_neighbours_do_not_care() {
        for (prob, key) in [(0.1, [0, 0]), (0.5, [1, 2]), (0.1, [0xdead_beef, 7])] {
            let mask = Mask::new(key, prob);
            let dropped: Vec<f64> = (0..200_000)
                .map(|place| f64::from(u8::from(mask.factor(place) == 0.0)))
                .collect();
            let share = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 200_000.0;
            let one = share(&mut dropped.iter().copied());
            assert!((one - prob).abs() < 0.004, "{one}");
            for step in [1, 2, 32, 384] {
                let pairs = dropped.iter().zip(&dropped[step..]);
                let both = share(&mut pairs.map(|(a, b)| a * b));
                assert!((both - prob * prob).abs() < 0.004, "{both} at {step}");
            }
        }
    }

    #[test]
    fn masks_of_different_keys_are_independent() {
        let (a, b) = (Mask::new([1, 5], 0.5), Mask::new([2, 5], 0.5));
        let same = (0..100_000)
            .filter(|p| a.factor(*p) == b.factor(*p))
            .count();
        assert!((48_500..51_500).contains(&same), "{same}");
    }

    #[test]
    fn evaluation_draws_no_mask() {
        let dropout = DropoutConfig::new(0.1).init();
        assert!(Mask::draw(&dropout, &Device::flex()).is_none());
        assert!(Mask::draw(&dropout, &Device::flex().autodiff()).is_some());
        let none = DropoutConfig::new(0.0).init();
        assert!(Mask::draw(&none, &Device::flex().autodiff()).is_none());
    }
}
