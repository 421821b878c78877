//! Whether a score can be used: features that training has never seen the like of, and scores that are no numbers.

use mmrest_data::{FeatureStats, Frames, Modality, Segment};
use mmrest_models::Prediction;

use super::Predictor;

/// Standard deviations from the mean of training beyond which a feature is unlike all that the model has seen.
pub const FAR: f64 = 100.0;

impl Predictor {
    /// The modalities of a segment with a feature more than [`FAR`] standard deviations from its mean in training: there the
    /// score is a guess. Nothing is known of models without standardisation (`data.standardize`).
    pub fn beyond_training(&self, segment: &Segment) -> Vec<Modality> {
        let features = &self.saved.features;
        let found = [
            (Modality::Vision, &segment.vision, &features.vision),
            (Modality::Audio, &segment.audio, &features.audio),
        ];
        let beyond = found.into_iter().filter(|(_, frames, stats)| {
            let stats = stats.as_ref();
            stats.is_some_and(|stats| is_beyond(frames, stats))
        });
        beyond.map(|(modality, ..)| modality).collect()
    }
}

fn is_beyond(frames: &Frames, stats: &FeatureStats) -> bool {
    frames.width == stats.mean.len()
        && frames.rows().any(|row| {
            let features = row.iter().zip(&stats.mean).zip(&stats.scale);
            features.into_iter().any(|((&value, &mean), &scale)| {
                let distance = (f64::from(value) - f64::from(mean)).abs();
                value.is_finite() && distance > FAR * f64::from(scale)
            })
        })
}

/// Whether every part of a prediction is a number: features that are far too large make it infinite or NaN.
pub fn is_finite(prediction: &Prediction) -> bool {
    let parts = [prediction.prediction, prediction.score, prediction.bias];
    let distances = prediction.near.iter().map(|near| near.distance);
    parts.into_iter().chain(distances).all(f32::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_hundred_deviations_away_is_beyond() {
        let stats = FeatureStats {
            mean: vec![1.0, 0.0],
            scale: vec![0.5, 2.0],
        };
        let frames = |values: &[f32]| Frames::new(values.to_vec(), 2);
        assert!(!is_beyond(&frames(&[50.0, -199.0, 1.0, 0.0]), &stats));
        assert!(is_beyond(&frames(&[1.0, 0.0, 51.5, 0.0]), &stats));
        assert!(is_beyond(&frames(&[1.0, -201.0]), &stats));
        // What is not finite is set to 0 before it is scored.
        assert!(!is_beyond(&frames(&[f32::NAN, f32::INFINITY]), &stats));
        assert!(!is_beyond(&Frames::default(), &stats));
    }
}
