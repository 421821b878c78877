//! A folder of computational sequences made from recordings, one recording after another.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use mmrest_data::csd::{self, ComputationalSequence, Entry, Features};
use mmrest_data::text::hex;
use mmrest_data::{DataError, Split};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use symphonia::core::io::MediaSource;

use crate::error::{MediaError, Result};
use crate::extract::{ExtractConfig, ExtractedSegment, Extraction, Recording};
use crate::record::{FeatureRecord, RECORD};
use crate::segment_table::{SegmentLabel, SegmentTable};

/// Where the recordings that are done are kept until all are.
const PARTS: &str = "parts";
/// The table of segments.
pub const TABLE: &str = "label.csv";
/// The labelled segments.
const LABELS: &str = "labels.csd";

/// What a recording's part was made of, beside it: see [`source`].
const SOURCE: &str = "source.sha256";

/// Names of the sequences, which are those of their files without `.csd`.
const SEQUENCES: [&str; 4] = ["words", "audio", "timing", "vision"];

/// A folder that recordings are extracted to. Each recording is complete or absent, so an interrupted extraction goes on
/// where it stopped.
#[derive(Debug)]
pub struct FeatureFolder {
    dir: PathBuf,
    config: ExtractConfig,
}

/// How a recording stands in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// It is there, of other segments, of another transcript, or of files of other sizes.
    Changed,
}

/// A segment's row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    start: f64,
    end: f64,
    #[serde(default)]
    id: Option<String>,
    text: String,
}

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// Recordings.
    pub videos: usize,
    /// Their segments.
    pub segments: usize,
    /// Segments with a label.
    pub labelled: usize,
    /// Rows of labels that are of no segment of a recording in the folder.
    pub unused: usize,
}

