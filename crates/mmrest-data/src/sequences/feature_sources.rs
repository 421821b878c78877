//! Words, vision and audio of a data set: opened together, read a video at a time, cut by intervals.

use std::path::Path;

use crate::csd::{
    ComputationalSequence, Entry, Features, TIMING_WIDTH, other_units, split_id, word_timing,
};
use crate::{DataError, DataReport, Frames, Modality, Result, Widths, overlapping};

/// The sequences that segments are cut from; one that is not in use, or not there, is none.
pub(super) struct FeatureSources {
    pub(super) words: Option<ComputationalSequence>,
    pub(super) vision: Option<FrameSource>,
    pub(super) audio: Option<FrameSource>,
    /// Where audio is the times of the words: the word that stands for a pause.
    timed_by: Option<String>,
}

/// What the sequences hold of one id.
#[derive(Debug)]
pub(super) struct VideoFeatures {
    pub(super) words: Option<VideoWords>,
    pub(super) vision: Option<VideoFrames>,
    pub(super) audio: Option<VideoFrames>,
}

impl VideoFeatures {
    /// Counts the modalities whose times are far from those of the labelled intervals.
    pub(super) fn count_other_times(&self, labelled: &[[f64; 2]], report: &mut DataReport) {
        let Some(reach) = last_end(labelled) else {
            return;
        };
        let ends = [
            (
                Modality::Text,
                self.words.as_ref().and_then(VideoWords::end),
            ),
            (
                Modality::Vision,
                self.vision.as_ref().and_then(VideoFrames::end),
            ),
            (
                Modality::Audio,
                self.audio.as_ref().and_then(VideoFrames::end),
            ),
        ];
        for (modality, end) in ends {
            if end.is_some_and(|end| other_units(end, reach)) {
                *report.other_times.entry(modality).or_default() += 1;
            }
        }
    }
}

impl FeatureSources {
    pub(super) fn open(
        words: Option<&Path>,
        vision: Option<&Path>,
        audio: Option<&Path>,
        timed_by: Option<&str>,
    ) -> Result<Self> {
        let sequence = |path: Option<&Path>| path.map(ComputationalSequence::open).transpose();
        let frames = |path| sequence(path)?.map(FrameSource::new).transpose();
        Ok(Self {
            words: sequence(words)?,
            vision: frames(vision)?,
            audio: frames(audio)?,
            timed_by: timed_by.map(str::to_owned),
        })
    }

    /// Those that are there.
    pub(super) fn sequences(&self) -> impl Iterator<Item = &ComputationalSequence> {
        let frames = [&self.vision, &self.audio].into_iter().flatten();
        self.words.iter().chain(frames.map(FrameSource::sequence))
    }

    /// Features in a frame, 0 where there is no sequence.
    pub(super) fn widths(&self) -> Widths {
        let width = |source: &Option<FrameSource>| source.as_ref().map_or(0, FrameSource::width);
        Widths {
            vision: width(&self.vision),
            audio: match self.timed_by {
                Some(_) => TIMING_WIDTH,
                None => width(&self.audio),
            },
        }
    }

    /// Reads a video whole: its entries, or their pieces merged.
    pub(super) fn video(&self, video: &str) -> Result<VideoFeatures> {
        let words = self.words.as_ref();
        let words = words.map(|words| VideoWords::read(words, video));
        let words = words.transpose()?;
        let frames = |source: &Option<FrameSource>| {
            let source = source.as_ref();
            source.map(|source| source.read(video)).transpose()
        };
        let audio = match (&self.timed_by, &words) {
            (Some(pause), Some(words)) => Some(words.timing(pause, None)),
            _ => frames(&self.audio)?,
        };
        Ok(VideoFeatures {
            words,
            vision: frames(&self.vision)?,
            audio,
        })
    }

    /// Reads the entries of exactly this id.
    pub(super) fn entry(&self, id: &str) -> Result<VideoFeatures> {
        let words = self.words.as_ref();
        let words = words.map(|words| VideoWords::read_entry(words, id));
        let words = words.transpose()?;
        let frames = |source: &Option<FrameSource>| {
            let source = source.as_ref();
            source.map(|source| source.read_entry(id)).transpose()
        };
        let audio = match (&self.timed_by, &words) {
            (Some(pause), Some(words)) => Some(words.timing(pause, self.said_before(id, pause)?)),
            _ => frames(&self.audio)?,
        };
        Ok(VideoFeatures {
            words,
            vision: frames(&self.vision)?,
            audio,
        })
    }

