//! The ordinal loss: against its formula in f64, its gradients against differences, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_metric::{
    Clusters, MetricError, MultiMetric, MultiMetricConfig, OrdinalLossConfig, expected_sentiment,
    ordinal_shares,
};
use proptest::prelude::*;

const DIM: usize = 3;
const LABELS: [f32; 4] = [-2.5, 0.1, 3.0, 1.0];
const SENTIMENTS: [f32; 3] = [-3.0, 0.5, 2.0];

fn numbers(count: usize, step: f32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * step).sin()).collect()
}

fn clusters() -> Clusters {
    Clusters {
        dim: DIM,
        centers: numbers(3 * DIM, 1.7),
        bins: vec![0, 3, 5],
        metric: vec![2, 0, 3],
    }
}

fn config() -> OrdinalLossConfig {
    OrdinalLossConfig {
        temperature: 1.5,
        smoothing: 0.0,
        anchor_weight: 0.2,
    }
}

/// Rows of two modalities, and metrics that are not the identity.
fn batch(device: &Device) -> (Tensor<2>, MultiMetric) {
    let rows = TensorData::new(
        numbers(2 * LABELS.len() * DIM, 0.9),
        [2 * LABELS.len(), DIM],
    );
    let mut metric = MultiMetricConfig {
        dim: DIM,
        clusters: 4,
        ridge: 0.01,
    }
    .init(device);
    let moved = |len: usize| TensorData::new(numbers(len, 2.3), [len]);
    metric.global = metric.global.map(|global| {
        let by = Tensor::<1>::from_data(moved(DIM * DIM), device).reshape([DIM, DIM]);
        (global + by.mul_scalar(0.1)).detach().require_grad()
    });
    metric.local = metric.local.map(|local| {
        let by = Tensor::<1>::from_data(moved(4 * DIM * DIM), device).reshape([4, DIM, DIM]);
        (local + by.mul_scalar(0.2)).detach().require_grad()
    });
    (Tensor::from_data(rows, device), metric)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    let values = tensor.into_data().try_to_vec::<f32>().unwrap();
    values.into_iter().map(f64::from).collect()
}

/// The loss of plain numbers, in f64.
fn formula(rows: &[f64], global: &[f64], local: &[f64], config: &OrdinalLossConfig) -> f64 {
    let clusters = clusters();
    let identity = |at: usize| f64::from(u8::from((at % (DIM * DIM)).is_multiple_of(DIM + 1)));
    let distance = |row: &[f64], cluster: usize| {
        let center = clusters.center(cluster);
        let u: Vec<f64> = row
            .iter()
            .zip(center)
            .map(|(r, c)| r - f64::from(*c))
            .collect();
        let mut sum = 0.0;
        for (i, j) in (0..DIM).flat_map(|i| (0..DIM).map(move |j| (i, j))) {
            let at = i * DIM + j;
            let m =
                global[at] + local[clusters.metric[cluster] * DIM * DIM + at] + 0.01 * identity(at);
            sum += u[i] * m * u[j];
        }
        sum
    };
    let mut cross_entropy = 0.0;
    for (segment, &label) in LABELS.iter().enumerate() {
        let logits: Vec<f64> = (0..3)
            .map(|cluster| {
                let of = |m: usize| {
                    let row = m * LABELS.len() + segment;
                    distance(&rows[row * DIM..(row + 1) * DIM], cluster)
                };
                -(of(0) + of(1)) / 2.0 / config.temperature
            })
            .collect();
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        for (share, logit) in ordinal_shares(label, &SENTIMENTS, config.smoothing)
            .into_iter()
            .zip(&logits)
        {
            cross_entropy -= f64::from(share) * (logit - sum.ln());
        }
    }
    let off = |values: &[f64]| {
        let squares = values
            .iter()
            .enumerate()
            .map(|(at, v)| (v - identity(at)).powi(2));
        squares.sum::<f64>()
    };
    cross_entropy / LABELS.len() as f64
        + config.anchor_weight * (off(global) + off(local)) / DIM as f64
}

#[test]
fn the_loss_is_its_formula_and_its_gradients_are_those_of_differences() {
    let device = Device::flex().autodiff();
    for smoothing in [0.0, 0.8] {
        let config = OrdinalLossConfig {
            smoothing,
            ..config()
        };
        let (rows, metric) = batch(&device);
        let rows = rows.require_grad();
        let loss = config
            .forward(rows.clone(), &LABELS, &SENTIMENTS, &clusters(), &metric)
            .unwrap();
        let parts = [
            host(rows.clone()),
            host(metric.global.val()),
            host(metric.local.val()),
        ];
        let value = |parts: &[Vec<f64>; 3]| formula(&parts[0], &parts[1], &parts[2], &config);
        let expected = value(&parts);
        assert!((host(loss.total.clone())[0] - expected).abs() < 1e-5 * expected.abs());
        let gradients = loss.total.backward();
        let found = [
            host(rows.grad(&gradients).unwrap()),
            host(metric.global.val().grad(&gradients).unwrap()),
            host(metric.local.val().grad(&gradients).unwrap()),
        ];
        for (part, found) in found.iter().enumerate() {
            for (at, &found) in found.iter().enumerate() {
                let moved = |by: f64| {
                    let mut parts = parts.clone();
                    parts[part][at] += by;
                    value(&parts)
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                    "part {part}, {at}: {found} for {expected}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex().autodiff();
    let (rows, metric) = batch(&device);
    let refuse = |labels: &[f32], sentiments: &[f32], clusters: &Clusters| {
        let loss = config().forward(rows.clone(), labels, sentiments, clusters, &metric);
        loss.expect_err("refused")
    };
    let good = clusters();
    assert!(matches!(
        refuse(&LABELS, &[-3.0, 0.5, 0.5], &good),
        MetricError::Sentiments { index: 2, .. }
    ));
    assert!(matches!(
        refuse(&LABELS, &[0.0], &good),
        MetricError::Length { .. }
    ));
    assert!(matches!(
        refuse(&LABELS[..3], &SENTIMENTS, &good),
        MetricError::Length { .. }
    ));
    assert!(matches!(
        refuse(&[], &SENTIMENTS, &good),
        MetricError::Empty { .. }
    ));
    let mut beyond = good.clone();
    beyond.metric[1] = 4;
    assert!(matches!(
        refuse(&LABELS, &SENTIMENTS, &beyond),
        MetricError::Index { .. }
    ));
    assert!(matches!(
        refuse(&LABELS, &[], &Clusters::default()),
        MetricError::Empty { what: "clusters" }
    ));
}

proptest! {
    #[test]
    fn shares_sum_to_one_and_expect_the_label(
        label in -4.0_f32..4.0,
        steps in prop::collection::vec(0.01_f32..2.0, 1..9),
        smoothing in 0.05_f64..2.0,
    ) {
        let mut at = -3.0;
        let sentiments: Vec<f32> = steps.iter().map(|step| { at += step; at }).collect();
        for smoothing in [0.0, smoothing] {
            let shares = ordinal_shares(label, &sentiments, smoothing);
            prop_assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        }
        let shares = ordinal_shares(label, &sentiments, 0.0);
        let count = shares.len();
        let logarithms = TensorData::new(shares, [1, count]);
        let logarithms = Tensor::<2>::from_data(logarithms, &Device::flex()).clamp_min(1e-30).log();
        let expected: f32 = expected_sentiment(logarithms, &sentiments).into_scalar();
        let within = label.clamp(sentiments[0], sentiments[count - 1]);
        prop_assert!((expected - within).abs() < 1e-4);
    }
}
