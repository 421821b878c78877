//! burn-train's traits for any [`SentimentModel`], implemented once, and what they force on the harness.
//!
//! burn-train's `TrainStep::step` takes `&self` and returns no error, so a step's state and its error go through a lock
//! that every clone of the model shares ([`Shared`]); its learning strategy takes `&self` too ([`Strategy`]); it asks for
//! loaders, a renderer and an inference step that nothing here uses. The epoch loop sees a [`Trainer`] alone.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress as LoaderProgress};
use burn::data::dataset::DatasetError;
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, ExecutionError, Tensor};
use burn::train::checkpoint::{CheckpointingAction, CheckpointingStrategy};
use burn::train::logger::{EvaluationProgressLogger, InMemoryMetricLogger, TrainingProgressLogger};
use burn::train::metric::MetricDefinition;
use burn::train::metric::store::EventStoreClient;
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};
use burn::train::train::MultiDevicesTrainStep;
use burn::train::{
    InferenceStep, Interrupter, ItemLazy, Learner, LearningCheckpointer,
    SupervisedLearningStrategy, SupervisedTraining, SupervisedTrainingEventProcessor, TrainLoader,
    TrainOutput, TrainStep, TrainingComponents, TrainingStrategy, ValidLoader,
};
use mmrest_metric::MetricError;
use mmrest_models::{Batch, Loss, Mode, ModelError, Recipe, SentimentModel};

use super::checkpoint::{Checkpoints, Restored};
use super::gradients::{GradientGroups, Squares};
use super::non_finite::{
    FirstError, NonFinite, StepError, find_in_gradients, find_non_finite, non_finite_loss,
};
use super::schedule::{SharedFactor, optimizer, scheduler};
use crate::error::{LearnerError, to_host};

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
    learner: Learner<Trainee<M>>,
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
    learner: Learner<Trainee<M>>,
    shared: Arc<Shared<M>>,
    factor: SharedFactor,
    devices: Vec<Device>,
    accumulate: usize,
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
        let shared = Arc::new(Shared {
            groups: GradientGroups::new(&recipe.gradients)?,
            current: Mutex::new(Current::new(state)),
        });
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

    fn trainer(
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

// The model as burn-train sees it.

/// A model with what burn-train's traits leave no other place for. As a module it is the model: same parameters, same
/// paths.
pub(crate) struct Trainee<M: SentimentModel> {
    model: M,
    shared: Arc<Shared<M>>,
}

/// What every clone of a trainee shares.
struct Shared<M: SentimentModel> {
    groups: GradientGroups,
    current: Mutex<Current<M>>,
}

/// The step under way.
struct Current<M: SentimentModel> {
    state: Arc<M::State>,
    epoch: usize,
    step: usize,
    /// The batch and the output of the step's first part, once it is computed.
    seen: Option<(Batch, M::Output)>,
    errors: FirstError,
    /// Why the model could not restore what must hold after a step.
    after_step: Option<ModelError>,
}

impl<M: SentimentModel> Current<M> {
    fn new(state: M::State) -> Self {
        Self {
            state: Arc::new(state),
            epoch: 0,
            step: 0,
            seen: None,
            errors: FirstError::default(),
            after_step: None,
        }
    }

    /// What the step left: its error, or batch and output.
    fn take(&mut self) -> (Option<StepError>, Option<(Batch, M::Output)>) {
        let errors = std::mem::take(&mut self.errors);
        (errors.get().cloned(), self.seen.take())
    }
}

impl<M: SentimentModel> Shared<M> {
    /// The current step, locked. A panic elsewhere leaves it readable.
    fn lock(&self) -> MutexGuard<'_, Current<M>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: SentimentModel> Clone for Trainee<M> {
    fn clone(&self) -> Self {
        self.with(self.model.clone())
    }
}

impl<M: SentimentModel> fmt::Debug for Trainee<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.model, f)
    }
}

impl<M: SentimentModel> fmt::Display for Trainee<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.model, f)
    }
}

impl<M: SentimentModel> Trainee<M> {
    fn with(&self, model: M) -> Self {
        Self {
            model,
            shared: Arc::clone(&self.shared),
        }
    }

    fn map_model(self, map: impl FnOnce(M) -> M) -> Self {
        Self {
            model: map(self.model),
            shared: self.shared,
        }
    }
}

impl<M: SentimentModel> Module for Trainee<M> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.model.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        self.map_model(|model| model.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.map_model(|model| model.to_device(device))
    }

    fn train(self) -> Self {
        self.map_model(Module::train)
    }

    fn valid(&self) -> Self {
        self.with(self.model.valid())
    }

    fn materialize(self) -> Self {
        self.map_model(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.model.visit(visitor);
    }

    fn map<P: ModuleMapper>(self, mapper: &mut P) -> Self {
        self.map_model(|model| model.map(mapper))
    }
}

