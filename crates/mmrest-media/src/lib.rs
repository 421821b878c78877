#![doc = include_str!("../README.md")]

mod audio;
pub mod describe;
mod error;
mod extract;
mod features;
mod folder;
mod mp4;
mod transcript;

pub use audio::{AudioReader, ClipReader, Damage, ResampleError, resample};
pub use error::{MediaError, Result};
pub use extract::{Cut, ExtractConfig, Extracted, ExtractedSegment, LONGEST_CLIP, extract};
pub use features::{FeatureParameters, FeatureSet, UnknownFeatures};
pub use folder::{FeatureFolder, FeatureRecord, TABLE};
pub use transcript::{Cue, Transcript, Word};
