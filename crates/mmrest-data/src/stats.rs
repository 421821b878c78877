//! Statistics on the host: standardisation of features, quantiles.

use serde::{Deserialize, Serialize};

use crate::Frames;

/// The `share` quantile of ascending values, linear between neighbours, as NumPy's default; `None` for no values.
///
/// ```
/// assert_eq!(mmrest_data::quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), Some(1.75));
/// assert_eq!(mmrest_data::quantile(&[], 0.5), None);
/// ```
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let (low, high) = (*sorted.get(low)?, *sorted.get(high)?);
    Some(low + (high - low) * place.fract())
}

/// Mean and standard deviation of each feature over all frames of a split.
///
/// ```
/// use mmrest_data::{FeatureStats, Frames};
///
/// let mut frames = Frames { values: vec![1.0, 5.0, 3.0, 5.0], width: 2 };
/// let stats = FeatureStats::fit([&frames]);
/// assert_eq!(stats.scale, [1.0, 1.0]); // a constant feature is only shifted
/// stats.apply(&mut frames);
/// assert_eq!(frames.values, [-1.0, 0.0, 1.0, 0.0]);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FeatureStats {
    /// Mean of each feature.
    pub mean: Vec<f32>,
    /// Population standard deviation of each feature; 1 for a constant one.
    pub scale: Vec<f32>,
}

impl FeatureStats {
    /// Fits on every frame of every sequence, in f64 and one pass (Welford's update).
    ///
    /// Sequences must have one width; of none at all the statistics are empty and change nothing.
    pub fn fit<'a>(sequences: impl IntoIterator<Item = &'a Frames>) -> Self {
        let mut moments = FeatureMoments::default();
        for frames in sequences {
            moments.push(frames);
        }
        moments.stats()
    }

    /// `(value - mean) / scale`, feature by feature.
    #[allow(clippy::cast_possible_truncation)]
    pub fn apply(&self, frames: &mut Frames) {
        for row in frames.values.chunks_mut(frames.width.max(1)) {
            for ((value, &mean), &scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                *value = ((f64::from(*value) - f64::from(mean)) / f64::from(scale)) as f32;
            }
        }
    }
}

/// Running statistics of features, for data that come one sequence after another.
///
/// ```
/// use mmrest_data::{FeatureMoments, Frames};
///
/// let mut moments = FeatureMoments::default();
/// moments.push(&Frames::new(vec![1.0, 5.0], 1)); // two frames of one feature
/// moments.push(&Frames::new(vec![3.0], 1));
/// let stats = moments.stats();
/// assert_eq!(stats.mean, [3.0]);
/// assert!((stats.scale[0] - (8.0_f32 / 3.0).sqrt()).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Default)]
pub struct FeatureMoments(Vec<Moments>);

impl FeatureMoments {
    /// Takes every frame of a sequence in.
    pub fn push(&mut self, frames: &Frames) {
        let features = self.0.len().max(frames.width);
        self.0.resize(features, Moments::default());
        for row in frames.rows() {
            for (moments, &value) in self.0.iter_mut().zip(row) {
                moments.push(f64::from(value));
            }
        }
    }

    /// The statistics of what was taken in.
    #[allow(clippy::cast_possible_truncation)]
    pub fn stats(&self) -> FeatureStats {
        let moments = || self.0.iter();
        FeatureStats {
            mean: moments().map(|moments| moments.mean as f32).collect(),
            scale: moments().map(|moments| moments.scale() as f32).collect(),
        }
    }
}

/// Running mean and sum of squared deviations.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, value: f64) {
        self.count += 1.0;
        let deviation = value - self.mean;
        self.mean += deviation / self.count;
        self.squares += deviation * (value - self.mean);
    }

    /// sqrt(sum (x - mean)^2 / n), or 1 where that is no more than the rounding of an f32.
    fn scale(&self) -> f64 {
        let deviation = (self.squares / self.count.max(1.0)).sqrt();
        let smallest = f64::from(f32::EPSILON) * self.mean.abs();
        if deviation > smallest.max(f64::from(f32::MIN_POSITIVE)) {
            deviation
        } else {
            1.0
        }
    }
}
