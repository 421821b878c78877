#![doc = include_str!("../README.md")]

mod calibration;
pub mod config;
pub mod conformance;
mod device;
mod digests;
mod error;
mod example;
pub mod export;
mod figures;
mod files;
mod loader;
mod memory;
mod modality_dropout;
mod model_card;
#[cfg(doctest)]
mod pages;
mod predict;
pub mod run;
mod saved_model;
mod sentences;
mod source;
mod space;
pub mod statistics;
mod tensor_file;
mod text_cache;
pub mod train;
mod trained;
mod untrained;

pub use calibration::NoInterval;
pub use config::Config;
pub use device::{Adapter, Backend, OpenDevice, Precision, UnknownBackend, open_device};
pub use error::LearnerError;
pub use example::{FeatureSpec, FramePreparation, Preparation};
pub use figures::{FigureSet, Figures, figures};
pub use loader::{Batches, SegmentLoader};
pub use memory::keep_freed_memory;
pub use mmrest_models::{BiasInfo, NearCluster, PlacedRow, Placement, Prediction, SharedSpace};
pub use predict::{
    CONFIDENCE, Contributions, Embeddings, Explanation, FAR, Interpretation, Interpreter,
    IntervalCoverage, MOST_FRAMES, MOST_TEXT, Neighbour, Polarity, Predictor, is_finite,
};
pub use saved_model::{SavedModel, TextParts};
pub use source::ExampleSource;
pub use space::{Measures, Overlap, SpaceOverlap, SplitOverlap};
pub use tensor_file::TensorFile;
pub use trained::{ParameterCounts, Representation, TrainedModel, predict};
