//! The trait that every model implements, and what it exchanges with the code that trains it.

use std::fmt::{Debug, Display};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use mmrest_encoders::{Bert, BertConfig};
use mmrest_onnx::Graph;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::{ConfigError, ModelError};
use crate::geometry::Geometry;
use crate::graph::{GraphInputs, GraphOutputs};
use crate::needs::Needs;
use crate::published::PublishedTensor;
use crate::recipe::{Rates, Recipe};
use crate::task::Task;

/// Predicts the segments of a split with a state; each with its label.
pub type PredictWith<'a, S> = dyn FnMut(&S) -> Result<Vec<(Prediction, f32)>, ModelError> + 'a;

/// A model that the harness can train, evaluate, save and serve.
///
/// Parameters are the module's. What moves beside them (clusters, label memories) is the [`State`](Self::State): a value
/// that the caller owns, passes to each call and saves with every checkpoint and model. A model therefore holds no locks.
///
/// One training step is [`forward`](Self::forward), [`loss`](Self::loss), the backward pass, [`observe`](Self::observe),
/// the optimisers' step, [`after_step`](Self::after_step). A step with a loss or gradient that is not finite ends after the
/// backward pass: neither parameters nor state change.
pub trait SentimentModel: Module + Display + Debug + Sync + 'static {
    /// The model's own table in a configuration: `[model.NAME]`.
    type Config: Presets;
    /// What moves beside the parameters; `()` for most models.
    type State: Clone + Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static;
    /// What a forward pass gives to loss and prediction.
    type Output: ModelOutput;

    /// Names of the parts of the loss, parts before their sums. They name columns of `epochs.csv` and curves of reports.
    const LOSSES: &'static [&'static str];

    /// Where the text encoder is in the model: the path of its parameters, without the dot at the end.
    const TEXT_PATH: &'static str = "bert";

    /// Whether a batch may be computed in parts, on several devices at once: the loss of a part is its share of the batch's.
    const SEVERAL_DEVICES: bool = true;

    /// What turns the paths of the parameters into the names of the published state dict: replacements, made in their order,
    /// after the general ones of [`load_published`](crate::load_published).
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[];

    /// Beginnings of published names: parts that a published checkpoint may lack as a whole, and that then stay as they were
    /// drawn.
    const PUBLISHED_APART: &'static [&'static str] = &[];

    /// Whether the model writes itself as an ONNX graph ([`graph`](Self::graph)).
    const HAS_GRAPH: bool = false;

    /// Builds the model with fresh weights. `text` is the text encoder and its configuration, when text is in use.
    ///
    /// # Errors
    ///
    /// Configuration, task and text encoder do not fit together.
    fn init(
        config: &Self::Config,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError>;

    /// The number of parameters that [`init`](Self::init) would make, without making them. Saturates.
    fn parameter_count(config: &Self::Config, task: &Task, text: Option<&BertConfig>) -> u128;

    /// The state before the first step. `labels` are those of the training split, in its order.
    fn init_state(config: &Self::Config, task: &Task, labels: &[f32]) -> Self::State;

    /// Takes what a published state dict holds of the state: buffers, such as running statistics. `find` gives a tensor
    /// by its published name.
    ///
    /// # Errors
    ///
    /// A tensor that belongs to the state is missing, or has another shape.
    fn load_published_state(
        _state: &mut Self::State,
        _find: &dyn Fn(&str) -> Option<PublishedTensor>,
    ) -> Result<(), ModelError> {
        Ok(())
    }

    /// Checks a state that was read from a file.
    ///
    /// # Errors
    ///
    /// It does not fit the model.
    fn check_state(&self, state: &Self::State) -> Result<(), ModelError>;

    /// The state that prediction needs: what a saved model keeps.
    fn prediction_state(&self, state: &Self::State) -> Self::State {
        state.clone()
    }

    /// A state made ready for many batches with these weights: what is the same for all of them is computed once. Only for
    /// prediction; it is saved, and compared, as it was.
    ///
    /// # Errors
    ///
    /// State and model do not fit together.
    fn ready(&self, state: Self::State) -> Result<Self::State, ModelError> {
        Ok(state)
    }

    /// What the model asks of data and batches. The default is the first token's state of every text, and frames of any
    /// length, or none.
    fn needs(_config: &Self::Config) -> Needs {
        Needs::default()
    }

    /// Parameter groups with their optimisers and rates, clipping, accumulation, passes, schedule.
    fn recipe(config: &Self::Config, rates: &Rates) -> Recipe;

    /// What an epoch (from 1) begins with that needs a pass over the training split, for the display; none when
    /// [`begin_epoch`](Self::begin_epoch) does nothing.
    fn epoch_stage(&self, _epoch: usize) -> Option<&'static str> {
        None
    }

    /// Begins an epoch (from 1) with a pass over the training split in its own order. The model is without autodiff.
    ///
    /// # Errors
    ///
    /// A batch cannot be read, or gives values that cannot be used.
    fn begin_epoch(
        &self,
        _state: &mut Self::State,
        _epoch: usize,
        _train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        Ok(())
    }

    /// What an epoch ends with, before it is validated, that needs a pass over the training split, for the display; none
    /// when [`end_epoch`](Self::end_epoch) does nothing.
    fn epoch_end_stage(&self) -> Option<&'static str> {
        None
    }

    /// Ends an epoch with a pass over the training split in its own order. The model is the one that is validated, without
    /// autodiff.
    ///
    /// # Errors
    ///
    /// A batch cannot be read, or gives values that cannot be used.
    fn end_epoch(
        &self,
        _state: &mut Self::State,
        _train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        Ok(())
    }

    /// Ends a run with a pass over the training split in its own order, where the state that [`end_epoch`](Self::end_epoch)
    /// left is an approximation. The model is the selected one, without autodiff. Gives whether the state has changed.
    ///
    /// # Errors
    ///
    /// As [`end_epoch`](Self::end_epoch).
    fn end_run(
        &self,
        _state: &mut Self::State,
        _train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<bool, ModelError> {
        Ok(false)
    }

    /// Chooses by the validation split, at the end of a run and after [`end_run`](Self::end_run). `predict` gives what the
    /// selected model predicts with a state, each segment of the split with its label. Gives whether the state has changed.
    ///
    /// # Errors
    ///
    /// Those of `predict`.
    fn choose(
        &self,
        _state: &mut Self::State,
        _predict: &mut PredictWith<'_, Self::State>,
    ) -> Result<bool, ModelError> {
        Ok(false)
    }

    /// What a state takes that is to be validated with averaged weights (`train.ema`), and needs a pass over the training
    /// split for, for the display; none when [`refit`](Self::refit) does nothing.
    fn refit_stage(&self) -> Option<&'static str> {
        None
    }

    /// Fits a state that followed the training's weights to averaged ones, which this model has, with a pass over the
    /// training split in its own order. Training goes on with the state as it was.
    ///
    /// # Errors
    ///
    /// As [`end_epoch`](Self::end_epoch).
    fn refit(
        &self,
        _state: &mut Self::State,
        _train: &mut dyn Iterator<Item = Result<Batch, ModelError>>,
    ) -> Result<(), ModelError> {
        Ok(())
    }

    /// Scores a batch.
    ///
    /// # Errors
    ///
    /// State and model do not fit together, or the device cannot be read.
    fn forward(
        &self,
        batch: &Batch,
        state: &Self::State,
        mode: Mode,
    ) -> Result<Self::Output, ModelError>;

    /// The loss of a batch. What [`observe`](Self::observe) is to know of it is left in `output`.
    ///
    /// # Errors
    ///
    /// Values that are not finite where a number is needed; another device's part of the step failed.
    fn loss(
        &self,
        batch: &Batch,
        output: &mut Self::Output,
        state: &Self::State,
        mode: Mode,
    ) -> Result<Loss, ModelError>;

    /// The loss and its parts of a whole batch, from those of the parts of it that several devices computed; each begins
    /// with the total. The default adds them up: each part's loss is its share of the batch's.
    fn combine_losses(&self, parts: &[Vec<f64>]) -> Vec<f64> {
        let mut parts = parts.iter();
        let mut sum = parts.next().cloned().unwrap_or_default();
        for part in parts {
            sum.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part);
        }
        sum
    }

    /// Moves the state on after a batch whose loss and gradients are finite, before the optimisers' step.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn observe(
        &self,
        _batch: &Batch,
        _output: &Self::Output,
        _state: &mut Self::State,
        _at: StepAt,
    ) -> Result<(), ModelError> {
        Ok(())
    }

    /// Restores what must hold after an optimiser's step, such as metrics that are positive semidefinite.
    ///
    /// # Errors
    ///
    /// It cannot be restored.
    fn after_step(self) -> Result<Self, ModelError> {
        Ok(self)
    }

    /// [`after_step`](Self::after_step), and the [`forward`](Self::forward) pass of the model that it gives. What of the
    /// pass does not depend on `after_step` may be launched before it, so that a GPU works while the host restores the
    /// rest.
    ///
    /// # Errors
    ///
    /// As `after_step` and `forward`.
    fn forward_after_step(
        self,
        batch: &Batch,
        state: &Self::State,
        mode: Mode,
    ) -> Result<(Self, Self::Output), ModelError> {
        let model = self.after_step()?;
        let output = model.forward(batch, state, mode)?;
        Ok((model, output))
    }

    /// The model's further columns of `epochs.csv`, at the end of an epoch.
    fn epoch_columns(&self, _state: &Self::State) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Reads a batch's predictions to the host; `rows` are the places of the segments in their split.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn predictions(
        &self,
        output: &Self::Output,
        _state: &Self::State,
        rows: &[usize],
    ) -> Result<Vec<Prediction>, ModelError> {
        let values = mmrest_kernels::host::read("predictions", output.prediction())?;
        let predictions = rows.iter().zip(values);
        Ok(predictions
            .map(|(&row, score)| Prediction {
                row,
                prediction: score,
                score,
                bias: 0.0,
                near: Vec::new(),
            })
            .collect())
    }

    /// The text encoder, when text is in use.
    fn text_encoder(&self) -> Option<&Bert>;

    /// Parameters of the model's own parts, by name, beside the text encoder.
    fn parts(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }

    /// The shared space with its clusters and metrics, for reports and explanations, where the model has one.
    fn geometry<'a>(&'a self, _state: &'a Self::State) -> Option<Box<dyn Geometry + 'a>> {
        None
    }

    /// Adds to an ONNX graph what the model computes in [`Mode::Evaluate`], where it [has a graph](Self::HAS_GRAPH).
    ///
    /// # Errors
    ///
    /// The model has no graph, or the device cannot be read.
    fn graph(
        &self,
        _state: &Self::State,
        _inputs: &GraphInputs,
        _graph: &mut Graph,
    ) -> Result<GraphOutputs, ModelError> {
        let told = "a model without an ONNX graph was asked for it";
        Err(ModelError::Internal(told.into()))
    }
}

