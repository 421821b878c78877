//! One training step after another: losses, gradients, accumulation, clipping, the optimisers, and the model's state.

use std::sync::Arc;

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use burn::train::metric::store::EventStoreClient;
use burn::train::{Learner, LearningCheckpointer, TrainOutput};
use mmrest_models::{Batch, Recipe, SentimentModel};

use super::adapter::{Shared, Trainee, Workers};
use super::checkpoint::Restored;
use super::gradients::GradientGroups;
use super::non_finite::{NonFinite, StepError, find_in_gradients};
use super::schedule::{SharedFactor, optimizer, scheduler};
use crate::error::LearnerError;

/// A model, its state and its optimisers, one training step after another.
///
/// ```
/// use burn::tensor::Device;
/// use mmrest_data::{Frames, Modality, Widths};
/// use mmrest_learner::Config;
/// use mmrest_learner::train::Trainer;
/// use mmrest_models::{Example, HostBatch, MmRest, MmRestConfig, SentimentModel, TextFeatures};
///
/// let (model, device) = (MmRestConfig::default(), Device::flex().autodiff());
/// let mut config = Config::default();
/// config.data.modalities = vec![Modality::Audio];
/// let task = config.task(Widths { vision: 0, audio: 2 }, 0);
/// let network = MmRest::init(&model, &task, None, &device)?;
/// let state = MmRest::init_state(&model, &task, &[]);
/// let recipe = MmRest::recipe(&model, &config.train.rates());
/// let mut trainer = Trainer::new(network, state, &recipe, &[device.clone()])?;
///
/// let example = |label: f32| Example {
///     id: format!("segment {label}"),
///     text: TextFeatures::Absent,
///     vision: Frames::empty(0),
///     audio: Frames { values: vec![label, 0.5], width: 2 },
///     label,
/// };
/// let examples: Vec<Example> = (-3..4).map(|label| example(label as f32)).collect();
/// trainer.begin_epoch(1);
/// for _ in 0..3 {
///     let batch = HostBatch::new(&examples, (0..7).collect()).upload(&device);
///     let step = trainer.step(vec![batch])?;
///     assert!(step.skipped.is_none() && step.loss() > 0.0);
/// }
/// # Ok::<(), mmrest_learner::LearnerError>(())
/// ```
pub struct Trainer<M: SentimentModel> {
    pub(super) learner: Learner<Trainee<M>>,
    shared: Arc<Shared<M>>,
    workers: Workers<M>,
    factor: SharedFactor,
    /// The gradients of the batches since the last step, where a step takes several.
    accumulated: GradientsAccumulator<Trainee<M>>,
    batches: usize,
    accumulate: usize,
    /// Writes checkpoints, within a run.
    checkpointer: Option<(LearningCheckpointer<Trainee<M>>, Arc<EventStoreClient>)>,
}

/// What a training step came to.
#[derive(Clone, Debug)]
pub struct Step {
    /// The loss, then its parts in the order of [`SentimentModel::LOSSES`].
    pub losses: Vec<f64>,
    /// Which of the parts are in use.
    pub in_use: Vec<bool>,
    /// The global gradient norm of each of the recipe's gradient groups, before clipping.
    pub norms: Vec<f64>,
    /// Why the step was skipped, where it was: a loss or gradient was not finite.
    pub skipped: Option<NonFinite>,
}

impl Step {
    /// The loss.
    pub fn loss(&self) -> f64 {
        self.losses.first().copied().unwrap_or_default()
    }
}

impl<M: SentimentModel> Trainer<M> {
    /// A trainer of `model`, which is on the first of `devices`; these are with autodiff.
    ///
    /// # Errors
    ///
    /// A pattern of the recipe is no regular expression.
    pub fn new(
        model: M,
        state: M::State,
        recipe: &Recipe,
        devices: &[Device],
    ) -> Result<Self, LearnerError> {
        Ok(Start::new(model, state, recipe, devices)?.trainer(None))
    }

    /// As [`Trainer::new`], from a checkpoint; its progress is left to the caller.
    ///
    /// # Errors
    ///
    /// The checkpoint does not fit the model; the error names the file.
    pub fn resume(
        model: M,
        recipe: &Recipe,
        devices: &[Device],
        restored: Restored,
    ) -> Result<Self, LearnerError> {
        Ok(Start::resumed(model, recipe, devices, restored)?.trainer(None))
    }

    /// The model as it stands.
    pub fn model(&self) -> M {
        self.learner.model().model
    }

    /// What moves beside the parameters, as it stands.
    pub fn state(&self) -> Arc<M::State> {
        Arc::clone(&self.shared.lock().state)
    }

    /// Replaces what moves beside the parameters.
    pub fn set_state(&mut self, state: M::State) {
        self.shared.lock().state = Arc::new(state);
    }

    /// What every base learning rate is multiplied with from now on.
    pub fn set_rate_factor(&mut self, factor: f64) {
        self.factor.set(factor);
    }

    /// Begins an epoch (from 1): its steps are counted from 1, and gradients that waited for a step are dropped.
    pub fn begin_epoch(&mut self, epoch: usize) {
        let mut shared = self.shared.lock();
        (shared.epoch, shared.step) = (epoch, 0);
        drop(shared);
        self.accumulated = GradientsAccumulator::new();
        self.batches = 0;
    }

    /// Which step of the epoch was the last, from 1.
    pub fn steps(&self) -> usize {
        self.shared.lock().step
    }

