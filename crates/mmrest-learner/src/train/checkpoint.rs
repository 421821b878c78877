//! Checkpoints: one folder an epoch, put in place whole once model, optimiser, schedule and progress are all written.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use burn::lr_scheduler::LrSchedulerRecord;
use burn::optim::OptimizerRecord;
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use burn::train::checkpoint::{Checkpoint, Checkpointer, CheckpointerError};
use serde::Serialize;

use super::progress::Progress;
use super::records;
use crate::digests::{self, Checked};
use crate::error::LearnerError;
use crate::files;
use crate::tensor_file::TensorFile;

/// How many checkpoints are kept.
const KEPT: usize = 2;
/// burn writes these three; their number is awaited.
const PARTS: [&str; 3] = ["model", "optimizer", "scheduler"];
/// The file of the run's progress.
const PROGRESS: &str = "progress.json";
/// The file of the moving average of the weights, where there is one.
pub(super) const EMA: &str = "ema.safetensors";
/// The file of the model's state.
const STATE: &str = "state.json";
/// How the name of a folder begins in which a checkpoint grows.
const GROWING: &str = "growing-";

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    written: Arc<Written>,
}

/// All that a checkpoint holds.
pub struct Restored {
    /// The checkpoint's folder.
    pub folder: PathBuf,
    /// Weights.
    pub model: ModuleRecord,
    /// State of the optimisers.
    pub optimizer: OptimizerRecord,
    /// State of the schedules.
    pub scheduler: LrSchedulerRecord,
    /// How far the run had come.
    pub progress: Progress,
    /// The model's state, as JSON.
    pub state: serde_json::Value,
    /// The moving average of the weights, where there was one.
    pub(crate) ema: Option<TensorFile>,
}

/// Counts the parts of the checkpoint under way; burn writes them from threads of its own.
#[derive(Debug, Default)]
struct Written {
    parts: Mutex<Vec<Result<Listed, Failed>>>,
    changed: Condvar,
}

/// A file's name and its SHA-256.
type Listed = (String, String);

/// The name of a file that could not be written, and why.
type Failed = (String, String);

