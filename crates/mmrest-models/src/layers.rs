//! What the comparison systems share: the text's states, frames, means and norms, losses, a recipe.

use burn::tensor::{Device, Int, Tensor, TensorData};
use mmrest_encoders::Bert;

use crate::batch::{Batch, SequenceBatch, TextBatch};
use crate::error::ModelError;
use crate::model::{GradientGroup, Optimizer, ParameterGroup, Rates, Recipe};

/// Rows of a batch's sequences end to end, `[rows, width]`: sequence i is `offsets[i]..offsets[i + 1]`.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) values: Tensor<2>,
    pub(crate) offsets: Vec<usize>,
}

impl Rows {
    /// The last states of all tokens; one of `width` zeros where text is not in use.
    pub(crate) fn of_text(
        bert: Option<&Bert>,
        batch: &Batch,
        lower_layers: usize,
        width: usize,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let (values, offsets) = match (bert, &batch.text) {
            (_, None) => (
                Tensor::zeros([batch.len(), width], device),
                (0..=batch.len()).collect(),
            ),
            (Some(bert), Some(TextBatch::Tokens(tokens))) => {
                (bert.forward(tokens), tokens.offsets.clone())
            }
            (Some(bert), Some(TextBatch::Hidden(states, offsets))) => {
                let layers = lower_layers..bert.depth();
                let states = bert.layers(states.clone(), offsets, layers);
                (states, offsets.clone())
            }
            (None, Some(TextBatch::Hidden(states, offsets))) => (states.clone(), offsets.clone()),
            (None, Some(TextBatch::Tokens(_))) => {
                return Err(ModelError::Internal("tokens without an encoder".into()));
            }
            (_, Some(TextBatch::First(_))) => {
                return Err(ModelError::Internal(
                    "the states of all tokens are needed, found those of the first".into(),
                ));
            }
        };
        Ok(Self { values, offsets })
    }

    /// The frames of every sequence. Sequences are cut to, or filled with zero frames up to, their `lengths`.
    pub(crate) fn of_frames(frames: &SequenceBatch, lengths: &[usize]) -> Self {
        let [_, time, width] = frames.values.dims();
        let batch = lengths.len();
        let mut offsets = vec![0];
        let mut places = Vec::with_capacity(lengths.iter().sum());
        for (row, &length) in lengths.iter().enumerate() {
            let place = |step: usize| {
                if step < time {
                    row * time + step
                } else {
                    batch * time
                }
            };
            places.extend((0..length).map(place));
            offsets.push(places.len());
        }
        let device = frames.values.device();
        let mut values = frames.values.clone().reshape([batch * time, width]);
        if places.contains(&(batch * time)) {
            values = Tensor::cat(vec![values, Tensor::zeros([1, width], &device)], 0);
        }
        Self {
            values: values.select(0, indices(&places, &device)),
            offsets,
        }
    }

    pub(crate) fn lengths(&self) -> Vec<usize> {
        let bounds = self.offsets.windows(2);
        bounds.map(|bounds| bounds[1] - bounds[0]).collect()
    }

    /// Right-padded with zeros to the longest sequence, at least `time`: `[batch, time, width]`.
    pub(crate) fn padded(&self, time: usize) -> Tensor<3> {
        let lengths = self.lengths();
        let time = lengths.iter().copied().max().unwrap_or(0).max(time);
        let [rows, width] = self.values.dims();
        let device = self.values.device();
        let mut places = vec![rows; lengths.len() * time];
        for (row, (&first, &length)) in self.offsets.iter().zip(&lengths).enumerate() {
            for step in 0..length {
                places[row * time + step] = first + step;
            }
        }
        let zero = Tensor::zeros([1, width], &device);
        let values = Tensor::cat(vec![self.values.clone(), zero], 0);
        values
            .select(0, indices(&places, &device))
            .reshape([lengths.len(), time, width])
    }

    /// The mean of each sequence's rows, `[batch, width]`.
    pub(crate) fn mean(&self) -> Tensor<2> {
        let lengths = self.lengths();
        let rows = self.values.dims()[0];
        let mut shares = vec![0.0f32; lengths.len() * rows];
        for (row, (&first, &length)) in self.offsets.iter().zip(&lengths).enumerate() {
            shares[row * rows + first..][..length].fill(1.0 / length as f32);
        }
        let shares = TensorData::new(shares, [lengths.len(), rows]);
        Tensor::from_data(shares, &self.values.device()).matmul(self.values.clone())
    }
}

