//! The pickles that data sets of this field come in, read as one split after another.
//!
//! Known are MMSA's and CH-SIMS's (`unaligned_50.pkl`, `aligned_50.pkl`, `unaligned_39.pkl`), those of MulT, MMIM and MMRest
//! (`mosi_data_noalign.pkl`, `mosei_senti_data_noalign.pkl`), which hold no words and need the table for them, and lists of
//! segments as MAG-BERT, MISA and MMIM write them, in one file or one for each split (`train.pkl`, `dev.pkl`, `test.pkl`).
//! [`import_utterances`] reads a release that is no pickle.

mod cells;
mod frames;
mod ids;
mod join;
mod pack;
mod part;
mod source;
mod survey;
mod utterances;
mod view;

use std::path::{Path, PathBuf};

use crate::pickle::{Kind, Pickle, Value};
use crate::{DataError, Modality, Result, Split};

pub use frames::{Padding, Unpadded, unpad};
pub use pack::import;
pub(crate) use source::ReleaseSource;
pub use survey::{StoredFrames, Survey, SurveyPart};
pub use utterances::{UtteranceReport, import_utterances};
use view::{Form, Role, View};

/// A pickle that is one of the processed releases, or several that are the splits of one.
#[derive(Debug)]
pub(crate) struct Release {
    pickles: Vec<Pickle>,
    /// Each split that is there. New data may have none: one part without a name.
    views: Vec<View>,
    padding: Padding,
    /// What is not read, in words: parts that are no split, frames under names that are not known.
    unused: Vec<String>,
}

/// Where a part of a release is, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    view: Option<usize>,
    key: &'a str,
}

