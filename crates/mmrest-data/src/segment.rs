//! Segments with their modalities and splits, data sets of them, and what gives them one after another.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DataReport, Frames, Result, SourceFile};

/// One stretch of a video, in every modality.
///
/// A modality that is not in use has frames of width 0; one that is in use but missing here has no frames of its usual
/// width, or empty text.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Of computational sequences the SDK's key `video[i]`, `i` counting the video's labelled intervals from 0 (a whole
    /// entry of [new data](crate::load_unlabelled) has the entry's own id, perhaps plain `video`); of tables and
    /// processed releases `video$_$clip`, or `video$_$start_end` where a release names stretches of time; of packed sets
    /// what their source had.
    pub id: String,
    /// The video it is cut from.
    pub video: String,
    /// What is said.
    pub text: String,
    /// What is seen, `[frames, width]`.
    pub vision: Frames,
    /// How it sounds, `[frames, width]`.
    pub audio: Frames,
    /// Sentiment within the configuration's `label_range` (-3, negative, to 3, positive, in CMU-MOSI and CMU-MOSEI; -1 to 1
    /// in CH-SIMS); none for a segment without a label.
    pub label: Option<f32>,
}

impl Segment {
    /// The frames of a modality; text has none.
    pub fn frames(&self, modality: Modality) -> Option<&Frames> {
        match modality {
            Modality::Text => None,
            Modality::Vision => Some(&self.vision),
            Modality::Audio => Some(&self.audio),
        }
    }

    /// Whether a modality holds nothing here.
    pub fn lacks(&self, modality: Modality) -> bool {
        match self.frames(modality) {
            Some(frames) => frames.is_empty(),
            None => self.text.trim().is_empty(),
        }
    }
}

/// What takes segments as they come; an error of its own ends the reading.
pub type Visit<'a> = dyn FnMut(Option<Split>, Segment) -> Result<()> + 'a;

/// An open data set that gives its segments one after another, so that it need not be in memory whole.
pub trait SegmentSource: Send + Sync {
    /// Features in a frame of each modality; 0 for one not in use.
    fn widths(&self) -> Widths;

    /// Gives every segment with its split, if it has one, always in the same order; reports what was met.
    ///
    /// # Errors
    ///
    /// Those of reading, and those of `visit`.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport>;
}

/// A data set in memory: its segments by split, and where they come from.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Training segments.
    pub train: Vec<Segment>,
    /// Validation segments.
    pub valid: Vec<Segment>,
    /// Test segments.
    pub test: Vec<Segment>,
    /// Features in a frame of each modality.
    pub widths: Widths,
    /// The files it was read from, with their checksums.
    pub files: Vec<SourceFile>,
    /// Counts of what was kept, changed and left out, to be shown to the user.
    pub report: DataReport,
}

impl Dataset {
    /// The segments of a split.
    pub fn split(&self, split: Split) -> &[Segment] {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }

    /// All segments: training, validation, test.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        Split::ALL.into_iter().flat_map(|split| self.split(split))
    }
}

/// Features in a frame; 0 for a modality not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Widths {
    /// Of vision.
    pub vision: usize,
    /// Of audio.
    pub audio: usize,
}

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

/// The part of a data set that a segment belongs to.
///
/// ```
/// use mmrest_data::Split;
///
/// assert_eq!(Split::ALL.map(|s| s.to_string()), ["train", "valid", "test"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Training.
    Train,
    /// Validation.
    Valid,
    /// Test.
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

/// The video of a segment, by its id: what stands before `[i]` or `$_$clip`; any other id stands for a video by itself.
///
/// ```
/// use mmrest_data::video_of;
///
/// let ids = ["03bSnISJMiM[7]", "03bSnISJMiM$_$7", "03bSnISJMiM"];
/// assert_eq!(ids.map(video_of), ["03bSnISJMiM"; 3]);
/// ```
pub fn video_of(id: &str) -> &str {
    match id.split_once("$_$") {
        Some((video, _)) => video,
        None => crate::csd::split_id(id).0,
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
