//! Adam as the method's authors train the metrics: its parameters, its step on slices, and as an optimiser of burn.

#[cfg(feature = "burn")]
mod optimizer;

#[cfg(feature = "burn")]
use burn::optim::ModuleOptimizer;
use serde::{Deserialize, Serialize};

#[cfg(feature = "burn")]
pub use optimizer::{PsdAdam, PsdAdamState};

/// Parameters of Adam with an `epsilon` that is added to the *uncorrected* `sqrt(v)`, and a weight decay that is part of the
/// gradient.
///
/// ```text
/// g <- grad + wd p
/// m <- b1 m + (1 - b1) g
/// v <- b2 v + (1 - b2) g^2
/// p <- p - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PsdAdamConfig {
    /// Decay of the mean of the gradients (`b1`).
    pub beta_1: f64,
    /// Decay of the mean of their squares (`b2`).
    pub beta_2: f64,
    /// What is added to `sqrt(v)`.
    pub epsilon: f64,
    /// Coupled L2 penalty (`wd`): it is part of the gradient.
    pub weight_decay: f64,
}

impl Default for PsdAdamConfig {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 1e-4,
        }
    }
}

#[cfg(feature = "burn")]
impl PsdAdamConfig {
    /// The bare optimiser, for one parameter group of a [`ModuleOptimizer`].
    #[must_use]
    pub fn build(&self) -> PsdAdam {
        PsdAdam { config: *self }
    }

    /// The optimiser of a whole module.
    #[must_use]
    pub fn init(&self) -> ModuleOptimizer {
        ModuleOptimizer::from(self.build())
    }
}

impl PsdAdamConfig {
    /// What `m / (sqrt(v) + eps)` is multiplied with at step `time`.
    fn step_size(&self, time: u64, lr: f64) -> f64 {
        let time = time as f64;
        lr * (1.0 - self.beta_2.powf(time)).sqrt() / (1.0 - self.beta_1.powf(time))
    }
}

/// What Adam remembers of the numbers it changes.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    time: u64,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Moments {
    /// Of `count` numbers, before the first step.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            time: 0,
            mean: vec![0.0; count],
            square: vec![0.0; count],
        }
    }

    /// One step of Adam on a slice.
    pub(crate) fn step(
        &mut self,
        config: &PsdAdamConfig,
        lr: f64,
        values: &mut [f64],
        gradient: &[f64],
    ) {
        self.time += 1;
        let size = config.step_size(self.time, lr);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient + config.weight_decay * *value;
            *mean = config.beta_1 * *mean + (1.0 - config.beta_1) * gradient;
            *square = config.beta_2 * *square + (1.0 - config.beta_2) * gradient * gradient;
            *value -= size * *mean / (square.sqrt() + config.epsilon);
        }
    }
}
