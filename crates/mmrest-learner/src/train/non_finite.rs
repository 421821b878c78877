//! Steps that cannot be taken, and where a value that is not finite came from. That is looked for only once a step has
//! failed, for every look is a read from the device.

use std::fmt;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_models::{Batch, ModelOutput, SentimentModel, TextBatch};

use crate::error::{LearnerError, to_host};

/// Why a training step was skipped; the model stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StepError {
    /// A loss or a gradient is not finite. Training may go on with the next batch.
    NonFinite(NonFinite),
    /// The step failed: training cannot go on.
    Failed(String),
    /// The step failed where another device took its part of it.
    OtherPart(String),
}

/// A number that is not finite, met in a training step.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// Where it shows: a part of the loss by its name, `total`, or `gradient` where the loss itself is finite.
    pub part: &'static str,
    /// The first tensor that holds one, in the order of computation; of gradients, in the order of the model's fields.
    pub tensor: String,
    /// The first such number in it: infinite or NaN.
    pub value: f32,
    /// The segment it belongs to, where it belongs to one: its place in the training split.
    pub row: Option<usize>,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            "gradient" => write!(f, "the loss is finite and its gradient is not")?,
            "total" => write!(f, "the loss is not finite")?,
            part => write!(f, "the loss is not finite in its part '{part}'")?,
        }
        write!(
            f,
            "; the first tensor that is not is the {} ({})",
            self.tensor, self.value
        )
    }
}

impl StepError {
    /// Which of several reasons is told: what training cannot go on after comes first, what only follows from another last.
    fn rank(&self) -> usize {
        match self {
            Self::Failed(_) => 0,
            Self::NonFinite(_) => 1,
            Self::OtherPart(_) => 2,
        }
    }
}

/// The error to report of those that the parts of a step gave, in whatever order they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstError(Option<(usize, usize, StepError)>);

impl FirstError {
    /// Notes the reason of a part of a step.
    pub(crate) fn note(&mut self, part: usize, error: StepError) {
        let place = (error.rank(), part);
        let first = self
            .0
            .as_ref()
            .is_none_or(|(rank, known, _)| place < (*rank, *known));
        if first {
            self.0 = Some((place.0, place.1, error));
        }
    }

    /// The reason, if there is one.
    pub(crate) fn get(&self) -> Option<&StepError> {
        self.0.as_ref().map(|(_, _, error)| error)
    }
}

/// The first tensor of a step that is not finite, from the batch to the loss; none where all are. `losses` are the total
/// and the parts, in the order of [`SentimentModel::LOSSES`]; without them the loss could not be computed.
///
/// # Errors
///
/// The device cannot be read.
pub(crate) fn find_non_finite<M: SentimentModel>(
    batch: &Batch,
    output: &M::Output,
    losses: Option<&[f64]>,
) -> Result<Option<NonFinite>, LearnerError> {
    let mut look = Look { batch, found: None };
    look.at_batch()?;
    for (name, tensor) in output.stages() {
        look.of_segments(name, &tensor)?;
    }
    let shown = losses.and_then(non_finite_loss::<M>);
    let part = match shown {
        Some((part, _)) => part,
        // Nothing of the loss is known: the prediction tells whether its first part can be a number.
        None if to_host(output.prediction())?.iter().all(|v| v.is_finite()) => "total",
        None => M::LOSSES.first().copied().unwrap_or("total"),
    };
    let own = || {
        let (part, value) = shown?;
        Some((format!("loss part {part}"), value as f32, None))
    };
    let found = look.found.or_else(own);
    Ok(found.map(|(tensor, value, row)| NonFinite {
        part,
        tensor,
        value,
        row,
    }))
}

/// The first part of a loss that is not finite, with its value: the parts before their sums, the total last.
pub(crate) fn non_finite_loss<M: SentimentModel>(losses: &[f64]) -> Option<(&'static str, f64)> {
    let (total, parts) = losses.split_first()?;
    let parts = M::LOSSES.iter().copied().zip(parts.iter().copied());
    parts
        .chain([("total", *total)])
        .find(|(_, value)| !value.is_finite())
}

/// A tensor's name, its first number that is not finite, and the segment that belongs to.
type Found = (String, f32, Option<usize>);

struct Look<'a> {
    batch: &'a Batch,
    found: Option<Found>,
}

impl Look<'_> {
    fn at_batch(&mut self) -> Result<(), LearnerError> {
        match &self.batch.text {
            Some(TextBatch::Hidden(states, offsets)) => {
                let rows = offsets.windows(2).zip(&self.batch.rows);
                let of_token = rows.flat_map(|(span, &row)| vec![row; span[1] - span[0]]);
                let rows = of_token.collect::<Vec<_>>();
                self.at("text states", states, &rows)?;
            }
            Some(TextBatch::First(states)) => self.of_segments("text states", states)?,
            _ => {}
        }
        for (name, frames) in [
            ("vision frames", &self.batch.vision),
            ("audio frames", &self.batch.audio),
        ] {
            if let Some(frames) = frames {
                self.of_segments(name, &frames.values)?;
            }
        }
        let labels = TensorData::new(self.batch.labels.clone(), [self.batch.len()]);
        self.of_segments("labels", &Tensor::<1>::from_data(labels, &Device::flex()))
    }

    /// A tensor whose first dimension is the batch.
    fn of_segments<const D: usize>(
        &mut self,
        name: &str,
        tensor: &Tensor<D>,
    ) -> Result<(), LearnerError> {
        let rows = self.batch.rows.clone();
        self.at(name, tensor, &rows)
    }

    /// A tensor with the segment of each index of its first dimension.
    fn at<const D: usize>(
        &mut self,
        name: &str,
        tensor: &Tensor<D>,
        rows: &[usize],
    ) -> Result<(), LearnerError> {
        if self.found.is_some() {
            return Ok(());
        }
        let values = to_host(tensor.clone())?;
        let each = (values.len() / rows.len().max(1)).max(1);
        self.found = first(&values).map(|at| {
            let row = rows.get(at / each).copied();
            (name.to_string(), values[at], row)
        });
        Ok(())
    }
}

