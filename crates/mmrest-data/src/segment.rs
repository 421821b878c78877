//! Segments, and what gives them one after another.

use crate::{DataReport, Frames, Modality, Result, Split, Widths};

/// One stretch of a video, in every modality.
///
/// A modality that is not in use has frames of width 0; one that is in use but missing here has no frames of its usual
/// width, or empty text.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Of computational sequences the SDK's key `video[i]`, `i` counting the video's labelled intervals from 0 (a whole entry
    /// of [new data](crate::load_unlabelled) has the entry's own id, perhaps plain `video`); of tables and processed
    /// releases `video$_$clip`, or `video$_$start_end` where a release names stretches of time; of packed sets what their
    /// source had.
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
    /// in CH-SIMS); none for a segment still to be judged.
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
