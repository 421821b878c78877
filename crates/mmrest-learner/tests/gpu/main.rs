//! A GPU computes what the CPU does. With the feature `wgpu` and an adapter, which may be one in software, or with `cuda` and
//! NVIDIA's driver:
//! `MMREST_FEATURES=wgpu cargo xtask test -p mmrest-learner --test gpu -- --nocapture`.
#![cfg(any(feature = "wgpu", feature = "cuda"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kernels;
#[path = "../conformance/support.rs"]
#[allow(dead_code, reason = "shared with the conformance tests")]
mod support;

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use mmrest_datatools::sample::{self, SampleConfig};
use mmrest_learner::config::{ModelConfig, parse_override};
use mmrest_learner::run::{Outcome, RunFolder, RunOptions, train};
use mmrest_learner::{Backend, Config, open_device};

/// What this machine has of the backends that are built in.
fn adapters() -> Vec<(Backend, Device)> {
    let open = |backend| match open_device(backend, 0) {
        Ok(device) => Some((backend, device)),
        Err(error) => {
            println!("{backend} skipped: {error}");
            None
        }
    };
    [Backend::Wgpu, Backend::Cuda]
        .into_iter()
        .filter_map(open)
        .collect()
}

#[test]
fn golden_numbers_are_the_same_on_an_adapter() {
    for (_, device) in adapters() {
        let bert = support::bert();
        let out = support::run_on(&support::golden(), bert.as_deref(), &device);
        for prefix in ["mmc_", "psd_adam", "model_step"] {
            let files = support::files(prefix);
            let compare = |file: &String| support::assert_golden(out.path(), file);
            files.iter().for_each(compare);
        }
        if bert.is_some() {
            support::assert_golden(out.path(), "bert.safetensors");
        }
    }
}

/// Dropout draws its masks on the device; without it two devices can be compared.
fn without_dropout(bert: &Path) {
    let mut config = support::json(bert);
    for key in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
        config[key] = 0.0.into();
    }
    std::fs::write(bert, config.to_string()).unwrap();
}

/// Trains on the sample below `root`; the folder of the run.
fn trained(root: &Path, backend: Backend, set: &[&str]) -> RunFolder {
    let text = std::fs::read_to_string(support::workspace().join("configs/sample.toml")).unwrap();
    let overrides: Vec<_> = set.iter().map(|set| parse_override(set).unwrap()).collect();
    let config = Config::parse(&text, &overrides).unwrap();
    let name = format!("{backend}-{}", config.model.name());
    let options = RunOptions {
        backend,
        ..RunOptions::new(RunFolder::new(root.join(name)), root)
    };
    assert!(matches!(
        train(&config, &options).unwrap(),
        Outcome::Finished(_)
    ));
    options.folder
}

/// Losses and validation error of each epoch.
fn epochs(root: &Path, backend: Backend) -> Vec<[f64; 4]> {
    let folder = trained(
        root,
        backend,
        &["train.epochs=2", "model.mmrest.dropout=0.0"],
    );
    let mut rows = csv::Reader::from_path(folder.epochs()).unwrap();
    let header = rows.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|found| found == name).unwrap();
    let columns = ["loss", "loss_task", "loss_mmc", "valid_mae"].map(at);
    rows.records()
        .map(|row| columns.map(|column| row.as_ref().unwrap()[column].parse().unwrap()))
        .collect()
}

/// A small sample below a folder.
fn small_sample(root: &Path) -> PathBuf {
    let small = SampleConfig {
        videos: 12,
        ..SampleConfig::default()
    };
    let data = root.join("data/sample");
    sample::write(&small, &data).unwrap();
    data
}

#[test]
fn every_model_trains_on_an_adapter() {
    for (backend, _) in adapters() {
        let root = tempfile::tempdir().unwrap();
        small_sample(root.path());
        for model in ModelConfig::NAMES {
            let (start, name) = (Instant::now(), format!("model.name={model}"));
            let set = ["train.epochs=1", "train.batch_size=16", &name];
            trained(root.path(), backend, &set);
            println!("{backend}: {model} in {:.1?}", start.elapsed());
        }
    }
}

#[test]
fn training_goes_the_same_way_on_an_adapter() {
    let adapters = adapters();
    if adapters.is_empty() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let data = small_sample(root.path());
    without_dropout(&data.join("bert/config.json"));
    let expected = epochs(root.path(), Backend::Cpu);
    for (backend, _) in adapters {
        let found = epochs(root.path(), backend);
        println!("cpu {expected:?}\n{backend} {found:?}");
        assert_eq!(found.len(), expected.len());
        let pairs = found.iter().zip(&expected).enumerate();
        for (epoch, (found, expected)) in pairs {
            // Later, rounding makes another cluster the nearest here and there.
            let tolerance = if epoch == 0 { 1e-5 } else { 1e-3 };
            for (found, expected) in found.iter().zip(expected) {
                let difference = (found - expected).abs();
                assert!(
                    difference <= tolerance * expected.abs().max(1.0),
                    "{found} for {expected} on {backend} in epoch {}",
                    epoch + 1
                );
            }
        }
    }
}
