//! `calibration.safetensors` of a model folder: how far the model's predictions lie from the labels of the validation split,
//! for split-conformal intervals (Vovk et al. 2005; Lei et al. 2018).
//!
//! With the absolute errors `r_1 <= ... <= r_n` of a split the model was not trained on, the interval around a new
//! prediction reaches `r_k` to both sides, `k = ceil((n + 1) confidence)`: a new segment's error is equally likely to
//! have any of the `n + 1` ranks among them, so the interval holds its label with at least that probability, whatever the
//! model is.
//!
//! Errors are kept for every set of missing modalities, each found by taking those from the validation segments.

use std::path::Path;

use burn::tensor::Device;
use mmrest_data::{Modality, Split};
use mmrest_models::Prediction;

use crate::error::LearnerError;
use crate::predict::{SUBSETS, Subset, belongs, subset_of};
use crate::run::prepare::Splits;
use crate::tensor_file::TensorFile;
use crate::trained::{TrainedModel, predict};

/// The file in the model folder.
pub(crate) const FILE: &str = "calibration.safetensors";

/// Absolute errors on the validation split, by the modalities that the segments were without.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Calibration {
    /// Of every set of missing modalities, ascending; none where no segment was so.
    errors: [Vec<f32>; SUBSETS],
}

/// Why an interval cannot be given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoInterval {
    /// The model folder has no `calibration.safetensors`.
    #[error(
        "the model has no calibration.safetensors, since an older version trained it or its training has not ended: scores \
         have no intervals"
    )]
    NotCalibrated,
    /// The model was calibrated on too few segments for a confidence.
    #[error(
        "{segments} validation segments {without} are too few for intervals at a confidence of {confidence}, which needs \
         {needed}: ask for a lower one"
    )]
    TooFew {
        /// Which segments: those with all modalities, or without some.
        without: String,
        /// How many there were.
        segments: usize,
        /// How many it takes.
        needed: usize,
        /// The confidence asked for.
        confidence: f64,
    },
}

impl Calibration {
    /// Takes `predictions` of the validation split as it is, and predicts it without every set of its modalities.
    ///
    /// # Errors
    ///
    /// A batch or the device cannot be read.
    pub(crate) fn of(
        model: &dyn TrainedModel,
        splits: &Splits,
        predictions: &[Prediction],
        device: &Device,
    ) -> Result<Self, LearnerError> {
        let labels = splits.labels(Split::Valid);
        let lacking = splits.lacking(Split::Valid);
        let mut errors: [Vec<f32>; SUBSETS] = Default::default();
        for removed in (0..SUBSETS).filter(|removed| removed & !splits.modalities() == 0) {
            // What a segment lacks anyway cannot be taken from it.
            let whole: Vec<bool> = lacking.iter().map(|lacks| lacks & removed == 0).collect();
            if !whole.contains(&true) {
                continue;
            }
            let without;
            let predictions = if removed == 0 {
                predictions
            } else {
                let loader = splits.loader_without(Split::Valid, removed, device);
                without = predict(model, &loader)?;
                &without
            };
            for prediction in predictions {
                let row = prediction.row;
                if whole[row] && labels[row].is_finite() {
                    errors[lacking[row] | removed].push(error(prediction.prediction, labels[row]));
                }
            }
        }
        errors.iter_mut().for_each(|of| of.sort_by(f32::total_cmp));
        Ok(Self { errors })
    }

