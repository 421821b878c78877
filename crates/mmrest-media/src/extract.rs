//! From a recording and its transcript to the sequences of its segments, one after another.

use std::path::{Path, PathBuf};

use mmrest_data::csd::{Entry, Features, TIMING_WIDTH, word_timing};
use mmrest_data::text::{count, few};
use serde::{Deserialize, Serialize};

use crate::audio::{AudioLimits, AudioReader, ClipReader, resample};
use crate::error::{MediaError, Result};
use crate::features::FeatureSet;
use crate::file::MediaFile;
use crate::mp4;
use crate::tables::{TableReader, TableSet};
use crate::transcript::{Transcript, Word};

/// The longest clip, in seconds, that features are computed of at once: longer segments are cut into clips of this length,
/// each with a level and a tuning of its own.
pub const LONGEST_CLIP: f64 = 120.0;

/// Seconds by which segments may end after the recording without a note: transcripts round their times.
const LATE: f64 = 1.0;

/// What is taken from recordings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtractConfig {
    /// Audio features; none leaves recordings' sound unread.
    pub audio: Option<FeatureSet>,
    /// Whether each word's duration and the pause before it are taken from the transcript.
    pub timing: bool,
    /// What is taken of another program's table as visual features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<TableSet>,
    /// What is taken of another program's table as audio features, in place of `audio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_table: Option<TableSet>,
}

impl ExtractConfig {
    /// What makes one of a folder's sequences alone; none where it is not asked for.
    pub(crate) fn only(&self, name: &str) -> Option<Self> {
        let nothing = Self::default();
        match name {
            "words" => Some(nothing),
            "audio" => (self.audio.is_some() || self.audio_table.is_some()).then(|| Self {
                audio: self.audio,
                audio_table: self.audio_table.clone(),
                ..nothing
            }),
            "vision" => self.vision.as_ref().map(|set| Self {
                vision: Some(set.clone()),
                ..nothing
            }),
            "timing" => self.timing.then_some(Self {
                timing: true,
                ..nothing
            }),
            _ => None,
        }
    }
}

/// A segment to be cut, in seconds of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// Start.
    pub start: f64,
    /// End, after the start.
    pub end: f64,
    /// What it is called.
    pub id: Option<String>,
}

/// A recording and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// Its file; without one nothing is taken of its sound.
    pub media: Option<MediaFile<'a>>,
    /// Its transcript.
    pub transcript: &'a Transcript,
    /// The segments; without them those of the transcript's cues.
    pub cuts: Option<&'a [Cut]>,
    /// Another program's table of visual features.
    pub vision: Option<MediaFile<'a>>,
    /// Another program's table of audio features.
    pub audio_table: Option<MediaFile<'a>>,
    /// Frames of the video in a second, for tables that count frames; those of an mp4 or mov file are read from it.
    pub frame_rate: Option<f64>,
}

impl<'a> Recording<'a> {
    /// A recording on disk cut at its transcript's cues, without tables of other programs.
    pub fn new(media: Option<&'a Path>, transcript: &'a Transcript) -> Self {
        Self {
            media: media.map(MediaFile::Disk),
            transcript,
            cuts: None,
            vision: None,
            audio_table: None,
            frame_rate: None,
        }
    }
}

/// A segment of a recording and what was taken of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractedSegment {
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// What its [`Cut`] is called.
    pub id: Option<String>,
    /// Its words, joined.
    pub text: String,
    /// Words with their times.
    pub words: Entry,
    /// Audio features with the times of their frames.
    pub audio: Option<Entry>,
    /// Visual features with the times of their frames.
    pub vision: Option<Entry>,
    /// Duration of every word and pause before it, in seconds.
    pub timing: Option<Entry>,
}

/// The segments of a recording in the order of their starts, each taken when it is asked for: memory holds the words of all
/// segments, and the sound of one (of those longer than [`LONGEST_CLIP`] that much).
///
/// A word belongs to the segment in which its middle lies. The first error ends the segments.
pub struct Extraction {
    media: PathBuf,
    segments: Vec<ExtractedSegment>,
    next: usize,
    /// Starts of all words in order, each with the last end so far.
    spoken: Vec<[f64; 2]>,
    timing: bool,
    sound: Option<(FeatureSet, ClipReader)>,
    vision: Option<TableReader>,
    audio_table: Option<TableReader>,
    /// Segments without any sound.
    silent: Vec<String>,
    notes: Vec<String>,
}

