//! The frames of a split: padded arrays, one vector a segment, or an array of its own for each.

use std::ops::Range;

use super::cells::{Cell, Columns, most_bytes, shape_text};
use crate::Result;
use crate::pickle::{Array, Id, Kind, Pickle, Value};

/// Where the frames of one modality are, and how they are shaped.
#[derive(Debug)]
pub(super) struct Stored {
    kind: Layout,
    /// Features in a frame; 0 where no segment has any.
    pub(super) width: usize,
    /// Frames that there is room for in the longest segment.
    pub(super) capacity: usize,
}

#[derive(Debug)]
enum Layout {
    /// `[segments, frames, width]`, or `[segments, width]` of one frame each.
    Padded(Id),
    /// `[frames, width]` or `[width]` for each segment.
    Each(Vec<Id>),
}

impl Stored {
    /// Looks at the shapes of an array or list of frames for `segments` segments; says why it is none.
    pub(super) fn of_column(
        value: Value<'_>,
        segments: usize,
        columns: &mut Columns,
        file: u64,
    ) -> Result<Result<Self, String>> {
        if let (Kind::Array(array), None) = (value.kind(), value.count()) {
            return Ok(Self::of_array(value.id(), array, segments, file));
        }
        let rows = value
            .array()
            .map_or(value.count(), |array| Some(array.rows()));
        if rows != Some(segments) || matches!(value.kind(), Kind::Dict) {
            let what = match (value.array(), rows) {
                (Some(array), _) => {
                    format!("an array of arrays of shape {}", shape_text(array.shape()))
                }
                (None, Some(rows)) => format!("{} of {rows}", value.what()),
                (None, None) => value.what().to_owned(),
            };
            return Ok(Err(format!("{what}, but there are {segments} ids")));
        }
        let items = value.items().unwrap_or_default();
        if items.len() != segments {
            // An array of objects with more axes, each a number.
            return Ok(Err(
                "an array of objects; write it as an array of numbers".to_owned()
            ));
        }
        let ids = items.iter().map(|item| item.id()).collect();
        Self::of_each(&items, ids, columns, file)
    }

    /// Looks at the shapes of each segment's frames.
    pub(super) fn of_segments(
        pickle: &Pickle,
        ids: &[Id],
        columns: &mut Columns,
        file: u64,
    ) -> Result<Result<Self, String>> {
        let values: Vec<Value<'_>> = ids.iter().map(|&id| pickle.value(id)).collect();
        Self::of_each(&values, ids.to_vec(), columns, file)
    }

    fn of_array(id: Id, array: &Array, segments: usize, file: u64) -> Result<Self, String> {
        let (rows, capacity, width) = match *array.shape() {
            [rows, frames, width] => (rows, frames, width),
            [rows, width] => (rows, 1, width),
            _ => {
                return Err(format!(
                    "shape {}, not (segments, frames, features) or (segments, features)",
                    shape_text(array.shape())
                ));
            }
        };
        if rows != segments || width == 0 || !array.dtype().is_numeric() {
            return Err(format!(
                "shape {} and type {}, but there are {segments} ids",
                shape_text(array.shape()),
                array.dtype()
            ));
        }
        check_room([rows, capacity, width], &mut 0, file)?;
        Ok(Self {
            kind: Layout::Padded(id),
            width,
            capacity,
        })
    }