impl Checkpoints {
    /// Checkpoints below `folder`, made when the first is written.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            written: Arc::default(),
        }
    }

    /// The epochs that have a checkpoint, the newest first.
    ///
    /// # Errors
    ///
    /// The folder is there but cannot be read.
    pub fn epochs(&self) -> Result<Vec<usize>, LearnerError> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&self.folder)
            .map_err(|e| LearnerError::io("read", &self.folder, e))?;
        let mut epochs: Vec<usize> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_prefix("epoch-")?.parse().ok()
            })
            .collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(epochs)
    }

    fn path(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("epoch-{epoch:04}"))
    }

    /// Where an epoch's checkpoint grows until it is whole.
    fn growing(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("{GROWING}{epoch:04}"))
    }

    /// Compares every file of an epoch's checkpoint with what was written, as far as that can be told.
    ///
    /// # Errors
    ///
    /// A file is missing or another; the error names it.
    pub fn verify(&self, epoch: usize) -> Result<Checked, LearnerError> {
        let folder = self.path(epoch);
        let (_, seal) = digests::read_sealed::<Progress>(&folder, PROGRESS)?;
        digests::verify(&folder, seal.as_ref(), None)
    }

    /// Reads an epoch's checkpoint whole.
    ///
    /// # Errors
    ///
    /// A file of it is missing or damaged, or they are not of one model; the error names it.
    pub fn restore(&self, epoch: usize) -> Result<Restored, LearnerError> {
        let [model, optimizer, scheduler] = self.parts();
        records::check(&model.file(epoch), &optimizer.file(epoch))?;
        let folder = self.path(epoch);
        let (progress, seal) = digests::read_sealed(&folder, PROGRESS)?;
        let ema = digests::own_file(&folder, seal.as_ref(), EMA);
        Ok(Restored {
            model: model.read(epoch)?,
            optimizer: optimizer.read(epoch)?,
            scheduler: scheduler.read(epoch)?,
            progress,
            state: files::read_json(&folder.join(STATE))?,
            ema: ema.map(|path| TensorFile::read(&path)).transpose()?,
            folder,
        })
    }

    /// The three writers that burn asks for: model, optimiser, schedule.
    pub fn parts(&self) -> [Part; 3] {
        PARTS.map(|name| Part {
            name,
            checkpoints: self.clone(),
        })
    }

    /// Clears what an interrupted write may have left, before `epoch` is written.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or cleared.
    pub fn begin(&self, epoch: usize) -> Result<(), LearnerError> {
        if self.folder.exists() {
            for path in files::entries(&self.folder)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with(GROWING) || name.ends_with(".old") {
                    files::remove_folder(&path)?;
                }
            }
        }
        files::make_folder(&self.growing(epoch))?;
        self.lock().clear();
        Ok(())
    }

    /// Waits for burn's three parts, adds the progress, the model's state, the averages and the list of digests, puts the
    /// checkpoint in place and removes the ones before the last.
    ///
    /// # Errors
    ///
    /// A part could not be written; the checkpoints before it are untouched.
    pub fn finish(
        &self,
        epoch: usize,
        progress: &Progress,
        state: &impl Serialize,
        ema: Option<&TensorFile>,
    ) -> Result<(), LearnerError> {
        let growing = self.growing(epoch);
        let parts = self.wait();
        let mut listed = parts.map_err(|(name, e)| {
            LearnerError::format(&growing.join(name), format!("cannot be written: {e}"))
        })?;
        files::write_compact_json(&growing.join(STATE), state)?;
        listed.push((STATE.into(), digests::digest(&growing.join(STATE))?));
        if let Some(ema) = ema {
            ema.write(&growing.join(EMA))?;
            listed.push((EMA.into(), digests::digest(&growing.join(EMA))?));
        }
        digests::seal_listed(&growing, PROGRESS, progress, listed)?;
        files::replace_folder(&growing, &self.path(epoch))?;
        self.prune()
    }

    /// Removes all but the newest checkpoints.
    fn prune(&self) -> Result<(), LearnerError> {
        for epoch in self.epochs()?.into_iter().skip(KEPT) {
            let path = self.path(epoch);
            files::remove_folder(&path)?;
        }
        Ok(())
    }

    fn wait(&self) -> Result<Vec<Listed>, Failed> {
        let mut parts = self.lock();
        while parts.len() < PARTS.len() {
            parts = self
                .written
                .changed
                .wait(parts)
                .unwrap_or_else(PoisonError::into_inner);
        }
        parts.drain(..).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Result<Listed, Failed>>> {
        self.written
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writer of one of burn's three records.
#[derive(Clone, Debug)]
pub struct Part {
    name: &'static str,
    checkpoints: Checkpoints,
}

impl Part {
    /// Reads the part of an epoch's checkpoint.
    fn read<R: Checkpoint>(&self, epoch: usize) -> Result<R, LearnerError> {
        self.restore(epoch).map_err(|e| {
            LearnerError::format(&self.file(epoch), format!("cannot be read: {}", plain(&e)))
        })
    }

    /// Where it is in an epoch's checkpoint.
    fn file(&self, epoch: usize) -> PathBuf {
        let folder = self.checkpoints.path(epoch);
        folder.join(format!("{}.bpk", self.name))
    }
}

impl<R: Checkpoint> Checkpointer<R> for Part {
    fn save(&self, epoch: usize, record: R) -> Result<(), CheckpointerError> {
        let name = format!("{}.bpk", self.name);
        let mut report = Report {
            checkpoints: &self.checkpoints,
            outcome: Err((name.clone(), "its writing panicked".into())),
        };
        let path = self.checkpoints.growing(epoch).join(&name);
        let saved = record.save(path.clone());
        report.outcome = match &saved {
            Ok(()) => match digests::digest(&path) {
                Ok(digest) => Ok((name, digest)),
                Err(error) => Err((name, error.to_string())),
            },
            Err(error) => Err((name, plain(error))),
        };
        Ok(()) // who waits is told
    }

    fn delete(&self, _: usize) -> Result<(), CheckpointerError> {
        Ok(())
    }

    /// Reads the whole file: a record that burn reads from a path would go back to it at the first step, when the checkpoint
    /// may be gone.
    fn restore(&self, epoch: usize) -> Result<R, CheckpointerError> {
        let bytes = std::fs::read(self.file(epoch)).map_err(CheckpointerError::IOError)?;
        R::checkpoint_from_bytes(Bytes::from_bytes_vec(bytes)).map_err(CheckpointerError::Record)
    }
}

/// burn's error without what it wraps around the cause.
fn plain(error: &CheckpointerError) -> String {
    match error {
        CheckpointerError::IOError(error) => error.to_string(),
        CheckpointerError::Record(error) => error.to_string(),
        CheckpointerError::Unknown(message) => message.clone(),
    }
}

/// Tells how a part's writing ended, also where it panicked: somebody waits for it.
struct Report<'a> {
    checkpoints: &'a Checkpoints,
    outcome: Result<Listed, Failed>,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        self.checkpoints.lock().push(self.outcome.clone());
        self.checkpoints.written.changed.notify_all();
    }
}
