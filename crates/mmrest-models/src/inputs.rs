//! What models of whole sequences read from a batch: the states of all tokens and the frames of a modality, padded.

use burn::tensor::{Device, Int, Tensor, TensorData};
use mmrest_encoders::Bert;

use crate::batch::{Batch, SequenceBatch, TextBatch};
use crate::error::{ConfigError, ModelError};

/// How a model wants sequences.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    /// Features of a frame or token, where there is none to tell.
    pub(crate) width: usize,
    /// The longest sequence: what lies beyond is cut off.
    pub(crate) most: usize,
    /// Whether all sequences are padded to `most`, not to the longest of the batch.
    pub(crate) fixed: bool,
}

impl Fit {
    /// Frames of audio or vision, cut and padded; one zero frame where the modality is not in use.
    pub(crate) fn frames(
        self,
        input: Option<&SequenceBatch>,
        batch: usize,
        device: &Device,
    ) -> SequenceBatch {
        let frames = input.cloned().unwrap_or_else(|| SequenceBatch {
            values: Tensor::zeros([batch, 1, self.width], device),
            lengths: vec![1; batch],
        });
        self.fit(frames)
    }

    /// Last hidden states of all tokens, cut and padded; one zero token where text is not in use. A batch that carries
    /// first tokens alone gives those.
    pub(crate) fn tokens(
        self,
        input: Option<&TextBatch>,
        bert: Option<&Bert>,
        lower_layers: usize,
        batch: usize,
        device: &Device,
    ) -> SequenceBatch {
        let (states, offsets) = match (input, bert) {
            (Some(TextBatch::Tokens(tokens)), Some(bert)) => {
                (bert.forward(tokens), tokens.offsets.clone())
            }
            (Some(TextBatch::Hidden(states, offsets)), Some(bert)) => {
                let states = bert.layers(states.clone(), offsets, lower_layers..bert.depth());
                (states, offsets.clone())
            }
            (Some(TextBatch::Hidden(states, offsets)), None) => (states.clone(), offsets.clone()),
            (Some(TextBatch::First(states)), _) => (states.clone(), (0..=batch).collect()),
            _ => (
                Tensor::zeros([batch, self.width], device),
                (0..=batch).collect(),
            ),
        };
        self.fit(unpack(states, &offsets))
    }

    fn fit(self, frames: SequenceBatch) -> SequenceBatch {
        let [batch, time, width] = frames.values.dims();
        let wanted = if self.fixed {
            self.most
        } else {
            time.min(self.most)
        };
        let values = if wanted <= time {
            frames.values.narrow(1, 0, wanted)
        } else {
            let rest = [batch, wanted - time, width];
            let rest = Tensor::zeros(rest, &frames.values.device());
            Tensor::cat(vec![frames.values, rest], 1)
        };
        let lengths = frames.lengths.into_iter();
        SequenceBatch {
            values,
            lengths: lengths.map(|length| length.min(wanted)).collect(),
        }
    }
}

/// Packed rows `[tokens, width]` as padded sequences, with zeros after each one's end.
pub(crate) fn unpack(rows: Tensor<2>, offsets: &[usize]) -> SequenceBatch {
    let [count, width] = rows.dims();
    let device = rows.device();
    let lengths: Vec<usize> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let time = lengths.iter().copied().max().unwrap_or(0).max(1);
    let batch = lengths.len();
    if lengths.iter().all(|&length| length == time) {
        return SequenceBatch {
            values: rows.reshape([batch, time, width]),
            lengths,
        };
    }
    let place = |(&start, &length): (&usize, &usize)| {
        (0..time).map(move |at| if at < length { start + at } else { count })
    };
    let places: Vec<i64> = offsets
        .iter()
        .zip(&lengths)
        .flat_map(place)
        .map(|at| at as i64)
        .collect();
    let places = Tensor::<1, Int>::from_data(TensorData::from(places.as_slice()), &device);
    let rows = Tensor::cat(vec![rows, Tensor::zeros([1, width], &device)], 0);
    SequenceBatch {
        values: rows.select(0, places).reshape([batch, time, width]),
        lengths: lengths.into_iter().map(|length| length.max(1)).collect(),
    }
}

/// Refuses a batch that is split over several devices.
pub(crate) fn one_device(model: &str, batch: &Batch) -> Result<(), ModelError> {
    if batch.part.is_none() {
        return Ok(());
    }
    Err(ModelError::Config(ConfigError(format!(
        "{model} trains on one device; found a batch that is split over several"
    ))))
}

/// Labels of a batch as a column, `[batch, 1]`.
pub(crate) fn label_column(labels: &[f32], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(labels.to_vec(), [labels.len(), 1]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn packed_rows_are_padded_with_zeros_and_cut() {
        let device = Device::flex();
        let rows = Tensor::from_data([[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
        let batch = TextBatch::Hidden(rows, vec![0, 1, 3]);
        let fit = |most, fixed| Fit {
            width: 2,
            most,
            fixed,
        };
        let padded = fit(9, false).tokens(Some(&batch), None, 0, 2, &device);
        assert_eq!(padded.lengths, [1, 2]);
        assert_eq!(
            host(padded.values),
            [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0]
        );
        let cut = fit(1, true).tokens(Some(&batch), None, 0, 2, &device);
        assert_eq!(
            (cut.lengths, host(cut.values)),
            (vec![1, 1], vec![1.0, 2.0, 3.0, 4.0])
        );
        let fixed = fit(3, true).tokens(Some(&batch), None, 0, 2, &device);
        assert_eq!(
            (fixed.lengths, fixed.values.dims()),
            (vec![1, 2], [2, 3, 2])
        );
        let none = fit(3, false).frames(None, 2, &device);
        assert_eq!(
            (none.lengths, host(none.values)),
            (vec![1, 1], vec![0.0; 4])
        );
    }
}