/// A model's table in a configuration: plain data with published presets.
pub trait Presets:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Names of the presets and, as TOML with the keys of a whole configuration, what each sets differently from the
    /// defaults. The first is the one that holds when none is named.
    const PRESETS: &'static [(&'static str, &'static str)];
    /// Keys below `model.NAME`, or tables of keys (`loss.*`), that a run may be resumed with other values of.
    const RESUMABLE: &'static [&'static str];

    /// Checks ranges and combinations. `key` names the model's table (`model.mmrest`).
    ///
    /// # Errors
    ///
    /// A value is out of its range, or does not fit another.
    fn check(&self, key: &str, task: &Task) -> Result<(), ConfigError>;
}

/// What a forward pass gives.
pub trait ModelOutput: Debug + Send + 'static {
    /// The predicted sentiment, `[batch]`.
    fn prediction(&self) -> Tensor<1>;

    /// Every tensor on the way to the prediction, named, in the order of computation, `[batch, ..]`: where a value that is
    /// not finite is looked for.
    fn stages(&self) -> Vec<(&'static str, Tensor<2>)>;

    /// The representations of each segment, `[batch, width]`: the stages that are more than a number, under names such as
    /// `text_representation`.
    fn representations(&self) -> Vec<(String, Tensor<2>)> {
        let stages = self.stages().into_iter();
        let wide = stages.filter(|(_, tensor)| tensor.dims()[1] > 1);
        wide.map(|(name, tensor)| (identifier(name), tensor))
            .collect()
    }
}

