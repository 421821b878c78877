//! Scores for new data, from a run's model folder alone.

mod placement;

pub use placement::{PlacedRow, Placement, SharedSpace};

use std::path::Path;

use burn::tensor::Device;
use mmrest_data::{Frames, Modality, Segment};

use crate::batch::{Batch, HostBatch};
use crate::bundle::Bundle;
use crate::error::LearnerError;
use crate::evaluate::Prediction;
use crate::example::Preparation;
use crate::model::MmRest;

/// A trained model, ready for segments it has not seen.
#[derive(Debug)]
pub struct Predictor {
    bundle: Bundle,
    model: MmRest,
    device: Device,
}

impl Predictor {
    /// Reads a model folder. `device` is without autodiff.
    ///
    /// # Errors
    ///
    /// A file of the folder is missing or damaged.
    pub fn load(model_folder: &Path, device: &Device) -> Result<Self, LearnerError> {
        let (bundle, model) = Bundle::load(model_folder, device)?;
        Ok(Self {
            bundle,
            model,
            device: device.clone(),
        })
    }

    /// What the model was trained with.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Checks that a segment has frames of the widths the model knows.
    ///
    /// # Errors
    ///
    /// A sentence that names the modality, what was found and what is expected.
    pub fn check(&self, segment: &Segment) -> Result<(), String> {
        let widths = self.bundle.features.widths;
        for (modality, frames, width) in [
            (Modality::Vision, &segment.vision, widths.vision),
            (Modality::Audio, &segment.audio, widths.audio),
        ] {
            if width > 0 && !frames.is_empty() && frames.width != width {
                return Err(format!(
                    "{modality} has {} features a frame, the model takes {width}",
                    frames.width
                ));
            }
        }
        Ok(())
    }

    /// Scores segments, in their order; a modality the model does not use is ignored, one that a segment lacks is empty text
    /// or one zero frame, as in training.
    ///
    /// # Errors
    ///
    /// The device cannot be read, or a text is longer than the encoder takes.
    pub fn predict(&self, segments: &[Segment]) -> Result<Vec<Prediction>, LearnerError> {
        let rows: Vec<usize> = (0..segments.len()).collect();
        let mut predictions = Vec::with_capacity(rows.len());
        for rows in rows.chunks(self.bundle.config.train.batch_size) {
            let batch = self.batch(segments, rows);
            predictions.extend(self.model.predict_batch(&batch)?);
        }
        Ok(predictions)
    }

    /// Some of the segments as the network takes them.
    fn batch(&self, segments: &[Segment], rows: &[usize]) -> Batch {
        let preparation = Preparation {
            config: &self.bundle.config,
            features: &self.bundle.features,
            tokenizer: self.bundle.tokenizer(),
        };
        let chosen = rows.iter().map(|&row| self.fitted(&segments[row]));
        let examples = preparation.examples(chosen.collect());
        HostBatch::new(&examples, rows.to_vec()).upload(&self.device)
    }

    /// The segment with exactly the modalities the model uses, and frames treated as the data loader treats them.
    fn fitted(&self, segment: &Segment) -> Segment {
        let widths = self.bundle.features.widths;
        let frames = |frames: &Frames, width: usize| {
            let mut frames = match frames.width == width {
                true => frames.clone(),
                false => Frames::empty(width),
            };
            frames.zero_non_finite();
            match self.bundle.config.data.max_frames {
                Some(most) => frames.shortened(most, self.bundle.config.data.shorten),
                None => frames,
            }
        };
        Segment {
            vision: frames(&segment.vision, widths.vision),
            audio: frames(&segment.audio, widths.audio),
            ..segment.clone()
        }
    }
}
