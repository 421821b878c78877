//! Sequences of a batch on a device: padded beside one another, or laid end to end.

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::{Frames, PaddedFrames};

/// Right-padded sequences with their lengths.
///
/// ```
/// use burn::tensor::Device;
/// use mmrest_data::Frames;
/// use mmrest_models::SequenceBatch;
///
/// let long = Frames { values: vec![1.0, 2.0, 3.0, 4.0], width: 2 };
/// let none = Frames::empty(2);
/// let batch = SequenceBatch::pad(&[&long, &none], 2, &Device::flex());
/// assert_eq!(batch.values.dims(), [2, 2, 2]);
/// assert_eq!(batch.lengths, [2, 1]);
/// ```
#[derive(Debug, Clone)]
pub struct SequenceBatch {
    /// `[batch, time, feature]`, 0 after each sequence's end; time is that of the longest, at least 1.
    pub values: Tensor<3>,
    /// Frames of each sequence, at least 1: one without frames is one zero frame.
    pub lengths: Vec<usize>,
}

impl SequenceBatch {
    /// Pads sequences of `width` features to the longest.
    ///
    /// # Panics
    ///
    /// When a sequence that has frames has another width.
    pub fn pad(sequences: &[&Frames], width: usize, device: &Device) -> Self {
        Self::upload(PaddedFrames::pad(sequences, width), device)
    }

    /// Copies padded frames to a device.
    pub fn upload(frames: PaddedFrames, device: &Device) -> Self {
        Self {
            values: Tensor::from_data(TensorData::new(frames.values, frames.shape), device),
            lengths: frames.lengths,
        }
    }

    /// How many sequences.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The padded time.
    pub fn time(&self) -> usize {
        self.values.dims()[1]
    }

    /// The same sequences with a time of exactly `time`: cut, or followed by zeros.
    #[must_use]
    pub fn resized(&self, time: usize) -> Self {
        let [batch, own, width] = self.values.dims();
        let values = if own >= time {
            self.values.clone().narrow(1, 0, time)
        } else {
            let zeros = Tensor::zeros([batch, time - own, width], &self.values.device());
            Tensor::cat(vec![self.values.clone(), zeros], 1)
        };
        Self {
            values,
            lengths: self.lengths.iter().map(|&l| l.min(time)).collect(),
        }
    }

    /// 1 at a sequence's own frames, 0 behind its end: `[batch, time]`.
    pub fn mask(&self) -> Tensor<2> {
        let time = self.time();
        let row = |&length: &usize| (0..time).map(move |at| f32::from(u8::from(at < length)));
        let values: Vec<f32> = self.lengths.iter().flat_map(row).collect();
        let data = TensorData::new(values, [self.len(), time]);
        Tensor::from_data(data, &self.values.device())
    }

    /// The mean of each sequence's own frames: `[batch, feature]`.
    pub fn mean(&self) -> Tensor<2> {
        let counts: Vec<f32> = self.lengths.iter().map(|&l| l.max(1) as f32).collect();
        let counts = TensorData::new(counts, [self.len(), 1]);
        let sums = self.values.clone() * self.mask().unsqueeze_dim(2);
        sums.sum_dim(1).squeeze_dim::<2>(1) / Tensor::from_data(counts, &self.values.device())
    }

    /// The own frames of all sequences laid end to end: `[frames, feature]`, with offsets.
    pub fn packed(&self) -> PackedStates {
        let [batch, time, width] = self.values.dims();
        let rows = (0..batch).flat_map(|at| (0..self.lengths[at]).map(move |t| at * time + t));
        let rows: Vec<i64> = rows.map(|row| row as i64).collect();
        let device = self.values.device();
        let rows = Tensor::from_data(TensorData::new(rows.clone(), [rows.len()]), &device);
        let flat = self.values.clone().reshape([batch * time, width]);
        PackedStates {
            states: flat.select(0, rows),
            offsets: offsets(&self.lengths),
        }
    }
}

/// States of sequences laid end to end, without padding: those of sequence `i` are rows `offsets[i]..offsets[i + 1]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_models::PackedStates;
///
/// let states = Tensor::from_data([[1.0], [2.0], [3.0]], &Device::flex());
/// let packed = PackedStates { states, offsets: vec![0, 2, 3] };
/// let padded = packed.padded(None);
/// assert_eq!((padded.values.dims(), &padded.lengths[..]), ([2, 2, 1], &[2, 1][..]));
/// assert_eq!(packed.mean().into_data().try_to_vec::<f32>().unwrap(), [1.5, 3.0]);
/// ```
#[derive(Clone, Debug)]
pub struct PackedStates {
    /// `[tokens, feature]`.
    pub states: Tensor<2>,
    /// Where each sequence starts, then the number of tokens: batch + 1 values, the first 0.
    pub offsets: Vec<usize>,
}

impl PackedStates {
    /// How many sequences.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of each sequence.
    pub fn lengths(&self) -> Vec<usize> {
        self.offsets.windows(2).map(|w| w[1] - w[0]).collect()
    }

    /// The sequences beside one another, `[batch, time, feature]`, 0 behind each one's end. `time`: that of the result,
    /// to which longer sequences are cut; none for the longest's.
    pub fn padded(&self, time: Option<usize>) -> SequenceBatch {
        let mut lengths = self.lengths();
        let time = time.unwrap_or_else(|| lengths.iter().copied().max().unwrap_or(0).max(1));
        lengths.iter_mut().for_each(|l| *l = (*l).min(time));
        let [tokens, width] = self.states.dims();
        let place = |at: usize| {
            let (first, length) = (self.offsets[at], lengths[at]);
            (0..time).map(move |t| if t < length { first + t } else { tokens })
        };
        let rows: Vec<i64> = (0..lengths.len())
            .flat_map(place)
            .map(|row| row as i64)
            .collect();
        let device = self.states.device();
        let zero = Tensor::zeros([1, width], &device);
        let rows = Tensor::from_data(TensorData::new(rows, [lengths.len() * time]), &device);
        let values = Tensor::cat(vec![self.states.clone(), zero], 0).select(0, rows);
        SequenceBatch {
            values: values.reshape([lengths.len(), time, width]),
            lengths,
        }
    }

    /// The mean state of each sequence: `[batch, feature]`.
    pub fn mean(&self) -> Tensor<2> {
        self.padded(None).mean()
    }
}

/// Where sequences of these lengths start when they are laid end to end, and where the last one ends.
fn offsets(lengths: &[usize]) -> Vec<usize> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    [0].into_iter().chain(ends).collect()
}
