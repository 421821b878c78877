//! A folder of computational sequences made from recordings, one recording after another.

use std::fs;
use std::path::{Path, PathBuf};

use mmrest_data::DataError;
use mmrest_data::csd::{self, ComputationalSequence, Entry};
use serde::{Deserialize, Serialize};

use crate::error::{MediaError, Result};
use crate::extract::{ExtractConfig, Extracted};
use crate::features::FeatureParameters;

/// Where the recordings that are done are kept until all are.
const PARTS: &str = "parts";
/// Every parameter of the extraction.
const PARAMETERS: &str = "feature.json";
/// The table of segments.
pub const TABLE: &str = "label.csv";

/// Names of the sequences, which are those of their files without `.csd`.
const SEQUENCES: [&str; 3] = ["words", "audio", "timing"];

/// What features were made by: the content of `feature.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureRecord {
    /// Version of this crate.
    pub version: String,
    /// What was extracted.
    pub config: ExtractConfig,
    /// Parameters of the audio features.
    pub parameters: Option<FeatureParameters>,
    /// Columns of `audio.csd`.
    pub audio_columns: Vec<String>,
    /// Columns of `timing.csd`.
    pub timing_columns: Vec<String>,
}

impl FeatureRecord {
    /// The record of an extraction by this version.
    pub fn new(config: &ExtractConfig) -> Self {
        let timing = ["duration", "pause_before"].map(str::to_owned);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.clone(),
            parameters: config.audio.map(|set| set.parameters()),
            audio_columns: config.audio.map(|set| set.columns()).unwrap_or_default(),
            timing_columns: if config.timing {
                timing.to_vec()
            } else {
                Vec::new()
            },
        }
    }
}

/// A folder that recordings are extracted to. Each recording is complete or absent, so an interrupted extraction goes on
/// where it stopped.
#[derive(Debug)]
pub struct FeatureFolder {
    dir: PathBuf,
}

/// A segment's row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    start: f64,
    end: f64,
    text: String,
}

impl FeatureFolder {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    ///
    /// It cannot be written, or holds features of another extraction.
    pub fn open(dir: &Path, record: &FeatureRecord) -> Result<Self> {
        fs::create_dir_all(dir.join(PARTS)).map_err(|error| MediaError::io(dir, error))?;
        let path = dir.join(PARAMETERS);
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(|error| MediaError::io(&path, error))?;
            let there: FeatureRecord = serde_json::from_str(&text)
                .map_err(|error| MediaError::text(&path, error.to_string()))?;
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
        })
    }

    fn part(&self, video: &str) -> PathBuf {
        self.dir.join(PARTS).join(video)
    }

    /// Whether a recording is already in the folder.
    pub fn has(&self, video: &str) -> bool {
        self.part(video).is_dir()
    }

    /// Adds a recording under an id, `video`.
    ///
    /// # Errors
    ///
    /// A file cannot be written, or the id cannot be a file's name.
    pub fn add(&self, video: &str, extracted: &Extracted) -> Result<()> {
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
        for name in SEQUENCES {
            let segments = extracted.segments.iter().enumerate();
            let entries: Vec<(String, Entry)> = segments
                .filter_map(|(i, segment)| {
                    let entry = match name {
                        "words" => Some(&segment.words),
                        "audio" => segment.audio.as_ref(),
                        _ => segment.timing.as_ref(),
                    };
                    let entry = entry.filter(|entry| !entry.is_empty())?;
                    Some((format!("{video}[{i}]"), entry.clone()))
                })
                .collect();
            if !entries.is_empty() {
                let path = unfinished.join(format!("{name}.csd"));
                csd::write_at_level(
                    &path,
                    name,
                    &csd::metadata(name, description(name)),
                    1,
                    entries,
                )
                .map_err(|error| data(&path, &error))?;
            }
        }
        let rows: Vec<Row> = extracted
            .segments
            .iter()
            .map(|segment| Row {
                start: segment.start,
                end: segment.end,
                text: segment.text.clone(),
            })
            .collect();
        let path = unfinished.join("segments.json");
        let text = serde_json::to_vec(&rows)
            .map_err(|error| MediaError::text(&path, error.to_string()))?;
        fs::write(&path, text).map_err(|error| MediaError::io(&path, error))?;
        fs::rename(&unfinished, &part).map_err(|error| MediaError::io(&part, error))
    }

    /// Writes what all recordings of the folder have: `words.csd`, `audio.csd`, `timing.csd` as far as they were extracted,
    /// and the table of segments. Entries are of segments, `video[k]`. Gives the number of recordings and of segments.
    ///
    /// # Errors
    ///
    /// There is no recording, or a file cannot be read or written.
    pub fn finish(&self) -> Result<(usize, usize)> {
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
            let entries = files.iter().flat_map(|file| match entries(file) {
                Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            });
            csd::try_write(
                &path,
                name,
                &csd::metadata(name, description(name)),
                6,
                entries,
            )
            .map_err(|error| data(&path, &error))?;
        }
        let path = self.dir.join(TABLE);
        let wrong = |error: csv::Error| MediaError::text(&path, error.to_string());
        let mut table = csv::Writer::from_path(&path).map_err(wrong)?;
        table
            .write_record(["video_id", "clip_id", "text", "label", "start", "end"])
            .map_err(wrong)?;
        let mut segments = 0;
        for video in &videos {
            let path = self.part(video).join("segments.json");
            let bytes = fs::read(&path).map_err(|error| MediaError::io(&path, error))?;
            let rows: Vec<Row> = serde_json::from_slice(&bytes)
                .map_err(|error| MediaError::text(&path, error.to_string()))?;
            for (i, row) in rows.iter().enumerate() {
                let (start, end) = (row.start.to_string(), row.end.to_string());
                table
                    .write_record([video, &i.to_string(), &row.text, "", &start, &end])
                    .map_err(wrong)?;
            }
            segments += rows.len();
        }
        table
            .flush()
            .map_err(|error| MediaError::io(&path, error))?;
        Ok((videos.len(), segments))
    }
}

