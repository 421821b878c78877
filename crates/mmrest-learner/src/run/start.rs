//! Training from the first file of a run's folder to the last, and taking a stopped run up again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::Device;
use burn::train::logger::InMemoryMetricLogger;
use burn::train::{Interrupter, Learner, SupervisedTraining, TrainingStrategy};
use mmrest_data::{Dataset, Split, load};
use mmrest_metric::PsdAdamConfig;

use super::finish::{MetricsFile, finish};
use super::folder::RunFolder;
use super::prepare::{Splits, start_model};
use super::record::{RunRecord, now};
use crate::bundle::Bundle;
use crate::config::{Config, TrainConfig};
use crate::device::{Backend, open_device};
use crate::error::LearnerError;
use crate::files;
use crate::model::MmRest;
use crate::schedule::{SharedFactor, metric_group, scheduler};
use crate::train::{Checkpoints, EpochLoop, EveryEpoch, NoRenderer, Observer, Progress};

/// Where and how a run runs; what it computes is its [`Config`].
#[derive(Clone)]
pub struct RunOptions {
    /// The run's folder.
    pub folder: RunFolder,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// The backend.
    pub backend: Backend,
    /// The device's number.
    pub device: usize,
    /// The project's root: relative paths of the configuration are looked up there when they do not exist as they stand.
    pub root: PathBuf,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Stops the run from another thread, at the next batch.
    pub interrupter: Interrupter,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// To the end: the figures of the selected model.
    Finished(Box<MetricsFile>),
    /// Stopped; epochs up to this one are in its checkpoint.
    Interrupted {
        /// Epochs done.
        epochs: usize,
    },
}

/// Trains, or goes on training, and writes everything a run's folder holds.
///
/// # Errors
///
/// Data, text encoder, device or folder are not as they must be; a loss or gradient is not finite. What was already
/// written is kept.
pub fn train(config: &Config, options: &RunOptions) -> Result<Outcome, LearnerError> {
    let device = open_device(options.backend, options.device)?;
    let checkpoints = Checkpoints::new(options.folder.checkpoints());
    check_folder(config, options)?;
    options.observer.stage("reading the data");
    let dataset = load(&config.data, &options.root)?;
    for line in dataset.report.to_string().lines() {
        options.observer.note(line);
    }
    check_splits(&dataset)?;
    let mut record = write_record(config, options, &dataset)?;
    let autodiff = device.clone().autodiff();
    options.observer.stage("preparing text and features");
    let (bundle, model) = start_model(config, &dataset, &options.root, &autodiff)?;
    record.text_encoder = bundle.text.as_ref().map(|text| text.fingerprint.clone());
    files::write_json(&options.folder.record(), &record)?;
    let splits = Splits::prepare(dataset, &bundle, &model.valid(), &options.root)?;
    let resumed_from = match options.resume {
        true => checkpoints.newest(),
        false => None,
    };
    let progress = match resumed_from {
        Some(epoch) => checkpoints.progress(epoch)?,
        None => Progress::default(),
    };
    let progress = run_epochs(
        model,
        bundle,
        &splits,
        progress,
        checkpoints,
        options,
        &device,
    )?;
    let selected = match (progress.selected_epoch, options.interrupter.should_stop()) {
        (Some(epoch), false) => epoch,
        (None, false) => {
            return Err(LearnerError::Training(
                "no epoch gave a validation error that is a number".into(),
            ));
        }
        (_, true) => {
            record.note_peak_memory();
            files::write_json(&options.folder.record(), &record)?;
            return Ok(Outcome::Interrupted {
                epochs: progress.done(),
            });
        }
    };
    options.observer.stage("evaluating the selected model");
    let metrics = finish(&options.folder, &splits, selected, &device)?;
    record.finished = Some(now());
    record.note_peak_memory();
    files::write_json(&options.folder.record(), &record)?;
    Ok(Outcome::Finished(Box::new(metrics)))
}

/// Training needs segments to fit on and segments to choose by.
fn check_splits(dataset: &Dataset) -> Result<(), LearnerError> {
    for split in [Split::Train, Split::Valid] {
        if dataset.split(split).is_empty() {
            return Err(LearnerError::Training(format!(
                "the {split} split has no segment: look at data.split_from, data.folds and data.table"
            )));
        }
    }
    Ok(())
}

/// A new run wants a folder without a run, a resumed one a folder with the same configuration.
fn check_folder(config: &Config, options: &RunOptions) -> Result<(), LearnerError> {
    let folder = &options.folder;
    match (folder.exists(), options.resume) {
        (true, false) => Err(LearnerError::format(
            folder.path(),
            "already holds a run: add --resume to go on with it, or choose another --out",
        )),
        (false, true) => folder.read_config().map(|_| ()),
        (false, false) => Ok(()),
        (true, true) => {
            let mut stored = folder.read_config()?;
            stored.train.epochs = config.train.epochs;
            match stored == *config {
                true => Ok(()),
                false => Err(LearnerError::format(
                    &folder.config(),
                    format!(
                        "is not the configuration given now ({}): resume with the run's own, or start a new run",
                        first_difference(&stored, config)
                    ),
                )),
            }
        }
    }
}

