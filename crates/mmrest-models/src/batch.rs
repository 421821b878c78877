//! Batches of segments as tensors on a device.

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
}