/// What a step leaves for the epoch's record: everything on the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepRecord {
    /// The loss and its parts.
    losses: Vec<f64>,
    /// The norms of the gradient groups; none of a part, whose own norms say nothing.
    norms: Option<Vec<f64>>,
    /// Which part of the step this is.
    part: usize,
}

impl ItemLazy for StepRecord {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl<M: SentimentModel> TrainStep for Trainee<M> {
    type Input = Batch;
    type Output = StepRecord;

    fn step(&self, batch: Batch) -> TrainOutput<StepRecord> {
        let (state, mode) = {
            let current = self.shared.lock();
            let (epoch, step) = (current.epoch, current.step);
            (Arc::clone(&current.state), Mode::Train { epoch, step })
        };
        let part = batch.part.as_ref().map_or(0, |part| part.index());
        let forward = || self.model.forward(&batch, &state, mode);
        let output = match &batch.part {
            Some(part) => part.draw(forward),
            None => forward(),
        };
        let mut output = match output {
            Ok(output) => output,
            Err(error) => return self.fail(part, step_error(error.into()), Vec::new()),
        };
        let loss = self.model.loss(&batch, &mut output, &state, mode);
        let outcome = loss
            .map_err(LearnerError::from)
            .and_then(|loss| self.differentiate(&loss, &batch, part));
        let (error, losses) = match outcome {
            Ok(done) if non_finite_loss::<M>(&done.item.losses).is_none() => {
                if part == 0 {
                    self.shared.lock().seen = Some((batch, output));
                }
                return done;
            }
            Ok(done) => (None, done.item.losses),
            Err(error) => (Some(error), Vec::new()),
        };
        let known = error.is_none().then_some(&losses[..]);
        let error = match (find_non_finite::<M>(&batch, &output, known), error) {
            (Ok(Some(found)), _) => StepError::NonFinite(found),
            (_, Some(error)) | (Err(error), None) => step_error(error),
            (Ok(None), None) => StepError::Failed("the loss is not finite".into()),
        };
        self.fail(part, error, losses)
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let stepped = optimizer.step(learning_rate, self, gradients);
        let before = stepped.model.clone();
        match stepped.model.after_step() {
            Ok(model) => Self {
                model,
                shared: stepped.shared,
            },
            Err(error) => {
                stepped.shared.lock().after_step = Some(error);
                Self {
                    model: before,
                    shared: stepped.shared,
                }
            }
        }
    }
}

impl<M: SentimentModel> Trainee<M> {
    /// Gradients and, in one read from the device, the losses with the gradients' norms. The norms of a part say nothing:
    /// they are measured where the parts' gradients have been added up.
    fn differentiate(
        &self,
        loss: &Loss,
        batch: &Batch,
        part: usize,
    ) -> Result<TrainOutput<StepRecord>, LearnerError> {
        let parts = loss.parts.iter().flatten();
        let mut wanted: Vec<Tensor<1>> = [&loss.total]
            .into_iter()
            .chain(parts)
            .map(|part| part.clone().inner())
            .collect();
        let count = wanted.len();
        let grads = GradientsParams::from_grads(loss.total.backward(), &self.model);
        let squares = batch
            .part
            .is_none()
            .then(|| self.shared.groups.squares(&self.model, &grads));
        wanted.extend(squares.iter().flat_map(Squares::tensors));
        let values = to_host(Tensor::cat(wanted, 0))?;
        let (losses, rest) = values.split_at(count.min(values.len()));
        let mut losses = losses.iter().map(|&value| f64::from(value));
        let total = losses.next().unwrap_or_default();
        let parts = loss.parts.iter().map(|part| match part {
            Some(_) => losses.next().unwrap_or_default(),
            None => 0.0,
        });
        let item = StepRecord {
            losses: [total].into_iter().chain(parts).collect(),
            norms: squares.map(|squares| squares.norms(rest)),
            part,
        };
        Ok(TrainOutput { grads, item })
    }