/// The first parameter, in the order of the model's fields, whose gradient is not finite, or has a square that is not.
///
/// # Errors
///
/// The device cannot be read.
pub(crate) fn find_in_gradients<M: Module>(
    model: &M,
    gradients: &GradientsParams,
) -> Result<Option<NonFinite>, LearnerError> {
    let mut visitor = Gradients {
        gradients,
        path: Vec::new(),
        found: Ok(None),
    };
    model.visit(&mut visitor);
    visitor.found
}

struct Gradients<'a> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    found: Result<Option<NonFinite>, LearnerError>,
}

impl ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let (Ok(None), Some(gradient)) = (&self.found, self.gradients.get::<D>(param.id)) {
            let path = self.path.join(".");
            self.found = to_host(gradient).map(|values| {
                let value = offending(&values)?;
                Some(NonFinite {
                    part: "gradient",
                    tensor: format!("gradient of {path}"),
                    value,
                    row: None,
                })
            });
        }
    }
}

/// The first number of a gradient that is not finite; or the largest, where the sum of the squares is not.
fn offending(values: &[f32]) -> Option<f32> {
    if let Some(at) = first(values) {
        return Some(values[at]);
    }
    let squares: f32 = values.iter().map(|value| value * value).sum();
    let largest = values
        .iter()
        .copied()
        .max_by(|a, b| a.abs().total_cmp(&b.abs()));
    largest.filter(|_| !squares.is_finite())
}

/// The index of the first number that is not finite.
fn first(values: &[f32]) -> Option<usize> {
    values.iter().position(|value| !value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmrest_data::{Frames, Modality, Widths};
    use mmrest_models::{
        ClusterState, Example, HostBatch, MmRest, MmRestConfig, Mode, TextFeatures,
    };

    use crate::config::Config;

    fn model(device: &Device) -> MmRest {
        let mut config = Config::default();
        config.data.modalities = vec![Modality::Vision, Modality::Audio];
        let widths = Widths {
            vision: 2,
            audio: 1,
        };
        let model = MmRestConfig {
            representation: 4,
            ..MmRestConfig::default()
        };
        MmRest::init(&model, &config.task(widths, 0), None, device).unwrap()
    }

    fn batch(bad: Option<f32>, device: &Device) -> Batch {
        let frames = |values: Vec<f32>, width| Frames { values, width };
        let example = |index: usize| Example {
            id: format!("v[{index}]"),
            text: TextFeatures::Absent,
            vision: frames(vec![0.5; 2 * (index + 1)], 2),
            audio: frames(
                vec![bad.filter(|_| index == 1).unwrap_or(0.1); index + 2],
                1,
            ),
            sentences: Vec::new(),
            label: index as f32,
        };
        let examples: Vec<Example> = (0..3).map(example).collect();
        HostBatch::new(&examples, vec![7, 8, 9]).upload(device)
    }

    #[test]
    fn the_first_tensor_and_its_segment_are_found() {
        let device = Device::flex().autodiff();
        let model = model(&device);
        let good = batch(None, &device);
        let forward = model
            .forward(&good, &ClusterState::default(), Mode::Evaluate)
            .unwrap();
        assert_eq!(
            find_non_finite::<MmRest>(&good, &forward, None).unwrap(),
            None
        );

        let bad = batch(Some(f32::NAN), &device);
        let forward = model
            .forward(&bad, &ClusterState::default(), Mode::Evaluate)
            .unwrap();
        let found = find_non_finite::<MmRest>(&bad, &forward, None)
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.tensor.as_str(), found.row),
            ("audio frames", Some(8))
        );
        assert!(found.value.is_nan() && found.part == "task");

        let losses = [f64::INFINITY, 0.0, f64::INFINITY, 0.0, 0.0, 0.0];
        let forward = model
            .forward(&good, &ClusterState::default(), Mode::Evaluate)
            .unwrap();
        let found = find_non_finite::<MmRest>(&good, &forward, Some(&losses))
            .unwrap()
            .unwrap();
        assert_eq!((found.part, found.row), ("intra", None));
        assert_eq!(found.tensor, "loss part intra");
    }

    #[test]
    fn the_first_gradient_is_named_by_its_parameter() {
        let device = Device::flex().autodiff();
        let model = model(&device);
        let good = batch(None, &device);
        let forward = model
            .forward(&good, &ClusterState::default(), Mode::Evaluate)
            .unwrap();
        let gradients = forward.prediction.sum().backward();
        let mut gradients = GradientsParams::from_grads(gradients, &model);
        assert_eq!(find_in_gradients(&model, &gradients).unwrap(), None);

        let audio = model.audio.as_ref().unwrap();
        let id = audio.projection.weight.id;
        let gradient = gradients.remove::<2>(id).unwrap();
        gradients.register(id, gradient.clone().mul_scalar(f32::NAN));
        let found = find_in_gradients(&model, &gradients).unwrap().unwrap();
        assert_eq!(found.tensor, "gradient of audio.projection.weight");
        gradients.remove::<2>(id);
        gradients.register(id, gradient.zeros_like().add_scalar(1e30));
        let found = find_in_gradients(&model, &gradients).unwrap().unwrap();
        assert_eq!(found.value, 1e30, "its square is infinite");
    }
}
