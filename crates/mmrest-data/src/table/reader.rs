//! Reads a table: from bytes to rows, by the columns that are there.

use std::path::Path;

use csv::{ErrorKind, Position, StringRecord};

use super::Row;
use crate::container::{self, Container};
use crate::text::quoted;
use crate::{Columns, DataError, Result, Split};

/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Every row of a table, with the cells of further columns, `more`.
pub(super) fn rows(
    path: &Path,
    columns: &Columns,
    required: Required,
    more: &[String],
) -> Result<Vec<Row>> {
    let sheet = Sheet::read(path)?;
    let (text, first_line) = (sheet.text(), sheet.first_line);
    let mut lines = sheet.lines();
    let wrong = |line, reason| DataError::Row {
        path: path.to_path_buf(),
        line,
        reason,
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(sheet.separator())
        .trim(csv::Trim::Headers)
        .from_reader(text);
    let open = open_quote(text, sheet.separator());
    // Of the line a quote opens on, if what was just read goes on to the end because of it.
    let unclosed = |at: &Position| {
        let to_the_end = usize::try_from(at.byte()).is_ok_and(|at| at >= text.len());
        let open = open.filter(|_| to_the_end)?;
        let line = first_line + line_ends(text, 0, open);
        let reason = "a quote opens a cell on this line and is never closed";
        Some(wrong(line, reason.to_owned()))
    };
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(wrong(first_line, reason(&error, &StringRecord::new()))),
    };
    if let Some(error) = unclosed(reader.position()) {
        return Err(error);
    }
    if header.iter().all(str::is_empty) {
        let reason = "the file is empty, where a line with the names of its columns is expected";
        return Err(wrong(1, reason.to_owned()));
    }
    let places = Places::find(path, &header, columns, required, more)?;
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    loop {
        let read = reader.read_record(&mut record);
        if let Some(error) = unclosed(reader.position()) {
            return Err(error);
        }
        let more = read.map_err(|error| {
            let line = error.position().map_or(1, |at| lines.line(at.byte()));
            wrong(line, reason(&error, &header))
        })?;
        if !more {
            break;
        }
        let line = record.position().map_or(1, |at| lines.line(at.byte()));
        rows.push(
            places
                .row(&record, rows.len(), line)
                .map_err(|reason| wrong(line, reason))?,
        );
    }
    if rows.is_empty() {
        Err(wrong(
            1,
            "no row follows the names of the columns".to_owned(),
        ))
    } else {
        Ok(rows)
    }
}

/// The text of a table, past what editors and spreadsheets put before it.
#[derive(Debug)]
pub struct Sheet {
    bytes: Vec<u8>,
    /// Where the names of the columns begin.
    start: usize,
    /// The line they are on, from 1.
    first_line: u64,
    separator: u8,
}

impl Sheet {
    /// Reads a file; past a byte order mark, and past the line `sep=,` by which spreadsheets name what separates cells.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`]; [`DataError::Row`] for a workbook, an archive, a page or UTF-16, told as what it is.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| DataError::io(path, error))?;
        let head = bytes
            .get(..bytes.len().min(container::HEAD))
            .unwrap_or_default();
        let zeros = head.iter().filter(|&&byte| byte == 0).count();
        let wide = (3 * zeros > head.len()).then_some(Container::Utf16);
        if let Some(container) = Container::of(head).or(wide) {
            return Err(DataError::Row {
                path: path.to_path_buf(),
                line: 1,
                reason: format!(
                    "{}, not a table in UTF-8: {}",
                    container.what(),
                    container.advice()
                ),
            });
        }
        let mark = if bytes.starts_with(BYTE_ORDER_MARK) {
            3
        } else {
            0
        };
        let text = bytes.get(mark..).unwrap_or_default();
        let line = text
            .split(|&byte| is_line_end(byte))
            .next()
            .unwrap_or_default();
        let named = line.strip_prefix(b"sep=".as_slice());
        let (start, first_line, separator) = match named {
            Some(&[separator]) => {
                let rest = text.get(line.len()..).unwrap_or_default();
                let end = if rest.starts_with(b"\r\n") {
                    2
                } else {
                    rest.len().min(1)
                };
                (mark + line.len() + end, 2, separator)
            }
            _ => (mark, 1, separator(text)),
        };
        Ok(Self {
            bytes,
            start,
            first_line,
            separator,
        })
    }

    /// From the names of the columns on.
    pub fn text(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// What separates cells.
    pub fn separator(&self) -> u8 {
        self.separator
    }

    /// Counts lines of [`text`](Self::text) as the file has them.
    pub fn lines(&self) -> Lines<'_> {
        Lines {
            line: self.first_line,
            ..Lines::new(self.text())
        }
    }
}

