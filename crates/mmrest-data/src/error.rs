//! The crate's one error type.

use std::path::{Path, PathBuf};

use crate::MissingFiles;
use crate::{DataReport, LabelSummary, Modality, Split};

/// What this crate's functions return.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// Everything that can go wrong between a file and a batch; each variant says which file, and where in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: std::io::Error,
    },
    /// The file is not HDF5, is cut short, or uses what the reader does not know.
    #[error("{}: cannot be read as HDF5{}: {reason}", path.display(), at(object))]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// The object inside it, empty for the file itself.
        object: String,
        /// The reader's reason.
        reason: String,
    },
    /// The file is HDF5 but no computational sequence.
    #[error("{}: not a computational sequence: {reason}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is missing or too much.
        reason: String,
    },
    /// One entry of a computational sequence is malformed.
    #[error("{}: entry {id:?}: {reason}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's id, as stored.
        id: String,
        /// What is wrong, with shapes.
        reason: String,
    },
    /// No entry has this id.
    #[error("{}: no entry {id:?}", path.display())]
    NoEntry {
        /// The file.
        path: PathBuf,
        /// The id asked for.
        id: String,
    },
    /// A computational sequence could not be encoded.
    #[error("{}: cannot be written as HDF5: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The writer's reason.
        reason: String,
    },
    /// A pickle is damaged, cut short, or asks for something that is not data.
    #[error("{}: byte {offset}: {reason}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes from its start.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A pickle is not laid out as one of the processed releases, or contradicts itself or its table.
    #[error("{}: {place}: {reason}", path.display())]
    Release {
        /// The pickle.
        path: PathBuf,
        /// The split and the key.
        place: String,
        /// What is wrong, with shapes and ids.
        reason: String,
    },
    /// The file is no packed set, or not a whole one; or a segment cannot be put into one.
    #[error("{}: packed set: {reason}", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where in it.
        reason: String,
    },
    /// Whoever watched the work asked to stop it; of the file being written nothing is left.
    #[error("stopped before it was done")]
    Stopped,
    /// A label table lacks a column it must have.
    #[error("{}: no column {column:?}; the columns are {}", path.display(), listed(found))]
    Column {
        /// The table.
        path: PathBuf,
        /// The column that is missing.
        column: String,
        /// The columns the table has.
        found: Vec<String>,
    },
    /// A row of a label table cannot be understood.
    #[error("{}: line {line}: {reason}", path.display())]
    Row {
        /// The table.
        path: PathBuf,
        /// Line in the file, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A folds file cannot be understood.
    #[error("{}: not a folds file: {reason}", path.display())]
    Folds {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A video belongs to two folds, so that test data would leak into training.
    #[error("{}: video {video:?} is in both {first} and {second}", path.display())]
    TwoFolds {
        /// The folds file or the table.
        path: PathBuf,
        /// The video.
        video: String,
        /// The fold it was seen in first.
        first: Split,
        /// The other.
        second: Split,
    },
    /// The same id occurs twice where ids are unique.
    #[error("{}: {id:?} occurs twice", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// The configuration contradicts itself.
    #[error("[data] {0}")]
    Config(String),
    /// Files the configuration names are not there; says all of them, and where to get them.
    #[error("{0}")]
    Missing(MissingFiles),
    /// A used modality has no data for a segment, and `missing = "error"`.
    #[error(
        "segment {id:?} has no {modality}; set missing = \"zero\" or \"drop\" to go on without"
    )]
    MissingModality {
        /// The segment.
        id: String,
        /// What it lacks.
        modality: Modality,
    },
    /// Computational sequences cannot be aligned as asked.
    #[error("cannot align: {0}")]
    Align(String),
    /// A file could not be downloaded.
    #[error("cannot fetch {url}: {reason}")]
    Fetch {
        /// Its address.
        url: String,
        /// What the server did, or what is wrong with what it sent, and what to do.
        reason: String,
    },
    /// Nothing is known of a data set of this name.
    #[error("no data set {name:?} is known here; known are {known}")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// So many labels lie outside the scale that it must be another one.
    #[error("{}: {} of {} labels lie outside the scale of {}: {}", path.display(), labels.outside, labels.count,
        ends(labels.scale), advice(labels))]
    Scale {
        /// The labels.
        path: PathBuf,
        /// What they show.
        labels: Box<LabelSummary>,
    },
    /// Nothing is left of the data.
    #[error("{}: no segment is left. {report}", labels.display())]
    Empty {
        /// The labels.
        labels: PathBuf,
        /// What was read, and what was dropped.
        report: Box<DataReport>,
    },
}

impl DataError {
    /// Wraps an I/O error with its path.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// Something wrong with a packed set.
    pub fn packed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Packed {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// A malformed entry.
    pub fn entry(path: &Path, id: &str, reason: impl Into<String>) -> Self {
        Self::Entry {
            path: path.to_path_buf(),
            id: id.to_owned(),
            reason: reason.into(),
        }
    }

    /// A file of another layout.
    pub fn layout(path: &Path, reason: impl Into<String>) -> Self {
        Self::Layout {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }
}

/// The columns of a table, as many and as much of their names as fit a message.
fn listed(columns: &[String]) -> String {
    let short = |name: &String| match name.char_indices().nth(40) {
        Some((end, _)) => format!("{}..", &name[..end]),
        None => name.clone(),
    };
    let names: Vec<String> = columns.iter().map(short).collect();
    crate::text::few(&names, 30)
}

/// `-3 to 3`.
fn ends(range: Option<[f32; 2]>) -> String {
    let [least, greatest] = range.unwrap_or_default();
    format!("{least} to {greatest}")
}

/// Which keys would make the scale that of the labels.
fn advice(labels: &LabelSummary) -> String {
    let range = labels.range.unwrap_or_default();
    format!(
        "they lie from {}; {}",
        ends(labels.range),
        crate::labels::scale_to_set(range)
    )
}

fn at(object: &str) -> String {
    if object.is_empty() {
        String::new()
    } else {
        format!(" at {object:?}")
    }
}
