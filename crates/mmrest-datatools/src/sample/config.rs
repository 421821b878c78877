//! What the sample is made of.

use serde::{Deserialize, Serialize};

/// Size, seed and difficulty of the sample. The defaults are the sample that the project's documentation speaks of.
///
/// ```
/// use mmrest_datatools::sample::SampleConfig;
///
/// assert_eq!(SampleConfig::default().videos, 60);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Videos, three fifths of them for training and two fifteenths for validation; 3 or more fill every split.
    pub videos: usize,
    /// Labelled segments in a video.
    pub segments_per_video: usize,
    /// Another seed is another sample of the same kind.
    pub seed: u64,
    /// Sentiment units per standard deviation of what is said.
    pub text_weight: f64,
    /// Sentiment units per standard deviation of the face.
    pub vision_weight: f64,
    /// Sentiment units per standard deviation of the voice.
    pub audio_weight: f64,
    /// Standard deviation of what no modality tells, in sentiment units.
    pub noise: f64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            videos: 60,
            segments_per_video: 10,
            seed: 7,
            text_weight: 1.06,
            vision_weight: 0.82,
            audio_weight: 0.76,
            noise: 0.2,
        }
    }
}