/// What separates cells: of comma, semicolon and tab the one that the first line has most of, outside quotes.
pub fn separator(text: &[u8]) -> u8 {
    let mut counts = [(b'\t', 0), (b';', 0), (b',', 0)];
    let mut quoted = false;
    for &byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => counts
                .iter_mut()
                .filter(|(separator, _)| *separator == byte)
                .for_each(|(_, count)| *count += 1),
        }
    }
    // Of equals the last one is the greatest: the comma.
    counts
        .into_iter()
        .max_by_key(|&(_, count)| count)
        .map_or(b',', |(separator, _)| separator)
}

/// Where the quote opens that is never closed, by the reader's own rules: a quote opens at the start of a cell only, and
/// two within are one that is meant.
fn open_quote(text: &[u8], separator: u8) -> Option<usize> {
    let mut open = None;
    let mut start = true;
    let mut bytes = text.iter().copied().enumerate().peekable();
    while let Some((place, byte)) = bytes.next() {
        match (open, byte) {
            (Some(_), b'"') if bytes.next_if(|&(_, next)| next == b'"').is_some() => {}
            (Some(_), b'"') => open = None,
            (Some(_), _) => {}
            (None, b'"') if start => open = Some(place),
            (None, _) => {}
        }
        start = byte == separator || is_line_end(byte);
    }
    open
}

/// Why a record could not be read.
fn reason(error: &csv::Error, header: &StringRecord) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!(
            "{len} cells, where the first line has {expected_len}; a cell with a separator in it must be quoted, and every \
             quote closed"
        ),
        ErrorKind::Utf8 { err, .. } => match header.get(err.field()) {
            Some(column) => format!("column {column:?} is not UTF-8; save the table as UTF-8"),
            None => "not UTF-8; save the table as UTF-8".to_owned(),
        },
        _ => error.to_string(),
    }
}

/// Line numbers of ascending places in a text.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
        }
    }

    /// The line of the record that the reader found from `place` on: what is left of the last line's end, and empty lines,
    /// come before it.
    pub fn line(&mut self, place: u64) -> u64 {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let rest = self.text.get(place..).unwrap_or_default();
        let ends = rest.iter().take_while(|&&byte| is_line_end(byte)).count();
        let from = self.at.min(self.text.len());
        self.at = (place.saturating_add(ends)).clamp(from, self.text.len());
        self.line += line_ends(self.text, from, self.at);
        self.line
    }
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

/// Line ends in part of a text, as `\n`, `\r\n` or `\r`.
fn line_ends(text: &[u8], from: usize, to: usize) -> u64 {
    let ends = (from..to).filter(|&i| match text[i] {
        b'\n' => i == 0 || text[i - 1] != b'\r',
        byte => byte == b'\r',
    });
    ends.count() as u64
}

/// The number of a cell: a decimal comma is taken for a point, as spreadsheets of many countries write it.
///
/// ```
/// use mmrest_data::table::number;
///
/// assert_eq!((number("-1.5"), number(" 0,25 "), number("1,000,5")), (Some(-1.5), Some(0.25), None));
/// ```
pub fn number(cell: &str) -> Option<f32> {
    let cell = cell.trim();
    cell.parse()
        .or_else(|_| cell.replacen(',', ".", 1).parse())
        .ok()
}

/// Which columns a table must have.
///
/// Text and label are read wherever there is such a column; the split only where it is required, so that a column of
/// that name may hold anything in a table whose splits come from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    /// Those of the video and the clip. Without them every row is a segment of its own, named by the column of ids where
    /// there is one, else by its number.
    pub id: bool,
    /// The transcript's.
    pub text: bool,
    /// The sentiment's.
    pub label: bool,
    /// The split's.
    pub split: bool,
}

impl Required {
    /// Every column.
    pub const ALL: Self = Self {
        id: true,
        text: true,
        label: true,
        split: true,
    };
}

/// A column that is there.
#[derive(Debug)]
struct Place<'a> {
    name: &'a str,
    index: usize,
}

impl Place<'_> {
    fn cell<'r>(&self, record: &'r StringRecord) -> &'r str {
        record.get(self.index).unwrap_or_default().trim()
    }

    /// The reason for refusing a cell of this column.
    fn wrong(&self, cell: &str, what: &str) -> String {
        format!("column {:?}: {} is {what}", self.name, quoted(cell))
    }

    fn name(&self, record: &StringRecord) -> Result<String, String> {
        match self.cell(record) {
            "" => Err(format!("column {:?} is empty", self.name)),
            name => Ok(name.to_owned()),
        }
    }
}

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Places<'a> {
    video: Option<Place<'a>>,
    clip: Option<Place<'a>>,
    id: Option<Place<'a>>,
    text: Option<Place<'a>>,
    label: Option<Place<'a>>,
    split: Option<Place<'a>>,
    more: Vec<Place<'a>>,
}

