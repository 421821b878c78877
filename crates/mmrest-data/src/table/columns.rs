//! Where a table's columns are.

use std::path::Path;

use csv::StringRecord;

use super::Row;
use crate::{Columns, DataError, Result, Split};

/// Which columns a table must have, beside the video's and the clip's.
///
/// Text and label are read wherever there is such a column; the split only where it is required, so that a column of
/// that name may hold anything in a table whose splits come from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
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
        format!("column {:?}: {cell:?} is {what}", self.name)
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
    video: Place<'a>,
    clip: Place<'a>,
    text: Option<Place<'a>>,
    label: Option<Place<'a>>,
    split: Option<Place<'a>>,
}

impl<'a> Places<'a> {
    /// Finds the columns in the header.
    pub(super) fn find(
        path: &Path,
        header: &StringRecord,
        columns: &'a Columns,
        required: Required,
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
        let may = |name, required| match required {
            true => must(name).map(Some),
            false => found(name),
        };
        Ok(Self {
            video: must(&columns.video)?,
            clip: must(&columns.clip)?,
            text: may(&columns.text, required.text)?,
            label: may(&columns.label, required.label)?,
            split: required.split.then(|| must(&columns.split)).transpose()?,
        })
    }

    /// The row of a record, or why it is none.
    pub(super) fn row(&self, record: &StringRecord, line: u64) -> Result<Row, String> {
        let clip = self.clip.name(record)?;
        Ok(Row {
            video: self.video.name(record)?,
            number: clip.parse().ok(),
            clip,
            text: self
                .text
                .as_ref()
                .map_or_else(String::new, |text| text.cell(record).to_owned()),
            label: self.label(record)?,
            split: self.split(record)?,
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
        let label: f32 = cell
            .parse()
            .map_err(|_| column.wrong(cell, "no number (decimals take a point)"))?;
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
