//! The sample as files.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{
    ACOUSTIC_FEATURES, Sample, SampleConfig, SampleVideo, VISION_FEATURES, bert, generate,
};
use mmrest_data::csd::{self, Entry};
use mmrest_data::{DataError, Result, Split};

/// Words and pauses.
pub const WORDS: &str = "SAMPLE_TimestampedWords.csd";
/// The face, 15 frames a second.
pub const VISION: &str = "SAMPLE_Vision.csd";
/// The voice, 20 frames a second.
pub const ACOUSTIC: &str = "SAMPLE_Acoustic.csd";
/// Labelled intervals; column 0 is the sentiment.
pub const LABELS: &str = "SAMPLE_Labels.csd";
/// Which video is for what.
pub const FOLDS: &str = "folds.json";
/// Folder of the vocabulary and the shape of a small BERT, without weights.
pub const BERT: &str = "bert";

/// Generates the sample and writes the whole folder, making it if need be: [`WORDS`], [`VISION`], [`ACOUSTIC`],
/// [`LABELS`], [`FOLDS`], and in [`BERT`] `vocab.txt`, `config.json` and `tokenizer_config.json`. Each file appears whole
/// or not at all, in place of an older one. Returns their paths.
///
/// ```
/// use mmrest_data::csd::ComputationalSequence;
/// use mmrest_datatools::sample::{self, SampleConfig};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// let files = sample::write(&SampleConfig { videos: 3, ..SampleConfig::default() }, folder.path())?;
/// assert_eq!(files.len(), 8);
///
/// let labels = ComputationalSequence::open(&folder.path().join(sample::LABELS))?;
/// assert_eq!(labels.ids(), ["review_01", "review_02", "review_03"]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`DataError::Io`] where the folder cannot be written to; [`DataError::Config`] for a sample without segments.
pub fn write(config: &SampleConfig, dir: &Path) -> Result<Vec<PathBuf>> {
    if config.videos == 0 || config.segments_per_video == 0 {
        return Err(DataError::Config(format!(
            "a sample of {} videos with {} segments each has no data to write",
            config.videos, config.segments_per_video
        )));
    }
    let sample = generate(config);
    let mut files = sequences(&sample, dir)?;
    let small = [(PathBuf::from(FOLDS), pretty(&folds(&sample)))];
    for (name, text) in small.into_iter().chain(bert::files()) {
        let path = dir.join(name);
        mmrest_data::files::write(&path, text.as_bytes())?;
        files.push(path);
    }
    Ok(files)
}

/// One computational sequence: its file, root and description, what its columns are, and what it holds of a video.
type Sequence = (
    &'static str,
    &'static str,
    &'static str,
    Value,
    fn(&SampleVideo) -> Entry,
);

/// Writes the four computational sequences.
fn sequences(sample: &Sample, dir: &Path) -> Result<Vec<PathBuf>> {
    let all: [Sequence; 4] = [
        (
            WORDS,
            "words",
            "words and pauses",
            json!(["word"]),
            |video| video.words.clone(),
        ),
        (
            VISION,
            "vision",
            "face, head pose and gaze",
            json!(VISION_FEATURES),
            |video| video.vision.clone(),
        ),
        (
            ACOUSTIC,
            "acoustic",
            "pitch, energy and voice quality",
            json!(ACOUSTIC_FEATURES),
            |video| video.acoustic.clone(),
        ),
        (
            LABELS,
            "labels",
            "sentiment in -3 to 3",
            json!(["sentiment"]),
            SampleVideo::labels,
        ),
    ];
    all.into_iter()
        .map(|(file, root, description, columns, entry)| {
            let path = dir.join(file);
            let mut metadata = csd::metadata(root, description);
            metadata.insert("dataset name".to_owned(), json!("mmrest sample"));
            metadata.insert("dimension names".to_owned(), columns);
            let entries = sample.videos.iter().map(|video| (&video.id, entry(video)));
            csd::write(&path, root, &metadata, entries)?;
            Ok(path)
        })
        .collect()
}

/// `{"train": [ids], "valid": [ids], "test": [ids]}`.
fn folds(sample: &Sample) -> Value {
    let of = |split: Split| -> Vec<&str> {
        let videos = sample.videos.iter().filter(|video| video.split == split);
        videos.map(|video| video.id.as_str()).collect()
    };
    let folds = Split::ALL.map(|split| (split.name().to_owned(), json!(of(split))));
    Value::Object(Map::from_iter(folds))
}

pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
