//! Sequences of feature vectors, and batches of them padded to one array.

use std::ops::Range;

use crate::Shorten;

/// Frames of one modality, row-major `[frames, width]`.
///
/// ```
/// use mmrest_data::Frames;
///
/// let frames = Frames::new(vec![1.0, 2.0, 3.0, 4.0], 2);
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
    /// Frames of `width` features each, one after another.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        Self { values, width }
    }

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

    /// Shortens to at most `max_frames` frames, in one of four ways: [`averaged`](Self::averaged), the first frames, the
    /// last, or of each of [`averaged`](Self::averaged)'s spans its middle frame (of an even number the later of the two
    /// in the middle). A sequence that is not longer stays as it is, as does any for `max_frames = 0`.
    ///
    /// ```
    /// use mmrest_data::{Frames, Shorten};
    ///
    /// let frames = Frames { values: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], width: 1 };
    /// assert_eq!(frames.shortened(2, Shorten::Mean).values, [1.0, 4.0]);
    /// assert_eq!(frames.shortened(2, Shorten::Head).values, [0.0, 1.0]);
    /// assert_eq!(frames.shortened(2, Shorten::Tail).values, [4.0, 5.0]);
    /// assert_eq!(frames.shortened(2, Shorten::Uniform).values, [1.0, 4.0]);
    /// ```
    #[must_use]
    pub fn shortened(&self, max_frames: usize, how: Shorten) -> Self {
        let frames = self.len();
        if max_frames == 0 || frames <= max_frames {
            return self.clone();
        }
        let chosen = |rows: &mut dyn Iterator<Item = usize>| Self {
            values: rows.flat_map(|row| self.row(row)).copied().collect(),
            width: self.width,
        };
        match how {
            Shorten::Mean => self.averaged(max_frames),
            Shorten::Head => chosen(&mut (0..max_frames)),
            Shorten::Tail => chosen(&mut (frames - max_frames..frames)),
            Shorten::Uniform => chosen(&mut (0..max_frames).map(|s| {
                let span = span(s, frames, max_frames);
                (span.start + span.end) / 2
            })),
        }
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
        let spans = (0..max_frames).map(|s| span(s, frames, max_frames));
        Self {
            values: spans.flat_map(|span| self.mean(span)).collect(),
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

/// The `s`-th of `spans` equal spans of some frames.
fn span(s: usize, frames: usize, spans: usize) -> Range<usize> {
    s * frames / spans..(s + 1) * frames / spans
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [Shorten; 4] = [
        Shorten::Mean,
        Shorten::Head,
        Shorten::Tail,
        Shorten::Uniform,
    ];

    /// Frames `[i, -i]`.
    fn counting(frames: u8) -> Frames {
        let values = (0..frames).flat_map(|i| [f32::from(i), -f32::from(i)]);
        Frames {
            values: values.collect(),
            width: 2,
        }
    }

    fn first_features(frames: &Frames) -> Vec<f32> {
        frames.rows().map(|row| row[0]).collect()
    }

    #[test]
    fn one_frame_is_left_of_each_way() {
        let frames = counting(5);
        for (how, left) in WAYS.into_iter().zip([2.0, 0.0, 4.0, 2.0]) {
            assert_eq!(frames.shortened(1, how).values, [left, -left], "{how:?}");
        }
    }

    #[test]
    fn what_is_not_longer_stays() {
        let frames = counting(3);
        for how in WAYS {
            for most in [0, 3, 4, usize::MAX] {
                assert_eq!(frames.shortened(most, how), frames, "{how:?} {most}");
            }
            assert_eq!(Frames::empty(2).shortened(1, how), Frames::empty(2));
            let unused = Frames::default();
            assert_eq!(unused.shortened(1, how), unused);
        }
    }

    #[test]
    fn of_one_frame_more_one_is_lost() {
        let frames = counting(4);
        let left = WAYS.map(|how| first_features(&frames.shortened(3, how)));
        assert_eq!(
            left,
            [
                vec![0.0, 1.0, 2.5],
                vec![0.0, 1.0, 2.0],
                vec![1.0, 2.0, 3.0],
                vec![0.0, 1.0, 3.0],
            ]
        );
    }

    #[test]
    fn uniform_frames_lie_in_their_spans_and_ascend() {
        for frames in 1..40 {
            for most in 1..frames {
                let left = first_features(
                    &counting(frames).shortened(usize::from(most), Shorten::Uniform),
                );
                assert_eq!(left.len(), usize::from(most));
                assert!(left.is_sorted_by(|a, b| a < b), "{frames} {most}: {left:?}");
                assert!(left.iter().all(|&i| i < f32::from(frames)));
            }
        }
    }
}
