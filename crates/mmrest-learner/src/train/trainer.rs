//! One training step after another: losses, gradients, accumulation, clipping, the optimisers, and the model's state.

use std::sync::Arc;

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use burn::train::metric::store::EventStoreClient;
use burn::train::{Learner, LearningCheckpointer, TrainOutput};
use mmrest_models::{Batch, Pass, Recipe, SentimentModel, StepAt};

use super::adapter::{Shared, Trainee, Workers};
use super::checkpoint::{EMA as EMA_FILE, Restored};
use super::ema::Ema;
use super::gradients::{Change, GradientGroups, ParameterGroups};
use super::non_finite::{NonFinite, StepError, find_in_gradients};
use super::schedule::{LayerDecay, SharedFactor, optimizer, scheduler};
use crate::error::LearnerError;
use crate::untrained::Untrained;

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
///     sentences: Vec::new(),
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
    steps: StepRules,
    /// The moving average of the weights, where it is on.
    ema: Option<Ema>,
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
        let tuning = Tuning::default();
        Ok(Start::new(model, state, recipe, devices, tuning)?.trainer(None))
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
        let tuning = Tuning::default();
        Ok(Start::resumed(model, recipe, devices, restored, tuning)?.trainer(None))
    }

    /// The model as it stands.
    pub fn model(&self) -> M {
        self.learner.model().settled().model
    }

    /// The model to evaluate and to save: on the inner device, with the moving average of the weights where it is on.
    pub(crate) fn evaluated(&self) -> M {
        let model = self.model().valid();
        match &self.ema {
            Some(ema) => ema.put_into(model),
            None => model,
        }
    }

    /// The moving average of the weights, where it is on.
    pub(crate) fn ema(&self) -> Option<&Ema> {
        self.ema.as_ref()
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

    /// Begins an epoch (from 1) with its first pass: batches are counted from 1, and gradients that waited for a step are
    /// dropped.
    pub fn begin_epoch(&mut self, epoch: usize) {
        self.begin_pass(epoch, 0);
    }

    /// Begins a pass (from 0) of an epoch (from 1), as [`begin_epoch`](Self::begin_epoch) does.
    pub fn begin_pass(&mut self, epoch: usize, pass: usize) {
        self.shared.lock().at = StepAt {
            epoch,
            pass,
            step: 0,
        };
        self.accumulated = GradientsAccumulator::new();
        self.batches = 0;
    }

    /// Ends a pass: gradients that wait for a step make one, where the recipe says so.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn end_pass(&mut self) -> Result<(), LearnerError> {
        if self.batches > 0 && self.steps.flush_rest {
            self.batches = 0;
            let trainee = self.learner.model();
            let sum = self.accumulated.grads();
            let norms = self.shared.groups.squares(&trainee, &sum).read()?;
            self.apply(trainee, sum, &norms)?;
        }
        drop(self.model());
        self.check_after_step()
    }

    /// Why the model could not restore what must hold after a step, if it could not.
    fn check_after_step(&self) -> Result<(), LearnerError> {
        let failed = self.shared.lock().after_step.take();
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Which batch of the pass was the last, from 1.
    pub fn steps(&self) -> usize {
        self.shared.lock().at.step
    }

    /// Takes a step on a batch, which comes in as many parts as there are devices to work on it.
    ///
    /// # Errors
    ///
    /// The step failed for another reason than a loss or gradient that is not finite: training cannot go on.
    pub fn step(&mut self, parts: Vec<Batch>) -> Result<Step, LearnerError> {
        self.shared.lock().at.step += 1;
        let TrainOutput { grads, item } = self.workers.step(&self.learner, parts)?;
        let (failed, seen) = self.shared.lock().take();
        self.check_after_step()?;
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
            let at = shared.at;
            let state = Arc::make_mut(&mut shared.state);
            trainee.model.observe(&batch, &output, state, at)?;
        }
        if let Some((gradients, norms)) = self.accumulate(&trainee, grads, &step.norms)? {
            self.apply(trainee, gradients, &norms)?;
        }
        Ok(step)
    }

    /// Clips gradients, whose norms are known, drops those of the groups that do not step, and takes the optimisers' step.
    fn apply(
        &mut self,
        trainee: Trainee<M>,
        gradients: GradientsParams,
        norms: &[f64],
    ) -> Result<(), LearnerError> {
        let groups = &self.shared.groups;
        let gradients = groups.clip_norms(&trainee, gradients, norms);
        let gradients = groups.clip_values(&trainee, gradients);
        let pass = self.shared.lock().at.pass;
        let gradients = self.steps.of_pass(&trainee, gradients, pass);
        drop(trainee);
        self.learner.lr_step();
        self.learner.optimizer_step(gradients);
        self.check_after_step()?;
        if let Some(ema) = &mut self.ema {
            ema.take(&self.learner.model().settled().model);
        }
        Ok(())
    }

    /// Adds a batch's gradients; gives the sum and its norms where a step is due.
    fn accumulate(
        &mut self,
        trainee: &Trainee<M>,
        gradients: GradientsParams,
        norms: &[f64],
    ) -> Result<Option<(GradientsParams, Vec<f64>)>, LearnerError> {
        if self.steps.accumulate <= 1 {
            return Ok(Some((gradients, norms.to_vec())));
        }
        self.accumulated.accumulate(trainee, gradients);
        self.batches += 1;
        let due = self.batches >= self.steps.accumulate;
        if !due && !self.shared.groups.by_value() {
            return Ok(None);
        }
        let sum = self.accumulated.grads();
        if !due {
            let sum = self.shared.groups.clip_values(trainee, sum);
            self.accumulated.accumulate(trainee, sum);
            return Ok(None);
        }
        self.batches = 0;
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
    pub(super) steps: StepRules,
    pub(super) ema: Option<Ema>,
}

