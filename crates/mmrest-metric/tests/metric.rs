//! Metrics by their axioms, the projection on the module, the optimiser and its records.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::{Tensor, TensorData};
use mmrest_metric::{
    MetricError, MultiMetric, MultiMetricConfig, PsdAdamConfig, SentimentBins, distances,
    factor_psd_f64,
};
use mmrest_testing::host;
use proptest::prelude::*;

fn small(device: &Device) -> MultiMetric {
    let config = MultiMetricConfig {
        dim: 3,
        clusters: 2,
        ridge: 0.5,
    };
    config.init(device)
}

fn set(metric: &mut MultiMetric, global: &[f32], local: &[f32], device: &Device) {
    let (dim, count) = (metric.dim(), metric.len());
    let global = Tensor::from_data(TensorData::new(global.to_vec(), [dim, dim]), device);
    let local = Tensor::from_data(TensorData::new(local.to_vec(), [count, dim, dim]), device);
    metric.global = metric
        .global
        .clone()
        .map(|old| global.set_require_grad(old.is_require_grad()));
    metric.local = metric
        .local
        .clone()
        .map(|old| local.set_require_grad(old.is_require_grad()));
}

/// `d[i, j]` between all given points under one metric.
fn between(points: &[f32], dim: usize, metric: &[f32]) -> Vec<f32> {
    let device = Device::flex();
    let count = points.len() / dim;
    let points = Tensor::<2>::from_data(TensorData::new(points.to_vec(), [count, dim]), &device);
    let metric = Tensor::<3>::from_data(TensorData::new(metric.to_vec(), [1, dim, dim]), &device);
    host(distances(
        points.clone(),
        points,
        metric.repeat_dim(0, count),
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// A PSD matrix makes a (pseudo)metric: by its axioms, by the formula, by the embedding.
    #[test]
    fn mahalanobis_axioms(
        dim in 1_usize..6,
        factor in prop::collection::vec(-1.5..1.5_f32, 36),
        points in prop::collection::vec(-3.0..3.0_f32, 36),
    ) {
        let metric: Vec<f32> = (0..dim * dim)
            .map(|at| (0..dim).map(|k| factor[k * 6 + at / dim] * factor[k * 6 + at % dim]).sum())
            .collect();
        let count = points.len() / dim;
        let points = &points[..count * dim];
        let d = between(points, dim, &metric);
        let wide: Vec<f64> = metric.iter().map(|&v| f64::from(v)).collect();
        let embed = factor_psd_f64(&wide, dim).unwrap();
        for i in 0..count {
            prop_assert_eq!(d[i * count + i], 0.0);
            for j in 0..count {
                let difference: Vec<f64> = (0..dim)
                    .map(|k| f64::from(points[i * dim + k]) - f64::from(points[j * dim + k]))
                    .collect();
                let explicit: f64 = (0..dim * dim)
                    .map(|at| difference[at / dim] * wide[at] * difference[at % dim])
                    .sum();
                let embedded: f64 = embed.chunks_exact(dim)
                    .map(|row| row.iter().zip(&difference).map(|(l, p)| l * p).sum::<f64>().powi(2))
                    .sum();
                let found = f64::from(d[i * count + j]);
                prop_assert!((found - explicit).abs() < 1e-3);
                prop_assert!((found - embedded).abs() < 1e-3);
                prop_assert!(found > -1e-4);
                prop_assert!((found - f64::from(d[j * count + i])).abs() < 1e-3);
                for k in 0..count {
                    let root = |a: usize, b: usize| d[a * count + b].max(0.0).sqrt();
                    prop_assert!(root(i, k) <= root(i, j) + root(j, k) + 2e-2);
                }
            }
        }
    }
}

#[test]
fn metrics_are_shared_plus_own_plus_ridge() {
    let device = Device::flex();
    let mut metric = small(&device);
    let local: Vec<f32> = (0..18).map(|i| i as f32).collect();
    set(&mut metric, &[2.0; 9], &local, &device);
    for which in [vec![0, 1], vec![1], vec![1, 1, 0]] {
        let expected: Vec<f32> = which
            .iter()
            .flat_map(|&w| {
                (0..9)
                    .map(move |at| (w * 9 + at) as f32 + 2.0 + if at % 4 == 0 { 0.5 } else { 0.0 })
            })
            .collect();
        assert_eq!(host(metric.metrics(&which)), expected);
    }
}

#[test]
fn parameters_are_named_global_and_local() {
    #[derive(Default)]
    struct Names {
        path: Vec<String>,
        found: Vec<String>,
    }
    impl ModuleVisitor for Names {
        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
            self.found.push(self.path.join("."));
        }
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
    }
    let mut names = Names::default();
    small(&Device::flex()).visit(&mut names);
    assert_eq!(names.found, ["global", "local"]);
}

#[test]
fn projection_keeps_ids_and_gradient_requirements() {
    let device = Device::flex().autodiff();
    let mut metric = small(&device);
    metric.local = metric.local.set_require_grad(false);
    let local: Vec<f32> = (0..18).map(|i| (i as f32 * 1.3).sin()).collect();
    set(
        &mut metric,
        &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0],
        &local,
        &device,
    );
    assert!(!metric.is_psd(1e-3).unwrap());
    let (global, local) = (metric.global.id, metric.local.id);
    let projected = metric.project_psd().unwrap();
    assert!(projected.is_psd(1e-6).unwrap());
    assert_eq!((projected.global.id, projected.local.id), (global, local));
    assert!(projected.global.val().is_require_grad());
    assert!(!projected.local.val().is_require_grad());
    let expected = [0.5, 0.5, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0];
    let found = host(projected.global.val());
    assert!(
        found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-6),
        "{found:?}"
    );
    let again = projected.clone().project_psd().unwrap();
    let difference = (again.local.val() - projected.local.val()).abs().max();
    assert!(difference.into_scalar::<f32>() < 1e-6);
    // The gradient still finds the parameter.
    let loss = again.global.val().sum();
    assert!(
        GradientsParams::from_grads(loss.backward(), &again)
            .get::<2>(global)
            .is_some()
    );
}

