//! Dropout of the joint values.

use burn::nn::Dropout;
use burn::tensor::{Device, Distribution, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Which joint values dropout keeps. Only the key is drawn from the device: each block of rows has random numbers of its
/// own, so that it need not wait for another, and the way back draws the same again.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    key: u64,
    /// Values whose number is below are dropped.
    threshold: u32,
    /// What values that are kept are multiplied with.
    scale: f32,
}

impl Mask {
    /// The next mask of a device. None where dropout does nothing: the conditions are those of [`Dropout::forward`].
    pub(super) fn draw(dropout: &Dropout, device: &Device) -> Option<Self> {
        if !dropout.training.is_enabled() || !device.is_autodiff() || dropout.prob == 0.0 {
            return None;
        }
        let sixteen_bits = Distribution::Uniform(0.0, 65_536.0);
        let drawn = Tensor::<1>::random([4], sixteen_bits, &device.clone().inner()).into_data();
        let key = drawn
            .iter::<f32>()
            .fold(0, |key, bits| key << 16 | (bits as u64 & 0xffff));
        Some(Self::new(key, dropout.prob))
    }

    fn new(key: u64, prob: f64) -> Self {
        Self {
            key,
            threshold: (prob * 4_294_967_296.0) as u32,
            scale: (1.0 / (1.0 - prob)) as f32,
        }
    }

    /// Multiplies the values of a block of rows, or their gradients, with 0 or `1 / (1 - p)`.
    pub(super) fn apply(&self, block: usize, values: &mut [f32]) {
        let mut random = ChaCha8Rng::seed_from_u64(self.key);
        random.set_stream(block as u64);
        for value in values {
            let kept = random.next_u32() >= self.threshold;
            *value *= if kept { self.scale } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_dropped_as_asked_by_masks_of_their_own() {
        let mask = |key, block| {
            let mut ones = vec![1.0; 50_000];
            Mask::new(key, 0.3).apply(block, &mut ones);
            ones
        };
        let dropped = |mask: &[f32]| mask.iter().filter(|&&factor| factor == 0.0).count();
        let one = mask(7, 0);
        assert_eq!(one, mask(7, 0));
        assert!(
            one.iter()
                .all(|&factor| factor == 0.0 || factor == 1.0 / 0.7)
        );
        for (key, block) in [(7, 0), (7, 1), (8, 0), (1 << 40, 0)] {
            let other = mask(key, block);
            let share = dropped(&other) as f64 / 50_000.0;
            assert!((share - 0.3).abs() < 0.01, "{share}");
            if (key, block) != (7, 0) {
                let both = one.iter().zip(&other).map(|(a, b)| a + b);
                let both = dropped(&both.collect::<Vec<f32>>()) as f64 / 50_000.0;
                assert!((both - 0.09).abs() < 0.01, "{both}");
            }
        }
    }
}
