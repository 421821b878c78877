//! Where everything of a run is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::FolderLock;
use crate::config::Config;
use crate::error::LearnerError;
use crate::files;
use crate::space::Snapshots;

/// Name of the lock's file.
const LOCK: &str = "run.lock";

/// A run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The run at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The resolved configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// Version, data, device, seed, times.
    pub fn record(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// One row an epoch.
    pub fn epochs(&self) -> PathBuf {
        self.0.join("epochs.csv")
    }

    /// The figures of the selected model.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.json")
    }

    /// Every segment's prediction.
    pub fn predictions(&self) -> PathBuf {
        self.0.join("predictions.csv")
    }

    /// The selected model.
    pub fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    /// The shared space before training and of the selected model, and the metrics' eigenvalues.
    pub fn geometry(&self) -> PathBuf {
        self.0.join("geometry")
    }

    /// What resuming needs.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// The log, JSON lines.
    pub fn log(&self) -> PathBuf {
        self.0.join("log.jsonl")
    }

    /// Keeps every other program out of the folder, which is made where it is not there.
    ///
    /// # Errors
    ///
    /// [`LearnerError::Busy`] where another program has the run; the folder cannot be made or written.
    pub fn lock(&self) -> Result<FolderLock, LearnerError> {
        FolderLock::take(&self.0, LOCK)
    }

    /// Waits until no other program is at work in the folder, if a run has ever been started there.
    ///
    /// # Errors
    ///
    /// [`LearnerError::Busy`] where one still is after `patience`.
    pub fn wait_until_free(&self, patience: Duration) -> Result<(), LearnerError> {
        if self.0.join(LOCK).exists() {
            FolderLock::take_within(&self.0, LOCK, patience)?;
        }
        Ok(())
    }

    /// Where what reports need is kept, unless the configuration says that it is not.
    pub(crate) fn snapshots(&self, config: &Config) -> Option<Snapshots> {
        config
            .report
            .geometry
            .then(|| Snapshots::new(self.geometry()))
    }

    /// Removes what a run would go on from: for one that has finished, and is not to be trained longer.
    ///
    /// # Errors
    ///
    /// The folder cannot be removed.
    pub fn remove_checkpoints(&self) -> Result<(), LearnerError> {
        files::remove_folder(&self.checkpoints())
    }

    /// Whether a run has begun here.
    pub fn exists(&self) -> bool {
        self.config().exists() || self.checkpoints().exists()
    }

    /// The configuration of the run that is here.
    ///
    /// # Errors
    ///
    /// There is none, or it is damaged.
    pub fn read_config(&self) -> Result<Config, LearnerError> {
        if !self.config().exists() {
            return Err(LearnerError::format(
                &self.0,
                "is not a run's folder (no config.toml): give the folder that 'train' printed",
            ));
        }
        Config::load_stored(&self.config())
    }
}
