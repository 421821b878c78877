//! The statistics of studies against NumPy and exact enumeration (fixtures/statistics.py), and what must always hold.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use mmrest_learner::FigureSet;
use mmrest_learner::statistics::{Bootstrap, Repeated, SignFlips, Spread, holm};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    paired: Vec<Paired>,
    holm: Vec<Holm>,
    bootstrap: Vec<Resampled>,
}

#[derive(Deserialize)]
struct Paired {
    one: Vec<f64>,
    other: Vec<f64>,
    difference: f64,
    effect: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Resampled {
    truth: Vec<f32>,
    predictions: Vec<Vec<f32>>,
    intervals: BTreeMap<String, [f64; 2]>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found}, expected {expected}"
    );
}

#[test]
fn paired_tests_come_near_the_enumeration_of_every_sign() {
    let cases = fixture().paired;
    assert_eq!(cases.len(), 4);
    let flips = SignFlips {
        draws: 100_000,
        seed: 3,
    };
    for case in cases {
        let test = flips.test(&case.one, &case.other).unwrap();
        close(test.difference, case.difference, 1e-12, "difference");
        close(test.effect, case.effect, 1e-12, "effect");
        let deviation = (case.p * (1.0 - case.p) / 100_000.0).sqrt();
        close(test.p, case.p, 4.0 * deviation + 1e-5, "p");
    }
}

#[test]
fn holm_is_rs_p_adjust() {
    for case in fixture().holm {
        for (found, expected) in holm(&case.p).iter().zip(&case.adjusted) {
            close(*found, *expected, 1e-12, "adjusted p");
        }
    }
}

#[test]
fn intervals_come_near_those_of_many_more_resamples() {
    let bootstrap = Bootstrap {
        resamples: 20_000,
        ..Bootstrap::default()
    };
    for case in fixture().bootstrap {
        let repeated = Repeated::new(case.truth, case.predictions).unwrap();
        let intervals = bootstrap.intervals(FigureSet::Mosi, &repeated);
        let mut compared = 0;
        for (name, interval) in FigureSet::Mosi.names().zip(intervals) {
            if let Some([low, high]) = case.intervals.get(name) {
                let tolerance = 0.05 * (high - low);
                close(interval.low, *low, tolerance, name);
                close(interval.high, *high, tolerance, name);
                compared += 1;
            }
        }
        assert_eq!(compared, 3);
    }
}

/// Were there no difference, a test would have p <= 0.1 one time in ten.
#[test]
fn equal_models_are_told_apart_as_often_as_the_level_says() {
    let mut random = proptest::test_runner::TestRng::deterministic_rng(
        proptest::test_runner::RngAlgorithm::ChaCha,
    );
    let mut uniform = || f64::from(random.next_u32()) / f64::from(u32::MAX);
    let rejected = (0..1000).filter(|&seed| {
        let one: Vec<f64> = (0..30).map(|_| uniform()).collect();
        let other: Vec<f64> = (0..30).map(|_| uniform()).collect();
        let flips = SignFlips { draws: 200, seed };
        flips.test(&one, &other).unwrap().p <= 0.1
    });
    let share = rejected.count() as f64 / 1000.0;
    close(share, 0.1, 0.035, "share of rejections");
}

#[test]
fn what_does_not_differ_is_not_told_apart() {
    let same = [0.5, 0.25, 1.0];
    let test = SignFlips::default().test(&same, &same).unwrap();
    assert_eq!((test.difference, test.p), (0.0, 1.0));
    assert!(test.effect.is_nan());
    assert_eq!(SignFlips::default().test(&[], &[]), None);
    assert_eq!(SignFlips::default().test(&[1.0], &[]), None);
}

#[test]
fn figures_that_no_resample_has_have_no_interval() {
    let repeated = Repeated::new(vec![0.0; 5], vec![vec![1.0; 5]; 2]).unwrap();
    let intervals = Bootstrap::default().intervals(FigureSet::Mosi, &repeated);
    let by_name: BTreeMap<_, _> = FigureSet::Mosi.names().zip(intervals).collect();
    assert_eq!((by_name["mae"].low, by_name["mae"].high), (1.0, 1.0));
    assert!(by_name["corr"].low.is_nan() && by_name["acc2_non0"].high.is_nan());
    let empty = Repeated::new(Vec::new(), Vec::new()).unwrap();
    let intervals = Bootstrap::default().intervals(FigureSet::Sims, &empty);
    assert!(intervals.len() == 6 && intervals.iter().all(|i| i.low.is_nan()));
}

