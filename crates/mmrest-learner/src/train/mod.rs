//! Training, driven by burn-train.

mod checkpoint;
mod observer;
mod progress;
mod renderer;
mod strategy;

pub use checkpoint::{Checkpoints, Restored};
pub use observer::{Observer, Silent};
pub use progress::{EpochRow, Progress};

pub(crate) use checkpoint::EveryEpoch;
pub(crate) use renderer::NoRenderer;
pub(crate) use strategy::EpochLoop;
