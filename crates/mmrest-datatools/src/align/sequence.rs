//! A sequence to be aligned: reads one video of it, without rows that no alignment can use, and cuts it by intervals.

use std::collections::HashSet;
use std::path::Path;

use mmrest_data::csd::{ComputationalSequence, Entry, Features, split_id};
use mmrest_data::{DataError, Result, TOLERANCE, is_too_short, overlapping};

/// What a sequence's rows hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Numbers(usize),
}

impl Content {
    fn of(entry: &Entry) -> Self {
        match &entry.features {
            Features::Text(_) => Self::Text,
            Features::Numeric { width, .. } => Self::Numbers(*width),
        }
    }

    /// A row of nothing.
    pub(super) fn zeros(self) -> Features {
        match self {
            Self::Text => Features::Text(vec![String::new()]),
            Self::Numbers(width) => Features::Numeric {
                values: vec![0.0; width],
                width,
            },
        }
    }

    fn told(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Numbers(width) => format!("{width} numbers"),
        }
    }
}

/// What was met while reading one video of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Met {
    /// NaN and infinite values, now 0.
    pub(super) non_finite: usize,
    /// Rows of no length, which lie in no interval.
    pub(super) no_length: usize,
}

/// A row of the reference: its index, which becomes part of the key, and the row alone.
pub(super) struct Reference {
    pub(super) index: usize,
    pub(super) row: Entry,
}

/// An open sequence all of whose rows hold the same.
pub(super) struct Sequence {
    pub(super) file: ComputationalSequence,
    pub(super) content: Content,
}

impl Sequence {
    /// What the rows hold is decided by the first of `videos` that has any.
    pub(super) fn new(file: ComputationalSequence, videos: &[String]) -> Result<Self> {
        for id in videos.iter().flat_map(|video| file.video_ids(video)) {
            let entry = file.read(id)?;
            if !entry.is_empty() {
                let content = Content::of(&entry);
                if content == Content::Numbers(0) {
                    let reason = "its rows have features of width 0";
                    return Err(DataError::entry(file.path(), id, reason));
                }
                return Ok(Self { file, content });
            }
        }
        let (root, path) = (file.root(), file.path().display());
        Err(DataError::Align(format!(
            "{root:?} ({path}) has no rows of the ids that all sequences share"
        )))
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// A video's rows, sorted by start.
    pub(super) fn track(&self, video: &str) -> Result<(Track, Met)> {
        let mut entries = Vec::new();
        for id in self.file.video_ids(video) {
            entries.push(self.file.read(id)?);
        }
        entries.retain(|entry| !entry.is_empty());
        let merged = mmrest_data::csd::merge(self.path(), video, entries)?;
        let (entry, mut met) = self.checked(video, merged)?;
        let usable: Vec<usize> = (0..entry.len())
            .filter(|&row| {
                let [start, end] = entry.intervals[row];
                end - start > TOLERANCE
            })
            .collect();
        met.no_length = entry.len() - usable.len();
        let entry = if met.no_length > 0 {
            entry.select(&usable)
        } else {
            entry
        };
        Ok((Track::new(entry), met))
    }

    /// A video's rows as the reference: in the file's order, without those of no length.
    ///
    /// Row `i` of entry `video` has index `i`; an entry `video[k]`, as an aligned file has it, is the one row of index `k`.
    pub(super) fn references(&self, video: &str) -> Result<(Vec<Reference>, Met)> {
        let mut references = Vec::new();
        let mut met = Met::default();
        let mut seen = HashSet::new();
        for id in self.file.video_ids(video) {
            let (entry, here) = self.checked(id, self.file.read(id)?)?;
            met.non_finite += here.non_finite;
            let piece = split_id(id).1;
            if piece.is_some() && entry.len() > 1 {
                let reason = format!(
                    "{} rows; an aligned sequence can be the reference only if each of its entries is one row",
                    entry.len()
                );
                return Err(DataError::entry(self.path(), id, reason));
            }
            for i in 0..entry.len() {
                let index = piece.unwrap_or(i);
                if !seen.insert(index) {
                    return Err(DataError::Duplicate {
                        path: self.path().to_path_buf(),
                        id: format!("{video}[{index}]"),
                    });
                }
                if is_too_short(entry.intervals[i]) {
                    met.no_length += 1;
                } else {
                    let row = entry.select(&[i]);
                    references.push(Reference { index, row });
                }
            }
        }
        references.sort_by_key(|reference| reference.index);
        Ok((references, met))
    }

    /// The entry if it holds what the sequence holds, all of it finite.
    fn checked(&self, id: &str, mut entry: Entry) -> Result<(Entry, Met)> {
        let found = Content::of(&entry);
        if !entry.is_empty() && found != self.content {
            let (found, before) = (found.told(), self.content.told());
            let reason =
                format!("its rows are {found} each, those of the entries before are {before}");
            return Err(DataError::entry(self.path(), id, reason));
        }
        let mut met = Met::default();
        if let Features::Numeric { values, .. } = &mut entry.features {
            for value in values.iter_mut().filter(|value| !value.is_finite()) {
                *value = 0.0;
                met.non_finite += 1;
            }
        }
        Ok((entry, met))
    }
}

/// A video's rows sorted by start, with what finds those of an interval without looking at all of them.
pub(super) struct Track {
    entry: Entry,
    /// The latest end of the rows up to each: grows, unlike the ends themselves.
    latest_end: Vec<f64>,
}

impl Track {
    /// `entry` is sorted by start, and no time in it is NaN.
    pub(super) fn new(entry: Entry) -> Self {
        let ends = entry.intervals.iter().map(|row| row[1]);
        let latest_end = ends.scan(f64::NEG_INFINITY, |latest, end| {
            *latest = end.max(*latest);
            Some(*latest)
        });
        Self {
            latest_end: latest_end.collect(),
            entry,
        }
    }

