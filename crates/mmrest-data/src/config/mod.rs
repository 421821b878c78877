//! The `[data]` section: what to load.

mod files;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Fold, Modality};

pub use files::MissingFiles;
pub(crate) use files::{Files, SENTENCES};

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
    /// Table of further sentences about the segments, for models that read them: its columns of video and clip, named as
    /// the table's, say which segment a row is about. It may be the table itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentences: Option<String>,
    /// Columns of `sentences` that hold one sentence each, in the order that the model takes them in: of the voice and of
    /// the face for DEVA.
    pub sentence_columns: Vec<String>,
    /// Where the text comes from.
    pub text_from: TextFrom,
    /// Where the split comes from; `split` is another name of the key.
    #[serde(alias = "split")]
    pub split_from: SplitFrom,
    /// Seed of the split, where it is random.
    pub split_seed: u64,
    /// Shares of train, valid and test, where the split is random; they need not sum to 1.
    pub split_shares: [f64; 3],
    /// Folds by video (JSON): relative to the root folder, or else to `dir`.
    pub folds: PathBuf,
    /// A fold of a cross-validation, in place of the data set's own splits; read by [`prepare`](crate::prepare()).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// Computational sequence of visual features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<String>,
    /// Computational sequence of acoustic features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// Where the acoustic features come from.
    pub audio_from: AudioFrom,
    /// Entry of `words` that stands for a pause and is left out of the text.
    pub pause_token: String,
    /// What a frame belongs to.
    pub frames: FramesOf,
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
            sentences: None,
            sentence_columns: vec!["voice".to_owned(), "face".to_owned()],
            text_from: TextFrom::Words,
            split_from: SplitFrom::Folds,
            split_seed: 1,
            split_shares: [0.7, 0.1, 0.2],
            folds: PathBuf::from("folds.json"),
            fold: None,
            vision: None,
            audio: None,
            audio_from: AudioFrom::File,
            pause_token: "sp".to_owned(),
            frames: FramesOf::Own,
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

/// Kind of files a data set is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Computational sequences of the CMU-MultimodalSDK.
    Sdk,
    /// A pickle of the processed releases: MMSA's, CH-SIMS's, MulT's, MMIM's or MMRest's.
    Mmsa,
    /// A table alone (`label.csv`): text only.
    Table,
    /// A [packed set](crate::packed).
    Packed,
}

/// What a frame belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FramesOf {
    /// Its own moment: sequences are as long as they are stored.
    #[default]
    Own,
    /// A word: one frame for each word of the text, the mean of those that overlap it, zeros where there are none. Of a
    /// release, which must be an aligned one, the rows as they stand: row i belongs to token i. `max_frames` does not apply.
    Word,
}

/// Where the text of a segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextFrom {
    /// The words whose intervals lie in the segment's.
    Words,
    /// The table's transcript.
    Table,
}

/// Where the acoustic features come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudioFrom {
    /// The computational sequence `audio`.
    #[default]
    File,
    /// The times of the words: a frame for each word, its duration and the pause before it
    /// ([`word_timing`](crate::csd::word_timing)), both in seconds.
    WordTiming,
}

/// Where the split of a segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitFrom {
    /// The folds file, by video.
    Folds,
    /// The table's mode, by segment.
    Table,
    /// Chance, by video: the same for the same seed, shares and videos.
    Random,
}

/// What to do with a segment that lacks a modality in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Keep it: no frames (one zero frame in a batch), empty text.
    Zero,
    /// Leave it out.
    Drop,
    /// Refuse the data set.
    Error,
}

/// A public data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Download {
    /// None: the files are the user's own.
    #[serde(rename = "")]
    None,
    /// CMU-MOSI.
    Mosi,
    /// CMU-MOSEI.
    Mosei,
    /// CMU-MOSI with transcripts and word-level acoustic features: only its labels have a public address.
    #[serde(rename = "mosi-words")]
    MosiWords,
}

/// How a sequence longer than `max_frames` is shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shorten {
    /// Mean pooling: each frame is the mean of one of `max_frames` equal spans.
    Mean,
    /// The first frames.
    Head,
    /// The last frames.
    Tail,
    /// Frames at equal distances, the middle one of each span.
    Uniform,
}

/// Names of a table's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// The video.
    pub video: String,
    /// The clip of the video.
    pub clip: String,
    /// What names a segment in a table without videos.
    pub id: String,
    /// The transcript.
    pub text: String,
    /// The sentiment.
    pub label: String,
    /// The split: train, valid (or dev) or test.
    pub split: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            video: "video_id".to_owned(),
            clip: "clip_id".to_owned(),
            id: "id".to_owned(),
            text: "text".to_owned(),
            label: "label".to_owned(),
            split: "mode".to_owned(),
        }
    }
}
