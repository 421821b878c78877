//! Ids of videos and of their segments: the SDK's alignment stores row `i` of `video` as `video[i]`.

use std::collections::HashMap;
use std::path::Path;

use super::Entry;
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
pub(super) struct VideoIds {
    videos: Vec<String>,
    by_video: HashMap<String, Vec<String>>,
}

impl VideoIds {
    pub(super) fn new(ids: &[String]) -> Self {
        let mut known = Self::default();
        for id in ids {
            let (video, _) = split_id(id);
            let own = known.by_video.entry(video.to_owned()).or_default();
            if own.is_empty() {
                known.videos.push(video.to_owned());
            }
            own.push(id.clone());
        }
        known
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

/// Joins the entries of one video into one, its rows stably sorted by start.
///
/// # Errors
///
/// [`DataError::Entry`] for entries of different kinds or widths.
pub fn merge(path: &Path, video: &str, entries: Vec<Entry>) -> Result<Entry> {
    let mut entries = entries.into_iter();
    let mut merged = entries.next().unwrap_or_else(Entry::empty);
    for entry in entries {
        let appended = merged.append(entry);
        appended.map_err(|reason| DataError::entry(path, video, reason.to_string()))?;
    }
    let mut order: Vec<usize> = (0..merged.len()).collect();
    order.sort_by(|&a, &b| merged.intervals[a][0].total_cmp(&merged.intervals[b][0]));
    if order.is_sorted() {
        return Ok(merged);
    }
    Ok(merged.select(&order))
}
