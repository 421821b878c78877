//! Columns of a release: ids, texts, labels and lengths, which are lists in one file and arrays in the next.

use crate::Result;
use crate::pickle::{Array, Kind, Value};

/// No column has more cells.
const MOST_CELLS: usize = 1 << 22;

/// Lists in lists go no deeper.
const DEEPEST: usize = 4;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Number(f64),
}

/// Cells with their shape, in the order of C.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) shape: Vec<usize>,
    pub(super) cells: Vec<Cell>,
}

impl Column {
    /// Reads a list, a tuple or an array of text or numbers, or lists of them; says why not where it is another thing.
    pub(super) fn read(value: Value<'_>) -> Result<Result<Self, String>> {
        let mut cells = Vec::new();
        Ok(match read(value, DEEPEST, &mut cells)? {
            Ok(shape) => Ok(Self { shape, cells }),
            Err(reason) => Err(reason),
        })
    }

    /// Rows, as the first axis counts them.
    pub(super) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Cells in a row.
    pub(super) fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// `(3, 1)`.
    pub(super) fn shape_text(&self) -> String {
        shape_text(&self.shape)
    }
}

impl Cell {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) => None,
        }
    }
}

/// `(3, 1)`, as Python writes it.
pub(super) fn shape_text(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => {
            let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("({})", extents.join(", "))
        }
    }
}

/// Adds the cells of a value and returns its shape, or why it has none.
fn read(
    value: Value<'_>,
    depth: usize,
    cells: &mut Vec<Cell>,
) -> Result<Result<Vec<usize>, String>> {
    if cells.len() >= MOST_CELLS {
        return Ok(Err(format!("more than {MOST_CELLS} cells")));
    }
    if let Some(items) = value.items() {
        let shape = value
            .array()
            .map_or(vec![items.len()], |array| array.shape().to_vec());
        return nested(&items, shape, depth, cells);
    }
    let cell = match value.kind() {
        Kind::Array(array) => return read_array(array, cells),
        _ => match (value.as_f64(), value.text()?) {
            (Some(number), _) => Cell::Number(number),
            (None, Some(text)) => Cell::Text(text),
            (None, None) => {
                return Ok(Err(format!(
                    "{} where text or a number is expected",
                    value.what()
                )));
            }
        },
    };
    cells.push(cell);
    Ok(Ok(Vec::new()))
}

/// Adds the cells of items, which all have the same shape.
fn nested(
    items: &[Value<'_>],
    mut shape: Vec<usize>,
    depth: usize,
    cells: &mut Vec<Cell>,
) -> Result<Result<Vec<usize>, String>> {
    let Some(depth) = depth.checked_sub(1) else {
        return Ok(Err("lists in lists in lists".to_owned()));
    };
    let mut inner: Option<Vec<usize>> = None;
    for &item in items {
        let found = match read(item, depth, cells)? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        if inner.as_ref().is_some_and(|inner| *inner != found) {
            return Ok(Err("lists of different lengths".to_owned()));
        }
        inner = Some(found);
    }
    shape.extend(inner.unwrap_or_default());
    Ok(Ok(shape))
}

fn read_array(array: &Array, cells: &mut Vec<Cell>) -> Result<Result<Vec<usize>, String>> {
    let elements: usize = array.shape().iter().product();
    if elements.saturating_add(cells.len()) > MOST_CELLS {
        let shape = shape_text(array.shape());
        return Ok(Err(format!(
            "shape {shape} is more than {MOST_CELLS} cells"
        )));
    }
    if array.dtype().is_numeric() {
        let numbers = array.rows_f64(0..array.rows())?;
        cells.extend(numbers.into_iter().map(Cell::Number));
    } else {
        cells.extend(array.texts()?.into_iter().map(Cell::Text));
    }
    Ok(Ok(array.shape().to_vec()))
}

/// What stands between video and clip in MMSA's ids.
const SEPARATOR: &str = "$_$";

/// A segment as a release names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// A clip of a video.
    Clip { video: String, clip: String },
    /// A stretch of a video, from start to end in seconds, as written and as numbers.
    Stretch {
        video: String,
        start: f64,
        end: f64,
        written: String,
    },
}

