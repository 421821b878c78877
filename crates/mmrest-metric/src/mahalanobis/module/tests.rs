use burn::optim::GradientsParams;
use mmrest_testing::{assert_near, host, leaf};
use proptest::prelude::*;

use super::*;
use crate::{MultiMetricConfig, PsdAdamConfig};

fn tensor(values: &[f32], dim: usize, device: &Device) -> Tensor<2> {
    let shape = [values.len() / dim, dim];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// `(p - q)^T M (p - q)` by the formula, in f64.
fn explicit(p: &[f32], q: &[f32], matrix: &[f32]) -> f64 {
    let dim = p.len();
    let difference = |k: usize| f64::from(p[k]) - f64::from(q[k]);
    (0..dim * dim)
        .map(|at| difference(at / dim) * f64::from(matrix[at]) * difference(at % dim))
        .sum()
}

/// `G^T G / dim`, of any rank.
fn psd(factor: &[f32], rank: usize, dim: usize) -> Vec<f32> {
    let entry = |at: usize| -> f32 {
        let terms = (0..rank).map(|k| factor[k * 6 + at / dim] * factor[k * 6 + at % dim]);
        terms.sum::<f32>() / dim as f32
    };
    (0..dim * dim).map(entry).collect()
}

fn metric(matrix: &[f32], dim: usize) -> Mahalanobis {
    Mahalanobis::new(tensor(matrix, dim, &Device::flex())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Not negative, 0 from a row to itself, symmetric, and no detour is shorter.
    #[test]
    fn axioms(
        (dim, rank) in (1_usize..6, 0_usize..6),
        factor in prop::collection::vec(-1.5..1.5_f32, 36),
        points in prop::collection::vec(-3.0..3.0_f32, 36),
        offset in prop::sample::select(vec![0.0_f32, 1000.0]),
    ) {
        let matrix = psd(&factor, rank, dim);
        let count = points.len() / dim;
        let points: Vec<f32> = points[..count * dim].iter().map(|value| value + offset).collect();
        let rows = tensor(&points, dim, &Device::flex());
        let metric = metric(&matrix, dim);
        prop_assert!(metric.is_psd(1e-5).unwrap());
        let squared = host(metric.squared_distances(rows.clone(), rows.clone()));
        let d = host(metric.distances(rows.clone(), rows.clone()));
        let embedded = metric.transform(rows.clone()).unwrap();
        let euclidean = Mahalanobis::identity(dim, &Device::flex());
        let isometric = host(euclidean.squared_distances(embedded.clone(), embedded));
        let point = |i: usize| &points[i * dim..(i + 1) * dim];
        for i in 0..count {
            prop_assert_eq!(d[i * count + i], 0.0);
            for j in 0..count {
                let (at, back) = (i * count + j, j * count + i);
                let formula = explicit(point(i), point(j), &matrix);
                let near = |found: f32, within: f64| (f64::from(found) - formula).abs() <= within;
                prop_assert!(near(squared[at], 1e-4), "{} for {}", squared[at], formula);
                // Here the rows themselves are rounded after the transformation.
                let within = if offset == 0.0 { 1e-4 } else { 1e-1 };
                prop_assert!(near(isometric[at], within));
                prop_assert!(d[at] >= 0.0);
                prop_assert_eq!(d[at], d[back]);
                prop_assert_eq!(d[at], squared[at].max(0.0).sqrt());
                for k in 0..count {
                    prop_assert!(d[at] <= d[i * count + k] + d[k * count + j] + 1e-2);
                }
            }
        }
    }

    #[test]
    fn the_factor_is_one(dim in 1_usize..6, rank in 0_usize..6, factor in prop::collection::vec(-1.5..1.5_f32, 36)) {
        let matrix = psd(&factor, rank, dim);
        let found = host(metric(&matrix, dim).factor().unwrap());
        for at in 0..dim * dim {
            let entry: f32 = (0..dim).map(|k| found[k * dim + at / dim] * found[k * dim + at % dim]).sum();
            prop_assert!((entry - matrix[at]).abs() < 1e-4, "{} for {}", entry, matrix[at]);
        }
    }

    #[test]
    fn the_projection_is_psd_and_changes_no_psd_matrix(dim in 1_usize..6, values in prop::collection::vec(-2.0..2.0_f32, 25)) {
        let projected = metric(&values[..dim * dim], dim).project_psd().unwrap();
        prop_assert!(projected.is_psd(1e-5).unwrap());
        let again = projected.clone().project_psd().unwrap();
        let (once, twice) = (host(projected.matrix.val()), host(again.matrix.val()));
        prop_assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn distances_of_any_rows_are_those_of_a_loop() {
    for [count, others, dim] in [[1, 1, 1], [3, 5, 2], [40, 7, 17], [9, 30, 64]] {
        let (a, b, matrix) = (
            leaf([count, dim], 1),
            leaf([others, dim], 2),
            leaf([dim, dim], 3),
        );
        let metric = Mahalanobis::new(matrix.clone()).unwrap();
        let found = host(metric.squared_distances(a.clone(), b.clone()));
        let (rows, other_rows, matrix) = (host(a), host(b), host(matrix));
        let expected: Vec<f32> = rows
            .chunks_exact(dim)
            .flat_map(|p| {
                other_rows
                    .chunks_exact(dim)
                    .map(|q| explicit(p, q, &matrix) as f32)
            })
            .collect();
        assert_near(&found, &expected, &format!("{count} {others} {dim}"));
    }
}

/// Rows come in blocks; where one ends must not show.
#[test]
fn many_rows_are_measured_as_few_are() {
    let (count, dim) = (1100, 8);
    let rows = leaf([count, dim], 1).inner();
    let metric = Mahalanobis::identity(dim, &Device::flex());
    let all = host(metric.squared_distances(rows.clone(), rows.clone()));
    assert!(count * count * dim > 2 * BLOCK);
    let values = host(rows);
    let identity = host(metric.matrix.val());
    for at in (0..count * count).step_by(997) {
        let row = |i: usize| &values[i * dim..(i + 1) * dim];
        let expected = explicit(row(at / count), row(at % count), &identity);
        assert!((f64::from(all[at]) - expected).abs() < 1e-5);
    }
}

#[test]
fn pairs_are_the_entries_of_the_matrix() {
    let (left, right) = (leaf([6, 4], 1), leaf([6, 4], 2));
    let metric = Mahalanobis::new(leaf([4, 4], 3).matmul(leaf([4, 4], 3).transpose())).unwrap();
    let matrix = host(metric.distances(left.clone(), right.clone()));
    let diagonal: Vec<f32> = matrix.iter().step_by(7).copied().collect();
    assert_near(
        &host(metric.pair_distances(left, right)),
        &diagonal,
        "pairs",
    );
}

#[test]
fn gradients_are_slopes_and_none_is_nan() {
    let device = Device::flex().autodiff();
    let values = [0.3_f32, -0.7, 1.1, 0.4, 0.3, -0.7]; // the first row is the last one too
    let matrix = [2.0_f32, 0.5, 0.5, 1.0];
    let total = |matrix: &[f32]| -> f64 {
        let rows: Vec<&[f32]> = values.chunks_exact(2).collect();
        let of_two = |p: &[f32]| -> f64 {
            let squares = rows.iter().map(|q| explicit(p, q, matrix));
            squares.map(f64::sqrt).sum()
        };
        rows.iter().map(|p| of_two(p)).sum()
    };
    let metric = Mahalanobis::new(tensor(&matrix, 2, &device)).unwrap();
    let rows = tensor(&values, 2, &device).require_grad();
    let gradients = metric
        .distances(rows.clone(), rows.clone())
        .sum()
        .backward();
    let of_matrix = host(metric.matrix.val().grad(&gradients).unwrap());
    let slopes: Vec<f32> = (0..4)
        .map(|at| {
            let [up, down] = [1e-3_f32, -1e-3].map(|step| {
                let mut moved = matrix;
                moved[at] += step;
                total(&moved)
            });
            ((up - down) / 2e-3) as f32
        })
        .collect();
    assert!(
        of_matrix
            .iter()
            .zip(&slopes)
            .all(|(a, b)| (a - b).abs() < 1e-3),
        "{of_matrix:?} {slopes:?}"
    );
    assert!(
        host(rows.grad(&gradients).unwrap())
            .iter()
            .all(|slope| slope.is_finite())
    );
}

#[test]
fn no_rows_have_no_distances() {
    let device = Device::flex();
    let metric = Mahalanobis::identity(2, &device);
    let (none, some) = (
        Tensor::zeros([0, 2], &device),
        Tensor::zeros([3, 2], &device),
    );
    assert_eq!(metric.distances(none.clone(), some.clone()).dims(), [0, 3]);
    assert_eq!(metric.distances(some, none).dims(), [3, 0]);
}

#[test]
fn the_metric_of_a_cluster_is_taken_out() {
    let device = Device::flex().autodiff();
    let config = MultiMetricConfig {
        dim: 2,
        clusters: 2,
        ridge: 0.5,
    };
    let mut several = config.init(&device);
    let local = TensorData::new(vec![1.0_f32, 0.0, 0.0, 0.0, 3.0, 1.0, 1.0, 2.0], [2, 2, 2]);
    several.local = several.local.map(|_| Tensor::from_data(local, &device));
    let one = several.mahalanobis(1).unwrap();
    assert_eq!(host(one.matrix.val()), [4.5, 1.0, 1.0, 3.5]);
    assert!(matches!(
        several.mahalanobis(2),
        Err(MetricError::Index {
            index: 2,
            len: 2,
            ..
        })
    ));
}

#[test]
fn what_is_no_metric_is_refused() {
    let device = Device::flex();
    for shape in [[2, 3], [0, 0]] {
        let refused = Mahalanobis::new(Tensor::zeros(shape, &device));
        assert!(matches!(refused, Err(MetricError::RaggedMatrices { .. })));
    }
    let broken = metric(&[1.0, f32::NAN, 0.0, 1.0], 2);
    let named = Err(MetricError::NonFiniteMetric { index: 0 });
    assert_eq!(broken.is_psd(0.0), named);
    assert!(broken.factor().is_err() && broken.project_psd().is_err());
}

#[test]
fn a_step_and_the_projection_keep_the_parameter() {
    let device = Device::flex().autodiff();
    let metric = Mahalanobis::identity(3, &device);
    let id = metric.matrix.id;
    let rows = leaf([5, 3], 1);
    let loss = metric.squared_distances(rows.clone(), rows).sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &metric);
    let mut optimizer = PsdAdamConfig::default().init();
    let stepped = optimizer
        .step(2.0, metric, gradients)
        .project_psd()
        .unwrap();
    assert_eq!(stepped.matrix.id, id);
    assert!(stepped.matrix.val().is_require_grad());
    assert!(stepped.is_psd(1e-6).unwrap());
}

#[test]
fn a_metric_of_slices_is_taken_over_where_f32_holds_it() {
    let huge = MahalanobisMatrix::new(vec![1e50], 1).unwrap();
    let refused = Mahalanobis::from_matrix(&huge, &Device::flex()).map(drop);
    assert_eq!(refused, Err(MetricError::NonFiniteMetric { index: 0 }));
    let indefinite = metric(&[2.0, 0.0, 0.0, -1.0], 2).to_matrix().unwrap();
    assert_eq!(indefinite.values(), [2.0, 0.0, 0.0, 0.0]);
}