    /// Adds the errors of another model on segments of its own.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (own, errors) in self.errors.iter_mut().zip(other.errors) {
            own.extend(errors);
            own.sort_by(f32::total_cmp);
        }
    }

    /// How far an interval reaches to each side of a prediction for a segment without the `missing` modalities: the
    /// errors' quantile, and no less than that of any segment that lacks fewer, since what is taken from a segment makes
    /// its score no surer.
    pub(crate) fn margin(&self, missing: Subset, confidence: f64) -> Result<f32, NoInterval> {
        let own = self.quantile(missing, confidence)?;
        let fewer = (0..SUBSETS).filter(|subset| subset & !missing == 0);
        let margins = fewer.filter_map(|subset| self.quantile(subset, confidence).ok());
        Ok(margins.fold(own, f32::max))
    }

    fn quantile(&self, missing: Subset, confidence: f64) -> Result<f32, NoInterval> {
        let errors = &self.errors[missing];
        match conformal_quantile(errors, confidence) {
            Some(quantile) => Ok(quantile),
            None => Err(NoInterval::TooFew {
                without: described(missing),
                segments: errors.len(),
                needed: segments_needed(confidence),
                confidence,
            }),
        }
    }

    /// Whether segments that lack these modalities were seen.
    pub(crate) fn knows(&self, missing: Subset) -> bool {
        !self.errors[missing].is_empty()
    }

    /// Writes the file of a model folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub(crate) fn write(&self, model_folder: &Path) -> Result<(), LearnerError> {
        let mut file = TensorFile::default();
        for (missing, errors) in self.errors.iter().enumerate() {
            if !errors.is_empty() {
                file.add_floats(&name(missing), &[errors.len()], errors.iter().copied());
            }
        }
        file.write(&model_folder.join(FILE))
    }

    /// Reads the calibration of a model; none of one without, as older versions made them. A file that its model does not
    /// know of is another's.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no ascending errors.
    pub(crate) fn of_model(model_folder: &Path) -> Result<Option<Self>, LearnerError> {
        if belongs(model_folder, FILE)? {
            Self::read(model_folder)
        } else {
            Ok(None)
        }
    }

    fn read(model_folder: &Path) -> Result<Option<Self>, LearnerError> {
        let path = model_folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let file = TensorFile::read(&path)?;
        let mut errors: [Vec<f32>; SUBSETS] = Default::default();
        for (missing, errors) in errors.iter_mut().enumerate() {
            let name = name(missing);
            let Some(stored) = file.get(&name) else {
                continue;
            };
            let found = stored.floats().filter(|found| {
                let ascend = found.is_sorted_by(|a, b| a <= b);
                stored.shape.len() == 1 && ascend && found.first().is_none_or(|&least| least >= 0.0)
            });
            *errors = found.ok_or_else(|| {
                LearnerError::format(&path, format!("{name} is no list of ascending errors"))
            })?;
        }
        Ok(Some(Self { errors }))
    }
}

/// The `ceil((n + 1) confidence)`-th of `n` ascending errors; none where there are fewer.
fn conformal_quantile(errors: &[f32], confidence: f64) -> Option<f32> {
    // The product of two numbers such as 10 and 0.7 may lie a rounding above what is meant.
    let rank = ((errors.len() + 1) as f64 * confidence - 1e-9)
        .ceil()
        .max(1.0);
    errors.get(rank as usize - 1).copied()
}

/// The fewest errors that have a quantile.
fn segments_needed(confidence: f64) -> usize {
    // ceil((n + 1) c) <= n holds from n = c / (1 - c) on.
    (confidence / (1.0 - confidence) * (1.0 - 1e-9)).ceil() as usize
}

/// How far a prediction lies from a label; infinitely, where it is no number.
fn error(prediction: f32, label: f32) -> f32 {
    let error = (prediction - label).abs();
    if error.is_nan() { f32::INFINITY } else { error }
}

fn names(missing: Subset, between: &str) -> String {
    let missing = Modality::ALL
        .into_iter()
        .filter(|&m| missing & subset_of(&[m]) != 0);
    let names: Vec<&str> = missing.map(Modality::name).collect();
    names.join(between)
}

/// The name of a set of missing modalities in the file.
fn name(missing: Subset) -> String {
    match missing {
        0 => "none".to_owned(),
        _ => names(missing, "+"),
    }
}