    /// The rows in `reference`, whole, their intervals cut to it; perhaps none.
    pub(super) fn cut(&self, reference: [f64; 2]) -> Entry {
        let rows = &self.entry.intervals;
        // Wider than the rule by one more tolerance, so that rounding decides nothing here.
        let from = self
            .latest_end
            .partition_point(|&end| end < reference[0] - 2.0 * TOLERANCE);
        let to = rows.partition_point(|row| row[0] <= reference[1] + 2.0 * TOLERANCE);
        let near = rows.get(from..to).unwrap_or_default();
        let inside: Vec<usize> = overlapping(near, reference)
            .into_iter()
            .map(|row| from + row)
            .collect();
        let mut entry = self.entry.select(&inside);
        for [start, end] in &mut entry.intervals {
            *start = start.max(reference[0]);
            *end = end.min(reference[1]);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmrest_data::csd::Features;
    use proptest::prelude::*;

    fn track(mut rows: Vec<[f64; 2]>) -> Track {
        rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let values = (0..rows.len()).map(|row| row as f32).collect();
        Track::new(Entry {
            intervals: rows,
            features: Features::Numeric { values, width: 1 },
        })
    }

    fn time() -> impl Strategy<Value = f64> {
        (0_u32..20, 0_u32..6).prop_map(|(a, b)| f64::from(a) * 0.1 + f64::from(b) * 5e-6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn finds_what_a_search_through_all_rows_finds(
            rows in prop::collection::vec((time(), time()).prop_map(|(a, b)| [a, b]), 0..30),
            (a, b) in (time(), time()),
        ) {
            let track = track(rows);
            let all = overlapping(&track.entry.intervals, [a, b]);
            let found = track.cut([a, b]);
            prop_assert_eq!(found.features, track.entry.select(&all).features);
            prop_assert!(found.intervals.iter().all(|row| row[0] >= a && row[1] <= b));
        }
    }

    #[test]
    fn intervals_are_cut_and_values_are_whole() {
        let track = track(vec![[0.0, 9.0], [1.0, 2.0], [2.0, 3.0], [4.0, 5.0]]);
        let found = track.cut([1.5, 3.0]);
        assert_eq!(found.intervals, [[1.5, 3.0], [1.5, 2.0], [2.0, 3.0]]);
        let values = vec![0.0, 1.0, 2.0];
        assert_eq!(found.features, Features::Numeric { values, width: 1 });
    }
}
