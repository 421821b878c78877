//! The three channels of a segment.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A channel of a segment.
///
/// ```
/// use mmrest_data::Modality;
///
/// assert_eq!(Modality::ALL.map(|m| m.to_string()), ["text", "vision", "audio"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// What is said.
    Text,
    /// What is seen: a sequence of frames of facial features.
    Vision,
    /// How it sounds: a sequence of frames of acoustic features.
    Audio,
}

impl Modality {
    /// All, in the order representations are stacked in.
    pub const ALL: [Self; 3] = [Self::Text, Self::Vision, Self::Audio];

    /// The name used in configurations and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Vision => "vision",
            Self::Audio => "audio",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
