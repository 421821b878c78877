//! Audio features of a clip.

mod chroma;
mod spectrum;

use std::fmt;
use std::str::FromStr;

use mmrest_data::Frames;
use serde::{Deserialize, Serialize};

use chroma::Tuning;
use spectrum::MelConfig;

/// A set of audio features, computed frame by frame.
///
/// Two properties of a frame depend on its clip: levels lie at most 80 dB below the clip's maximum, and chroma follows the
/// clip's tuning. The same sound cut otherwise therefore has slightly different features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureSet {
    /// The 33 features of CH-SIMS, as its authors' code computes them: zero-crossing rate, 20 MFCC (128 HTK mels), 12
    /// chroma; 22,050 Hz, frames of 2,048 samples every 512. (Its paper calls the first one log F0.)
    Sims33,
    /// MMSA-FET's 33 by its defaults: 20 MFCC, zero-crossing rate, 12 chroma; 22,050 Hz, frames of 512 samples every 128.
    Fet33,
    /// Levels of 128 HTK mel filters in dB; 22,050 Hz, frames of 2,048 samples every 512.
    LogMel,
    /// 20 MFCC, as in [`Sims33`](Self::Sims33).
    Mfcc,
    /// Root mean square, 22,050 Hz, frames of 2,048 samples every 512.
    Rms,
}

/// What distinguishes one set of features from another: every parameter of their computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureParameters {
    /// Samples per second that recordings are resampled to.
    pub sample_rate: u32,
    /// Samples of a frame.
    pub frame_length: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Mel filters, 0 where none are used.
    pub mel_filters: usize,
}

impl FeatureSet {
    /// All sets.
    pub const ALL: [Self; 5] = [
        Self::Sims33,
        Self::Fet33,
        Self::LogMel,
        Self::Mfcc,
        Self::Rms,
    ];

    /// Its name: `sims33`, `fet33`, `log-mel`, `mfcc`, `rms`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sims33 => "sims33",
            Self::Fet33 => "fet33",
            Self::LogMel => "log-mel",
            Self::Mfcc => "mfcc",
            Self::Rms => "rms",
        }
    }

    /// Parameters of its computation.
    pub fn parameters(self) -> FeatureParameters {
        let (frame_length, hop_length) = if self == Self::Fet33 {
            (512, 128)
        } else {
            (2048, 512)
        };
        FeatureParameters {
            sample_rate: 22_050,
            frame_length,
            hop_length,
            mel_filters: if self == Self::Rms { 0 } else { 128 },
        }
    }

    /// Names of the columns.
    pub fn columns(self) -> Vec<String> {
        let numbered = |name: &str, count: usize| -> Vec<String> {
            (0..count).map(|i| format!("{name}{i}")).collect()
        };
        let zcr = || vec!["zero_crossing_rate".to_owned()];
        match self {
            Self::Sims33 => [zcr(), numbered("mfcc", 20), numbered("chroma", 12)].concat(),
            Self::Fet33 => [numbered("mfcc", 20), zcr(), numbered("chroma", 12)].concat(),
            Self::LogMel => numbered("mel", 128),
            Self::Mfcc => numbered("mfcc", 20),
            Self::Rms => vec!["rms".to_owned()],
        }
    }

    /// The features of a clip at the set's own sample rate: `1 + samples / hop` frames `[frames, columns]`, centred on
    /// multiples of the hop. A clip without samples has no frames.
    pub fn compute(self, samples: &[f32]) -> Frames {
        self.compute_at(samples, self.parameters().sample_rate)
    }

    /// As [`compute`](Self::compute), of samples at another rate, that frame and hop lengths are counted in all the same.
    pub fn compute_at(self, samples: &[f32], sample_rate: u32) -> Frames {
        let width = self.columns().len();
        if samples.is_empty() {
            return Frames::empty(width);
        }
        let parameters = self.parameters();
        let (length, hop) = (parameters.frame_length, parameters.hop_length);
        let mel = |see: &mut dyn FnMut(&[f64])| {
            let config = MelConfig {
                sample_rate,
                length,
                hop,
                filters: parameters.mel_filters,
            };
            spectrum::log_mel(samples, config, see)
        };
        let mfcc = || spectrum::cepstrum(&mel(&mut |_| ()), 20);
        let columns = |values: Vec<f64>| values.into_iter().map(|value| vec![value]).collect();
        let zcr = || columns(spectrum::zero_crossing_rate(samples, length, hop));
        let chroma = |tuning: f64| {
            let frames = chroma::chroma(samples, sample_rate, hop, tuning).into_iter();
            frames.map(|frame| frame.to_vec()).collect()
        };
        let parts: Vec<Vec<Vec<f64>>> = match self {
            Self::Sims33 => {
                // The spectra that mel filters and tuning are computed of are the same.
                debug_assert_eq!((length, hop), (Tuning::LENGTH, Tuning::HOP));
                let mut tuning = Tuning::new(sample_rate);
                let levels = mel(&mut |power| tuning.push(power));
                let mfcc = spectrum::cepstrum(&levels, 20);
                vec![zcr(), mfcc, chroma(tuning.deviation())]
            }
            Self::Fet33 => {
                let tuning = chroma::tuning(samples, sample_rate);
                vec![mfcc(), zcr(), chroma(tuning)]
            }
            Self::LogMel => vec![mel(&mut |_| ())],
            Self::Mfcc => vec![mfcc()],
            Self::Rms => vec![columns(spectrum::rms(samples, length, hop))],
        };
        let frames = parts.iter().map(Vec::len).min().unwrap_or(0);
        let rows = (0..frames).flat_map(|t| parts.iter().flat_map(move |part| &part[t]));
        Frames::new(rows.map(|&value| value as f32).collect(), width)
    }
}

impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FeatureSet {
    type Err = UnknownFeatures;

    fn from_str(name: &str) -> Result<Self, UnknownFeatures> {
        let set = Self::ALL.into_iter().find(|set| set.name() == name);
        set.ok_or_else(|| UnknownFeatures(name.to_owned()))
    }
}

/// A name that is no [`FeatureSet`]'s.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no audio features \"{0}\": there are sims33, fet33, log-mel, mfcc, rms")]
pub struct UnknownFeatures(pub String);