impl FeatureFolder {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    ///
    /// It cannot be written, or holds features of another extraction.
    pub fn open(dir: &Path, record: &FeatureRecord) -> Result<Self> {
        fs::create_dir_all(dir.join(PARTS)).map_err(|error| MediaError::io(dir, error))?;
        let path = dir.join(RECORD);
        if let Some(there) = FeatureRecord::of_folder(dir)? {
            if there != *record {
                return Err(MediaError::text(
                    &path,
                    "the folder's features were made with other parameters; extract to another folder",
                ));
            }
        } else {
            let text = serde_json::to_string_pretty(record)
                .map_err(|error| MediaError::text(&path, error.to_string()))?;
            fs::write(&path, text + "\n").map_err(|error| MediaError::io(&path, error))?;
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            config: record.config.clone(),
        })
    }

    fn part(&self, video: &str) -> PathBuf {
        self.dir.join(PARTS).join(video)
    }

    /// Whether a recording is already in the folder, as it would be extracted now. Of a part that does not tell what it was
    /// made of, as an older version wrote it, that is taken for granted.
    ///
    /// # Errors
    ///
    /// A file of the folder cannot be read.
    pub fn presence(&self, video: &str, recording: &Recording<'_>) -> Result<Presence> {
        let part = self.part(video);
        if !part.is_dir() {
            return Ok(Presence::Absent);
        }
        let path = part.join(SOURCE);
        if !path.exists() {
            return Ok(Presence::Present);
        }
        let known = fs::read_to_string(&path).map_err(|error| MediaError::io(&path, error))?;
        Ok(if known.trim() == source(recording) {
            Presence::Present
        } else {
            Presence::Changed
        })
    }

    /// Extracts a recording and adds it under an id, `video`, in place of one that is there; says what was left out or is
    /// odd, in sentences.
    ///
    /// # Errors
    ///
    /// The recording cannot be read, a file cannot be written, or the id cannot be a file's name.
    pub fn add(&self, video: &str, recording: &Recording<'_>) -> Result<Vec<String>> {
        if video.is_empty() || video.starts_with('.') || video.contains(['/', '\\', '[', '\0']) {
            let reason = format!("{video:?} cannot be the id of a recording: rename the file");
            return Err(MediaError::text(Path::new(video), reason));
        }
        let part = self.part(video);
        let unfinished = self.dir.join(PARTS).join(format!(".{video}"));
        let io = |error| MediaError::io(&unfinished, error);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(io)?;
        }
        fs::create_dir(&unfinished).map_err(io)?;
        let mut notes = Vec::new();
        let mut rows = Vec::new();
        // Every sequence is a pass of its own, so that no more than a segment of it is in memory.
        for name in SEQUENCES {
            let Some(config) = self.config.only(name) else {
                continue;
            };
            let mut extraction = Extraction::open(recording, &config)?;
            let path = unfinished.join(format!("{name}.csd"));
            let segments = extraction.by_ref();
            write_sequence(
                &path,
                name,
                segments.map(|segment| {
                    let segment = segment?;
                    if name == "words" {
                        rows.push(Row {
                            start: segment.start,
                            end: segment.end,
                            id: segment.id.clone(),
                            text: segment.text.clone(),
                        });
                    }
                    Ok(segment)
                }),
                video,
            )?;
            for note in extraction.finish()? {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        let path = unfinished.join("segments.json");
        let text = serde_json::to_vec(&rows)
            .map_err(|error| MediaError::text(&path, error.to_string()))?;
        fs::write(&path, text).map_err(|error| MediaError::io(&path, error))?;
        let path = unfinished.join(SOURCE);
        fs::write(&path, source(recording) + "\n").map_err(|error| MediaError::io(&path, error))?;
        if part.exists() {
            fs::remove_dir_all(&part).map_err(|error| MediaError::io(&part, error))?;
        }
        fs::rename(&unfinished, &part).map_err(|error| MediaError::io(&part, error))?;
        Ok(notes)
    }

    /// Writes what all recordings of the folder have: `words.csd`, `audio.csd`, `timing.csd` and `vision.csd` as far as they
    /// were extracted, and the table of segments. Entries are of segments, `video[k]`; clips of the table count from 1. With
    /// labels the table has them, and `labels.csd` the labelled segments.
    ///
    /// # Errors
    ///
    /// There is no recording, a file cannot be read or written, or labels cannot be joined.
    pub fn finish(&self, labels: Option<&SegmentTable>) -> Result<Finished> {
        let parts = self.dir.join(PARTS);
        let mut videos = Vec::new();
        for entry in fs::read_dir(&parts).map_err(|error| MediaError::io(&parts, error))? {
            let entry = entry.map_err(|error| MediaError::io(&parts, error))?;
            if let Some(name) = entry
                .file_name()
                .to_str()
                .filter(|name| !name.starts_with('.'))
            {
                videos.push(name.to_owned());
            }
        }
        videos.sort();
        if videos.is_empty() {
            return Err(MediaError::text(&self.dir, "no recording was extracted"));
        }
        for name in SEQUENCES {
            let files: Vec<PathBuf> = videos
                .iter()
                .map(|video| self.part(video).join(format!("{name}.csd")))
                .filter(|path| path.is_file())
                .collect();
            if files.is_empty() {
                continue;
            }
            let path = self.dir.join(format!("{name}.csd"));
            let entries = files.iter().flat_map(|file| entries(file));
            csd::try_write(
                &path,
                name,
                &csd::metadata(name, description(name)),
                6,
                entries,
            )
            .map_err(|error| data(&path, &error))?;
        }
        self.write_table(&videos, labels)
    }

    fn write_table(&self, videos: &[String], labels: Option<&SegmentTable>) -> Result<Finished> {
        let path = self.dir.join(TABLE);
        let wrong = |error: csv::Error| MediaError::text(&path, error.to_string());
        let mut table = csv::Writer::from_path(&path).map_err(wrong)?;
        let columns = ["video_id", "clip_id", "text", "start", "end", "id"];
        // Columns without a value would be taken for damaged ones.
        let with_labels = labels.is_some();
        let with_splits = labels.is_some_and(SegmentTable::has_splits);
        let known = [
            with_labels.then_some("label"),
            with_splits.then_some("mode"),
        ];
        let header = columns.into_iter().chain(known.into_iter().flatten());
        table.write_record(header).map_err(wrong)?;
        let mut finished = Finished {
            videos: videos.len(),
            ..Finished::default()
        };
        let mut labelled = Vec::new();
        for video in videos {
            let path = self.part(video).join("segments.json");
            let bytes = fs::read(&path).map_err(|error| MediaError::io(&path, error))?;
            let rows: Vec<Row> = serde_json::from_slice(&bytes)
                .map_err(|error| MediaError::text(&path, error.to_string()))?;
            let segments: Vec<_> = rows
                .iter()
                .map(|row| ([row.start, row.end], row.id.as_deref()))
                .collect();
            let known = match labels {
                Some(labels) => {
                    let (known, unused) = labels.labels(video, videos.len() == 1, &segments)?;
                    finished.unused += unused;
                    known
                }
                None => vec![SegmentLabel::default(); rows.len()],
            };
            for (i, (row, known)) in rows.iter().zip(&known).enumerate() {
                if let Some(label) = known.label {
                    let entry = Entry {
                        intervals: vec![[row.start, row.end]],
                        features: Features::Numeric {
                            values: vec![label],
                            width: 1,
                        },
                    };
                    labelled.push((format!("{video}[{i}]"), entry));
                }
                let cells = [
                    video.clone(),
                    (i + 1).to_string(),
                    row.text.clone(),
                    row.start.to_string(),
                    row.end.to_string(),
                    row.id.clone().unwrap_or_default(),
                ];
                let label = known.label.map(|label| label.to_string());
                let values = [
                    with_labels.then(|| label.unwrap_or_default()),
                    with_splits.then(|| known.split.map_or("", Split::name).to_owned()),
                ];
                let cells = cells.into_iter().chain(values.into_iter().flatten());
                table.write_record(cells).map_err(wrong)?;
            }
            finished.segments += rows.len();
        }
        table
            .flush()
            .map_err(|error| MediaError::io(&path, error))?;
        finished.labelled = labelled.len();
        let path = self.dir.join(LABELS);
        if labelled.is_empty() && path.exists() {
            fs::remove_file(&path).map_err(|error| MediaError::io(&path, error))?;
        }
        if !labelled.is_empty() {
            let metadata = csd::metadata("labels", "sentiment of the segments");
            csd::write(&path, "labels", &metadata, labelled)
                .map_err(|error| data(&path, &error))?;
        }
        Ok(finished)
    }
}