impl Extraction {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// Its sound or a table is to be read, and cannot be.
    pub fn open(recording: &Recording<'_>, config: &ExtractConfig) -> Result<Self> {
        Self::open_within(recording, config, AudioLimits::default())
    }

    /// As [`open`](Self::open), within limits of its sound.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_within(
        recording: &Recording<'_>,
        config: &ExtractConfig,
        limits: AudioLimits,
    ) -> Result<Self> {
        let transcript = recording.transcript;
        let mut segments = match recording.cuts {
            Some(cuts) => by_cuts(transcript, cuts),
            None => by_cues(transcript),
        };
        segments.sort_by(|a, b| a.start.total_cmp(&b.start));
        let mut spoken: Vec<[f64; 2]> = transcript
            .words()
            .map(|word| [word.start, word.end])
            .collect();
        spoken.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let mut latest = f64::NEG_INFINITY;
        for [_, end] in &mut spoken {
            latest = latest.max(*end);
            *end = latest;
        }
        let sound = match (config.audio, recording.media) {
            (Some(set), Some(media)) => {
                let reader = AudioReader::open_within(media, limits)?;
                Some((set, ClipReader::new(reader)))
            }
            _ => None,
        };
        let rate = || {
            let given = recording.frame_rate;
            given.or_else(|| mp4::frame_rate(recording.media?))
        };
        let table = |file: Option<MediaFile<'_>>, set: &Option<TableSet>| {
            let given = file.zip(set.as_ref());
            let opened = given.map(|(file, set)| TableReader::open(file, set, rate()));
            opened.transpose()
        };
        Ok(Self {
            vision: table(recording.vision, &config.vision)?,
            audio_table: table(recording.audio_table, &config.audio_table)?,
            media: recording
                .media
                .map_or(Path::new(""), MediaFile::name)
                .to_path_buf(),
            segments,
            next: 0,
            spoken,
            timing: config.timing,
            sound,
            silent: Vec::new(),
            notes: transcript.notes.clone(),
        })
    }

    /// How many segments there are, taken or not.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there is no segment.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn take(&mut self) -> Result<Option<ExtractedSegment>> {
        let Some(segment) = self.segments.get(self.next) else {
            return Ok(None);
        };
        let mut segment = segment.clone();
        self.next += 1;
        let following = self.segments.get(self.next);
        let following = following.map_or(f64::INFINITY, |next| next.start);
        if self.timing {
            segment.timing = Some(timing(&segment.words, &self.spoken));
        }
        let span = [segment.start, segment.end];
        if let Some(table) = &mut self.vision {
            segment.vision = Some(table.rows(span, following)?);
        }
        if let Some(table) = &mut self.audio_table {
            segment.audio = Some(table.rows(span, following)?);
        }
        if let Some((set, clips)) = &mut self.sound {
            let frames = audio(clips, span, following, *set, &self.media)?;
            if frames.is_empty() {
                if self.next == 1 && clips.ended() {
                    return Err(MediaError::recording(
                        &self.media,
                        format!(
                            "its sound of {:.1} s ends before the transcript's first segment at {:.1} s: is it the \
                             transcript of this recording?",
                            clips.finish()?,
                            segment.start
                        ),
                    ));
                }
                let span = format!("{:.1}-{:.1} s", segment.start, segment.end);
                self.silent.push(span);
            }
            segment.audio = Some(frames);
        }
        Ok(Some(segment))
    }

    /// Reads the recording to its end, and says what was left out or is odd, in sentences.
    ///
    /// # Errors
    ///
    /// The recording cannot be read on.
    pub fn finish(mut self) -> Result<Vec<String>> {
        if let Some((_, clips)) = &mut self.sound {
            let length = clips.finish()?;
            let damage = clips.reader().damage();
            if damage.packets > 0 {
                let packets = count(damage.packets, "packet");
                self.notes
                    .push(format!("{packets} of its audio could not be decoded"));
            }
            if damage.samples > 0 {
                let samples = count(damage.samples, "sample");
                self.notes.push(format!(
                    "{samples} of its sound are no numbers: taken as silence"
                ));
            }
            if damage.altered {
                let altered = "its sound is not what was encoded, by the checksum in the file";
                self.notes.push(altered.to_owned());
            }
            if damage.truncated {
                self.notes
                    .push(format!("the recording is cut off after {length:.1} s"));
            }
            if !self.silent.is_empty() {
                self.notes.push(format!(
                    "{} without sound, for the recording ends at {length:.1} s: {}",
                    count(self.silent.len(), "segment"),
                    few(&self.silent, 3)
                ));
            } else if let Some(last) = self.segments.iter().map(|s| s.end).reduce(f64::max)
                && last > length + LATE
            {
                let note =
                    format!("its sound ends at {length:.1} s, the last segment at {last:.1} s");
                self.notes.push(note);
            }
        }
        let tables = [self.vision, self.audio_table].into_iter().flatten();
        self.notes.extend(tables.flat_map(|table| table.notes()));
        Ok(self.notes)
    }
}

