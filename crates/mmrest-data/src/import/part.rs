//! One split of a release: its segments' ids, texts and labels, and where its frames are.

use std::collections::HashMap;
use std::sync::Arc;

use super::cells::{Cell, Column, Columns};
use super::frames::{Padding, Stored};
use super::ids::Key;
use super::view::{Frames, Role, View};
use super::{Place, Release};
use crate::clean::Purpose;
use crate::pickle::Pickle;
use crate::{DataConfig, DataError, Modality, Result, Split};

/// Everything of a split but its frames.
#[derive(Debug)]
pub(super) struct Part {
    /// None of data that are not divided.
    pub(super) split: Option<Split>,
    /// What the file calls the split.
    pub(super) name: String,
    /// Which of the release's views it is.
    pub(super) view: usize,
    pub(super) keys: Vec<Key>,
    pub(super) ids: Vec<String>,
    /// The transcripts, where the release has them.
    pub(super) texts: Option<Vec<Arc<str>>>,
    /// As stored, perhaps no numbers.
    pub(super) labels: Vec<f32>,
    /// The modalities in use.
    pub(super) tracks: HashMap<Modality, Track>,
}

/// What is known of the frames of one modality.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) stored: Stored,
    pub(super) lengths: Option<Vec<usize>>,
    pub(super) padding: Padding,
}

/// Reads one split.
pub(super) struct Reader<'a> {
    pub(super) release: &'a Release,
    pub(super) pickle: &'a Pickle,
    pub(super) view: &'a View,
    pub(super) place: usize,
    pub(super) config: &'a DataConfig,
    pub(super) purpose: Purpose,
}

