//! Folds: which video belongs to which split, as a JSON object of three lists.

use std::collections::BTreeMap;
use std::path::Path;

use crate::container::Container;
use crate::{DataError, Result, Split};

/// Folds by video: `{"train": [..], "valid": [..], "test": [..]}` (`dev` is `valid`).
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
    /// [`DataError::Io`]; [`DataError::Folds`] when it is not such an object or lacks a list; [`DataError::TwoFolds`]
    /// for a video in two lists, [`DataError::Duplicate`] for one twice in the same.
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
        if let Some(split) = Split::ALL
            .iter()
            .find(|split| !by_split.contains_key(split))
        {
            return Err(wrong(format!("no list for {split}")));
        }
        Self::invert(path, by_split)
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
