//! k-means: what must hold for any rows, and the rows that are odd.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use mmrest_metric::{KMeansConfig, KMeansError, KMeansFit, MetricError, Rows, assign};
use proptest::prelude::*;

fn config(clusters: usize) -> KMeansConfig {
    KMeansConfig {
        clusters,
        ..Default::default()
    }
}

fn naive_inertia(rows: Rows<'_>, fit: &KMeansFit) -> f64 {
    let dim = rows.dim();
    let squares = rows.iter().zip(&fit.labels).map(|(row, &label)| {
        let center = &fit.centers[label * dim..(label + 1) * dim];
        let squares = row
            .iter()
            .zip(center)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
        squares.sum::<f64>()
    });
    squares.sum()
}

/// A few blobs in the plane, deterministic.
fn blobs(count: usize) -> Vec<f32> {
    (0..count)
        .flat_map(|i| {
            let (angle, noise) = ((i % 5) as f32 * 1.2566, i as f32);
            [
                6.0 * angle.cos() + (noise * 1.7).sin(),
                6.0 * angle.sin() + (noise * 2.3).cos(),
            ]
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_fit_is_consistent(
        dim in 1_usize..5,
        values in prop::collection::vec(prop::sample::select(vec![-1.0_f32, 0.0, 0.5, 2.0, 7.0]), 5..120),
        clusters in 1_usize..9,
        seed in any::<u64>(),
    ) {
        let values = &values[..values.len() / dim * dim];
        let rows = Rows::new(values, dim).unwrap();
        let fit = config(clusters).fit(rows, seed).unwrap();
        let found = fit.centers.len() / dim;
        prop_assert!(found >= 1 && found <= clusters.min(rows.len()));
        prop_assert_eq!(fit.labels.len(), rows.len());
        // Each row is with its nearest centre, no cluster is empty, the inertia is the sum of squares.
        prop_assert_eq!(&fit.labels, &assign(rows, &fit.centers));
        prop_assert!((0..found).all(|cluster| fit.labels.contains(&cluster)));
        prop_assert!((fit.inertia - naive_inertia(rows, &fit)).abs() < 1e-4 * (1.0 + fit.inertia));
    }

    #[test]
    fn inertia_never_rises_with_the_iterations(values in prop::collection::vec(-5.0..5.0_f32, 40..200), seed in any::<u64>()) {
        let values = &values[..values.len() / 2 * 2];
        let rows = Rows::new(values, 2).unwrap();
        let start = config(4).fit(rows, seed).unwrap().centers;
        let mut shifted = start.clone();
        shifted.iter_mut().for_each(|value| *value += 1.5);
        let mut last = f64::INFINITY;
        for max_iterations in 1..12 {
            let config = KMeansConfig { max_iterations, tolerance: 0.0, ..config(4) };
            let fit = config.fit_from(rows, &shifted).unwrap().fit;
            prop_assert!(fit.inertia <= last + 1e-6 * (1.0 + fit.inertia));
            prop_assert!(fit.iterations <= max_iterations);
            last = fit.inertia;
        }
    }

    #[test]
    fn more_clusters_never_fit_worse_than_one(values in prop::collection::vec(-5.0..5.0_f32, 10..60), seed in any::<u64>()) {
        let rows = Rows::new(&values, 1).unwrap();
        let one = config(1).fit(rows, seed).unwrap();
        let four = config(4).fit(rows, seed).unwrap();
        prop_assert!(four.inertia <= one.inertia + 1e-9);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        prop_assert!((one.centers[0] - mean).abs() < 1e-4);
    }
}

#[test]
fn the_seed_decides_and_the_number_of_threads_does_not() {
    let values = blobs(5000);
    let rows = Rows::new(&values, 2).unwrap();
    let with = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| config(7).fit(rows, seed).unwrap())
    };
    let one = with(1, 3);
    assert_eq!(one, with(2, 3));
    assert_eq!(one, with(5, 3));
    assert_eq!(one, config(7).fit(rows, 3).unwrap());
}

#[test]
fn blobs_are_found() {
    let values = blobs(200);
    let fit = config(5).fit(Rows::new(&values, 2).unwrap(), 0).unwrap();
    assert_eq!(fit.centers.len(), 10);
    for (row, label) in fit.labels.iter().enumerate() {
        assert_eq!(*label, fit.labels[row % 5]);
    }
}