    fn of_each(
        values: &[Value<'_>],
        ids: Vec<Id>,
        columns: &mut Columns,
        file: u64,
    ) -> Result<Result<Self, String>> {
        let (mut width, mut capacity, mut bytes) = (0, 0, 0_u64);
        for (row, &value) in values.iter().enumerate() {
            let [frames, features] = match shape_of(value, columns)? {
                Ok(shape) => shape,
                Err(reason) => return Ok(Err(format!("row {row}: {reason}"))),
            };
            if frames > 0 && width == 0 {
                width = features;
            }
            if frames > 0 && features != width {
                let reason =
                    format!("row {row}: frames of {features} features, but of {width} before");
                return Ok(Err(reason));
            }
            capacity = capacity.max(frames);
            if let Err(reason) = check_room([1, frames, features], &mut bytes, file) {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(Self {
            kind: Layout::Each(ids),
            width,
            capacity,
        }))
    }

    /// Whether zeros fill up short sequences.
    pub(super) fn is_padded(&self) -> bool {
        matches!(self.kind, Layout::Padded(_)) && self.capacity > 1
    }

    /// Bytes that a segment takes in memory at most.
    pub(super) fn row_bytes(&self) -> usize {
        self.capacity.saturating_mul(self.width).saturating_mul(8)
    }

    /// The values of some segments, padding and all, those of each apart.
    pub(super) fn rows(
        &self,
        pickle: &Pickle,
        rows: Range<usize>,
        columns: &mut Columns,
    ) -> Result<Vec<Vec<f32>>> {
        match &self.kind {
            Layout::Padded(id) => {
                let Some(array) = pickle.value(*id).array() else {
                    return Ok(vec![Vec::new(); rows.len()]);
                };
                let values = array.rows_f32(rows.clone())?;
                let row = array.row_elements();
                if row == 0 {
                    return Ok(vec![Vec::new(); rows.len()]);
                }
                Ok(values.chunks_exact(row).map(<[f32]>::to_vec).collect())
            }
            Layout::Each(ids) => ids
                .get(rows)
                .unwrap_or_default()
                .iter()
                .map(|&id| values_of(pickle.value(id), columns))
                .collect(),
        }
    }
}

/// Refuses more numbers than a file of this size can hold, at 8 bytes each, the most that one takes while it is converted.
fn check_room(shape: [usize; 3], bytes: &mut u64, file: u64) -> Result<(), String> {
    let numbers = shape.into_iter().fold(8, usize::saturating_mul);
    *bytes = bytes.saturating_add(numbers as u64);
    if *bytes > most_bytes(file) {
        return Err("more frames than a file of its size can hold".to_owned());
    }
    Ok(())
}

/// Frames and features of one segment's value, or why it has none.
fn shape_of(value: Value<'_>, columns: &mut Columns) -> Result<Result<[usize; 2], String>> {
    let shape = match value.kind() {
        Kind::None => return Ok(Ok([0, 0])),
        Kind::Array(array) if array.dtype().is_numeric() => array.shape().to_vec(),
        _ if value.count().is_some() => match columns.read(value)? {
            Ok(column) if column.cells.iter().all(|cell| cell.number().is_some()) => column.shape,
            Ok(_) => return Ok(Err("text or None where frames are expected".to_owned())),
            Err(reason) => return Ok(Err(reason)),
        },
        _ => return Ok(Err(format!("{}, not an array of frames", value.what()))),
    };
    Ok(match *shape.as_slice() {
        [frames, width] | [1, frames, width] if width > 0 || frames == 0 => Ok([frames, width]),
        [0] => Ok([0, 0]),
        [width] => Ok([1, width]),
        _ => Err(format!(
            "shape {}, not (frames, features)",
            shape_text(&shape)
        )),
    })
}

/// All numbers of one segment's value.
fn values_of(value: Value<'_>, columns: &mut Columns) -> Result<Vec<f32>> {
    match value.kind() {
        Kind::Array(array) if array.dtype().is_numeric() => array.rows_f32(0..array.rows()),
        Kind::None => Ok(Vec::new()),
        _ => {
            let column = columns
                .read(value)?
                .map(|column| column.cells)
                .unwrap_or_default();
            #[allow(clippy::cast_possible_truncation)]
            let numbers = column.iter().filter_map(Cell::number).map(|n| n as f32);
            Ok(numbers.collect())
        }
    }
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
    /// Nowhere: every segment has an array of its own.
    None,
}

/// Finds the frames in `values`, `[frames, width]`. A stated length is counted from the side without padding, or from the
/// other where only that leaves nothing but zeros. Without one, zero frames at the ends are padding: with
/// [`Padding::Left`] those before, with [`Padding::Right`] those on both sides. A segment of zero frames alone has none.
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
            Padding::None => found(0..all),
        };
    };
    let length = length.min(all);
    let (head, tail) = (0..length, all - length..all);
    match (end <= length, first >= all - length, padding) {
        (true, false, _) | (true, true, Padding::Right | Padding::None) => found(head),
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
        assert_eq!(frames("..a.b.", None, Padding::None), 0..6);
        assert_eq!(frames("..", None, Padding::None), 0..0);
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
