//! Rows of one id of a computational sequence; ids of videos and of their segments.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::{DataError, Result};

/// The rows of one id: when, and what.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Start and end of each row in seconds.
    pub intervals: Vec<[f64; 2]>,
    /// As many rows as intervals.
    pub features: Features,
}

impl Entry {
    /// No row at all.
    pub fn empty() -> Self {
        Self {
            intervals: Vec::new(),
            features: Features::Text(Vec::new()),
        }
    }

    /// Appends rows of the same kind and width.
    ///
    /// # Errors
    ///
    /// [`RowsDiffer`] for rows of another kind or width; the entry is then as it was.
    pub fn append(&mut self, rows: Self) -> Result<(), RowsDiffer> {
        match (&mut self.features, rows.features) {
            (Features::Text(words), Features::Text(more)) => words.extend(more),
            (
                Features::Numeric { values, width },
                Features::Numeric {
                    values: more,
                    width: other,
                },
            ) if *width == other => values.extend(more),
            _ => return Err(RowsDiffer),
        }
        self.intervals.extend(rows.intervals);
        Ok(())
    }

    /// Number of rows (that of the intervals; a read entry has as many features).
    pub fn len(&self) -> usize {
        self.intervals.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Some of the rows, in the order of `rows`.
    ///
    /// # Panics
    ///
    /// When a row is not below [`len`](Self::len), as indexing a slice does.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let features = match &self.features {
            Features::Numeric { values, width } => Features::Numeric {
                values: rows
                    .iter()
                    .flat_map(|row| &values[row * width..(row + 1) * width])
                    .copied()
                    .collect(),
                width: *width,
            },
            Features::Text(words) => {
                Features::Text(rows.iter().map(|&row| words[row].clone()).collect())
            }
        };
        Self {
            intervals: rows.iter().map(|&row| self.intervals[row]).collect(),
            features,
        }
    }

    /// Why this is no valid entry, if it is not: another number of features than intervals.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Features::Numeric { values, width } = &self.features
            && values.len() != self.len() * width
        {
            return Some(format!(
                "{} intervals but {} values of width {width}",
                self.len(),
                values.len()
            ));
        }
        (self.features.len() != self.len()).then(|| {
            format!(
                "{} intervals but {} rows of features",
                self.len(),
                self.features.len()
            )
        })
    }
}

/// Rows that cannot be appended to an entry, being of another kind or width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsDiffer;

impl fmt::Display for RowsDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its pieces hold features of different kinds or widths")
    }
}

/// What a row holds: numbers, or a word.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Rows of `width` numbers, row-major. Other number types are converted to `f32` when read.
    Numeric {
        /// `[rows, width]`, row-major.
        values: Vec<f32>,
        /// Numbers in a row.
        width: usize,
    },
    /// One string a row.
    Text(Vec<String>),
}

impl Features {
    /// Number of rows; rows of width 0 cannot be counted and are 0.
    pub fn len(&self) -> usize {
        match self {
            Self::Numeric { values, width } => values.len().checked_div(*width).unwrap_or(0),
            Self::Text(words) => words.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers in a row; 1 for text.
    pub fn width(&self) -> usize {
        match self {
            Self::Numeric { width, .. } => *width,
            Self::Text(_) => 1,
        }
    }
}

/// The video an id belongs to, and which piece of it, if it is one.
///
/// ```
/// use mmrest_data::csd::split_id;
///
/// assert_eq!(split_id("03bSnISJMiM"), ("03bSnISJMiM", None));
/// assert_eq!(split_id("03bSnISJMiM[7]"), ("03bSnISJMiM", Some(7)));
/// ```
pub fn split_id(id: &str) -> (&str, Option<usize>) {
    match id.split_once('[') {
        Some((video, piece)) => (video, piece.trim_end_matches(']').parse().ok()),
        None => (id, None),
    }
}

/// Which of a file's ids belong to which video.
#[derive(Debug, Default)]
pub(super) struct VideoIds {
    videos: Vec<String>,
    by_video: HashMap<String, Vec<String>>,
}

impl VideoIds {
    pub(super) fn new(ids: &[String]) -> Self {
        let mut known = Self::default();
        for id in ids {
            let (video, _) = split_id(id);
            let own = known.by_video.entry(video.to_owned()).or_default();
            if own.is_empty() {
                known.videos.push(video.to_owned());
            }
            own.push(id.clone());
        }
        known
    }

    /// Videos in the order of their first id.
    pub(super) fn videos(&self) -> &[String] {
        &self.videos
    }

    /// Ids of a video in file order.
    pub(super) fn of(&self, video: &str) -> &[String] {
        self.by_video.get(video).map_or(&[], Vec::as_slice)
    }
}

/// Joins the entries of one video into one, its rows stably sorted by start.
///
/// # Errors
///
/// [`DataError::Entry`] for entries of different kinds or widths.
pub fn merge(path: &Path, video: &str, entries: Vec<Entry>) -> Result<Entry> {
    Ok(merge_pieces(path, video, entries)?.0)
}

/// As [`merge`]; also tells which of the entries each row comes from.
pub(super) fn merge_pieces(
    path: &Path,
    video: &str,
    entries: Vec<Entry>,
) -> Result<(Entry, Vec<usize>)> {
    let lengths = entries.iter().enumerate();
    let sources = lengths.flat_map(|(place, entry)| std::iter::repeat_n(place, entry.len()));
    let sources: Vec<usize> = sources.collect();
    let mut entries = entries.into_iter();
    let mut merged = entries.next().unwrap_or_else(Entry::empty);
    for entry in entries {
        let appended = merged.append(entry);
        appended.map_err(|reason| DataError::entry(path, video, reason.to_string()))?;
    }
    let mut order: Vec<usize> = (0..merged.len()).collect();
    order.sort_by(|&a, &b| merged.intervals[a][0].total_cmp(&merged.intervals[b][0]));
    if order.is_sorted() {
        return Ok((merged, sources));
    }
    let sources = order.iter().map(|&row| sources[row]).collect();
    Ok((merged.select(&order), sources))
}
