//! Checks of intervals: empty, backwards, unsorted, overlapping.

use serde::Serialize;

use mmrest_data::{TOLERANCE, is_too_short};

/// How many of the named places are kept.
const PLACES: usize = 20;

/// Intervals of all entries, and what is odd about them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Intervals {
    /// Sum of their lengths in seconds.
    pub seconds: f64,
    /// Shorter than [`TOLERANCE`](mmrest_data::TOLERANCE): nothing lies in them.
    pub zero_length: usize,
    /// The first of those, as `id[row]`.
    pub zero_length_at: Vec<String>,
    /// Ending before they begin.
    pub backwards: usize,
    /// The first of those.
    pub backwards_at: Vec<String>,
    /// With a time that is NaN or infinite.
    pub not_finite: usize,
    /// Beginning before second 0.
    pub negative: usize,
    /// Equal to another of the same entry.
    pub duplicates: usize,
    /// The first of those.
    pub duplicates_at: Vec<String>,
    /// Entries whose starts do not ascend.
    pub unsorted_entries: usize,
    /// The first of those.
    pub unsorted_at: Vec<String>,
    /// Overlapping the one before, in order of start, by more than a thousandth of a second.
    pub overlapping: usize,
    /// Entries with such.
    pub overlapping_entries: usize,
    /// The first of those.
    pub overlapping_at: Vec<String>,
}

/// Overlap in seconds that is more than rounding.
const OVERLAP: f64 = 1e-3;

impl Intervals {
    /// Of one entry.
    pub(super) fn of(id: &str, intervals: &[[f64; 2]]) -> Self {
        let mut facts = Self::default();
        for (row, &[start, end]) in intervals.iter().enumerate() {
            let place = || format!("{id}[{row}]");
            if !(start.is_finite() && end.is_finite()) {
                facts.not_finite += 1;
            } else if start - end >= TOLERANCE {
                facts.backwards += 1;
                keep(&mut facts.backwards_at, place());
            } else if is_too_short([start, end]) {
                facts.zero_length += 1;
                keep(&mut facts.zero_length_at, place());
            } else {
                facts.seconds += end - start;
            }
            facts.negative += usize::from(start < 0.0);
        }
        facts.order(id, intervals);
        facts
    }

    fn order(&mut self, id: &str, intervals: &[[f64; 2]]) {
        if !intervals.is_sorted_by(|a, b| a[0] <= b[0]) {
            self.unsorted_entries = 1;
            self.unsorted_at.push(id.to_owned());
        }
        let mut order: Vec<usize> = (0..intervals.len()).collect();
        let times = |row: usize| intervals.get(row).copied().unwrap_or_default();
        order.sort_by(|&a, &b| {
            let ([a, a_end], [b, b_end]) = (times(a), times(b));
            a.total_cmp(&b).then(a_end.total_cmp(&b_end))
        });
        for pair in order.windows(2) {
            let &[first, second] = pair else { continue };
            let ([start, end], [next, next_end]) = (times(first), times(second));
            if start.to_bits() == next.to_bits() && end.to_bits() == next_end.to_bits() {
                self.duplicates += 1;
                keep(&mut self.duplicates_at, format!("{id}[{second}]"));
            } else if end > next + OVERLAP {
                self.overlapping += 1;
            }
        }
        if self.overlapping > 0 {
            self.overlapping_entries = 1;
            self.overlapping_at.push(id.to_owned());
        }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.zero_length += other.zero_length;
        self.backwards += other.backwards;
        self.not_finite += other.not_finite;
        self.negative += other.negative;
        self.duplicates += other.duplicates;
        self.unsorted_entries += other.unsorted_entries;
        self.overlapping += other.overlapping;
        self.overlapping_entries += other.overlapping_entries;
        for (places, more) in [
            (&mut self.zero_length_at, other.zero_length_at),
            (&mut self.backwards_at, other.backwards_at),
            (&mut self.duplicates_at, other.duplicates_at),
            (&mut self.unsorted_at, other.unsorted_at),
            (&mut self.overlapping_at, other.overlapping_at),
        ] {
            more.into_iter().for_each(|place| keep(places, place));
        }
    }
}

fn keep(places: &mut Vec<String>, place: String) {
    if places.len() < PLACES {
        places.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_oddity_is_counted_once() {
        let facts = Intervals::of(
            "v",
            &[
                [2.0, 3.0],
                [0.0, 1.0],
                [0.0, 1.0],
                [0.5, 0.7],
                [4.0, 4.0],
                [6.0, 5.0],
                [f64::NAN, 9.0],
                [-1.0, -0.5],
            ],
        );
        assert_eq!((facts.zero_length, facts.backwards), (1, 1));
        assert_eq!(facts.zero_length_at, ["v[4]"]);
        assert_eq!((facts.duplicates, facts.not_finite), (1, 1));
        assert_eq!((facts.unsorted_entries, facts.negative), (1, 1));
        assert_eq!((facts.overlapping, facts.overlapping_entries), (1, 1));
    }

    #[test]
    fn good_intervals_have_nothing_to_tell() {
        let facts = Intervals::of("v", &[[0.0, 1.0], [1.0, 2.5]]);
        let expected = Intervals {
            seconds: 2.5,
            ..Intervals::default()
        };
        assert_eq!(facts, expected);
    }
}
