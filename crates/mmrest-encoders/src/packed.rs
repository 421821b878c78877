//! Packs a batch of token sequences end to end, without padding.

use crate::EncoderError;

/// The tokens of a batch laid end to end; sequence `i` is `ids[offsets[i]..offsets[i + 1]]`.
///
/// ```
/// use mmrest_encoders::PackedTokens;
///
/// let batch = PackedTokens::from_sequences(&[vec![101, 7592, 102], vec![101, 102]]);
/// assert_eq!(batch.ids, [101, 7592, 102, 101, 102]);
/// assert_eq!(batch.offsets, [0, 3, 5]);
/// assert_eq!((batch.len(), batch.max_len()), (2, 3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedTokens {
    /// All tokens of the batch, one sequence after the other.
    pub ids: Vec<u32>,
    /// Where each sequence starts, then the number of tokens: batch + 1 values, the first 0.
    pub offsets: Vec<usize>,
}

impl PackedTokens {
    /// Lays sequences of token ids end to end.
    pub fn from_sequences<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let mut ids = Vec::with_capacity(sequences.iter().map(|s| s.as_ref().len()).sum());
        let mut offsets = Vec::with_capacity(sequences.len() + 1);
        offsets.push(0);
        for sequence in sequences {
            ids.extend_from_slice(sequence.as_ref());
            offsets.push(ids.len());
        }
        Self { ids, offsets }
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no sequence at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens of each sequence.
    pub fn lens(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        lens(&self.offsets)
    }

    /// Number of tokens of the longest sequence, 0 without any.
    pub fn max_len(&self) -> usize {
        self.lens().max().unwrap_or(0)
    }

    /// Checks that the batch has sequences, none of them empty, and that the offsets cover the ids.
    ///
    /// # Errors
    ///
    /// [`EncoderError::InvalidBatch`].
    pub fn check(&self) -> Result<(), EncoderError> {
        let invalid = |message: String| Err(EncoderError::InvalidBatch(message));
        if self.is_empty() {
            return invalid("it has no sequences".into());
        }
        if self.offsets[0] != 0 || self.offsets[self.len()] != self.ids.len() {
            return invalid(format!(
                "offsets run from {} to {}, the tokens are {}",
                self.offsets[0],
                self.offsets[self.len()],
                self.ids.len()
            ));
        }
        match self.offsets.windows(2).position(|w| w[1] <= w[0]) {
            Some(index) => invalid(format!("sequence {index} has no tokens")),
            None => Ok(()),
        }
    }
}

/// Length of each sequence between consecutive offsets.
pub(crate) fn lens(offsets: &[usize]) -> impl ExactSizeIterator<Item = usize> + '_ {
    offsets.windows(2).map(|w| w[1] - w[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_sequence_is_named() {
        let batch = PackedTokens::from_sequences(&[vec![1, 2], vec![], vec![3]]);
        let message = batch.check().unwrap_err().to_string();
        assert!(message.contains("sequence 1"), "{message}");
    }

    #[test]
    fn offsets_have_to_cover_the_tokens() {
        let batch = |offsets: Vec<usize>| PackedTokens {
            ids: vec![1, 2, 3],
            offsets,
        };
        assert!(batch(vec![0, 3]).check().is_ok());
        for offsets in [vec![], vec![0], vec![0, 2], vec![1, 3], vec![0, 4, 3]] {
            assert!(batch(offsets.clone()).check().is_err(), "{offsets:?}");
        }
    }
}
