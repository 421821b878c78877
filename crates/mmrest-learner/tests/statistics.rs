//! The statistics of studies against NumPy and exact enumeration (fixtures/statistics.py), and what must always hold.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use mmrest_learner::FigureSet;
use mmrest_learner::statistics::{
    Bootstrap, Groups, PairedTest, Repeated, SignFlips, Spread, holm,
};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
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

/// A test of independent segments.
fn single(flips: SignFlips, one: &[f64], other: &[f64]) -> PairedTest {
    flips.test(one, other, &Groups::singles(one.len())).unwrap()
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
        let test = single(flips, &case.one, &case.other);
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
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut uniform = || f64::from(random.next_u32()) / f64::from(u32::MAX);
    let rejected = (0..1000).filter(|&seed| {
        let one: Vec<f64> = (0..30).map(|_| uniform()).collect();
        let other: Vec<f64> = (0..30).map(|_| uniform()).collect();
        let flips = SignFlips { draws: 200, seed };
        single(flips, &one, &other).p <= 0.1
    });
    let share = rejected.count() as f64 / 1000.0;
    close(share, 0.1, 0.035, "share of rejections");
}

#[test]
fn what_does_not_differ_is_not_told_apart() {
    let same = [0.5, 0.25, 1.0];
    let test = single(SignFlips::default(), &same, &same);
    assert_eq!((test.difference, test.p), (0.0, 1.0));
    assert!(test.effect.is_nan());
    let none = |one: &[f64], other: &[f64], groups| {
        SignFlips::default()
            .test(one, other, &Groups::singles(groups))
            .is_none()
    };
    assert!(none(&[], &[], 0) && none(&[1.0], &[], 1) && none(&[1.0], &[1.0], 2));
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
    let constant = bootstrap.difference(&one, &[vec![0.5, 1.5, 2.5, 3.5]], &Groups::singles(4));
    assert!((constant.low - 0.5).abs() < 1e-12 && (constant.high - 0.5).abs() < 1e-12);
    let [low, high] = [vec![1.0; 6], vec![2.0; 6]];
    let seeds = bootstrap.difference(
        &[low.clone(), high],
        std::slice::from_ref(&low),
        &Groups::singles(6),
    );
    assert_eq!((seeds.low, seeds.high), (0.0, 1.0));
    for (one, other) in [
        (vec![], vec![low.clone()]),
        (vec![low.clone()], vec![vec![1.0]]),
    ] {
        let difference = bootstrap.difference(&one, &other, &Groups::singles(6));
        assert!(difference.low.is_nan());
    }
}

/// Draws from a normal distribution, by Box and Muller.
struct Normal(TestRng);

impl Normal {
    fn new(seed: u8) -> Self {
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
    }

    fn uniform(&mut self) -> f64 {
        (f64::from(self.0.next_u32()) + 0.5) / (f64::from(u32::MAX) + 1.0)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.uniform() * end as f64) as usize
    }

    fn draw(&mut self, sd: f64) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        sd * radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Videos of 10 to 43 segments: the key of each segment.
fn videos(count: usize, random: &mut Normal) -> Vec<usize> {
    let sizes: Vec<usize> = (0..count).map(|_| 10 + random.below(34)).collect();
    let videos = sizes.iter().enumerate();
    videos
        .flat_map(|(video, &size)| vec![video; size])
        .collect()
}

/// Errors of `seeds` runs with known deviations: of the seeds, of what all seeds share of a video, and of the segments.
fn simulated(
    videos: &[usize],
    seeds: usize,
    shared: &[f64],
    [of_seed, of_segment]: [f64; 2],
    random: &mut Normal,
) -> Vec<Vec<f64>> {
    let row = |_| {
        let seed = random.draw(of_seed);
        let segments = videos.iter();
        segments
            .map(|&video| shared[video] + seed + random.draw(of_segment))
            .collect()
    };
    (0..seeds).map(row).collect()
}

