//! Files and folders written whole or not at all: temporary name, sync, rename, sync of the folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use mmrest_data::DataError;
pub(crate) use mmrest_data::files::beside;

use crate::error::LearnerError;

/// Writes a file in place of whatever was there.
///
/// # Errors
///
/// The folder cannot be written; the old file is then untouched.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), LearnerError> {
    mmrest_data::files::write(path, bytes).map_err(in_writing)
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), LearnerError> {
    mmrest_data::files::make_folder(path).map_err(in_writing)
}

fn in_writing(error: DataError) -> LearnerError {
    match error {
        DataError::Io { path, source } => LearnerError::io("write", &path, source),
        other => other.into(),
    }
}

/// Writes a value as JSON on one line: for lists of many numbers.
///
/// # Errors
///
/// As [`write`].
pub(crate) fn write_compact_json(
    path: &Path,
    value: &impl serde::Serialize,
) -> Result<(), LearnerError> {
    let mut text =
        serde_json::to_string(value).map_err(|e| LearnerError::Internal(e.to_string()))?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Writes a value as JSON, indented.
///
/// # Errors
///
/// As [`write`].
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), LearnerError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|e| LearnerError::Internal(e.to_string()))?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Reads JSON.
///
/// # Errors
///
/// The file cannot be read, or does not hold a `T`.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, LearnerError> {
    let text = std::fs::read_to_string(path).map_err(|e| LearnerError::io("read", path, e))?;
    serde_json::from_str(&text)
        .map_err(|e| LearnerError::format(path, format!("not what it should be: {e}")))
}

/// A table in CSV.
pub(crate) fn csv<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<Vec<u8>, LearnerError> {
    let wrong = |e: csv::Error| LearnerError::Internal(e.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(wrong)?;
    for row in rows {
        writer.write_record(row).map_err(wrong)?;
    }
    writer
        .into_inner()
        .map_err(|e| LearnerError::Internal(e.to_string()))
}

/// Every file below a folder, in the order of their paths.
///
/// # Errors
///
/// The folder cannot be read.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>, LearnerError> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            found.extend(below(&path)?)
        } else {
            found.push(path)
        }
    }
    found.sort();
    Ok(found)
}

/// What is in a folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, LearnerError> {
    let wrong = |e| LearnerError::io("read", folder, e);
    let entries = std::fs::read_dir(folder).map_err(wrong)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(wrong))
        .collect()
}

/// An empty folder in place of whatever was there.
///
/// # Errors
///
/// The folder cannot be made or cleared.
pub(crate) fn empty_folder(path: &Path) -> Result<(), LearnerError> {
    remove_folder(path)?;
    make_folder(path)
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), LearnerError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LearnerError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Gives a folder another name, and makes that lasting.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), LearnerError> {
    std::fs::rename(from, to).map_err(|e| LearnerError::io("write", to, e))?;
    match to.parent() {
        Some(folder) => mmrest_data::files::sync_folder(folder).map_err(in_writing),
        None => Ok(()),
    }
}

/// Puts a finished folder in place of `target`, once all that is in it is on the disk.
///
/// # Errors
///
/// The folders cannot be synced or renamed.
pub(crate) fn replace_folder(finished: &Path, target: &Path) -> Result<(), LearnerError> {
    sync_all(finished)?;
    let old = beside(target, ".old");
    remove_folder(&old)?;
    if target.exists() {
        rename(target, &old)?;
    }
    rename(finished, target)?;
    remove_folder(&old)
}

/// Writes everything below a folder, and the folder, through to the disk.
fn sync_all(folder: &Path) -> Result<(), LearnerError> {
    for path in entries(folder)? {
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|e| LearnerError::io("write", &path, e))?;
        }
    }
    mmrest_data::files::sync_folder(folder).map_err(in_writing)
}

/// Puts every file below a folder into another one, as [`link`] does.
///
/// # Errors
///
/// A file cannot be read or written.
pub(crate) fn link_below(from: &Path, to: &Path) -> Result<(), LearnerError> {
    for path in below(from)? {
        let target = to.join(path.strip_prefix(from).unwrap_or(&path));
        if let Some(folder) = target.parent() {
            make_folder(folder)?;
        }
        link(&path, &target)?;
    }
    Ok(())
}

/// Gives a file, which nobody writes into, a second name; a copy where the file system has no such names.
///
/// # Errors
///
/// The file cannot be read, or the other written.
pub(crate) fn link(from: &Path, to: &Path) -> Result<(), LearnerError> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let copied = std::fs::copy(from, to).map(|_| ());
    copied.map_err(|e| LearnerError::io("write", to, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        write_json(&path, &[1, 2]).unwrap();
        write_json(&path, &[3]).unwrap();
        assert_eq!(read_json::<Vec<i32>>(&path).unwrap(), [3]);
        assert_eq!(
            std::fs::read_dir(folder.path().join("a")).unwrap().count(),
            1
        );
    }

    #[test]
    fn a_folder_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let (new, target) = (folder.path().join("new"), folder.path().join("model"));
        for text in ["one", "two"] {
            write(&new.join("x"), text.as_bytes()).unwrap();
            write(&new.join("deep/y"), text.as_bytes()).unwrap();
            replace_folder(&new, &target).unwrap();
            assert_eq!(std::fs::read_to_string(target.join("x")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let names = below(folder.path()).unwrap();
        assert_eq!(names, [target.join("deep/y"), target.join("x")]);
    }
}
