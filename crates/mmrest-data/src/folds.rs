//! Folds: which video belongs to which split, as a JSON object of three lists.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::container::Container;
use crate::text::hex;
use crate::{DataError, Result, Split};

/// Folds by video: `{"train": [..], "valid": [..], "test": [..]}` (`dev` is `valid`; `test` may be lacking).
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("folds.json");
/// use mmrest_data::{Split, folds::Folds};
///
/// std::fs::write(&path, r#"{"train": ["a", "b"], "dev": ["c"], "test": ["d"]}"#).unwrap();
/// let folds = Folds::read(&path).unwrap();
/// assert_eq!(folds.split("c"), Some(Split::Valid));
/// assert_eq!(folds.split("e"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    splits: BTreeMap<String, Split>,
}

impl Folds {
    /// Reads a folds file.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`]; [`DataError::Folds`] when it is not such an object or lacks a list other than that of test;
    /// [`DataError::TwoFolds`] for a video in two lists, [`DataError::Duplicate`] for one twice in the same.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| DataError::io(path, error))?;
        let wrong = |reason: String| DataError::Folds {
            path: path.to_path_buf(),
            reason,
        };
        if let Some(container) = Container::of(&bytes) {
            return Err(wrong(container.sentence()));
        }
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| wrong("it is not UTF-8; save it as UTF-8".to_owned()))?;
        Self::parse(&text, path)
    }

    /// As [`read`](Self::read), from the text of a folds file; errors call it `path`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), but for [`DataError::Io`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let wrong = |reason| DataError::Folds {
            path: path.to_path_buf(),
            reason,
        };
        // What some editors put before UTF-8.
        let text = text.trim_start_matches('\u{feff}');
        let lists: BTreeMap<String, Vec<String>> =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut by_split = BTreeMap::new();
        for (name, videos) in lists {
            let split = Split::from_name(&name)
                .ok_or_else(|| wrong(format!("{name:?} is not train, valid, dev or test")))?;
            if by_split.insert(split, videos).is_some() {
                return Err(wrong(format!("two lists for {split}")));
            }
        }
        // Without a list for testing nothing is tested.
        if let Some(split) = [Split::Train, Split::Valid]
            .iter()
            .find(|split| !by_split.contains_key(split))
        {
            return Err(wrong(format!("no list for {split}")));
        }
        Self::invert(path, by_split)
    }

    /// Divides videos by chance, in shares of train, valid and test. The same seed, shares and videos give the same
    /// folds, in whatever order the videos come; each share above 0 gets a video where there are enough.
    ///
    /// ```
    /// use mmrest_data::{Split, folds::Folds};
    ///
    /// let videos: Vec<String> = (0..10).map(|video| format!("v{video}")).collect();
    /// let videos = || videos.iter().map(String::as_str);
    /// let folds = Folds::random(videos(), [0.7, 0.1, 0.2], 1);
    /// let test = videos().filter(|video| folds.split(video) == Some(Split::Test));
    /// assert_eq!(test.count(), 2);
    /// ```
    pub fn random<'a>(
        videos: impl IntoIterator<Item = &'a str>,
        shares: [f64; 3],
        seed: u64,
    ) -> Self {
        let mut drawn: Vec<(String, &str)> = videos
            .into_iter()
            .map(|video| (hex(&Sha256::digest(format!("{seed} {video}"))), video))
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        let mut rest = drawn.len();
        let mut left = shares.iter().sum::<f64>();
        let mut sizes = [0; 3];
        // The last first, so that train gets what rounding leaves.
        for place in [2, 1, 0] {
            let share = if left > 0.0 {
                shares[place] / left
            } else {
                0.0
            };
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss
            )]
            let wanted = (share * rest as f64).round() as usize;
            let least = usize::from(shares[place] > 0.0);
            let others = (0..place).filter(|&other| shares[other] > 0.0).count();
            sizes[place] = wanted.max(least).min(rest.saturating_sub(others));
            rest -= sizes[place];
            left -= shares[place];
        }
        let splits = Split::ALL
            .into_iter()
            .zip(sizes)
            .flat_map(|(split, size)| std::iter::repeat_n(split, size));
        let named = drawn.into_iter().map(|(_, video)| video.to_owned());
        Self {
            splits: named.zip(splits).collect(),
        }
    }

    fn invert(path: &Path, by_split: BTreeMap<Split, Vec<String>>) -> Result<Self> {
        let mut splits = BTreeMap::new();
        for (second, videos) in by_split {
            for video in videos {
                match splits.insert(video.clone(), second) {
                    None => {}
                    Some(first) if first == second => {
                        return Err(DataError::Duplicate {
                            path: path.to_path_buf(),
                            id: video,
                        });
                    }
                    Some(first) => {
                        return Err(DataError::TwoFolds {
                            path: path.to_path_buf(),
                            video,
                            first,
                            second,
                        });
                    }
                }
            }
        }
        Ok(Self { splits })
    }

    /// The split of a video, if it is in any.
    pub fn split(&self, video: &str) -> Option<Split> {
        self.splits.get(video).copied()
    }

    /// Every video with its split, by name.
    pub fn videos(&self) -> impl Iterator<Item = (&str, Split)> {
        self.splits
            .iter()
            .map(|(video, &split)| (video.as_str(), split))
    }
}