/// The name of a stage as an identifier: `text encoder's output` is `text_encoder_output`.
pub(crate) fn identifier(stage: &str) -> String {
    let plain = stage.to_lowercase().replace("'s", "");
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    plain.chars().map(word).collect()
}

/// Whether a forward pass is a training step's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A training step; where it stands in the run names its random choices.
    Train(StepAt),
    /// Evaluation or prediction.
    Evaluate,
}

/// Where a training step stands in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepAt {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Which of the recipe's passes over the training split, from 0.
    pub pass: usize,
    /// Batch of the pass, from 1.
    pub step: usize,
}

impl StepAt {
    /// A step of an epoch's first pass.
    #[must_use]
    pub const fn new(epoch: usize, step: usize) -> Self {
        Self {
            epoch,
            pass: 0,
            step,
        }
    }
}

/// The loss of a batch: what is differentiated, and its parts.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is differentiated, `[1]`.
    pub total: Tensor<1>,
    /// The parts, unweighted, `[1]` each, in the order of [`SentimentModel::LOSSES`]; a part that is not in use is absent
    /// and counts as 0.
    pub parts: Vec<Option<Tensor<1>>>,
}

/// A cluster as a segment sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearCluster {
    /// The cluster's number, from 0.
    pub cluster: usize,
    /// Its sentiment: the class of its bin (`bins.labels`), by default from -3 (most negative) to 3.
    pub sentiment: i32,
    /// Squared Mahalanobis distance under the cluster's own metric, mean over the segment's modalities.
    pub distance: f32,
}

/// A predicted sentiment and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Place of the segment in its split.
    pub row: usize,
    /// The predicted sentiment.
    pub prediction: f32,
    /// The prediction without its bias.
    pub score: f32,
    /// What geometry adds to the score; 0 for models without such a bias.
    pub bias: f32,
    /// The nearest clusters, at most two; none for models without clusters.
    pub near: Vec<NearCluster>,
}
