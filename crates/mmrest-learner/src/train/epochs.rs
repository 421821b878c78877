//! The epoch loop: begin, train, validate, select, checkpoint, stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use burn::train::Interrupter;
use mmrest_models::{Batch, ModelError, Recipe, SentimentModel, seed};

use super::adapter::Epochs;
use super::best_model::BestModel;
use super::checkpoint::Checkpoints;
use super::ema::Ema;
use super::non_finite::NonFinite;
use super::observer::Observer;
use super::progress::{EpochRow, Progress};
use super::schedule::RatePlan;
use super::trainer::{Step, Trainer};
use crate::error::{LearnerError, batch_error};
use crate::figures::{Figures, figures};
use crate::loader::SegmentLoader;
use crate::run::FolderLock;
use crate::saved_model::SavedModel;
use crate::space::Snapshots;
use crate::trained::{Trained, TrainedModel, predict};

/// A run while it trains: where it reads and writes, and how far it has come.
pub(crate) struct EpochLoop {
    /// Training batches, shuffled, on the autodiff device.
    pub train: SegmentLoader,
    /// Training batches in order, on the inner device, for what an epoch begins with.
    pub train_in_order: SegmentLoader,
    /// Validation batches.
    pub valid: SegmentLoader,
    /// Test batches; looked at while training only where selection or `train.record_test` say so.
    pub test: SegmentLoader,
    /// The autodiff devices; the first holds the model.
    pub devices: Vec<Device>,
    /// How the model is trained: names and rates of its groups.
    pub recipe: Recipe,
    /// What goes into the model folder beside weights and state; its configuration rules the loop.
    pub saved: SavedModel,
    /// The run's folder, which is this program's as long as the run goes on.
    pub lock: FolderLock,
    /// Where the selected model is kept.
    pub best: BestModel,
    /// Where the epochs' record is kept.
    pub epochs_file: PathBuf,
    /// The run's checkpoints.
    pub checkpoints: Checkpoints,
    /// What is kept for reports, where anything is.
    pub snapshots: Option<Snapshots>,
    /// The file of weights that the run began with, where it did not draw them.
    pub initial_weights: Option<PathBuf>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// How far the run has come.
    pub progress: Progress,
}

/// The batches of a pass over the training split.
type TrainBatches<'a> = dyn Iterator<Item = Result<Batch, ModelError>> + 'a;

/// What an epoch's steps have come to so far.
#[derive(Default)]
struct Tally {
    /// Sums over the segments of the steps taken: the loss and its parts.
    losses: Vec<f64>,
    /// Steps taken in which each part in use was not 0; none for a part that is not in use.
    active: Vec<Option<usize>>,
    /// Segments of the steps taken.
    segments: usize,
    /// Sums over the steps taken, by group of gradients.
    norms: Vec<f64>,
    taken: usize,
    skipped: usize,
}

