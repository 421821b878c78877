//! From what is given to the files that are looked at.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::FileKind::{self, Json, Text, Unknown};
use mmrest_data::text::few;
use mmrest_data::{DataError, Result};

/// The files of a folder, by name, and the directories of a BERT in it; hidden files and other folders are left out. A file,
/// or a directory of a BERT, is itself.
///
/// # Errors
///
/// [`DataError::Io`] when it cannot be read or holds nothing to look at: no file, or none of a kind that is
/// known.
///
/// ```
/// use mmrest_datatools::sample::{self, SampleConfig};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// sample::write(&SampleConfig { videos: 3, ..SampleConfig::default() }, folder.path())?;
/// let files = mmrest_datatools::inspect::expand(folder.path())?;
/// assert_eq!(files.len(), 6); // four sequences, the folds, the BERT
/// # Ok(())
/// # }
/// ```
pub fn expand(path: &Path) -> Result<Vec<PathBuf>> {
    let refuse = |kind, reason: String| Err(DataError::io(path, std::io::Error::new(kind, reason)));
    if !path.exists() {
        let reason = "there is no such file or folder";
        return refuse(ErrorKind::NotFound, reason.to_owned());
    }
    if FileKind::of(path)? != FileKind::Folder {
        return Ok(vec![path.to_path_buf()]);
    }
    let wrap = |error| DataError::io(path, error);
    let mut files = Vec::new();
    let mut known = false;
    for entry in std::fs::read_dir(path).map_err(wrap)? {
        let entry = entry.map_err(wrap)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let file = entry.path();
        // A link to nowhere is told of when it is looked at.
        match FileKind::of(&file) {
            Ok(FileKind::Folder) => {}
            kind => {
                known |= !matches!(kind, Ok(Text | Unknown | Json));
                files.push(file);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        let reason = "there is no file in this folder to look at";
        return refuse(ErrorKind::Other, reason.to_owned());
    }
    if !known {
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
        let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        let names = few(&names, 4);
        let reason =
            format!("no file in this folder is of a kind that this program reads: {names}");
        return refuse(ErrorKind::Other, reason);
    }
    Ok(files)
}
