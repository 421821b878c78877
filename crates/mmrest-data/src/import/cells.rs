//! Columns of a release: ids, texts, labels and lengths, which are lists in one file and arrays in the next.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Result;
use crate::pickle::{Array, Id, Kind, Value};

/// No column has more cells.
const MOST_CELLS: u64 = 1 << 22;

/// Lists in lists go no deeper.
const DEEPEST: usize = 4;

/// Bytes of text that a column may hold whatever the size of its file.
const LEAST_TEXT: u64 = 64 << 20;

/// How many times its file's size a column's text may take beyond that: what is referred to twice is stored once.
const REPEATED: u64 = 16;

/// What the values of a file of this many bytes may take together, referred to again and again.
pub(super) fn most_bytes(file: u64) -> u64 {
    LEAST_TEXT.saturating_add(file.saturating_mul(REPEATED))
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// Shared by all cells that refer to the same text of the pickle.
    Text(Arc<str>),
    Number(f64),
    /// `None`, as some write what is lacking.
    Nothing,
}

/// Cells with their shape, in the order of C.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) shape: Vec<usize>,
    pub(super) cells: Vec<Cell>,
}

impl Column {
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
            Self::Text(_) | Self::Nothing => None,
        }
    }

    pub(super) fn text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Nothing => None,
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

/// Reads columns of one file. Values and text are bounded by the file's size, so that references to one value of a pickle,
/// which cost two bytes each, cannot stand for more than it could hold.
pub(super) struct Columns {
    /// Values that may still be visited, in every column anew.
    values: u64,
    /// Bytes of text that may still be read, in every column anew.
    text: u64,
    /// Bytes of the file.
    file: u64,
    /// Texts of the column that were read, by their place in the pickle.
    texts: HashMap<Id, Arc<str>>,
    cells: Vec<Cell>,
}

/// A shape, or why there is none.
type Shape = Result<Result<Vec<usize>, String>>;

impl Columns {
    /// For a file of this many bytes.
    pub(super) fn of_file(bytes: u64) -> Self {
        Self {
            values: 0,
            text: 0,
            file: bytes,
            texts: HashMap::new(),
            cells: Vec::new(),
        }
    }

    /// Reads a list, a tuple or an array of text or numbers, or lists of them; says why not where it is another thing.
    pub(super) fn read(&mut self, value: Value<'_>) -> Result<Result<Column, String>> {
        self.begin();
        let shape = self.value(value, DEEPEST)?;
        Ok(self.finish(shape))
    }

