//! Labelled intervals: the references that words and frames are cut by.

use std::collections::BTreeMap;

use super::{ComputationalSequence, Features, split_id};
use crate::{DataError, Result};

/// One labelled interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledInterval {
    /// Start and end in seconds.
    pub interval: [f64; 2],
    /// As stored, perhaps no number.
    pub label: f32,
}

/// The labelled intervals of a video by index.
///
/// Row `i` of entry `video` has index `i`; an entry `video[k]`, as an aligned file has it, is the one row of index `k`.
/// The SDK counts in file order and does not sort.
///
/// # Errors
///
/// Those of reading an entry; [`DataError::Entry`] for labels that are text, for a `column` that is not there and for a
/// piece of several rows; [`DataError::Duplicate`] for two rows of one index.
pub fn labelled_intervals(
    labels: &ComputationalSequence,
    video: &str,
    column: usize,
) -> Result<BTreeMap<usize, LabelledInterval>> {
    let mut intervals = BTreeMap::new();
    for id in labels.video_ids(video) {
        let rows = rows(labels, id, column)?;
        let piece = split_id(id).1;
        if piece.is_some() && rows.len() != 1 {
            let reason = format!("{} rows; a piece of a labelled video is one", rows.len());
            return Err(DataError::entry(labels.path(), id, reason));
        }
        for (i, row) in rows.into_iter().enumerate() {
            let index = piece.unwrap_or(i);
            if intervals.insert(index, row).is_some() {
                return Err(DataError::Duplicate {
                    path: labels.path().to_path_buf(),
                    id: format!("{video}[{index}]"),
                });
            }
        }
    }
    Ok(intervals)
}

fn rows(labels: &ComputationalSequence, id: &str, column: usize) -> Result<Vec<LabelledInterval>> {
    let entry = labels.read(id)?;
    let wrong = |reason| DataError::entry(labels.path(), id, reason);
    let Features::Numeric { values, width } = entry.features else {
        return Err(wrong("labels are text, not numbers".to_owned()));
    };
    if entry.intervals.is_empty() {
        return Ok(Vec::new());
    }
    if column >= width {
        return Err(wrong(format!(
            "label_column is {column}, but there are {width} columns (counted from 0)"
        )));
    }
    let labels = values.chunks_exact(width).map(|row| row[column]);
    let pairs = entry.intervals.into_iter().zip(labels);
    Ok(pairs
        .map(|(interval, label)| LabelledInterval { interval, label })
        .collect())
}
