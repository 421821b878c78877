//! Checks that a downloaded file is what it should be.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use hdf5_reader::Hdf5File;
use serde_json::Value;

use mmrest_data::csd::{Backend, ComputationalSequence};
use mmrest_data::{DataError, Result};

use crate::weights::{Header, MODEL_TYPES, end};

/// What every HDF5 file begins with.
const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A computational sequence. Its top group has this name or the file's own, where one is given.
    Sequence {
        /// Name of the top group.
        root: Option<String>,
    },
    /// Any file but a web page.
    Any,
}

impl Content {
    /// Judges the first bytes, so that nobody waits for a whole file that is of no use.
    pub(super) fn check_head(&self, head: &[u8]) -> Result<(), String> {
        if is_web_page(head) {
            return Err("the server sent a web page, not data".to_owned());
        }
        let signature = &HDF5_SIGNATURE[..HDF5_SIGNATURE.len().min(head.len())];
        match self {
            Self::Sequence { .. } if !head.starts_with(signature) => {
                Err("the server sent something that is no HDF5 file".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Judges a whole file, which is or will be called `name`.
    pub(super) fn check_file(&self, path: &Path, name: &str) -> Result<(), String> {
        let mut head = [0; 512];
        let head = read_head(path, &mut head).map_err(|error| error.to_string())?;
        self.check_head(head)?;
        match self {
            Self::Sequence { root } => check_sequence(path, root.as_deref(), name),
            Self::Any => Ok(()),
        }
    }
}

fn read_head<'a>(path: &Path, head: &'a mut [u8]) -> Result<&'a [u8]> {
    let wrap = |error| DataError::io(path, error);
    let mut length = 0;
    let mut file = File::open(path).map_err(wrap)?.take(head.len() as u64);
    while let Some(rest) = head.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(wrap)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(head.get(..length).unwrap_or_default())
}

fn is_web_page(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    ["<!doctype html", "<html", "<head", "<body", "<?xml"]
        .iter()
        .any(|tag| text.starts_with(tag))
}

/// Read in pure Rust, whatever the default: what a server sent may be anything.
fn check_sequence(path: &Path, root: Option<&str>, name: &str) -> Result<(), String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?;
    let sequence = ComputationalSequence::open_with(path, Backend::Rust);
    let end = end_of_file(path);
    if let Some(end) = end.filter(|end| *end > length.len()) {
        return Err(format!(
            "the HDF5 file is cut short: it should have {end} bytes and has {}",
            length.len()
        ));
    }
    let found = sequence.map_err(|error| reason(&error))?;
    let stem = name.strip_suffix(".csd").unwrap_or(name);
    match root {
        Some(root) if found.root() != root && found.root() != stem => Err(format!(
            "it is another file: its top group is {:?}, not {root:?}",
            found.root()
        )),
        _ => Ok(()),
    }
}

/// Where an HDF5 file says that it ends; none where that cannot be read.
fn end_of_file(path: &Path) -> Option<u64> {
    let file = Hdf5File::open(path).ok()?;
    let superblock = file.superblock();
    superblock.base_address.checked_add(superblock.eof_address)
}

/// An error without the path of a file that is only temporary.
fn reason(error: &DataError) -> String {
    match error {
        DataError::Hdf5 { reason, .. } => format!("it cannot be read as HDF5: {reason}"),
        DataError::Layout { reason, .. } => format!("it is no computational sequence: {reason}"),
        DataError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// Why a folder holds no BERT that could be used: the file, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableBert(String);

/// Whether a folder holds a BERT, as far as can be told without building one: a configuration of a BERT, a vocabulary
/// it has embeddings for, and weights that are whole.
///
/// # Errors
///
/// What is wrong, with the file's name.
pub fn check_bert(folder: &Path) -> Result<(), UnusableBert> {
    check_config(&folder.join("config.json")).map_err(UnusableBert)?;
    check_vocabulary(folder).map_err(UnusableBert)?;
    let safetensors = folder.join("model.safetensors");
    let pytorch = folder.join("pytorch_model.bin");
    if safetensors.is_file() {
        check_safetensors(&safetensors)
            .map_err(|reason| UnusableBert(format!("model.safetensors: {reason}")))
    } else if pytorch.is_file() {
        check_pytorch(&pytorch)
            .map_err(|reason| UnusableBert(format!("pytorch_model.bin: {reason}")))
    } else {
        let reason = "neither model.safetensors nor pytorch_model.bin is there";
        Err(UnusableBert(reason.to_owned()))
    }
}

/// Reads a configuration and refuses one that is no BERT's; returns the size of its vocabulary.
pub(super) fn check_config(path: &Path) -> Result<u64, String> {
    let wrong = |reason: String| format!("config.json: {reason}");
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let config: Value =
        serde_json::from_str(&text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    match config.get("model_type").and_then(Value::as_str) {
        Some(known) if MODEL_TYPES.contains(&known) => {}
        Some(other) => {
            let known = MODEL_TYPES.map(|name| format!("{name:?}")).join(" and ");
            return Err(wrong(format!(
                "model_type is {other:?}, and only {known} can be used"
            )));
        }
        None => return Err(wrong("it has no model_type".to_owned())),
    }
    let size = config.get("vocab_size").and_then(Value::as_u64);
    size.ok_or_else(|| wrong("it has no vocab_size".to_owned()))
}

/// A vocabulary that is not empty and that the model has embeddings for.
pub(super) fn check_vocabulary(folder: &Path) -> Result<(), String> {
    let size = check_config(&folder.join("config.json"))?;
    let text = std::fs::read_to_string(folder.join("vocab.txt"));
    let text = text.map_err(|error| format!("vocab.txt: {error}"))?;
    let tokens = text.lines().count() as u64;
    if text.trim().is_empty() {
        return Err("vocab.txt is empty".to_owned());
    }
    if tokens > size {
        return Err(format!(
            "vocab.txt has {tokens} tokens, and config.json tells of {size}"
        ));
    }
    Ok(())
}

/// The header's length is sane, the header is JSON, and the tensors it tells of end where the file does.
fn check_safetensors(path: &Path) -> Result<(), String> {
    let Header { tensors, data } = Header::read(path)?;
    match tensors.values().filter_map(end).max() {
        None => Err("it has no tensors".to_owned()),
        Some(end) if end == data => Ok(()),
        Some(end) if end > data => Err("it is cut short".to_owned()),
        Some(end) => Err(format!("{} bytes follow its tensors", data - end)),
    }
}

/// A zip archive, or a bare pickle as old versions of PyTorch wrote it.
fn check_pytorch(path: &Path) -> Result<(), String> {
    let mut head = [0; 4];
    let head = read_head(path, &mut head).map_err(|error| error.to_string())?;
    if head == b"PK\x03\x04" || head.starts_with(b"\x80") {
        return Ok(());
    }
    Err("it is no PyTorch checkpoint".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_known_by_their_first_tag() {
        for page in [
            "<!DOCTYPE html>",
            "\n <HTML lang=en>",
            "\u{feff}<html>",
            "<?xml version",
        ] {
            assert!(is_web_page(page.as_bytes()), "{page}");
        }
        for other in ["", "{\"a\": \"<html>\"}", "[PAD]\n<html>", "\u{89}HDF"] {
            assert!(!is_web_page(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_safetensors_file_must_end_with_its_tensors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let file = |header: &str, data: usize| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(vec![0; data]);
            bytes
        };
        let header =
            r#"{"__metadata__": {}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#;
        for (bytes, told) in [
            (file(header, 8), None),
            (file(header, 7), Some("cut short")),
            (file(header, 9), Some("1 bytes follow")),
            (file("{}", 0), Some("no tensors")),
            (file("nonsense", 0), Some("not JSON")),
            (u64::MAX.to_le_bytes().to_vec(), Some("cut short")),
            (vec![1, 2, 3], Some("cut short")),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let outcome = check_safetensors(&path);
            match told {
                None => assert_eq!(outcome, Ok(())),
                Some(told) => assert!(outcome.unwrap_err().contains(told), "{told}"),
            }
        }
    }
}
