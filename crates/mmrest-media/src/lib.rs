#![doc = include_str!("../README.md")]

mod audio;
mod error;
mod extract;
mod features;
mod folder;
mod mp4;
mod record;
mod transcript;

pub use audio::{AudioLimits, AudioReader, ClipReader, Damage, ResampleError, resample};
pub use error::{MediaError, Result};
pub use extract::{Cut, ExtractConfig, ExtractedSegment, Extraction, LONGEST_CLIP, Recording};
pub use features::{FeatureParameters, FeatureSet, UnknownFeatures};
pub use folder::{FeatureFolder, TABLE};
pub use record::{FeatureRecord, RECORD, RecordedSegment, RecordingInputs, Segments};
pub use transcript::{Cue, Transcript, Word};
