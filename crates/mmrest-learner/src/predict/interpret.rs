//! What a score means: negative, neutral or positive, and the interval that its label lies in.

use std::fmt;

use mmrest_data::Modality;
use mmrest_metric::SentimentBins;
use serde::{Deserialize, Serialize};

use super::{Predictor, SUBSETS, Subset, subset_of};
use crate::calibration::{Calibration, NoInterval};
use crate::config::Config;
use crate::error::LearnerError;

/// The confidence of intervals where none is asked for.
pub const CONFIDENCE: f64 = 0.9;

/// The sign of a sentiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Polarity {
    /// Below the neutral bin.
    Negative,
    /// In the bin around the neutral point.
    Neutral,
    /// Above it.
    Positive,
}

impl Polarity {
    /// `negative`, `neutral` or `positive`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Neutral => "neutral",
            Self::Positive => "positive",
        }
    }
}

impl fmt::Display for Polarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a prediction means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interpretation {
    /// Its sign.
    pub polarity: Polarity,
    /// Where the label lies, with the confidence asked for: the least and the greatest value, within the scale of the
    /// labels. None where the model was not calibrated, or on too few segments.
    pub interval: Option<[f32; 2]>,
}

/// Tells what predictions mean, with intervals of one confidence.
///
/// A prediction is neutral in the bin (`bins` of the configuration) around the neutral point, negative in the bins below
/// and positive in those above. The neutral point is 0 where `data.label_range` has both signs, otherwise the middle of
/// the range; where an edge lies on it, nothing is neutral.
#[derive(Clone, Debug)]
pub struct Interpreter {
    bins: SentimentBins,
    range: [f32; 2],
    confidence: f64,
    margins: [Result<f32, NoInterval>; SUBSETS],
    /// The sets of missing modalities that the model was calibrated for, and the empty one.
    known: [bool; SUBSETS],
}

impl Interpreter {
    /// For the predictions of a model.
    ///
    /// # Errors
    ///
    /// The configuration's bins are none.
    pub(crate) fn new(
        config: &Config,
        calibration: Option<&Calibration>,
        confidence: f64,
    ) -> Result<Self, LearnerError> {
        let margin = |missing| match calibration {
            Some(calibration) => calibration.margin(missing, confidence),
            None => Err(NoInterval::NotCalibrated),
        };
        let knows = |missing| missing == 0 || calibration.is_some_and(|of| of.knows(missing));
        Ok(Self {
            bins: config.bins.bins()?,
            range: config.data.label_range,
            confidence,
            margins: std::array::from_fn(margin),
            known: std::array::from_fn(knows),
        })
    }

    /// For the predictions of a model that was not calibrated: labels without intervals.
    ///
    /// # Errors
    ///
    /// The configuration's bins are none.
    pub fn uncalibrated(config: &Config, confidence: f64) -> Result<Self, LearnerError> {
        Self::new(config, None, confidence)
    }

    /// What a prediction for a segment without the `missing` modalities means.
    pub fn of(&self, prediction: f32, missing: &[Modality]) -> Interpretation {
        self.of_subset(prediction, subset_of(missing))
    }

    pub(crate) fn of_subset(&self, prediction: f32, missing: Subset) -> Interpretation {
        let margin = self.margins[missing].as_ref().ok();
        let [least, greatest] = self.range;
        let within = |value: f32| value.clamp(least, greatest);
        Interpretation {
            polarity: self.polarity(prediction),
            interval: margin.map(|margin| [prediction - margin, prediction + margin].map(within)),
        }
    }

    fn polarity(&self, prediction: f32) -> Polarity {
        let [least, greatest] = self.range;
        let neutral = if least < 0.0 && greatest > 0.0 {
            0.0
        } else {
            f32::midpoint(least, greatest)
        };
        let (edges, bin) = (self.bins.edges(), self.bins.bin(prediction));
        if edges.get(bin).is_some_and(|upper| upper.at <= neutral) {
            Polarity::Negative
        } else if bin > 0 && edges[bin - 1].at >= neutral {
            Polarity::Positive
        } else {
            Polarity::Neutral
        }
    }

    /// The confidence of the intervals.
    pub fn confidence(&self) -> f64 {
        self.confidence
    }

    /// Why some segments, or all, get no interval.
    pub fn no_interval(&self) -> Option<&NoInterval> {
        let mut known = self.margins.iter().zip(self.known);
        // Of other kinds there may be no segment at all: the model does not use the modality, or all of validation lacks it.
        known.find_map(|(margin, known)| margin.as_ref().err().filter(|_| known))
    }
}

