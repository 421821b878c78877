//! A model with its state, whichever model it is: what evaluation, prediction, serving and reports work with.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use burn::module::Module;
use mmrest_encoders::Bert;
use mmrest_kernels::host;
use mmrest_models::{
    Batch, Geometry, GraphInputs, GraphOutputs, Mode, ModelError, ModelOutput, Prediction,
    SentimentModel,
};
use mmrest_onnx::Graph;
use serde::{Deserialize, Serialize};

use crate::error::{LearnerError, batch_error};
use crate::files;
use crate::loader::SegmentLoader;
use crate::untrained::{Untrained, write_weights};

/// A trained model on a device without autodiff, so that dropout is off.
pub trait TrainedModel: Debug + Send + Sync {
    /// Predicts one batch.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn predict_batch(&self, batch: &Batch) -> Result<Vec<Prediction>, LearnerError>;

    /// Ends a run with a pass over the training split and what the validation split chooses, where the model has either
    /// ([`SentimentModel::end_run`], [`SentimentModel::choose`]). Gives whether the model has changed.
    ///
    /// # Errors
    ///
    /// A batch or the device cannot be read, or a value is not finite.
    fn end_run(
        &mut self,
        train: &SegmentLoader,
        valid: &SegmentLoader,
    ) -> Result<bool, LearnerError>;

    /// Predicts one batch, with its segments' representations.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn represent_batch(
        &self,
        batch: &Batch,
    ) -> Result<(Vec<Prediction>, Vec<Representation>), LearnerError>;

    /// Adds the model to an ONNX graph.
    ///
    /// # Errors
    ///
    /// The model has no graph, or the device cannot be read.
    fn graph(&self, inputs: &GraphInputs, graph: &mut Graph) -> Result<GraphOutputs, LearnerError>;

    /// The shared space of the model, where it has one.
    fn geometry(&self) -> Option<Box<dyn Geometry + '_>>;

    /// The text encoder, when text is in use.
    fn text_encoder(&self) -> Option<&Bert>;

    /// How many parameters the model has.
    fn parameter_counts(&self) -> ParameterCounts;

    /// Writes weights and state, for prediction, to two files. So many lower layers of the text encoder, and its embeddings,
    /// are left out: none of them when 0.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    fn save(&self, weights: &Path, state: &Path, lower_layers: usize) -> Result<(), LearnerError>;
}

/// A representation of some segments, such as that of text in the shared space.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// Its name, such as `text_representation`.
    pub name: String,
    /// Numbers of a segment.
    pub width: usize,
    /// `[segments, width]`.
    pub values: Vec<f32>,
}

/// How many parameters a model has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterCounts {
    /// All of them.
    pub total: usize,
    /// The text encoder.
    pub text_encoder: usize,
    /// Everything but the text encoder and the parts that the model names.
    pub rest: usize,
    /// The parts that the model names, such as `metrics`.
    #[serde(flatten)]
    pub parts: BTreeMap<String, usize>,
}

impl ParameterCounts {
    /// The parameters of a part that the model names; 0 where it has none.
    pub fn part(&self, name: &str) -> usize {
        self.parts.get(name).copied().unwrap_or(0)
    }
}

/// A model with its state.
#[derive(Debug)]
pub(crate) struct Trained<M: SentimentModel> {
    model: M,
    state: M::State,
}

impl<M: SentimentModel> Trained<M> {
    /// `model` is on a device without autodiff.
    ///
    /// # Errors
    ///
    /// State and model do not fit together.
    pub(crate) fn new(model: M, state: M::State) -> Result<Self, LearnerError> {
        let state = model.ready(state)?;
        Ok(Self { model, state })
    }

    fn predict_with(&self, state: &M::State, batch: &Batch) -> Result<Vec<Prediction>, ModelError> {
        let output = self.model.forward(batch, state, Mode::Evaluate)?;
        self.model.predictions(&output, state, &batch.rows)
    }
}

impl<M: SentimentModel> TrainedModel for Trained<M> {
    fn predict_batch(&self, batch: &Batch) -> Result<Vec<Prediction>, LearnerError> {
        Ok(self.predict_with(&self.state, batch)?)
    }

    fn end_run(
        &mut self,
        train: &SegmentLoader,
        valid: &SegmentLoader,
    ) -> Result<bool, LearnerError> {
        let mut state = self.state.clone();
        let mut batches = train.pass().map(|batch| batch.map_err(batch_error));
        let mut changed = self.model.end_run(&mut state, &mut batches)?;
        let labels = valid.labels();
        changed |= self.model.choose(&mut state, &mut |state| {
            let mut predicted = Vec::new();
            for batch in valid.pass() {
                for prediction in self.predict_with(state, &batch.map_err(batch_error)?)? {
                    let label = labels[prediction.row];
                    predicted.push((prediction, label));
                }
            }
            Ok(predicted)
        })?;
        if changed {
            self.state = self.model.ready(state)?;
        }
        Ok(changed)
    }

    fn represent_batch(
        &self,
        batch: &Batch,
    ) -> Result<(Vec<Prediction>, Vec<Representation>), LearnerError> {
        let output = self.model.forward(batch, &self.state, Mode::Evaluate)?;
        let predictions = self.model.predictions(&output, &self.state, &batch.rows)?;
        let mut representations = Vec::new();
        for (name, tensor) in output.representations() {
            representations.push(Representation {
                name,
                width: tensor.dims()[1],
                values: host::read("representations", tensor)?,
            });
        }
        Ok((predictions, representations))
    }

    fn graph(&self, inputs: &GraphInputs, graph: &mut Graph) -> Result<GraphOutputs, LearnerError> {
        Ok(self.model.graph(&self.state, inputs, graph)?)
    }

    fn geometry(&self) -> Option<Box<dyn Geometry + '_>> {
        self.model.geometry(&self.state)
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.model.text_encoder()
    }

    fn parameter_counts(&self) -> ParameterCounts {
        let total = self.model.num_params();
        let text_encoder = self.model.text_encoder().map_or(0, Module::num_params);
        let parts = self.model.parts();
        let of_parts: usize = parts.iter().map(|(_, count)| count).sum();
        ParameterCounts {
            total,
            text_encoder,
            rest: total - text_encoder - of_parts,
            parts: parts
                .into_iter()
                .map(|(name, count)| (name.into(), count))
                .collect(),
        }
    }

    fn save(&self, weights: &Path, state: &Path, lower_layers: usize) -> Result<(), LearnerError> {
        let untrained = Untrained::of_model::<M>(lower_layers);
        write_weights(&self.model, untrained.trained_paths(&self.model), weights)?;
        files::write_compact_json(state, &self.state)?;
        // The store writes a private file.
        let permissions = std::fs::metadata(state)
            .map_err(|e| LearnerError::io("read", state, e))?
            .permissions();
        std::fs::set_permissions(weights, permissions)
            .map_err(|e| LearnerError::io("write", weights, e))
    }
}

/// Predicts a split, in its own order.
///
/// # Errors
///
/// A batch or the device cannot be read.
pub fn predict(
    model: &dyn TrainedModel,
    loader: &SegmentLoader,
) -> Result<Vec<Prediction>, LearnerError> {
    let mut predictions = Vec::new();
    for batch in loader.pass() {
        predictions.extend(model.predict_batch(&batch?)?);
    }
    predictions.sort_by_key(|prediction| prediction.row);
    Ok(predictions)
}
