//! The epoch loop, as a learning strategy of burn-train: cluster, train, validate, select, checkpoint, stop.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use burn::train::{
    Interrupter, Learner, SupervisedLearningStrategy, SupervisedTrainingEventProcessor,
    TrainLoader, TrainingComponents, ValidLoader,
};
use mmrest_data::Split;
use mmrest_metric::Rows;

use super::checkpoint::Checkpoints;
use super::observer::Observer;
use super::progress::{EpochRow, Progress};
use super::workers::Workers;
use crate::bundle::Bundle;
use crate::clustering;
use crate::config::{ClusterBy, ClusterScope};
use crate::error::LearnerError;
use crate::evaluate::figures;
use crate::figures::Figures;
use crate::loader::SegmentLoader;
use crate::model::MmRest;
use crate::objective::to_host;
use crate::schedule::SharedFactor;
use crate::seed;
use crate::space::{Moment, Snapshots, SplitRows};
use crate::step::{Losses, seed_dropout};

/// Where a run reads and writes while it trains.
pub(crate) struct EpochLoop {
    /// Training batches, shuffled, on the autodiff device.
    pub train: SegmentLoader,
    /// Training batches in order, on the inner device, for clustering.
    pub train_in_order: SegmentLoader,
    /// Validation batches.
    pub valid: SegmentLoader,
    /// Test batches; looked at while training only where selection or `train.record_test` say so.
    pub test: SegmentLoader,
    /// The autodiff devices; the first holds the model.
    pub devices: Vec<Device>,
    /// What goes into the model folder beside weights and clusters; its configuration rules the loop.
    pub bundle: Arc<Bundle>,
    /// Where the selected model is kept.
    pub model_folder: PathBuf,
    /// Where the epochs' record is kept.
    pub epochs_file: PathBuf,
    /// The run's checkpoints.
    pub checkpoints: Checkpoints,
    /// What is kept for reports, where anything is.
    pub snapshots: Option<Snapshots>,
    /// The factor of the learning rates.
    pub factor: SharedFactor,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// How far the run has come.
    pub progress: Mutex<Progress>,
    /// Why it ended early, if it did.
    pub failure: Mutex<Option<LearnerError>>,
}

impl SupervisedLearningStrategy<MmRest> for EpochLoop {
    fn fit(
        &self,
        mut components: TrainingComponents<MmRest>,
        mut learner: Learner<MmRest>,
        _: TrainLoader<MmRest>,
        _: ValidLoader<MmRest>,
        _: usize,
    ) -> (MmRest, SupervisedTrainingEventProcessor<MmRest>) {
        let first = self.lock().done() + 1;
        for epoch in first..=components.num_epochs {
            if self.out_of_patience() || components.interrupter.should_stop() {
                break;
            }
            let outcome = self
                .epoch(&mut learner, epoch, &components.interrupter)
                .and_then(|()| self.checkpoint(&learner, epoch, &mut components));
            match outcome {
                Ok(()) => {}
                Err(LearnerError::Interrupted) => break,
                Err(error) => {
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    break;
                }
            }
        }
        (learner.model(), components.event_processor)
    }
}

