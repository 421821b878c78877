//! Training, driven by burn-train.

mod adapter;
mod best_model;
mod checkpoint;
#[cfg(feature = "tui")]
mod dashboard;
mod ema;
mod epochs;
mod gradients;
mod non_finite;
mod observer;
mod progress;
mod records;
mod schedule;
mod trainer;

pub use checkpoint::{Checkpoints, Restored};
#[cfg(feature = "tui")]
pub use dashboard::Dashboard;
pub use non_finite::NonFinite;
pub use observer::{Observer, Silent};
pub use progress::{EpochRow, Progress};
pub use schedule::Plateau;
pub use trainer::{Step, Trainer};

pub(crate) use adapter::fit;
pub(crate) use best_model::BestModel;
pub(crate) use epochs::EpochLoop;
pub(crate) use trainer::{Start, Tuning};
