//! Writes the sample, and a small BERT without weights, to files.

use std::path::{Path, PathBuf};

use mmrest_data::csd::{self, Entry};
use mmrest_data::{DataError, Result, Split};
use serde_json::{Map, Value, json};

use super::{
    ACOUSTIC_FEATURES, Sample, SampleConfig, SampleVideo, VISION_FEATURES, generate, grammar,
};

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
    for (name, text) in small.into_iter().chain(bert_files()) {
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

/// BERT's special tokens.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// The three files, by their paths from the data set's folder.
pub(super) fn bert_files() -> [(PathBuf, String); 3] {
    [
        ("vocab.txt", vocabulary().join("\n") + "\n"),
        ("config.json", pretty(&config())),
        ("tokenizer_config.json", pretty(&tokenizer_config())),
    ]
    .map(|(name, text)| (Path::new(BERT).join(name), text))
}

/// `vocab.txt`: one token a line. Special tokens; letters, at a word's start and within (so that any word can be spelled);
/// the sample's words.
fn vocabulary() -> Vec<String> {
    let letters = 'a'..='z';
    let words = grammar::all().into_iter().filter(|word| word.len() > 1);
    let special = SPECIAL.iter().map(ToString::to_string);
    special
        .chain(letters.clone().map(String::from))
        .chain(letters.map(|letter| format!("##{letter}")))
        .chain(words.map(String::from))
        .collect()
}

/// `config.json`, by Hugging Face's keys.
fn config() -> Value {
    json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary().len(),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 128,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0
    })
}

/// `tokenizer_config.json`.
fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": true,
        "model_max_length": 128,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]"
    })
}
