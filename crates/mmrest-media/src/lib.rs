#![doc = include_str!("../README.md")]

mod audio;
pub mod describe;
mod error;
mod extract;
mod features;
mod file;
mod folder;
mod mp4;
mod record;
mod segment_table;
mod tables;
mod transcript;

pub use audio::{AudioLimits, AudioReader, ClipReader, Damage, ResampleError, resample};
pub use error::{MediaError, Result};
pub use extract::{Cut, ExtractConfig, ExtractedSegment, Extraction, LONGEST_CLIP, Recording};
pub use features::{FeatureParameters, FeatureSet, UnknownFeatures};
pub use file::MediaFile;
pub use folder::{FeatureFolder, Finished, Presence, TABLE};
pub use record::{FeatureRecord, RECORD, RecordedSegment, RecordingInputs, Segments};
pub use segment_table::{SegmentLabel, SegmentTable};
pub use tables::{LEAST_CONFIDENCE, OpenFaceColumns, TableSet, Tool, UnknownColumns};
pub use transcript::{Cue, Transcript, Word};
