//! Words, vision and audio of a data set: opened together, read a video at a time, cut by intervals.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::csd::{
    ComputationalSequence, Entry, Features, LabelledInterval, TIMING_WIDTH, belongs, other_units,
    split_id, word_timing,
};
use crate::{DataError, DataReport, Frames, Modality, Result, Widths, overlapping};

/// The sequences that segments are cut from; one that is not in use, or not there, is none.
pub(super) struct FeatureSources {
    pub(super) words: Option<ComputationalSequence>,
    pub(super) vision: Option<FrameSource>,
    pub(super) audio: Option<FrameSource>,
    /// Where audio is the times of the words: the word that stands for a pause.
    timed_by: Option<String>,
    /// Where it is, and segments are read by their ids: when the words of each video were said.
    spoken: HashMap<String, Vec<[f64; 2]>>,
}

/// What the sequences hold of one id.
#[derive(Debug)]
pub(super) struct VideoFeatures {
    pub(super) words: Option<VideoWords>,
    pub(super) vision: Option<VideoFrames>,
    pub(super) audio: Option<VideoFrames>,
}

impl VideoFeatures {
    /// Tells the rows of labelled intervals apart, where the sequences are cut into pieces at just those.
    pub(super) fn cut_at(&mut self, labelled: &BTreeMap<usize, LabelledInterval>) {
        let words = self.words.as_mut().map(|words| &mut words.rows);
        let frames = [&mut self.vision, &mut self.audio].into_iter().flatten();
        let rows = words
            .into_iter()
            .chain(frames.map(|frames| &mut frames.rows));
        rows.for_each(|rows| rows.cut_at(labelled));
    }

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
            spoken: HashMap::new(),
        })
    }

    /// The same, to be read by [`entry`](Self::entry).
    pub(super) fn by_entry(mut self) -> Result<Self> {
        if let (Some(pause), Some(words)) = (&self.timed_by, &self.words) {
            for video in words.videos() {
                let spoken = VideoWords::read(words, video)?.spoken(pause);
                self.spoken.insert(video.clone(), spoken);
            }
        }
        Ok(self)
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
            (Some(pause), Some(words)) => Some(words.timing(pause, &words.spoken(pause))),
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
            (Some(pause), Some(words)) => {
                let spoken = self.spoken.get(split_id(id).0);
                Some(words.timing(pause, spoken.map_or(&[], Vec::as_slice)))
            }
            _ => frames(&self.audio)?,
        };
        Ok(VideoFeatures {
            words,
            vision: frames(&self.vision)?,
            audio,
        })
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
        self.frames(video, self.sequence.read_pieces(video)?)
    }

    /// The frames of exactly this id, or none where the sequence does not have it.
    pub(super) fn read_entry(&self, id: &str) -> Result<VideoFrames> {
        let entry = self.sequence.read_sorted(id)?;
        self.frames(id, entry.map(|entry| (entry, Vec::new())))
    }

    fn frames(&self, id: &str, read: Option<(Entry, Vec<Option<usize>>)>) -> Result<VideoFrames> {
        let Some((entry, pieces)) = read.filter(|(entry, _)| !entry.is_empty()) else {
            return Ok(VideoFrames {
                rows: Rows::default(),
                frames: Frames::empty(self.width),
            });
        };
        match entry.features {
            Features::Numeric { values, width } if width == self.width => Ok(VideoFrames {
                rows: Rows::new(entry.intervals, pieces),
                frames: Frames { values, width },
            }),
            other => {
                let reason = format!("rows of width {}, not {}", other.width(), self.width);
                Err(DataError::entry(self.sequence.path(), id, reason))
            }
        }
    }
}

/// When the rows of one video are, sorted by start.
#[derive(Debug, Default)]
struct Rows {
    intervals: Vec<[f64; 2]>,
    /// Where the labelled intervals are known to be the pieces of the video: the one that each row belongs to. Otherwise
    /// times alone tell.
    pieces: Vec<Option<usize>>,
}

impl Rows {
    fn new(intervals: Vec<[f64; 2]>, pieces: Vec<Option<usize>>) -> Self {
        Self { intervals, pieces }
    }

    /// Forgets the pieces unless they are the labelled intervals: files may be cut otherwise, at words say.
    fn cut_at(&mut self, labelled: &BTreeMap<usize, LabelledInterval>) {
        let inside = |(&[start, end], piece): (&[f64; 2], &Option<usize>)| {
            let label = piece.and_then(|piece| labelled.get(&piece));
            label.is_none_or(|label| start <= label.interval[1] && end >= label.interval[0])
        };
        if !self.intervals.iter().zip(&self.pieces).all(inside) {
            self.pieces.clear();
        }
    }

    /// The piece that a row belongs to.
    fn piece(&self, row: usize) -> Option<usize> {
        self.pieces.get(row).copied().flatten()
    }

    /// Those of a labelled interval: of the piece of its number, whoever else speaks at the time; of a video in one piece by
    /// their times.
    fn of(&self, interval: [f64; 2], number: usize) -> Vec<usize> {
        let own = |&row: &usize| match self.piece(row) {
            Some(piece) => piece == number,
            None => belongs(self.intervals[row], interval),
        };
        (0..self.intervals.len()).filter(own).collect()
    }

