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
use burn::store::ModuleRecord;
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
    InferenceStep, Interrupter, ItemLazy, Learner, SupervisedLearningStrategy, SupervisedTraining,
    SupervisedTrainingEventProcessor, TrainLoader, TrainOutput, TrainStep, TrainingComponents,
    TrainingStrategy, ValidLoader,
};
use mmrest_kernels::adam::map_together;
use mmrest_kernels::gpu;
use mmrest_metric::MetricError;
use mmrest_models::{Batch, Loss, Mode, ModelError, SentimentModel, StepAt};

use super::checkpoint::Checkpoints;
use super::ema::Ema;
use super::gradients::{GradientGroups, Squares};
use super::non_finite::{FirstError, StepError, find_non_finite, non_finite_loss};
use super::schedule::SharedFactor;
use super::trainer::{Start, StepRules, Trainer};
use crate::error::{LearnerError, to_host};
use crate::untrained::Untrained;

/// A model with what burn-train's traits leave no other place for. As a module it is the model: same parameters, same
/// paths.
pub(super) struct Trainee<M: SentimentModel> {
    pub(super) model: M,
    pub(super) shared: Arc<Shared<M>>,
}

/// What every clone of a trainee shares.
pub(super) struct Shared<M: SentimentModel> {
    pub(super) groups: GradientGroups,
    /// What a checkpoint leaves out.
    left_out: Untrained,
    current: Mutex<Current<M>>,
}

/// The step under way.
pub(super) struct Current<M: SentimentModel> {
    pub(super) state: Arc<M::State>,
    pub(super) at: StepAt,
    /// The batch and the output of the step's first part, once it is computed.
    seen: Option<(Batch, M::Output)>,
    errors: FirstError,
    /// What the learner's model lacks of [`SentimentModel::after_step`].
    pub(super) after: AfterStep<M>,
    /// Why the model could not restore what must hold after a step.
    pub(super) after_step: Option<ModelError>,
}

/// Whether [`SentimentModel::after_step`] has been taken. On a GPU it waits for the next step's encoders, which are launched
/// before the host restores what must hold.
pub(super) enum AfterStep<M> {
    /// By the learner's model.
    Taken,
    /// By nobody yet.
    Due,
    /// By this model, which stands for the learner's until the next step of the optimiser.
    By(M),
}

impl<M: SentimentModel> Current<M> {
    fn new(state: M::State) -> Self {
        Self {
            state: Arc::new(state),
            at: StepAt::new(0, 0),
            seen: None,
            errors: FirstError::default(),
            after: AfterStep::Taken,
            after_step: None,
        }
    }

    /// What the step left: its error, or batch and output.
    pub(super) fn take(&mut self) -> (Option<StepError>, Option<(Batch, M::Output)>) {
        let errors = std::mem::take(&mut self.errors);
        (errors.get().cloned(), self.seen.take())
    }
}

impl<M: SentimentModel> Shared<M> {
    /// Before the first step, with the gradients in these groups.
    pub(super) fn new(state: M::State, groups: GradientGroups, left_out: Untrained) -> Self {
        Self {
            groups,
            left_out,
            current: Mutex::new(Current::new(state)),
        }
    }

    /// The current step, locked. A panic elsewhere leaves it readable.
    pub(super) fn lock(&self) -> MutexGuard<'_, Current<M>> {
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

    /// The learner's trainee as it is to be after its last step.
    pub(super) fn settled(self) -> Self {
        let mut current = self.shared.lock();
        if let AfterStep::Due = current.after {
            current.after = match self.model.clone().after_step() {
                Ok(model) => AfterStep::By(model),
                Err(error) => {
                    current.after_step = Some(error);
                    AfterStep::Taken
                }
            };
        }
        let AfterStep::By(model) = &current.after else {
            drop(current);
            return self;
        };
        let settled = self.with(model.clone());
        drop(current);
        settled
    }