impl Predictor {
    /// Tells what predictions mean, with intervals of a confidence in (0, 1): [`CONFIDENCE`] is usual.
    ///
    /// ```no_run
    /// use mmrest_data::Segment;
    /// use mmrest_learner::{CONFIDENCE, LearnerError, Predictor};
    ///
    /// fn say(predictor: &Predictor, segments: &[Segment]) -> Result<(), LearnerError> {
    ///     let interpreter = predictor.interpreter(CONFIDENCE)?;
    ///     for (segment, scored) in segments.iter().zip(predictor.predict(segments)?) {
    ///         let meaning = interpreter.of(scored.prediction, &predictor.missing(segment));
    ///         println!("{} {:.2} {:?}", meaning.polarity, scored.prediction, meaning.interval);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The configuration's bins are none.
    pub fn interpreter(&self, confidence: f64) -> Result<Interpreter, LearnerError> {
        Interpreter::new(&self.saved.config, self.calibration.as_ref(), confidence)
    }
}

/// How often intervals hold the label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalCoverage {
    /// The confidence of the intervals.
    pub confidence: f64,
    /// Segments with an interval and a label.
    pub segments: usize,
    /// The share of their labels within their intervals.
    pub coverage: f64,
    /// The intervals' mean width, in units of sentiment.
    pub width: f64,
}

impl IntervalCoverage {
    /// Of intervals and labels; none where there is no interval.
    pub(crate) fn of(
        confidence: f64,
        intervals: impl Iterator<Item = (Option<[f32; 2]>, f32)>,
    ) -> Option<Self> {
        let (mut segments, mut held, mut width) = (0, 0, 0.0);
        for (interval, label) in intervals {
            let Some([least, greatest]) = interval.filter(|_| label.is_finite()) else {
                continue;
            };
            segments += 1;
            held += usize::from((least..=greatest).contains(&label));
            width += f64::from(greatest) - f64::from(least);
        }
        (segments > 0).then(|| Self {
            confidence,
            segments,
            coverage: held as f64 / segments as f64,
            width: width / segments as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(toml: &str) -> Interpreter {
        let config = Config::parse(toml, &[]).unwrap();
        Interpreter::uncalibrated(&config, CONFIDENCE).unwrap()
    }

    fn polarities(toml: &str, predictions: &[f32]) -> Vec<String> {
        let interpreter = interpreter(toml);
        let of = |&prediction: &f32| interpreter.of(prediction, &[]).polarity.to_string();
        predictions.iter().map(of).collect()
    }

    #[test]
    fn what_is_neutral_is_the_bin_around_the_neutral_point() {
        let (negative, neutral, positive) = ("negative", "neutral", "positive");
        let seven = polarities("", &[-9.0, -0.5, -0.49, 0.49, 0.5, 9.0]);
        assert_eq!(
            seven,
            [negative, negative, neutral, neutral, positive, positive]
        );
        let sims = "[data]\nlabel_range = [-1.0, 1.0]\n[bins]\nedges = [-0.7, -0.1, 0.1, 0.7]\nlabels = [-2, -1, 0, 1, 2]\n\
                    side = \"below\"";
        let found = polarities(sims, &[-0.1, -0.09, 0.1, 0.11]);
        assert_eq!(found, [negative, neutral, neutral, positive]);
        let two = "[bins]\nedges = [0.0]\nlabels = [-1, 1]\nside = \"above\"";
        assert_eq!(
            polarities(two, &[-0.01, 0.0, 2.0]),
            [negative, positive, positive]
        );
        let stars = "[data]\nlabel_range = [1.0, 5.0]\n[bins]\nedges = [1.5, 2.5, 3.5, 4.5]\nlabels = [1, 2, 3, 4, 5]";
        assert_eq!(
            polarities(stars, &[1.0, 2.4, 3.0, 3.6]),
            [negative, negative, neutral, positive]
        );
    }

    #[test]
    fn a_model_without_calibration_has_no_intervals_and_says_so() {
        let interpreter = interpreter("");
        assert_eq!(interpreter.of(0.3, &[]).interval, None);
        assert_eq!(interpreter.no_interval(), Some(&NoInterval::NotCalibrated));
    }

    #[test]
    fn coverage_counts_the_labels_within() {
        let all = [
            (Some([-1.0, 1.0]), 1.0),
            (Some([0.0, 1.0]), -0.1),
            (None, 0.0),
            (Some([0.0, 1.0]), f32::NAN),
        ];
        let coverage = IntervalCoverage::of(0.9, all.into_iter()).unwrap();
        assert_eq!(
            (coverage.segments, coverage.coverage, coverage.width),
            (2, 0.5, 1.5)
        );
        assert_eq!(IntervalCoverage::of(0.9, [(None, 0.0)].into_iter()), None);
    }
}
