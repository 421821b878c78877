//! The overlap rule against a naive version, its properties, and what the SDK itself returned.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::shared_data;
use mmrest_data::csd::{ComputationalSequence, Features};
use mmrest_data::{TOLERANCE, is_too_short, overlapping};
use proptest::prelude::*;
use serde_json::Value;

/// The rule as the format describes it, one step after the other.
fn naive(rows: &[[f64; 2]], [first, last]: [f64; 2]) -> Vec<usize> {
    let mut kept = Vec::new();
    if (last - first).abs() < 1e-5 {
        return kept;
    }
    for (i, row) in rows.iter().enumerate() {
        let touches = row[0] < last + 1e-5 && row[1] > first - 1e-5;
        if !touches {
            continue;
        }
        let mut clipped = *row;
        if clipped[0] < first {
            clipped[0] = first;
        }
        if clipped[1] > last {
            clipped[1] = last;
        }
        if clipped[1] - clipped[0] > 1e-5 {
            kept.push(i);
        }
    }
    kept
}

/// Times on a grid of half the tolerance near each other, or of a tenth of a second.
fn time() -> impl Strategy<Value = f64> {
    (0_u32..30, 0_u32..6)
        .prop_map(|(coarse, fine)| f64::from(coarse) * 0.1 + f64::from(fine) * 5e-6)
}

fn interval() -> impl Strategy<Value = [f64; 2]> {
    (time(), time()).prop_map(|(a, b)| [a, b])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_naive_rule(rows in prop::collection::vec(interval(), 0..20), reference in interval()) {
        prop_assert_eq!(overlapping(&rows, reference), naive(&rows, reference));
    }

    #[test]
    fn a_row_is_in_the_interval_that_holds_it(row in interval(), reference in interval()) {
        let inside = row[0] >= reference[0] && row[1] <= reference[1] && row[1] - row[0] > TOLERANCE;
        if inside && !is_too_short(reference) {
            prop_assert_eq!(overlapping(&[row], reference), vec![0]);
        }
    }

    #[test]
    fn a_row_that_straddles_a_border_is_on_both_sides(middle in 1.0_f64..2.0, reach in 0.001_f64..0.5) {
        let row = [[middle - reach, middle + reach]];
        prop_assert_eq!(overlapping(&row, [0.0, middle]).len(), 1);
        prop_assert_eq!(overlapping(&row, [middle, 3.0]).len(), 1);
    }

    #[test]
    fn rows_that_only_touch_are_out(start in 0.0_f64..9.0, length in 0.1_f64..5.0) {
        let end = start + length;
        let rows = [[start - 1.0, start], [end, end + 1.0]];
        prop_assert!(overlapping(&rows, [start, end]).is_empty());
    }
}

#[test]
fn what_is_no_number_overlaps_nothing() {
    let rows = [[f64::NAN, 1.0], [0.0, f64::NAN], [0.2, 0.4]];
    assert_eq!(overlapping(&rows[2..], [0.0, 1.0]), [0]);
    assert!(overlapping(&rows, [f64::NAN, 1.0]).is_empty());
    assert!(is_too_short([f64::NAN, 1.0]));
}

/// Every key of every sequence that the SDK aligned to the words, without collapse functions.
#[test]
fn agrees_with_the_sdk_s_alignment() {
    let Some(folder) = shared_data("sdk-toy") else {
        return;
    };
    let text = std::fs::read_to_string(folder.join("align_words_nocollapse.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let reference = ComputationalSequence::open(&folder.join("words.csd")).unwrap();
    let mut compared = 0;
    for (name, keys) in expected.as_object().unwrap() {
        if name == "words" {
            continue;
        }
        let sequence = ComputationalSequence::open(&folder.join(format!("{name}.csd"))).unwrap();
        let videos = keys
            .as_object()
            .unwrap()
            .keys()
            .map(|key| key.split('[').next().unwrap());
        let videos: std::collections::BTreeSet<&str> = videos.collect();
        for video in videos {
            let rows = sequence.read_video(video).unwrap().unwrap();
            for (i, &interval) in reference.read(video).unwrap().intervals.iter().enumerate() {
                let found = rows.select(&overlapping(&rows.intervals, interval));
                let Features::Numeric { values, .. } = found.features else {
                    panic!("{name}")
                };
                let theirs = keys.get(format!("{video}[{i}]"));
                let theirs = theirs.map_or(Vec::new(), |entry| floats(&entry["features"]));
                let same = |(a, b): (&f32, &f32)| a == b || a.is_nan() && b.is_nan();
                assert!(
                    values.len() == theirs.len() && values.iter().zip(&theirs).all(same),
                    "{name} {video}[{i}]: {values:?}, the SDK {theirs:?}"
                );
                compared += theirs.len();
            }
        }
    }
    assert!(compared > 100, "{compared} values");
}

fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(values) => values.iter().flat_map(floats).collect(),
        // JSON has no NaN.
        Value::String(number) => vec![number.parse().unwrap()],
        Value::Number(number) => vec![number.as_f64().unwrap() as f32],
        other => panic!("{other}"),
    }
}
