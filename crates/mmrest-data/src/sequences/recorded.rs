//! Segments of entries in memory, as a recording gives them.

use std::path::Path;

use super::feature_sources::{VideoFeatures, VideoFrames, VideoWords};
use super::segments::whole;
use crate::clean::{Intake, Purpose};
use crate::csd::{Entry, Features, merge};
use crate::{DataConfig, DataError, DataReport, Frames, Result, Segment};

/// What is known of one stretch of a recording; a modality that is not in use, or lacking, is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SegmentEntries {
    /// Its words.
    pub words: Option<Entry>,
    /// What is seen.
    pub vision: Option<Entry>,
    /// How it sounds.
    pub audio: Option<Entry>,
}

/// The segment that [`load_unlabelled`](crate::load_unlabelled) would read, had the entries been written to the files of a
/// configuration under `id`.
///
/// # Errors
///
/// [`DataError::Entry`] for words where numbers are expected and the other way round; `recording` is named as the file.
pub fn segment_of_entries(
    config: &DataConfig,
    recording: &Path,
    id: &str,
    entries: SegmentEntries,
) -> Result<Segment> {
    let wrong = |reason: &str| DataError::entry(recording, id, reason);
    let sorted = |entry: Option<Entry>| {
        let entry = entry.map(|entry| merge(recording, id, vec![entry]));
        entry.transpose()
    };
    let frames = |entry: Option<Entry>| match sorted(entry)? {
        None => Ok(None),
        Some(Entry {
            intervals,
            features: Features::Numeric { values, width },
        }) => Ok(Some(VideoFrames::new(
            intervals,
            Frames::new(values, width),
        ))),
        Some(_) => Err(wrong("words where numbers are expected")),
    };
    let words = match sorted(entries.words)? {
        None => None,
        Some(Entry {
            intervals,
            features: Features::Text(words),
        }) => Some(VideoWords::of(intervals, words)),
        Some(_) => return Err(wrong("numbers where words are expected")),
    };
    let features = VideoFeatures {
        words,
        vision: frames(entries.vision)?,
        audio: frames(entries.audio)?,
    };
    let mut intake = Intake::new(config, Purpose::Prediction, DataReport::default());
    Ok(whole(config, id, None, features, &mut intake))
}
