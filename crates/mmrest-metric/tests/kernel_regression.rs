//! Kernel regression: against its formula in f64, its gradients against differences, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_metric::{
    KernelRegression, KernelRegressionConfig, MetricError, MultiMetric, MultiMetricConfig, Support,
};

const DIM: usize = 3;
const METRICS: usize = 4;
const MODALITIES: usize = 2;
const LABELS: [f32; 5] = [-2.5, 0.25, 3.0, 1.0, -1.0];
const WHICH: [usize; 5] = [2, 0, 3, 0, 2];

fn numbers(count: usize, step: f32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * step).sin()).collect()
}

fn identity(size: usize) -> impl Fn(usize) -> f32 {
    move |at| f32::from(u8::from((at % (size * size)).is_multiple_of(size + 1)))
}

/// Values of everything that gradients flow to: rows, global metric, local metrics, logarithms of the precisions.
fn values() -> [Vec<f32>; 4] {
    let moved = |len: usize, by: f32, step: f32| {
        let numbers = numbers(len, step).into_iter().enumerate();
        numbers.map(|(at, v)| identity(DIM)(at) + by * v).collect()
    };
    [
        numbers(MODALITIES * LABELS.len() * DIM, 0.9),
        moved(DIM * DIM, 0.1, 2.3),
        moved(METRICS * DIM * DIM, 0.2, 1.9),
        vec![-0.3, -1.2],
    ]
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn parts(values: &[Vec<f32>; 4], device: &Device) -> (Tensor<2>, MultiMetric, KernelRegression) {
    let mut metric = MultiMetricConfig {
        dim: DIM,
        clusters: METRICS,
        ridge: 0.01,
    }
    .init(device);
    let rows = values[0].len() / DIM;
    metric.global = Param::from_tensor(tensor(&values[1], [DIM, DIM], device));
    metric.local = Param::from_tensor(tensor(&values[2], [METRICS, DIM, DIM], device));
    let kernel = KernelRegression {
        log_precisions: Param::from_tensor(tensor(&values[3], [MODALITIES], device)),
    };
    (tensor(&values[0], [rows, DIM], device), metric, kernel)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The sentiment of `segment` by the segments of `support` for which `counts` says so, in f64.
fn formula(
    values: &[Vec<f32>; 4],
    segment: usize,
    support: &Support,
    counts: impl Fn(usize) -> bool,
) -> f64 {
    let rows = |rows: &[f32], segments: usize, modality: usize, segment: usize| {
        let row = modality * segments + segment;
        rows[row * DIM..(row + 1) * DIM].to_vec()
    };
    let batch = values[0].len() / DIM / MODALITIES;
    let (mut sum, mut all) = (0.0, 0.0);
    for other in (0..support.len()).filter(|&other| counts(other)) {
        let mut far = 0.0;
        for modality in 0..MODALITIES {
            let c = rows(&values[0], batch, modality, segment);
            let s = rows(&support.rows, support.len(), modality, other);
            for (i, j) in (0..DIM).flat_map(|i| (0..DIM).map(move |j| (i, j))) {
                let at = i * DIM + j;
                let local = values[2][support.metric[other] * DIM * DIM + at];
                let m = values[1][at] + local + 0.01 * identity(DIM)(at);
                let [u, v] = [i, j].map(|i| f64::from(c[i]) - f64::from(s[i]));
                far += f64::from(values[3][modality]).exp() * u * f64::from(m) * v;
            }
        }
        sum += (-far).exp() * f64::from(support.labels[other]);
        all += (-far).exp();
    }
    sum / all
}

fn support() -> Support {
    Support {
        dim: DIM,
        rows: numbers(MODALITIES * 7 * DIM, 1.3),
        labels: numbers(7, 2.9),
        metric: vec![1, 1, 3, 0, 2, 1, 0],
    }
}

/// The batch as a support of itself.
fn own(values: &[Vec<f32>; 4]) -> Support {
    Support {
        dim: DIM,
        rows: values[0].clone(),
        labels: LABELS.to_vec(),
        metric: WHICH.to_vec(),
    }
}

/// Two supports as one: of each modality the rows of the first, then those of the second.
fn both(first: &Support, second: &Support) -> Support {
    let of = |support: &Support, m: usize| {
        let size = support.len() * DIM;
        support.rows[m * size..(m + 1) * size].to_vec()
    };
    Support {
        dim: DIM,
        rows: (0..MODALITIES)
            .flat_map(|m| [of(first, m), of(second, m)].concat())
            .collect(),
        labels: [&first.labels[..], &second.labels].concat(),
        metric: [&first.metric[..], &second.metric].concat(),
    }
}

#[test]
fn sentiments_are_the_formulas() {
    let (values, support) = (values(), support());
    let (rows, metric, kernel) = parts(&values, &Device::flex());
    let found = host(kernel.predict(rows.clone(), &support, &metric).unwrap());
    // One that is made ready once serves any number of batches.
    let ready = kernel.ready(&support, &metric).unwrap();
    for _ in 0..2 {
        assert_eq!(host(ready.predict(rows.clone()).unwrap()), found);
    }
    let left_out = kernel.leave_one_out(rows.clone(), &LABELS, &WHICH, None, &metric);
    let remembered = kernel.leave_one_out(rows, &LABELS, &WHICH, Some(&support), &metric);
    let (left_out, remembered) = (host(left_out.unwrap()), host(remembered.unwrap()));
    let all = both(&own(&values), &support);
    for (segment, found) in found.iter().enumerate() {
        let (left_out, remembered) = (left_out[segment], remembered[segment]);
        let expected = formula(&values, segment, &support, |_| true);
        assert!(
            (f64::from(*found) - expected).abs() < 1e-5,
            "{found} {expected}"
        );
        let expected = formula(&values, segment, &own(&values), |other| other != segment);
        assert!(
            (f64::from(left_out) - expected).abs() < 1e-5,
            "{left_out} {expected}"
        );
        let expected = formula(&values, segment, &all, |other| other != segment);
        assert!(
            (f64::from(remembered) - expected).abs() < 1e-5,
            "{remembered} {expected}"
        );
    }
}

#[test]
fn a_support_without_some_of_its_segments_has_the_others() {
    let support = support();
    assert_eq!(support.without(&[]), support);
    let kept = support.without(&[6, 0, 3, 3, 99]);
    assert_eq!(kept.labels, [1, 2, 4, 5].map(|at| support.labels[at]));
    assert_eq!(kept.metric, [1, 3, 2, 1]);
    let row = |m: usize, at: usize| &support.rows[(m * 7 + at) * DIM..][..DIM];
    let rows = (0..MODALITIES).flat_map(|m| [1, 2, 4, 5].map(|at| row(m, at)));
    assert_eq!(kept.rows, rows.collect::<Vec<_>>().concat());
    assert!(support.without(&[0, 1, 2, 3, 4, 5, 6]).is_empty());
}

#[test]
fn gradients_are_those_of_differences() {
    let values = values();
    let weights = numbers(LABELS.len(), 0.7);
    let total = |values: &[Vec<f32>; 4]| -> [f64; 3] {
        let of = |sentiment: &dyn Fn(usize) -> f64| {
            let segments = weights.iter().enumerate();
            segments.map(|(n, &w)| f64::from(w) * sentiment(n)).sum()
        };
        let (support, own) = (support(), own(values));
        [
            of(&|n| formula(values, n, &support, |_| true)),
            of(&|n| formula(values, n, &own, |other| other != n)),
            of(&|n| formula(values, n, &both(&own, &support), |other| other != n)),
        ]
    };
    let device = Device::flex().autodiff();
    for way in 0..3 {
        let (rows, metric, kernel) = parts(&values, &device);
        let rows = rows.require_grad();
        let y = match way {
            0 => kernel.predict(rows.clone(), &support(), &metric),
            1 => kernel.leave_one_out(rows.clone(), &LABELS, &WHICH, None, &metric),
            _ => kernel.leave_one_out(rows.clone(), &LABELS, &WHICH, Some(&support()), &metric),
        };
        let gradients = (y.unwrap() * tensor(&weights, [LABELS.len()], &device))
            .sum()
            .backward();
        let found = [
            host(rows.grad(&gradients).unwrap()),
            host(metric.global.val().grad(&gradients).unwrap()),
            host(metric.local.val().grad(&gradients).unwrap()),
            host(kernel.log_precisions.val().grad(&gradients).unwrap()),
        ];
        for (which, found) in found.iter().enumerate() {
            for (at, found) in found.iter().enumerate() {
                let step = 1e-2_f32;
                let [up, down] = [step, -step].map(|step| {
                    let mut moved = values.clone();
                    moved[which][at] += step;
                    total(&moved)[way]
                });
                let slope = (up - down) / f64::from(2.0 * step);
                assert!(
                    (f64::from(*found) - slope).abs() < 2e-3 * (1.0 + slope.abs()),
                    "way {way}, input {which} at {at}: {found} {slope}"
                );
            }
        }
    }
}

#[test]
fn rows_far_from_the_origin_lose_nothing() {
    let (mut values, mut support) = (values(), support());
    let device = Device::flex();
    let (rows, metric, kernel) = parts(&values, &device);
    let near = host(kernel.predict(rows, &support, &metric).unwrap());
    let rows = values[0].iter_mut().chain(&mut support.rows);
    rows.for_each(|value| *value += 256.0);
    let (rows, metric, kernel) = parts(&values, &device);
    let far = host(kernel.predict(rows, &support, &metric).unwrap());
    for (near, far) in near.iter().zip(&far) {
        assert!((near - far).abs() < 1e-3, "{near} {far}");
    }
}

#[test]
fn a_further_modality_starts_with_little_say() {
    let config = KernelRegressionConfig {
        temperature: 0.5,
        gate: 0.05,
    };
    let kernel = config.init(3, &Device::flex());
    let precisions = host(kernel.log_precisions.val().exp());
    for (found, expected) in precisions.iter().zip([2.0, 0.1, 0.1]) {
        assert!((found - expected).abs() < 1e-6);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let values = values();
    let (rows, metric, kernel) = parts(&values, &Device::flex());
    let refused = |support: Support| kernel.predict(rows.clone(), &support, &metric).unwrap_err();
    let empty = refused(Support {
        dim: DIM,
        ..Support::default()
    });
    assert_eq!(empty.to_string(), "there are no segments to compare with");
    let mut ragged = support();
    ragged.rows.pop();
    assert!(matches!(refused(ragged), MetricError::Length { .. }));
    let mut unknown = support();
    unknown.metric[3] = METRICS;
    assert!(matches!(
        refused(unknown),
        MetricError::Index { index: METRICS, .. }
    ));
    let mut nan = support();
    nan.rows[4] = f32::NAN;
    assert!(matches!(
        refused(nan),
        MetricError::NonFiniteRow {
            row: 1,
            column: 1,
            ..
        }
    ));
    let ready = kernel.ready(&support(), &metric).unwrap();
    let odd = ready.predict(rows.clone().narrow(0, 0, 1));
    assert!(matches!(odd, Err(MetricError::Length { .. })));
    let alone = kernel.leave_one_out(rows.narrow(0, 0, 2), &[1.0], &[0], None, &metric);
    assert!(matches!(alone, Err(MetricError::Empty { .. })));
}
