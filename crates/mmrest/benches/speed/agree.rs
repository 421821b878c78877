//! Whether a device computes what the CPU does: the built-in sample without dropout, trained on both.

use std::path::Path;
use std::process::Command;

use mmrest_datatools::sample::{self, SampleConfig};
use mmrest_learner::config::parse_override;
use mmrest_learner::run::{Outcome, RunFolder, RunOptions, train};
use mmrest_learner::{Backend, Config};
use serde::{Deserialize, Serialize};

use crate::device::On;

/// Losses and validation error of an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) values: Vec<f64>,
    pub(crate) seconds: f64,
}

/// What is compared of an epoch.
pub(crate) const COLUMNS: [&str; 4] = ["loss", "loss_task", "loss_mmc", "valid_mae"];

/// The hidden option that makes this program the process that trains.
const TRAIN: &str = "--train-sample";

/// Trains in a process of its own.
pub(crate) fn epochs_on(on: &On, limit: std::time::Duration) -> Result<Vec<Epoch>, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.arg(TRAIN).args(on.arguments());
    let name = format!("the sample on {} in {}", on.backend, on.precision);
    let mut process = crate::torch::Torch::run(&mut command, &name, limit)?;
    let line = process.answer()?;
    serde_json::from_str(&line).map_err(|_| format!("{name}: {line}"))
}

/// Trains, and prints what [`epochs_on`] reads.
pub(crate) fn train_here(on: &On) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let epochs = epochs(folder.path(), on)?;
    println!("ready");
    let line = serde_json::to_string(&epochs).map_err(|error| error.to_string())?;
    println!("{line}");
    Ok(())
}

/// The sample's preset without dropout: each backend draws masks of its own.
fn epochs(root: &Path, on: &On) -> Result<Vec<Epoch>, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let data = root.join("data/sample");
    let sample = if on.quick {
        SampleConfig {
            videos: 8,
            segments_per_video: 4,
            ..SampleConfig::default()
        }
    } else {
        SampleConfig::default()
    };
    sample::write(&sample, &data).map_err(|error| failed(&error))?;
    let epochs = if on.quick { 2 } else { 5 };
    let set = [
        format!("train.epochs={epochs}"),
        format!("train.precision={:?}", on.precision.to_string()),
        "model.mmrest.dropout=0.0".to_owned(),
        "text.dropout=0.0".to_owned(),
    ];
    let set: Result<Vec<_>, _> = set.iter().map(|set| parse_override(set)).collect();
    let text = include_str!("../../shipped/configs/sample.toml");
    let config = Config::parse(text, &set.map_err(|error| failed(&error))?)
        .map_err(|error| failed(&error))?;
    let folder = RunFolder::new(root.join("run"));
    let options = RunOptions {
        backend: on.backend,
        devices: vec![on.index],
        ..RunOptions::new(folder.clone(), root)
    };
    match train(&config, &options).map_err(|error| failed(&error))? {
        Outcome::Finished(_) => {}
        Outcome::Interrupted { epochs } => return Err(format!("ended after {epochs} epochs")),
    }
    let mut rows = csv::Reader::from_path(folder.epochs()).map_err(|error| failed(&error))?;
    let header = rows.headers().map_err(|error| failed(&error))?.clone();
    let mut found = Vec::new();
    for row in rows.records() {
        let row = row.map_err(|error| failed(&error))?;
        let value = |name: &str| {
            let at = header.iter().position(|found| found == name);
            let text = at.and_then(|at| row.get(at)).unwrap_or_default();
            text.parse::<f64>()
                .map_err(|_| format!("epochs.csv has no {name}"))
        };
        let values: Result<Vec<f64>, String> = COLUMNS.iter().map(|name| value(name)).collect();
        found.push(Epoch {
            values: values?,
            seconds: value("train_seconds")?,
        });
    }
    Ok(found)
}

/// The largest difference of an epoch's values, relative to the CPU's where these are above 1.
pub(crate) fn difference(found: &Epoch, expected: &Epoch) -> f64 {
    let pairs = found.values.iter().zip(&expected.values);
    pairs
        .map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0))
        .fold(0.0, |most, one| {
            if one.is_nan() || most.is_nan() {
                f64::NAN
            } else {
                one.max(most)
            }
        })
}

/// Where the numbers that everything is held against come from.
pub(crate) fn reference(on: &On) -> On {
    On {
        backend: Backend::Cpu,
        index: 0,
        precision: mmrest_learner::Precision::F32,
        ..*on
    }
}
