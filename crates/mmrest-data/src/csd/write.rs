//! Writes computational sequences.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Seek, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::{Entry, Features};
use crate::files::NewFile;
use crate::hdf5::{Bytes, Kind, Sink, is_name, string_bytes};
use crate::{DataError, Result};

/// Metadata by key, each value any JSON.
pub type Metadata = BTreeMap<String, Value>;

/// gzip level of the SDK's own files.
const SDK_LEVEL: u32 = 9;

/// Values in a chunk at most, so that no reader has to hold more than a few MiB of one.
const CHUNK_VALUES: u64 = 1 << 18;

/// Bytes from which a dataset is compressed: the index of its chunks alone has more than half as many.
const WORTH_COMPRESSING: usize = 4096;

/// The metadata the SDK asks for (it warns about each that is missing), with `root` and `description` filled in.
///
/// ```
/// let metadata = mmrest_data::csd::metadata("words", "spoken words");
/// assert_eq!(metadata["root name"], "words");
/// assert_eq!(metadata["alignment compatible"], true);
/// ```
pub fn metadata(root: &str, description: &str) -> Metadata {
    let values = [
        ("root name", json!(root)),
        ("computational sequence description", json!(description)),
        ("computational sequence version", json!("1.0")),
        ("alignment compatible", json!(true)),
        ("dataset name", json!("")),
        ("dataset version", json!("1.0")),
        (
            "creator",
            json!(concat!("mmrest-data ", env!("CARGO_PKG_VERSION"))),
        ),
        ("contact", json!("")),
        ("dataset bib citation", json!("")),
        ("featureset bib citation", json!("")),
        ("dimension names", Value::Null),
        ("md5", Value::Null),
        ("uuid", json!("00000000-0000-0000-0000-000000000000")),
    ];
    values
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Writes a computational sequence in the SDK's layout: intervals as f8, numbers as f4, words as fixed-length strings
/// (marked UTF-8 where they are not plain ASCII), metadata as shape-(1,) variable-length UTF-8 strings holding JSON.
/// Datasets of 4 KiB and more are compressed by gzip at level 9; to smaller ones it would add.
///
/// Entries are taken, written and forgotten one by one: any number of any length will do. Readers list them sorted by
/// the bytes of their ids, as those of the SDK's own files.
///
/// The file appears whole or not at all: it is written beside `path` and renamed.
///
/// # Errors
///
/// [`DataError::Entry`] for an id that is empty or holds a `/` or a NUL, or whose features and intervals differ in
/// number; [`DataError::Duplicate`] for an id given twice; [`DataError::Write`] for what HDF5 cannot hold (a NUL in a
/// word, a `/` in the root's name); [`DataError::Layout`] for no entries; [`DataError::Io`].
pub fn write<I, S>(path: &Path, root: &str, metadata: &Metadata, entries: I) -> Result<()>
where
    I: IntoIterator<Item = (S, Entry)>,
    S: AsRef<str>,
{
    write_at_level(path, root, metadata, SDK_LEVEL, entries)
}

/// As [`write()`], at a gzip level of choice: 1 is several times faster than 9 and little larger on most features.
///
/// # Errors
///
/// Those of [`write()`]; [`DataError::Write`] for a level above 9.
pub fn write_at_level<I, S>(
    path: &Path,
    root: &str,
    metadata: &Metadata,
    level: u32,
    entries: I,
) -> Result<()>
where
    I: IntoIterator<Item = (S, Entry)>,
    S: AsRef<str>,
{
    try_write(path, root, metadata, level, entries.into_iter().map(Ok))
}

/// As [`write_at_level`], of entries that are made on the way; the first that cannot be ends it, and nothing is written.
///
/// # Errors
///
/// Those of [`write_at_level`], and the first of `entries`.
pub fn try_write<S: AsRef<str>>(
    path: &Path,
    root: &str,
    metadata: &Metadata,
    level: u32,
    entries: impl Iterator<Item = Result<(S, Entry)>>,
) -> Result<()> {
    if level > SDK_LEVEL {
        return Err(refused(path)(format!(
            "no gzip level {level}, 9 is the highest"
        )));
    }
    if !is_name(root) {
        return Err(refused(path)(format!(
            "{root:?} cannot be the name of its root"
        )));
    }
    let file = NewFile::create(path)?;
    let wrong = failed(path);
    let sink = Sink::new(file.writer()?).map_err(&wrong)?;
    let mut sink = sink.at_level(level);
    let mut seen = HashSet::new();
    for made in entries {
        let (id, entry) = made?;
        let id = id.as_ref();
        check(path, id, &entry)?;
        if !seen.insert(id.to_owned()) {
            return Err(DataError::Duplicate {
                path: path.to_path_buf(),
                id: id.to_owned(),
            });
        }
        write_entry(&mut sink, &format!("{root}/data/{id}"), &entry).map_err(&wrong)?;
    }
    if seen.is_empty() {
        return Err(DataError::layout(path, "no entries to write"));
    }
    let texts: Vec<(String, String)> = metadata
        .iter()
        .map(|(key, value)| (format!("{root}/metadata/{key}"), value.to_string()))
        .collect();
    let texts = texts
        .iter()
        .map(|(key, text)| (key.as_str(), text.as_str()));
    sink.strings(texts).map_err(&wrong)?;
    sink.finish().map_err(&wrong)?;
    file.keep()
}

fn check(path: &Path, id: &str, entry: &Entry) -> Result<()> {
    if !is_name(id) {
        return Err(DataError::entry(path, id, "not a name HDF5 can hold"));
    }
    match entry.fault() {
        Some(reason) => Err(DataError::entry(path, id, reason)),
        None => Ok(()),
    }
}

fn refused(path: &Path) -> impl Fn(String) -> DataError {
    |reason| DataError::Write {
        path: path.to_path_buf(),
        reason,
    }
}

/// What HDF5 cannot hold, or else the system's refusal.
fn failed(path: &Path) -> impl Fn(io::Error) -> DataError {
    |error| match error.kind() {
        io::ErrorKind::InvalidInput => refused(path)(error.to_string()),
        _ => DataError::io(path, error),
    }
}

/// `intervals` [n, 2] and `features` [n, width] of one entry, below its group.
fn write_entry<W: Write + Seek>(sink: &mut Sink<W>, group: &str, entry: &Entry) -> io::Result<()> {
    let rows = entry.len() as u64;
    let name = format!("{group}/features");
    let shape = [rows, entry.features.width() as u64];
    match &entry.features {
        Features::Numeric { values, .. } => {
            write_dataset(sink, &name, Kind::F32, shape, &values.bytes())?;
        }
        Features::Text(words) => {
            let words = words.iter().map(String::as_str);
            let kind = Kind::text(words.clone())?;
            let bytes = string_bytes(words, kind.size() as usize);
            write_dataset(sink, &name, kind, shape, &bytes)?;
        }
    }
    let name = format!("{group}/intervals");
    let bytes = entry.intervals.as_flattened().bytes();
    write_dataset(sink, &name, Kind::F64, [rows, 2], &bytes)?;
    sink.close(group)
}

/// One dataset, compressed over chunks of whole rows where that makes it smaller.
fn write_dataset<W: Write + Seek>(
    sink: &mut Sink<W>,
    path: &str,
    kind: Kind,
    shape: [u64; 2],
    bytes: &[u8],
) -> io::Result<()> {
    let [rows, width] = shape;
    if bytes.len() < WORTH_COMPRESSING {
        return sink.dataset(path, kind, &shape, bytes);
    }
    let in_a_chunk = (CHUNK_VALUES / width.max(1)).clamp(1, rows.max(1));
    let in_a_chunk = u32::try_from(in_a_chunk).unwrap_or(u32::MAX);
    sink.gzipped(path, kind, &shape, in_a_chunk, bytes)
}
