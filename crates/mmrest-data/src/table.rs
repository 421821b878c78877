//! The `label.csv` of the processed releases: transcript, label and split of every segment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::{DataError, Result, Split};

/// One segment as the table has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Column `video_id`.
    pub video: String,
    /// Column `clip_id`: the i-th labelled interval of the video, from 1.
    pub clip: usize,
    /// Column `text`: the transcript.
    pub text: String,
    /// Column `label`: sentiment; none where the cell is empty.
    pub label: Option<f32>,
    /// Column `mode`: `train`, `valid` (or `dev`) or `test`.
    pub split: Split,
}

/// A table in memory. Other columns than those of [`Row`] are ignored.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("label.csv");
/// std::fs::write(&path, "video_id,clip_id,text,label,mode\nabc,1,\"well, fine\",0.8,dev\n").unwrap();
/// let table = mmrest_data::table::Table::read(&path).unwrap();
/// let row = table.row("abc", 1).unwrap();
/// assert_eq!(row.text, "well, fine");
/// assert_eq!(row.split, mmrest_data::Split::Valid);
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    rows: Vec<Row>,
    index: BTreeMap<String, BTreeMap<usize, usize>>,
}

impl Table {
    /// Reads a table: UTF-8 with or without a byte order mark, any line ends, quoted cells.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`]; [`DataError::Column`] for a missing column, naming those there are; [`DataError::Row`] with
    /// the line for a cell that is no number or no known mode; [`DataError::Duplicate`] for a segment listed twice.
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|error| DataError::io(path, error))?;
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::Headers)
            .from_reader(file);
        let headers = reader.headers().map_err(|error| csv_error(path, &error))?;
        let columns = Columns::find(path, headers)?;
        let mut table = Self {
            path: path.to_path_buf(),
            rows: Vec::new(),
            index: BTreeMap::new(),
        };
        for record in reader.records() {
            let record = record.map_err(|error| csv_error(path, &error))?;
            table.push(columns.row(path, &record)?)?;
        }
        Ok(table)
    }

    fn push(&mut self, row: Row) -> Result<()> {
        let clips = self.index.entry(row.video.clone()).or_default();
        if clips.insert(row.clip, self.rows.len()).is_some() {
            return Err(DataError::Duplicate {
                path: self.path.clone(),
                id: format!("{} clip {}", row.video, row.clip),
            });
        }
        self.rows.push(row);
        Ok(())
    }

    /// Every row in file order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of a segment, clips counting from 1.
    pub fn row(&self, video: &str, clip: usize) -> Option<&Row> {
        let &row = self.index.get(video)?.get(&clip)?;
        self.rows.get(row)
    }

    /// The rows of a video by clip.
    pub(crate) fn clips(&self, video: &str) -> impl Iterator<Item = &Row> {
        let clips = self.index.get(video).into_iter().flat_map(BTreeMap::values);
        clips.filter_map(|&row| self.rows.get(row))
    }

    /// Refuses a table that puts clips of one video into different splits: their speaker would be known at test.
    ///
    /// # Errors
    ///
    /// [`DataError::TwoFolds`], naming the video.
    pub fn check_videos_apart(&self) -> Result<()> {
        let mut splits = BTreeMap::new();
        for row in &self.rows {
            let first = *splits.entry(row.video.as_str()).or_insert(row.split);
            if first != row.split {
                return Err(DataError::TwoFolds {
                    path: self.path.clone(),
                    video: row.video.clone(),
                    first,
                    second: row.split,
                });
            }
        }
        Ok(())
    }
}

/// Where the columns are.
struct Columns {
    video: usize,
    clip: usize,
    text: usize,
    label: usize,
    mode: usize,
}

impl Columns {
    fn find(path: &Path, headers: &StringRecord) -> Result<Self> {
        let find = |column| {
            let place = headers.iter().position(|header| header == column);
            place.ok_or_else(|| DataError::Column {
                path: path.to_path_buf(),
                column,
                found: headers.iter().map(str::to_owned).collect(),
            })
        };
        Ok(Self {
            video: find("video_id")?,
            clip: find("clip_id")?,
            text: find("text")?,
            label: find("label")?,
            mode: find("mode")?,
        })
    }

    fn row(&self, path: &Path, record: &StringRecord) -> Result<Row> {
        let cell = |column| record.get(column).unwrap_or_default().trim();
        let wrong = |reason: String| DataError::Row {
            path: path.to_path_buf(),
            line: record.position().map_or(0, csv::Position::line),
            reason,
        };
        let clip = cell(self.clip);
        let label = match cell(self.label) {
            "" => None,
            label => Some(
                label
                    .parse()
                    .map_err(|_| wrong(format!("label {label:?} is no number")))?,
            ),
        };
        let mode = cell(self.mode);
        Ok(Row {
            video: cell(self.video).to_owned(),
            clip: clip
                .parse()
                .map_err(|_| wrong(format!("clip_id {clip:?} is no whole number")))?,
            text: cell(self.text).to_owned(),
            label,
            split: Split::from_name(mode)
                .ok_or_else(|| wrong(format!("mode {mode:?} is not train, valid, dev or test")))?,
        })
    }
}

fn csv_error(path: &Path, error: &csv::Error) -> DataError {
    DataError::Row {
        path: path.to_path_buf(),
        line: error.position().map_or(1, csv::Position::line),
        reason: error.to_string(),
    }
}