impl Key {
    pub(super) fn video(&self) -> &str {
        match self {
            Self::Clip { video, .. } | Self::Stretch { video, .. } => video,
        }
    }

    /// `video$_$clip`, or `video$_$start_end` of a stretch.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Clip { video, clip } => format!("{video}{SEPARATOR}{clip}"),
            Self::Stretch { video, written, .. } => format!("{video}{SEPARATOR}{written}"),
        }
    }

    /// MMSA's `video$_$clip`; MulT's `video_clip`, which is split at the last underscore, or (video, start, end).
    /// Says why not.
    pub(super) fn read(column: &Column, mult: bool) -> Result<Vec<Self>, String> {
        let width = column.width();
        let rows = column.cells.chunks_exact(width.max(1));
        match (column.shape.is_empty(), width, mult) {
            (false, 1, _) => rows.map(|row| clip(row, mult)).collect(),
            (false, 3, true) => rows.map(stretch).collect(),
            _ => {
                let shapes = if mult { "(N, 1) or (N, 3)" } else { "(N,)" };
                Err(format!("shape {}, not {shapes}", column.shape_text()))
            }
        }
    }
}

fn clip(row: &[Cell], mult: bool) -> Result<Key, String> {
    let Some(id) = row.first().and_then(Cell::text) else {
        return Err("an id that is not text".to_owned());
    };
    let parts = match id.split_once(SEPARATOR) {
        None if mult => id.rsplit_once('_'),
        parts => parts,
    };
    match parts {
        Some((video, clip)) if !video.is_empty() && !clip.is_empty() => Ok(Key::Clip {
            video: video.to_owned(),
            clip: clip.to_owned(),
        }),
        _ => {
            let form = if mult { "video_clip" } else { "video$_$clip" };
            Err(format!("{id:?} is not of the form {form}"))
        }
    }
}

fn stretch(row: &[Cell]) -> Result<Key, String> {
    let [video, start, end] = row else {
        return Err("an id of less than three parts".to_owned());
    };
    let seconds = |cell: &Cell| match cell {
        Cell::Number(number) => Some((*number, number.to_string())),
        Cell::Text(text) => Some((text.trim().parse().ok()?, text.trim().to_owned())),
    };
    let times = seconds(start).zip(seconds(end));
    match (video.text(), times) {
        (Some(video), Some(((start, from), (end, to)))) if start.is_finite() && end.is_finite() => {
            Ok(Key::Stretch {
                video: video.to_owned(),
                start,
                end,
                written: format!("{from}_{to}"),
            })
        }
        _ => Err(format!("{row:?} is not (video, start, end)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str], mult: bool) -> Result<Vec<String>, String> {
        let cells = texts.iter().map(|&text| Cell::Text(text.to_owned()));
        let column = Column {
            shape: vec![texts.len(), 1],
            cells: cells.collect(),
        };
        let keys = Key::read(&column, mult)?;
        Ok(keys.iter().map(Key::id).collect())
    }

    #[test]
    fn a_video_may_hold_the_separators() {
        assert_eq!(ids(&["a_b-_7"], true).unwrap(), ["a_b-$_$7"]);
        assert_eq!(ids(&["a_b$_$7"], true).unwrap(), ["a_b$_$7"]);
        assert_eq!(
            ids(&["video_0001$_$0003"], false).unwrap(),
            ["video_0001$_$0003"]
        );
        for (wrong, mult) in [("a", true), ("_1", true), ("a_", true), ("a_1", false)] {
            assert!(ids(&[wrong], mult).unwrap_err().contains(wrong));
        }
    }
}
