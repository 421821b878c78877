//! Ids of videos and of their pieces: the SDK's alignment stores row `i` of `video` as `video[i]`.

use std::collections::HashMap;
use std::path::Path;

use super::{Entry, Features};
use crate::{DataError, Result};

/// The video an id belongs to, and which piece of it, if it is one.
///
/// ```
/// use mmrest_data::csd::split_id;
///
/// assert_eq!(split_id("03bSnISJMiM"), ("03bSnISJMiM", None));
/// assert_eq!(split_id("03bSnISJMiM[7]"), ("03bSnISJMiM", Some(7)));
/// ```
pub fn split_id(id: &str) -> (&str, Option<usize>) {
    match id.split_once('[') {
        Some((video, piece)) => (video, piece.trim_end_matches(']').parse().ok()),
        None => (id, None),
    }
}

/// Which of a file's ids belong to which video.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    videos: Vec<String>,
    by_video: HashMap<String, Vec<String>>,
}

impl Pieces {
    pub(super) fn new(ids: &[String]) -> Self {
        let mut pieces = Self::default();
        for id in ids {
            let (video, _) = split_id(id);
            let known = pieces.by_video.entry(video.to_owned()).or_default();
            if known.is_empty() {
                pieces.videos.push(video.to_owned());
            }
            known.push(id.clone());
        }
        pieces
    }

    /// Videos in the order of their first id.
    pub(super) fn videos(&self) -> &[String] {
        &self.videos
    }

    /// Ids of a video in file order.
    pub(super) fn of(&self, video: &str) -> &[String] {
        self.by_video.get(video).map_or(&[], Vec::as_slice)
    }
}

/// No row at all.
pub(crate) fn nothing() -> Entry {
    Entry {
        intervals: Vec::new(),
        features: Features::Text(Vec::new()),
    }
}

/// The entries of one video as one, its rows stably sorted by start.
pub(crate) fn merge(path: &Path, video: &str, entries: Vec<Entry>) -> Result<Entry> {
    let mut entries = entries.into_iter();
    let mut merged = entries.next().unwrap_or_else(nothing);
    for entry in entries {
        append(&mut merged, entry).map_err(|reason| DataError::entry(path, video, reason))?;
    }
    let mut order: Vec<usize> = (0..merged.len()).collect();
    order.sort_by(|&a, &b| merged.intervals[a][0].total_cmp(&merged.intervals[b][0]));
    if order.is_sorted() {
        return Ok(merged);
    }
    Ok(merged.select(&order))
}

/// Puts the rows of `piece` after those of `entry`.
pub(crate) fn append(entry: &mut Entry, piece: Entry) -> Result<(), String> {
    match (&mut entry.features, piece.features) {
        (Features::Text(words), Features::Text(more)) => words.extend(more),
        (
            Features::Numeric { values, width },
            Features::Numeric {
                values: more,
                width: other,
            },
        ) if *width == other => values.extend(more),
        _ => return Err("its pieces hold features of different kinds or widths".to_owned()),
    }
    entry.intervals.extend(piece.intervals);
    Ok(())
}
