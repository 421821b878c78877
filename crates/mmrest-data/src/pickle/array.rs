//! NumPy arrays whose elements may still be in the file.

use std::ops::Range;
use std::sync::Arc;

use super::convert;
use super::dtype::{ByteOrder, DType, Element};
use super::payload::Payload;
use super::store::Store;
use super::strided::Layout;
use super::value::Id;
use crate::Result;

/// Bytes of text decoded at a time.
const TEXT_BLOCK: usize = 1 << 20;

/// An array: its shape and type in memory, its elements perhaps still in the file.
///
/// Rows are what the first axis counts; an array of no axis is one row of one element. Elements are given in the order
/// of C (the last axis turns fastest), whatever order the file has them in, and in the machine's byte order.
#[derive(Debug)]
pub struct Array {
    store: Arc<Store>,
    /// Where in the file the array was made, for errors.
    offset: u64,
    layout: Layout,
    dtype: DType,
    data: Data,
}

#[derive(Debug)]
pub(super) enum Data {
    Bytes(Payload),
    /// A list of as many values, in the order of C.
    Objects(Id),
}

impl Array {
    /// The caller has checked that the data have the size that layout and type say.
    pub(super) fn new(
        store: &Arc<Store>,
        offset: u64,
        layout: Layout,
        dtype: DType,
        data: Data,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            offset,
            layout,
            dtype,
            data,
        }
    }

    /// Extent of every axis; empty for an array of no axis.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.layout.rows()
    }

    /// Number of elements in a row.
    pub fn row_elements(&self) -> usize {
        self.layout.row_elements()
    }

    /// Some rows as f32, `[rows, row_elements]`: integers and truth values are converted, f64 is rounded.
    ///
    /// # Errors
    ///
    /// [`DataError::Pickle`](crate::DataError::Pickle) where the elements are not numbers or the array has not so many
    /// rows; [`DataError::Io`](crate::DataError::Io).
    pub fn rows_f32(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        let bytes = self.bytes(rows)?;
        convert::to_f32(&bytes, self.dtype).ok_or_else(|| self.not("numbers"))
    }

    /// Some rows as f64.
    ///
    /// # Errors
    ///
    /// As [`rows_f32`](Self::rows_f32).
    pub fn rows_f64(&self, rows: Range<usize>) -> Result<Vec<f64>> {
        let bytes = self.bytes(rows)?;
        convert::to_f64(&bytes, self.dtype).ok_or_else(|| self.not("numbers"))
    }

    /// Some rows of integers or truth values, exact.
    ///
    /// # Errors
    ///
    /// As [`rows_f32`](Self::rows_f32), also for floating-point numbers.
    pub fn rows_int(&self, rows: Range<usize>) -> Result<Vec<i128>> {
        let bytes = self.bytes(rows)?;
        convert::to_i128(&bytes, self.dtype).ok_or_else(|| self.not("integers"))
    }

    /// All elements of an array of text, or of bytes that are UTF-8 text.
    ///
    /// # Errors
    ///
    /// [`DataError::Pickle`](crate::DataError::Pickle) where they are not.
    pub fn texts(&self) -> Result<Vec<String>> {
        if !matches!(self.dtype.element, Element::Text | Element::Bytes) {
            return Err(self.not("text"));
        }
        let (size, rows) = (self.dtype.size, self.rows());
        if size == 0 {
            return Ok(vec![String::new(); self.empty_texts()?]);
        }
        let row = size.saturating_mul(self.row_elements()).max(1);
        let step = (TEXT_BLOCK / row).max(1);
        let mut texts = Vec::new();
        let mut start = 0;
        while start < rows && self.row_elements() > 0 {
            let end = rows.min(start + step);
            for element in self.bytes(start..end)?.chunks_exact(size) {
                let text = self.text(element);
                texts.push(text.ok_or_else(|| self.wrong("an element is not text"))?);
            }
            start = end;
        }
        Ok(texts)
    }

    /// How many elements of no bytes there are, for nothing else bounds their number.
    fn empty_texts(&self) -> Result<usize> {
        let elements = self.layout.elements();
        if elements > TEXT_BLOCK {
            return Err(self.wrong(format!("{elements} elements of no bytes")));
        }
        Ok(elements)
    }

    fn text(&self, element: &[u8]) -> Option<String> {
        if self.dtype.element == Element::Text {
            return convert::text(element, self.dtype.order);
        }
        let text = std::str::from_utf8(convert::unpadded(element)).ok()?;
        Some(text.to_owned())
    }

    /// The list of an array of objects.
    pub(super) fn objects(&self) -> Option<Id> {
        match self.data {
            Data::Objects(list) => Some(list),
            Data::Bytes(_) => None,
        }
    }

    /// The bytes of some rows.
    fn bytes(&self, rows: Range<usize>) -> Result<Vec<u8>> {
        let Data::Bytes(payload) = &self.data else {
            return Err(self.not("numbers or text"));
        };
        let (end, have) = (rows.end, self.rows());
        let bytes = self.layout.gather(payload, self.dtype.size, rows)?;
        bytes.ok_or_else(|| self.wrong(format!("row {end} of an array of {have} rows")))
    }

    fn not(&self, wanted: &str) -> crate::DataError {
        self.wrong(format!("an array of {}, not of {wanted}", self.dtype))
    }

    /// An error about this array.
    fn wrong(&self, reason: impl Into<String>) -> crate::DataError {
        self.store.wrong(self.offset, reason)
    }
}

impl DType {
    /// This type with the bytes of an element in another order.
    pub(super) fn ordered(self, order: ByteOrder) -> Self {
        Self { order, ..self }
    }
}
