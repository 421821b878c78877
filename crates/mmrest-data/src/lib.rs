#![doc = include_str!("../README.md")]

pub mod align;
mod batch;
pub mod catalogue;
mod config;
pub mod csd;
mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod files;
pub mod folds;
mod frames;
mod hdf5;
pub mod import;
pub mod inspect;
mod load;
mod missing;
mod modality;
mod overlap;
pub mod packed;
pub mod pickle;
mod report;
pub mod sample;
mod segment;
mod source;
mod split;
mod stats;
mod stream;
pub mod table;
pub mod verify;

pub use batch::PaddedFrames;
pub use config::{Columns, DataConfig, Download, Kind, Missing, Shorten, SplitFrom, TextFrom};
pub use dataset::{Dataset, Widths};
pub use error::{DataError, Result};
pub use frames::Frames;
pub use load::{load_unlabelled, visit_unlabelled};
pub use missing::MissingFiles;
pub use modality::Modality;
pub use overlap::{TOLERANCE, is_too_short, overlapping};
pub use report::{DataReport, DropReason, Unit};
pub use segment::Segment;
pub use source::SourceFile;
pub use split::Split;
pub use stats::{FeatureMoments, FeatureStats};
pub use stream::{SegmentSource, Visit, load, open};