impl EpochLoop {
    fn out_of_patience(&self) -> bool {
        self.lock().epochs_since_best >= self.bundle.config.train.patience
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One epoch up to its row in `epochs.csv`.
    fn epoch(
        &self,
        learner: &mut Learner<MmRest>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<(), LearnerError> {
        let started = Instant::now();
        let model = learner.model();
        {
            let mut state = model.context.state();
            (state.epoch, state.step) = (epoch, 0);
        }
        self.recluster(&model, epoch, interrupter)?;
        if epoch == 1 {
            self.keep_start(&model, interrupter)?;
        }
        seed_dropout(&self.devices, self.bundle.config.seed, epoch);
        let mut row = self.train_pass(learner, epoch, interrupter)?;
        row.train_seconds = started.elapsed().as_secs_f64();
        if let Some(snapshots) = &self.snapshots {
            snapshots.add_spectra(&learner.model(), epoch)?;
        }
        self.judge(&learner.model(), row)
    }

    /// The shared space before the first step.
    fn keep_start(&self, model: &MmRest, interrupter: &Interrupter) -> Result<(), LearnerError> {
        let Some(snapshots) = &self.snapshots else {
            return Ok(());
        };
        self.observer.stage("keeping the shared space for reports");
        let evaluating = model.valid();
        let encode = |loader: &SegmentLoader, split| {
            SplitRows::encode(&evaluating, loader, split, &|| interrupter.should_stop())
        };
        let splits = [
            encode(&self.train_in_order, Split::Train)?,
            encode(&self.valid, Split::Valid)?,
            encode(&self.test, Split::Test)?,
        ];
        snapshots.write(model, &splits, Moment::Before)
    }

    /// k-means over the whole training set, warm-started from the centres in force (docs/src/method.md, "a stable set").
    fn recluster(
        &self,
        model: &MmRest,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<(), LearnerError> {
        let settings = model.context.settings();
        if model.metric.is_none() || settings.scope == ClusterScope::Batch {
            return Ok(());
        }
        self.observer.stage("clustering the training set");
        let evaluating = model.valid();
        let (mut values, mut bins) = (Vec::new(), Vec::new());
        for batch in self.train_in_order.pass() {
            if interrupter.should_stop() {
                return Err(LearnerError::Interrupted);
            }
            let batch = batch?;
            let representations = evaluating.encode(&batch);
            values.extend(to_host(representations.rows())?);
            let batch_bins: Vec<usize> =
                batch.labels.iter().map(|&l| settings.bins.bin(l)).collect();
            bins.extend(batch_bins.repeat(representations.modalities()));
        }
        let rows = Rows::new(&values, self.bundle.config.model.representation)?;
        let before = model.context.clusters();
        let clusters = match before {
            _ if settings.by == ClusterBy::Sentiment => {
                clustering::by_sentiment(rows, &bins, settings.bins.len())
            }
            Some(before) => clustering::warm(
                rows,
                &bins,
                &settings.bins,
                &settings.kmeans,
                settings.field,
                &before,
            )?,
            None => {
                let seed = seed::mix(settings.seed, &[seed::KMEANS, epoch as u64]);
                clustering::fresh(
                    rows,
                    &bins,
                    &settings.bins,
                    &settings.kmeans,
                    settings.field,
                    seed,
                )?
            }
        };
        model.context.state().clusters = Some(clusters);
        Ok(())
    }

    /// All training steps of an epoch.
    fn train_pass(
        &self,
        learner: &mut Learner<MmRest>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<EpochRow, LearnerError> {
        let config = &self.bundle.config;
        let context = learner.model().context.clone();
        let factor = {
            let progress = self.lock();
            progress.plateau.factor
        };
        self.factor.set(factor);
        self.train.set_epoch(epoch);
        let (mut sums, mut norms, mut steps, mut done) = (Losses::default(), [0.0; 2], 0, 0);
        let total = burn::data::dataloader::DataLoader::num_items(&self.train);
        let workers = Workers::new(&self.devices);
        for parts in self.train.pass_on(&self.devices) {
            if interrupter.should_stop() {
                return Err(LearnerError::Interrupted);
            }
            let parts = parts?;
            let ids: Vec<usize> = parts.iter().flat_map(|part| &part.rows).copied().collect();
            let size = ids.len();
            context.state().step += 1;
            let output = workers.step(learner, parts)?;
            learner.lr_step();
            learner.optimizer_step(output.grads);
            let state = context.state();
            if let Some(reason) = &state.failure {
                return Err(self.failed_step(epoch, state.step, reason, &ids));
            }
            steps += 1;
            done += size;
            norms[0] += state.norms.model;
            norms[1] += state.norms.metrics;
            drop(state);
            add(&mut sums, &output.item.losses, size as f64);
            self.observer.batch(
                epoch,
                config.train.epochs,
                done,
                total,
                output.item.losses.total,
            );
        }
        let mut mean = Losses::default();
        add(&mut mean, &sums, 1.0 / (done.max(1)) as f64);
        let clusters = context.clusters().map_or(0, |c| c.len());
        let mut row = EpochRow {
            epoch,
            train_seconds: 0.0,
            loss: 0.0,
            loss_task: 0.0,
            loss_mmc: 0.0,
            loss_intra: 0.0,
            loss_inter: 0.0,
            loss_frobenius: 0.0,
            valid: Figures::of(config.figures, &[], &[]),
            test: None,
            learning_rate: config.train.learning_rate * factor,
            text_learning_rate: config.train.text_learning_rate * factor,
            metric_learning_rate: config.train.metric_learning_rate * factor,
            gradient_norm: norms[0] / f64::from(steps.max(1)),
            metric_gradient_norm: norms[1] / f64::from(steps.max(1)),
            clusters,
            selected: false,
        };
        row.set_losses(&mean);
        Ok(row)
    }

    fn failed_step(&self, epoch: usize, step: usize, reason: &str, rows: &[usize]) -> LearnerError {
        let ids: Vec<&str> = rows.iter().map(|&row| self.train.id(row)).collect();
        LearnerError::Training(format!(
            "epoch {epoch}, step {step}: {reason}; the step was not taken, and epochs before this one are kept. Segments of the batch: {}",
            ids.join(", ")
        ))
    }

    /// Validates, selects, writes the record.
    fn judge(&self, model: &MmRest, mut row: EpochRow) -> Result<(), LearnerError> {
        let config = &self.bundle.config;
        let evaluating = model.valid();
        self.observer.stage("validating");
        let of = |loader: &SegmentLoader| {
            let predictions = evaluating.predict(loader)?;
            let figures = figures(config.figures, &predictions, &loader.labels());
            Ok::<_, LearnerError>(figures)
        };
        row.valid = of(&self.valid)?;
        if config.train.record_test {
            self.observer.stage("recording the test split");
            row.test = Some(of(&self.test)?);
        }
        let mut progress = self.lock();
        row.selected = progress.observe(
            row.epoch,
            row.valid.mae(),
            config.train.selection,
            || match &row.test {
                Some(recorded) => Ok(recorded.mae()),
                None => Ok(of(&self.test)?.mae()),
            },
        )?;
        if row.selected {
            self.bundle
                .save(&evaluating, row.epoch, &self.model_folder)?;
        }
        progress.plateau.observe(
            row.valid.mae(),
            config.train.plateau_factor,
            config.train.plateau_patience,
        );
        progress.clusters = model.context.clusters();
        progress.epochs.push(row.clone());
        progress.write_epochs(&self.epochs_file)?;
        drop(progress);
        self.observer.epoch(&row, config.train.epochs);
        Ok(())
    }

    fn checkpoint(
        &self,
        learner: &Learner<MmRest>,
        epoch: usize,
        components: &mut TrainingComponents<MmRest>,
    ) -> Result<(), LearnerError> {
        if let Some(checkpointer) = &mut components.checkpointer {
            self.checkpoints.begin(epoch)?;
            checkpointer.checkpoint(learner, epoch, &components.event_store);
            self.checkpoints.finish(epoch, &self.lock().clone())?;
        }
        Ok(())
    }
}

/// Adds `scale` times `part`.
fn add(sum: &mut Losses, part: &Losses, scale: f64) {
    sum.total += scale * part.total;
    sum.task += scale * part.task;
    sum.mmc += scale * part.mmc;
    sum.intra += scale * part.intra;
    sum.inter += scale * part.inter;
    sum.frobenius += scale * part.frobenius;
}
