//! From a recording and its transcript to the sequences of its segments.

use std::path::Path;

use mmrest_data::csd::{Entry, Features};
use mmrest_data::text::{count, few};
use serde::{Deserialize, Serialize};

use crate::audio::{AudioReader, ClipReader, resample};
use crate::error::{MediaError, Result};
use crate::features::FeatureSet;
use crate::transcript::{Transcript, Word};

/// The longest clip, in seconds, that features are computed of at once: longer segments are cut into clips of this length,
/// each with a level and a tuning of its own.
pub const LONGEST_CLIP: f64 = 120.0;

/// What is taken from recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractConfig {
    /// Audio features; none leaves recordings' sound unread.
    pub audio: Option<FeatureSet>,
    /// Whether each word's duration and the pause before it are taken from the transcript.
    pub timing: bool,
}

/// A segment to be cut, in seconds of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// Start.
    pub start: f64,
    /// End, after the start.
    pub end: f64,
}

/// A segment of a recording and what was taken of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractedSegment {
    /// Start in seconds.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// Its words, joined.
    pub text: String,
    /// Words with their times.
    pub words: Entry,
    /// Audio features with the times of their frames.
    pub audio: Option<Entry>,
    /// Duration of every word and pause before it, in seconds.
    pub timing: Option<Entry>,
}

/// The segments of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Extracted {
    /// In the order of their starts.
    pub segments: Vec<ExtractedSegment>,
    /// The recording's length in seconds, where its sound was read.
    pub seconds: Option<f64>,
    /// What was left out or is odd, as sentences.
    pub notes: Vec<String>,
}

/// Takes the segments of a recording: those of `cuts`, or the transcript's cues. A word belongs to the segment in which its
/// middle lies.
///
/// # Errors
///
/// The recording cannot be read, or ends before every segment.
pub fn extract(
    media: &Path,
    transcript: &Transcript,
    cuts: Option<&[Cut]>,
    config: &ExtractConfig,
) -> Result<Extracted> {
    let mut notes = transcript.notes.clone();
    let mut segments = match cuts {
        Some(cuts) => by_cuts(transcript, cuts),
        None => by_cues(transcript),
    };
    segments.sort_by(|a, b| a.start.total_cmp(&b.start));
    let spoken: Vec<&Word> = transcript.words().collect();
    if config.timing {
        for segment in &mut segments {
            segment.timing = Some(timing(&segment.words, &spoken));
        }
    }
    let mut seconds = None;
    if let Some(set) = config.audio {
        let mut clips = ClipReader::new(AudioReader::open(media)?);
        for segment in &mut segments {
            segment.audio = Some(audio(&mut clips, segment.start, segment.end, set, media)?);
        }
        let length = clips.finish()?;
        seconds = Some(length);
        let damage = clips.reader().damage();
        if damage.packets > 0 {
            let packets = count(damage.packets, "packet");
            notes.push(format!("{packets} of its audio could not be decoded"));
        }
        if damage.truncated {
            notes.push(format!("the recording is cut off after {length:.1} s"));
        }
        let silent: Vec<String> = segments
            .iter()
            .filter(|segment| segment.audio.as_ref().is_some_and(Entry::is_empty))
            .map(|segment| format!("{:.1}-{:.1} s", segment.start, segment.end))
            .collect();
        if silent.len() == segments.len() {
            return Err(MediaError::recording(
                media,
                format!(
                    "its sound of {length:.1} s ends before the transcript's first segment at {:.1} s: is it the transcript \
                     of this recording?",
                    segments.first().map_or(0.0, |segment| segment.start)
                ),
            ));
        }
        if !silent.is_empty() {
            notes.push(format!(
                "{} without sound, for the recording ends at {length:.1} s: {}",
                count(silent.len(), "segment"),
                few(&silent, 3)
            ));
        }
    }
    Ok(Extracted {
        segments,
        seconds,
        notes,
    })
}

