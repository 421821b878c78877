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
