//! The projection against a naive loop, and by the properties a signed length has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Case, DIM, difference, host, naive, product};
use proptest::prelude::*;

/// Whether no two of a row's three least distances are so near that rounding could swap them.
fn clear(distances: &[f64]) -> bool {
    let mut sorted = distances.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .windows(2)
        .take(2)
        .all(|pair| pair[1] - pair[0] > 1e-3 * (1.0 + pair[1]))
}

/// `A^T A`, positive semidefinite.
fn gram(a: &[f32]) -> Vec<f32> {
    let entry = |i: usize, j: usize| (0..DIM).map(|k| a[k * DIM + i] * a[k * DIM + j]).sum();
    (0..DIM * DIM).map(|at| entry(at / DIM, at % DIM)).collect()
}

/// 1 to 6 rows, 2 to 5 clusters, 3 local metrics; only rows whose two nearest clusters are clear.
fn cases() -> impl Strategy<Value = Case> {
    let numbers = |count: std::ops::RangeInclusive<usize>, scale: f32| {
        prop::collection::vec(prop::collection::vec(-scale..scale, DIM), count)
            .prop_map(|points| points.concat())
    };
    let matrices = |count: usize| {
        prop::collection::vec(prop::collection::vec(-1.5..1.5_f32, DIM * DIM), count)
            .prop_map(|all| all.iter().flat_map(|a| gram(a)).collect::<Vec<f32>>())
    };
    (2..=5_usize)
        .prop_flat_map(move |clusters| {
            let which = prop::collection::vec(0..3_usize, clusters);
            (
                numbers(1..=6, 4.0),
                numbers(clusters..=clusters, 4.0),
                matrices(1),
                matrices(3),
                which,
            )
        })
        .prop_map(|(rows, centers, global, local, which)| Case {
            rows,
            centers,
            global,
            local,
            which,
        })
        .prop_filter("clear neighbours", |case| {
            naive(case).1.iter().all(|row| clear(row))
        })
}

fn close(found: &[f32], expected: &[f32]) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        prop_assert!(
            (a - b).abs() <= 2e-3 * (1.0 + b.abs()),
            "{:?} {:?}",
            found,
            expected
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_tensors_do_what_the_loop_does(case in cases()) {
        let (values, distances) = naive(&case);
        let found = case.project();
        for (row, expected) in distances.iter().enumerate() {
            let mut order: Vec<usize> = (0..expected.len()).collect();
            order.sort_by(|&a, &b| expected[a].total_cmp(&expected[b]));
            prop_assert_eq!((found.near[row], found.second[row]), (order[0], order[1]));
        }
        let flat: Vec<f32> = distances.concat().iter().map(|&value| value as f32).collect();
        close(&found.distances, &flat)?;
        close(&host(found.value), &values.iter().map(|&value| value as f32).collect::<Vec<_>>())?;
    }

    #[test]
    fn isometries_change_nothing_in_euclids_geometry(case in cases(), angle in 0.0..6.0_f64, shift in -3.0..3.0_f64) {
        let case = case.euclidean();
        prop_assume!(naive(&case).1.iter().all(|row| clear(row)));
        let (sin, cos) = angle.sin_cos();
        let turned = case.clone().moved(|[x, y, z]| [cos * x - sin * y + shift, sin * x + cos * y - shift, -z]);
        close(&turned.values(), &case.values())?;
    }

    #[test]
    fn a_larger_space_has_larger_lengths(case in cases(), scale in 0.5..2.0_f64) {
        let scaled = case.clone().moved(|point| point.map(|value| scale * value));
        prop_assume!(naive(&scaled).1.iter().all(|row| clear(row)));
        let expected: Vec<f32> = case.values().iter().map(|r| scale as f32 * r).collect();
        close(&scaled.values(), &expected)?;
    }

    #[test]
    fn along_the_way_r_is_the_way(case in cases(), t in -0.45..0.45_f64) {
        // A row at Ce_0 + t v between two clusters of one metric: nearest is 0, and r = t |v|_M0.
        let mut case = case;
        case.which = vec![0; 2];
        case.centers.truncate(2 * DIM);
        let (first, second) = case.centers.split_at(DIM);
        case.rows = first.iter().zip(second).map(|(a, b)| a + t as f32 * (b - a)).collect();
        let global: Vec<f64> = case.global.iter().map(|&value| f64::from(value)).collect();
        let v = difference(second, first);
        let expected = t * product(&v, &global, &v).sqrt();
        prop_assume!(naive(&case).1.iter().all(|row| clear(row)));
        prop_assert_eq!(case.project().near[0], 0);
        close(&case.values(), &[expected as f32])?;
    }

    #[test]
    fn the_order_of_the_clusters_does_not_matter(case in cases()) {
        let mut reversed = case.clone();
        reversed.which.reverse();
        reversed.centers = case.centers.chunks_exact(DIM).rev().collect::<Vec<_>>().concat();
        close(&reversed.values(), &case.values())?;
        let last = case.which.len() - 1;
        let near: Vec<usize> = reversed.project().near.iter().map(|near| last - near).collect();
        prop_assert_eq!(near, case.project().near);
    }
}