/// The SHA-256 of what decides what is extracted: the transcript's cues and words, the segments, the frame rate, and the
/// sizes of recording and tables.
fn source(recording: &Recording<'_>) -> String {
    let mut digest = Sha256::new();
    let mut add = |numbers: [f64; 2], text: &str| {
        digest.update(numbers.map(f64::to_le_bytes).as_flattened());
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    };
    for cue in &recording.transcript.cues {
        add([cue.start, cue.end], &cue.text);
        for word in &cue.words {
            add([word.start, word.end], &word.text);
        }
    }
    add([0.0; 2], recording.cuts.map_or("cues", |_| "cuts"));
    for cut in recording.cuts.unwrap_or_default() {
        add([cut.start, cut.end], cut.id.as_deref().unwrap_or_default());
    }
    let rate = recording.frame_rate.unwrap_or_default();
    for file in [recording.media, recording.vision, recording.audio_table] {
        let size = file.and_then(|file| file.open().ok()?.byte_len());
        add([rate, size.unwrap_or_default() as f64], "");
    }
    hex(&digest.finalize())
}

/// The entries of a file, read one after another.
fn entries(path: &Path) -> Box<dyn Iterator<Item = mmrest_data::Result<(String, Entry)>>> {
    let sequence = match ComputationalSequence::open(path) {
        Ok(sequence) => sequence,
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let ids = sequence.ids().to_vec();
    Box::new(ids.into_iter().map(move |id| {
        let entry = sequence.read(&id)?;
        Ok((id, entry))
    }))
}

/// Writes one sequence of a recording, those segments that have rows of it; no file where none has.
fn write_sequence(
    path: &Path,
    name: &str,
    segments: impl Iterator<Item = Result<ExtractedSegment>>,
    video: &str,
) -> Result<()> {
    // What a segment could not be made for; the writer knows errors of data alone.
    let failed = RefCell::new(None);
    let entries = segments
        .enumerate()
        .filter_map(|(i, segment)| match segment {
            Ok(segment) => {
                let entry = match name {
                    "words" => Some(segment.words),
                    "audio" => segment.audio,
                    "vision" => segment.vision,
                    _ => segment.timing,
                };
                let entry = entry.filter(|entry| !entry.is_empty())?;
                Some(Ok((format!("{video}[{i}]"), entry)))
            }
            Err(error) => {
                failed.replace(Some(error));
                Some(Err(DataError::Stopped))
            }
        });
    let mut entries = entries.peekable();
    let written = if entries.peek().is_none() {
        Ok(())
    } else {
        let metadata = csd::metadata(name, description(name));
        csd::try_write(path, name, &metadata, 1, entries)
    };
    match failed.into_inner() {
        Some(error) => Err(error),
        None => written.map_err(|error| data(path, &error)),
    }
}

fn description(name: &str) -> &'static str {
    match name {
        "words" => "spoken words of the transcripts",
        "audio" => "audio features; feature.json names them",
        "vision" => "visual features; feature.json names them",
        _ => "duration of every word and pause before it, in seconds",
    }
}