/// The definitions in plain loops, with other random numbers.
#[test]
fn groups_are_drawn_as_a_naive_loop_draws_them() {
    let mut random = Normal::new(1);
    let keys = videos(9, &mut random);
    let groups = Groups::of(&keys);
    let shared: Vec<f64> = (0..9).map(|_| random.draw(0.3)).collect();
    let one = simulated(&keys, 3, &shared, [0.05, 0.5], &mut random);
    let other = simulated(&keys, 2, &[0.0; 9], [0.05, 0.5], &mut random);
    let mut values = Vec::new();
    for _ in 0..20_000 {
        let drawn: Vec<usize> = (0..9).map(|_| random.below(9)).collect();
        let mut means = Vec::new();
        for rows in [&one, &other] {
            let (mut sum, mut count) = (0.0, 0.0);
            for _ in 0..rows.len() {
                let row = &rows[random.below(rows.len())];
                for &video in &drawn {
                    for segment in (0..keys.len()).filter(|&segment| keys[segment] == video) {
                        sum += row[segment];
                        count += 1.0;
                    }
                }
            }
            means.push(sum / count);
        }
        values.push(means[0] - means[1]);
    }
    values.sort_by(f64::total_cmp);
    let bootstrap = Bootstrap {
        resamples: 20_000,
        ..Bootstrap::default()
    };
    let found = bootstrap.difference(&one, &other, &groups);
    let width = values[19_499] - values[499];
    close(found.low, values[499], 0.04 * width, "low");
    close(found.high, values[19_499], 0.04 * width, "high");

    let (mut as_far, mut observed) = (0, 0.0);
    for (one, other) in one[0].iter().zip(&other[0]) {
        observed += one - other;
    }
    for signs in 0..1_u32 << 9 {
        let mut sum = 0.0;
        for (segment, &video) in keys.iter().enumerate() {
            let difference = one[0][segment] - other[0][segment];
            sum += if signs >> video & 1 == 1 {
                difference
            } else {
                -difference
            };
        }
        as_far += usize::from(sum.abs() >= observed.abs() * (1.0 - 1e-12));
    }
    let flips = SignFlips {
        draws: 50_000,
        seed: 1,
    };
    let found = flips.test(&one[0], &other[0], &groups).unwrap();
    close(found.p, as_far as f64 / 512.0, 0.01, "p");
}

/// Of segments alike within their videos, 95 % intervals hold the truth in about 95 % of repetitions when videos are drawn,
/// and in far fewer when segments are drawn as if they were independent.
#[test]
fn intervals_hold_the_truth_as_often_as_their_level_says() {
    const REPETITIONS: usize = 500;
    let mut random = Normal::new(9);
    let (mut by_video, mut by_segment) = (0, 0);
    let mut of_levels = 0;
    for repetition in 0..REPETITIONS {
        let bootstrap = Bootstrap {
            resamples: 400,
            level: 0.95,
            seed: repetition as u64,
        };
        // Half of the variance is the videos'.
        let keys = videos(60, &mut random);
        let groups = Groups::of(&keys);
        let shared: Vec<f64> = (0..60).map(|_| random.draw(0.3)).collect();
        let one = simulated(&keys, 5, &shared, [0.02, 0.3], &mut random);
        let other = simulated(&keys, 5, &[0.0; 60], [0.02, 0.3], &mut random);
        let holds = |groups: &Groups| {
            let interval = bootstrap.difference(&one, &other, groups);
            usize::from(interval.low <= 0.0 && 0.0 <= interval.high)
        };
        by_video += holds(&groups);
        by_segment += holds(&Groups::singles(keys.len()));

        // A level: labels of 0, so that the error of a prediction is its size.
        if repetition % 2 == 0 {
            let rows = one
                .iter()
                .map(|row| row.iter().map(|&error| (1.5 + error) as f32));
            let rows = rows.map(Iterator::collect).collect();
            let repeated = Repeated::new(vec![0.0; keys.len()], rows).unwrap();
            let repeated = repeated.grouped(groups).unwrap();
            let mae = bootstrap.intervals(FigureSet::Mosi, &repeated)[0];
            of_levels += usize::from(mae.low <= 1.5 && 1.5 <= mae.high);
        }
    }
    let share = |count: usize, of: usize| count as f64 / of as f64;
    println!(
        "{by_video} {by_segment} of {REPETITIONS}, {of_levels} of {}",
        REPETITIONS / 2
    );
    close(share(by_video, REPETITIONS), 0.945, 0.025, "difference");
    close(share(of_levels, REPETITIONS / 2), 0.945, 0.025, "level");
    assert!(share(by_segment, REPETITIONS) < 0.85, "{by_segment}");
}

#[test]
fn groups_of_other_segments_are_refused() {
    let repeated = Repeated::new(vec![1.0, 0.0], vec![vec![1.0, 0.0]]).unwrap();
    assert_eq!(repeated.clone().grouped(Groups::singles(3)), None);
    assert_eq!(repeated.clone().grouped(Groups::of([7, 8])), Some(repeated));
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
        let (there, back) = (single(flips, &one, &other), single(flips, &other, &one));
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
