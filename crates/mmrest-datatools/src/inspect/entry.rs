//! What one entry of a computational sequence adds.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::{Intervals, Percentiles, Values};
use mmrest_data::csd::{Entry, Features};

/// The token of a pause in word sequences.
const PAUSE: &str = "sp";

/// Facts of one entry, small whatever the entry's size.
pub(super) struct EntryFacts {
    pub(super) id: String,
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) seconds: Option<f64>,
    /// Median of rows a second.
    pub(super) rate: Option<f64>,
    pub(super) intervals: Intervals,
    pub(super) values: Option<Values>,
    pub(super) words: Option<WordFacts>,
    /// The first column, where it was asked for.
    pub(super) labels: Vec<f32>,
    /// Of all it holds.
    pub(super) digest: [u8; 32],
}

/// Words of one entry.
pub(super) struct WordFacts {
    pub(super) pauses: usize,
    pub(super) empty: usize,
    pub(super) distinct: HashSet<String>,
}

impl EntryFacts {
    pub(super) fn of(id: &str, entry: &Entry, labels: bool) -> Self {
        let (values, words, labels) = match &entry.features {
            Features::Numeric { values, width } => {
                let column = values.chunks_exact((*width).max(1));
                let column = column.filter_map(|row| row.first().copied());
                let labels = if labels { column.collect() } else { Vec::new() };
                (Some(Values::of(values, *width)), None, labels)
            }
            Features::Text(words) => (None, Some(WordFacts::of(words)), Vec::new()),
        };
        Self {
            id: id.to_owned(),
            rows: entry.len(),
            width: entry.features.width(),
            seconds: span(&entry.intervals),
            rate: rate(&entry.intervals),
            intervals: Intervals::of(id, &entry.intervals),
            values,
            words,
            labels,
            digest: digest(entry),
        }
    }
}

impl WordFacts {
    fn of(words: &[String]) -> Self {
        let count = |wanted: &str| words.iter().filter(|word| word.trim() == wanted).count();
        let spoken = words.iter().map(|word| word.trim());
        let spoken = spoken.filter(|word| !word.is_empty() && *word != PAUSE);
        Self {
            pauses: count(PAUSE),
            empty: count(""),
            distinct: spoken.map(str::to_lowercase).collect(),
        }
    }
}

/// From the first start to the last end.
fn span(intervals: &[[f64; 2]]) -> Option<f64> {
    let start = intervals.iter().map(|times| times[0]).reduce(f64::min)?;
    let end = intervals.iter().map(|times| times[1]).reduce(f64::max)?;
    let span = end - start;
    span.is_finite().then_some(span)
}

fn rate(intervals: &[[f64; 2]]) -> Option<f64> {
    let lengths = intervals.iter().map(|[start, end]| end - start);
    let median = Percentiles::of(lengths.filter(|&length| length > mmrest_data::TOLERANCE))?.p50;
    Some(1.0 / median)
}

fn digest(entry: &Entry) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for time in entry.intervals.as_flattened() {
        hasher.update(time.to_bits().to_le_bytes());
    }
    match &entry.features {
        Features::Numeric { values, .. } => {
            for value in values {
                hasher.update(value.to_bits().to_le_bytes());
            }
        }
        Features::Text(words) => {
            for word in words {
                hasher.update(word.as_bytes());
                hasher.update([0]);
            }
        }
    }
    hasher.finalize().into()
}