impl<'a> Places<'a> {
    /// Finds the columns in the header.
    pub(super) fn find(
        path: &Path,
        header: &StringRecord,
        columns: &'a Columns,
        required: Required,
        more: &'a [String],
    ) -> Result<Self> {
        let found = |name: &'a str| -> Result<Option<Place<'a>>> {
            let mut places = header.iter().enumerate().filter(|(_, cell)| *cell == name);
            let place = places.next().map(|(index, _)| Place { name, index });
            match places.next() {
                None => Ok(place),
                Some(_) => Err(DataError::Row {
                    path: path.to_path_buf(),
                    line: 1,
                    reason: format!("column {name:?} occurs twice"),
                }),
            }
        };
        let must = |name: &'a str| {
            found(name)?.ok_or_else(|| DataError::Column {
                path: path.to_path_buf(),
                column: name.to_owned(),
                found: header.iter().map(str::to_owned).collect(),
            })
        };
        let may = |name, required| {
            if required {
                must(name).map(Some)
            } else {
                found(name)
            }
        };
        Ok(Self {
            video: may(&columns.video, required.id)?,
            clip: may(&columns.clip, required.id)?,
            id: found(&columns.id)?,
            text: may(&columns.text, required.text)?,
            label: may(&columns.label, required.label)?,
            split: required.split.then(|| must(&columns.split)).transpose()?,
            more: more.iter().map(|name| must(name)).collect::<Result<_>>()?,
        })
    }

    /// The row of a record, `place` rows after the first, or why it is none.
    pub(super) fn row(
        &self,
        record: &StringRecord,
        place: usize,
        line: u64,
    ) -> Result<Row, String> {
        let row = || (place + 1).to_string();
        let (video, clip) = match (&self.video, &self.clip, &self.id) {
            (Some(video), Some(clip), _) => (video.name(record)?, clip.name(record)?),
            (Some(video), None, _) => (video.name(record)?, row()),
            // A clip's number alone is not unique.
            (None, _, Some(id)) => (id.name(record)?, String::new()),
            (None, _, None) => (row(), String::new()),
        };
        Ok(Row {
            video,
            number: clip.parse().ok(),
            clip,
            text: self
                .text
                .as_ref()
                .map_or_else(String::new, |text| text.cell(record).to_owned()),
            label: self.label(record)?,
            split: self.split(record)?,
            more: self
                .more
                .iter()
                .map(|column| column.cell(record).to_owned())
                .collect(),
            line,
        })
    }

    fn label(&self, record: &StringRecord) -> Result<Option<f32>, String> {
        let Some(column) = &self.label else {
            return Ok(None);
        };
        let cell = column.cell(record);
        if cell.is_empty() {
            return Ok(None);
        }
        let label = number(cell).ok_or_else(|| column.wrong(cell, "no number"))?;
        Ok(label.is_finite().then_some(label))
    }

    fn split(&self, record: &StringRecord) -> Result<Option<Split>, String> {
        let Some(column) = &self.split else {
            return Ok(None);
        };
        let cell = column.cell(record);
        let split = Split::from_name(cell);
        let wrong = || column.wrong(cell, "not train, valid, dev or test");
        split.map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_what_the_header_has_most_of() {
        for (text, expected) in [
            ("a,b;c,d\n1;2;3;4;5;6\n", b','),
            ("a;b;c", b';'),
            ("a\tb,c\td\r\n", b'\t'),
            ("\"a;b;c;d\",e,f\n", b','),
            ("a", b','),
            ("", b','),
        ] {
            assert_eq!(separator(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_quote_is_open_where_the_reader_takes_it_for_one() {
        for (text, expected) in [
            ("a,\"b", Some(2)),
            ("a,\"b\nc,d\n", Some(2)),
            ("a,\"b \"\"c\"\"\"\n", None),
            ("a,\"b\"\"\n", Some(2)),
            ("a,b \"c\nd", None),
            ("a,\"b\"c\"\n\"", Some(8)),
            ("", None),
        ] {
            assert_eq!(open_quote(text.as_bytes(), b','), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for (text, places) in [
            ("ab\ncd\n\nef", [(0, 1), (3, 2), (6, 4)]),
            // The reader takes the second byte of a line end for the next record's first.
            ("ab\r\ncd\r\n\r\nef", [(0, 1), (3, 2), (7, 4)]),
            ("ab\rcd\r\ref", [(0, 1), (3, 2), (6, 4)]),
        ] {
            let mut lines = Lines::new(text.as_bytes());
            for (place, line) in places {
                assert_eq!(lines.line(place), line, "{text:?} at {place}");
            }
        }
    }
}