fn entries(path: &Path) -> mmrest_data::Result<Vec<(String, Entry)>> {
    let sequence = ComputationalSequence::open(path)?;
    let read = |id: &String| Ok((id.clone(), sequence.read(id)?));
    sequence.ids().iter().map(read).collect()
}

fn description(name: &str) -> &'static str {
    match name {
        "words" => "spoken words of the transcripts",
        "audio" => "audio features; feature.json names them",
        _ => "duration of every word and pause before it, in seconds",
    }
}

fn data(path: &Path, error: &DataError) -> MediaError {
    MediaError::text(path, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Transcript, extract};

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
        };
        let record = FeatureRecord::new(&config);
        let out = folder.path().join("out");
        for name in ["glide-16000", "bursts-22050"] {
            let features = FeatureFolder::open(&out, &record).unwrap();
            assert!(!features.has(name));
            let media = golden.join(format!("{name}.wav"));
            let extracted = extract(&media, &transcript, None, &config).unwrap();
            features.add(name, &extracted).unwrap();
            assert!(features.has(name));
        }
        let features = FeatureFolder::open(&out, &record).unwrap();
        assert_eq!(features.finish().unwrap(), (2, 4));
        let mut words = ComputationalSequence::open(&out.join("words.csd")).unwrap();
        assert_eq!(words.ids()[0], "bursts-22050[0]");
        words = ComputationalSequence::open(&out.join("audio.csd")).unwrap();
        assert_eq!(words.read("glide-16000[1]").unwrap().features.width(), 33);
        let table = fs::read_to_string(out.join(TABLE)).unwrap();
        assert!(
            table.contains("glide-16000,1,not a bad one,,0.7,1.4"),
            "{table}"
        );
        let other = FeatureRecord::new(&ExtractConfig {
            audio: None,
            timing: true,
        });
        let error = FeatureFolder::open(&out, &other).unwrap_err();
        assert!(error.to_string().contains("other parameters"), "{error}");
        assert!(features.add("../up", &extracted_nothing()).is_err());
    }

    fn extracted_nothing() -> Extracted {
        Extracted {
            segments: Vec::new(),
            seconds: None,
            notes: Vec::new(),
        }
    }
}