    /// Takes a step on a batch, which comes in as many parts as there are devices to work on it.
    ///
    /// # Errors
    ///
    /// The step failed for another reason than a loss or gradient that is not finite: training cannot go on.
    pub fn step(&mut self, parts: Vec<Batch>) -> Result<Step, LearnerError> {
        self.shared.lock().step += 1;
        let TrainOutput { grads, item } = self.workers.step(&self.learner, parts)?;
        let (failed, seen) = self.shared.lock().take();
        let mut step = Step {
            losses: item.losses,
            in_use: item.in_use,
            norms: Vec::new(),
            skipped: None,
        };
        match failed {
            None => {}
            Some(StepError::NonFinite(found)) => {
                step.skipped = Some(found);
                return Ok(step);
            }
            Some(StepError::Failed(reason) | StepError::OtherPart(reason)) => {
                return Err(LearnerError::Training(reason));
            }
        }
        let trainee = self.learner.model();
        let groups = &self.shared.groups;
        step.norms = match item.norms {
            Some(norms) => norms,
            None => groups.squares(&trainee, &grads).read()?,
        };
        if !step.norms.iter().all(|norm| norm.is_finite()) {
            let found = find_in_gradients(&trainee, &grads)?;
            step.skipped = Some(found.unwrap_or_else(|| groups.too_large(&step.norms)));
            return Ok(step);
        }
        if let Some((batch, output)) = seen {
            let mut shared = self.shared.lock();
            let epoch = shared.epoch;
            let state = Arc::make_mut(&mut shared.state);
            trainee.model.observe(&batch, &output, state, epoch)?;
        }
        if let Some((gradients, norms)) = self.accumulate(&trainee, grads, &step.norms)? {
            let gradients = self.shared.groups.clip(&trainee, gradients, &norms);
            drop(trainee);
            self.learner.lr_step();
            self.learner.optimizer_step(gradients);
            if let Some(error) = self.shared.lock().after_step.take() {
                return Err(error.into());
            }
        }
        Ok(step)
    }

    /// Adds a batch's gradients; gives the sum and its norms where a step is due.
    fn accumulate(
        &mut self,
        trainee: &Trainee<M>,
        gradients: GradientsParams,
        norms: &[f64],
    ) -> Result<Option<(GradientsParams, Vec<f64>)>, LearnerError> {
        if self.accumulate <= 1 {
            return Ok(Some((gradients, norms.to_vec())));
        }
        self.accumulated.accumulate(trainee, gradients);
        self.batches += 1;
        if self.batches < self.accumulate {
            return Ok(None);
        }
        self.batches = 0;
        let sum = self.accumulated.grads();
        let norms = self.shared.groups.squares(trainee, &sum).read()?;
        Ok(Some((sum, norms)))
    }

    /// Writes burn's parts of an epoch's checkpoint; they are complete once [`Checkpoints::finish`] returns.
    pub(crate) fn write_checkpoint(&mut self, epoch: usize) {
        if let Some((checkpointer, events)) = &mut self.checkpointer {
            checkpointer.checkpoint(&self.learner, epoch, events);
        }
    }
}

/// A model with all that training begins with.
pub(crate) struct Start<M: SentimentModel> {
    pub(super) learner: Learner<Trainee<M>>,
    pub(super) shared: Arc<Shared<M>>,
    pub(super) factor: SharedFactor,
    pub(super) devices: Vec<Device>,
    pub(super) accumulate: usize,
}

impl<M: SentimentModel> Start<M> {
    /// As [`Trainer::new`].
    pub(crate) fn new(
        model: M,
        state: M::State,
        recipe: &Recipe,
        devices: &[Device],
    ) -> Result<Self, LearnerError> {
        let factor = SharedFactor::new();
        let (optimizer, scheduler) = (optimizer(recipe)?, scheduler(recipe, &factor)?);
        let groups = GradientGroups::new(&recipe.gradients)?;
        let shared = Arc::new(Shared::new(state, groups));
        let trainee = Trainee {
            model,
            shared: Arc::clone(&shared),
        };
        Ok(Self {
            learner: Learner::new(trainee, optimizer, scheduler),
            shared,
            factor,
            devices: devices.to_vec(),
            accumulate: recipe.accumulate,
        })
    }

    /// As [`Trainer::resume`].
    pub(crate) fn resumed(
        model: M,
        recipe: &Recipe,
        devices: &[Device],
        restored: Restored,
    ) -> Result<Self, LearnerError> {
        let wrong = |file: &str, message: String| {
            LearnerError::format(&restored.folder.join(file), message)
        };
        let state: M::State = serde_json::from_value(restored.state)
            .map_err(|error| wrong("state.json", format!("is not the model's state: {error}")))?;
        model
            .check_state(&state)
            .map_err(|error| wrong("state.json", error.to_string()))?;
        let model = model
            .try_load_record(restored.model)
            .map_err(|error| wrong("model.bpk", format!("does not fit the model: {error}")))?;
        let mut start = Self::new(model, state, recipe, devices)?;
        start.learner.load_optim(restored.optimizer);
        start.learner.load_scheduler(restored.scheduler);
        Ok(start)
    }

    pub(super) fn trainer(
        self,
        checkpointer: Option<(LearningCheckpointer<Trainee<M>>, Arc<EventStoreClient>)>,
    ) -> Trainer<M> {
        Trainer {
            learner: self.learner,
            shared: self.shared,
            workers: Workers::new(&self.devices),
            factor: self.factor,
            accumulated: GradientsAccumulator::new(),
            batches: 0,
            accumulate: self.accumulate,
            checkpointer,
        }
    }
}

#[cfg(test)]
mod tests;
