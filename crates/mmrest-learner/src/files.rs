//! Files written whole or not at all: temporary file, sync, rename.

use std::fs::File;
use std::path::Path;

use mmrest_data::DataError;

use crate::error::LearnerError;

/// Writes a file in place of whatever was there.
///
/// # Errors
///
/// The folder cannot be written; the old file is then untouched.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), LearnerError> {
    mmrest_data::files::write(path, bytes).map_err(|error| match error {
        DataError::Io { path, source } => LearnerError::io("write", &path, source),
        other => other.into(),
    })
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

/// Puts a finished folder in place of `target`.
///
/// # Errors
///
/// The folders cannot be renamed.
pub(crate) fn replace_folder(finished: &Path, target: &Path) -> Result<(), LearnerError> {
    let wrong = |e| LearnerError::io("write", target, e);
    let mut old = target.as_os_str().to_owned();
    old.push(".old");
    let old = Path::new(&old);
    if old.exists() {
        std::fs::remove_dir_all(old).map_err(wrong)?;
    }
    if target.exists() {
        std::fs::rename(target, old).map_err(wrong)?;
    }
    std::fs::rename(finished, target).map_err(wrong)?;
    if let Some(folder) = target.parent() {
        sync_folder(folder);
    }
    if old.exists() {
        std::fs::remove_dir_all(old).map_err(wrong)?;
    }
    Ok(())
}

/// Makes a rename durable where the system has a way to ask for it.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
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
            replace_folder(&new, &target).unwrap();
            assert_eq!(std::fs::read_to_string(target.join("x")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
