//! `metrics.json`: the nine figures of given predictions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Folders;
use crate::error::LearnerError;
use crate::figures::{FigureSet, Figures};
use crate::files;

/// The file's name.
pub(super) const FILE: &str = "metrics.json";

/// Predictions, truths, and whatever else the input says about them.
#[derive(Deserialize, Serialize)]
struct Case {
    preds: Vec<f64>,
    truth: Vec<f64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Writes each case with `metrics`, by the figures' names; an undefined figure is null.
pub(super) fn run(folders: &Folders<'_>) -> Result<PathBuf, LearnerError> {
    let path = folders.input.join(FILE);
    let mut cases: Vec<Case> = files::read_json(&path)?;
    for (index, case) in cases.iter_mut().enumerate() {
        let (predicted, known) = (case.preds.len(), case.truth.len());
        if predicted != known {
            let message = format!("case {index} has {predicted} predictions for {known} truths");
            return Err(LearnerError::format(&path, message));
        }
        case.rest.insert("metrics".into(), figures(case));
    }
    let path = folders.out.join(FILE);
    files::write_json(&path, &cases)?;
    Ok(path)
}

fn figures(case: &Case) -> Value {
    let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|&v| v as f32).collect() };
    let figures = Figures::of(FigureSet::Mosi, &single(&case.preds), &single(&case.truth));
    let named = figures.named();
    Value::Object(
        named
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
    )
}