#[test]
fn a_psd_metric_is_projected_onto_itself_exactly() {
    let metric = small(&Device::flex());
    let projected = metric.clone().project_psd().unwrap();
    assert_eq!(host(metric.global.val()), host(projected.global.val()));
    assert_eq!(host(metric.local.val()), host(projected.local.val()));
}

#[test]
fn a_metric_that_is_not_finite_is_named() {
    let device = Device::flex();
    let mut metric = small(&device);
    let mut local = [0.5; 18];
    local[13] = f32::NAN;
    set(&mut metric, &[1.0; 9], &local, &device);
    let refused = metric.project_psd();
    assert!(matches!(
        refused,
        Err(MetricError::NonFiniteMetric { index: 2 })
    ));
}

#[test]
fn metrics_without_clusters_are_projected_too() {
    let device = Device::flex();
    let config = MultiMetricConfig {
        clusters: 0,
        dim: 2,
        ..Default::default()
    };
    let metric = config.init(&device);
    assert!(metric.is_empty());
    assert_eq!(
        host(metric.project_psd().unwrap().global.val()),
        [1.0, 0.0, 0.0, 1.0]
    );
}

/// Gradients that change from step to step.
fn advance(
    mut metric: MultiMetric,
    optimizer: &mut ModuleOptimizer,
    steps: std::ops::Range<usize>,
) -> MultiMetric {
    for step in steps {
        let device = metric.global.val().device();
        let weights: Vec<f32> = (0..9).map(|i| ((i + 5 * step) as f32).sin()).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [3, 3]), &device);
        let local = metric.local.val().square() * weights.clone().unsqueeze_dim(0);
        let loss = (metric.global.val() * weights).sum() + local.sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &metric);
        metric = optimizer
            .step(0.03, metric, gradients)
            .project_psd()
            .unwrap();
    }
    metric
}

#[test]
fn a_reloaded_optimizer_goes_on_bit_for_bit() {
    let device = Device::flex().autodiff();
    let mut straight = PsdAdamConfig::default().init();
    let metric = advance(small(&device), &mut straight, 0..7);

    let bytes = straight.into_bytes().unwrap();
    let mut reloaded = PsdAdamConfig::default().init().from_bytes(bytes).unwrap();
    let file = std::env::temp_dir().join(format!("psd-adam-{}.bpk", std::process::id()));
    straight.save(&file).unwrap();
    let mut from_file = PsdAdamConfig::default().init().load(&file).unwrap();
    std::fs::remove_file(&file).unwrap();

    let expected = advance(metric.clone(), &mut straight, 7..20);
    for optimizer in [&mut reloaded, &mut from_file] {
        let found = advance(metric.clone(), optimizer, 7..20);
        assert_eq!(host(found.global.val()), host(expected.global.val()));
        assert_eq!(host(found.local.val()), host(expected.local.val()));
    }
    // A fresh optimiser would not have: its step count starts at 1.
    let fresh = advance(metric, &mut PsdAdamConfig::default().init(), 7..20);
    assert_ne!(host(fresh.global.val()), host(expected.global.val()));
}

#[test]
fn steps_are_those_of_the_formula() {
    let device = Device::flex().autodiff();
    let config = PsdAdamConfig {
        weight_decay: 0.1,
        epsilon: 1e-3,
        ..Default::default()
    };
    let mut optimizer = config.init();
    let mut metric = small(&device);
    let (mut p, mut m, mut v) = (1.0_f64, 0.0_f64, 0.0_f64);
    for t in 1..30 {
        let slope = (f64::from(t)).sin();
        let loss = metric
            .global
            .val()
            .slice([0..1, 0..1])
            .sum()
            .mul_scalar(slope);
        let gradients = GradientsParams::from_grads(loss.backward(), &metric);
        metric = optimizer.step(0.01, metric, gradients);
        let g = slope + 0.1 * p;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        let size = 0.01 * (1.0 - 0.999_f64.powi(t)).sqrt() / (1.0 - 0.9_f64.powi(t));
        p -= size * m / (v.sqrt() + 1e-3);
        let found = f64::from(host(metric.global.val())[0]);
        assert!((found - p).abs() < 1e-5, "{t}: {found} {p}");
    }
}

#[test]
fn bins_are_written_and_read() {
    let bins = SentimentBins::seven();
    let text = serde_json::to_string(&bins).unwrap();
    assert_eq!(serde_json::from_str::<SentimentBins>(&text).unwrap(), bins);
    let unordered = r#"[{"at": 1.0, "side": "above"}, {"at": 0.0, "side": "below"}]"#;
    assert!(serde_json::from_str::<SentimentBins>(unordered).is_err());
}
