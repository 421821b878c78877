//! Where there is little to project: few clusters, no rows, one place, parts that do not fit; and where gradients go.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::tensor::{Device, Tensor};
use common::{Case, DIM, host};
use mmrest_metric::Clusters;
use mmrest_pdlf::{PdlfError, projection};

/// Two clusters on the first axis, 4 apart, Euclidean but for the ridge.
fn plain() -> Case {
    Case {
        rows: vec![1.0, 5.0, 0.0, -2.0, 0.0, 0.0],
        centers: vec![0.0, 0.0, 0.0, 4.0, 0.0, 0.0],
        global: vec![0.0; DIM * DIM],
        local: vec![0.0; 2 * DIM * DIM],
        which: vec![0, 1],
    }
    .euclidean()
}

#[test]
fn r_is_negative_beyond_the_nearest_centre() {
    assert_eq!(plain().values(), [1.0, -2.0]);
}

#[test]
fn fewer_than_two_clusters_give_no_bias() {
    let one = Case {
        centers: vec![0.0; DIM],
        which: vec![1],
        ..plain()
    };
    let found = one.project();
    assert_eq!(host(found.value), [0.0, 0.0]);
    assert_eq!((found.near, found.second), (vec![0, 0], vec![0, 0]));
    let squares = [26.0, 4.0].map(|square: f32| square * 2.01);
    assert!(
        found
            .distances
            .iter()
            .zip(squares)
            .all(|(found, expected)| (found - expected).abs() < 1e-4)
    );

    let none = Case {
        centers: Vec::new(),
        which: Vec::new(),
        ..plain()
    };
    let found = none.project();
    assert_eq!(host(found.value), [0.0, 0.0]);
    assert!(found.distances.is_empty());
}

#[test]
fn no_rows_give_nothing() {
    let found = Case {
        rows: Vec::new(),
        ..plain()
    }
    .project();
    assert_eq!(found.value.dims(), [0]);
    assert!(found.near.is_empty());
}

#[test]
fn two_centres_at_one_place_give_zero_and_finite_gradients() {
    let device = Device::flex().autodiff();
    let case = Case {
        centers: vec![1.0; 2 * DIM],
        ..plain()
    };
    let (rows, metric) = (case.rows(&device).require_grad(), case.metric(&device));
    let found = projection(rows.clone(), &case.clusters(), &metric).unwrap();
    assert_eq!((found.near[0], found.second[0]), (0, 1));
    assert_eq!(host(found.value.clone()), [0.0, 0.0]);
    let gradients = found.value.sum().backward();
    for gradient in [rows.grad(&gradients), metric.global.val().grad(&gradients)] {
        assert!(
            host(gradient.unwrap())
                .iter()
                .all(|value| value.is_finite())
        );
    }
}

#[test]
fn gradients_reach_rows_and_global_metric_alone() {
    let device = Device::flex().autodiff();
    let case = plain();
    let (rows, metric) = (case.rows(&device).require_grad(), case.metric(&device));
    let gradients = projection(rows.clone(), &case.clusters(), &metric)
        .unwrap()
        .value
        .sum()
        .backward();
    // r = u . v / |v|: its gradient to a row is the unit vector along v.
    assert_eq!(
        host(rows.grad(&gradients).unwrap()),
        [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    );
    // dr/dM0 = (u v^T + v u^T) / (2 |v|) - (u.v) v v^T / (2 |v|^3): rows (1,5,0) and (-2,0,0), v = (4,0,0).
    let expected = [-0.5, 2.5, 0.0, 2.5, 0.0, 0.0, 0.0, 0.0, 0.0];
    let found = host(metric.global.val().grad(&gradients).unwrap());
    assert!(
        found
            .iter()
            .zip(expected)
            .all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-5),
        "{found:?}"
    );
    let local = metric.local.val().grad(&gradients);
    assert!(local.is_none_or(|gradient| host(gradient).iter().all(|&value| value == 0.0)));
}

#[test]
fn what_does_not_fit_together_is_an_error() {
    let device = Device::flex();
    let case = plain();
    let metric = case.metric(&device);
    let refused = |rows: [usize; 2], change: fn(&mut Clusters)| {
        let mut clusters = case.clusters();
        change(&mut clusters);
        projection(Tensor::zeros(rows, &device), &clusters, &metric).err()
    };
    assert_eq!(refused([2, DIM], |_| ()), None);
    let narrow = refused([2, 2], |_| ());
    assert_eq!(
        narrow,
        Some(PdlfError::Width {
            what: "cluster centres",
            found: 3,
            expected: 2
        })
    );
    let unknown = refused([2, DIM], |clusters| clusters.metric[1] = 2);
    assert!(matches!(unknown, Some(PdlfError::Clusters(_))));
    let infinite = refused([2, DIM], |clusters| clusters.centers[0] = f32::INFINITY);
    assert!(matches!(infinite, Some(PdlfError::Clusters(_))));
    let no_clusters = refused([2, 2], |clusters| {
        *clusters = Clusters {
            dim: 2,
            ..Clusters::default()
        }
    });
    assert_eq!(
        no_clusters,
        Some(PdlfError::Width {
            what: "metrics",
            found: 3,
            expected: 2
        })
    );
}
