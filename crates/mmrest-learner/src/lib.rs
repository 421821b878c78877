#![doc = include_str!("../README.md")]

mod batch;
mod bundle;
mod clustering;
pub mod config;
pub mod conformance;
mod device;
mod error;
mod evaluate;
mod example;
mod figures;
mod files;
mod frozen;
mod model;
mod objective;
mod predict;
pub mod run;
mod schedule;
mod seed;
mod state;
mod step;
pub mod train;

pub use batch::{Batch, Batches, SegmentLoader, TextBatch};
pub use bundle::{Bundle, TextParts};
pub use config::Config;
pub use device::{Backend, open_device};
pub use error::LearnerError;
pub use evaluate::{NearCluster, Prediction, figures};
pub use example::{Example, FeatureSpec, Preparation, TextFeatures};
pub use figures::Figures;
pub use model::{Forward, MmRest, Representations, TextEncoder};
pub use objective::Objective;
pub use predict::Predictor;
pub use state::{GradientNorms, Settings, StepContext, StepState};
pub use step::{Losses, StepRecord};
