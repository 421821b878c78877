//! The `label.csv` of the processed releases: transcript, label and split of every segment. Beside computational sequences
//! it adds to them; alone it is a data set of text.

mod reader;
mod sentences;
mod source;

use std::collections::HashMap;
use std::collections::{BTreeMap, hash_map::Entry};
use std::path::{Path, PathBuf};

use crate::{Columns, DataError, Result, Split};

pub use reader::Required;
pub use reader::{Lines, Sheet, number, separator};
pub use sentences::Sentences;
pub(crate) use source::TableSource;

/// One segment as the table has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Column `video_id`; where there is none, column `id`, or the number of the row, from 1.
    pub video: String,
    /// Column `clip_id`, as written: `1`, or CH-SIMS's `0001`. Empty without a column of videos; the number of the row
    /// where it alone is lacking.
    pub clip: String,
    /// The clip as a number, if it is one: the i-th labelled interval of the video, from 1.
    pub number: Option<usize>,
    /// Column `text`: the transcript; empty where there is no such column.
    pub text: String,
    /// Column `label`: sentiment; none where the cell is empty or NaN, or there is no such column.
    pub label: Option<f32>,
    /// Column `mode`: `train`, `valid` (or `dev`) or `test`; none unless it was [required](Required::split).
    pub split: Option<Split>,
    /// The cells of further columns that were [asked for](Table::read_more), in their order.
    pub more: Vec<String>,
    /// The line it begins on, from 1.
    pub line: u64,
}

impl Row {
    /// `video$_$clip`, as the processed releases name their segments; where there are no videos, what stands for one.
    pub fn id(&self) -> String {
        if self.clip.is_empty() {
            return self.video.clone();
        }
        format!("{}$_${}", self.video, self.clip)
    }
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
/// assert_eq!(row.split, Some(mmrest_data::Split::Valid));
/// assert_eq!(row.id(), "abc$_$1");
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    rows: Vec<Row>,
    index: HashMap<String, BTreeMap<usize, usize>>,
}

impl Table {
    /// Reads a table that has all columns under their usual names.
    ///
    /// # Errors
    ///
    /// Those of [`read_with`](Self::read_with).
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, &Columns::default(), Required::ALL)
    }

    /// Reads a table: UTF-8 with or without a byte order mark, any line ends, cells separated by commas, semicolons or
    /// tabs (whichever the header has most of) and quoted where they hold one or a line end. Of
    /// the columns those `required` must be there; video and clip are unique together.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`]; [`DataError::Column`] for a missing column, naming those there are; [`DataError::Row`] with
    /// the line for a file without rows, bytes that are not UTF-8, a row of another number of cells than the header, a
    /// column that occurs twice, an empty id, a label that is no number, an unknown split and a segment listed twice.
    pub fn read_with(path: &Path, columns: &Columns, required: Required) -> Result<Self> {
        Self::read_more(path, columns, required, &[])
    }

    /// Reads a table as [`read_with`](Self::read_with) does, with the cells of further columns, `more`, which must be there.
    ///
    /// # Errors
    ///
    /// Those of [`read_with`](Self::read_with).
    pub fn read_more(
        path: &Path,
        columns: &Columns,
        required: Required,
        more: &[String],
    ) -> Result<Self> {
        let rows = reader::rows(path, columns, required, more)?;
        let mut table = Self {
            path: path.to_path_buf(),
            rows: Vec::with_capacity(rows.len()),
            index: HashMap::new(),
        };
        let mut lines = HashMap::with_capacity(rows.len());
        for row in rows {
            match lines.entry(row.id()) {
                Entry::Vacant(new) => new.insert(row.line),
                Entry::Occupied(known) => {
                    let reason = format!("{:?} is on line {} already", known.key(), known.get());
                    return Err(table.wrong(row.line, reason));
                }
            };
            table.push(row);
        }
        Ok(table)
    }

    fn push(&mut self, row: Row) {
        if let Some(number) = row.number {
            let place = self.rows.len();
            let clips = match self.index.get_mut(&row.video) {
                Some(clips) => clips,
                None => self.index.entry(row.video.clone()).or_default(),
            };
            clips.entry(number).or_insert(place);
        }
        self.rows.push(row);
    }

    fn wrong(&self, line: u64, reason: String) -> DataError {
        DataError::Row {
            path: self.path.clone(),
            line,
            reason,
        }
    }

    /// Whether it has a column of videos.
    pub(crate) fn knows_videos(&self) -> bool {
        self.rows.iter().all(|row| !row.clip.is_empty())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
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

    /// Refuses a table whose clips cannot be joined to labelled intervals: [`row`](Self::row) finds those that are
    /// whole numbers, each number once in a video.
    ///
    /// # Errors
    ///
    /// [`DataError::Row`] with the line.
    pub fn check_clip_numbers(&self) -> Result<()> {
        for row in &self.rows {
            let Some(number) = row.number else {
                let reason = format!(
                    "clip {:?} of video {:?} is no whole number, as the number of a labelled interval is",
                    row.clip, row.video
                );
                return Err(self.wrong(row.line, reason));
            };
            let first = self
                .row(&row.video, number)
                .map_or(row.line, |row| row.line);
            if first != row.line {
                let reason = format!(
                    "clip {number} of video {:?} is on line {first} already",
                    row.video
                );
                return Err(self.wrong(row.line, reason));
            }
        }
        Ok(())
    }

    /// Refuses a table that puts clips of one video into different splits: their speaker would be known at test.
    ///
    /// # Errors
    ///
    /// [`DataError::TwoFolds`], naming the video.
    pub(crate) fn check_videos_apart(&self) -> Result<()> {
        let mut splits = HashMap::new();
        for row in &self.rows {
            let Some(split) = row.split else { continue };
            let first = *splits.entry(row.video.as_str()).or_insert(split);
            if first != split {
                return Err(DataError::TwoFolds {
                    path: self.path.clone(),
                    video: row.video.clone(),
                    first,
                    second: split,
                });
            }
        }
        Ok(())
    }
}