    /// The model after its last step, and what its forward pass gives.
    pub(super) fn forward(
        &self,
        batch: &Batch,
        state: &M::State,
        mode: Mode,
    ) -> Result<(M, M::Output), ModelError> {
        if batch.part.is_some() {
            // A worker's copy, on the device of its part: `fork` made it of the settled model.
            let output = self.model.forward(batch, state, mode)?;
            return Ok((self.model.clone(), output));
        }
        let due = matches!(self.shared.lock().after, AfterStep::Due);
        if due {
            let (model, output) = self.model.clone().forward_after_step(batch, state, mode)?;
            self.shared.lock().after = AfterStep::By(model.clone());
            return Ok((model, output));
        }
        let model = self.clone().settled().model;
        let output = model.forward(batch, state, mode)?;
        Ok((model, output))
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
        self.settled().map_model(|model| model.fork(device))
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

    /// What a checkpoint holds.
    fn into_record(self) -> ModuleRecord {
        let Self { model, shared } = self.settled();
        let kept = shared.left_out.trained(&model);
        model.into_record_group(kept)
    }

    /// Where the mapper is an optimiser, its steps on a GPU take few launches.
    fn map<P: ModuleMapper>(self, mapper: &mut P) -> Self {
        self.map_model(|model| map_together(model, mapper))
    }
}

/// What a step leaves for the epoch's record: everything on the host.
#[derive(Clone, Debug, Default)]
pub(super) struct StepRecord {
    /// The loss and its parts.
    pub(super) losses: Vec<f64>,
    /// Which parts of the loss are in use.
    pub(super) in_use: Vec<bool>,
    /// The norms of the gradient groups; none of a part, whose own norms say nothing.
    pub(super) norms: Option<Vec<f64>>,
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
            (Arc::clone(&current.state), Mode::Train(current.at))
        };
        let part = batch.part.as_ref().map_or(0, |part| part.index());
        let forward = || self.forward(&batch, &state, mode);
        let output = match &batch.part {
            Some(part) => part.draw(forward),
            None => forward(),
        };
        let (model, mut output) = match output {
            Ok(done) => done,
            Err(error) => return self.fail(part, step_error(error.into()), Vec::new()),
        };
        let loss = model.loss(&batch, &mut output, &state, mode);
        let outcome = loss
            .map_err(LearnerError::from)
            .and_then(|loss| self.differentiate(&loss, &model, &batch, part));
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
        let stepped = optimizer.step(learning_rate, self.settled(), gradients);
        stepped.shared.lock().after = AfterStep::Due;
        let devices = stepped.model.devices();
        if devices.iter().all(gpu::on_gpu) {
            return stepped;
        }
        let settled = stepped.settled();
        settled.shared.lock().after = AfterStep::Taken;
        settled
    }
}

impl<M: SentimentModel> Trainee<M> {
    /// Gradients and, in one read from the device, the losses with the gradients' norms. The norms of a part say nothing:
    /// they are measured where the parts' gradients have been added up.
    fn differentiate(
        &self,
        loss: &Loss,
        model: &M,
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
        let grads = GradientsParams::from_grads(loss.total.backward(), model);
        let squares = batch
            .part
            .is_none()
            .then(|| self.shared.groups.squares(model, &grads));
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
            in_use: loss.parts.iter().map(Option::is_some).collect(),
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
                in_use: Vec::new(),
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
pub(super) struct Workers<M: SentimentModel> {
    pub(super) devices: Vec<Device>,
    together: Option<MultiDevicesTrainStep<Trainee<M>>>,
}

impl<M: SentimentModel> Workers<M> {
    /// Workers for at least one device, the first of which holds the model.
    pub(super) fn new(devices: &[Device]) -> Self {
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
    pub(super) fn step(
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
        let in_use = outputs.first().map(|of| of.item.in_use.clone());
        let mut sum = GradientsAccumulator::new();
        for output in outputs {
            sum.accumulate(&trainee, output.grads.to_device(main, &trainee));
        }
        Ok(TrainOutput {
            grads: sum.grads(),
            item: StepRecord {
                losses: trainee.model.combine_losses(&losses),
                in_use: in_use.unwrap_or_default(),
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
                steps: start.steps,
                ema: start.ema,
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
    steps: StepRules,
    ema: Option<Ema>,
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
            steps: start.steps,
            ema: start.ema,
        };
        let mut trainer = start.trainer(checkpointer.map(|checkpointer| (checkpointer, events)));
        let outcome = epochs.run(&mut trainer, components.num_epochs, &components.interrupter);
        *lock(&self.ended) = Some(outcome.map(|()| epochs));
        (
            trainer.learner.model().settled(),
            components.event_processor,
        )
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