    /// Those at a time, of a labelled interval's number or of all.
    fn at(&self, time: [f64; 2], number: Option<usize>) -> Vec<usize> {
        let mut rows = overlapping(&self.intervals, time);
        if number.is_some() {
            rows.retain(|&row| self.piece(row).is_none_or(|piece| Some(piece) == number));
        }
        rows
    }

    /// Where the last of them ends, in seconds.
    fn end(&self) -> Option<f64> {
        last_end(&self.intervals)
    }

    /// Some of them, in the order of `rows`.
    fn select(&self, rows: &[usize]) -> Self {
        let pieces = rows.iter().filter_map(|&row| self.pieces.get(row));
        Self {
            intervals: rows.iter().map(|&row| self.intervals[row]).collect(),
            pieces: pieces.copied().collect(),
        }
    }
}

/// The frames of one video with their times, sorted by start.
#[derive(Debug)]
pub(super) struct VideoFrames {
    rows: Rows,
    frames: Frames,
}

impl VideoFrames {
    /// The rows of an entry, sorted by start.
    pub(super) fn new(intervals: Vec<[f64; 2]>, frames: Frames) -> Self {
        let rows = Rows::new(intervals, Vec::new());
        Self { rows, frames }
    }

    /// Where the last of them ends, in seconds.
    pub(super) fn end(&self) -> Option<f64> {
        self.rows.end()
    }

    /// The frames of a labelled interval and its number.
    pub(super) fn slice(&self, interval: [f64; 2], number: usize) -> Frames {
        let rows = self.rows.of(interval, number);
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
    /// count as 0. Without any frame of the video, none. The words are of a labelled interval's number, or of all.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn of_words(&self, words: &[[f64; 2]], number: Option<usize>) -> Frames {
        let width = self.frames.width;
        if self.rows.intervals.is_empty() {
            return Frames::empty(width);
        }
        let mut values = Vec::with_capacity(words.len() * width);
        for &word in words {
            let rows = self.rows.at(word, number);
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
    rows: Rows,
    words: Vec<String>,
}

impl VideoWords {
    /// All words of a video, or none where the sequence does not have it.
    pub(super) fn read(sequence: &ComputationalSequence, video: &str) -> Result<Self> {
        Self::new(sequence, video, sequence.read_pieces(video)?)
    }

    /// The words of exactly this id, or none where the sequence does not have it.
    pub(super) fn read_entry(sequence: &ComputationalSequence, id: &str) -> Result<Self> {
        let entry = sequence.read_sorted(id)?;
        Self::new(sequence, id, entry.map(|entry| (entry, Vec::new())))
    }

    fn new(
        sequence: &ComputationalSequence,
        id: &str,
        read: Option<(Entry, Vec<Option<usize>>)>,
    ) -> Result<Self> {
        let Some((entry, pieces)) = read else {
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
            rows: Rows::new(entry.intervals, pieces),
            words,
        })
    }

    pub(super) fn of(intervals: Vec<[f64; 2]>, words: Vec<String>) -> Self {
        let rows = Rows::new(intervals, Vec::new());
        Self { rows, words }
    }

    /// Rows that are no pauses.
    fn spoken_rows(&self, pause: &str) -> Vec<usize> {
        let words = self.words.iter().map(|word| word.trim()).enumerate();
        let spoken = words.filter(|(_, word)| !word.is_empty() && *word != pause);
        spoken.map(|(row, _)| row).collect()
    }

    /// When each word that is no pause was said.
    fn spoken(&self, pause: &str) -> Vec<[f64; 2]> {
        let rows = self.spoken_rows(pause).into_iter();
        rows.map(|row| self.rows.intervals[row]).collect()
    }

    /// Duration of every word that is no pause, and the pause before it, since what was said in the video before: `spoken`.
    fn timing(&self, pause: &str, spoken: &[[f64; 2]]) -> VideoFrames {
        let rows = self.rows.select(&self.spoken_rows(pause));
        let values = word_timing(&rows.intervals, spoken);
        let frames = Frames::new(values.as_flattened().to_vec(), TIMING_WIDTH);
        VideoFrames { rows, frames }
    }

    /// Where the last of them ends, in seconds.
    pub(super) fn end(&self) -> Option<f64> {
        self.rows.end()
    }

    /// The words of a labelled interval and its number, without pauses, with single spaces between.
    pub(super) fn slice(&self, interval: [f64; 2], number: usize, pause: &str) -> String {
        let rows = self.rows.of(interval, number);
        spoken(rows.into_iter().map(|row| self.words[row].as_str()), pause)
    }

    /// When each word of [`slice`](Self::slice) was said; without an interval, of [`whole`](Self::whole).
    pub(super) fn times(&self, of: Option<([f64; 2], usize)>, pause: &str) -> Vec<[f64; 2]> {
        let rows = match of {
            Some((interval, number)) => self.rows.of(interval, number),
            None => (0..self.words.len()).collect(),
        };
        let times = rows.into_iter().flat_map(|row| {
            let word = self.words[row].trim();
            let words = if word == pause {
                0
            } else {
                word.split_whitespace().count()
            };
            std::iter::repeat_n(self.rows.intervals[row], words)
        });
        times.collect()
    }

    /// All of them, in the same form.
    pub(super) fn whole(&self, pause: &str) -> String {
        spoken(self.words.iter().map(String::as_str), pause)
    }
}

/// The greatest end of some intervals.
fn last_end(intervals: &[[f64; 2]]) -> Option<f64> {
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