#[test]
fn equal_rows_are_one_cluster() {
    let values = [1.5, -2.0].repeat(30);
    let fit = config(7).fit(Rows::new(&values, 2).unwrap(), 1).unwrap();
    assert_eq!(fit.centers, [1.5, -2.0]);
    assert_eq!(fit.labels, [0; 30]);
    assert_eq!(fit.inertia, 0.0);
}

#[test]
fn one_row_is_one_cluster() {
    let fit = config(7)
        .fit(Rows::new(&[4.0, 5.0], 2).unwrap(), 1)
        .unwrap();
    assert_eq!((fit.centers, fit.labels), (vec![4.0, 5.0], vec![0]));
}

#[test]
fn fewer_rows_than_clusters_are_a_cluster_each() {
    let values = [3.0, 1.0, 2.0, 9.0];
    let fit = config(7).fit(Rows::new(&values, 1).unwrap(), 1).unwrap();
    assert_eq!(fit.inertia, 0.0);
    assert_eq!(fit.centers.len(), 4);
    let back: Vec<f32> = fit.labels.iter().map(|&label| fit.centers[label]).collect();
    assert_eq!(back, values);
}

#[test]
fn far_from_the_origin_no_digits_are_lost() {
    let near = blobs(200);
    let far: Vec<f32> = near.iter().map(|value| value + 4096.0).collect();
    let fit = |values: &[f32]| config(5).fit(Rows::new(values, 2).unwrap(), 0).unwrap();
    let (near, far) = (fit(&near), fit(&far));
    assert_eq!(near.labels, far.labels);
    assert!((near.inertia - far.inertia).abs() < 1e-3 * near.inertia);
}

#[test]
fn a_warm_start_keeps_identities() {
    let values = blobs(200);
    let rows = Rows::new(&values, 2).unwrap();
    let cold = config(5).fit(rows, 0).unwrap();
    // The same centres in another order, moved a little, with two that no row is near to.
    let order = [3, 1, 4, 0, 2];
    let mut start = vec![900.0, 900.0];
    for &center in &order {
        start.extend(
            cold.centers[2 * center..2 * center + 2]
                .iter()
                .map(|v| v + 0.4),
        );
    }
    start.extend([-900.0, 0.0]);
    let warm = config(5).fit_from(rows, &start).unwrap();
    assert_eq!(warm.kept, [1, 2, 3, 4, 5]);
    for (new, &old) in order.iter().enumerate() {
        assert_eq!(
            warm.fit.centers[2 * new..2 * new + 2],
            cold.centers[2 * old..2 * old + 2]
        );
    }
    assert_eq!(warm.fit.labels, assign(rows, &warm.fit.centers));
    assert!((warm.fit.inertia - cold.inertia).abs() < 1e-9);
}

#[test]
fn what_cannot_be_clustered_is_refused() {
    let rows = Rows::new(&[1.0, 2.0], 1).unwrap();
    let refused = |config: KMeansConfig| match config.fit(rows, 0) {
        Err(MetricError::KMeans(error)) => error,
        other => panic!("{other:?}"),
    };
    let base = KMeansConfig::default();
    assert_eq!(refused(config(0)), KMeansError::Zero { name: "clusters" });
    assert_eq!(
        refused(KMeansConfig {
            restarts: 0,
            ..base
        }),
        KMeansError::Zero { name: "restarts" }
    );
    assert!(matches!(
        refused(KMeansConfig {
            tolerance: f64::NAN,
            ..base
        }),
        KMeansError::Tolerance(_)
    ));
    assert!(base.fit(Rows::new(&[], 3).unwrap(), 0).is_err());
    assert!(base.fit_from(rows, &[]).is_err());
    assert!(
        base.fit_from(Rows::new(&[1.0, 2.0], 2).unwrap(), &[1.0])
            .is_err()
    );
    assert!(base.fit_from(rows, &[f32::NAN]).is_err());
    // Numbers that are not finite do not become rows at all.
    assert!(Rows::new(&[1.0, f32::NAN], 1).is_err());
}

#[test]
fn unknown_parameters_are_refused() {
    assert!(serde_json::from_str::<KMeansConfig>(r#"{"clusters": 3}"#).is_ok());
    assert!(serde_json::from_str::<KMeansConfig>(r#"{"cluster": 3}"#).is_err());
}
