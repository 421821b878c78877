//! Cross-validation: folds by video over all segments of a data set, whatever its own splits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{DataError, Result, Split};

/// Least number of folds: one to test on, one to choose the epoch by, one to train on.
const LEAST: usize = 3;

/// One fold of a cross-validation (`[data.fold]`).
///
/// Videos are dealt into `of` parts of about as many segments each, in an order that follows from their names alone, so
/// that the same data always give the same parts. Fold `number` tests on part `number`, chooses the epoch by the next one
/// (the first after the last) and trains on all others. Over the folds every segment is so tested once and validated once,
/// each time by a model that has not been trained on its video.
///
/// ```
/// use mmrest_data::{Fold, Split};
///
/// let videos = ["a", "a", "b", "b", "c", "c"];
/// let mut tested = 0;
/// for number in 1..=3 {
///     let splits = Fold { number, of: 3 }.splits(&videos)?;
///     assert_eq!(splits[0], splits[1]); // a video stays whole
///     tested += splits.iter().filter(|&&split| split == Split::Test).count();
/// }
/// assert_eq!(tested, 6);
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Which fold, from 1.
    pub number: usize,
    /// How many folds there are, at least 3.
    pub of: usize,
}

impl Fold {
    /// Checks both numbers.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] where there are fewer than 3 folds, or none of that number.
    pub fn check(&self) -> Result<()> {
        let Self { number, of } = *self;
        if of < LEAST {
            return Err(DataError::Config(format!(
                "fold.of = {of}: at least {LEAST} folds are needed, to test, to choose by and to train on"
            )));
        }
        if !(1..=of).contains(&number) {
            return Err(DataError::Config(format!(
                "fold.number = {number}: there are folds 1 to {of}"
            )));
        }
        Ok(())
    }

    /// The split of every segment, given its video.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`DataError::Config`] where there are fewer videos than folds.
    pub fn splits(&self, videos: &[impl AsRef<str>]) -> Result<Vec<Split>> {
        self.check()?;
        let parts = self.deal(videos)?;
        let valid = self.number % self.of + 1;
        let split = |video: &str| match parts.get(video) {
            Some(&part) if part == self.number => Split::Test,
            Some(&part) if part == valid => Split::Valid,
            _ => Split::Train,
        };
        Ok(videos.iter().map(|video| split(video.as_ref())).collect())
    }

    /// The part of each video, from 1: videos in the order of their names' hashes, each to the part with the fewest
    /// segments so far.
    fn deal<'a>(&self, videos: &'a [impl AsRef<str>]) -> Result<BTreeMap<&'a str, usize>> {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for video in videos {
            *sizes.entry(video.as_ref()).or_default() += 1;
        }
        if sizes.len() < self.of {
            return Err(DataError::Config(format!(
                "fold.of = {}: the data have only {} videos, and a video is not divided",
                self.of,
                sizes.len()
            )));
        }
        let mut order: Vec<(&str, usize)> = sizes.into_iter().collect();
        order.sort_by_cached_key(|(video, _)| Sha256::digest(video).to_vec());
        let mut filled = vec![0; self.of];
        let dealt = order.into_iter().map(|(video, size)| {
            let fewest = (0..self.of).min_by_key(|&part| filled[part]).unwrap_or(0);
            filled[fewest] += size;
            (video, fewest + 1)
        });
        Ok(dealt.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_is_tested_and_validated_once_and_parts_are_even() {
        let videos: Vec<String> = (0..93)
            .flat_map(|video| vec![format!("v{video}"); 10 + video % 34])
            .collect();
        let mut times = vec![[0; 3]; videos.len()];
        for number in 1..=5 {
            let splits = Fold { number, of: 5 }.splits(&videos).unwrap();
            let mut sizes = [0; 3];
            for (segment, &split) in splits.iter().enumerate() {
                times[segment][split as usize] += 1;
                sizes[split as usize] += 1;
            }
            let fifth = videos.len() as f64 / 5.0;
            for (size, parts) in sizes.into_iter().zip([3.0, 1.0, 1.0]) {
                let off = (f64::from(size) / (parts * fifth) - 1.0).abs();
                assert!(off < 0.06, "{sizes:?} of {}", videos.len());
            }
            for pair in videos.iter().zip(&splits).collect::<Vec<_>>().windows(2) {
                assert!(pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1);
            }
        }
        assert!(times.iter().all(|times| *times == [3, 1, 1]));
    }

    #[test]
    fn folds_that_cannot_be_made_are_refused() {
        let refused = |number, of, videos: &[&str]| {
            let error = Fold { number, of }.splits(videos).unwrap_err();
            error.to_string()
        };
        assert!(refused(1, 2, &["a", "b"]).contains("at least 3 folds"));
        assert!(refused(4, 3, &["a"]).contains("folds 1 to 3"));
        assert!(refused(0, 3, &["a"]).contains("fold.number = 0"));
        assert!(refused(1, 3, &["a", "b", "b"]).contains("only 2 videos"));
    }
}
