//! Intervals of time: labelled ones, and which rows lie in one by the SDK's rule.

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

/// Numbers in a row of [`word_timing`].
pub const TIMING_WIDTH: usize = 2;

/// Duration of each word and the pause before it, in seconds: the time since the latest end of the words that were begun
/// before it, at least 0. `spoken` are all words of the recording, sorted by start. The pause of the very first word is 0.
///
/// ```
/// use mmrest_data::csd::word_timing;
///
/// let words = [[1.0, 1.5], [1.75, 2.0]];
/// assert_eq!(word_timing(&words, &words), [[0.5, 0.0], [0.25, 0.25]]);
/// assert_eq!(word_timing(&words[1..], &words), [[0.25, 0.25]]);
/// ```
#[allow(clippy::cast_possible_truncation)]
pub fn word_timing(words: &[[f64; 2]], spoken: &[[f64; 2]]) -> Vec<[f32; TIMING_WIDTH]> {
    let ends = spoken.iter().scan(f64::NEG_INFINITY, |latest, times| {
        *latest = latest.max(times[1]);
        Some(*latest)
    });
    let ends: Vec<f64> = ends.collect();
    let row = |&[start, end]: &[f64; 2]| {
        let begun = spoken.partition_point(|times| times[0] < start);
        let ended = begun.checked_sub(1).map(|last| ends[last]);
        let pause = ended.map_or(0.0, |ended| (start - ended).max(0.0));
        [(end - start) as f32, pause as f32]
    };
    words.iter().map(row).collect()
}

/// Seconds below which the SDK takes two times as equal.
pub const TOLERANCE: f64 = 1e-5;

/// Which rows lie within a reference interval, by the SDK's rule (`align`, without collapse functions).
///
/// A row `[s, e]` belongs to the reference `[S, E]` when `s < E + t`, `e > S - t` and what is left of it inside,
/// `min(e, E) - max(s, S)`, is more than `t` = [`TOLERANCE`]. Rows are whole, never cut or weighted, and one that
/// straddles two references belongs to both. Indices come in the order of `rows`, which the SDK sorts by start.
///
/// A reference shorter than `t` holds nothing (the SDK skips it): see [`is_too_short`].
///
/// ```
/// use mmrest_data::overlapping;
///
/// let rows = [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]];
/// assert_eq!(overlapping(&rows, [0.5, 2.0]), [0, 1]);
/// ```
pub fn overlapping(rows: &[[f64; 2]], reference: [f64; 2]) -> Vec<usize> {
    let rows = rows.iter().enumerate();
    let within = rows.filter(|(_, row)| belongs(**row, reference));
    within.map(|(i, _)| i).collect()
}

/// Whether a row lies within a reference interval, by the rule of [`overlapping`].
pub(crate) fn belongs([start, end]: [f64; 2], [first, last]: [f64; 2]) -> bool {
    !is_too_short([first, last])
        && start < last + TOLERANCE
        && end > first - TOLERANCE
        && end.min(last) - start.max(first) > TOLERANCE
}

/// Whether a reference interval is shorter than [`TOLERANCE`], ends before it begins, or is not a number: the SDK makes no
/// segment of it, but counts it.
///
/// ```
/// use mmrest_data::is_too_short;
///
/// assert!(is_too_short([1.0, 1.0]) && is_too_short([3.0, 1.0]) && !is_too_short([1.0, 1.1]));
/// ```
pub fn is_too_short([start, end]: [f64; 2]) -> bool {
    let length = end - start;
    length < TOLERANCE || length.is_nan()
}

/// How many times as far as another sequence of the same video one may reach: some videos are labelled in their first
/// minutes only.
const REACH: f64 = 15.0;

/// Whether two sequences of one video end so far apart that one is likely to be in other units (milliseconds, numbers of
/// frames); no where one of them has no time.
///
/// ```
/// use mmrest_data::csd::other_units;
///
/// assert!(other_units(12.0, 12_000.0) && other_units(360.0, 12.0) && !other_units(12.0, 150.0));
/// ```
pub fn other_units(one: f64, other: f64) -> bool {
    let ratio = one / other;
    one > 0.0 && other > 0.0 && ratio.is_finite() && !(1.0 / REACH..=REACH).contains(&ratio)
}