    /// When the words of the piece before this one end, which its first pause is counted from.
    fn said_before(&self, id: &str, pause: &str) -> Result<Option<f64>> {
        let (Some(words), (video, Some(piece))) = (&self.words, split_id(id)) else {
            return Ok(None);
        };
        for earlier in (0..piece).rev() {
            let before = VideoWords::read_entry(words, &format!("{video}[{earlier}]"))?;
            let spoken = before.times(None, pause);
            if let Some(end) = last_end(&spoken) {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }
}

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

    /// Where the frames are read from.
    pub(super) fn sequence(&self) -> &ComputationalSequence {
        &self.sequence
    }

    /// All frames of a video, or none where the sequence does not have it.
    pub(super) fn read(&self, video: &str) -> Result<VideoFrames> {
        self.frames(video, self.sequence.read_video(video)?)
    }

    /// The frames of exactly this id, or none where the sequence does not have it.
    pub(super) fn read_entry(&self, id: &str) -> Result<VideoFrames> {
        self.frames(id, self.sequence.read_sorted(id)?)
    }

    fn frames(&self, id: &str, entry: Option<Entry>) -> Result<VideoFrames> {
        let Some(entry) = entry.filter(|entry| !entry.is_empty()) else {
            return Ok(VideoFrames {
                intervals: Vec::new(),
                frames: Frames::empty(self.width),
            });
        };
        match entry.features {
            Features::Numeric { values, width } if width == self.width => Ok(VideoFrames {
                intervals: entry.intervals,
                frames: Frames { values, width },
            }),
            other => {
                let reason = format!("rows of width {}, not {}", other.width(), self.width);
                Err(DataError::entry(self.sequence.path(), id, reason))
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
    /// The rows of an entry, sorted by start.
    pub(super) fn new(intervals: Vec<[f64; 2]>, frames: Frames) -> Self {
        Self { intervals, frames }
    }

    /// Where the last of them ends, in seconds.
    pub(super) fn end(&self) -> Option<f64> {
        last_end(&self.intervals)
    }

    /// The frames that lie in a reference interval.
    pub(super) fn slice(&self, reference: [f64; 2]) -> Frames {
        let rows = overlapping(&self.intervals, reference);
        let rows = rows.into_iter().flat_map(|row| self.frames.row(row));
        Frames {
            values: rows.copied().collect(),
            width: self.frames.width,
        }
    }

    /// All of them.
    pub(super) fn whole(self) -> Frames {
        self.frames
    }

    /// One frame for each word: the mean of those that overlap it, zeros where there are none; values that are not finite
    /// count as 0. Without any frame of the video, none.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn of_words(&self, words: &[[f64; 2]]) -> Frames {
        let width = self.frames.width;
        if self.intervals.is_empty() {
            return Frames::empty(width);
        }
        let mut values = Vec::with_capacity(words.len() * width);
        for &word in words {
            let rows = overlapping(&self.intervals, word);
            let mut sum = vec![0.0_f64; width];
            for &row in &rows {
                for (sum, &value) in sum.iter_mut().zip(self.frames.row(row)) {
                    *sum += f64::from(if value.is_finite() { value } else { 0.0 });
                }
            }
            let count = rows.len().max(1) as f64;
            values.extend(sum.into_iter().map(|sum| (sum / count) as f32));
        }
        Frames { values, width }
    }
}

/// The words of one video with their times, sorted by start.
#[derive(Debug, Default)]
pub(super) struct VideoWords {
    intervals: Vec<[f64; 2]>,
    words: Vec<String>,
}

impl VideoWords {
    /// All words of a video, or none where the sequence does not have it.
    pub(super) fn read(sequence: &ComputationalSequence, video: &str) -> Result<Self> {
        Self::new(sequence, video, sequence.read_video(video)?)
    }

    /// The words of exactly this id, or none where the sequence does not have it.
    pub(super) fn read_entry(sequence: &ComputationalSequence, id: &str) -> Result<Self> {
        Self::new(sequence, id, sequence.read_sorted(id)?)
    }

    fn new(sequence: &ComputationalSequence, id: &str, entry: Option<Entry>) -> Result<Self> {
        let Some(entry) = entry else {
            return Ok(Self::default());
        };
        let Features::Text(words) = entry.features else {
            return Err(DataError::entry(
                sequence.path(),
                id,
                "numbers where words are expected",
            ));
        };
        Ok(Self {
            intervals: entry.intervals,
            words,
        })
    }

    pub(super) fn of(intervals: Vec<[f64; 2]>, words: Vec<String>) -> Self {
        Self { intervals, words }
    }

    /// Duration of every word that is no pause, and the pause before it; `before` is when the words before these end.
    fn timing(&self, pause: &str, before: Option<f64>) -> VideoFrames {
        let words = self.words.iter().zip(&self.intervals);
        let spoken = words.filter(|(word, _)| !word.trim().is_empty() && word.trim() != pause);
        let intervals: Vec<[f64; 2]> = spoken.map(|(_, &times)| times).collect();
        let values = word_timing(&intervals, &intervals, before);
        let frames = Frames::new(values.as_flattened().to_vec(), TIMING_WIDTH);
        VideoFrames { intervals, frames }
    }

    /// Where the last of them ends, in seconds.
    pub(super) fn end(&self) -> Option<f64> {
        last_end(&self.intervals)
    }

    /// The words that lie in a reference interval, without pauses, with single spaces between.
    pub(super) fn slice(&self, reference: [f64; 2], pause: &str) -> String {
        let rows = overlapping(&self.intervals, reference);
        spoken(rows.into_iter().map(|row| self.words[row].as_str()), pause)
    }

    /// When each word of [`slice`](Self::slice) was said; without a reference, of [`whole`](Self::whole).
    pub(super) fn times(&self, reference: Option<[f64; 2]>, pause: &str) -> Vec<[f64; 2]> {
        let rows = match reference {
            Some(reference) => overlapping(&self.intervals, reference),
            None => (0..self.words.len()).collect(),
        };
        let times = rows.into_iter().flat_map(|row| {
            let word = self.words[row].trim();
            let words = if word == pause {
                0
            } else {
                word.split_whitespace().count()
            };
            std::iter::repeat_n(self.intervals[row], words)
        });
        times.collect()
    }

    /// All of them, in the same form.
    pub(super) fn whole(&self, pause: &str) -> String {
        spoken(self.words.iter().map(String::as_str), pause)
    }
}

/// The greatest end of some intervals.
pub(super) fn last_end(intervals: &[[f64; 2]]) -> Option<f64> {
    intervals.iter().map(|times| times[1]).reduce(f64::max)
}

/// Words without pauses, with single spaces between.
fn spoken<'a>(words: impl Iterator<Item = &'a str>, pause: &str) -> String {
    let words = words.map(str::trim);
    let spoken: Vec<&str> = words
        .filter(|word| !word.is_empty() && *word != pause)
        .collect();
    spoken.join(" ")
}