    /// Notes why a step, or a part of one, cannot be taken.
    fn fail(&self, part: usize, error: StepError, losses: Vec<f64>) -> TrainOutput<StepRecord> {
        self.shared.lock().errors.note(part, error);
        TrainOutput {
            grads: GradientsParams::new(),
            item: StepRecord {
                losses,
                norms: None,
                part,
            },
        }
    }
}

/// What an error means for the step.
fn step_error(error: LearnerError) -> StepError {
    match error {
        LearnerError::Model(ModelError::OtherPart(message)) => StepError::OtherPart(message),
        // Rows of the whole batch, which any part may be the one to look at: the part they come from says more of them.
        LearnerError::Metric(error @ MetricError::NonFiniteRow { .. }) => {
            StepError::OtherPart(error.to_string())
        }
        error => StepError::Failed(error.to_string()),
    }
}

impl<M: SentimentModel> InferenceStep for Trainee<M> {
    type Input = Batch;
    type Output = ();

    /// burn-train asks for this; the epoch loop validates by [`crate::TrainedModel`].
    fn step(&self, batch: Batch) {
        let state = Arc::clone(&self.shared.lock().state);
        let _ = self.model.forward(&batch, &state, Mode::Evaluate);
    }
}

// Several devices.

/// Computes a step's gradients: on one device in the caller's thread, on several in a thread each.
///
/// With several, burn-train copies the model to each device, runs each part of the batch there, and hands back the
/// gradients, which add up to the batch's: each part's losses are shares of the batch's.
struct Workers<M: SentimentModel> {
    devices: Vec<Device>,
    together: Option<MultiDevicesTrainStep<Trainee<M>>>,
}

impl<M: SentimentModel> Workers<M> {
    /// Workers for at least one device, the first of which holds the model.
    fn new(devices: &[Device]) -> Self {
        Self {
            devices: devices.to_vec(),
            together: (devices.len() > 1).then(|| MultiDevicesTrainStep::new(devices)),
        }
    }

    /// The gradients and losses of a batch that came in parts.
    ///
    /// # Errors
    ///
    /// A worker panicked.
    fn step(
        &self,
        learner: &Learner<Trainee<M>>,
        mut parts: Vec<Batch>,
    ) -> Result<TrainOutput<StepRecord>, LearnerError> {
        let Some((together, main)) = self
            .together
            .as_ref()
            .zip(self.devices.first())
            .filter(|_| parts.len() > 1)
        else {
            let whole = parts.pop().ok_or_else(|| {
                LearnerError::Internal("a training step without a segment".into())
            })?;
            return Ok(learner.train_step(whole));
        };
        let trainee = learner.model();
        let mut waiting = self.one_each(parts);
        let (outputs, _) = together
            .step(&mut waiting, &trainee)
            .map_err(|error| LearnerError::Training(error.to_string()))?;
        let mut outputs: Vec<_> = outputs.into_iter().map(|output| output.output).collect();
        // Workers answer in any order; sums are to be the same every time.
        outputs.sort_by_key(|output| output.item.part);
        let losses: Vec<Vec<f64>> = outputs.iter().map(|of| of.item.losses.clone()).collect();
        let mut sum = GradientsAccumulator::new();
        for output in outputs {
            sum.accumulate(&trainee, output.grads.to_device(main, &trainee));
        }
        Ok(TrainOutput {
            grads: sum.grads(),
            item: StepRecord {
                losses: trainee.model.combine_losses(&losses),
                norms: None,
                part: 0,
            },
        })
    }

    /// A loader for each worker, with its part or nothing.
    fn one_each<'a>(&self, parts: Vec<Batch>) -> Vec<Box<dyn DataLoaderIterator<Batch> + 'a>> {
        let parts = parts
            .into_iter()
            .map(Some)
            .chain(std::iter::repeat_with(|| None));
        parts
            .take(self.devices.len())
            .map(|part| Box::new(Once(part)) as Box<dyn DataLoaderIterator<Batch> + 'a>)
            .collect()
    }
}

/// A loader of one batch, or of none.
struct Once(Option<Batch>);

impl Iterator for Once {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl DataLoaderIterator<Batch> for Once {
    fn progress(&self) -> LoaderProgress {
        LoaderProgress::new(1, 1, None)
    }
}

/// burn-train wants loaders; the epoch loop has its own.
struct NoLoader;

impl DataLoader<Batch> for NoLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        Box::new(Once(None))
    }

    fn num_items(&self) -> usize {
        0
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self)
    }

    fn slice(&self, _: usize, _: usize) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self)
    }
}

// The run.

/// The epochs of a run, as burn-train's strategy calls them.
pub(crate) trait Epochs<M: SentimentModel>: Send {
    /// Trains from the first epoch that is not done to the last, at most `epochs`.
    ///
    /// # Errors
    ///
    /// Training had to stop.
    fn run(
        &mut self,
        trainer: &mut Trainer<M>,
        epochs: usize,
        interrupter: &Interrupter,
    ) -> Result<(), LearnerError>;
}

