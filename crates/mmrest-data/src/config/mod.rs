//! What to load, as the configuration file says it.

mod files;
mod kinds;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use files::Files;
pub use kinds::{Columns, Download, Kind, Missing, Shorten, SplitFrom, TextFrom};

use crate::Modality;

/// The `[data]` section: which files, what of them, and what to do where they lack something.
///
/// Unknown keys are refused. Files are names below `dir`; `folds` is looked for below the root folder first.
///
/// ```
/// use mmrest_data::{DataConfig, Modality};
///
/// let config: DataConfig = serde_json::from_str(
///     r#"{"modalities": ["text", "audio"], "words": "words.csd", "audio": "audio.csd"}"#,
/// ).unwrap();
/// assert!(config.uses(Modality::Audio) && !config.uses(Modality::Vision));
/// assert!(serde_json::from_str::<DataConfig>(r#"{"modalites": []}"#).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Kind of files.
    pub kind: Kind,
    /// Folder of the files; relative to the root folder, or to the current one where it exists only there.
    pub dir: PathBuf,
    /// The pickle (`kind = "mmsa"`) or the packed set (`kind = "packed"`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The modalities in use.
    pub modalities: Vec<Modality>,
    /// Computational sequence of labelled intervals: its rows are the segments.
    pub labels: String,
    /// Column of `labels` that holds the sentiment.
    pub label_column: usize,
    /// Computational sequence of words. With text from the table it serves to check the join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// Table of transcripts and splits (`label.csv`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Names of the table's columns.
    pub columns: Columns,
    /// Where the text comes from.
    pub text_from: TextFrom,
    /// Where the split comes from.
    pub split_from: SplitFrom,
    /// Folds by video (JSON): relative to the root folder, or else to `dir`.
    pub folds: PathBuf,
    /// Computational sequence of visual features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<String>,
    /// Computational sequence of acoustic features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// Entry of `words` that stands for a pause and is left out of the text.
    pub pause_token: String,
    /// Longer sequences are shortened to this many frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_frames: Option<usize>,
    /// How they are shortened.
    pub shorten: Shorten,
    /// Least and greatest sentiment of the scale; labels beyond it are clamped.
    pub label_range: [f32; 2],
    /// Whether features are standardised with the training split's mean and deviation
    /// ([`FeatureStats`](crate::FeatureStats); done by whoever trains, not by [`load`](crate::load)).
    pub standardize: bool,
    /// What to do with a segment that lacks a modality in use.
    pub missing: Missing,
    /// Which public data set the message about missing files tells where to get.
    pub download: Download,
    /// Where packed sets are kept, from the root folder; it may be deleted at any time.
    pub cache: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Sdk,
            dir: PathBuf::from("data"),
            file: None,
            modalities: Modality::ALL.to_vec(),
            labels: "labels.csd".to_owned(),
            label_column: 0,
            words: None,
            table: None,
            columns: Columns::default(),
            text_from: TextFrom::Words,
            split_from: SplitFrom::Folds,
            folds: PathBuf::from("folds.json"),
            vision: None,
            audio: None,
            pause_token: "sp".to_owned(),
            max_frames: None,
            shorten: Shorten::Mean,
            label_range: [-3.0, 3.0],
            standardize: true,
            missing: Missing::Zero,
            download: Download::None,
            cache: PathBuf::from("runs/cache"),
        }
    }
}

impl DataConfig {
    /// Whether a modality is in use.
    pub fn uses(&self, modality: Modality) -> bool {
        self.modalities.contains(&modality)
    }

    /// The folder of the files.
    pub fn folder(&self, root: &Path) -> PathBuf {
        let below_root = root.join(&self.dir);
        if !below_root.exists() && self.dir.exists() {
            return self.dir.clone();
        }
        below_root
    }
}
