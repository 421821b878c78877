//! Aligned entries as one array, or joined to whole videos again.

use std::collections::HashMap;
use std::path::Path;

use mmrest_data::csd::{Entry, Features, RowsDiffer, split_id};
use mmrest_data::{DataError, Result};

/// Where the zeros of a short entry go, and so which rows of a long one stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Before its rows; the last rows of a long entry stay (the SDK's `direction=False`, its default).
    Left,
    /// After its rows; the first rows of a long entry stay (the SDK's `direction=True`).
    Right,
}

/// Entries of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The entries' ids, one a segment.
    pub ids: Vec<String>,
    /// `[segments, length, width]`, row-major.
    pub values: Vec<f32>,
    /// Segments, length, width.
    pub shape: [usize; 3],
}

/// The entries of a sequence as `[segments, length, width]`, padded with zeros: the SDK's `get_tensors`, for one sequence.
///
/// Labels are a tensor of length 1. Like the SDK's, sequences that go together must have the same keys first
/// ([`AlignConfig::hard_unify`](super::AlignConfig::hard_unify)).
///
/// ```
/// use mmrest_datatools::align::{Padding, tensor};
/// use mmrest_data::csd::{Entry, Features};
///
/// let entry = |values: &[f32]| Entry {
///     intervals: vec![[0.0, 1.0]; values.len()],
///     features: Features::Numeric { values: values.to_vec(), width: 1 },
/// };
/// let entries = [("a[0]", entry(&[1.0])), ("a[1]", entry(&[2.0, 3.0, 4.0]))];
/// let left = tensor(entries.clone(), 2, Padding::Left)?;
/// assert_eq!(left.shape, [2, 2, 1]);
/// assert_eq!(left.values, [0.0, 1.0, 3.0, 4.0]);
/// assert_eq!(tensor(entries, 2, Padding::Right)?.values, [1.0, 0.0, 2.0, 3.0]);
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
///
/// # Errors
///
/// [`DataError::Align`] for text, and for entries of different widths.
pub fn tensor<S: Into<String>>(
    entries: impl IntoIterator<Item = (S, Entry)>,
    length: usize,
    padding: Padding,
) -> Result<Tensor> {
    let mut ids = Vec::new();
    let mut values = Vec::new();
    let mut width = None;
    for (id, entry) in entries {
        let id = id.into();
        let refused = |reason: String| DataError::Align(format!("{id:?}: {reason}"));
        let Features::Numeric {
            values: rows,
            width: found,
        } = entry.features
        else {
            return Err(refused("text has no tensor; numbers are needed".to_owned()));
        };
        let width = *width.get_or_insert(found);
        if found != width {
            let reason = format!("rows of width {found} after rows of width {width}");
            return Err(refused(reason));
        }
        let kept = rows.len().min(length * width);
        let zeros = std::iter::repeat_n(0.0, length * width - kept);
        match padding {
            Padding::Left => {
                values.extend(zeros);
                values.extend_from_slice(&rows[rows.len() - kept..]);
            }
            Padding::Right => {
                values.extend_from_slice(&rows[..kept]);
                values.extend(zeros);
            }
        }
        ids.push(id);
    }
    let shape = [ids.len(), length, width.unwrap_or(0)];
    Ok(Tensor { ids, values, shape })
}

/// Puts the entries `id[k]` of each id together again, by `k`, and names them `id`: the SDK's `revert`, for one sequence.
///
/// Ids come in the order of their first entry. The SDK keeps only keys that every sequence has
/// ([`AlignConfig::hard_unify`](super::AlignConfig::hard_unify)) before it does this.
///
/// ```
/// use mmrest_datatools::align::revert;
/// use mmrest_data::csd::{Entry, Features};
///
/// let word = |start: f64, word: &str| Entry {
///     intervals: vec![[start, start + 1.0]],
///     features: Features::Text(vec![word.into()]),
/// };
/// let aligned = [("a[10]".to_owned(), word(1.0, "film")), ("a[2]".to_owned(), word(0.0, "good"))];
/// let reverted = revert(aligned)?;
/// assert_eq!(reverted.len(), 1);
/// assert_eq!(reverted[0].0, "a");
/// assert_eq!(reverted[0].1.features, Features::Text(vec!["good".into(), "film".into()]));
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
///
/// # Errors
///
/// [`DataError::Align`] for an id that is no `id[k]`, one given twice, or entries of different kinds.
pub fn revert(entries: impl IntoIterator<Item = (String, Entry)>) -> Result<Vec<(String, Entry)>> {
    let mut videos: Vec<String> = Vec::new();
    let mut pieces: HashMap<String, Vec<(usize, Entry)>> = HashMap::new();
    for (id, entry) in entries {
        let (video, Some(index)) = split_id(&id) else {
            let reason = format!("{id:?} is not the key of an aligned entry, \"id[k]\"");
            return Err(DataError::Align(reason));
        };
        let known = pieces.entry(video.to_owned()).or_default();
        if known.is_empty() {
            videos.push(video.to_owned());
        }
        known.push((index, entry));
    }
    let joined = videos.into_iter().filter_map(|video| {
        let mut pieces = pieces.remove(&video)?;
        pieces.sort_by_key(|piece| piece.0);
        if let Some(twice) = pieces.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let reason = format!("\"{video}[{}]\" is there twice", twice[0].0);
            return Some(Err(DataError::Align(reason)));
        }
        let entry = concatenate(pieces.into_iter().map(|piece| piece.1).collect());
        let entry = entry.map_err(|reason| DataError::Align(format!("{video:?}: {reason}")));
        Some(entry.transpose()?.map(|entry| (video, entry)))
    });
    joined.collect()
}

/// The entries of a video one after the other; none of none.
pub(super) fn join(path: &Path, video: &str, entries: Vec<Entry>) -> Result<Option<Entry>> {
    concatenate(entries).map_err(|reason| DataError::entry(path, video, reason.to_string()))
}

fn concatenate(entries: Vec<Entry>) -> Result<Option<Entry>, RowsDiffer> {
    let mut entries = entries.into_iter();
    let Some(mut joined) = entries.next() else {
        return Ok(None);
    };
    for entry in entries {
        joined.append(entry)?;
    }
    Ok(Some(joined))
}
