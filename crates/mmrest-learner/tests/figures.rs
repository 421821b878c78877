//! CH-SIMS's figures against NumPy and scikit-learn (fixtures/sims_figures.py).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use mmrest_learner::{FigureSet, Figures};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    case: String,
    predictions: Vec<f32>,
    truth: Vec<f32>,
    figures: BTreeMap<String, Option<f64>>,
}

#[test]
fn figures_of_ch_sims_are_those_of_numpy_and_scikit_learn() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("fixtures/sims_figures.json")).unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let found = Figures::of(FigureSet::Sims, &case.predictions, &case.truth);
        assert_eq!(found.named().len(), case.figures.len());
        for (name, value) in found.named() {
            match case.figures[name] {
                Some(expected) => assert!(
                    (value - expected).abs() < 1e-6,
                    "{}, {name}: {value}, expected {expected}",
                    case.case
                ),
                None => assert!(value.is_nan(), "{}, {name}: {value}", case.case),
            }
        }
    }
}