    /// Reads one row of each value.
    pub(super) fn rows(&mut self, values: &[Value<'_>]) -> Result<Result<Column, String>> {
        self.begin();
        let shape = self.nested(values, vec![values.len()], DEEPEST)?;
        Ok(self.finish(shape))
    }

    fn begin(&mut self) {
        self.values = self.file;
        self.text = most_bytes(self.file);
        self.cells = Vec::new();
        // Places are those of one pickle, and the next column may be of another.
        self.texts.clear();
    }

    fn finish(&mut self, shape: Result<Vec<usize>, String>) -> Result<Column, String> {
        let cells = std::mem::take(&mut self.cells);
        shape.map(|shape| Column { shape, cells })
    }

    /// Counts values that are visited, or says that they are too many.
    fn visit(&mut self, count: usize) -> Result<(), String> {
        let count = count as u64;
        if count + self.cells.len() as u64 > MOST_CELLS {
            return Err(format!("more than {MOST_CELLS} cells"));
        }
        match self.values.checked_sub(count) {
            Some(left) => {
                self.values = left;
                Ok(())
            }
            None => Err(format!(
                "more cells than a file of {} bytes can hold",
                self.file
            )),
        }
    }

    /// Adds the cells of a value and returns its shape.
    fn value(&mut self, value: Value<'_>, depth: usize) -> Shape {
        if let Some(count) = value.count() {
            if matches!(value.kind(), Kind::Dict) {
                return Ok(Err(
                    "a dictionary where text or a number is expected".to_owned()
                ));
            }
            if let Err(reason) = self.visit(count) {
                return Ok(Err(reason));
            }
            let shape = value
                .array()
                .map_or(vec![count], |array| array.shape().to_vec());
            return self.nested(&value.items().unwrap_or_default(), shape, depth);
        }
        let cell = match value.kind() {
            Kind::Array(array) => return self.array(array),
            Kind::None => Cell::Nothing,
            _ => match value.as_f64() {
                Some(number) => Cell::Number(number),
                None => match self.text(value)? {
                    Ok(text) => Cell::Text(text),
                    Err(reason) => return Ok(Err(reason)),
                },
            },
        };
        self.cells.push(cell);
        Ok(Ok(Vec::new()))
    }

    /// The text of a value, read once.
    fn text(&mut self, value: Value<'_>) -> Result<Result<Arc<str>, String>> {
        if let Some(known) = self.texts.get(&value.id()) {
            return Ok(Ok(Arc::clone(known)));
        }
        let Some(text) = value.text()? else {
            let reason = format!("{} where text or a number is expected", value.what());
            return Ok(Err(reason));
        };
        if let Err(reason) = self.take_text(text.len() as u64) {
            return Ok(Err(reason));
        }
        let text: Arc<str> = text.into();
        self.texts.insert(value.id(), Arc::clone(&text));
        Ok(Ok(text))
    }

    fn take_text(&mut self, bytes: u64) -> Result<(), String> {
        match self.text.checked_sub(bytes) {
            Some(left) => {
                self.text = left;
                Ok(())
            }
            None => Err("more text than a file of its size can hold".to_owned()),
        }
    }

    /// Adds the cells of items, which all have the same shape.
    fn nested(&mut self, items: &[Value<'_>], mut shape: Vec<usize>, depth: usize) -> Shape {
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(Err("lists in lists in lists".to_owned()));
        };
        let mut inner: Option<Vec<usize>> = None;
        for &item in items {
            let found = match self.value(item, depth)? {
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

    fn array(&mut self, array: &Array) -> Shape {
        let elements: usize = array.shape().iter().product();
        let bytes = elements.saturating_mul(array.dtype().size) as u64;
        if let Err(reason) = self.visit(elements) {
            let shape = shape_text(array.shape());
            return Ok(Err(format!("shape {shape} is {reason}")));
        }
        if array.dtype().is_numeric() {
            let numbers = array.rows_f64(0..array.rows())?;
            self.cells.extend(numbers.into_iter().map(Cell::Number));
        } else {
            if let Err(reason) = self.take_text(bytes) {
                return Ok(Err(reason));
            }
            let texts = array.texts()?.into_iter();
            self.cells.extend(texts.map(|text| Cell::Text(text.into())));
        }
        Ok(Ok(array.shape().to_vec()))
    }

    /// The words of a value, with single spaces between and without pauses; the text itself where it is one.
    pub(super) fn words(
        &mut self,
        value: Value<'_>,
        pause: &str,
    ) -> Result<Result<Arc<str>, String>> {
        if value.count().is_none() && value.array().is_none() {
            return self.text(value);
        }
        if let Some(known) = self.texts.get(&value.id()) {
            return Ok(Ok(Arc::clone(known)));
        }
        let mut values = std::mem::take(&mut self.cells);
        let shape = self.value(value, 2)?;
        std::mem::swap(&mut values, &mut self.cells);
        if let Err(reason) = shape {
            return Ok(Err(reason));
        }
        let mut spoken = String::new();
        for cell in &values {
            let Cell::Text(word) = cell else {
                return Ok(Err("numbers where words are expected".to_owned()));
            };
            let word = word.trim();
            if word.is_empty() || word == pause {
                continue;
            }
            if let Err(reason) = self.take_text(word.len() as u64 + 1) {
                return Ok(Err(reason));
            }
            if !spoken.is_empty() {
                spoken.push(' ');
            }
            spoken.push_str(word);
        }
        let spoken: Arc<str> = spoken.into();
        self.texts.insert(value.id(), Arc::clone(&spoken));
        Ok(Ok(spoken))
    }

    /// Begins to read words of many segments, which are bounded together.
    pub(super) fn begin_words(&mut self) {
        self.begin();
    }
}
