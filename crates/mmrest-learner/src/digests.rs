//! The digests of a folder: `SHA256SUMS`, as `sha256sum -c` reads it, and the seal that one file of the folder, its main
//! file, carries beside its own content, so that a list which is gone, shortened or edited is noticed:
//!
//! | key of the main file | value |
//! |---|---|
//! | `files` | the names in the list: all files of the folder but the list, the main file and the model card |
//! | `sha256sums` | SHA-256 of the list |
//! | `seal` | SHA-256 of the main file's JSON without this key, without spaces |

use std::path::{Component, Path, PathBuf};

use mmrest_data::text::hex;
use mmrest_data::{DataError, SourceFile};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::LearnerError;
use crate::files;

/// The name of the list.
pub(crate) const LIST: &str = "SHA256SUMS";

/// The model card: for people, who may edit it, and read by no program. It is not listed, and a list of an older version
/// that names it says nothing of it.
pub(crate) const CARD: &str = "README.md";

/// Of a name in the list, in bytes.
const LONGEST: usize = 255;

/// The keys of a seal.
const FILES: &str = "files";
const SUMS: &str = "sha256sums";
const SEAL: &str = "seal";

/// How far a folder's content is known to be what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Every file is there, and is the one that was written.
    Whole,
    /// Every file of its list is; that the list is whole cannot be told: an older version wrote it.
    Listed,
    /// Nothing can be told: it is of a version that wrote no list.
    Unlisted,
}

/// What a main file says of its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    files: Vec<String>,
    sums: String,
}

impl Seal {
    /// Whether a file belongs to the folder.
    pub(crate) fn lists(&self, name: &str) -> bool {
        self.files.iter().any(|file| file == name)
    }
}

/// A file of a folder that is there and was written with it. One that the folder's seal does not list is another's: it is
/// left alone, with a note.
pub(crate) fn own_file(folder: &Path, seal: Option<&Seal>, name: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    if !path.exists() {
        return None;
    }
    let own = seal.is_none_or(|seal| seal.lists(name));
    if !own {
        tracing::warn!(
            "{}: not read: the folder it is in was written without it",
            path.display()
        );
    }
    own.then_some(path)
}

/// Lists the files below a folder with their digests, and writes the main file, an object, with a seal.
///
/// # Errors
///
/// A file cannot be read or written.
pub(crate) fn seal(
    folder: &Path,
    main: &str,
    content: &impl Serialize,
) -> Result<(), LearnerError> {
    let mut listed = Vec::new();
    for path in files::below(folder)? {
        let name = with_slashes(path.strip_prefix(folder).unwrap_or(&path));
        if ![LIST, CARD, main].contains(&name.as_str()) {
            listed.push((name, digest(&path)?));
        }
    }
    seal_listed(folder, main, content, listed)
}

/// As [`seal`], of files whose digests are known.
pub(crate) fn seal_listed(
    folder: &Path,
    main: &str,
    content: &impl Serialize,
    mut listed: Vec<(String, String)>,
) -> Result<(), LearnerError> {
    listed.sort();
    let line = |(name, digest): &(String, String)| format!("{digest}  {name}\n");
    let text: String = listed.iter().map(line).collect();
    files::write(&folder.join(LIST), text.as_bytes())?;
    let internal = |error: serde_json::Error| LearnerError::Internal(error.to_string());
    let mut value = serde_json::to_value(content).map_err(internal)?;
    let Some(object) = value.as_object_mut() else {
        return Err(LearnerError::Internal(format!("{main} is no object")));
    };
    let names: Vec<String> = listed.into_iter().map(|(name, _)| name).collect();
    object.insert(FILES.into(), names.into());
    object.insert(SUMS.into(), sha256(text.as_bytes()).into());
    let own = sha256(value.to_string().as_bytes());
    value[SEAL] = own.into();
    files::write_json(&folder.join(main), &value)
}

/// Reads a folder's main file: its content, and its seal, where it has one.
///
/// # Errors
///
/// It cannot be read, is not what was written, or holds no `T`.
pub(crate) fn read_sealed<T: DeserializeOwned>(
    folder: &Path,
    main: &str,
) -> Result<(T, Option<Seal>), LearnerError> {
    let path = folder.join(main);
    let mut value: Value = files::read_json(&path)?;
    let seal = take_seal(&mut value).map_err(|()| damaged(&path))?;
    let content = serde_json::from_value(value);
    let content =
        content.map_err(|e| LearnerError::format(&path, format!("not what it should be: {e}")))?;
    Ok((content, seal))
}

