//! The three parts of a data set.

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
