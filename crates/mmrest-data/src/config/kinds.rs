//! The choices a `[data]` section has.

use serde::{Deserialize, Serialize};

/// Kind of files a data set is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Computational sequences of the CMU-MultimodalSDK.
    Sdk,
    /// A pickle of the processed releases: MMSA's, CH-SIMS's, MulT's, MMIM's or MMRest's.
    Mmsa,
    /// A table alone (`label.csv`): text only.
    Table,
    /// A [packed set](crate::packed).
    Packed,
}

/// Where the text of a segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextFrom {
    /// The words whose intervals lie in the segment's.
    Words,
    /// The table's transcript.
    Table,
}

/// Where the split of a segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitFrom {
    /// The folds file, by video.
    Folds,
    /// The table's mode, by segment.
    Table,
}

/// What to do with a segment that lacks a modality in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Keep it: no frames (one zero frame in a batch), empty text.
    Zero,
    /// Leave it out.
    Drop,
    /// Refuse the data set.
    Error,
}

/// A public data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Download {
    /// None: the files are the user's own.
    #[serde(rename = "")]
    None,
    /// CMU-MOSI.
    Mosi,
    /// CMU-MOSEI.
    Mosei,
    /// CMU-MOSI with transcripts and word-level acoustic features: only its labels have a public address.
    #[serde(rename = "mosi-words")]
    MosiWords,
}

/// How a sequence longer than `max_frames` is shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shorten {
    /// Mean pooling: each frame is the mean of one of `max_frames` equal spans.
    Mean,
    /// The first frames.
    Head,
    /// The last frames.
    Tail,
    /// Frames at equal distances, the middle one of each span.
    Uniform,
}

/// Names of a table's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// The video.
    pub video: String,
    /// The clip of the video.
    pub clip: String,
    /// The transcript.
    pub text: String,
    /// The sentiment.
    pub label: String,
    /// The split: train, valid (or dev) or test.
    pub split: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            video: "video_id".to_owned(),
            clip: "clip_id".to_owned(),
            text: "text".to_owned(),
            label: "label".to_owned(),
            split: "mode".to_owned(),
        }
    }
}
