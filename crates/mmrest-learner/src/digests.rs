//! `SHA256SUMS`: the digest of every file of a folder, as `sha256sum -c` reads it.

use std::path::{Component, Path, PathBuf};

use mmrest_data::{DataError, SourceFile};

use crate::error::LearnerError;
use crate::files;

/// The name of the list.
pub(crate) const LIST: &str = "SHA256SUMS";

/// Of a name in the list, in bytes.
const LONGEST: usize = 255;

/// Lists the files below a folder with their digests.
///
/// # Errors
///
/// A file cannot be read, or the list not written.
pub(crate) fn write(folder: &Path) -> Result<(), LearnerError> {
    let mut listed = Vec::new();
    for path in files::below(folder)? {
        let name = path.strip_prefix(folder).unwrap_or(&path);
        if name != Path::new(LIST) {
            listed.push((with_slashes(name), digest(&path)?));
        }
    }
    write_listed(folder, listed)
}

/// As [`write`], of files whose digests are known.
pub(crate) fn write_listed(
    folder: &Path,
    mut listed: Vec<(String, String)>,
) -> Result<(), LearnerError> {
    listed.sort();
    let line = |(name, digest): &(String, String)| format!("{digest}  {name}\n");
    let text: String = listed.iter().map(line).collect();
    files::write(&folder.join(LIST), text.as_bytes())
}

/// The SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn digest(path: &Path) -> Result<String, LearnerError> {
    match SourceFile::read(path) {
        Ok(file) => Ok(file.sha256),
        Err(DataError::Io { path, source }) => Err(LearnerError::io("read", &path, source)),
        Err(other) => Err(other.into()),
    }
}

/// That every file of a folder's list is what it was when it was listed. False where there is no list.
///
/// # Errors
///
/// The list is damaged, or a file is missing or another; the error names it.
pub(crate) fn verify(folder: &Path) -> Result<bool, LearnerError> {
    let list = folder.join(LIST);
    if !list.exists() {
        return Ok(false);
    }
    let bytes = std::fs::read(&list).map_err(|e| LearnerError::io("read", &list, e))?;
    let damaged =
        || LearnerError::format(&list, "is damaged: it is not a list of SHA-256 and file");
    let text = String::from_utf8(bytes).map_err(|_| damaged())?;
    if text.is_empty() {
        return Err(damaged());
    }
    for line in text.lines() {
        let (expected, path) = entry(folder, line).ok_or_else(damaged)?;
        if !path.is_file() {
            let name = path.strip_prefix(folder).unwrap_or(&path);
            let message = format!("lists {name:?}, which is missing");
            return Err(LearnerError::format(&list, message));
        }
        if digest(&path)? != expected {
            return Err(LearnerError::format(
                &path,
                "is damaged: not the file that was written (another SHA-256)",
            ));
        }
    }
    Ok(true)
}

/// A line's digest and file; none where it is no such line, or leads out of the folder.
fn entry<'a>(folder: &Path, line: &'a str) -> Option<(&'a str, PathBuf)> {
    let (digest, name) = line.split_once("  ")?;
    let inside = |part| matches!(part, Component::Normal(_));
    let fits = digest.len() == 64
        && (1..=LONGEST).contains(&name.len())
        && Path::new(name).components().all(inside);
    fits.then(|| (digest, folder.join(name)))
}

fn with_slashes(name: &Path) -> String {
    let parts = name.iter().map(|part| part.to_string_lossy().into_owned());
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files::write(&folder.path().join("a"), b"abc").unwrap();
        files::write(&folder.path().join("in/b c"), b"").unwrap();
        assert!(!verify(folder.path()).unwrap());
        write(folder.path()).unwrap();
        assert!(verify(folder.path()).unwrap());
        folder
    }

    fn refused(folder: &Path) -> String {
        verify(folder).unwrap_err().to_string()
    }

    #[test]
    fn the_list_is_one_that_sha256sum_reads() {
        let folder = made();
        let list = std::fs::read_to_string(folder.path().join(LIST)).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n";
        assert!(list.starts_with(abc), "{list}");
        assert!(list.ends_with("  in/b c\n"), "{list}");
    }

    #[test]
    fn any_flipped_bit_of_a_file_or_of_the_list_is_seen() {
        let folder = made();
        for name in ["a", LIST] {
            let path = folder.path().join(name);
            let good = std::fs::read(&path).unwrap();
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    std::fs::write(&path, bad).unwrap();
                    assert!(
                        verify(folder.path()).is_err(),
                        "{name}: byte {at}, bit {bit}"
                    );
                }
            }
            std::fs::write(&path, good).unwrap();
        }
        assert!(verify(folder.path()).unwrap());
    }

    #[test]
    fn what_is_short_missing_or_outside_is_named() {
        let folder = made();
        let a = folder.path().join("a");
        std::fs::write(&a, b"ab").unwrap();
        assert!(refused(folder.path()).contains("a: is damaged"));
        std::fs::remove_file(&a).unwrap();
        assert!(refused(folder.path()).contains("SHA256SUMS: lists \"a\", which is missing"));
        let digest = "0".repeat(64);
        for list in [
            "",
            "abc",
            &format!("{digest}  ../a\n"),
            &format!("{digest}  /a\n"),
        ] {
            std::fs::write(folder.path().join(LIST), list).unwrap();
            assert!(refused(folder.path()).contains(LIST), "{list}");
        }
    }
}