impl Iterator for Extraction {
    type Item = Result<ExtractedSegment>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = self.take().transpose();
        if let Some(Err(_)) = taken {
            self.next = self.segments.len();
        }
        taken
    }
}

fn by_cues(transcript: &Transcript) -> Vec<ExtractedSegment> {
    let cues = transcript.cues.iter();
    cues.map(|cue| ExtractedSegment {
        start: cue.start,
        end: cue.end,
        id: None,
        text: cue.text.clone(),
        words: words(&cue.words.iter().collect::<Vec<_>>()),
        audio: None,
        vision: None,
        timing: None,
    })
    .collect()
}

fn by_cuts(transcript: &Transcript, cuts: &[Cut]) -> Vec<ExtractedSegment> {
    let words_by_middle = WordsByMiddle::new(transcript);
    let cut = |cut: &Cut| {
        let inside = words_by_middle.inside(cut);
        let text: Vec<&str> = inside.iter().map(|word| word.text.as_str()).collect();
        ExtractedSegment {
            start: cut.start,
            end: cut.end,
            id: cut.id.clone(),
            text: text.join(" "),
            words: words(&inside),
            audio: None,
            vision: None,
            timing: None,
        }
    };
    cuts.iter().map(cut).collect()
}

/// The words of a transcript, found by where their middles lie.
pub(crate) struct WordsByMiddle<'a> {
    /// Middle, number in the transcript, word; by the first.
    words: Vec<(f64, usize, &'a Word)>,
}

impl<'a> WordsByMiddle<'a> {
    pub(crate) fn new(transcript: &'a Transcript) -> Self {
        let numbered = transcript.words().enumerate();
        let mut words: Vec<_> = numbered
            .map(|(number, word)| (0.5 * (word.start + word.end), number, word))
            .collect();
        words.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { words }
    }

    fn range(&self, cut: &Cut) -> &[(f64, usize, &'a Word)] {
        let before = |time: f64| self.words.partition_point(|(middle, ..)| *middle < time);
        let (from, to) = (before(cut.start), before(cut.end));
        &self.words[from..to.max(from)]
    }

    /// How many words lie in a cut.
    pub(crate) fn count(&self, cut: &Cut) -> usize {
        self.range(cut).len()
    }

    /// The words in a cut, in the transcript's order.
    fn inside(&self, cut: &Cut) -> Vec<&'a Word> {
        let mut inside = self.range(cut).to_vec();
        inside.sort_by_key(|(_, number, _)| *number);
        inside.into_iter().map(|(.., word)| word).collect()
    }
}

fn words(words: &[&Word]) -> Entry {
    Entry {
        intervals: words.iter().map(|word| [word.start, word.end]).collect(),
        features: Features::Text(words.iter().map(|word| word.text.clone()).collect()),
    }
}

