//! Sequences of different lengths as one tensor.

use burn::tensor::{Device, Tensor, TensorData};

use crate::Frames;

/// Right-padded sequences with their lengths.
///
/// ```
/// use burn::tensor::Device;
/// use mmrest_data::{Frames, SequenceBatch};
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
    /// Lays sequences of `width` features side by side.
    ///
    /// # Panics
    ///
    /// When a sequence that has frames has another width.
    pub fn pad(sequences: &[&Frames], width: usize, device: &Device) -> Self {
        PaddedFrames::pad(sequences, width).upload(device)
    }
}

/// What a [`SequenceBatch`] is made of, on no device yet: the part that another thread may prepare.
#[derive(Debug, Clone, PartialEq)]
pub struct PaddedFrames {
    /// `[batch, time, feature]`, row-major, 0 after each sequence's end.
    pub values: Vec<f32>,
    /// Batch, time, feature.
    pub shape: [usize; 3],
    /// Frames of each sequence, at least 1.
    pub lengths: Vec<usize>,
}

impl PaddedFrames {
    /// Lays sequences of `width` features side by side.
    ///
    /// # Panics
    ///
    /// When a sequence that has frames has another width.
    pub fn pad(sequences: &[&Frames], width: usize) -> Self {
        let lengths: Vec<usize> = sequences.iter().map(|frames| frames.len().max(1)).collect();
        let time = lengths.iter().copied().max().unwrap_or(1);
        let mut values = vec![0.0; sequences.len() * time * width];
        for (i, frames) in sequences.iter().enumerate() {
            assert!(
                frames.is_empty() || frames.width == width,
                "sequence {i} has {} features, not {width}",
                frames.width
            );
            let start = i * time * width;
            let length = frames.len() * frames.width;
            values[start..start + length].copy_from_slice(&frames.values[..length]);
        }
        Self {
            values,
            shape: [sequences.len(), time, width],
            lengths,
        }
    }

    /// The batch on a device.
    pub fn upload(self, device: &Device) -> SequenceBatch {
        SequenceBatch {
            values: Tensor::from_data(TensorData::new(self.values, self.shape), device),
            lengths: self.lengths,
        }
    }
}
