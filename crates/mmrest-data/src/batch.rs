//! Sequences of different lengths, padded to one array.

use crate::Frames;

/// Right-padded sequences with their lengths, on the host.
///
/// ```
/// use mmrest_data::{Frames, PaddedFrames};
///
/// let long = Frames { values: vec![1.0, 2.0, 3.0, 4.0], width: 2 };
/// let none = Frames::empty(2);
/// let padded = PaddedFrames::pad(&[&long, &none], 2);
/// assert_eq!(padded.shape, [2, 2, 2]);
/// assert_eq!(padded.lengths, [2, 1]);
/// ```
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
    /// Pads sequences of `width` features to the longest.
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
}
