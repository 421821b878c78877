use serde::Deserialize;

use super::*;

/// What scikit-learn 1 says: tests/fixtures/overlap.py.
const FIXTURE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/overlap.json"
));

#[derive(Deserialize)]
struct Case {
    dim: usize,
    train: Vec<f32>,
    train_labels: Vec<usize>,
    test: Vec<f32>,
    test_labels: Vec<usize>,
    metric: Vec<f64>,
    euclidean: Expected,
    mahalanobis: Expected,
}

#[derive(Deserialize)]
struct Expected {
    silhouette: f64,
    scatter_ratio: f64,
    accuracy: f64,
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 2e-6, "{found} {expected}");
}

#[test]
fn all_measures_are_those_of_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(FIXTURE).unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let train = Rows::new(&case.train, case.dim).unwrap();
        let test = Rows::new(&case.test, case.dim).unwrap();
        let labels = &case.test_labels;
        let centers = ClassCenters::fit(train, &case.train_labels).unwrap();
        let there = carried(test, &case.metric).unwrap();
        let there = Rows::new(&there, case.dim).unwrap();
        for (rows, expected) in [(test, &case.euclidean), (there, &case.mahalanobis)] {
            near(silhouette(rows, labels).unwrap(), expected.silhouette);
            near(scatter_ratio(rows, labels).unwrap(), expected.scatter_ratio);
        }
        let plain = centers.accuracy(test, labels, |_| None).unwrap();
        near(plain, case.euclidean.accuracy);
        let learned = centers.accuracy(test, labels, |_| Some(&case.metric));
        near(learned.unwrap(), case.mahalanobis.accuracy);
    }
}

#[test]
fn what_has_no_answer_is_none() {
    let rows = Rows::new(&[0.0, 1.0, 2.0], 1).unwrap();
    assert_eq!(silhouette(rows, &[1, 1, 1]).unwrap(), None);
    assert_eq!(silhouette(rows, &[1, 2, 3]).unwrap(), None);
    assert_eq!(scatter_ratio(rows, &[1, 1, 1]).unwrap(), None);
    assert_eq!(scatter_ratio(rows, &[1, 2, 3]).unwrap(), None);
    assert!(silhouette(rows, &[1, 2]).is_err());
    let nothing = Rows::new(&[], 1).unwrap();
    assert_eq!(scatter_ratio(nothing, &[]).unwrap(), None);
    let centers = ClassCenters::fit(rows, &[0, 0, 1]).unwrap();
    assert_eq!(centers.accuracy(nothing, &[], |_| None).unwrap(), None);
    let same = Rows::new(&[1.0; 4], 1).unwrap();
    assert_eq!(silhouette(same, &[0, 0, 1, 1]).unwrap(), Some(0.0));
}

#[test]
fn a_class_may_have_a_metric_of_its_own() {
    let centers = ClassCenters::fit(Rows::new(&[0.0, 10.0], 1).unwrap(), &[0, 1]).unwrap();
    let rows = [7.0];
    let wide = [0.01];
    let of = |class: usize| (class == 0).then_some(&wide[..]);
    let accuracy = centers.accuracy(Rows::new(&rows, 1).unwrap(), &[0], of);
    assert_eq!(accuracy.unwrap(), Some(1.0));
}