/// Takes the seal out of a main file, after comparing it with the rest; an error where they are not of each other.
fn take_seal(value: &mut Value) -> Result<Option<Seal>, ()> {
    let Some(object) = value.as_object_mut() else {
        return Ok(None);
    };
    if ![FILES, SUMS, SEAL]
        .iter()
        .any(|key| object.contains_key(*key))
    {
        return Ok(None);
    }
    let own = object.remove(SEAL).ok_or(())?;
    if own != sha256(value.to_string().as_bytes()) {
        return Err(());
    }
    let mut take = |key: &str| value.as_object_mut().and_then(|object| object.remove(key));
    let files = take(FILES).ok_or(())?;
    let sums = take(SUMS).ok_or(())?;
    Ok(Some(Seal {
        files: serde_json::from_value(files).map_err(|_| ())?,
        sums: serde_json::from_value(sums).map_err(|_| ())?,
    }))
}

/// The SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn digest(path: &Path) -> Result<String, LearnerError> {
    match SourceFile::read(path) {
        Ok(file) => Ok(file.sha256),
        Err(DataError::Io { path, source }) => Err(LearnerError::io("read", &path, source)),
        Err(other) => Err(other.into()),
    }
}

/// The SHA-256 of bytes likewise.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn damaged(path: &Path) -> LearnerError {
    LearnerError::format(
        path,
        "is damaged: not the file that was written (another SHA-256)",
    )
}

