//! The optimisers: Adam as PyTorch's for the model, the published code's Adam for the metrics.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, ModuleOptimizer};
use mmrest_metric::PsdAdamConfig;

use crate::config::TrainConfig;
use crate::error::LearnerError;
use crate::schedule::metric_group;

/// The optimiser of each parameter group; learning rates are the schedule's.
pub(crate) fn optimizer(train: &TrainConfig) -> Result<ModuleOptimizer, LearnerError> {
    let decay = train.weight_decay;
    let adam = AdamConfig::new()
        .with_beta_1(0.9)
        .with_beta_2(0.999)
        .with_epsilon(1e-8)
        .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay as f32)));
    let metrics = PsdAdamConfig {
        weight_decay: decay,
        ..PsdAdamConfig::default()
    };
    Ok(ModuleOptimizer::from(adam.build()).with_group(metric_group()?, metrics.build(), None))
}
