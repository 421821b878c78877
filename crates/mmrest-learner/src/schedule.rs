//! Learning rates: one base rate a parameter group, all lowered together when validation stops improving.

use std::sync::{Arc, Mutex, PoisonError};

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::module::ParamGroup;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::LearnerError;

/// Parameters of the text encoder.
const TEXT_GROUP: &str = r"^text\.bert\.";
/// Parameters of the metrics.
const METRIC_GROUP: &str = r"^metric\.";

/// The parameter group of the text encoder.
pub(crate) fn text_group() -> Result<ParamGroup, LearnerError> {
    group(TEXT_GROUP)
}

/// The parameter group of the metrics.
pub(crate) fn metric_group() -> Result<ParamGroup, LearnerError> {
    group(METRIC_GROUP)
}

fn group(pattern: &str) -> Result<ParamGroup, LearnerError> {
    ParamGroup::from_regex(pattern).map_err(|e| LearnerError::Internal(format!("{e:?}")))
}

/// PyTorch's `ReduceLROnPlateau` (mode `min`, relative threshold 1e-4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Lowest value so far.
    pub best: Option<f64>,
    /// Epochs since it.
    pub bad_epochs: usize,
    /// What every base rate is multiplied with.
    pub factor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            best: None,
            bad_epochs: 0,
            factor: 1.0,
        }
    }
}

impl Plateau {
    const THRESHOLD: f64 = 1e-4;

    /// Takes an epoch's validation loss; more than `patience` bad epochs in a row lower the rates by `factor`.
    pub fn observe(&mut self, value: f64, factor: f64, patience: usize) {
        match self.best {
            Some(best) if value >= best * (1.0 - Self::THRESHOLD) || value.is_nan() => {
                self.bad_epochs += 1;
            }
            _ => {
                self.best = Some(value);
                self.bad_epochs = 0;
            }
        }
        if self.bad_epochs > patience {
            self.factor *= factor;
            self.bad_epochs = 0;
        }
    }
}

/// The factor of a plateau schedule, read by every group's scheduler.
#[derive(Clone, Debug)]
pub(crate) struct SharedFactor(Arc<Mutex<f64>>);

impl SharedFactor {
    /// A factor of 1.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(1.0)))
    }

    /// Sets the factor for the steps to come.
    pub(crate) fn set(&self, factor: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = factor;
    }

    fn get(&self) -> f64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group's rate: its base times the shared factor. The factor's state is kept with the run's progress.
#[derive(Clone)]
struct Scaled {
    base: f64,
    factor: SharedFactor,
}

impl LrScheduler for Scaled {
    fn step(&mut self) -> f64 {
        self.base * self.factor.get()
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("base", self.base)
    }

    /// The base is the configuration's, which a resumed run may have changed.
    fn load_record(&mut self, _: LrSchedulerRecord) {}
}

/// The schedulers of all parameter groups.
///
/// # Errors
///
/// None in practice: the groups' patterns are constants.
pub(crate) fn scheduler(
    train: &TrainConfig,
    factor: &SharedFactor,
) -> Result<ModuleLrScheduler, LearnerError> {
    let scaled = |base: f64| Scaled {
        base,
        factor: factor.clone(),
    };
    Ok(ModuleLrScheduler::new(scaled(train.learning_rate))
        .with_group(text_group()?, scaled(train.text_learning_rate))
        .with_group(metric_group()?, scaled(train.metric_learning_rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_patience_bad_epochs_lower_the_rates() {
        let mut plateau = Plateau::default();
        for value in [1.0, 1.0, 0.99995, 1.2] {
            plateau.observe(value, 0.5, 3);
        }
        assert_eq!((plateau.factor, plateau.bad_epochs), (1.0, 3));
        plateau.observe(1.1, 0.5, 3);
        assert_eq!((plateau.factor, plateau.bad_epochs), (0.5, 0));
        plateau.observe(0.5, 0.5, 3);
        assert_eq!(plateau.best, Some(0.5));
    }

    #[test]
    fn groups_have_their_own_rates_and_one_factor() {
        let factor = SharedFactor::new();
        let train = TrainConfig {
            learning_rate: 1.0,
            text_learning_rate: 0.1,
            metric_learning_rate: 10.0,
            ..TrainConfig::default()
        };
        let mut scheduler = scheduler(&train, &factor).unwrap();
        factor.set(0.5);
        let rates = scheduler.step();
        let rate = |path: &str| rates.lr_from_param(burn::module::ParamId::new(), Some(path));
        assert_eq!(rate("fusion.joint.weight"), 0.5);
        assert_eq!(rate("text.projection.weight"), 0.5);
        assert_eq!(rate("text.bert.layers.0.query.weight"), 0.05);
        assert_eq!(rate("metric.global"), 5.0);
    }
}
