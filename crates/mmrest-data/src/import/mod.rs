//! The pickles of the processed releases: MMSA's and CH-SIMS's (`unaligned_50.pkl`, `aligned_50.pkl`,
//! `unaligned_39.pkl`), and those of MulT, MMIM and MMRest (`mosi_data_noalign.pkl`, `mosei_senti_data_noalign.pkl`),
//! which hold no words and need the table for them.

mod cells;
mod join;
mod pack;
mod part;
mod source;

use std::path::{Path, PathBuf};

use crate::pickle::{Pickle, Value};
use crate::{DataError, Modality, Result, Split};

pub use pack::import;
pub use part::{Padding, Unpadded, unpad};
pub(crate) use source::ReleaseSource;

/// A pickle that is one of the processed releases.
#[derive(Debug)]
pub(crate) struct Release {
    pickle: Pickle,
    layout: Layout,
    /// Each split that is there, with the name it has in the file. New data may have none: one part without a name.
    splits: Vec<(Option<Split>, String)>,
}

/// Key of the ids of a split's segments.
pub const ID: &str = "id";

/// Key of their transcripts.
pub const TEXT: &str = "raw_text";

/// Key of the stated lengths of a modality's sequences.
pub fn lengths(modality: Modality) -> String {
    format!("{modality}_lengths")
}

/// Which family of releases a pickle belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// MMSA and CH-SIMS: with text; frames first, then zeros.
    Mmsa,
    /// MulT, MMIM and MMRest: without text; zeros first, then frames.
    Mult,
}

impl Layout {
    /// The family whose keys a split has, if it has those of one.
    pub fn of(split: Value<'_>) -> Option<Self> {
        let has = |key: &str| split.get(key).is_some();
        if has(TEXT) || has(Self::Mmsa.labels()) {
            return Some(Self::Mmsa);
        }
        has(Self::Mult.labels()).then_some(Self::Mult)
    }

    /// Key of the sentiments.
    pub fn labels(self) -> &'static str {
        match self {
            Self::Mmsa => "regression_labels",
            Self::Mult => "labels",
        }
    }

    /// Where zero frames fill up a sequence.
    pub fn padding(self) -> Padding {
        match self {
            Self::Mmsa => Padding::Right,
            Self::Mult => Padding::Left,
        }
    }
}

impl Release {
    /// Opens a pickle and tells by its keys which release it is of.
    ///
    /// # Errors
    ///
    /// Those of [`Pickle::open`]; [`DataError::Release`] where it is none.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let pickle = Pickle::open(path)?;
        let mut splits = splits(&pickle)?;
        if splits.is_empty() && pickle.root().get(ID).is_some() {
            splits.push((None, String::new()));
        }
        let Some((_, first)) = splits.first() else {
            return Err(no_split(&pickle));
        };
        let part = part(&pickle, first);
        let Some(layout) = part.and_then(Layout::of) else {
            let keys = part.map(keys).unwrap_or_default();
            let reason = format!(
                "neither \"regression_labels\" nor \"labels\" is there; the keys are {keys}"
            );
            return Err(wrong(path, first, reason));
        };
        Ok(Self {
            pickle,
            layout,
            splits,
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        self.pickle.path()
    }

    /// What the release has, with a table at hand or without.
    pub(crate) fn modalities(&self, table: bool) -> Vec<Modality> {
        let has = |key: &str| {
            let mut parts = self.splits.iter().filter_map(|(_, name)| self.part(name));
            parts.any(|part| part.get(key).is_some())
        };
        let mut modalities = Vec::new();
        if table || self.layout == Layout::Mmsa {
            modalities.push(Modality::Text);
        }
        for modality in [Modality::Vision, Modality::Audio] {
            if has(modality.name()) {
                modalities.push(modality);
            }
        }
        modalities
    }

    fn part(&self, name: &str) -> Option<Value<'_>> {
        part(&self.pickle, name)
    }

    /// Refuses data that are not divided into splits.
    fn check_splits(&self) -> Result<()> {
        if self.splits.iter().all(|(split, _)| split.is_some()) {
            return Ok(());
        }
        Err(no_split(&self.pickle))
    }

    fn wrong(&self, place: &str, reason: impl Into<String>) -> DataError {
        wrong(self.path(), place, reason)
    }
}

/// The dictionary of a split; the whole pickle where it is not divided.
fn part<'p>(pickle: &'p Pickle, name: &str) -> Option<Value<'p>> {
    match name {
        "" => Some(pickle.root()),
        name => pickle.root().get(name),
    }
}

fn no_split(pickle: &Pickle) -> DataError {
    let reason = format!(
        "no processed release: of train, valid and test it has none; its keys are {}",
        keys(pickle.root())
    );
    wrong(pickle.path(), "the whole", reason)
}

/// The splits of a pickle, in the order of use.
fn splits(pickle: &Pickle) -> Result<Vec<(Option<Split>, String)>> {
    let root = pickle.root();
    let Some(entries) = root.entries() else {
        let reason = format!(
            "{}, not a dictionary of train, valid and test as the processed releases are",
            root.what()
        );
        return Err(wrong(pickle.path(), "the whole", reason));
    };
    let mut splits: Vec<(Option<Split>, String)> = Vec::new();
    for (key, part) in entries {
        let Some(name) = key.text()? else { continue };
        let Some(split) = Split::from_name(&name) else {
            continue;
        };
        if let Some((_, first)) = splits.iter().find(|(known, _)| *known == Some(split)) {
            let reason = format!("{first:?} and {name:?} are both the {split} split");
            return Err(wrong(pickle.path(), "the whole", reason));
        }
        if part.entries().is_none() {
            let reason = format!("{}, not a dictionary", part.what());
            return Err(wrong(pickle.path(), &name, reason));
        }
        splits.push((Some(split), name));
    }
    splits.sort_by_key(|(split, _)| *split);
    Ok(splits)
}

/// The keys of a dictionary, as far as they are text and not too many.
fn keys(dict: Value<'_>) -> String {
    let entries = dict.entries().unwrap_or_default();
    let keys = entries.iter().take(20);
    let keys: Vec<String> = keys
        .filter_map(|(key, _)| key.text().ok().flatten())
        .map(|key| format!("{:?}", key.chars().take(40).collect::<String>()))
        .collect();
    if keys.is_empty() {
        return "none".to_owned();
    }
    keys.join(", ")
}

fn wrong(path: &Path, place: &str, reason: impl Into<String>) -> DataError {
    DataError::Release {
        path: PathBuf::from(path),
        place: place.to_owned(),
        reason: reason.into(),
    }
}
