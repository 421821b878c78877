//! Compares with metric-learn (PyPI) on iris and wine, where a Python with it is installed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::process::Command;

use mmrest_metric::{MahalanobisConfig, MahalanobisMatrix, Rows};
use serde::Deserialize;

/// A table of [`fixtures/iris_and_wine.py`](../tests/fixtures/iris_and_wine.py).
#[derive(Deserialize)]
struct Table {
    rows: Vec<Vec<f32>>,
    labels: Vec<usize>,
    metrics: BTreeMap<String, Learned>,
    /// Accuracy without a metric.
    euclidean: f64,
}

/// What metric-learn has learned.
#[derive(Deserialize)]
struct Learned {
    matrix: Vec<f64>,
    pair_distance: Vec<f64>,
    accuracy: f64,
}

/// Training and held-out rows, end to end, with their labels.
struct Split {
    dim: usize,
    known: (Vec<f32>, Vec<usize>),
    new: (Vec<f32>, Vec<usize>),
}

impl Split {
    fn of(table: &Table) -> Self {
        let part = |new: bool| {
            let of = (0..table.rows.len()).filter(|row| (row % 3 == 0) == new);
            let (rows, labels): (Vec<_>, Vec<_>) =
                of.map(|row| (&table.rows[row], table.labels[row])).unzip();
            (rows.into_iter().flatten().copied().collect(), labels)
        };
        Self {
            dim: table.rows[0].len(),
            known: part(false),
            new: part(true),
        }
    }

    fn known(&self) -> Rows<'_> {
        Rows::new(&self.known.0, self.dim).unwrap()
    }

    /// The share of held-out rows whose nearest training row has their label.
    fn accuracy(&self, metric: &MahalanobisMatrix) -> f64 {
        let new = Rows::new(&self.new.0, self.dim).unwrap();
        let distances = metric.distances(new, self.known()).unwrap();
        let known = self.known.1.len();
        let right = distances
            .chunks(known)
            .zip(&self.new.1)
            .filter(|(of, label)| {
                let nearest = (0..known).min_by(|&a, &b| of[a].total_cmp(&of[b]));
                self.known.1[nearest.unwrap()] == **label
            });
        right.count() as f64 / self.new.1.len() as f64
    }
}

/// iris and wine by name; none, with a note, where no Python has metric-learn.
fn tables() -> Option<BTreeMap<String, Table>> {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/iris_and_wine.py"
    );
    let chosen = std::env::var("MMREST_PYTHON").ok();
    let python = chosen.as_deref().unwrap_or("python3");
    let found = Command::new(python)
        .args(["-c", "import metric_learn"])
        .output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: {python} has no metric_learn (pip install metric-learn; MMREST_PYTHON names another Python)"
        );
        return None;
    }
    let output = Command::new(python).arg(script).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn distances_and_neighbours_are_those_of_metric_learn() {
    for (name, table) in tables().into_iter().flatten() {
        let split = Split::of(&table);
        let (known, dim) = (split.known(), split.dim);
        let own = MahalanobisMatrix::inverse_covariance(known).unwrap();
        let theirs = &table.metrics["Covariance"].matrix;
        for (a, b) in own.values().iter().zip(theirs) {
            assert!((a - b).abs() < 1e-8 * (1.0 + b.abs()), "{name}: {a} {b}");
        }
        for (learner, theirs) in &table.metrics {
            let metric = MahalanobisMatrix::new(theirs.matrix.clone(), dim).unwrap();
            let last = known.len() - 40;
            for (at, expected) in theirs.pair_distance.iter().enumerate() {
                let found = metric.pair_distance(known.row(at), known.row(last + at));
                let within = 1e-6 * (1.0 + expected);
                assert!(
                    (found - expected).abs() < within,
                    "{name} {learner}: {found} {expected}"
                );
            }
            let (found, expected) = (split.accuracy(&metric), theirs.accuracy);
            assert!(
                (found - expected).abs() < 1e-9,
                "{name} {learner}: {found} {expected}"
            );
        }
        let identity = (0..dim * dim).map(|at| f64::from(u8::from(at % (dim + 1) == 0)));
        let identity = MahalanobisMatrix::new(identity.collect(), dim).unwrap();
        assert_eq!(split.accuracy(&identity), table.euclidean, "{name}");
    }
}

#[test]
fn a_learned_metric_is_as_good_as_those_of_metric_learn() {
    for (name, table) in tables().into_iter().flatten() {
        let split = Split::of(&table);
        let seeds = 1..=5;
        let learned = seeds.clone().map(|seed| {
            let config = MahalanobisConfig::default();
            let metric = config.fit(split.known(), &split.known.1, seed).unwrap();
            split.accuracy(&metric)
        });
        let mean = learned.sum::<f64>() / seeds.count() as f64;
        let theirs = ["LMNN", "NCA"].map(|learner| table.metrics[learner].accuracy);
        println!(
            "{name}: {mean:.3}, LMNN and NCA {theirs:.3?}, Euclidean {:.3}",
            table.euclidean
        );
        let best = theirs.into_iter().fold(0.0, f64::max);
        assert!(mean > best - 0.03, "{name}: {mean} {theirs:?}");
    }
}
