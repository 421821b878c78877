//! One split of a release, and where the frames of its padded sequences are.

use std::collections::HashMap;
use std::ops::Range;

use super::cells::{Cell, Column, Key, shape_text};
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
        // Without labels a split cannot be trained on; it can be predicted, and metrics of the test split can be lacking.
        let spared =
            self.purpose == Purpose::Prediction || Split::from_name(self.name) == Some(Split::Test);
        if spared && part.and_then(|part| part.get(key)).is_none() {
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

/// The frames of a segment among the zero frames that fill up the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpadded {
    /// Their places.
    pub frames: Range<usize>,
    /// Frames beyond the stated length are not zero, whichever side they are counted from.
    pub contradicted: bool,
}

/// The side that zero frames are expected on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Before the frames (MulT).
    Left,
    /// After them (MMSA), or on either side where no length is stated, as in its aligned files.
    Right,
}

/// Finds the frames in `values`, `[frames, width]`. A stated length is counted from the side without padding, or from the
/// other where only that leaves nothing but zeros. Without one, zero frames at the ends are padding: with
/// [`Padding::Left`] those before, else those on both sides. A segment of zero frames alone has none.
pub fn unpad(values: &[f32], width: usize, length: Option<usize>, padding: Padding) -> Unpadded {
    let frames: Vec<&[f32]> = values.chunks_exact(width.max(1)).collect();
    let present = |frame: &&[f32]| frame.iter().any(|&value| value != 0.0);
    let found = |frames| Unpadded {
        frames,
        contradicted: false,
    };
    let all = frames.len();
    let Some(first) = frames.iter().position(present) else {
        return found(0..0);
    };
    let end = frames
        .iter()
        .rposition(present)
        .map_or(all, |last| last + 1);
    let Some(length) = length else {
        return match padding {
            Padding::Left => found(first..all),
            Padding::Right => found(first..end),
        };
    };
    let length = length.min(all);
    let (head, tail) = (0..length, all - length..all);
    match (end <= length, first >= all - length, padding) {
        (true, false, _) | (true, true, Padding::Right) => found(head),
        (false, true, _) | (true, true, Padding::Left) => found(tail),
        (false, false, padding) => Unpadded {
            frames: if padding == Padding::Left { tail } else { head },
            contradicted: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a frame: `.` is zero.
    fn frames(pattern: &str, length: Option<usize>, padding: Padding) -> Range<usize> {
        let values = pattern.chars().map(|c| if c == '.' { 0.0 } else { 1.0 });
        let found = unpad(&values.collect::<Vec<f32>>(), 1, length, padding);
        assert!(!found.contradicted);
        found.frames
    }

    #[test]
    fn stated_lengths_are_counted_from_the_side_without_padding() {
        use Padding::{Left, Right};
        assert_eq!(frames("ab.d..", Some(4), Right), 0..4);
        assert_eq!(
            frames("ab....", Some(3), Right),
            0..3,
            "a zero frame within"
        );
        assert_eq!(
            frames("...abc", Some(3), Right),
            3..6,
            "padded on the other side"
        );
        assert_eq!(frames("..ab.d", Some(4), Left), 2..6);
        assert_eq!(frames("abc...", Some(3), Left), 0..3);
        assert_eq!(frames(".ab.", Some(3), Right), 0..3);
        assert_eq!(frames(".ab.", Some(3), Left), 1..4);
        assert_eq!(frames("....", Some(3), Right), 0..0);
        assert_eq!(frames("abcd", Some(4), Left), 0..4);
        for (padding, kept) in [(Right, 0..2), (Left, 2..4)] {
            let found = unpad(&[1.0; 4], 1, Some(2), padding);
            assert_eq!((found.frames, found.contradicted), (kept, true));
        }
    }

    #[test]
    fn without_lengths_only_padding_goes() {
        use Padding::{Left, Right};
        assert_eq!(frames("..a.b.", None, Right), 2..5);
        assert_eq!(frames("..a.b.", None, Left), 2..6);
        assert_eq!(frames("ab", None, Left), 0..2);
        assert_eq!(frames("...", None, Left), 0..0);
        assert_eq!(frames("", None, Right), 0..0);
        let nan = unpad(&[0.0, f32::NAN, 0.0, 0.0], 2, None, Right);
        assert_eq!(
            nan.frames,
            0..1,
            "a frame that is not a number is no padding"
        );
    }
}
