//! Aligned entries back to one entry an id.

use std::collections::HashMap;
use std::path::Path;

use mmrest_data::csd::{Entry, RowsDiffer, split_id};
use mmrest_data::{DataError, Result};

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
