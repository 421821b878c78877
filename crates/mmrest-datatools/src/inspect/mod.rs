//! Inspects files of multimodal data sets: what they hold, what is wrong with them, and what can be trained on.
//!
//! [`inspect`] tells a file's kind by its content, never by its name alone, and reads it in one pass, an entry at a time,
//! so that memory stays small whatever the file's size. What is wrong with a file becomes a [`Finding`]; only what cannot
//! be looked at at all (a path that is not there) is an error. [`compare()`] puts several files side by side and writes the
//! `[data]` section that would train on them.
//!
//! ```
//! use mmrest_datatools::inspect::{self, FileKind, Options, Role};
//! use mmrest_datatools::sample::{self, SampleConfig};
//!
//! # fn main() -> mmrest_data::Result<()> {
//! let folder = tempfile::tempdir().unwrap();
//! sample::write(&SampleConfig { videos: 3, ..SampleConfig::default() }, folder.path())?;
//! let labels = inspect::inspect(&folder.path().join(sample::LABELS), &Options::default())?;
//! assert_eq!(labels.kind, FileKind::Sequence);
//! assert_eq!(labels.usable.role, Some(Role::Labels));
//! assert_eq!(labels.labels.unwrap().count, 30);
//! # Ok(())
//! # }
//! ```

mod bert;
mod compare;
mod csd;
mod facts;
mod folds;
mod hdf5;
mod ids;
mod intervals;
mod kind;
mod labels;
mod packed;
mod pickle;
mod table;
mod text;
mod values;

use std::path::{Path, PathBuf};

use mmrest_data::folds::Folds;
use mmrest_data::{DataError, Result};

pub use compare::{Comparison, compare};
pub use facts::{Finding, Inspection, Level, Role, Sequence, Stored, Usable, Words};
pub use folds::Membership;
pub use ids::{IdStyle, Ids};
pub use intervals::Intervals;
pub use kind::{FileKind, expand};
pub use labels::{Bin, Labels, Scale};
pub use values::{Column, Percentiles, Values};

/// Loads a text encoder from its directory; where it cannot be used, why not.
pub type TextEncoderCheck = fn(&Path) -> std::result::Result<(), String>;

/// Options of an inspection.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folds that videos are looked up in, each with a name (`mosi`); those that share no video with a file are not
    /// mentioned.
    pub folds: Vec<(String, Folds)>,
    /// The scale of the labels.
    pub scale: Scale,
    /// Whether a packed set's checksums are computed and compared.
    pub check: bool,
    /// What loads a text encoder from its directory, or says in a sentence why it cannot be used. Without it a directory
    /// is judged by the files it has.
    pub text_encoder: Option<TextEncoderCheck>,
}

impl Options {
    /// Adds the folds files of a folder (`mosi.json`, `mosei.json`), named as the files; those that are not there are
    /// skipped.
    #[must_use]
    pub fn with_folds_of(mut self, folder: &Path) -> Self {
        for name in ["mosi", "mosei"] {
            if let Ok(folds) = Folds::read(&folder.join(format!("{name}.json"))) {
                self.folds.push((name.to_owned(), folds));
            }
        }
        self
    }
}

/// Looks at one file, or at one directory of a BERT. For a folder of files: [`expand`] first.
///
/// # Errors
///
/// [`DataError::Io`] when the path cannot be read. Everything else that is wrong is a [`Finding`].
pub fn inspect(path: &Path, options: &Options) -> Result<Inspection> {
    let about = std::fs::metadata(path).map_err(|error| DataError::io(path, error))?;
    let kind = FileKind::of(path)?;
    let mut inspection = Inspection::new(PathBuf::from(path), kind, about.len());
    match kind {
        FileKind::Sequence => csd::inspect(&mut inspection, options),
        FileKind::Hdf5 => hdf5::inspect(&mut inspection),
        FileKind::Table => table::inspect(&mut inspection, options),
        FileKind::Folds => folds::inspect(&mut inspection, options),
        FileKind::Json => folds::inspect_json(&mut inspection),
        FileKind::Bert => bert::inspect(&mut inspection, options),
        FileKind::Weights => bert::inspect_weights(&mut inspection),
        FileKind::Pickle => pickle::inspect(&mut inspection, options),
        FileKind::Packed => packed::inspect(&mut inspection, options),
        FileKind::Folder => {}
        other => other.refuse(&mut inspection),
    }
    Ok(inspection)
}
