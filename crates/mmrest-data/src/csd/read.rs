//! Reads computational sequences, one entry at a time.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::backend::{Array, Source, Values};
use super::entry::{VideoIds, merge, merge_pieces};
use super::{Backend, Entry, Features, Metadata, split_id};
use crate::{DataError, Result};

/// Bytes of all metadata of a file.
const MOST_METADATA: usize = 1 << 20;

/// An open computational sequence. Opening reads names and metadata; [`read`](Self::read) reads one entry.
///
/// The file stays open; entries may be read from several threads.
pub struct ComputationalSequence {
    path: PathBuf,
    root: String,
    ids: Vec<String>,
    by_video: VideoIds,
    metadata: Metadata,
    source: Box<dyn Source>,
}

impl fmt::Debug for ComputationalSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComputationalSequence")
            .field("path", &self.path)
            .field("root", &self.root)
            .field("ids", &self.ids.len())
            .finish_non_exhaustive()
    }
}

impl ComputationalSequence {
    /// Opens a file with the default backend.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when the file cannot be opened, [`DataError::Hdf5`] when it is empty, cut short or no HDF5,
    /// [`DataError::Layout`] when it has not exactly one top group, no `data` below it, or no entries.
    /// Missing metadata is a warning only.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Backend::default())
    }

    /// Opens a file with the backend of choice; errors as [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_with(path: &Path, backend: Backend) -> Result<Self> {
        readable(path)?;
        let source = backend
            .open(path)
            .map_err(|reason| hdf5(path, "", reason))?;
        let root = root(path, source.as_ref())?;
        let ids = ids(path, source.as_ref(), &root)?;
        let metadata = read_metadata(path, source.as_ref(), &root);
        Ok(Self {
            path: path.to_path_buf(),
            root,
            by_video: VideoIds::new(&ids),
            ids,
            metadata,
            source,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the file's only top group.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Every entry's id (`video` or `video[3]`), sorted by bytes.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Whether there is an entry of this id.
    pub fn contains(&self, id: &str) -> bool {
        self.by_video
            .of(split_id(id).0)
            .iter()
            .any(|known| known == id)
    }

    /// Every video that has an entry or a piece of one, sorted by bytes.
    pub fn videos(&self) -> &[String] {
        self.by_video.videos()
    }

    /// The ids of a video: itself, or its pieces, sorted by bytes; none for a video that is not there.
    pub fn video_ids(&self, video: &str) -> &[String] {
        self.by_video.of(video)
    }

    /// Reads all of a video: its entry, or its pieces merged, rows stably sorted by start; none if it has none.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and [`DataError::Entry`] for pieces of different kinds.
    pub fn read_video(&self, video: &str) -> Result<Option<Entry>> {
        Ok(self.read_pieces(video)?.map(|(entry, _)| entry))
    }

    /// As [`read_video`](Self::read_video); also tells of each row the number of its piece, none for a row of the video's
    /// own entry.
    pub(crate) fn read_pieces(&self, video: &str) -> Result<Option<(Entry, Vec<Option<usize>>)>> {
        let ids = self.video_ids(video);
        if ids.is_empty() {
            return Ok(None);
        }
        let entries = ids.iter().map(|id| self.read(id)).collect::<Result<_>>()?;
        let (entry, sources) = merge_pieces(&self.path, video, entries)?;
        let pieces = sources.into_iter().map(|place| split_id(&ids[place]).1);
        Ok(Some((entry, pieces.collect())))
    }

    /// Reads one entry with its rows stably sorted by start; none if there is none of this id.
    pub(crate) fn read_sorted(&self, id: &str) -> Result<Option<Entry>> {
        if !self.contains(id) {
            return Ok(None);
        }
        merge(&self.path, id, vec![self.read(id)?]).map(Some)
    }

    /// Metadata by key: the JSON value, or the bare text as a string where a file holds no JSON.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Reads one entry.
    ///
    /// # Errors
    ///
    /// [`DataError::NoEntry`]; [`DataError::Hdf5`] where the file is corrupt; [`DataError::Entry`] where intervals are
    /// not `[n, 2]` numbers, features have another first dimension, or are of a type that is neither number nor text.
    pub fn read(&self, id: &str) -> Result<Entry> {
        if !self.contains(id) {
            return Err(DataError::NoEntry {
                path: self.path.clone(),
                id: id.to_owned(),
            });
        }
        let group = format!("/{}/data/{id}", self.root);
        let array = |name: &str| {
            let object = format!("{group}/{name}");
            let array = self.source.read(&object);
            array.map_err(|reason| hdf5(&self.path, &object, reason))
        };
        let wrong = |reason| DataError::entry(&self.path, id, reason);
        let intervals = intervals(array("intervals")?).map_err(wrong)?;
        let features = features(array("features")?, intervals.len()).map_err(wrong)?;
        Ok(Entry {
            intervals,
            features,
        })
    }
}

fn hdf5(path: &Path, object: &str, reason: String) -> DataError {
    DataError::Hdf5 {
        path: path.to_path_buf(),
        object: object.to_owned(),
        reason,
    }
}

/// The two commonest faults in their own words, whatever the backend would say.
fn readable(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).map_err(|error| DataError::io(path, error))?;
    let about = file
        .metadata()
        .map_err(|error| DataError::io(path, error))?;
    if about.is_dir() {
        return Err(hdf5(path, "", "it is a folder".to_owned()));
    }
    if about.len() == 0 {
        return Err(hdf5(path, "", "the file is empty".to_owned()));
    }
    Ok(())
}

