//! A small sample to train on, and what two runs are compared by.

use std::path::{Path, PathBuf};

use burn::train::Interrupter;
use mmrest_datatools::sample::{self, SampleConfig};
use mmrest_learner::config::parse_override;
use mmrest_learner::run::{MetricsFile, Outcome, RunFolder, RunOptions, train};
use mmrest_learner::train::Observer;
use mmrest_learner::{Config, LearnerError};

/// burn's random state is the process's: runs that must repeat to the bit take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
}

impl Fixture {
    /// A small sample in a folder of its own.
    pub(crate) fn new() -> Self {
        Self::of(&SampleConfig {
            videos: 12,
            ..SampleConfig::default()
        })
    }

    /// The sample as the quick start has it.
    pub(crate) fn whole() -> Self {
        Self::of(&SampleConfig::default())
    }

    fn of(config: &SampleConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        sample::write(config, &folder.path().join("data/sample")).unwrap();
        Self { folder }
    }

    pub(crate) fn run_folder(&self, name: &str) -> RunFolder {
        RunFolder::new(self.folder.path().join(name))
    }

    /// The sample's configuration with complete segments and, of MMRest, preset `paper`, unless `set` names others.
    pub(crate) fn config(&self, set: &[&str]) -> Config {
        let text = std::fs::read_to_string(workspace().join("configs/sample.toml")).unwrap();
        let mut own = vec!["train.epochs=4", "train.modality_dropout=0"];
        if !set.iter().any(|set| set.starts_with("model.name=")) {
            own.push("preset=paper");
        }
        let overrides = own.iter().chain(set);
        let overrides: Vec<_> = overrides.map(|set| parse_override(set).unwrap()).collect();
        Config::parse(&text, &overrides).unwrap()
    }

    pub(crate) fn options(&self, name: &str) -> RunOptions {
        RunOptions::new(self.run_folder(name), self.folder.path())
    }

    pub(crate) fn train(&self, name: &str, set: &[&str]) -> MetricsFile {
        finished(train(&self.config(set), &self.options(name)))
    }
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn finished(outcome: Result<Outcome, LearnerError>) -> MetricsFile {
    match outcome.unwrap() {
        Outcome::Finished(metrics) => *metrics,
        Outcome::Interrupted { epochs } => panic!("interrupted after {epochs} epochs"),
    }
}

pub(crate) fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `epochs.csv` without its column of times.
pub(crate) fn epochs_without_times(folder: &RunFolder) -> Vec<Vec<String>> {
    let text = read(folder.epochs());
    let mut lines = text
        .lines()
        .map(|l| l.split(',').map(String::from).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let time = header
        .iter()
        .position(|name| name == "train_seconds")
        .unwrap();
    lines
        .map(|mut row| {
            row.remove(time);
            row
        })
        .collect()
}

pub(crate) fn assert_same_run(a: &RunFolder, b: &RunFolder) {
    assert!(
        read(a.predictions()) == read(b.predictions()),
        "other predictions"
    );
    assert_eq!(read(a.metrics()), read(b.metrics()));
    assert_eq!(epochs_without_times(a), epochs_without_times(b));
}

/// Stops a run once an epoch is done, in the middle of the next.
pub(crate) struct StopAfter {
    pub(crate) epoch: usize,
    pub(crate) interrupter: Interrupter,
}

impl Observer for StopAfter {
    fn batch(&self, epoch: usize, _: usize, _: usize, _: usize, _: f64) {
        if epoch > self.epoch {
            self.interrupter.stop(Some("test"));
        }
    }
}

/// The columns of `epochs.csv` whose names `wanted` takes, a row an epoch.
pub(crate) fn epoch_columns(folder: &RunFolder, wanted: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let text = read(folder.epochs());
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells = header.iter().zip(line.split(','));
        let kept = cells.filter(|(name, _)| wanted(name) && **name != "train_seconds");
        kept.map(|(_, cell)| cell.to_string()).collect()
    };
    text.lines().map(row).collect()
}

/// Makes a model folder one of an older version: without a list of its files, and without a word of one.
pub(crate) fn unseal(model: &std::path::Path) {
    std::fs::remove_file(model.join("SHA256SUMS")).unwrap();
    let stamp = model.join("model.json");
    let text = std::fs::read_to_string(&stamp).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["files", "sha256sums", "seal"] {
        assert!(json.as_object_mut().unwrap().remove(key).is_some());
    }
    std::fs::write(stamp, json.to_string()).unwrap();
}
