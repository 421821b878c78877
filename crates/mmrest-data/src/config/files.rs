//! Which files a configuration needs, and whether they are there.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{AudioFrom, DataConfig, Download, Kind, SplitFrom, TextFrom};
use crate::import::split_files;
use crate::text::count;
use crate::{DataError, Modality, Result};

/// The role of the table of further sentences, which segments are not made of.
pub(crate) const SENTENCES: &str = "sentences";

/// The files of a configuration, found; one not needed is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files {
    /// The pickle or the packed set.
    pub(crate) file: Option<PathBuf>,
    /// The pickles of the other splits, where there is one for each.
    pub(crate) beside: Vec<PathBuf>,
    pub(crate) labels: Option<PathBuf>,
    pub(crate) words: Option<PathBuf>,
    pub(crate) table: Option<PathBuf>,
    pub(crate) folds: Option<PathBuf>,
    pub(crate) vision: Option<PathBuf>,
    pub(crate) audio: Option<PathBuf>,
    pub(crate) sentences: Option<PathBuf>,
}

impl Files {
    /// Each file that is there to be read, and what for.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let every = [
            ("file", &self.file),
            ("labels", &self.labels),
            ("words", &self.words),
            ("table", &self.table),
            ("folds", &self.folds),
            ("vision", &self.vision),
            ("audio", &self.audio),
            (SENTENCES, &self.sentences),
        ];
        let beside = self.beside.iter().map(|path| ("file", path.as_path()));
        every
            .into_iter()
            .filter_map(|(role, path)| Some((role, path.as_deref()?)))
            .chain(beside)
    }

    /// A pickle with the files beside it that hold its other splits, and a table.
    pub(crate) fn of_release(pickle: &Path, table: Option<&Path>) -> Self {
        let mut beside = split_files(pickle);
        beside.retain(|path| path != pickle);
        Self {
            file: Some(pickle.to_path_buf()),
            beside,
            table: table.map(Path::to_path_buf),
            ..Self::default()
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<&Path> {
        self.roles().map(|(_, path)| path).collect()
    }
}

impl DataConfig {
    /// Refuses a configuration that contradicts itself; looks at no file.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`], naming the keys.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(DataError::Config(message));
        if let Some(message) = self.lacking() {
            return wrong(message.to_owned());
        }
        if self.modalities.is_empty() {
            return wrong("modalities is empty".to_owned());
        }
        for (i, modality) in self.modalities.iter().enumerate() {
            if self.modalities[..i].contains(modality) {
                return wrong(format!("modalities has {modality} twice"));
            }
        }
        if self.times_words() && self.kind != Kind::Sdk {
            return wrong(
                "audio_from = \"word-timing\" takes the times of computational sequences: set kind = \"sdk\""
                    .to_owned(),
            );
        }
        if let Some(file) = self.audio.as_ref().filter(|_| self.times_words()) {
            return wrong(format!(
                "audio = {file:?}, but audio_from = \"word-timing\" takes no file: remove one of the two"
            ));
        }
        if self.sentences.is_some() && self.sentence_columns.is_empty() {
            return wrong("sentences is set and sentence_columns is empty".to_owned());
        }
        if self.max_frames == Some(0) {
            return wrong("max_frames is 0".to_owned());
        }
        let shares = self.split_shares;
        let usable = |share: &f64| share.is_finite() && *share >= 0.0;
        if !shares.iter().all(usable) || shares[0] == 0.0 || shares[1] == 0.0 {
            return wrong(format!(
                "split_shares is {shares:?}, not three numbers for train, valid and test, the first two above 0"
            ));
        }
        let [least, greatest] = self.label_range;
        if !(least.is_finite() && greatest.is_finite() && least < greatest) {
            return wrong(format!(
                "label_range is [{least}, {greatest}], not two ascending numbers"
            ));
        }
        Ok(())
    }

    /// What the kind of files needs and the configuration does not name.
    fn lacking(&self) -> Option<&'static str> {
        let text = self.uses(Modality::Text);
        let needs: &[_] = match self.kind {
            Kind::Mmsa => &[(true, &self.file, "kind = \"mmsa\" needs file = \"X.pkl\"")],
            Kind::Packed => &[(true, &self.file, "kind = \"packed\" needs file = \"X.h5\"")],
            Kind::Table => {
                if self.modalities != [Modality::Text] {
                    return Some("kind = \"table\" holds text alone: set modalities = [\"text\"]");
                }
                &[(true, &self.table, "kind = \"table\" needs table")]
            }
            Kind::Sdk => &[
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
                    self.uses(Modality::Audio) && !self.times_words(),
                    &self.audio,
                    "modalities has \"audio\", which needs audio = \"X.csd\"",
                ),
                (
                    self.times_words(),
                    &self.words,
                    "audio_from = \"word-timing\" needs words = \"X.csd\"",
                ),
            ],
        };
        let lacks = |(needed, file, _): &&(bool, &Option<String>, _)| *needed && file.is_none();
        needs.iter().find(lacks).map(|(_, _, message)| *message)
    }

    /// Whether audio is in use and comes from the times of the words.
    pub fn times_words(&self) -> bool {
        self.uses(Modality::Audio) && self.audio_from == AudioFrom::WordTiming
    }

    /// Refuses a configuration whose files are not all there; reads none.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`DataError::Missing`], naming every file that is not there.
    pub fn check_files(&self, root: &Path) -> Result<()> {
        self.files(root).map(|_| ())
    }

    /// The files in a folder of new data that would be read: those that have the configuration's names.
    pub fn files_in(&self, dir: &Path) -> Vec<PathBuf> {
        let named = Files {
            folds: None, // which play no part
            ..self.named(dir, dir)
        };
        let all = named.all().into_iter().filter(|path| path.is_file());
        all.map(Path::to_path_buf).collect()
    }

    /// Finds every file that is needed.
    pub(crate) fn files(&self, root: &Path) -> Result<Files> {
        self.check()?;
        let folder = self.folder(root);
        let files = self.named(root, &folder);
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

    /// Every file that the kind of data needs, whether it is there or not.
    fn named(&self, root: &Path, folder: &Path) -> Files {
        Files {
            sentences: self.sentences_file(folder),
            ..self.named_of_kind(root, folder)
        }
    }

    /// The table of further sentences in a folder, where the configuration names one.
    pub fn sentences_file(&self, folder: &Path) -> Option<PathBuf> {
        self.sentences.as_ref().map(|name| folder.join(name))
    }

    fn named_of_kind(&self, root: &Path, folder: &Path) -> Files {
        let text = self.uses(Modality::Text);
        let by_folds = self.split_from == SplitFrom::Folds;
        let given = |needed: bool, name: &Option<String>| {
            name.as_ref()
                .filter(|_| needed)
                .map(|name| folder.join(name))
        };
        let folds = by_folds.then(|| self.folds_file(root, folder));
        match self.kind {
            Kind::Sdk => Files {
                file: None,
                beside: Vec::new(),
                labels: Some(folder.join(&self.labels)),
                words: given(text || self.times_words(), &self.words),
                table: given(text || self.split_from == SplitFrom::Table, &self.table),
                folds,
                vision: given(self.uses(Modality::Vision), &self.vision),
                audio: given(self.uses(Modality::Audio), &self.audio),
                sentences: None,
            },
            Kind::Mmsa => match given(true, &self.file) {
                Some(file) => Files::of_release(&file, given(true, &self.table).as_deref()),
                None => Files::default(),
            },
            Kind::Table => Files {
                table: given(true, &self.table),
                folds,
                ..Files::default()
            },
            Kind::Packed => Files {
                file: given(true, &self.file),
                ..Files::default()
            },
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

/// Files a configuration names that are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFiles {
    /// All that are missing.
    pub files: Vec<PathBuf>,
    /// The folder that data files belong in.
    pub folder: PathBuf,
    /// The public data set they are part of.
    pub download: Download,
}

impl fmt::Display for MissingFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not found:", count(self.files.len(), "data file"))?;
        for path in &self.files {
            write!(f, "\n  {}", path.display())?;
        }
        write!(f, "\nPut data files into {}", self.folder.display())
    }
}