/// Duration of every word, and the pause since the word spoken before it in the recording (0 for the first).
fn timing(words: &Entry, spoken: &[[f64; 2]]) -> Entry {
    let starts = || words.intervals.iter().map(|[start, _]| *start);
    let before = |time: f64| spoken.partition_point(|[start, _]| *start < time);
    // Of what was spoken before the first of them, the last word tells all.
    let from = before(starts().fold(f64::INFINITY, f64::min)).saturating_sub(1);
    let to = before(starts().fold(f64::NEG_INFINITY, f64::max)).max(from);
    let rows = word_timing(&words.intervals, &spoken[from..to]);
    Entry {
        intervals: words.intervals.clone(),
        features: Features::Numeric {
            values: rows.as_flattened().to_vec(),
            width: TIMING_WIDTH,
        },
    }
}

/// Features of a segment's sound. A frame's interval is one hop around its centre, within the segment. The next segment
/// begins at `following`.
fn audio(
    clips: &mut ClipReader,
    [start, end]: [f64; 2],
    following: f64,
    set: FeatureSet,
    media: &Path,
) -> Result<Entry> {
    let parameters = set.parameters();
    let hop = f64::from(u32::try_from(parameters.hop_length).unwrap_or(u32::MAX))
        / f64::from(parameters.sample_rate);
    let (mut intervals, mut values) = (Vec::new(), Vec::new());
    let mut from = start;
    while from < end {
        let to = (from + LONGEST_CLIP).min(end);
        let samples = clips.clip(from, to, following)?;
        let samples = resample(
            &samples,
            clips.reader().sample_rate(),
            parameters.sample_rate,
        )
        .map_err(|error| MediaError::recording(media, error.to_string()))?;
        let frames = set.compute(&samples);
        for t in 0..frames.len() {
            let centre = from + t as f64 * hop;
            let interval = [(centre - hop / 2.0).max(from), (centre + hop / 2.0).min(to)];
            // The last centre may lie on the end itself, where only its first half is inside.
            intervals.push([interval[0].min(interval[1]), interval[1]]);
        }
        values.extend(frames.values);
        if clips.ends_before(to) {
            break; // However far beyond it the segment's end is said to lie.
        }
        from = to;
    }
    let width = set.columns().len();
    Ok(Entry {
        intervals,
        features: Features::Numeric { values, width },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(lines: &str) -> Transcript {
        Transcript::from_bytes(Path::new("t.txt"), lines.as_bytes()).unwrap()
    }

    fn media() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/audio/bursts-16000.wav")
    }

    const ALL: ExtractConfig = ExtractConfig {
        audio: Some(FeatureSet::Sims33),
        timing: true,
        vision: None,
        audio_table: None,
    };

    /// The segments and the notes.
    fn extract(lines: &str, cuts: Option<&[Cut]>) -> Result<(Vec<ExtractedSegment>, String)> {
        let transcript = transcript(lines);
        let media = media();
        let recording = Recording {
            cuts,
            ..Recording::new(Some(&media), &transcript)
        };
        let mut extraction = Extraction::open(&recording, &ALL)?;
        let segments = extraction.by_ref().collect::<Result<_>>()?;
        Ok((segments, extraction.finish()?.join("\n")))
    }

    #[test]
    fn segments_have_words_frames_and_timing_in_their_own_times() {
        let (segments, _) = extract("0.1 0.5 one two\n0.7 1.2 three\n", None).unwrap();
        let segment = &segments[1];
        assert_eq!(
            (segment.start, segment.end, segment.text.as_str()),
            (0.7, 1.2, "three")
        );
        let Some(Features::Numeric { values, width }) =
            segment.timing.as_ref().map(|entry| &entry.features)
        else {
            panic!("timing is numbers")
        };
        assert_eq!(*width, 2);
        assert!(
            (values[0] - 0.5).abs() < 1e-6 && (values[1] - 0.2).abs() < 1e-6,
            "{values:?}"
        );
        let audio = segment.audio.as_ref().unwrap();
        // 0.5 s at 22,050 Hz are 11,025 samples.
        assert_eq!(audio.len(), 1 + 11_025 / 512);
        assert!(
            audio
                .intervals
                .iter()
                .all(|&[from, to]| 0.7 <= from && from <= to && to <= 1.2)
        );
    }

    #[test]
    fn a_cut_takes_the_words_whose_middles_lie_in_it() {
        let cut = |start, end| Cut {
            start,
            end,
            id: None,
        };
        let cuts = [cut(0.0, 0.65), cut(0.65, 1.2)];
        let (segments, _) = extract("0 1.2 ab cd ef\n", Some(&cuts)).unwrap();
        let texts: Vec<&str> = segments.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["ab cd", "ef"]);
    }

    #[test]
    fn overlapping_cues_each_have_their_whole_sound() {
        let (segments, notes) = extract("0.1 1.2 one\n0.2 0.5 two\n", None).unwrap();
        let alone = extract("0.2 0.5 two\n", None).unwrap().0;
        assert_eq!(segments[1].audio, alone[0].audio);
        assert!(notes.contains("before the previous cue's end"), "{notes}");
    }

    #[test]
    fn an_end_beyond_all_time_ends_with_the_recording() {
        let (segments, _) = extract(
            "0.1 1e300 one\n"
                .replace("1e300", &"9".repeat(300))
                .as_str(),
            None,
        )
        .unwrap();
        let to_the_end = extract("0.1 100 one\n", None).unwrap().0;
        assert_eq!(segments[0].audio, to_the_end[0].audio);
    }

    #[test]
    fn samples_that_are_no_numbers_are_silence_and_counted() {
        let samples = (0..8000).map(|i| match i % 100 {
            0 => f32::NAN,
            1 => f32::NEG_INFINITY,
            2 => 1e38,
            _ => 0.25 * (i as f32 * 0.1).sin(),
        });
        let data: Vec<u8> = samples.flat_map(f32::to_le_bytes).collect();
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x03\0\x01\0".to_vec();
        file.extend([8000_u32, 32_000].map(u32::to_le_bytes).as_flattened());
        file.extend([4, 0, 32, 0]);
        file.extend(b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("float.wav");
        let size = file.len() as u32 - 8;
        file[4..8].copy_from_slice(&size.to_le_bytes());
        std::fs::write(&path, file).unwrap();
        let transcript = transcript("0.1 0.9 one\n");
        let recording = Recording::new(Some(&path), &transcript);
        let mut extraction = Extraction::open(&recording, &ALL).unwrap();
        let segments: Vec<_> = extraction.by_ref().collect::<Result<_>>().unwrap();
        let Some(Features::Numeric { values, .. }) =
            segments[0].audio.as_ref().map(|entry| &entry.features)
        else {
            panic!("numbers")
        };
        assert!(!values.is_empty() && values.iter().all(|value| value.is_finite()));
        let notes = extraction.finish().unwrap().join("\n");
        assert!(
            notes.contains("240 samples of its sound are no numbers"),
            "{notes}"
        );
    }

    #[test]
    fn words_of_a_cut_keep_the_transcripts_order() {
        let whole = Cut {
            start: 0.0,
            end: 9.0,
            id: None,
        };
        let lines = "0 4 ab cd\n1 2 ef\n";
        let (segments, _) = extract(lines, Some(std::slice::from_ref(&whole))).unwrap();
        assert_eq!(segments[0].text, "ab cd ef");
        let transcript = transcript(lines);
        assert_eq!(WordsByMiddle::new(&transcript).count(&whole), 3);
    }

    #[test]
    fn a_transcript_beyond_the_recording_is_noted_and_another_ones_refused() {
        let (segments, notes) = extract("0.1 0.5 one\n7 8 two\n", None).unwrap();
        assert!(notes.contains("1 segment without sound"), "{notes}");
        assert!(segments[1].audio.as_ref().is_some_and(Entry::is_empty));
        // The last segment has some sound; one second is what transcripts round by.
        let (_, notes) = extract("0.1 0.5 one\n0.6 9 two\n", None).unwrap();
        assert!(
            notes.contains("its sound ends at 1.5 s, the last segment at 9.0 s"),
            "{notes}"
        );
        let (_, notes) = extract("0.1 0.5 one\n0.6 2.4 two\n", None).unwrap();
        assert!(!notes.contains("its sound ends"), "{notes}");
        let error = extract("7 8 two\n", None).unwrap_err().to_string();
        assert!(
            error.contains("is it the transcript of this recording?"),
            "{error}"
        );
        assert!(error.contains("its sound of 1.5 s"), "{error}");
    }
}
