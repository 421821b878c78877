//! What the tests of this folder share: segments, and a scorer that does as their texts say.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mmrest_data::{Frames, Modality, Segment};
use mmrest_learner::{Placement, Prediction};

use super::limits::Limits;
use super::worker::Scorer;

/// Limits with nothing special.
pub(crate) fn limits() -> Limits {
    Limits {
        batch: 8,
        wait: Duration::from_millis(1),
        queue: 16,
        body: 64 << 10,
        timeout: Duration::from_secs(20),
        drain: Duration::from_secs(20),
    }
}

/// A segment whose text is its id.
pub(crate) fn segment(text: &str) -> Segment {
    Segment {
        id: text.to_string(),
        video: text.to_string(),
        text: text.to_string(),
        vision: Frames::default(),
        audio: Frames::default(),
        label: None,
    }
}

/// A segment without text, of so many frames.
pub(crate) fn segment_of_frames(frames: usize) -> Segment {
    Segment {
        audio: Frames {
            values: vec![0.0; frames],
            width: 1,
        },
        ..segment("")
    }
}

/// A placement with this score.
pub(crate) fn placement(score: f32) -> Placement {
    Placement {
        prediction: Prediction {
            row: 0,
            prediction: score,
            score,
            bias: 0.0,
            near: Vec::new(),
        },
        rows: Vec::new(),
    }
}

/// Scores a segment with its text's length; panics, refuses or sleeps (100 ms) where a text says so.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    batches: Mutex<Vec<Vec<String>>>,
}

impl Fake {
    /// The texts of each batch that was scored.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        let batches = self.batches.lock();
        batches.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Scorer for Fake {
    fn check(&self, segment: &Segment) -> Result<(), String> {
        match segment.audio.width {
            0 | 1 => Ok(()),
            width => Err(format!(
                "audio has {width} features a frame, the model takes 1"
            )),
        }
    }

    fn missing(&self, segment: &Segment) -> Vec<Modality> {
        let all = [Modality::Text, Modality::Audio];
        all.into_iter().filter(|&m| segment.lacks(m)).collect()
    }

    fn place(&self, segments: &[Segment]) -> Result<Vec<Placement>, String> {
        let texts: Vec<String> = segments.iter().map(|s| s.text.clone()).collect();
        if texts.iter().any(|text| text == "panic") {
            panic!("asked to");
        }
        if texts.iter().any(|text| text == "refuse") {
            return Err("as asked".to_string());
        }
        let sleepers = texts.iter().filter(|text| *text == "sleep").count() as u64;
        std::thread::sleep(Duration::from_millis(100 * sleepers));
        let placements = texts.iter().map(|text| placement(text.len() as f32));
        let placements = placements.collect();
        let batches = self.batches.lock();
        batches.unwrap_or_else(PoisonError::into_inner).push(texts);
        Ok(placements)
    }
}
