//! Detects the kind of a file by its content, and lists the files of a folder.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mmrest_data::container::{Container, HEAD};
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
    /// Compressed by gzip; a pickle inside is a pickle.
    Gzip,
    /// Any other archive or compressed file.
    Archive,
    /// An Excel workbook.
    Workbook,
    /// Written by `torch.save`.
    Torch,
    /// Another program's data: NumPy's, Parquet, MATLAB's.
    Foreign,
    /// A recording: a video, a sound.
    Recording,
    /// A configuration (TOML).
    Configuration,
    /// A JSON object in each line.
    JsonLines,
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
            Self::Archive => "archive",
            Self::Workbook => "workbook",
            Self::Torch => "PyTorch's file",
            Self::Foreign => "another program's data",
            Self::Recording => "recording",
            Self::Configuration => "configuration (TOML)",
            Self::JsonLines => "JSON lines",
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
            Self::Configuration => {
                inspection.usable = super::Usable::no("a configuration, not data");
                return;
            }
            Self::JsonLines => {
                inspection.usable =
                    super::Usable::no("an object in each line: segments to predict, or results");
                return;
            }
            _ => {
                if let Some(container) = head(&inspection.path).and_then(|h| Container::of(&h)) {
                    inspection.unreadable(container.what(), container.advice());
                    return;
                }
                inspection.usable = super::Usable::no("no kind of file that this program reads");
                return;
            }
        };
        inspection.unreadable(found, advice);
    }
}

/// The first bytes of a file.
fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEAD as u64).read_to_end(&mut head).ok()?;
    Some(head)
}

/// The kind of a file that is another program's, or packed.
fn of_container(path: &Path, container: Container) -> FileKind {
    match container {
        Container::Gzip | Container::Xz => {
            let packed = File::open(path).ok();
            let inside = packed.and_then(|file| container.peek(file).ok());
            match inside.as_deref() {
                Some([0x80, 2..=5, ..]) => FileKind::Pickle,
                _ if container == Container::Gzip => FileKind::Gzip,
                _ => FileKind::Archive,
            }
        }
        Container::Bzip2 | Container::Zstd | Container::SevenZip | Container::Rar => {
            FileKind::Archive
        }
        Container::Zip => FileKind::Zip,
        Container::Torch => FileKind::Torch,
        Container::Workbook => FileKind::Workbook,
        Container::LfsPointer => FileKind::LfsPointer,
        Container::WebPage => FileKind::WebPage,
        Container::Recording => FileKind::Recording,
        Container::Utf16 if is_table_name(path) => FileKind::Table,
        Container::Utf16 => FileKind::Text,
        _ => FileKind::Foreign,
    }
}

/// Whether a file is named as tables are.
fn is_table_name(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending
        .is_some_and(|ending| ["csv", "tsv", "tab"].contains(&ending.to_ascii_lowercase().as_str()))
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
    if let Some(container) = Container::of(head) {
        return of_container(path, container);
    }
    if let [0x80, 1..=5, ..] = head {
        return FileKind::Pickle;
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
        // Tables are also written in Latin-1 or GBK: what is before the first such letter tells enough.
        Err(error) => {
            let valid = head.get(..error.valid_up_to())?;
            let tells = valid.len() > 64 || valid.contains(&b'\n');
            std::str::from_utf8(valid).ok().filter(|_| tells)
        }
    }
}

fn by_text(path: &Path, text: &str, bytes: u64) -> FileKind {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let toml = path.extension().is_some_and(|ending| ending == "toml");
    if toml
        || text
            .lines()
            .find(|line| !is_comment(line))
            .is_some_and(is_section)
    {
        return FileKind::Configuration;
    }
    if begins_json(text) {
        return json(path, bytes);
    }
    let mut lines = text.lines();
    let header = match lines.next().unwrap_or_default() {
        separator if separator.starts_with("sep=") => lines.next().unwrap_or_default(),
        header => header,
    };
    let names = ["video_id", "clip_id", "label", "mode", "text"];
    let known = |cell: &str| names.contains(&cell.trim().trim_matches('"'));
    let named = header.split(['\t', ',', ';']).any(known) && header.contains(['\t', ',', ';']);
    if named || is_table_name(path) && (header.contains([',', ';', '\t']) || known(header)) {
        FileKind::Table
    } else {
        FileKind::Text
    }
}

fn is_comment(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// Whether a line opens a table of TOML, such as `[data]`.
fn is_section(line: &str) -> bool {
    let name = line
        .trim()
        .strip_prefix('[')
        .and_then(|line| line.strip_suffix(']'));
    let name = name.map(|name| name.trim_start_matches('[').trim_end_matches(']').trim());
    name.is_some_and(|name| {
        let key = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let first = name.chars().next();
        first.is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(key)
            && !["true", "false", "null"].contains(&name)
    })
}

/// Whether what follows the first bracket could be JSON; logs begin so too.
fn begins_json(text: &str) -> bool {
    let mut letters = text.chars().filter(|letter| !letter.is_whitespace());
    match (letters.next(), letters.next()) {
        (Some('{'), next) => matches!(next, None | Some('"' | '}')),
        (Some('['), next) => {
            next.is_none_or(|next| next.is_ascii_digit() || "[]{\"-tfn".contains(next))
        }
        _ => false,
    }
}

fn json(path: &Path, bytes: u64) -> FileKind {
    if bytes > JSON_BYTES {
        return FileKind::Json;
    }
    let text = std::fs::read(path).unwrap_or_default();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let line = text
        .split(|&byte| byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty());
    let parsed = serde_json::from_slice::<Value>(text).ok();
    if parsed.is_none() && line.is_some_and(|line| serde_json::from_slice::<Value>(line).is_ok()) {
        return FileKind::JsonLines;
    }
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
                    Ok(FileKind::Text
                        | FileKind::Unknown
                        | FileKind::Json
                        | FileKind::JsonLines
                        | FileKind::Configuration)
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