/// The first line in which two configurations differ.
fn first_difference(stored: &Config, given: &Config) -> String {
    let (Ok(stored), Ok(given)) = (stored.to_toml(), given.to_toml()) else {
        return String::from("unreadable");
    };
    let differing = stored.lines().zip(given.lines()).find(|(a, b)| a != b);
    match differing {
        Some((stored, given)) => format!("'{}' there, '{}' now", stored.trim(), given.trim()),
        None => "one has more keys".into(),
    }
}

fn write_record(
    config: &Config,
    options: &RunOptions,
    dataset: &Dataset,
) -> Result<RunRecord, LearnerError> {
    let folder = &options.folder;
    let mut record = RunRecord::begin(
        dataset.files.clone(),
        &dataset.report,
        options.backend,
        options.device,
        config.seed,
    );
    if options.resume {
        let before: RunRecord = files::read_json(&folder.record())?;
        if let Some(changed) = before.changed_file(&dataset.files) {
            return Err(LearnerError::format(
                &changed.path,
                "is not the file this run began with (another SHA-256): restore it, or start a new run",
            ));
        }
        record.started = before.started;
        record.peak_memory_mib = before.peak_memory_mib;
        record.resumed = Some(now());
    }
    files::write(&folder.config(), config.to_toml()?.as_bytes())?;
    files::write_json(&folder.record(), &record)?;
    Ok(record)
}

/// Hands everything to burn-train and takes back how far it came.
fn run_epochs(
    model: MmRest,
    bundle: Bundle,
    splits: &Splits,
    progress: Progress,
    checkpoints: Checkpoints,
    options: &RunOptions,
    device: &Device,
) -> Result<Progress, LearnerError> {
    let config = bundle.config.clone();
    let autodiff = device.clone().autodiff();
    model
        .context
        .state()
        .clusters
        .clone_from(&progress.clusters);
    let done = progress.done();
    let factor = SharedFactor::new();
    let learner = Learner::new(
        model,
        optimizer(&config.train)?,
        scheduler(&config.train, &factor)?,
    );
    let train = splits.loader(Split::Train, &autodiff).shuffled(config.seed);
    let valid = splits.loader(Split::Valid, device);
    let [model_part, optimizer_part, scheduler_part] = checkpoints.parts();
    let epoch_loop = Arc::new(EpochLoop {
        train: train.clone(),
        train_in_order: splits.loader(Split::Train, device),
        valid: valid.clone(),
        test: splits.loader(Split::Test, device),
        device: autodiff,
        bundle: Arc::new(bundle),
        model_folder: options.folder.model(),
        epochs_file: options.folder.epochs(),
        checkpoints,
        factor,
        observer: Arc::clone(&options.observer),
        progress: Mutex::new(progress),
        failure: Mutex::new(None),
    });
    let mut training =
        SupervisedTraining::new(options.folder.path(), Arc::new(train), Arc::new(valid))
            .renderer(Box::new(NoRenderer))
            .with_metric_logger(InMemoryMetricLogger::default())
            .with_application_logger(None)
            .with_custom_checkpointers(model_part, optimizer_part, scheduler_part)
            .with_checkpointing_strategy(EveryEpoch)
            .with_interrupter(options.interrupter.clone())
            .with_training_strategy(TrainingStrategy::Custom(epoch_loop.clone()))
            .num_epochs(config.train.epochs);
    if done > 0 {
        training = training.checkpoint(done);
    }
    let result = training.launch(learner);
    let lock = |poisoned: PoisonError<_>| PoisonError::into_inner(poisoned);
    if let Some(error) = epoch_loop.failure.lock().unwrap_or_else(lock).take() {
        return Err(error);
    }
    if let Some(error) = result.error {
        return Err(LearnerError::Training(error.to_string()));
    }
    let progress = epoch_loop
        .progress
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    Ok(progress.clone())
}

/// Adam as PyTorch's for the model, the published code's Adam for the metrics.
fn optimizer(train: &TrainConfig) -> Result<ModuleOptimizer, LearnerError> {
    let decay = train.weight_decay;
    let adam = AdamConfig::new()
        .with_beta_1(0.9)
        .with_beta_2(0.999)
        .with_epsilon(1e-8)
        .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay as f32)));
    let metrics = PsdAdamConfig {
        weight_decay: decay,
        ..PsdAdamConfig::default()
    };
    Ok(ModuleOptimizer::from(adam.build()).with_group(metric_group()?, metrics.build(), None))
}

/// The folder a run gets when none is named: `runs/<config>/<time>-<seed>`, time as `YYYYMMDD-HHMMSS` UTC.
pub fn default_folder(root: &Path, config_name: &str, seed: u64) -> RunFolder {
    let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let name = format!("{time}-{seed}");
    RunFolder::new(root.join("runs").join(config_name).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_of_two_configurations_is_named() {
        let mut other = Config::default();
        other.loss.margin = 7.0;
        let sentence = first_difference(&Config::default(), &other);
        assert!(
            sentence.contains("margin = 3") && sentence.contains("margin = 7"),
            "{sentence}"
        );
    }
}
