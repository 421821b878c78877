//! What the comparison systems share: frames of given lengths, a norm, losses, a recipe, needs.

use burn::tensor::{Device, Int, Tensor, TensorData};
use mmrest_data::Modality;

use crate::batch::Batch;
use crate::error::{ConfigError, ModelError};
use crate::needs::{AbsentNeed, Needs, TextNeed};
use crate::recipe::{GradientGroup, ParameterGroup, Rates, Recipe};
use crate::sequences::{PackedStates, SequenceBatch};
use crate::task::Task;

/// Sequences of at most `most`: what lies beyond is cut off. With `fixed`, all are padded to that length, not to the
/// longest of the batch.
pub(crate) fn fit(sequences: SequenceBatch, most: usize, fixed: bool) -> SequenceBatch {
    if fixed || sequences.time() > most {
        return sequences.resized(most);
    }
    sequences
}

/// Sequences cut to, or filled with zero frames up to, `lengths`, end to end.
pub(crate) fn packed_to(frames: &SequenceBatch, lengths: &[usize]) -> PackedStates {
    let time = lengths.iter().copied().max().unwrap_or(1);
    let frames = SequenceBatch {
        lengths: lengths.to_vec(),
        ..frames.resized(time)
    };
    frames.packed()
}

/// Sines, then cosines, of positions from 1 on at frequencies 10000^(-i / (width/2 - 1)), `[positions, width]`,
/// row-major; an odd width has a column of zeros.
pub(crate) fn sinusoids(positions: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let step = 10_000f64.ln() / half.saturating_sub(1).max(1) as f64;
    let frequencies: Vec<f64> = (0..half).map(|i| (-step * i as f64).exp()).collect();
    let mut values = vec![0.0; positions * width];
    for (position, row) in (1..=positions).zip(values.chunks_exact_mut(width.max(1))) {
        for (i, frequency) in frequencies.iter().enumerate() {
            let angle = position as f64 * frequency;
            row[i] = angle.sin() as f32;
            row[half + i] = angle.cos() as f32;
        }
    }
    values
}

/// A list of rows as a tensor.
pub(crate) fn indices(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    Tensor::from_data(TensorData::from(values.as_slice()), device)
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

/// The mean square error, `[1]`.
pub(crate) fn mse(batch: &Batch, prediction: Tensor<1>) -> Tensor<1> {
    let labels = labels(batch, &prediction.device());
    mean_error(batch, (prediction - labels).square())
}

/// Refuses a text encoder that is absent though text is in use.
pub(crate) fn check_encoder(task: &Task, present: bool) -> Result<(), ModelError> {
    if present || !task.uses(Modality::Text) {
        return Ok(());
    }
    Err(ModelError::Config(ConfigError(
        "data.modalities has text, which needs a text encoder (text.bert); found none".into(),
    )))
}

/// Refuses a batch that is one of several devices' parts, for a model whose loss couples the segments of a batch.
pub(crate) fn whole(batch: &Batch, model: &str) -> Result<(), ModelError> {
    match batch.part {
        None => Ok(()),
        Some(_) => Err(ModelError::Config(ConfigError(format!(
            "{model} trains on one device, for it needs complete batches; found a batch that is split over several"
        )))),
    }
}

/// Adam with one rate for the text encoder and one for the rest, clipped together; a step per `accumulate` batches.
pub(crate) fn recipe(rates: &Rates, accumulate: usize, flush_rest: bool) -> Recipe {
    let group = |name, pattern, rate| ParameterGroup::new(name, pattern, rate, rates.weight_decay);
    let groups = vec![
        group("", "", rates.learning_rate),
        group("text", r"^bert\.", rates.text_learning_rate),
    ];
    let gradients = vec![GradientGroup {
        name: "",
        pattern: "",
        clip: rates.clip(),
    }];
    Recipe {
        accumulate,
        flush_rest,
        ..Recipe::new(groups, gradients)
    }
}

/// All tokens' states, frames of any length, complete batches of at least so many segments.
pub(crate) fn needs(smallest_batch: usize) -> Needs {
    Needs {
        text: TextNeed::AllTokens,
        smallest_batch,
        absent: AbsentNeed::ZeroFrame,
        ..Needs::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn sequences_are_cut_and_filled() {
        let device = Device::flex();
        let values = [[[1.0f32], [2.0], [3.0]], [[4.0], [0.0], [0.0]]];
        let frames = SequenceBatch {
            values: Tensor::from_data(values, &device),
            lengths: vec![3, 1],
        };
        let packed = packed_to(&frames, &[2, 1]);
        assert_eq!(packed.offsets, [0, 2, 3]);
        assert_eq!(host(packed.states), [1.0, 2.0, 4.0]);
        let packed = packed_to(&frames, &[4, 2]);
        assert_eq!(host(packed.states), [1.0, 2.0, 3.0, 0.0, 4.0, 0.0]);
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
