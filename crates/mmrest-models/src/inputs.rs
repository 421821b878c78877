//! What models of whole sequences make of a batch's.

use burn::tensor::{Device, Tensor, TensorData};

use crate::batch::Batch;
use crate::error::{ConfigError, ModelError};
use crate::sequences::SequenceBatch;

/// Sequences of at most `most`: what lies beyond is cut off. With `fixed`, all are padded to that length, not to the longest of
/// the batch.
pub(crate) fn fit(sequences: SequenceBatch, most: usize, fixed: bool) -> SequenceBatch {
    if fixed || sequences.time() > most {
        return sequences.resized(most);
    }
    sequences
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
