//! Random numbers that are identical on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is for. Streams are independent: changing what one part draws changes no other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Folds,
    Sentiment,
    Text,
    Timing,
    Face,
    Voice,
    Flaws,
    Emotions,
    Counts,
}

/// A seeded stream of random numbers.
pub(super) struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream for one purpose within video `index`.
    pub(super) fn new(seed: u64, purpose: Purpose, index: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(((purpose as u64) << 32) | index as u64);
        Self(rng)
    }

    /// Uniform in [0, 1), a multiple of 2^-32.
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// Uniform in [low, high).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in low..high.
    pub(super) fn whole(&mut self, low: u32, high: u32) -> u32 {
        let span = u64::from(high.saturating_sub(low));
        // The product's upper half is below `span`, so it fits.
        low + ((u64::from(self.0.next_u32()) * span) >> 32) as u32
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Mean 0, variance 1, nearly normal: twelve uniform numbers less six (Irwin-Hall), which needs no logarithm.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Mean 0, variance 1, roughly normal: the sum of the four bytes of one word, standardised. A twelfth of the cost of
    /// [`normal`](Self::normal), for features by the thousand million.
    pub(super) fn rough(&mut self) -> f64 {
        let bytes = self.0.next_u32().to_le_bytes();
        let sum: u32 = bytes.into_iter().map(u32::from).sum();
        // Four uniform bytes: mean 510, variance 4 (256^2 - 1) / 12.
        (f64::from(sum) - 510.0) / 147.8
    }

    /// An index below `count`; 0 for none.
    pub(super) fn index(&mut self, count: usize) -> usize {
        self.whole(0, u32::try_from(count).unwrap_or(u32::MAX)) as usize
    }

    /// One of `choices`.
    pub(super) fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        const { assert!(N > 0) }
        choices[self.index(N)]
    }

    /// Fisher-Yates.
    pub(super) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        let mut noise = Noise::new(7, Purpose::Text, 3);
        let drawn: Vec<u32> = (0..4).map(|_| noise.whole(0, 1000)).collect();
        assert_eq!(drawn, [764, 762, 85, 846]);
    }

    #[test]
    fn normal_and_rough_have_unit_variance() {
        for draw in [Noise::normal, Noise::rough] {
            let mut noise = Noise::new(1, Purpose::Face, 0);
            let drawn: Vec<f64> = (0..20_000).map(|_| draw(&mut noise)).collect();
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 20_000.0;
            assert!(
                mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04,
                "{mean} {variance}"
            );
        }
    }
}
