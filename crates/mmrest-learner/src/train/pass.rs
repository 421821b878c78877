//! The training steps of an epoch.

use std::sync::MutexGuard;

use burn::train::{Interrupter, Learner};
use mmrest_metric::Clusters;

use super::progress::{EpochRow, Progress};
use super::strategy::EpochLoop;
use super::workers::Workers;
use crate::error::LearnerError;
use crate::figures::Figures;
use crate::model::MmRest;
use crate::refusal::{NonFinite, Refusal};
use crate::state::StepContext;
use crate::step::Losses;

/// What an epoch's steps have come to so far.
#[derive(Default)]
struct Tally {
    /// Sums over the segments of the steps taken.
    losses: Losses,
    /// Segments of the steps taken.
    segments: usize,
    /// Sums over the steps taken: of the model, of the metrics.
    norms: [f64; 2],
    taken: usize,
    skipped: usize,
}

impl EpochLoop {
    /// All training steps of an epoch.
    pub(super) fn train_pass(
        &self,
        learner: &mut Learner<MmRest>,
        epoch: usize,
        interrupter: &Interrupter,
    ) -> Result<EpochRow, LearnerError> {
        let epochs = self.bundle.config.train.epochs;
        let context = learner.model().context.clone();
        self.factor.set(self.lock().plateau.factor);
        self.train.set_epoch(epoch);
        let (mut tally, mut done) = (Tally::default(), 0);
        let total = burn::data::dataloader::DataLoader::num_items(&self.train);
        let workers = Workers::new(&self.devices);
        for parts in self.train.pass_on(&self.devices) {
            if interrupter.should_stop() {
                return Err(LearnerError::Interrupted);
            }
            let parts = parts?;
            let rows: Vec<usize> = parts.iter().flat_map(|part| &part.rows).copied().collect();
            context.state().step += 1;
            let before = context.clusters();
            let output = workers.step(learner, parts)?;
            learner.lr_step();
            learner.optimizer_step(output.grads);
            let (refusal, losses) = (context.state().take_refusal(), output.item.losses);
            match refusal {
                None => {
                    self.lock().non_finite_in_a_row = 0;
                    tally.take(&losses, rows.len(), &context);
                }
                Some(Refusal::NonFinite(found)) => {
                    tally.skipped += 1;
                    self.skip(&context, before, &found, &rows)?;
                }
                Some(Refusal::Failed(reason) | Refusal::Elsewhere(reason)) => {
                    return Err(self.cannot_go_on(&context, &reason, &rows));
                }
            }
            done += rows.len();
            self.observer
                .batch(epoch, epochs, done, total, losses.total);
        }
        if tally.taken == 0 {
            return Err(LearnerError::Training(format!(
                "no step of epoch {epoch} could be taken: {}",
                self.what_is_left()
            )));
        }
        Ok(self.row(epoch, &tally, &context))
    }

    /// A step that is not taken: clusters are as they were before it, the batch is told, and too many in a row are an error.
    fn skip(
        &self,
        context: &StepContext,
        clusters: Option<Clusters>,
        found: &NonFinite,
        rows: &[usize],
    ) -> Result<(), LearnerError> {
        let (epoch, step) = {
            let mut state = context.state();
            state.clusters = clusters;
            (state.epoch, state.step)
        };
        let most = self.bundle.config.train.non_finite_steps;
        let in_a_row = {
            let mut progress: MutexGuard<'_, Progress> = self.lock();
            progress.non_finite_in_a_row += 1;
            progress.non_finite_in_a_row
        };
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

    fn cannot_go_on(&self, context: &StepContext, reason: &str, rows: &[usize]) -> LearnerError {
        let (epoch, step) = {
            let state = context.state();
            (state.epoch, state.step)
        };
        LearnerError::Training(format!(
            "epoch {epoch}, step {step}: {reason}; {}. Segments of the batch: {}",
            self.what_is_left(),
            self.ids(rows)
        ))
    }

    /// What a run that cannot go on leaves.
    pub(super) fn what_is_left(&self) -> String {
        match self.checkpoints.epochs().unwrap_or_default().first() {
            Some(epoch) => format!("epochs up to {epoch} are kept"),
            None => "no epoch is kept".into(),
        }
    }

    fn ids(&self, rows: &[usize]) -> String {
        let ids: Vec<&str> = rows.iter().map(|&row| self.train.id(row)).collect();
        ids.join(", ")
    }

    fn row(&self, epoch: usize, tally: &Tally, context: &StepContext) -> EpochRow {
        let config = &self.bundle.config;
        let factor = self.lock().plateau.factor;
        let mut mean = Losses::default();
        add(&mut mean, &tally.losses, 1.0 / tally.segments as f64);
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
            gradient_norm: tally.norms[0] / tally.taken as f64,
            metric_gradient_norm: tally.norms[1] / tally.taken as f64,
            skipped_steps: tally.skipped,
            clusters: context.clusters().map_or(0, |c| c.len()),
            selected: false,
        };
        row.set_losses(&mean);
        row
    }
}

impl Tally {
    /// Counts a step that was taken.
    fn take(&mut self, losses: &Losses, segments: usize, context: &StepContext) {
        let norms = context.state().norms;
        self.taken += 1;
        self.segments += segments;
        self.norms[0] += norms.model;
        self.norms[1] += norms.metrics;
        add(&mut self.losses, losses, segments as f64);
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
