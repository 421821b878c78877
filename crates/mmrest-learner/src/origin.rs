//! Where a number that is not finite came from: looked for only once a step is refused, for every look is a read.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::batch::{Batch, TextBatch};
use crate::error::LearnerError;
use crate::model::{Forward, MmRest};
use crate::objective::to_host;
use crate::refusal::NonFinite;
use crate::step::Losses;

/// The first tensor of a step that is not finite, from the batch to the loss; none where all are. Without `losses` the
/// objective could not be computed.
///
/// # Errors
///
/// The device cannot be read.
pub(crate) fn in_step(
    batch: &Batch,
    forward: &Forward,
    losses: Option<&Losses>,
) -> Result<Option<NonFinite>, LearnerError> {
    let mut look = Look { batch, found: None };
    look.at_batch()?;
    look.at_forward(forward)?;
    let shown = losses.and_then(Losses::non_finite);
    let part = match shown {
        Some((part, _)) => part,
        // Nothing of the objective is known: the score tells whether its first part can be a number.
        None if to_host(forward.prediction.clone())?
            .iter()
            .all(|v| v.is_finite()) =>
        {
            "mmc"
        }
        None => "task",
    };
    let own = || {
        let (part, value) = shown?;
        let value = value as f32;
        Some((format!("loss part {part}"), value, None))
    };
    let found = look.found.or_else(own);
    Ok(found.map(|(tensor, value, row)| NonFinite {
        part,
        tensor,
        value,
        row,
    }))
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

    fn at_forward(&mut self, forward: &Forward) -> Result<(), LearnerError> {
        let space = &forward.representations;
        for (name, rows) in [
            ("text encoder's output", &space.first_token),
            ("text representation", &space.text),
            ("vision representation", &space.vision),
            ("audio representation", &space.audio),
        ] {
            if let Some(rows) = rows {
                self.of_segments(name, rows)?;
            }
        }
        self.of_segments("score", &forward.score)?;
        if let Some(bias) = &forward.bias {
            self.of_segments("bias", bias)?;
        }
        self.of_segments("prediction", &forward.prediction)
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
pub(crate) fn in_gradients(
    model: &MmRest,
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
    use crate::batch::HostBatch;
    use crate::config::Config;
    use crate::example::{Example, TextFeatures};
    use mmrest_data::{Frames, Modality, Widths};

    fn model(device: &Device) -> MmRest {
        let mut config = Config::default();
        config.data.modalities = vec![Modality::Vision, Modality::Audio];
        config.model.representation = 4;
        let widths = Widths {
            vision: 2,
            audio: 1,
        };
        MmRest::new(&config, widths, None, device).unwrap()
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
        let forward = model.forward(&good, None).unwrap();
        assert_eq!(in_step(&good, &forward, None).unwrap(), None);

        let bad = batch(Some(f32::NAN), &device);
        let forward = model.forward(&bad, None).unwrap();
        let found = in_step(&bad, &forward, None).unwrap().unwrap();
        assert_eq!(
            (found.tensor.as_str(), found.row),
            ("audio frames", Some(8))
        );
        assert!(found.value.is_nan() && found.part == "task");

        let losses = Losses {
            intra: f64::INFINITY,
            total: f64::INFINITY,
            ..Losses::default()
        };
        let forward = model.forward(&good, None).unwrap();
        let found = in_step(&good, &forward, Some(&losses)).unwrap().unwrap();
        assert_eq!((found.part, found.row), ("intra", None));
        assert_eq!(found.tensor, "loss part intra");
    }

    #[test]
    fn the_first_gradient_is_named_by_its_parameter() {
        let device = Device::flex().autodiff();
        let model = model(&device);
        let good = batch(None, &device);
        let forward = model.forward(&good, None).unwrap();
        let gradients = forward.prediction.sum().backward();
        let mut gradients = GradientsParams::from_grads(gradients, &model);
        assert_eq!(in_gradients(&model, &gradients).unwrap(), None);

        let audio = model.audio.as_ref().unwrap();
        let id = audio.projection.weight.id;
        let gradient = gradients.remove::<2>(id).unwrap();
        gradients.register(id, gradient.clone().mul_scalar(f32::NAN));
        let found = in_gradients(&model, &gradients).unwrap().unwrap();
        assert_eq!(found.tensor, "gradient of audio.projection.weight");
        gradients.remove::<2>(id);
        gradients.register(id, gradient.zeros_like().add_scalar(1e30));
        let found = in_gradients(&model, &gradients).unwrap().unwrap();
        assert_eq!(found.value, 1e30, "its square is infinite");
    }
}