fn data(path: &Path, error: &DataError) -> MediaError {
    MediaError::text(path, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transcript;

    #[test]
    fn an_extraction_goes_on_where_it_stopped_and_loads_as_a_data_set() {
        let folder = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/audio");
        let transcript = folder.path().join("t.srt");
        let text = "00:00:00,100 --> 00:00:00,700\na good film\n\n00:00:00,700 --> 00:00:01,400\nnot a bad one\n";
        fs::write(&transcript, text).unwrap();
        let transcript = Transcript::read(&transcript).unwrap();
        let config = ExtractConfig {
            audio: Some(crate::FeatureSet::Sims33),
            timing: true,
            ..ExtractConfig::default()
        };
        let record = FeatureRecord::new(&config);
        let out = folder.path().join("out");
        for name in ["glide-16000", "bursts-22050"] {
            let features = FeatureFolder::open(&out, &record).unwrap();
            let media = golden.join(format!("{name}.wav"));
            let recording = Recording::new(Some(&media), &transcript);
            let presence = |recording| features.presence(name, recording).unwrap();
            assert_eq!(presence(&recording), Presence::Absent);
            features.add(name, &recording).unwrap();
            assert_eq!(presence(&recording), Presence::Present);
        }
        let features = FeatureFolder::open(&out, &record).unwrap();
        let labels = folder.path().join("labels.csv");
        fs::write(
            &labels,
            "video_id,clip_id,label\nglide-16000,2,-1.5\nglide-16000,9,1\n",
        )
        .unwrap();
        let finished = features.finish(Some(&SegmentTable::read(&labels).unwrap()));
        let expected = Finished {
            videos: 2,
            segments: 4,
            labelled: 1,
            unused: 1,
        };
        assert_eq!(finished.unwrap(), expected);
        let labelled = ComputationalSequence::open(&out.join(LABELS)).unwrap();
        let entry = labelled.read("glide-16000[1]").unwrap();
        assert_eq!(entry.intervals, [[0.7, 1.4]]);
        let mut words = ComputationalSequence::open(&out.join("words.csd")).unwrap();
        assert_eq!(words.ids()[0], "bursts-22050[0]");
        words = ComputationalSequence::open(&out.join("audio.csd")).unwrap();
        assert_eq!(words.read("glide-16000[1]").unwrap().features.width(), 33);
        let table = fs::read_to_string(out.join(TABLE)).unwrap();
        assert!(
            table.contains("glide-16000,2,not a bad one,0.7,1.4,,-1.5\n"),
            "{table}"
        );
        let other = FeatureRecord::new(&ExtractConfig {
            timing: true,
            ..ExtractConfig::default()
        });
        let error = FeatureFolder::open(&out, &other).unwrap_err();
        assert!(error.to_string().contains("other parameters"), "{error}");
        let recording = Recording::new(None, &transcript);
        assert!(features.add("../up", &recording).is_err());
    }

    #[test]
    fn a_recording_is_extracted_anew_where_transcript_segments_or_files_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let read =
            |text: &str| Transcript::from_bytes(Path::new("t.txt"), text.as_bytes()).unwrap();
        let (first, corrected) = (read("0 1 a god film\n"), read("0 1 a good film\n"));
        let config = ExtractConfig {
            timing: true,
            ..ExtractConfig::default()
        };
        let features = FeatureFolder::open(folder.path(), &FeatureRecord::new(&config)).unwrap();
        features.add("a", &Recording::new(None, &first)).unwrap();
        let cut = |end| crate::Cut {
            start: 0.0,
            end,
            id: None,
        };
        let (cuts, others) = ([cut(1.0)], [cut(0.5)]);
        let of = |cuts| Recording {
            cuts: Some(cuts),
            ..Recording::new(None, &corrected)
        };
        let media = folder.path().join("a.wav");
        fs::write(&media, "1234").unwrap();
        let with_media = Recording::new(Some(&media), &corrected);
        for recording in [
            Recording::new(None, &corrected),
            of(&cuts),
            of(&others),
            with_media,
        ] {
            assert_eq!(
                features.presence("a", &recording).unwrap(),
                Presence::Changed
            );
            features.add("a", &recording).unwrap();
            assert_eq!(
                features.presence("a", &recording).unwrap(),
                Presence::Present
            );
        }
        fs::write(&media, "12345").unwrap();
        assert_eq!(
            features.presence("a", &with_media).unwrap(),
            Presence::Changed
        );
        features.finish(None).unwrap();
        let table = fs::read_to_string(folder.path().join(TABLE)).unwrap();
        assert!(table.contains("a,1,a good film,0,1,"), "{table}");
        // A folder of an older version tells nothing.
        fs::remove_file(folder.path().join("parts/a").join(SOURCE)).unwrap();
        assert_eq!(
            features.presence("a", &of(&cuts)).unwrap(),
            Presence::Present
        );
    }
}
