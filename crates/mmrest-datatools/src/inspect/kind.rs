//! Detects the kind of a file by its content, and lists the files of a folder.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mmrest_data::text::few;
use mmrest_data::{DataError, Result, Split};
use serde::Serialize;
use serde_json::Value;

use super::{Inspection, hdf5};

/// Kinds of files that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A computational sequence of the CMU-MultimodalSDK (HDF5).
    Sequence,
    /// A packed set of this program (HDF5).
    Packed,
    /// HDF5 of any other layout, or damaged.
    Hdf5,
    /// A Python pickle.
    Pickle,
    /// A table with a header (`label.csv`).
    Table,
    /// Folds by video (JSON).
    Folds,
    /// Any other JSON.
    Json,
    /// A directory of a Hugging Face BERT.
    Bert,
    /// Weights as safetensors.
    Weights,
    /// Any other directory.
    Folder,
    /// A file without content.
    Empty,
    /// A web page.
    WebPage,
    /// What Git keeps in place of a large file.
    LfsPointer,
    /// A ZIP archive; PyTorch's checkpoints and numpy's `.npz` are such.
    Zip,
    /// Compressed by gzip.
    Gzip,
    /// Any other text.
    Text,
    /// None of these.
    Unknown,
}

const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// A JSON file larger than this is none that is known here.
const JSON_BYTES: u64 = 64 << 20;

impl FileKind {
    /// Looks at the content of a file, or for the files of a BERT in a directory.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let wrap = |error| DataError::io(path, error);
        if std::fs::metadata(path).map_err(wrap)?.is_dir() {
            return Ok(if is_bert(path) {
                Self::Bert
            } else {
                Self::Folder
            });
        }
        let mut file = File::open(path).map_err(wrap)?;
        let bytes = file.metadata().map_err(wrap)?.len();
        let mut head = Vec::new();
        let mut start = file.by_ref().take(4096);
        start.read_to_end(&mut head).map_err(wrap)?;
        if head.is_empty() {
            return Ok(Self::Empty);
        }
        if is_hdf5(&mut file, &head).map_err(wrap)? {
            return Ok(hdf5::kind(path));
        }
        Ok(by_head(path, &head, bytes))
    }

    /// Its name in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequence => "computational sequence",
            Self::Packed => "packed set",
            Self::Hdf5 => "HDF5 of another layout",
            Self::Pickle => "pickle",
            Self::Table => "table",
            Self::Folds => "folds by video",
            Self::Json => "JSON",
            Self::Bert => "directory of a BERT",
            Self::Weights => "weights (safetensors)",
            Self::Folder => "folder",
            Self::Empty => "empty file",
            Self::WebPage => "web page",
            Self::LfsPointer => "Git LFS pointer",
            Self::Zip => "ZIP archive",
            Self::Gzip => "gzip",
            Self::Text => "text",
            Self::Unknown => "unknown",
        }
    }

    /// Says of a kind that is of no use why, and what to do.
    pub(super) fn refuse(self, inspection: &mut Inspection) {
        let (found, advice) = match self {
            Self::Empty => (
                "the file is empty",
                "download or copy it again: the transfer did not begin",
            ),
            Self::WebPage => (
                "a web page was saved under this name",
                "download the file again; its server answered with a page (an error, or a question to confirm)",
            ),
            Self::LfsPointer => (
                "this is Git LFS's pointer to the file, not the file",
                "run 'git lfs pull' where it was cloned",
            ),
            Self::Zip => (
                "a ZIP archive (a zipped data set, PyTorch's checkpoint, or numpy's .npz)",
                "unzip a data set first; a checkpoint is used by the directory it is in",
            ),
            Self::Gzip => ("compressed by gzip", "unpack it first (gunzip, tar xzf)"),
            _ => {
                inspection.usable = super::Usable::no("no kind of file that this program reads");
                return;
            }
        };
        inspection.unreadable(found, advice);
    }
}

/// The signature may stand behind a user block of 512, 1024, 2048, ... bytes.
fn is_hdf5(file: &mut File, head: &[u8]) -> std::io::Result<bool> {
    let at = |place: usize| head.get(place..).is_some_and(|rest| rest.starts_with(HDF5));
    if at(0) || at(512) || at(1024) || at(2048) {
        return Ok(true);
    }
    let mut signature = [0; 8];
    file.seek(SeekFrom::Start(4096))?;
    Ok(file.read(&mut signature)? == 8 && signature == HDF5)
}

fn by_head(path: &Path, head: &[u8], bytes: u64) -> FileKind {
    match head {
        [0x80, 1..=5, ..] => return FileKind::Pickle,
        [b'P', b'K', 3 | 5, ..] => return FileKind::Zip,
        [0x1f, 0x8b, ..] => return FileKind::Gzip,
        _ => {}
    }
    // Pickles of protocol 0 begin with a mark or a global.
    let old_pickles: [&[u8]; 5] = [b"(dp", b"(lp", b"cnumpy", b"ccopy_reg", b"c__builtin__"];
    if old_pickles.iter().any(|begin| head.starts_with(begin)) {
        return FileKind::Pickle;
    }
    if is_safetensors(head, bytes) {
        return FileKind::Weights;
    }
    if head.contains(&0) {
        return FileKind::Unknown;
    }
    match text(head) {
        Some(text) => by_text(path, text, bytes),
        None => FileKind::Unknown,
    }
}

/// Eight bytes of length, then as much JSON.
fn is_safetensors(head: &[u8], bytes: u64) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    length >= 2 && length <= bytes.saturating_sub(8) && rest.first() == Some(&b'{')
}

/// The text at the head of a file; the last character may be cut.
fn text(head: &[u8]) -> Option<&str> {
    match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()
        }
        // Tables are also written in Latin-1: what is before the first such letter tells enough.
        Err(error) if error.valid_up_to() > 64 => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
}

fn by_text(path: &Path, text: &str, bytes: u64) -> FileKind {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.get(..200).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return FileKind::WebPage;
    }
    if text.starts_with("version https://git-lfs") {
        return FileKind::LfsPointer;
    }
    if text.starts_with(['{', '[']) {
        return json(path, bytes);
    }
    let header = text.lines().next().unwrap_or_default();
    let names = ["video_id", "clip_id", "label", "mode", "text"];
    let known = |cell: &str| names.contains(&cell.trim().trim_matches('"'));
    let named = header.split(['\t', ',', ';']).any(known) && header.contains(['\t', ',', ';']);
    if named || header.contains(',') && path.extension().is_some_and(|e| e == "csv") {
        FileKind::Table
    } else {
        FileKind::Text
    }
}

fn json(path: &Path, bytes: u64) -> FileKind {
    if bytes > JSON_BYTES {
        return FileKind::Json;
    }
    let parsed = std::fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    match parsed {
        Some(Value::Object(object))
            if object.values().any(Value::is_array)
                && object.keys().any(|key| Split::from_name(key).is_some()) =>
        {
            FileKind::Folds
        }
        _ => FileKind::Json,
    }
}

fn is_bert(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let files = ["tokenizer.json", "model.safetensors", "pytorch_model.bin"];
    let more = [
        "model.safetensors.index.json",
        "pytorch_model.bin.index.json",
    ];
    has("vocab.txt") || has("config.json") && files.into_iter().chain(more).any(has)
}

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
        // A broken link is reported when it is inspected.
        match FileKind::of(&file) {
            Ok(FileKind::Folder) => {}
            kind => {
                known |= !matches!(
                    kind,
                    Ok(FileKind::Text | FileKind::Unknown | FileKind::Json)
                );
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