/// What the configuration adds to any model's recipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Rate of a layer of the text encoder, relative to the layer above it.
    pub layer_decay: f64,
    /// Share of the average that a step leaves of the average before it; none where there is no average.
    pub ema: Option<f64>,
    /// How many lower layers of the text encoder, with its embeddings, a checkpoint leaves out: they are not trained, and a
    /// resumed run has them from where it began. All is kept with 0.
    pub left_out: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            layer_decay: 1.0,
            ema: None,
            left_out: 0,
        }
    }
}

/// When the optimisers step, and which groups then move.
#[derive(Clone, Debug)]
pub(super) struct StepRules {
    accumulate: usize,
    flush_rest: bool,
    groups: ParameterGroups,
    /// For each pass, what happens to the gradients of each group.
    drops: Vec<Vec<Option<Change>>>,
}

impl StepRules {
    fn new(recipe: &Recipe) -> Result<Self, LearnerError> {
        let drops = |pass: &Pass| {
            let steps = |name| pass.trains.is_empty() || pass.trains.contains(name);
            let groups = recipe.groups.iter();
            groups
                .map(|group| (!group.trained || !steps(&group.name)).then_some(Change::Drop))
                .collect()
        };
        Ok(Self {
            accumulate: recipe.accumulate,
            flush_rest: recipe.flush_rest,
            groups: ParameterGroups::new(recipe.groups.iter().map(|group| group.pattern))?,
            drops: recipe.passes.iter().map(drops).collect(),
        })
    }

    /// The gradients of the groups that step in a pass.
    fn of_pass<M: SentimentModel>(
        &self,
        trainee: &Trainee<M>,
        gradients: GradientsParams,
        pass: usize,
    ) -> GradientsParams {
        let drops = self.drops.get(pass).cloned().unwrap_or_default();
        self.groups.change(trainee, gradients, drops)
    }
}

impl<M: SentimentModel> Start<M> {
    /// As [`Trainer::new`].
    pub(crate) fn new(
        model: M,
        state: M::State,
        recipe: &Recipe,
        devices: &[Device],
        tuning: Tuning,
    ) -> Result<Self, LearnerError> {
        let factor = SharedFactor::new();
        let layers = model.text_encoder().map(|encoder| LayerDecay {
            path: M::TEXT_PATH,
            depth: encoder.depth(),
            decay: tuning.layer_decay,
        });
        let layers = layers.filter(|layers| layers.decay < 1.0);
        let optimizer = optimizer(recipe)?;
        let scheduler = scheduler(recipe, layers, &factor)?;
        let ema = tuning.ema.map(|decay| Ema::new(decay, &model));
        let groups = GradientGroups::new(&recipe.gradients)?;
        let left_out = Untrained::of_model::<M>(tuning.left_out);
        let shared = Arc::new(Shared::new(state, groups, left_out));
        let trainee = Trainee {
            model,
            shared: Arc::clone(&shared),
        };
        Ok(Self {
            learner: Learner::new(trainee, optimizer, scheduler),
            shared,
            factor,
            devices: devices.to_vec(),
            steps: StepRules::new(recipe)?,
            ema,
        })
    }

    /// As [`Trainer::resume`].
    pub(crate) fn resumed(
        model: M,
        recipe: &Recipe,
        devices: &[Device],
        restored: Restored,
        tuning: Tuning,
    ) -> Result<Self, LearnerError> {
        let wrong = |file: &str, message: String| {
            LearnerError::format(&restored.folder.join(file), message)
        };
        let state: M::State = serde_json::from_value(restored.state)
            .map_err(|error| wrong("state.json", format!("is not the model's state: {error}")))?;
        model
            .check_state(&state)
            .map_err(|error| wrong("state.json", error.to_string()))?;
        let misfit = |error: String| wrong("model.bpk", format!("does not fit the model: {error}"));
        let left_out = Untrained::of_model::<M>(tuning.left_out);
        // Versions before wrote all of them.
        let kept = left_out.trained_paths(&model).len();
        let record = restored.model;
        let partial = record.len() == kept;
        let model = model
            .try_load_record(record.allow_partial(partial))
            .map_err(|error| misfit(error.to_string()))?;
        let mut start = Self::new(model, state, recipe, devices, tuning)?;
        if let Some((ema, file)) = start.ema.as_mut().zip(restored.ema) {
            ema.restore(&file)
                .map_err(|message| wrong(EMA_FILE, message))?;
        }
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
            steps: self.steps,
            ema: self.ema,
            checkpointer,
        }
    }
}

#[cfg(test)]
mod tests;
