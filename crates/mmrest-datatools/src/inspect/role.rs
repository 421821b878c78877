//! What the program would use a file as.

use serde::Serialize;

/// A part a file can play in a `[data]` or `[text]` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Labelled intervals.
    Labels,
    /// Words with their times.
    Words,
    /// Visual features.
    Vision,
    /// Acoustic features.
    Audio,
    /// Transcripts, labels and splits.
    Table,
    /// Folds by video.
    Folds,
    /// A processed release in a pickle.
    Pickle,
    /// A packed set.
    Packed,
    /// A BERT.
    TextEncoder,
}

impl Role {
    /// The configuration's key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Labels => "data.labels",
            Self::Words => "data.words",
            Self::Vision => "data.vision",
            Self::Audio => "data.audio",
            Self::Table => "data.table",
            Self::Folds => "data.folds",
            Self::Pickle | Self::Packed => "data.file",
            Self::TextEncoder => "text.bert",
        }
    }

    /// The part a sequence of numbers plays, by its file's name or its root's: the SDK's names, and what people call their own.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["label", "opinion", "sentiment"]) {
            return Some(Self::Labels);
        }
        if has(&["visual", "vision", "facet", "openface", "face", "video"]) {
            return Some(Self::Vision);
        }
        has(&["acoustic", "audio", "covarep", "opensmile", "voice", "mfcc"]).then_some(Self::Audio)
    }
}

/// What the program would use a file as, or why it would not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Usable {
    /// The part it plays; none where it is of no use.
    pub role: Option<Role>,
    /// The configuration's key for it.
    pub key: Option<&'static str>,
    /// How, or why not.
    pub why: String,
}

impl Usable {
    pub(super) fn yes(role: Role, why: impl Into<String>) -> Self {
        Self {
            role: Some(role),
            key: Some(role.key()),
            why: why.into(),
        }
    }

    pub(super) fn no(why: impl Into<String>) -> Self {
        Self {
            role: None,
            key: None,
            why: why.into(),
        }
    }
}
