//! Segments of similar length in one batch: little padding, and a bound on what a batch holds.

use mmrest_data::Segment;

use super::MOST_FRAMES;

/// How long a segment is: what the network pads to, then what it takes time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Length {
    /// Frames of its longest sequence.
    frames: usize,
    /// Bytes of its text.
    text: usize,
}

impl Length {
    /// The length of a segment whose sequences are shortened to `max_frames`.
    pub(super) fn of(segment: &Segment, max_frames: Option<usize>) -> Self {
        let frames = segment.vision.len().max(segment.audio.len());
        Self {
            frames: max_frames.map_or(frames, |most| frames.min(most)),
            text: segment.text.len(),
        }
    }
}

/// The places of all lengths, by length, in batches of at most `most` segments and [`MOST_FRAMES`] padded frames; one that
/// is longer than that is a batch of its own.
pub(super) fn batches(lengths: &[Length], most: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&place| (lengths[place], place));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for place in order {
        let padded = |rows: usize| rows * lengths[place].frames;
        match batches.last_mut() {
            Some(last) if last.len() < most && padded(last.len() + 1) <= MOST_FRAMES => {
                last.push(place);
            }
            _ => batches.push(vec![place]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(frames: &[usize]) -> Vec<Length> {
        let length = |&frames: &usize| Length { frames, text: 0 };
        frames.iter().map(length).collect()
    }

    #[test]
    fn the_like_are_together_and_each_is_there_once() {
        let found = batches(&lengths(&[5, 900, 7, 901, 6, 5]), 2);
        assert_eq!(found, [vec![0, 5], vec![4, 2], vec![1, 3]]);
        assert!(batches(&[], 2).is_empty());
    }

    #[test]
    fn a_batch_holds_so_many_frames_and_no_more() {
        let half = MOST_FRAMES / 2;
        let found = batches(&lengths(&[half, half, half, 1, MOST_FRAMES + 1]), 64);
        // The short one would be padded to half as many.
        assert_eq!(found, [vec![3, 0], vec![1, 2], vec![4]]);
    }

    #[test]
    fn texts_order_what_has_the_same_frames() {
        let length = |text| Length { frames: 0, text };
        let found = batches(&[length(9), length(1), length(8), length(2)], 2);
        assert_eq!(found, [vec![1, 3], vec![2, 0]]);
    }
}
