#![doc = include_str!("../README.md")]

mod audio;
mod error;
mod features;
mod mp4;
mod transcript;

pub use audio::{AudioReader, ClipReader, Damage, ZeroRate, resample};
pub use error::{MediaError, Result};
pub use features::{FeatureParameters, FeatureSet, UnknownFeatures};
pub use transcript::{Cue, Transcript, Word};
