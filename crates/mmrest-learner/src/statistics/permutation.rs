//! The paired permutation test.

use rand::Rng;
use rayon::prelude::*;

use super::spread::Spread;
use mmrest_models::seed;

/// Purpose of the generator of sign flips.
const FLIPS: u64 = 101;
/// How far a mean may fall short of the observed one, as a share of it, and count as no smaller: sums round.
const SLACK: f64 = 1e-12;

/// A two-sided paired permutation test of whether the mean of paired differences is 0.
///
/// Under the hypothesis each difference is as likely as its opposite. The signs are flipped at random `draws` times, and
/// p = (1 + draws whose mean is at least as far from 0) / (1 + draws) (Phipson and Smyth 2010).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignFlips {
    /// Random flips of all signs.
    pub draws: usize,
    /// Seed of the flips.
    pub seed: u64,
}

impl Default for SignFlips {
    fn default() -> Self {
        Self {
            draws: 10_000,
            seed: 1,
        }
    }
}

/// The outcome of a paired test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedTest {
    /// Mean of the differences.
    pub difference: f64,
    /// The probability of a mean at least as far from 0, were there no difference.
    pub p: f64,
    /// Cohen's d_z: the mean of the differences divided by their standard deviation; NaN where they do not vary.
    pub effect: f64,
}

impl SignFlips {
    /// Tests `one - other`, pair by pair; none without pairs or where their numbers differ.
    ///
    /// ```
    /// use mmrest_learner::statistics::SignFlips;
    ///
    /// let worse = [0.9, 0.8, 1.1, 0.7, 1.0, 0.9, 1.2, 0.6];
    /// let better = [0.5, 0.4, 0.8, 0.2, 0.7, 0.5, 0.9, 0.3];
    /// let test = SignFlips::default().test(&worse, &better).unwrap();
    /// assert!(test.difference > 0.3 && test.p < 0.02 && test.effect > 1.0);
    /// ```
    pub fn test(&self, one: &[f64], other: &[f64]) -> Option<PairedTest> {
        if one.is_empty() || one.len() != other.len() {
            return None;
        }
        let pairs = one.iter().zip(other);
        let differences: Vec<f64> = pairs.map(|(one, other)| one - other).collect();
        let spread = Spread::of(&differences);
        let observed = differences.iter().sum::<f64>().abs();
        let least = observed * (1.0 - SLACK);
        let draws = (0..self.draws).into_par_iter();
        let as_far = draws.filter(|&draw| self.flipped(&differences, draw).abs() >= least);
        let as_far = as_far.count();
        Some(PairedTest {
            difference: spread.mean,
            p: (1 + as_far) as f64 / (1 + self.draws) as f64,
            effect: if spread.sd > 0.0 {
                spread.mean / spread.sd
            } else {
                f64::NAN
            },
        })
    }

    /// The sum of the differences under one draw of signs.
    fn flipped(&self, differences: &[f64], draw: usize) -> f64 {
        let mut rng = seed::rng(self.seed, &[FLIPS, draw as u64]);
        let mut sum = 0.0;
        for block in differences.chunks(64) {
            let mut signs: u64 = rng.next_u64();
            for &difference in block {
                sum += match signs & 1 {
                    0 => difference,
                    _ => -difference,
                };
                signs >>= 1;
            }
        }
        sum
    }
}