impl Release {
    /// Opens a pickle and tells by its content what it is laid out as.
    ///
    /// # Errors
    ///
    /// Those of [`Pickle::open`]; [`DataError::Release`] where it is none.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::of(Pickle::open(path)?)
    }

    /// The release that an open pickle is, or one split of.
    pub(crate) fn of(pickle: Pickle) -> Result<Self> {
        let path = pickle.path().to_path_buf();
        let path = path.as_path();
        let mut opened = Some(pickle);
        let paths = split_files(path);
        let pickles = paths
            .iter()
            .map(|each| match opened.take_if(|_| each == path) {
                Some(pickle) => Ok(pickle),
                None => Pickle::open(each),
            });
        let pickles: Vec<Pickle> = pickles.collect::<Result<_>>()?;
        let mut unused = Vec::new();
        let mut parts = Vec::new();
        match pickles.as_slice() {
            [one] => parts.extend(parts_of(one, &mut unused)?),
            several => {
                for (place, pickle) in several.iter().enumerate() {
                    let name = split_name(pickle.path()).unwrap_or_default();
                    parts.push((place, Split::from_name(&name), name, pickle.root()));
                }
            }
        }
        parts.sort_by_key(|(_, split, ..)| *split);
        let mut views = Vec::with_capacity(parts.len());
        for (place, split, name, value) in parts {
            let path = pickles.get(place).map_or(path, Pickle::path);
            let form = Form::read(value).map_err(|reason| wrong(path, named(&name), reason))?;
            views.push(View {
                pickle: place,
                split,
                name,
                form,
            });
        }
        let empty = |view: &View| view.form.is_empty_list();
        if let Some(first) = views.first().filter(|_| views.iter().all(empty)) {
            let reason = "a list, not a dictionary, and it is empty".to_owned();
            return Err(wrong(path, named(&first.name), reason));
        }
        let mut release = Self {
            padding: Padding::Left,
            pickles,
            views,
            unused,
        };
        release.padding = release.find_padding();
        release.check_labels(path)?;
        release.note_unused();
        Ok(release)
    }

    /// The file, or the first of several.
    pub(crate) fn path(&self) -> &Path {
        self.pickles.first().map_or(Path::new(""), Pickle::path)
    }

    /// What all pickles can hold, in bytes.
    fn bytes(&self) -> u64 {
        self.pickles.iter().map(Pickle::bytes).sum()
    }

    /// Every split's view, with its place.
    fn views(&self) -> impl Iterator<Item = (usize, &View)> {
        self.views.iter().enumerate()
    }

    fn pickle(&self, view: &View) -> Option<&Pickle> {
        self.pickles.get(view.pickle)
    }

    /// Whether every split has its own text.
    pub(crate) fn has_text(&self) -> bool {
        self.views
            .iter()
            .all(|view| self.pickle(view).is_some_and(|p| view.has(p, Role::Text)))
    }

    /// What the release has, with a table at hand or without.
    pub(crate) fn modalities(&self, table: bool) -> Vec<Modality> {
        let has = |modality| {
            let mut views = self.views.iter();
            views.any(|view| {
                self.pickle(view)
                    .is_some_and(|pickle| view.has(pickle, Role::Frames(modality)))
            })
        };
        let mut modalities = Vec::new();
        if table || self.has_text() {
            modalities.push(Modality::Text);
        }
        let frames = [Modality::Vision, Modality::Audio].into_iter();
        modalities.extend(frames.filter(|&modality| has(modality)));
        modalities
    }

    /// The key that a modality is read from, in the first split that has it.
    pub(crate) fn key(&self, modality: Modality) -> Option<&'static str> {
        let role = match modality {
            Modality::Text => Role::Text,
            other => Role::Frames(other),
        };
        let mut views = self.views.iter();
        views.find_map(|view| view.key(self.pickle(view)?, role))
    }

    /// Splits that no part is, where any part is a split.
    pub(crate) fn splits_absent(&self) -> Vec<Split> {
        let has = |split| self.views.iter().any(|view| view.split == Some(split));
        let absent = Split::ALL.into_iter().filter(|&split| !has(split));
        absent.collect()
    }

    /// Refuses data that are not divided into splits.
    pub(crate) fn check_splits(&self) -> Result<()> {
        if self.views.iter().all(|view| view.split.is_some()) {
            return Ok(());
        }
        Err(match self.pickles.first() {
            Some(pickle) => no_split(pickle),
            None => wrong(Path::new(""), "the whole", "it holds no data".to_owned()),
        })
    }

    /// MMSA's keys, or stated lengths: frames come first. MulT's: zeros come first.
    fn find_padding(&self) -> Padding {
        let first = |view: &View| {
            let pickle = self.pickle(view)?;
            Some(view.frames_come_first(pickle))
        };
        if self.views.iter().filter_map(first).any(|first| first) {
            Padding::Right
        } else {
            Padding::Left
        }
    }

    /// Refuses a part without labels, unless no part has any: new data.
    fn check_labels(&self, path: &Path) -> Result<()> {
        let without: Vec<&View> = self
            .views
            .iter()
            .filter(|view| self.pickle(view).is_none_or(|p| !view.has(p, Role::Label)))
            .collect();
        let Some(first) = without.first() else {
            return Ok(());
        };
        let undivided = first.split.is_none();
        if undivided || without.len() < self.views.len() {
            return Ok(()); // told when the labels are read
        }
        let keys = self
            .pickle(first)
            .and_then(|pickle| first.value(pickle))
            .map(keys)
            .unwrap_or_default();
        let known = self.pickle(first).is_some_and(|pickle| {
            [Role::Text, Role::Id]
                .iter()
                .any(|&role| first.has(pickle, role))
        });
        if known {
            return Ok(());
        }
        let reason =
            format!("neither \"regression_labels\" nor \"labels\" is there; the keys are {keys}");
        Err(wrong(path, named(&first.name), reason))
    }

    fn note_unused(&mut self) {
        let mut unused: Vec<String> = Vec::new();
        for view in &self.views {
            let Some(pickle) = self.pickles.get(view.pickle) else {
                continue;
            };
            for key in view.unused(pickle) {
                let note = format!("the arrays under {key:?}");
                if !unused.contains(&note) {
                    unused.push(note);
                }
            }
        }
        self.unused.extend(unused);
    }

    /// An error about a key of a split.
    fn wrong(&self, place: Place<'_>, reason: impl Into<String>) -> DataError {
        let view = place.view.and_then(|view| self.views.get(view));
        let path = view
            .and_then(|view| self.pickle(view))
            .map_or(self.path(), Pickle::path);
        let name = view.map_or("", |view| view.name.as_str());
        let place = match (name, place.key) {
            ("", "") => "the whole".to_owned(),
            ("", key) => format!("{key:?}"),
            (name, "") => name.to_owned(),
            (name, key) => format!("{name}[{key:?}]"),
        };
        wrong(path, &place, reason.into())
    }
}

fn named(name: &str) -> &str {
    if name.is_empty() { "the whole" } else { name }
}

/// The name of a split that a file is named by.
fn split_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (stem, _) = name.split_once('.')?;
    Split::from_name(stem).map(|_| stem.to_owned())
}

/// The files that a pickle's data are in: itself, and where it is named by a split (`train.pkl`) those beside it that are
/// named by the others, with the same ending.
pub(crate) fn split_files(path: &Path) -> Vec<PathBuf> {
    let ending = || path.file_name()?.to_str()?.split_once('.').map(|(_, e)| e);
    let (Some(name), Some(ending)) = (split_name(path), ending()) else {
        return vec![path.to_path_buf()];
    };
    let mut files = Vec::new();
    for split in Split::ALL {
        if Split::from_name(&name) == Some(split) {
            files.push(path.to_path_buf());
            continue;
        }
        let names = ["train", "valid", "dev", "val", "validation", "test"];
        let names = names
            .iter()
            .filter(|name| Split::from_name(name) == Some(split));
        let mut beside = names.map(|name| path.with_file_name(format!("{name}.{ending}")));
        files.extend(beside.find(|path| path.is_file()));
    }
    files
}

