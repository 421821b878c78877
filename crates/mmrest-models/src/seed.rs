//! Seeds: every random choice of a run is drawn from a generator named by the run's seed and the purpose of the choice,
//! so that nothing depends on how many numbers something else has drawn.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Purpose: the order of an epoch's batches.
pub const ORDER: u64 = 1;
/// Purpose: dropout of an epoch.
pub const DROPOUT: u64 = 2;
/// Purpose: k-means.
pub const KMEANS: u64 = 3;
/// Purpose: pair sampling.
pub const PAIRS: u64 = 4;
/// Purpose: initial weights.
pub const WEIGHTS: u64 = 5;
/// Purpose: which rows of the shared space are measured and drawn.
pub const SPACE: u64 = 6;
/// Purpose: which modalities training segments are without.
pub const MODALITIES: u64 = 7;
/// Purpose: which training segments are kept as neighbours.
pub const NEIGHBOURS: u64 = 8;

/// Mixes a seed with a purpose and its coordinates (SplitMix64's finaliser over each word in turn).
pub fn mix(seed: u64, path: &[u64]) -> u64 {
    path.iter().fold(finalise(seed), |state, &word| {
        finalise(state ^ word.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    })
}

fn finalise(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A generator for one purpose.
pub fn rng(seed: u64, path: &[u64]) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mix(seed, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_coordinates_give_other_streams() {
        let all = [
            mix(1, &[ORDER, 1]),
            mix(1, &[ORDER, 2]),
            mix(2, &[ORDER, 1]),
            mix(1, &[DROPOUT, 1]),
            mix(1, &[1, ORDER, 1]),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(mix(7, &[KMEANS, 3]), mix(7, &[KMEANS, 3]));
    }
}