/// A list of rows as a tensor.
pub(crate) fn indices(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    Tensor::from_data(TensorData::from(values.as_slice()), device)
}

/// The frames of a modality: one zero frame of `width` features where it is not in use.
pub(crate) fn frames(
    input: Option<&SequenceBatch>,
    batch: usize,
    width: usize,
    device: &Device,
) -> SequenceBatch {
    input.cloned().unwrap_or_else(|| SequenceBatch {
        values: Tensor::zeros([batch, 1, width], device),
        lengths: vec![1; batch],
    })
}

/// The L2 norm of each row, `[rows, 1]`, with gradient 0 where it is 0.
pub(crate) fn safe_norm(x: Tensor<2>) -> Tensor<2> {
    let square = (x.clone() * x).sum_dim(1);
    let zero = square.clone().equal_elem(0.0);
    let norm = square.mask_fill(zero.clone(), 1.0).sqrt();
    norm.mask_fill(zero, 0.0)
}

/// A batch's share of the mean of `errors`, one per segment, over the whole batch that it may be a part of: `[1]`.
pub(crate) fn mean_error(batch: &Batch, errors: Tensor<1>) -> Tensor<1> {
    let part = batch.part.as_ref();
    let segments = part.map_or(batch.len(), |part| part.segments());
    errors.sum() / segments as f64
}

/// The labels of a batch, `[batch]`.
pub(crate) fn labels(batch: &Batch, device: &Device) -> Tensor<1> {
    let labels = TensorData::new(batch.labels.clone(), [batch.len()]);
    Tensor::from_data(labels, device)
}

/// The mean absolute error, `[1]`.
pub(crate) fn l1(batch: &Batch, prediction: Tensor<1>) -> Tensor<1> {
    let labels = labels(batch, &prediction.device());
    mean_error(batch, (prediction - labels).abs())
}

/// Refuses a batch that is one of several devices' parts, for a model whose loss couples the segments of a batch.
pub(crate) fn whole(batch: &Batch, model: &str) -> Result<(), ModelError> {
    match batch.part {
        None => Ok(()),
        Some(_) => Err(ModelError::Config(crate::error::ConfigError(format!(
            "{model} trains on one device, for it needs complete batches; found a batch that is split over several"
        )))),
    }
}

/// Adam with one rate for the text encoder and one for the rest, no clipping beyond the shared one.
pub(crate) fn recipe(rates: &Rates, accumulate: usize) -> Recipe {
    let group = |name, pattern, learning_rate| ParameterGroup {
        name,
        pattern,
        optimizer: Optimizer::Adam,
        learning_rate,
        weight_decay: rates.weight_decay,
    };
    Recipe {
        groups: vec![
            group("", "", rates.learning_rate),
            group("text", r"^bert\.", rates.text_learning_rate),
        ],
        gradients: vec![GradientGroup {
            name: "",
            pattern: "",
            max_norm: rates.max_grad_norm,
        }],
        accumulate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn rows_are_cut_filled_padded_and_averaged() {
        let device = Device::flex();
        let values = [[[1.0f32], [2.0], [3.0]], [[4.0], [0.0], [0.0]]];
        let frames = SequenceBatch {
            values: Tensor::from_data(values, &device),
            lengths: vec![3, 1],
        };
        let rows = Rows::of_frames(&frames, &[2, 1]);
        assert_eq!(rows.offsets, [0, 2, 3]);
        assert_eq!(host(rows.values.clone()), [1.0, 2.0, 4.0]);
        assert_eq!(host(rows.mean()), [1.5, 4.0]);
        assert_eq!(host(rows.padded(3)), [1.0, 2.0, 0.0, 4.0, 0.0, 0.0]);
        let rows = Rows::of_frames(&frames, &[4, 2]);
        assert_eq!(host(rows.values), [1.0, 2.0, 3.0, 0.0, 4.0, 0.0]);
    }

    #[test]
    fn the_norm_of_zero_has_gradient_zero() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data([[3.0f32, -4.0], [0.0, 0.0]], &device).require_grad();
        let norm = safe_norm(x.clone());
        assert_eq!(host(norm.clone()), [5.0, 0.0]);
        let gradient = host(x.grad(&norm.sum().backward()).unwrap());
        for (found, expected) in gradient.iter().zip([0.6, -0.8, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{gradient:?}");
        }
    }
}
