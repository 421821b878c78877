//! The rows of a sequence that lie in a reference interval.

use mmrest_data::csd::Entry;
use mmrest_data::{TOLERANCE, overlapping};

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
