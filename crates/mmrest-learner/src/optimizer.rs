//! The optimisers: Adam as PyTorch's for the model, the published code's Adam for the metrics.

use burn::optim::ModuleOptimizer;
use mmrest_kernels::adam::FusedAdamConfig;
use mmrest_metric::PsdAdamConfig;

use crate::config::TrainConfig;
use crate::error::LearnerError;
use crate::schedule::metric_group;

/// The optimiser of each parameter group; learning rates are the schedule's.
pub(crate) fn optimizer(train: &TrainConfig) -> Result<ModuleOptimizer, LearnerError> {
    let decay = train.weight_decay;
    let adam = FusedAdamConfig {
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: decay as f32,
    }
    .build();
    let metrics = PsdAdamConfig {
        weight_decay: decay,
        ..PsdAdamConfig::default()
    };
    Ok(ModuleOptimizer::from(adam).with_group(metric_group()?, metrics.build(), None))
}
