//! One stretch of a video.

use crate::{Frames, Modality};

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
