//! Everything loaded, by split.

use crate::{DataReport, Segment, SourceFile, Split};

/// A data set in memory: its segments by split, and where they come from.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Segments to fit on.
    pub train: Vec<Segment>,
    /// Segments to choose by.
    pub valid: Vec<Segment>,
    /// Segments looked at once.
    pub test: Vec<Segment>,
    /// Features in a frame of each modality.
    pub widths: Widths,
    /// The files it was read from, with their checksums.
    pub files: Vec<SourceFile>,
    /// What was met on the way: counts to be shown to whoever trains on it.
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
