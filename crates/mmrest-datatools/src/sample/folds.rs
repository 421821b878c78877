//! Which video is for what.

use super::noise::{Noise, Purpose};
use mmrest_data::Split;

/// The split of every video: three fifths are for training, two fifteenths for validation, the rest for testing (36, 8
/// and 16 of 60), in random order. From 3 videos on no split is empty.
pub(super) fn folds(videos: usize, seed: u64) -> Vec<Split> {
    let train = (videos * 3 / 5).max(videos.min(1));
    let valid = (videos * 2 / 15).max(1).min(videos - train);
    let mut splits = vec![Split::Test; videos];
    splits[..train].fill(Split::Train);
    splits[train..train + valid].fill(Split::Valid);
    Noise::new(seed, Purpose::Folds, 0).shuffle(&mut splits);
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_has_videos() {
        for videos in 3..100 {
            let folds = folds(videos, 7);
            assert_eq!(folds.len(), videos);
            assert!(
                Split::ALL.iter().all(|split| folds.contains(split)),
                "{videos}"
            );
        }
        assert!(folds(0, 7).is_empty());
        let counts = Split::ALL.map(|s| folds(60, 7).iter().filter(|f| **f == s).count());
        assert_eq!(counts, [36, 8, 16]);
    }
}
