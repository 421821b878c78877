//! Writing computational sequences.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use hdf5_writer::{DatasetBuilder, FILTER_DEFLATE, FilterDescription, Hdf5Builder, WriteOptions};
use serde_json::{Value, json};

use super::{Entry, Features};
use crate::{DataError, Result};

/// Metadata by key, each value any JSON.
pub type Metadata = BTreeMap<String, Value>;

/// gzip level of the SDK's own files.
const GZIP_LEVEL: u32 = 9;

/// Values in a chunk at most, so that no reader has to hold more than a few MiB of one.
const CHUNK_VALUES: u64 = 1 << 18;

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

/// Writes a computational sequence in the SDK's layout: gzip at level 9, intervals as f8,
/// numbers as f4, words as fixed-length strings, metadata as shape-(1,) variable-length strings holding JSON
/// (marked UTF-8 where they are not plain ASCII).
///
/// The file appears whole or not at all: it is written beside `path` and renamed.
///
/// # Errors
///
/// [`DataError::Entry`] for an id that is empty or holds a `/`, or whose features and intervals differ in number;
/// [`DataError::Duplicate`] for an id given twice; [`DataError::Write`] for what HDF5 cannot hold (a NUL in a word);
/// [`DataError::Io`].
pub fn write<I, S>(path: &Path, root: &str, metadata: &Metadata, entries: I) -> Result<()>
where
    I: IntoIterator<Item = (S, Entry)>,
    S: AsRef<str>,
{
    let mut builder = Hdf5Builder::new();
    let mut seen = BTreeSet::new();
    for (id, entry) in entries {
        let id = id.as_ref();
        check(path, id, &entry)?;
        if !seen.insert(id.to_owned()) {
            return Err(DataError::Duplicate {
                path: path.to_path_buf(),
                id: id.to_owned(),
            });
        }
        let (intervals, features) =
            datasets(&format!("{root}/data/{id}"), &entry).map_err(refused(path))?;
        builder = builder.dataset(features).dataset(intervals);
    }
    if seen.is_empty() {
        return Err(DataError::layout(path, "no entries to write"));
    }
    for (key, value) in metadata {
        let name = format!("{root}/metadata/{key}");
        let text = value.to_string();
        let dataset =
            DatasetBuilder::vlen_string_data(name, vec![1], &[text]).map_err(refused(path))?;
        builder = builder.dataset(dataset);
    }
    let plan = builder.into_plan().map_err(refused(path))?;
    let bytes = plan
        .encode(WriteOptions::default())
        .map_err(refused(path))?;
    replace(path, &bytes)
}

fn check(path: &Path, id: &str, entry: &Entry) -> Result<()> {
    if id.is_empty() || id.contains('/') || id == "." {
        return Err(DataError::entry(path, id, "not a name HDF5 can hold"));
    }
    match entry.fault() {
        Some(reason) => Err(DataError::entry(path, id, reason)),
        None => Ok(()),
    }
}

fn refused(path: &Path) -> impl Fn(hdf5_writer::Error) -> DataError + '_ {
    |error| DataError::Write {
        path: path.to_path_buf(),
        reason: error.to_string(),
    }
}

/// `intervals` [n, 2] and `features` [n, width] of one entry, below its group.
fn datasets(group: &str, entry: &Entry) -> hdf5_writer::Result<(DatasetBuilder, DatasetBuilder)> {
    let rows = entry.len() as u64;
    let intervals = DatasetBuilder::typed_data(
        format!("{group}/intervals"),
        vec![rows, 2],
        entry.intervals.as_flattened(),
    )?;
    let name = format!("{group}/features");
    let width = entry.features.width() as u64;
    let features = match &entry.features {
        Features::Numeric { values, .. } => {
            DatasetBuilder::typed_data(name, vec![rows, width], values)?
        }
        Features::Text(words) => DatasetBuilder::fixed_string_data(name, vec![rows, 1], words)?,
    };
    Ok((gzip(intervals, [rows, 2]), gzip(features, [rows, width])))
}

/// gzip over chunks of whole rows; an empty dataset has nothing to compress.
fn gzip(dataset: DatasetBuilder, shape: [u64; 2]) -> DatasetBuilder {
    if shape.contains(&0) {
        return dataset;
    }
    let rows = (CHUNK_VALUES / shape[1]).clamp(1, shape[0]);
    dataset.chunked([rows, shape[1]]).filter(FilterDescription {
        id: FILTER_DEFLATE,
        name: None,
        client_data: vec![GZIP_LEVEL],
    })
}

/// Puts `bytes` at `path` by renaming a finished file over it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|error| DataError::io(folder, error))?;
    let wrap = |error| DataError::io(path, error);
    let mut file = shared(tempfile::Builder::new().suffix(".tmp"))
        .tempfile_in(folder)
        .map_err(wrap)?;
    file.write_all(bytes).map_err(wrap)?;
    file.as_file().sync_all().map_err(wrap)?;
    file.persist(path).map_err(|error| wrap(error.error))?;
    Ok(())
}

/// The permissions any new file gets, rather than a temporary file's private ones.
#[cfg(unix)]
fn shared<'a>(
    builder: &'a mut tempfile::Builder<'static, 'static>,
) -> &'a mut tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(std::fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn shared<'a>(
    builder: &'a mut tempfile::Builder<'static, 'static>,
) -> &'a mut tempfile::Builder<'static, 'static> {
    builder
}