/// Of one seed a side only the segments vary: the interval is that of a mean of paired differences.
#[test]
fn a_difference_is_bracketed_by_what_its_seeds_and_segments_allow() {
    let bootstrap = Bootstrap::default();
    let one = vec![vec![1.0, 2.0, 3.0, 4.0]];
    let constant = bootstrap.difference(&one, &[vec![0.5, 1.5, 2.5, 3.5]]);
    assert!((constant.low - 0.5).abs() < 1e-12 && (constant.high - 0.5).abs() < 1e-12);
    let [low, high] = [vec![1.0; 6], vec![2.0; 6]];
    let seeds = bootstrap.difference(&[low.clone(), high], std::slice::from_ref(&low));
    assert_eq!((seeds.low, seeds.high), (0.0, 1.0));
    for (one, other) in [
        (vec![], vec![low.clone()]),
        (vec![low.clone()], vec![vec![1.0]]),
    ] {
        assert!(bootstrap.difference(&one, &other).low.is_nan());
    }
}

fn runs() -> impl Strategy<Value = Repeated> {
    let values = |count| prop::collection::vec(-3.0_f32..3.0, count);
    (2_usize..30, 1_usize..4).prop_flat_map(move |(segments, seeds)| {
        let rows = prop::collection::vec(values(segments), seeds);
        (values(segments), rows).prop_map(|(truth, rows)| Repeated::new(truth, rows).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn intervals_are_ordered_repeatable_and_wider_at_a_higher_level(repeated in runs()) {
        let at = |level| Bootstrap { resamples: 100, level, seed: 5 };
        let [narrow, wide, again] = [at(0.5), at(0.95), at(0.95)]
            .map(|bootstrap| bootstrap.intervals(FigureSet::Mosi, &repeated));
        prop_assert_eq!(format!("{:?}", &wide), format!("{:?}", again));
        for (narrow, wide) in narrow.iter().zip(&wide).filter(|(n, _)| !n.low.is_nan()) {
            prop_assert!(wide.low <= narrow.low && narrow.low <= narrow.high);
            prop_assert!(narrow.high <= wide.high);
        }
    }

    #[test]
    fn a_test_is_the_same_from_either_side(pairs in prop::collection::vec((0.0..3.0_f64, 0.0..3.0_f64), 1..80)) {
        let (one, other): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let flips = SignFlips { draws: 300, seed: 2 };
        let (there, back) = (flips.test(&one, &other).unwrap(), flips.test(&other, &one).unwrap());
        prop_assert_eq!(there.p, back.p);
        prop_assert!(there.p > 0.0 && there.p <= 1.0);
        prop_assert!((there.difference + back.difference).abs() < 1e-12);
    }

    #[test]
    fn holm_never_lowers_a_p_value_and_keeps_their_order(p in prop::collection::vec(0.0..=1.0_f64, 0..12)) {
        let adjusted = holm(&p);
        prop_assert_eq!(adjusted.len(), p.len());
        for (a, &raw) in adjusted.iter().zip(&p) {
            prop_assert!(*a >= raw && *a <= 1.0);
        }
        for (i, j) in (0..p.len()).flat_map(|i| (0..p.len()).map(move |j| (i, j))) {
            prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
        }
    }

    #[test]
    fn a_spread_moves_with_its_values(values in prop::collection::vec(-5.0..5.0_f64, 2..20), by in -3.0..3.0_f64) {
        let moved: Vec<f64> = values.iter().map(|value| value + by).collect();
        let (here, there) = (Spread::of(&values), Spread::of(&moved));
        prop_assert!((here.mean + by - there.mean).abs() < 1e-9);
        prop_assert!((here.sd - there.sd).abs() < 1e-9);
    }
}
