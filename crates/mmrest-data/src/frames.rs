//! A sequence of feature vectors.

use std::ops::Range;

/// Frames of one modality, row-major `[frames, width]`.
///
/// ```
/// use mmrest_data::Frames;
///
/// let frames = Frames { values: vec![1.0, 2.0, 3.0, 4.0], width: 2 };
/// assert_eq!(frames.len(), 2);
/// assert_eq!(frames.row(1), [3.0, 4.0]);
/// assert_eq!(frames.averaged(1).values, [2.0, 3.0]);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frames {
    /// `[frames, width]`, row-major.
    pub values: Vec<f32>,
    /// Features in a frame; 0 for a modality not in use.
    pub width: usize,
}

impl Frames {
    /// No frames of this width.
    pub fn empty(width: usize) -> Self {
        Self {
            values: Vec::new(),
            width,
        }
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `i`-th frame.
    ///
    /// # Panics
    ///
    /// When `i` is not below [`len`](Self::len), as indexing a slice does.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// All frames in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Averages down to at most `max_frames` frames: frame `s` is the mean of the frames in the `s`-th of `max_frames`
    /// equal spans, `[s n / m, (s + 1) n / m)`. A sequence that is not longer stays as it is, as does any for
    /// `max_frames = 0`.
    #[must_use]
    pub fn averaged(&self, max_frames: usize) -> Self {
        let frames = self.len();
        if max_frames == 0 || frames <= max_frames {
            return self.clone();
        }
        let span = |s: usize| s * frames / max_frames..(s + 1) * frames / max_frames;
        Self {
            values: (0..max_frames).flat_map(|s| self.mean(span(s))).collect(),
            width: self.width,
        }
    }

    /// Mean of some frames, summed in f64.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn mean(&self, frames: Range<usize>) -> Vec<f32> {
        let count = frames.len() as f64;
        let mut sum = vec![0.0_f64; self.width];
        for i in frames {
            for (sum, &value) in sum.iter_mut().zip(self.row(i)) {
                *sum += f64::from(value);
            }
        }
        sum.into_iter().map(|sum| (sum / count) as f32).collect()
    }

    /// Sets NaN and infinities to 0 and says how many there were.
    pub fn zero_non_finite(&mut self) -> usize {
        let mut count = 0;
        for value in &mut self.values {
            if !value.is_finite() {
                *value = 0.0;
                count += 1;
            }
        }
        count
    }
}
