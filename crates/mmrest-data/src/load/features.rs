//! Frames and words of a video, cut by reference intervals.

use crate::csd::{ComputationalSequence, Entry, Features};
use crate::{DataError, Frames, Result, overlapping};

/// A computational sequence of numbers, all of one width.
#[derive(Debug)]
pub(super) struct FrameSource {
    sequence: ComputationalSequence,
    width: usize,
}

impl FrameSource {
    /// Takes the width from the first entry that has rows.
    pub(super) fn new(sequence: ComputationalSequence) -> Result<Self> {
        for id in sequence.ids() {
            let entry = sequence.read(id)?;
            if let Features::Text(_) = entry.features {
                return Err(DataError::entry(
                    sequence.path(),
                    id,
                    "words where numbers are expected",
                ));
            }
            let width = entry.features.width();
            if !entry.is_empty() && width > 0 {
                return Ok(Self { sequence, width });
            }
        }
        Err(DataError::layout(sequence.path(), "no entry has any row"))
    }

    /// Features in a frame.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// All frames of a video, or none where the sequence does not have it.
    pub(super) fn read(&self, video: &str) -> Result<VideoFrames> {
        let entry = self.sequence.read_video(video)?.unwrap_or(Entry {
            intervals: Vec::new(),
            features: Features::Text(Vec::new()),
        });
        if entry.is_empty() {
            return Ok(VideoFrames {
                intervals: Vec::new(),
                frames: Frames::empty(self.width),
            });
        }
        match entry.features {
            Features::Numeric { values, width } if width == self.width => Ok(VideoFrames {
                intervals: entry.intervals,
                frames: Frames { values, width },
            }),
            other => {
                let reason = format!("rows of width {}, not {}", other.width(), self.width);
                Err(DataError::entry(self.sequence.path(), video, reason))
            }
        }
    }
}

/// The frames of one video with their times, sorted by start.
#[derive(Debug)]
pub(super) struct VideoFrames {
    intervals: Vec<[f64; 2]>,
    frames: Frames,
}

impl VideoFrames {
    /// The frames that lie in a reference interval.
    pub(super) fn slice(&self, reference: [f64; 2]) -> Frames {
        let rows = overlapping(&self.intervals, reference);
        let rows = rows.into_iter().flat_map(|row| self.frames.row(row));
        Frames {
            values: rows.copied().collect(),
            width: self.frames.width,
        }
    }
}

/// The words of one video with their times, sorted by start.
#[derive(Debug, Default)]
pub(super) struct VideoWords {
    intervals: Vec<[f64; 2]>,
    words: Vec<String>,
}

impl VideoWords {
    pub(super) fn read(sequence: &ComputationalSequence, video: &str) -> Result<Self> {
        let Some(entry) = sequence.read_video(video)? else {
            return Ok(Self::default());
        };
        let Features::Text(words) = entry.features else {
            return Err(DataError::entry(
                sequence.path(),
                video,
                "numbers where words are expected",
            ));
        };
        Ok(Self {
            intervals: entry.intervals,
            words,
        })
    }

    /// The words that lie in a reference interval, without pauses, with single spaces between.
    pub(super) fn slice(&self, reference: [f64; 2], pause: &str) -> String {
        let rows = overlapping(&self.intervals, reference);
        let words = rows.into_iter().map(|row| self.words[row].trim());
        let spoken: Vec<&str> = words
            .filter(|word| !word.is_empty() && *word != pause)
            .collect();
        spoken.join(" ")
    }
}