/// The splits of one pickle: place, split, name and value of each.
#[allow(clippy::type_complexity)]
fn parts_of<'p>(
    pickle: &'p Pickle,
    unused: &mut Vec<String>,
) -> Result<Vec<(usize, Option<Split>, String, Value<'p>)>> {
    let root = pickle.root();
    let Some(entries) = root.entries() else {
        return Err(not_a_dictionary(pickle));
    };
    let mut parts: Vec<(usize, Option<Split>, String, Value<'_>)> = Vec::new();
    let mut others = Vec::new();
    for &(key, part) in &entries {
        let split = key.name().and_then(Split::from_name);
        let (Some(split), Some(name)) = (split, key.name()) else {
            others.push((key, part));
            continue;
        };
        let known = parts.iter().find(|(_, known, ..)| *known == Some(split));
        if let Some((_, _, first, _)) = known {
            let reason = format!("{first:?} and {name:?} are both the {split} split");
            return Err(wrong(pickle.path(), "the whole", reason));
        }
        parts.push((0, Some(split), name.to_owned(), part));
    }
    if parts.is_empty() {
        if Form::read(root).is_ok_and(|form| form.has_key(pickle, Role::Id, root)) {
            return Ok(vec![(0, None, String::new(), root)]);
        }
        return Err(no_split(pickle));
    }
    unused.extend(others.iter().filter_map(|&(key, part)| {
        let name = key.name()?;
        let segments = Form::read(part)
            .ok()
            .and_then(|form| form.segments(pickle, part));
        Some(match segments {
            Some(segments) => format!("the part {name} ({segments} segments)"),
            None => format!("the part {name}"),
        })
    }));
    Ok(parts)
}

/// A pickle that is no dictionary: a layout that is known and not read, or anything else.
fn not_a_dictionary(pickle: &Pickle) -> DataError {
    let root = pickle.root();
    let items = root.items().unwrap_or_default();
    let dictionaries = items
        .iter()
        .filter(|item| matches!(item.kind(), Kind::Dict));
    let what = root.what();
    let reason = if items.len() >= 7 && dictionaries.count() >= 5 {
        format!(
            "{what} of {} dictionaries and lists by dialogue, as DialogueRNN and MMGCN have them, with classes of emotion; it \
             is not read: write a dictionary of train, valid and test with id, raw_text, vision, audio and regression_labels",
            items.len()
        )
    } else if items.len() == 7 && items.iter().take(4).all(|item| item.array().is_some()) {
        format!(
            "{what} of 7 with the features of utterances by video, but without ids, as Poria et al. (2017) wrote them: import \
             the folder of tables of the same release instead"
        )
    } else if !items.is_empty() && Form::read(root).is_ok() {
        format!(
            "{what} of segments, one split alone: name the files train.pkl, dev.pkl and test.pkl, or put the lists into a \
             dictionary of train, valid and test"
        )
    } else {
        format!("{what}, not a dictionary of train, valid and test as the processed releases are")
    };
    wrong(pickle.path(), "the whole", reason)
}

fn no_split(pickle: &Pickle) -> DataError {
    let root = pickle.root();
    let frames = [
        Role::Frames(Modality::Vision),
        Role::Frames(Modality::Audio),
    ];
    let one = Form::read(root)
        .is_ok_and(|form| frames.iter().any(|&role| form.has_key(pickle, role, root)));
    let advice = if one {
        "; it looks like the features of one recording, as MMSA-FET writes them: put them into a dictionary of train, valid \
         and test, with an id for each"
    } else {
        ""
    };
    let reason = format!(
        "no processed release: of train, valid and test it has none; its keys are {}{advice}",
        keys(root)
    );
    wrong(pickle.path(), "the whole", reason)
}

/// The keys of a dictionary, as many and as much of them as fit a message.
fn keys(dict: Value<'_>) -> String {
    let entries = dict.entries().unwrap_or_default();
    let shown = entries.iter().take(20).map(|&(key, _)| match key.name() {
        Some(name) => format!("{:?}", name.chars().take(40).collect::<String>()),
        None => match key.as_i64() {
            Some(number) => number.to_string(),
            None => key.what().to_owned(),
        },
    });
    let shown: Vec<String> = shown.collect();
    match (shown.is_empty(), entries.len() > shown.len()) {
        (true, _) => "none".to_owned(),
        (false, more) => format!("{}{}", shown.join(", "), if more { ", ..." } else { "" }),
    }
}

fn wrong(path: &Path, place: &str, reason: String) -> DataError {
    DataError::Release {
        path: path.to_path_buf(),
        place: place.to_owned(),
        reason,
    }
}
