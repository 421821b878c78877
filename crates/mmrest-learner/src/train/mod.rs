//! Training, driven by burn-train.

mod checkpoint;
mod observer;
mod pass;
mod progress;
mod records;
mod renderer;
mod selected;
mod strategy;
mod workers;

pub use checkpoint::{Checkpoints, Restored};
pub use observer::{Observer, Silent};
pub use progress::{EpochRow, Progress};

pub(crate) use checkpoint::EveryEpoch;
pub(crate) use renderer::NoRenderer;
pub(crate) use selected::SelectedModel;
pub(crate) use strategy::EpochLoop;

use burn::train::Learner;

use crate::config::TrainConfig;
use crate::error::LearnerError;
use crate::model::MmRest;

/// A model with its optimisers and learning rates, for those who take their own steps.
///
/// # Errors
///
/// None in practice: the parameter groups' patterns are constants.
pub fn learner(model: MmRest, train: &TrainConfig) -> Result<Learner<MmRest>, LearnerError> {
    let factor = crate::schedule::SharedFactor::new();
    let optimizer = crate::optimizer::optimizer(train)?;
    let scheduler = crate::schedule::scheduler(train, &factor)?;
    Ok(Learner::new(model, optimizer, scheduler))
}