impl Reader<'_> {
    /// The labels, as many as there are; none where new data, or the test split, have none.
    pub(super) fn labels(&self, columns: &mut Columns) -> Result<Option<Vec<f32>>> {
        let role = Role::Label;
        // Without labels a split cannot be trained on; it can be predicted, and metrics of the test split can be lacking.
        let spared = self.purpose == Purpose::Prediction || self.view.split == Some(Split::Test);
        if spared && !self.view.has(self.pickle, role) {
            return Ok(None);
        }
        let column = self.column(role, columns)?;
        let wrong = |reason: String| self.wrong(role, reason);
        let per_row: Vec<usize> = column
            .shape
            .iter()
            .skip(1)
            .copied()
            .filter(|&n| n != 1)
            .collect();
        let width = match *per_row.as_slice() {
            _ if column.shape.is_empty() => {
                return Err(wrong(
                    "one label, where one is needed for each segment".to_owned(),
                ));
            }
            [] => 1,
            [width] if width > 0 => width,
            _ => {
                return Err(wrong(format!(
                    "labels of shape {} are classes of emotion, not one sentiment a segment; this set cannot be used",
                    column.shape_text()
                )));
            }
        };
        let number = |cell: &Cell| match cell {
            Cell::Number(number) => Some(*number),
            Cell::Nothing => Some(f64::NAN),
            Cell::Text(_) => None,
        };
        let numbers: Option<Vec<f64>> = column.cells.iter().map(number).collect();
        let Some(numbers) = numbers else {
            return Err(wrong("text where sentiments are expected".to_owned()));
        };
        if width > 1 && one_hot(&numbers, width) {
            return Err(wrong(format!(
                "labels of shape {} mark one of {width} classes in each row, not one sentiment a segment; this set cannot be used",
                column.shape_text()
            )));
        }
        let chosen = if width == 1 {
            0
        } else {
            self.config.label_column
        };
        if chosen >= width {
            return Err(wrong(format!(
                "label_column is {chosen}, but there are {width} columns (counted from 0)"
            )));
        }
        #[allow(clippy::cast_possible_truncation)]
        let labels = numbers.chunks_exact(width).map(|row| row[chosen] as f32);
        Ok(Some(labels.collect()))
    }

    /// The ids as stored.
    pub(super) fn ids(&self, columns: &mut Columns) -> Result<Column> {
        self.column(Role::Id, columns)
    }

    /// The key that ids are read from.
    pub(super) fn id_key(&self) -> Option<&'static str> {
        self.view.key(self.pickle, Role::Id)
    }

    /// The rest, once ids and labels are known.
    pub(super) fn part(
        &self,
        keys: Vec<Key>,
        labels: Option<Vec<f32>>,
        columns: &mut Columns,
    ) -> Result<Part> {
        let segments = keys.len();
        let labels = labels.unwrap_or_else(|| vec![f32::NAN; segments]);
        if labels.len() != segments {
            return Err(self.not_one_each(Role::Label, &format!("({},)", labels.len()), segments));
        }
        let mut part = Part {
            split: self.view.split,
            name: self.view.name.clone(),
            view: self.place,
            ids: keys.iter().map(Key::id).collect(),
            keys,
            texts: None,
            labels,
            tracks: HashMap::new(),
        };
        if self.config.uses(Modality::Text) && self.view.has(self.pickle, Role::Text) {
            part.texts = Some(self.texts(&part.ids, columns)?);
        }
        for modality in [Modality::Vision, Modality::Audio] {
            if self.config.uses(modality) {
                let track = self.track(modality, &part.ids, columns)?;
                part.tracks.insert(modality, track);
            }
        }
        Ok(part)
    }

    fn texts(&self, ids: &[String], columns: &mut Columns) -> Result<Vec<Arc<str>>> {
        let role = Role::Text;
        if let Some(words) = self.view.words(self.pickle) {
            if words.len() != ids.len() {
                return Err(self.not_one_each(role, &format!("({},)", words.len()), ids.len()));
            }
            columns.begin_words();
            let spoken = words.iter().enumerate().map(|(row, &words)| {
                let words = self.pickle.value(words);
                let spoken = columns.words(words, &self.config.pause_token)?;
                spoken.map_err(|reason| self.wrong(role, format!("row {row}: {reason}")))
            });
            return spoken.collect();
        }
        let column = self.column(role, columns)?;
        self.one_each(role, &column, ids.len())?;
        let nothing: Arc<str> = "".into();
        let texts = column
            .cells
            .into_iter()
            .zip(ids)
            .map(|(cell, id)| match cell {
                Cell::Text(text) => Ok(text),
                // An empty cell of pandas.
                Cell::Nothing => Ok(Arc::clone(&nothing)),
                Cell::Number(number) if number.is_nan() => Ok(Arc::clone(&nothing)),
                Cell::Number(number) => Err(self.wrong(
                    role,
                    format!("{number} is no text (of {id:?}); write texts as strings"),
                )),
            });
        texts.collect()
    }

    fn track(&self, modality: Modality, ids: &[String], columns: &mut Columns) -> Result<Track> {
        let role = Role::Frames(modality);
        let file = self.release.bytes();
        let stored = match self.view.frames(self.pickle, modality) {
            None => return Err(self.no_key(role)),
            Some(Frames::Column(value)) => Stored::of_column(value, ids.len(), columns, file)?,
            Some(Frames::Each(ids)) => Stored::of_segments(self.pickle, ids, columns, file)?,
        };
        let stored = stored.map_err(|reason| self.wrong(role, reason))?;
        let lengths = self.lengths(modality, &stored, ids, columns)?;
        let padding = if stored.is_padded() || lengths.is_some() {
            self.release.padding
        } else {
            Padding::None
        };
        Ok(Track {
            stored,
            lengths,
            padding,
        })
    }

    /// The stated lengths, none above the array's. A vector for each segment has no use for them.
    fn lengths(
        &self,
        modality: Modality,
        stored: &Stored,
        ids: &[String],
        columns: &mut Columns,
    ) -> Result<Option<Vec<usize>>> {
        let role = Role::Lengths(modality);
        let most = stored.capacity;
        if most <= 1 || !self.view.has(self.pickle, role) {
            return Ok(None);
        }
        let column = self.column(role, columns)?;
        self.one_each(role, &column, ids.len())?;
        let lengths = column.cells.iter().zip(ids).map(|(cell, id)| {
            let length = cell.number().and_then(|number| whole(number, most));
            length.ok_or_else(|| {
                let stated = cell.number().map_or("text".to_owned(), |n| n.to_string());
                let reason =
                    format!("{stated} for {id:?}, but {modality} has room for {most} frames");
                self.wrong(role, reason)
            })
        });
        lengths.collect::<Result<_>>().map(Some)
    }

    fn column(&self, role: Role, columns: &mut Columns) -> Result<Column> {
        match self.view.column(self.pickle, role, columns)? {
            Some(column) => column.map_err(|reason| self.wrong(role, reason)),
            None => Err(self.no_key(role)),
        }
    }

    /// Refuses a column that has not exactly one cell for each id.
    fn one_each(&self, role: Role, column: &Column, segments: usize) -> Result<()> {
        let per_row = column.width();
        if column.shape.is_empty() || column.rows() != segments || (segments > 0 && per_row != 1) {
            return Err(self.not_one_each(role, &column.shape_text(), segments));
        }
        Ok(())
    }

    fn not_one_each(&self, role: Role, shape: &str, segments: usize) -> DataError {
        let reason =
            format!("shape {shape}, but there are {segments} ids and one is needed for each");
        self.wrong(role, reason)
    }

    fn no_key(&self, role: Role) -> DataError {
        let keys = self.view.value(self.pickle).map(super::keys);
        let wanted = role.keys().first().copied().unwrap_or_default();
        let keys = keys.unwrap_or_else(|| "none".to_owned());
        let place = Place {
            view: Some(self.place),
            key: "",
        };
        self.release
            .wrong(place, format!("no key {wanted:?}; the keys are {keys}"))
    }

    fn wrong(&self, role: Role, reason: impl Into<String>) -> DataError {
        let key = self.view.key(self.pickle, role);
        let place = Place {
            view: Some(self.place),
            key: key.unwrap_or_default(),
        };
        self.release.wrong(place, reason)
    }
}

/// Whether every row has one 1 and zeros: a class, not a sentiment and more.
#[allow(clippy::float_cmp)] // exact where it is a class
fn one_hot(numbers: &[f64], width: usize) -> bool {
    numbers.len() >= width
        && numbers.chunks_exact(width).all(|row| {
            let ones = row.iter().filter(|&&number| number == 1.0).count();
            let zeros = row.iter().filter(|&&number| number == 0.0).count();
            ones == 1 && ones + zeros == width
        })
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