/// Hands model and epochs to burn-train, and gives the epochs back once they are done. burn-train writes its logs, if
/// any, into `folder`.
///
/// # Errors
///
/// Training had to stop.
pub(crate) fn fit<M: SentimentModel, E: Epochs<M> + 'static>(
    start: Start<M>,
    epochs: E,
    most_epochs: usize,
    folder: &Path,
    checkpoints: &Checkpoints,
    interrupter: &Interrupter,
) -> Result<E, LearnerError> {
    let strategy = Arc::new(Strategy {
        run: Mutex::new(Some(Running {
            epochs,
            start: StartParts {
                shared: Arc::clone(&start.shared),
                factor: start.factor,
                devices: start.devices,
                accumulate: start.accumulate,
            },
        })),
        ended: Mutex::new(None),
        model: PhantomData,
    });
    let [model, optimizer, scheduler] = checkpoints.parts();
    let training = SupervisedTraining::new(folder, Arc::new(NoLoader), Arc::new(NoLoader))
        .renderer(Box::new(NoRenderer))
        .with_metric_logger(InMemoryMetricLogger::default())
        .with_application_logger(None)
        .with_custom_checkpointers(model, optimizer, scheduler)
        .with_checkpointing_strategy(EveryEpoch)
        .with_interrupter(interrupter.clone())
        .with_training_strategy(TrainingStrategy::Custom(strategy.clone()))
        .num_epochs(most_epochs);
    let result = training.launch(start.learner);
    let ended = lock(&strategy.ended).take();
    if let Some(ended) = ended {
        return ended;
    }
    Err(match result.error {
        Some(error) => LearnerError::Training(error.to_string()),
        None => LearnerError::Internal("training did not begin".into()),
    })
}

/// burn-train's learning strategy: what it does is up to [`Epochs`].
struct Strategy<M: SentimentModel, E> {
    run: Mutex<Option<Running<M, E>>>,
    ended: Mutex<Option<Result<E, LearnerError>>>,
    model: PhantomData<fn() -> M>,
}

struct Running<M: SentimentModel, E> {
    epochs: E,
    start: StartParts<M>,
}

/// A [`Start`] without its learner.
struct StartParts<M: SentimentModel> {
    shared: Arc<Shared<M>>,
    factor: SharedFactor,
    devices: Vec<Device>,
    accumulate: usize,
}

impl<M: SentimentModel, E: Epochs<M>> SupervisedLearningStrategy<Trainee<M>> for Strategy<M, E> {
    fn fit(
        &self,
        mut components: TrainingComponents<Trainee<M>>,
        learner: Learner<Trainee<M>>,
        _: TrainLoader<Trainee<M>>,
        _: ValidLoader<Trainee<M>>,
        _: usize,
    ) -> (Trainee<M>, SupervisedTrainingEventProcessor<Trainee<M>>) {
        let Some(Running { mut epochs, start }) = lock(&self.run).take() else {
            return (learner.model(), components.event_processor);
        };
        let events = Arc::clone(&components.event_store);
        let checkpointer = components.checkpointer.take();
        let start = Start {
            learner,
            shared: start.shared,
            factor: start.factor,
            devices: start.devices,
            accumulate: start.accumulate,
        };
        let mut trainer = start.trainer(checkpointer.map(|checkpointer| (checkpointer, events)));
        let outcome = epochs.run(&mut trainer, components.num_epochs, &components.interrupter);
        *lock(&self.ended) = Some(outcome.map(|()| epochs));
        (trainer.learner.model(), components.event_processor)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every epoch is saved; which are kept is up to [`Checkpoints`].
struct EveryEpoch;

impl CheckpointingStrategy for EveryEpoch {
    fn checkpointing(&mut self, _: usize, _: &EventStoreClient) -> Vec<CheckpointingAction> {
        vec![CheckpointingAction::Save]
    }
}

/// burn-train wants a renderer; a run's display is its [`Observer`](super::Observer), so this one shows nothing.
struct NoRenderer;

impl MetricsRendererTraining for NoRenderer {
    fn update_train(&mut self, _: MetricState) {}
    fn update_valid(&mut self, _: MetricState) {}
}

impl MetricsRendererEvaluation for NoRenderer {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl TrainingProgressLogger for NoRenderer {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}
    fn update_epoch(&mut self, _: usize) {}
    fn start_split(&mut self, _: &str, _: usize) {}
    fn update_split(&mut self, _: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl EvaluationProgressLogger for NoRenderer {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRenderer for NoRenderer {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _: MetricDefinition) {}
}

#[cfg(test)]
mod tests;
