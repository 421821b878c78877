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
use super::selected::SelectedModel;
use crate::bundle::Bundle;
use crate::clustering;
use crate::config::{ClusterBy, ClusterScope};
use crate::error::LearnerError;
use crate::evaluate::figures;
use crate::loader::SegmentLoader;
use crate::model::MmRest;
use crate::objective::to_host;
use crate::run::FolderLock;
use crate::schedule::SharedFactor;
use crate::seed;
use crate::space::{Moment, Snapshots, SplitRows};
use crate::step::seed_dropout;

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
    /// The run's folder, which is this program's as long as the run goes on.
    pub lock: FolderLock,
    /// Where the selected model is kept.
    pub selected: SelectedModel,
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
                .and_then(|row| self.conclude(&learner, row, &mut components));
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
    /// What comes after an epoch's steps, in a folder that is still the run's own.
    fn conclude(
        &self,
        learner: &Learner<MmRest>,
        row: EpochRow,
        components: &mut TrainingComponents<MmRest>,
    ) -> Result<(), LearnerError> {
        self.lock.check()?;
        let epoch = row.epoch;
        if let Some(snapshots) = &self.snapshots {
            snapshots.add_spectra(&learner.model(), epoch)?;
        }
        let good = self.judge(&learner.model(), row)?;
        self.lock.check()?;
        if good {
            self.checkpoint(learner, epoch, components)?;
            self.selected.promote()?;
        }
        Ok(())
    }

    fn out_of_patience(&self) -> bool {
        self.lock().epochs_since_best >= self.bundle.config.train.patience
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clusters and the steps of one epoch.
    fn epoch(
        &self,
        learner: &mut Learner<MmRest>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<EpochRow, LearnerError> {
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
        Ok(row)
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
            let rows = to_host(representations.rows())?;
            if !rows.iter().all(|value| value.is_finite()) {
                return Err(LearnerError::Training(format!(
                    "epoch {epoch}: the training set cannot be clustered, for it has a representation that is not \
                     finite; {}",
                    self.what_is_left()
                )));
            }
            values.extend(rows);
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

    /// Validates, selects, writes the record. Says whether the model is one to go on from: it predicts numbers.
    fn judge(&self, model: &MmRest, mut row: EpochRow) -> Result<bool, LearnerError> {
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
            self.selected.keep(&self.bundle, &evaluating, row.epoch)?;
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
        let good = row.valid.mae().is_finite();
        if !good {
            self.observer.warning(&format!(
                "epoch {}: the model predicts what is not a number; no checkpoint is written of it",
                row.epoch
            ));
        }
        Ok(good)
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