fn root(path: &Path, source: &dyn Source) -> Result<String> {
    let members = source
        .members("/")
        .map_err(|reason| hdf5(path, "/", reason))?;
    match (members.groups.as_slice(), members.datasets.as_slice()) {
        ([root], []) => Ok(root.clone()),
        (groups, datasets) => Err(DataError::layout(
            path,
            format!(
                "one top group is expected, found {} {groups:?} and {} datasets",
                groups.len(),
                datasets.len()
            ),
        )),
    }
}

fn ids(path: &Path, source: &dyn Source, root: &str) -> Result<Vec<String>> {
    let top = source
        .members(&format!("/{root}"))
        .map_err(|reason| hdf5(path, root, reason))?;
    if !top.groups.iter().any(|name| name == "data") {
        return Err(DataError::layout(
            path,
            format!("no group \"data\" below {root:?}, only {:?}", top.groups),
        ));
    }
    let data = format!("/{root}/data");
    let members = source
        .members(&data)
        .map_err(|reason| hdf5(path, &data, reason))?;
    if let Some(name) = members.datasets.first() {
        return Err(DataError::layout(
            path,
            format!("{data}/{name} is a dataset, not an entry's group"),
        ));
    }
    if members.groups.is_empty() {
        return Err(DataError::layout(path, format!("no entries below {data}")));
    }
    let mut ids = members.groups;
    ids.sort_unstable();
    Ok(ids)
}

/// Metadata never decides whether a file can be used: what cannot be read, or is too much to be metadata, is warned about
/// and left out.
fn read_metadata(path: &Path, source: &dyn Source, root: &str) -> Metadata {
    let group = format!("/{root}/metadata");
    let keys = match source.members(&group) {
        Ok(members) => members.datasets,
        Err(reason) => {
            tracing::warn!("{}: its metadata cannot be read: {reason}", path.display());
            return Metadata::new();
        }
    };
    let mut metadata = Metadata::new();
    let mut left = MOST_METADATA;
    for key in keys {
        let read = source.read(&format!("{group}/{key}")).and_then(|array| {
            let rest = left.checked_sub(key.len() + array.values.bytes());
            left = rest
                .ok_or_else(|| format!("more than {MOST_METADATA} bytes with those before it"))?;
            Ok(array)
        });
        match read {
            Ok(array) => {
                metadata.insert(key, json(array.values));
            }
            Err(reason) => {
                tracing::warn!(
                    "{}: its metadata {key} cannot be read: {reason}",
                    path.display()
                );
            }
        }
    }
    metadata
}

fn json(values: Values) -> Value {
    match values {
        Values::Text(mut words) if words.len() == 1 => {
            let word = words.remove(0);
            serde_json::from_str(&word).unwrap_or(Value::String(word))
        }
        Values::Text(words) => words.into(),
        Values::F32(numbers) => numbers.into(),
        Values::F64(numbers) => match numbers.as_slice() {
            &[number] => number.into(),
            _ => numbers.into(),
        },
    }
}

/// `[n, 2]` numbers as pairs.
fn intervals(array: Array) -> Result<Vec<[f64; 2]>, String> {
    if !matches!(array.shape.as_slice(), [_, 2]) {
        return Err(format!("intervals must be [n, 2], not {:?}", array.shape));
    }
    let pairs = match array.values {
        Values::F32(values) => values
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[a, b]| [f64::from(a), f64::from(b)])
            .collect(),
        Values::F64(values) => values.as_chunks::<2>().0.to_vec(),
        Values::Text(_) => return Err("intervals are text".to_owned()),
    };
    Ok(pairs)
}

/// `[rows, ..]` numbers flattened to `[rows, width]`, or `[rows]` or `[rows, 1]` words.
#[allow(clippy::cast_possible_truncation)]
fn features(array: Array, rows: usize) -> Result<Features, String> {
    let shape = array.shape;
    if shape.first() != Some(&rows) {
        return Err(format!("{rows} intervals but features of shape {shape:?}"));
    }
    let width = shape[1..].iter().product::<usize>();
    match array.values {
        Values::F32(values) => Ok(Features::Numeric { values, width }),
        Values::F64(values) => {
            let values = values.into_iter().map(|value| value as f32).collect();
            Ok(Features::Numeric { values, width })
        }
        Values::Text(words) if width == 1 => Ok(Features::Text(words)),
        Values::Text(_) => Err(format!("one word a row is expected, not {shape:?}")),
    }
}
