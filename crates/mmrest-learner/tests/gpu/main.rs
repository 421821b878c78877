//! A GPU computes what the CPU does. With the feature `wgpu` and an adapter, which may be one in software, or with `cuda`
//! and NVIDIA's driver: `MMREST_FEATURES=wgpu cargo xtask test -p mmrest-learner --test gpu -- --nocapture`.
#![cfg(any(feature = "wgpu", feature = "cuda"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kernels;
#[path = "../conformance/support.rs"]
#[allow(dead_code, reason = "shared with the conformance tests")]
mod support;

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use mmrest_data::{Frames, Modality, Widths};
use mmrest_datatools::sample::{self, SampleConfig};
use mmrest_learner::config::{ModelConfig, parse_override};
use mmrest_learner::run::{Outcome, RunFolder, RunOptions, train};
use mmrest_learner::train::Trainer;
use mmrest_learner::{Backend, Config, open_device};
use mmrest_models::{Example, HostBatch, MmRest, MmRestConfig, SentimentModel, TextFeatures};

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

/// Trains on the sample below `root`; the folder of the run.
fn trained(root: &Path, backend: Backend, set: &[&str]) -> RunFolder {
    let text = std::fs::read_to_string(support::workspace().join("configs/sample.toml")).unwrap();
    let overrides: Vec<_> = set.iter().map(|set| parse_override(set).unwrap()).collect();
    let config = Config::parse(&text, &overrides).unwrap();
    let name = format!("{backend}-{}-{}", config.model.name(), set.len());
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

/// Losses and validation error of each epoch, without dropout: its masks are drawn on the device.
fn epochs(root: &Path, backend: Backend, more: &[&str]) -> Vec<[f64; 4]> {
    let set = [
        "train.epochs=2",
        "model.mmrest.dropout=0.0",
        "text.dropout=0.0",
    ];
    let folder = trained(root, backend, &[&set, more].concat());
    let mut rows = csv::Reader::from_path(folder.epochs()).unwrap();
    let header = rows.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|found| found == name).unwrap();
    let columns = ["loss", "loss_task", "loss_mmc", "valid_mae"].map(at);
    rows.records()
        .map(|row| columns.map(|column| row.as_ref().unwrap()[column].parse().unwrap()))
        .collect()
}

/// A small sample below a folder.
fn small_sample(root: &Path, videos: usize) {
    let small = SampleConfig {
        videos,
        ..SampleConfig::default()
    };
    sample::write(&small, &root.join("data/sample")).unwrap();
}

/// A test for each model, so that any can be run alone: an epoch of a few steps.
macro_rules! models {
    ($($test:ident: $model:literal,)*) => {
        mod models {
            $(
                #[test]
                fn $test() {
                    super::trains_on_an_adapter($model);
                }
            )*

            #[test]
            fn all_have_a_test() {
                let tested = [$($model),*];
                assert_eq!(tested, super::ModelConfig::NAMES);
            }
        }
    };
}

models! {
    mmrest: "mmrest",
    self_mm: "self-mm",
    tfn: "tfn",
    lmf: "lmf",
    misa: "misa",
    mult: "mult",
    almt: "almt",
    mmim: "mmim",
    mcl_mcf: "mcl-mcf",
    dmd: "dmd",
    deva: "deva",
    mag_bert: "mag-bert",
    mmlcn_like: "mmlcn-like",
}

fn trains_on_an_adapter(model: &str) {
    for (backend, _) in adapters() {
        let root = tempfile::tempdir().unwrap();
        small_sample(root.path(), 5);
        let (start, name) = (Instant::now(), format!("model.name={model}"));
        let set = ["train.epochs=1", "train.batch_size=15", &name];
        trained(root.path(), backend, &set);
        println!("{backend}: {model} in {:.1?}", start.elapsed());
    }
}

/// Steps of two workers on one adapter, a thread each, are those of one on the whole batch.
#[test]
fn two_workers_on_an_adapter_step_as_one() {
    let widths = Widths {
        vision: 5,
        audio: 3,
    };
    let frames = |count: usize, width: usize| Frames {
        values: (0..count * width).map(|at| (at as f32).sin()).collect(),
        width,
    };
    let example = |index: usize| Example {
        id: format!("v[{index}]"),
        text: TextFeatures::Absent,
        vision: frames(2 + index % 4, widths.vision),
        audio: frames(1 + index % 5, widths.audio),
        sentences: Vec::new(),
        label: (index % 7) as f32 - 3.0,
    };
    let examples: Vec<Example> = (0..13).map(example).collect();
    let rows: Vec<usize> = (0..examples.len()).collect();
    let mut run = Config::default();
    run.data.modalities = vec![Modality::Vision, Modality::Audio];
    let task = run.task(widths, 0);
    let config = MmRestConfig {
        dropout: 0.0,
        representation: 8,
        ..MmRestConfig::default()
    };
    let recipe = MmRest::recipe(&config, &run.train.rates());
    for (backend, device) in adapters() {
        let device = device.autodiff();
        let model = MmRest::init(&config, &task, None, &device).unwrap();
        let steps = |workers: usize| {
            let state = MmRest::init_state(&config, &task, &[]);
            let devices = vec![device.clone(); workers];
            let mut trainer = Trainer::new(model.clone(), state, &recipe, &devices).unwrap();
            trainer.begin_epoch(1);
            let mut figures = Vec::new();
            for _ in 0..3 {
                let parts = HostBatch::split(&examples, &rows, workers);
                let step = trainer.step(HostBatch::upload_parts(parts, &devices));
                let step = step.unwrap();
                assert!(step.skipped.is_none());
                figures.extend(step.losses.into_iter().chain(step.norms));
            }
            trainer.end_pass().unwrap();
            figures
        };
        let (two, one) = (steps(2), steps(1));
        assert_eq!(two.len(), one.len());
        for (two, one) in two.iter().zip(&one) {
            assert!(
                (two - one).abs() <= 1e-5 * one.abs().max(1.0),
                "{two} for {one} on {backend}"
            );
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
    small_sample(root.path(), 12);
    for more in [&[][..], &["train.ema=0.9", "train.layer_decay=0.8"]] {
        let expected = epochs(root.path(), Backend::Cpu, more);
        for (backend, _) in &adapters {
            let found = epochs(root.path(), *backend, more);
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
}
