//! The configuration `mosi-words` on CMU-MOSI itself, where the files (and MiniLM's weights) are there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::train::Interrupter;
use mmrest_learner::config::parse_override;
use mmrest_learner::run::{MetricsFile, Outcome, RunFolder, RunOptions, train};
use mmrest_learner::train::Silent;
use mmrest_learner::{Backend, Config};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The data: beside the project, or where the configuration says.
fn mosi() -> Option<PathBuf> {
    let places = ["../shared/data/mosi", "data/mosi-words"];
    let found = places
        .iter()
        .map(|p| workspace().join(p))
        .find(|p| p.is_dir());
    if found.is_none() {
        println!("skipped: CMU-MOSI's files are not there");
    }
    found
}

/// MiniLM: named by `MMREST_BERT`, or where the configuration says.
fn minilm() -> Option<PathBuf> {
    let named = std::env::var_os("MMREST_BERT").map(PathBuf::from);
    let found = named.or_else(|| Some(workspace().join("data/bert/minilm")));
    let found = found.filter(|folder| folder.join("config.json").exists());
    if found.is_none() {
        println!("skipped: MiniLM's weights are not there");
    }
    found
}

fn run(data: &Path, set: &[String]) -> MetricsFile {
    let folder = tempfile::tempdir().unwrap();
    let mut overrides = vec![
        parse_override(&format!("data.dir={}", data.display())).unwrap(),
        parse_override(&format!(
            "text.cache={}",
            folder.path().join("cache").display()
        ))
        .unwrap(),
    ];
    overrides.extend(set.iter().map(|s| parse_override(s).unwrap()));
    let config = Config::load(&workspace().join("configs/mosi-words.toml"), &overrides).unwrap();
    let outcome = train(
        &config,
        &RunOptions {
            folder: RunFolder::new(folder.path().join("run")),
            resume: false,
            backend: Backend::Cpu,
            devices: vec![0],
            root: workspace(),
            init: None,
            observer: Arc::new(Silent),
            interrupter: Interrupter::new(),
        },
    );
    match outcome.unwrap() {
        Outcome::Finished(metrics) => *metrics,
        Outcome::Interrupted { epochs } => panic!("interrupted after {epochs} epochs"),
    }
}

#[test]
fn voices_alone_train() {
    let Some(data) = mosi() else { return };
    let set = ["train.epochs=2", "data.modalities=[\"audio\"]"].map(String::from);
    let metrics = run(&data, &set);
    assert!(metrics.test.mae() < 1.6, "{:?}", metrics.test);
    assert_eq!(metrics.parameters.text_encoder, 0);
}

#[test]
fn words_and_voices_train_on_a_frozen_encoder() {
    let (Some(data), Some(bert)) = (mosi(), minilm()) else {
        return;
    };
    let set = [
        "train.epochs=6".to_string(),
        "train.learning_rate=0.001".to_string(),
        "text.freeze=true".to_string(),
        format!("text.bert={}", bert.display()),
    ];
    let metrics = run(&data, &set);
    assert!(metrics.test.corr() > 0.4, "{:?}", metrics.test);
}
