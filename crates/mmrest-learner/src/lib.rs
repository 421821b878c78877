#![doc = include_str!("../README.md")]

mod batch;
mod bundle;
mod clip;
mod clustering;
pub mod config;
pub mod conformance;
mod device;
mod digests;
mod error;
mod evaluate;
mod example;
mod figures;
mod files;
mod frozen;
mod gather;
mod loader;
mod meeting;
mod modality_dropout;
mod model;
mod objective;
mod optimizer;
mod origin;
#[cfg(doctest)]
mod pages;
mod placing;
mod predict;
mod refusal;
pub mod run;
mod schedule;
mod seed;
mod size;
mod source;
mod space;
mod state;
pub mod statistics;
mod step;
pub mod train;

pub use batch::{Batch, HostBatch, TextBatch};
pub use bundle::{Bundle, TextParts};
pub use config::Config;
pub use device::{Adapter, Backend, open_device};
pub use error::LearnerError;
pub use evaluate::{NearCluster, Prediction, figures};
pub use example::{Example, FeatureSpec, FramePreparation, Preparation, TextFeatures};
pub use figures::{FigureSet, Figures};
pub use loader::{Batches, SegmentLoader};
pub use meeting::Part;
pub use model::{Forward, MmRest, Representations, TextEncoder};
pub use objective::Objective;
pub use predict::{
    Contributions, Explanation, MOST_FRAMES, MOST_TEXT, Neighbour, PlacedRow, Placement, Predictor,
    SharedSpace,
};
pub use refusal::{NonFinite, Refusal};
pub use source::ExampleSource;
pub use space::{Measures, Overlap, SpaceOverlap, SplitOverlap};
pub use state::{Geometry, GradientNorms, Settings, StepContext, StepState};
pub use step::{Losses, StepRecord};
