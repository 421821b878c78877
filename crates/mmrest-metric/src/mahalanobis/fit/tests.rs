use super::*;
use crate::triplets;

/// Two groups along column 0, noise ten times as large in column 1, a column that never changes.
fn table() -> (Vec<f32>, Vec<usize>) {
    let labels: Vec<usize> = (0..80).map(|row| (row / 3) % 2).collect();
    let wave = |row: usize, pace: f32| ((row * row) as f32 * pace).sin();
    let values = (0..80).flat_map(|row| {
        let signal = labels[row] as f32 + 0.4 * wave(row, 1.3);
        [signal, 10.0 * wave(row, 0.7), 7.0]
    });
    (values.collect(), labels)
}

/// The share of triplets whose negative is farther than their positive.
fn told_apart(metric: &MahalanobisMatrix, values: &[f32], labels: &[usize]) -> f64 {
    let rows = Rows::new(values, metric.dim()).unwrap();
    let d = metric.distances(rows, rows).unwrap();
    let all = triplets(labels, usize::MAX, 0);
    let apart = |of: &&Triplet| {
        let from = &d[of.anchor * labels.len()..];
        from[of.negative] > from[of.positive]
    };
    all.iter().filter(apart).count() as f64 / all.len() as f64
}

#[test]
fn a_fit_tells_labels_apart_and_repeats() {
    let (values, labels) = table();
    let config = MahalanobisConfig::default();
    let fit = |values: &[f32], seed| {
        let rows = Rows::new(values, 3).unwrap();
        config.fit(rows, &labels, seed).unwrap()
    };
    let diagonal = |of: [f64; 3]| {
        let values = (0..9).map(|at| if at % 4 == 0 { of[at / 4] } else { 0.0 });
        MahalanobisMatrix::new(values.collect(), 3).unwrap()
    };
    let learned = fit(&values, 3);
    let before = told_apart(&diagonal([1.0; 3]), &values, &labels);
    let after = told_apart(&learned, &values, &labels);
    // Of the metrics that look at one column the best.
    let signal = diagonal([1.0, 0.0, 0.0]);
    let best = told_apart(&signal, &values, &labels);
    assert!(before < 0.6 && best > 0.9, "{before} {best}");
    assert!(after > best - 0.01, "{after} {best}");
    let matrix = learned.values();
    assert_eq!(matrix, fit(&values, 3).values());
    assert_ne!(matrix, fit(&values, 4).values());
    assert!(
        matrix
            .iter()
            .skip(2)
            .step_by(3)
            .all(|&weight| weight == 0.0),
        "a constant column"
    );

    // In other units the same distances.
    let units = [100.0_f32, 0.001, 1.0];
    let in_units: Vec<f32> = values
        .iter()
        .enumerate()
        .map(|(at, value)| value * units[at % 3])
        .collect();
    let other = fit(&in_units, 3);
    let other = other.values();
    for at in 0..9 {
        let same = other[at] * f64::from(units[at / 3]) * f64::from(units[at % 3]);
        assert!(
            (same - matrix[at]).abs() < 1e-2 * (1.0 + matrix[at].abs()),
            "{same} {}",
            matrix[at]
        );
    }
}

#[test]
fn a_fit_says_what_it_lacks() {
    let rows = Rows::new(&[0.0, 1.0, 2.0], 1).unwrap();
    let config = MahalanobisConfig::default();
    let fit = |labels: &[usize]| config.fit(rows, labels, 0).map(drop);
    assert!(matches!(
        fit(&[0, 1]),
        Err(MetricError::Length {
            found: 2,
            expected: 3,
            ..
        })
    ));
    for labels in [[0, 0, 0], [0, 1, 2]] {
        assert!(matches!(fit(&labels), Err(MetricError::Empty { .. })));
    }
    let config = MahalanobisConfig {
        learning_rate: f64::INFINITY,
        ..config
    };
    let refused = config.fit(rows, &[0, 0, 1], 0);
    assert!(matches!(
        refused,
        Err(MetricError::NonFiniteMetric { index: 0 })
    ));
}

/// The gradient by its formula, a triplet at a time.
#[test]
fn the_gradient_is_that_of_a_loop() {
    let dim = 3;
    let value = |at: usize| ((at * at) as f64 * 0.7).sin();
    let table: Vec<f64> = (0..30).map(value).collect();
    let metric = [1.0, 0.2, 0.0, 0.2, 0.5, -0.1, 0.0, -0.1, 0.3];
    let labels: Vec<usize> = (0..10).map(|row| row % 3).collect();
    let drawn = triplets(&labels, usize::MAX, 0);
    let config = MahalanobisConfig::default();
    let found = config.gradient(&metric, &table, dim, &drawn);
    let difference = |a: usize, b: usize| -> Vec<f64> {
        (0..dim)
            .map(|k| table[a * dim + k] - table[b * dim + k])
            .collect()
    };
    let squared = |x: &[f64]| -> f64 { (0..9).map(|at| x[at / 3] * metric[at] * x[at % 3]).sum() };
    let mut expected = [0.0; 9];
    let mut active = 0;
    for of in &drawn {
        let near = difference(of.anchor, of.positive);
        let far = difference(of.anchor, of.negative);
        if config.margin + squared(&near) - squared(&far) > 0.0 {
            active += 1;
            for (at, sum) in expected.iter_mut().enumerate() {
                let of_two = near[at / 3] * near[at % 3] - far[at / 3] * far[at % 3];
                *sum += of_two / drawn.len() as f64;
            }
        }
    }
    assert!(active > 0 && active < drawn.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
}
