//! A made-up data set of the size and in the files of CMU-MOSEI, to try on it what the small sample is too small for.
//!
//! Segments are as long as CMU-MOSEI's (7.3 seconds in the mean, a few of half a minute), with 2.5 words a second; their
//! labels are thirds in -3 to 3, one in five of them 0. As in the small sample, what is said, the face and the voice
//! each tell some of the sentiment: see [`Script`](script::Script).

mod files;
mod script;

use serde::{Deserialize, Serialize};

pub use files::write_like_mosei;

use mmrest_data::{DataError, Result};

/// Segments in a video of CMU-MOSEI: 23,000 of 3,200.
const SEGMENTS_OF_A_VIDEO: (usize, usize) = (23_000, 3_200);

/// Size of a data set like CMU-MOSEI; the defaults are CMU-MOSEI's own.
///
/// ```
/// use mmrest_datatools::sample::LikeMosei;
///
/// assert_eq!(LikeMosei::default().videos(), 3_200);
/// assert_eq!(LikeMosei { segments: 100, ..LikeMosei::default() }.videos(), 14);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LikeMosei {
    /// Labelled segments, 3 or more.
    pub segments: usize,
    /// Another seed is another data set of the same kind.
    pub seed: u64,
    /// Acoustic frames a second, 1 to 1000.
    pub audio_rate: u32,
    /// Vision frames a second, 1 to 1000.
    pub vision_rate: u32,
    /// Features of an acoustic frame.
    pub audio_features: usize,
    /// Features of a vision frame.
    pub vision_features: usize,
}

impl Default for LikeMosei {
    fn default() -> Self {
        Self {
            segments: 23_000,
            seed: 7,
            audio_rate: 100,
            vision_rate: 30,
            audio_features: 74,
            vision_features: 35,
        }
    }
}

impl LikeMosei {
    /// How many videos the segments are of: as many as CMU-MOSEI would have, but one for each split at least.
    pub fn videos(&self) -> usize {
        let (segments, videos) = SEGMENTS_OF_A_VIDEO;
        let like = self.segments.saturating_mul(videos).div_ceil(segments);
        like.max(3).min(self.segments)
    }

    /// Refuses what cannot be made.
    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(DataError::Config(what));
        if !(3..=10_000_000).contains(&self.segments) {
            return wrong(format!(
                "{} segments: 3 to 10,000,000 can be made, one of each split at least",
                self.segments
            ));
        }
        for (modality, rate, features) in [
            ("audio", self.audio_rate, self.audio_features),
            ("vision", self.vision_rate, self.vision_features),
        ] {
            if !(1..=1000).contains(&rate) || !(1..=10_000).contains(&features) {
                return wrong(format!(
                    "{modality} of {features} features {rate} times a second: 1 to 10,000 features and 1 to 1,000 frames \
                     can be made"
                ));
            }
        }
        Ok(())
    }
}