fn described(missing: Subset) -> String {
    match missing {
        0 => "with all modalities".to_owned(),
        _ => format!("without {}", names(missing, " and ")),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn of(errors: &[f32]) -> Calibration {
        let mut calibration = Calibration::default();
        calibration.errors[0] = errors.to_vec();
        calibration
    }

    #[test]
    fn the_quantile_is_the_error_of_the_corrected_rank() {
        let errors: Vec<f32> = (1..=19).map(|error| error as f32).collect();
        // ceil(20 * 0.9) = 18, ceil(20 * 0.5) = 10, ceil(20 * 0.95) = 19, ceil(20 * 0.01) = 1.
        let found = [0.9, 0.5, 0.95, 0.01].map(|at| conformal_quantile(&errors, at));
        assert_eq!(found, [18.0, 10.0, 19.0, 1.0].map(Some));
        assert_eq!(conformal_quantile(&errors, 0.951), None, "ceil(19.02) = 20");
        // 10 * 0.7 is 7.000000000000001 in binary, and means 7.
        assert_eq!(conformal_quantile(&errors[..9], 0.7), Some(7.0));
        for confidence in [0.5, 0.7, 0.8, 0.9, 0.95, 0.99] {
            let needed = segments_needed(confidence);
            let has = |count| conformal_quantile(&vec![1.0; count], confidence).is_some();
            assert!(has(needed) && !has(needed - 1), "{confidence}: {needed}");
        }
        assert_eq!(segments_needed(0.9), 9);
    }

    #[test]
    fn too_few_segments_are_said_with_how_many_it_takes() {
        let told = of(&[0.1; 8]).margin(0, 0.9).unwrap_err().to_string();
        assert_eq!(
            told,
            "8 validation segments with all modalities are too few for intervals at a confidence of 0.9, which needs 9: ask \
             for a lower one"
        );
        let vision_and_audio = subset_of(&[Modality::Vision, Modality::Audio]);
        let told = of(&[0.1; 9]).margin(vision_and_audio, 0.9).unwrap_err();
        assert!(
            told.to_string()
                .contains("0 validation segments without vision and audio")
        );
    }

    #[test]
    fn without_a_modality_an_interval_is_no_narrower() {
        let mut calibration = of(&[1.0; 20]);
        let [text, both] = [1, 3].map(|subset| {
            calibration.errors[subset] = vec![if subset == 1 { 2.0 } else { 0.5 }; 20];
            subset
        });
        assert_eq!(calibration.margin(0, 0.9), Ok(1.0));
        assert_eq!(calibration.margin(text, 0.9), Ok(2.0));
        assert_eq!(calibration.margin(both, 0.9), Ok(2.0));
    }

    #[test]
    fn a_file_is_read_back_and_a_damaged_one_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Calibration::read(folder.path()).unwrap(), None);
        let mut calibration = of(&[0.0, 0.5, f32::INFINITY]);
        calibration.errors[5] = vec![1.5];
        calibration.write(folder.path()).unwrap();
        assert_eq!(Calibration::read(folder.path()).unwrap(), Some(calibration));
        let path = folder.path().join(FILE);
        let mut file = TensorFile::default();
        file.add_floats("text+audio", &[2], [2.0, 1.0]);
        file.write(&path).unwrap();
        let told = Calibration::read(folder.path()).unwrap_err().to_string();
        assert!(
            told.contains("text+audio is no list of ascending errors"),
            "{told}"
        );
        std::fs::write(&path, "no tensors").unwrap();
        assert!(Calibration::read(folder.path()).is_err());
    }

    /// Of exchangeable errors, the share of new ones within the quantile is on average at least the confidence, and at most
    /// `1 / (n + 1)` above it.
    #[test]
    fn intervals_hold_as_many_new_labels_as_they_promise() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for (calibrated, confidence) in [(9, 0.9), (50, 0.9), (229, 0.9), (30, 0.5), (100, 0.95)] {
            let trials = 20_000;
            let mut held = 0;
            for _ in 0..trials {
                // Heavy tails, ties at 0: nothing is asked of the distribution.
                let mut draw = || (1.0 / (1.0 - rng.random::<f32>()) - 1.2).max(0.0);
                let mut errors: Vec<f32> = (0..calibrated).map(|_| draw()).collect();
                errors.sort_by(f32::total_cmp);
                held += usize::from(draw() <= of(&errors).margin(0, confidence).unwrap());
            }
            let share = held as f64 / f64::from(trials);
            let noise = 4.0 * (confidence * (1.0 - confidence) / f64::from(trials)).sqrt();
            let most = confidence + 1.0 / (calibrated + 1) as f64;
            assert!(
                (confidence - noise..=most + noise).contains(&share),
                "{calibrated} errors, confidence {confidence}: {share}"
            );
        }
    }
}
