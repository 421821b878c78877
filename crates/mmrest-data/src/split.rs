//! The three parts of a data set.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a segment is for.
///
/// ```
/// use mmrest_data::Split;
///
/// assert_eq!(Split::ALL.map(|s| s.to_string()), ["train", "valid", "test"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Fitting the model.
    Train,
    /// Choosing between models.
    Valid,
    /// Looked at once.
    Test,
}

impl Split {
    /// All, in the order of use.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// The name used in files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// The split a file means by `name`: validation is also called `dev`, `val` and `validation`.
    ///
    /// ```
    /// use mmrest_data::Split;
    ///
    /// assert_eq!(Split::from_name("dev"), Some(Split::Valid));
    /// assert_eq!(Split::from_name("holdout"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "train" => Some(Self::Train),
            "valid" | "dev" | "val" | "validation" => Some(Self::Valid),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The videos that are in more than one split, each once.
pub fn in_two_splits<'a>(of: impl IntoIterator<Item = (&'a str, Split)>) -> Vec<&'a str> {
    let mut splits: BTreeMap<&str, (Split, bool)> = BTreeMap::new();
    for (video, split) in of {
        let (first, two) = splits.entry(video).or_insert((split, false));
        *two |= *first != split;
    }
    let two = splits.into_iter().filter(|(_, (_, two))| *two);
    two.map(|(video, _)| video).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_in_two_splits_is_found_once() {
        let of = [
            ("b", Split::Train),
            ("a", Split::Train),
            ("b", Split::Test),
            ("b", Split::Valid),
            ("a", Split::Train),
        ];
        assert_eq!(in_two_splits(of), ["b"]);
        assert!(in_two_splits([]).is_empty());
    }
}