fn by_cues(transcript: &Transcript) -> Vec<ExtractedSegment> {
    let cues = transcript.cues.iter();
    cues.map(|cue| ExtractedSegment {
        start: cue.start,
        end: cue.end,
        text: cue.text.clone(),
        words: words(&cue.words.iter().collect::<Vec<_>>()),
        audio: None,
        timing: None,
    })
    .collect()
}

fn by_cuts(transcript: &Transcript, cuts: &[Cut]) -> Vec<ExtractedSegment> {
    let cut = |cut: &Cut| {
        let inside = |word: &&Word| {
            let middle = 0.5 * (word.start + word.end);
            cut.start <= middle && middle < cut.end
        };
        let inside: Vec<&Word> = transcript.words().filter(inside).collect();
        let text: Vec<&str> = inside.iter().map(|word| word.text.as_str()).collect();
        ExtractedSegment {
            start: cut.start,
            end: cut.end,
            text: text.join(" "),
            words: words(&inside),
            audio: None,
            timing: None,
        }
    };
    cuts.iter().map(cut).collect()
}

fn words(words: &[&Word]) -> Entry {
    Entry {
        intervals: words.iter().map(|word| [word.start, word.end]).collect(),
        features: Features::Text(words.iter().map(|word| word.text.clone()).collect()),
    }
}

/// Duration of every word, and the pause since the word spoken before it in the recording (0 for the first).
fn timing(words: &Entry, spoken: &[&Word]) -> Entry {
    let row = |&[start, end]: &[f64; 2]| {
        let before = spoken.iter().filter(|word| word.start < start);
        let ended = before
            .map(|word| word.end)
            .fold(f64::NEG_INFINITY, f64::max);
        let pause = if ended.is_finite() {
            (start - ended).max(0.0)
        } else {
            0.0
        };
        [(end - start) as f32, pause as f32]
    };
    Entry {
        intervals: words.intervals.clone(),
        features: Features::Numeric {
            values: words.intervals.iter().flat_map(row).collect(),
            width: 2,
        },
    }
}

/// Features of a segment's sound. A frame's interval is one hop around its centre, within the segment.
fn audio(
    clips: &mut ClipReader,
    start: f64,
    end: f64,
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
        let samples = clips.clip(from, to)?;
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.txt");
        std::fs::write(&path, lines).unwrap();
        Transcript::read(&path).unwrap()
    }

    fn recording() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/audio/bursts-16000.wav")
    }

    const ALL: ExtractConfig = ExtractConfig {
        audio: Some(FeatureSet::Sims33),
        timing: true,
    };

    #[test]
    fn segments_have_words_frames_and_timing_in_their_own_times() {
        let transcript = transcript("0.1 0.5 one two\n0.7 1.2 three\n");
        let extracted = extract(&recording(), &transcript, None, &ALL).unwrap();
        assert_eq!(extracted.seconds, Some(1.5));
        let segment = &extracted.segments[1];
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
        let transcript = transcript("0 1.2 ab cd ef\n");
        let cuts = [
            Cut {
                start: 0.0,
                end: 0.65,
            },
            Cut {
                start: 0.65,
                end: 1.2,
            },
        ];
        let extracted = extract(&recording(), &transcript, Some(&cuts), &ALL).unwrap();
        let texts: Vec<&str> = extracted.segments.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["ab cd", "ef"]);
    }

    #[test]
    fn a_transcript_beyond_the_recording_is_noted_and_another_ones_refused() {
        let longer = transcript("0.1 0.5 one\n7 8 two\n");
        let extracted = extract(&recording(), &longer, None, &ALL).unwrap();
        let notes = extracted.notes.join("\n");
        assert!(notes.contains("1 segment without sound"), "{notes}");
        let error = extract(&recording(), &transcript("7 8 two\n"), None, &ALL).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("is it the transcript of this recording?"),
            "{error}"
        );
    }
}