/// Compares the files of a folder with its list, and the list with the seal of the main file, where there is one. The file
/// `optional` may have been removed.
///
/// # Errors
///
/// The list or a file is missing or another; the error names it.
pub(crate) fn verify(
    folder: &Path,
    seal: Option<&Seal>,
    optional: Option<&str>,
) -> Result<Checked, LearnerError> {
    let list = folder.join(LIST);
    if !list.exists() {
        return match seal {
            None => Ok(Checked::Unlisted),
            Some(_) => Err(LearnerError::format(
                &list,
                "is missing: restore it, or take another copy of the folder",
            )),
        };
    }
    let bytes = std::fs::read(&list).map_err(|e| LearnerError::io("read", &list, e))?;
    if seal.is_some_and(|seal| seal.sums != sha256(&bytes)) {
        return Err(damaged(&list));
    }
    let no_list =
        || LearnerError::format(&list, "is damaged: it is not a list of SHA-256 and file");
    let text = String::from_utf8(bytes).map_err(|_| no_list())?;
    if text.is_empty() {
        return Err(no_list());
    }
    for line in text.lines() {
        let (expected, path) = entry(folder, line).ok_or_else(no_list)?;
        if path == folder.join(CARD) {
            continue;
        }
        if !path.is_file() {
            if optional.is_some_and(|name| path == folder.join(name)) {
                continue;
            }
            let name = path.strip_prefix(folder).unwrap_or(&path);
            let message = format!("lists {name:?}, which is missing");
            return Err(LearnerError::format(&list, message));
        }
        if digest(&path)? != expected {
            return Err(damaged(&path));
        }
    }
    Ok(seal.map_or(Checked::Listed, |_| Checked::Whole))
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
    use serde_json::json;

    const MAIN: &str = "main.json";

    fn made() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files::write(&folder.path().join("a"), b"abc").unwrap();
        files::write(&folder.path().join("in/b c"), b"").unwrap();
        assert_eq!(
            verify(folder.path(), None, None).unwrap(),
            Checked::Unlisted
        );
        seal(folder.path(), MAIN, &content()).unwrap();
        assert_eq!(checked(folder.path()).unwrap(), Checked::Whole);
        folder
    }

    fn content() -> Value {
        json!({ "epoch": 3, "mae": 0.1_f32, "none": null })
    }

    fn checked(folder: &Path) -> Result<Checked, LearnerError> {
        let (read, seal) = read_sealed::<Value>(folder, MAIN)?;
        assert_eq!(read, content(), "damage passed");
        verify(folder, seal.as_ref(), None)
    }

    fn refused(folder: &Path) -> String {
        checked(folder).unwrap_err().to_string()
    }

    #[test]
    fn the_list_is_one_that_sha256sum_reads() {
        let folder = made();
        let list = std::fs::read_to_string(folder.path().join(LIST)).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n";
        assert!(list.starts_with(abc), "{list}");
        assert!(list.ends_with("  in/b c\n"), "{list}");
        let (_, seal) = read_sealed::<Value>(folder.path(), MAIN).unwrap();
        let seal = seal.unwrap();
        assert!(seal.lists("a") && seal.lists("in/b c") && !seal.lists(MAIN));
        std::fs::write(folder.path().join("later"), "").unwrap();
        let own = |seal, name| own_file(folder.path(), seal, name);
        assert_eq!(own(Some(&seal), "a"), Some(folder.path().join("a")));
        assert_eq!(own(Some(&seal), "later"), None, "it was put there later");
        assert_eq!(own(None, "later"), Some(folder.path().join("later")));
        assert_eq!(own(None, "nowhere"), None);
    }

    #[test]
    fn any_flipped_bit_of_a_file_the_list_or_the_main_file_is_seen() {
        let folder = made();
        for name in ["a", LIST, MAIN] {
            let path = folder.path().join(name);
            let good = std::fs::read(&path).unwrap();
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    std::fs::write(&path, bad).unwrap();
                    assert!(checked(folder.path()).is_err(), "{name}: {at}, {bit}");
                }
            }
            std::fs::write(&path, good).unwrap();
        }
        assert_eq!(checked(folder.path()).unwrap(), Checked::Whole);
    }

    #[test]
    fn the_model_card_is_nobodys_to_guard_also_in_a_list_of_an_older_version() {
        let folder = made();
        let (list, card) = (folder.path().join(LIST), folder.path().join(CARD));
        let before = std::fs::read_to_string(&list).unwrap();
        std::fs::write(&card, b"mine").unwrap();
        assert_eq!(checked(folder.path()).unwrap(), Checked::Whole);
        seal(folder.path(), MAIN, &content()).unwrap();
        assert_eq!(std::fs::read_to_string(&list).unwrap(), before);
        std::fs::write(folder.path().join(MAIN), content().to_string()).unwrap();
        std::fs::write(&list, format!("{before}{}  {CARD}\n", sha256(b"theirs"))).unwrap();
        assert_eq!(checked(folder.path()).unwrap(), Checked::Listed);
        std::fs::remove_file(&card).unwrap();
        assert_eq!(checked(folder.path()).unwrap(), Checked::Listed);
    }

    #[test]
    fn a_list_that_is_gone_shortened_or_rewritten_is_seen() {
        let folder = made();
        let list = folder.path().join(LIST);
        let whole = std::fs::read_to_string(&list).unwrap();
        let (first, _) = whole.split_once('\n').unwrap();
        std::fs::write(folder.path().join("in/b c"), "other").unwrap();
        let other = sha256(b"other");
        let rewritten = format!("{first}\n{other}  in/b c\n");
        for text in ["", &format!("{first}\n"), &rewritten] {
            std::fs::write(&list, text).unwrap();
            assert!(refused(folder.path()).contains("SHA256SUMS: is damaged"));
        }
        std::fs::remove_file(&list).unwrap();
        assert!(refused(folder.path()).contains("SHA256SUMS: is missing"));
    }

    #[test]
    fn what_is_short_missing_or_outside_is_named() {
        let folder = made();
        let a = folder.path().join("a");
        std::fs::write(&a, b"ab").unwrap();
        assert!(refused(folder.path()).contains("a: is damaged"));
        std::fs::remove_file(&a).unwrap();
        let (_, seal) = read_sealed::<Value>(folder.path(), MAIN).unwrap();
        let without = |name| verify(folder.path(), seal.as_ref(), Some(name));
        assert_eq!(without("a").unwrap(), Checked::Whole);
        assert!(without("in/b c").is_err());
        assert!(refused(folder.path()).contains("SHA256SUMS: lists \"a\", which is missing"));
        // Of an older version: without a seal.
        std::fs::write(folder.path().join(MAIN), content().to_string()).unwrap();
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
        std::fs::write(&a, b"abc").unwrap();
        let list = format!("{}  a\n", sha256(b"abc"));
        std::fs::write(folder.path().join(LIST), list).unwrap();
        assert_eq!(checked(folder.path()).unwrap(), Checked::Listed);
    }
}
