//! What to load, as the configuration file says it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::missing::MissingFiles;
use crate::{DataError, Modality, Result};

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
    /// Longer sequences are averaged down to this many frames, each over an equal span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_frames: Option<usize>,
    /// Whether features are standardised with the training split's mean and deviation
    /// ([`FeatureStats`](crate::FeatureStats); done by whoever trains, not by [`load`](crate::load)).
    pub standardize: bool,
    /// What to do with a segment that lacks a modality in use.
    pub missing: Missing,
    /// Which public data set the message about missing files tells where to get.
    pub download: Download,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Sdk,
            dir: PathBuf::from("data"),
            modalities: Modality::ALL.to_vec(),
            labels: "labels.csd".to_owned(),
            label_column: 0,
            words: None,
            table: None,
            text_from: TextFrom::Words,
            split_from: SplitFrom::Folds,
            folds: PathBuf::from("folds.json"),
            vision: None,
            audio: None,
            pause_token: "sp".to_owned(),
            max_frames: None,
            standardize: true,
            missing: Missing::Zero,
            download: Download::None,
        }
    }
}

/// Kind of files a data set is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Computational sequences of the CMU-MultimodalSDK.
    Sdk,
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

/// Where the split of a segment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitFrom {
    /// The folds file, by video.
    Folds,
    /// The table's mode, by segment.
    Table,
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

/// The files of a configuration, found; one not needed is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) labels: PathBuf,
    pub(crate) words: Option<PathBuf>,
    pub(crate) table: Option<PathBuf>,
    pub(crate) folds: Option<PathBuf>,
    pub(crate) vision: Option<PathBuf>,
    pub(crate) audio: Option<PathBuf>,
}

impl Files {
    pub(crate) fn all(&self) -> Vec<&Path> {
        let optional = [
            &self.words,
            &self.table,
            &self.folds,
            &self.vision,
            &self.audio,
        ];
        std::iter::once(&self.labels)
            .chain(optional.into_iter().flatten())
            .map(PathBuf::as_path)
            .collect()
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

    /// Refuses a configuration that contradicts itself; looks at no file.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`], naming the keys.
    pub fn check(&self) -> Result<()> {
        let text = self.uses(Modality::Text);
        let needs = [
            (
                text && self.text_from == TextFrom::Words,
                &self.words,
                "text_from = \"words\" needs words",
            ),
            (
                text && self.text_from == TextFrom::Table,
                &self.table,
                "text_from = \"table\" needs table",
            ),
            (
                self.split_from == SplitFrom::Table,
                &self.table,
                "split_from = \"table\" needs table",
            ),
            (
                self.uses(Modality::Vision),
                &self.vision,
                "modalities has \"vision\", which needs vision = \"X.csd\"",
            ),
            (
                self.uses(Modality::Audio),
                &self.audio,
                "modalities has \"audio\", which needs audio = \"X.csd\"",
            ),
        ];
        for (needed, file, message) in needs {
            if needed && file.is_none() {
                return Err(DataError::Config(message.to_owned()));
            }
        }
        if self.modalities.is_empty() {
            return Err(DataError::Config("modalities is empty".to_owned()));
        }
        for (i, modality) in self.modalities.iter().enumerate() {
            if self.modalities[..i].contains(modality) {
                return Err(DataError::Config(format!(
                    "modalities has {modality} twice"
                )));
            }
        }
        if self.max_frames == Some(0) {
            return Err(DataError::Config("max_frames is 0".to_owned()));
        }
        Ok(())
    }

    /// Refuses a configuration whose files are not all there; reads none.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`DataError::Missing`], naming every file that is not there.
    pub fn check_files(&self, root: &Path) -> Result<()> {
        self.files(root).map(|_| ())
    }

    /// Finds every file that is needed.
    pub(crate) fn files(&self, root: &Path) -> Result<Files> {
        self.check()?;
        let folder = self.folder(root);
        let text = self.uses(Modality::Text);
        let given = |needed: bool, name: &Option<String>| {
            name.as_ref()
                .filter(|_| needed)
                .map(|name| folder.join(name))
        };
        let table = text || self.split_from == SplitFrom::Table;
        let files = Files {
            labels: folder.join(&self.labels),
            words: given(text, &self.words),
            table: given(table, &self.table),
            folds: (self.split_from == SplitFrom::Folds).then(|| self.folds_file(root, &folder)),
            vision: given(self.uses(Modality::Vision), &self.vision),
            audio: given(self.uses(Modality::Audio), &self.audio),
        };
        let missing = files.all().into_iter().filter(|path| !path.is_file());
        let missing: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
        if missing.is_empty() {
            Ok(files)
        } else {
            Err(DataError::Missing(MissingFiles {
                files: missing,
                folder,
                download: self.download,
            }))
        }
    }

    fn folds_file(&self, root: &Path, folder: &Path) -> PathBuf {
        let below_root = root.join(&self.folds);
        let below_folder = folder.join(&self.folds);
        if !below_root.exists() && below_folder.exists() {
            return below_folder;
        }
        below_root
    }
}
