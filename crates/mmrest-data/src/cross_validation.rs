//! Cross-validation: folds by video over all segments of a data set, or over all that are not for testing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{DataError, Result, Split};

/// One fold of a cross-validation (`[data.fold]`).
///
/// Videos are dealt into `of` parts of about as many segments each, in an order that follows from their names alone, so
/// that the same data always give the same parts. Fold `number` tests on part `number`, chooses the epoch by the next one
/// (the first after the last) and trains on all others. Over the folds every segment is so tested once and validated once,
/// each time by a model that has not been trained on its video.
///
/// With `keep_test` the data set's own test split stays that, and no part has any of it: fold `number` chooses the epoch by
/// part `number` and trains on all others.
///
/// ```
/// use mmrest_data::{Fold, Split};
///
/// let videos = ["a", "a", "b", "b", "c", "c"];
/// let own = [Split::Train; 6];
/// let mut tested = 0;
/// for number in 1..=3 {
///     let fold = Fold { number, of: 3, keep_test: false };
///     let splits = fold.splits(&videos, &own)?;
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
    /// How many folds there are: at least 3, one to test on, one to choose the epoch by, one to train on; at least 2 where
    /// none is to test on.
    pub of: usize,
    /// Whether the data set's own test split is kept out of all parts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_test: bool,
}

impl Fold {
    /// Checks both numbers.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] where there are too few folds, or none of that number.
    pub fn check(&self) -> Result<()> {
        let Self { number, of, .. } = *self;
        let (least, uses) = if self.keep_test {
            (2, "to choose by and to train on")
        } else {
            (3, "to test, to choose by and to train on")
        };
        if of < least {
            return Err(DataError::Config(format!(
                "fold.of = {of}: at least {least} folds are needed, {uses}"
            )));
        }
        if !(1..=of).contains(&number) {
            return Err(DataError::Config(format!(
                "fold.number = {number}: there are folds 1 to {of}"
            )));
        }
        Ok(())
    }

    /// The split of every segment, given its video and its own split.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`DataError::Config`] where there are fewer videos than folds.
    pub fn splits(&self, videos: &[impl AsRef<str>], own: &[Split]) -> Result<Vec<Split>> {
        self.check()?;
        let kept = |own: &Split| self.keep_test && *own == Split::Test;
        let dealt = videos.iter().zip(own).filter(|(_, own)| !kept(own));
        let dealt: Vec<&str> = dealt.map(|(video, _)| video.as_ref()).collect();
        let parts = self.deal(&dealt)?;
        let (test, valid) = if self.keep_test {
            (None, self.number)
        } else {
            (Some(self.number), self.number % self.of + 1)
        };
        let split = |(video, own): (&_, &Split)| match parts.get(AsRef::<str>::as_ref(video)) {
            _ if kept(own) => Split::Test,
            Some(&part) if Some(part) == test => Split::Test,
            Some(&part) if part == valid => Split::Valid,
            _ => Split::Train,
        };
        Ok(videos.iter().zip(own).map(split).collect())
    }

    /// The part of each video, from 1: videos in the order of their names' hashes, each to the part with the fewest
    /// segments so far.
    fn deal<'a>(&self, videos: &[&'a str]) -> Result<BTreeMap<&'a str, usize>> {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for video in videos {
            *sizes.entry(video).or_default() += 1;
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

    fn fold(number: usize, of: usize, keep_test: bool) -> Fold {
        Fold {
            number,
            of,
            keep_test,
        }
    }

    #[test]
    fn a_test_split_that_is_kept_is_in_no_part() {
        let videos = ["a", "a", "b", "c", "d", "e", "e"];
        let mut own = [Split::Train; 7];
        own[3] = Split::Valid;
        own[5..].fill(Split::Test);
        let mut validated = [0; 7];
        for number in 1..=4 {
            let splits = fold(number, 4, true).splits(&videos, &own).unwrap();
            for (row, split) in splits.into_iter().enumerate() {
                assert_eq!(split == Split::Test, row >= 5);
                validated[row] += usize::from(split == Split::Valid);
            }
        }
        assert_eq!(validated, [1, 1, 1, 1, 1, 0, 0]);
        let refused = |of| fold(1, of, true).splits(&videos, &own).unwrap_err();
        assert!(refused(1).to_string().contains("at least 2 folds"));
        assert!(refused(5).to_string().contains("only 4 videos"));
    }

    #[test]
    fn every_segment_is_tested_and_validated_once_and_parts_are_even() {
        let videos: Vec<String> = (0..93)
            .flat_map(|video| vec![format!("v{video}"); 10 + video % 34])
            .collect();
        let mut times = vec![[0; 3]; videos.len()];
        for number in 1..=5 {
            let splits = fold(number, 5, false).splits(&videos, &vec![Split::Train; videos.len()]);
            let splits = splits.unwrap();
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
            let own = vec![Split::Train; videos.len()];
            let error = fold(number, of, false).splits(videos, &own).unwrap_err();
            error.to_string()
        };
        assert!(refused(1, 2, &["a", "b"]).contains("at least 3 folds"));
        assert!(refused(4, 3, &["a"]).contains("folds 1 to 3"));
        assert!(refused(0, 3, &["a"]).contains("fold.number = 0"));
        assert!(refused(1, 3, &["a", "b", "b"]).contains("only 2 videos"));
    }
}
