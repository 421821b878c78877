//! `psd_adam.safetensors`: the metrics' optimiser on given gradients, from the identity.

use std::path::PathBuf;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use mmrest_metric::{MultiMetricConfig, PsdAdamConfig};
use serde::Deserialize;

use super::Folders;
use super::tensors::{Inputs, Results};
use crate::error::{LearnerError, to_host};

/// The file's name.
pub(super) const FILE: &str = "psd_adam.safetensors";

#[derive(Deserialize)]
struct Parameters {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
}

/// Writes `m0` `[steps, dim, dim]` and `delta_m` `[steps, clusters, dim, dim]` after each projected step.
pub(super) fn run(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, FILE)?;
    let parameters: Parameters = folders.parameters("psd_adam")?;
    let dims @ [steps, clusters, dim, _] = inputs.dims("grads_delta_m")?;
    let local = inputs.tensor("grads_delta_m", [steps, clusters, dim, dim], device)?;
    let global = inputs.tensor("grads_m0", [steps, dim, dim], device)?;

    let [beta_1, beta_2] = parameters.betas;
    let mut optimizer = PsdAdamConfig {
        beta_1,
        beta_2,
        epsilon: parameters.eps,
        weight_decay: parameters.weight_decay,
    }
    .init();
    let ridge = 0.0; // no part of what is optimised
    let config = MultiMetricConfig {
        dim,
        clusters,
        ridge,
    };
    let mut metric = config.init(&device.clone().autodiff());
    let (mut globals, mut locals) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let mut gradients = GradientsParams::new();
        let of_step = global.clone().narrow(0, step, 1).squeeze_dim::<2>(0);
        gradients.register(metric.global.id, of_step);
        let of_step = local.clone().narrow(0, step, 1).squeeze_dim::<3>(0);
        gradients.register(metric.local.id, of_step);
        metric = optimizer
            .step(parameters.lr, metric, gradients)
            .project_psd()
            .map_err(|e| inputs.wrong(format!("after step {}: {e}", step + 1)))?;
        globals.extend(to_host(metric.global.val())?);
        locals.extend(to_host(metric.local.val())?);
    }

    let mut results = Results::default();
    results.floats("m0", &[steps, dim, dim], &globals);
    results.floats("delta_m", &dims, &locals);
    results.write(folders, FILE)
}