impl<M: SentimentModel> Epochs<M> for EpochLoop {
    fn run(
        &mut self,
        trainer: &mut Trainer<M>,
        epochs: usize,
        interrupter: &Interrupter,
    ) -> Result<(), LearnerError> {
        let patience = self.saved.config.train.patience;
        for epoch in self.progress.done() + 1..=epochs {
            let patient = self.progress.epochs_since_best < patience;
            if !patient || interrupter.should_stop() {
                break;
            }
            match self.epoch(trainer, epoch, interrupter) {
                Err(LearnerError::Interrupted) => break,
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

impl EpochLoop {
    /// One epoch, from what it begins with to its checkpoint.
    fn epoch<M: SentimentModel>(
        &mut self,
        trainer: &mut Trainer<M>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<(), LearnerError> {
        let started = Instant::now();
        self.begin(trainer, epoch, interrupter)?;
        tracing::debug!(
            epoch,
            seconds = started.elapsed().as_secs_f64(),
            "the epoch's steps begin"
        );
        let mut row = self.steps(trainer, epoch, interrupter)?;
        let trained = self.end(trainer, epoch, interrupter)?;
        let own = trainer.model().epoch_columns(&trainer.state());
        let own = own.into_iter().map(|(name, value)| (name.into(), value));
        row.model.extend(own);
        row.train_seconds = started.elapsed().as_secs_f64();
        // From here on the folder must still be the run's own.
        self.lock.check()?;
        if let Some(snapshots) = &self.snapshots {
            snapshots.add_spectra(&trained, epoch)?;
        }
        let usable = self.validate(&trained, row)?;
        self.lock.check()?;
        if usable {
            self.checkpoints.begin(epoch)?;
            let averages = trainer.ema().map(Ema::file).transpose()?;
            trainer.write_checkpoint(epoch);
            self.checkpoints
                .finish(epoch, &self.progress, &*trainer.state(), averages.as_ref())?;
            self.best.promote()?;
        }
        Ok(())
    }

    /// What comes before an epoch's steps: the model's pass over the training set, and the seed of dropout.
    fn begin<M: SentimentModel>(
        &self,
        trainer: &mut Trainer<M>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<(), LearnerError> {
        trainer.begin_epoch(epoch);
        let model = trainer.model().valid();
        let begun = self.pass_in_order::<M>(
            &trainer.state(),
            (epoch, model.epoch_stage(epoch)),
            interrupter,
            |state, batches| model.begin_epoch(state, epoch, batches),
        )?;
        if let Some(state) = begun {
            trainer.set_state(state);
        }
        seed_dropout(&self.devices, self.saved.config.seed, epoch);
        Ok(())
    }

    /// What comes after an epoch's steps: the model's pass over the training set. Gives the model that is validated.
    fn end<M: SentimentModel>(
        &self,
        trainer: &mut Trainer<M>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<Trained<M>, LearnerError> {
        let model = trainer.evaluated();
        let ended = self.pass_in_order::<M>(
            &trainer.state(),
            (epoch, model.epoch_end_stage()),
            interrupter,
            |state, batches| model.end_epoch(state, batches),
        )?;
        if let Some(state) = ended {
            trainer.set_state(state);
        }
        // Training's state followed the weights of the steps; averaged ones get one of their own.
        let state = trainer.state();
        let averaged = trainer.ema().and_then(|_| model.refit_stage());
        let own =
            self.pass_in_order::<M>(&state, (epoch, averaged), interrupter, |own, batches| {
                model.refit(own, batches)
            })?;
        let state = model.prediction_state(own.as_ref().unwrap_or(&state));
        Trained::new(model, state)
    }

    /// What an epoch begins or ends with, where that is a `stage`: the model's pass over the training set. Gives the
    /// state that it makes of `state`.
    fn pass_in_order<M: SentimentModel>(
        &self,
        state: &M::State,
        (epoch, stage): (usize, Option<&'static str>),
        interrupter: &Interrupter,
        pass: impl FnOnce(&mut M::State, &mut TrainBatches<'_>) -> Result<(), ModelError>,
    ) -> Result<Option<M::State>, LearnerError> {
        let Some(stage) = stage else {
            return Ok(None);
        };
        self.observer.stage(stage);
        let mut state = state.clone();
        let mut batches = self.train_in_order.pass().map(|batch| {
            if interrupter.should_stop() {
                return Err(ModelError::Interrupted);
            }
            batch.map_err(batch_error)
        });
        pass(&mut state, &mut batches).map_err(|error| match error {
            ModelError::NonFinite(message) => {
                LearnerError::Training(format!("epoch {epoch}: {message}; {}", self.what_is_left()))
            }
            error => error.into(),
        })?;
        Ok(Some(state))
    }

    /// All training steps of an epoch, pass after pass.
    fn steps<M: SentimentModel>(
        &mut self,
        trainer: &mut Trainer<M>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<EpochRow, LearnerError> {
        let passes = self.recipe.passes.clone();
        let plan = self.rate_plan();
        let (mut columns, mut skipped) = (Vec::new(), 0);
        let (mut tally, mut before) = (Tally::default(), Before::default());
        for (index, pass) in passes.iter().enumerate() {
            tally = self.pass(trainer, epoch, index, &plan, &mut before, interrupter)?;
            skipped += tally.skipped;
            if index + 1 < passes.len() {
                columns.push((format!("{}_loss", pass.name), tally.loss()));
            }
        }
        tally.skipped = skipped;
        let batches = before.batches;
        let factor = plan.factor(
            epoch,
            before.steps.saturating_sub(1),
            self.progress.plateau.factor,
        );
        let row = self.row::<M>(epoch, &tally, factor, columns);
        Ok(EpochRow { batches, ..row })
    }

    /// The training steps of one pass. `before`: what the epoch's passes before it have done; moves on.
    fn pass<M: SentimentModel>(
        &mut self,
        trainer: &mut Trainer<M>,
        epoch: usize,
        index: usize,
        plan: &RatePlan,
        before: &mut Before,
        interrupter: &Interrupter,
    ) -> Result<Tally, LearnerError> {
        let epochs = self.saved.config.train.epochs;
        let accumulate = self.recipe.accumulate.max(1);
        let batches = self.recipe.passes[index].batches_of(self.train.batches());
        if index > 0 {
            trainer.begin_pass(epoch, index);
        }
        self.train.set_pass(epoch, index);
        let mut tally = Tally::default();
        let train = self.train.clone();
        for (done, parts) in train
            .pass_on(&self.devices.clone())
            .take(batches)
            .enumerate()
        {
            if interrupter.should_stop() {
                return Err(LearnerError::Interrupted);
            }
            let steps = before.steps + done / accumulate;
            trainer.set_rate_factor(plan.factor(epoch, steps, self.progress.plateau.factor));
            let parts = parts?;
            let rows: Vec<usize> = parts.iter().flat_map(|part| &part.rows).copied().collect();
            let step = match trainer.step(parts) {
                Ok(step) => step,
                Err(error) => {
                    let reason = match error {
                        LearnerError::Training(reason) => reason,
                        other => other.to_string(),
                    };
                    return Err(self.cannot_go_on(epoch, trainer.steps(), &reason, &rows));
                }
            };
            match &step.skipped {
                None => {
                    self.progress.non_finite_in_a_row = 0;
                    tally.take(&step, rows.len());
                }
                Some(found) => {
                    tally.skipped += 1;
                    self.skip(epoch, trainer.steps(), found, &rows)?;
                }
            }
            before.segments += rows.len();
            let total = self.segments_an_epoch();
            self.observer.batch(
                epoch,
                epochs,
                before.segments.min(total),
                total,
                step.loss(),
            );
        }
        trainer.end_pass()?;
        before.batches += batches;
        before.steps += plan.steps_of(batches);
        if tally.taken == 0 {
            return Err(LearnerError::Training(format!(
                "no step of epoch {epoch} could be taken: {}",
                self.what_is_left()
            )));
        }
        Ok(tally)
    }

    /// How the learning rates move.
    fn rate_plan(&self) -> RatePlan {
        let batches = self.train.batches();
        let passes = self.recipe.passes.iter();
        let batches: Vec<usize> = passes.map(|pass| pass.batches_of(batches)).collect();
        RatePlan::new(&self.saved.config.train, &self.recipe, &batches)
    }

    /// Segments that an epoch's passes go through, about.
    fn segments_an_epoch(&self) -> usize {
        let shares: f64 = self.recipe.passes.iter().map(|pass| pass.share).sum();
        (self.train.len() as f64 * shares).ceil() as usize
    }

    /// Reports a step that was skipped; too many in a row are an error.
    fn skip(
        &mut self,
        epoch: usize,
        step: usize,
        found: &NonFinite,
        rows: &[usize],
    ) -> Result<(), LearnerError> {
        let most = self.saved.config.train.non_finite_steps;
        self.progress.non_finite_in_a_row += 1;
        let in_a_row = self.progress.non_finite_in_a_row;
        let of = match found.row {
            Some(row) => format!(" of segment {}", self.train.id(row)),
            None => String::new(),
        };
        self.observer.warning(&format!(
            "epoch {epoch}, step {step}: {found}{of}; the step was not taken ({in_a_row} in a row, train.non_finite_steps \
             is {most}). Segments of the batch: {}",
            self.ids(rows)
        ));
        if in_a_row < most {
            return Ok(());
        }
        Err(LearnerError::Training(format!(
            "epoch {epoch}, step {step}: {in_a_row} steps in a row could not be taken (train.non_finite_steps); of the \
             last {found}{of}; {}. Segments of its batch: {}",
            self.what_is_left(),
            self.ids(rows)
        )))
    }

    fn cannot_go_on(
        &self,
        epoch: usize,
        step: usize,
        reason: &str,
        rows: &[usize],
    ) -> LearnerError {
        LearnerError::Training(format!(
            "epoch {epoch}, step {step}: {reason}; {}. Segments of the batch: {}",
            self.what_is_left(),
            self.ids(rows)
        ))
    }

    /// What a run that cannot go on leaves; where that is nothing, the weights it began with may be why.
    fn what_is_left(&self) -> String {
        let kept = self.checkpoints.epochs().unwrap_or_default();
        match (kept.first(), &self.initial_weights) {
            (Some(epoch), _) => format!("epochs up to {epoch} are kept"),
            (None, None) => "no epoch is kept".into(),
            (None, Some(file)) => format!(
                "no epoch is kept; the run began with the weights of {}",
                file.display()
            ),
        }
    }

    fn ids(&self, rows: &[usize]) -> String {
        let ids: Vec<&str> = rows.iter().map(|&row| self.train.id(row)).collect();
        ids.join(", ")
    }

    fn row<M: SentimentModel>(
        &self,
        epoch: usize,
        tally: &Tally,
        factor: f64,
        model: Vec<(String, f64)>,
    ) -> EpochRow {
        let scale = 1.0 / tally.segments as f64;
        let mut losses = tally.losses.iter().map(|sum| sum * scale);
        let groups = self.recipe.groups.iter();
        let norms = self.recipe.gradients.iter().zip(&tally.norms);
        let active = M::LOSSES.iter().zip(&tally.active);
        EpochRow {
            epoch,
            train_seconds: 0.0,
            loss: losses.next().unwrap_or_default(),
            losses: M::LOSSES
                .iter()
                .map(|name| (*name).into())
                .zip(losses)
                .collect(),
            active: active
                .filter_map(|(name, steps)| {
                    Some(((*name).into(), (*steps)? as f64 / tally.taken as f64))
                })
                .collect(),
            valid: Figures::of(self.saved.config.figures, &[], &[]),
            test: None,
            learning_rates: groups
                .map(|group| (group.name.into(), group.learning_rate * factor))
                .collect(),
            gradient_norms: norms
                .map(|(group, sum)| (group.name.into(), sum / tally.taken as f64))
                .collect(),
            batches: 0,
            skipped_steps: tally.skipped,
            model,
            selected: false,
        }
    }

    /// Validates, selects, writes the record. Says whether the model is one to go on from: it predicts numbers.
    fn validate(
        &mut self,
        trained: &dyn TrainedModel,
        mut row: EpochRow,
    ) -> Result<bool, LearnerError> {
        let config = &self.saved.config;
        self.observer.stage("validating");
        let of = |loader: &SegmentLoader| {
            let predictions = predict(trained, loader)?;
            let figures = figures(config.figures, &predictions, &loader.labels());
            Ok::<_, LearnerError>(figures)
        };
        row.valid = of(&self.valid)?;
        if config.train.record_test {
            self.observer.stage("recording the test split");
            row.test = Some(of(&self.test)?);
        }
        row.selected = self.progress.observe(
            row.epoch,
            row.valid.mae(),
            config.train.selection,
            || match &row.test {
                Some(recorded) => Ok(recorded.mae()),
                None => Ok(of(&self.test)?.mae()),
            },
        )?;
        if row.selected {
            self.best.keep(&self.saved, trained, row.epoch)?;
        }
        self.progress.plateau.observe(
            row.valid.mae(),
            config.train.plateau_factor,
            config.train.plateau_patience,
        );
        self.progress.epochs.push(row.clone());
        self.progress.write_epochs(&self.epochs_file)?;
        self.observer.epoch(&row, config.train.epochs);
        let usable = row.valid.mae().is_finite();
        if !usable {
            self.observer.warning(&format!(
                "epoch {}: the model predicts what is not a number; no checkpoint is written of it",
                row.epoch
            ));
        }
        Ok(usable)
    }
}

/// What an epoch's passes have done.
#[derive(Default)]
struct Before {
    batches: usize,
    /// Steps of the optimisers.
    steps: usize,
    segments: usize,
}

impl Tally {
    /// The loss, mean over the segments of the steps taken.
    fn loss(&self) -> f64 {
        self.losses.first().copied().unwrap_or_default() / self.segments.max(1) as f64
    }

    /// Counts a step that was taken.
    fn take(&mut self, step: &Step, segments: usize) {
        self.taken += 1;
        self.segments += segments;
        add(&mut self.norms, &step.norms, 1.0);
        add(&mut self.losses, &step.losses, segments as f64);
        self.active.resize(step.in_use.len(), None);
        let parts = step.in_use.iter().zip(step.losses.iter().skip(1));
        for (active, (_, &loss)) in self
            .active
            .iter_mut()
            .zip(parts)
            .filter(|(_, part)| *part.0)
        {
            *active = Some(active.unwrap_or(0) + usize::from(loss != 0.0));
        }
    }
}

/// Adds `scale` times `part`.
fn add(sum: &mut Vec<f64>, part: &[f64], scale: f64) {
    sum.resize(part.len(), 0.0);
    let pairs = sum.iter_mut().zip(part);
    pairs.for_each(|(sum, part)| *sum += scale * part);
}

/// Seeds dropout for one epoch, so that a resumed run draws the same masks; every device draws its own.
fn seed_dropout(devices: &[Device], seed: u64, epoch: usize) {
    for (index, device) in devices.iter().enumerate().rev() {
        let mut path = vec![seed::DROPOUT, epoch as u64];
        path.extend((index > 0).then_some(index as u64));
        device.seed(seed::mix(seed, &path));
    }
}
