#![doc = include_str!("../README.md")]

mod clean;
mod config;
pub mod container;
pub mod cross_check;
mod cross_validation;
pub mod csd;
mod error;
pub mod files;
pub mod folds;
mod frames;
mod hdf5;
pub mod import;
mod labels;
mod open;
pub mod packed;
pub mod pickle;
mod prepare;
mod report;
mod segment;
mod sequences;
mod source;
mod stats;
pub mod table;
pub mod text;

pub use clean::{Purpose, clean};
pub use config::{
    AudioFrom, Columns, DataConfig, Download, FramesOf, Kind, Missing, MissingFiles, Shorten,
    SplitFrom, TextFrom,
};
pub use cross_validation::Fold;
pub use csd::{TOLERANCE, is_too_short, overlapping};
pub use error::{DataError, Result};
pub use frames::{Frames, PaddedFrames};
pub use labels::{LabelSummary, SuggestedScale};
pub use open::{load, load_unlabelled, open, open_unlabelled, visit_unlabelled};
pub use prepare::{Prepared, prepare};
pub use report::{DataReport, DropReason, Unit};
pub use segment::{
    Dataset, Modality, Segment, SegmentSource, Split, Visit, Widths, in_two_splits, video_of,
};
pub use sequences::{SegmentEntries, segment_of_entries};
pub use source::SourceFile;
pub use stats::{FeatureMoments, FeatureStats, quantile};
