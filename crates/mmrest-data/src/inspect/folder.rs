//! From what is given to the files that are looked at.

use std::path::{Path, PathBuf};

use super::FileKind;
use crate::{DataError, Result};

/// The files of a folder, by name, and the directories of a BERT in it; hidden files and other folders are left out. A file,
/// or a directory of a BERT, is itself.
///
/// # Errors
///
/// [`DataError::Io`] when it cannot be read or holds nothing to look at.
///
/// ```
/// use mmrest_data::sample::{self, SampleConfig};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// sample::write(&SampleConfig { videos: 3, ..SampleConfig::default() }, folder.path())?;
/// let files = mmrest_data::inspect::expand(folder.path())?;
/// assert_eq!(files.len(), 6); // four sequences, the folds, the BERT
/// # Ok(())
/// # }
/// ```
pub fn expand(path: &Path) -> Result<Vec<PathBuf>> {
    if FileKind::of(path)? != FileKind::Folder {
        return Ok(vec![path.to_path_buf()]);
    }
    let wrap = |error| DataError::io(path, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(wrap)? {
        let entry = entry.map_err(wrap)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let file = entry.path();
        // A link to nowhere is told of when it is looked at.
        match FileKind::of(&file) {
            Ok(FileKind::Folder) => {}
            _ => files.push(file),
        }
    }
    files.sort();
    if files.is_empty() {
        let reason = "there is no file in this folder to look at";
        return Err(wrap(std::io::Error::other(reason)));
    }
    Ok(files)
}
