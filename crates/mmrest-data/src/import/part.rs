//! One split of a release.

use std::collections::HashMap;

use super::cells::{Cell, Column, shape_text};
use super::ids::Key;
use super::{ID, Layout, Release, TEXT, lengths};
use crate::clean::Purpose;
use crate::pickle::Array;
use crate::{DataConfig, DataError, Modality, Result, Split};

/// Everything of a split but its frames.
#[derive(Debug)]
pub(super) struct Part {
    /// None of data that are not divided.
    pub(super) split: Option<Split>,
    /// What the file calls the split.
    pub(super) name: String,
    pub(super) keys: Vec<Key>,
    pub(super) ids: Vec<String>,
    /// The transcripts, where the release has them.
    pub(super) texts: Option<Vec<String>>,
    /// As stored, perhaps no numbers.
    pub(super) labels: Vec<f32>,
    /// Features in a frame and stated lengths of each modality in use.
    pub(super) tracks: HashMap<Modality, Track>,
}

/// What is known of the frames of one modality.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) width: usize,
    pub(super) lengths: Option<Vec<usize>>,
}

/// Reads one split.
pub(super) struct Reader<'a> {
    pub(super) release: &'a Release,
    pub(super) config: &'a DataConfig,
    pub(super) name: &'a str,
    pub(super) purpose: Purpose,
}

impl Reader<'_> {
    pub(super) fn part(&self, split: Option<Split>) -> Result<Part> {
        let mult = self.release.layout == Layout::Mult;
        let keys = Key::read(&self.column(ID)?, mult).map_err(|reason| self.wrong(ID, reason))?;
        let mut part = Part {
            split,
            name: self.name.to_owned(),
            ids: keys.iter().map(Key::id).collect(),
            keys,
            texts: None,
            labels: Vec::new(),
            tracks: HashMap::new(),
        };
        part.labels = self.labels(part.ids.len())?;
        if self.config.uses(Modality::Text) && !mult {
            part.texts = Some(self.texts(part.ids.len())?);
        }
        for modality in [Modality::Vision, Modality::Audio] {
            if self.config.uses(modality) {
                part.tracks
                    .insert(modality, self.track(modality, &part.ids)?);
            }
        }
        Ok(part)
    }

    /// The labels, not a number each where new data have none.
    fn labels(&self, segments: usize) -> Result<Vec<f32>> {
        let key = self.release.layout.labels();
        let part = self.release.part(self.name);
        if self.purpose == Purpose::Prediction && part.and_then(|part| part.get(key)).is_none() {
            return Ok(vec![f32::NAN; segments]);
        }
        let column = self.column(key)?;
        self.one_each(key, &column, segments)?;
        #[allow(clippy::cast_possible_truncation)]
        let labels = column
            .cells
            .iter()
            .map(|cell| cell.number().map(|n| n as f32));
        let labels: Option<Vec<f32>> = labels.collect();
        labels.ok_or_else(|| self.wrong(key, "text where sentiments are expected"))
    }

    fn texts(&self, segments: usize) -> Result<Vec<String>> {
        let column = self.column(TEXT)?;
        self.one_each(TEXT, &column, segments)?;
        let texts = column.cells.into_iter().map(|cell| match cell {
            Cell::Text(text) => Ok(text),
            Cell::Number(number) => Err(self.wrong(TEXT, format!("{number} is no text"))),
        });
        texts.collect()
    }

    fn track(&self, modality: Modality, ids: &[String]) -> Result<Track> {
        let key = modality.name();
        let array = self.release.frames(self.name, modality)?;
        let &[segments, frames, width] = array.shape() else {
            let shape = shape_text(array.shape());
            let reason = format!("shape {shape}, not (segments, frames, features)");
            return Err(self.wrong(key, reason));
        };
        if segments != ids.len() || width == 0 || !array.dtype().is_numeric() {
            return Err(self.wrong(
                key,
                format!(
                    "shape {} and type {}, but there are {} ids",
                    shape_text(array.shape()),
                    array.dtype(),
                    ids.len()
                ),
            ));
        }
        Ok(Track {
            width,
            lengths: self.lengths(modality, frames, ids)?,
        })
    }

    /// The stated lengths, none above the array's.
    fn lengths(
        &self,
        modality: Modality,
        most: usize,
        ids: &[String],
    ) -> Result<Option<Vec<usize>>> {
        let key = lengths(modality);
        let part = self.release.part(self.name);
        if part.and_then(|part| part.get(&key)).is_none() {
            return Ok(None);
        }
        let column = self.column(&key)?;
        self.one_each(&key, &column, ids.len())?;
        let lengths = column.cells.iter().zip(ids).map(|(cell, id)| {
            let length = cell.number().and_then(|number| whole(number, most));
            length.ok_or_else(|| {
                let stated = cell.number().map_or("text".to_owned(), |n| n.to_string());
                let reason =
                    format!("{stated} for {id:?}, but {modality} has room for {most} frames");
                self.wrong(&key, reason)
            })
        });
        lengths.collect::<Result<_>>().map(Some)
    }

    fn column(&self, key: &str) -> Result<Column> {
        let part = self.release.part(self.name);
        let Some(value) = part.and_then(|part| part.get(key)) else {
            return Err(self.release.no_key(self.name, key));
        };
        Column::read(value)?.map_err(|reason| self.wrong(key, reason))
    }

    /// Refuses a column that has not exactly one cell for each id.
    fn one_each(&self, key: &str, column: &Column, segments: usize) -> Result<()> {
        let per_row = column.width();
        if column.shape.is_empty() || column.rows() != segments || (segments > 0 && per_row != 1) {
            let shape = column.shape_text();
            let reason =
                format!("shape {shape}, but there are {segments} ids and one is needed for each");
            return Err(self.wrong(key, reason));
        }
        Ok(())
    }

    fn wrong(&self, key: &str, reason: impl Into<String>) -> DataError {
        self.release.wrong(&place(self.name, key), reason)
    }
}

impl Release {
    /// The frames of one modality of a split.
    pub(super) fn frames(&self, name: &str, modality: Modality) -> Result<&Array> {
        let key = modality.name();
        let value = self.part(name).and_then(|part| part.get(key));
        let Some(value) = value else {
            return Err(self.no_key(name, key));
        };
        value.array().ok_or_else(|| {
            let reason = format!("{}, not an array of frames", value.what());
            self.wrong(&place(name, key), reason)
        })
    }

    fn no_key(&self, name: &str, key: &str) -> DataError {
        let keys = self.part(name).map(super::keys).unwrap_or_default();
        self.wrong(name, format!("no key {key:?}; the keys are {keys}"))
    }
}

/// `train["audio"]`.
fn place(name: &str, key: &str) -> String {
    if name.is_empty() {
        return format!("{key:?}");
    }
    format!("{name}[{key:?}]")
}

/// A number as a length, if it is one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn whole(number: f64, most: usize) -> Option<usize> {
    let fits = number >= 0.0 && number <= most as f64 && number.fract() == 0.0;
    fits.then_some(number as usize)
}
