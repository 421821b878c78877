//! The learned metrics: L_MMC with its gradients, the projected optimiser, k-means.

use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use mmrest_metric::{
    Clusters, KMeansConfig, MmcLossConfig, MultiMetric, MultiMetricConfig, PsdAdamConfig,
    ReceptiveField, Rows, SentimentBins, receptive_fields,
};
use serde::Deserialize;

use super::Folders;
use super::tensors::{Inputs, Results};
use crate::error::{LearnerError, to_host};

/// Weights and margins of L_MMC, by the paper's symbols.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct LossParameters {
    /// Added to the diagonal of every metric.
    pub(super) beta: f64,
    /// Weight of the inter-cluster term.
    pub(super) v1: f64,
    /// Weight of the squared Frobenius norm of M0.
    pub(super) v2: f64,
    /// Margin of the intra-cluster hinge.
    pub(super) xi: f64,
    /// Factor of the inter-cluster margin.
    #[serde(alias = "alpha_")]
    pub(super) alpha: f64,
}

/// `mmc_<n>.safetensors`, L_MMC of given rows under given clusters and metrics: writes `loss`, `grad_features`, `grad_m0`
/// and `grad_delta_m`.
pub(super) fn mmc(
    folders: &Folders<'_>,
    name: &str,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let entry = Path::new(name).with_extension("");
    let parameters: LossParameters = folders.parameters(&entry.to_string_lossy())?;
    let device = device.clone().autodiff();

    let dims @ [count, dim] = inputs.dims("features")?;
    let bins = SentimentBins::seven();
    let labels = inputs.floats("labels", [count])?;
    let row_bins: Vec<usize> = labels.iter().map(|&label| bins.bin(label)).collect();
    let clusters = clusters(&inputs, dim, bins.len())?;
    let metric = metric(&inputs, &clusters, parameters.beta, &device)?;
    let assignment = inputs.indices("assignment", count, clusters.len())?;
    let host = inputs.floats("features", dims)?;
    let rows = Rows::new(&host, dim).map_err(|e| inputs.wrong(e))?;
    let fields = receptive_fields(rows, &clusters.centers, &assignment, ReceptiveField::Cell);

    let features = inputs.tensor("features", dims, &device)?.require_grad();
    let config = MmcLossConfig {
        inter_weight: parameters.v1,
        frobenius_weight: parameters.v2,
        margin: parameters.xi,
        margin_scale: parameters.alpha,
        ..MmcLossConfig::default()
    };
    let rows = features.clone();
    let loss = config
        .forward(rows, &row_bins, &assignment, &fields, &clusters, &metric, 0)
        .map_err(|e| inputs.wrong(e))?;

    let gradients = loss.total.backward();
    let mut results = Results::default();
    results.scalar("loss", loss.total)?;
    results.gradient("grad_features", &features, &gradients)?;
    results.gradient("grad_m0", &metric.global.val(), &gradients)?;
    results.gradient("grad_delta_m", &metric.local.val(), &gradients)?;
    results.write(folders, name)
}

/// `centers` and `center_bins`; cluster i uses local metric i.
pub(super) fn clusters(inputs: &Inputs, dim: usize, bins: usize) -> Result<Clusters, LearnerError> {
    let [count, _] = inputs.dims("centers")?;
    Ok(Clusters {
        dim,
        centers: inputs.floats("centers", [count, dim])?,
        bins: inputs.indices("center_bins", count, bins)?,
        metric: (0..count).collect(),
    })
}

/// `m0` and `delta_m`, at least one of these for each cluster.
pub(super) fn metric(
    inputs: &Inputs,
    clusters: &Clusters,
    ridge: f64,
    device: &Device,
) -> Result<MultiMetric, LearnerError> {
    let dim = clusters.dim;
    let [count, _, _] = inputs.dims("delta_m")?;
    if count < clusters.len() {
        let message = format!("has {count} metrics for {} clusters", clusters.len());
        return Err(inputs.wrong_tensor("delta_m", &message));
    }
    let config = MultiMetricConfig {
        dim,
        clusters: count,
        ridge,
    };
    let mut metric = config.init(device);
    metric.global = Param::from_tensor(inputs.tensor("m0", [dim, dim], device)?);
    metric.local = Param::from_tensor(inputs.tensor("delta_m", [count, dim, dim], device)?);
    Ok(metric)
}

/// The name of the file of the metrics' optimiser.
pub(super) const PSD_ADAM: &str = "psd_adam.safetensors";

#[derive(Deserialize)]
struct AdamParameters {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
}

/// The metrics' optimiser on given gradients, from the identity: writes `m0` `[steps, dim, dim]` and `delta_m` `[steps,
/// clusters, dim, dim]` after each projected step.
pub(super) fn psd_adam(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, PSD_ADAM)?;
    let parameters: AdamParameters = folders.parameters("psd_adam")?;
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
    results.write(folders, PSD_ADAM)
}

/// Decides the starts, so that two runs agree.
const KMEANS_SEED: u64 = 0;

#[derive(Deserialize)]
struct KMeansCase {
    #[serde(rename = "K")]
    clusters: usize,
}

/// `kmeans_<n>.safetensors`: writes `centers` `[clusters, dim]`, `labels` `[points]` and `inertia` of the best of ten
/// starts.
pub(super) fn kmeans(
    folders: &Folders<'_>,
    name: &str,
    case: usize,
) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, name)?;
    let cases: Vec<KMeansCase> = folders.parameters("kmeans")?;
    let Some(&KMeansCase { clusters }) = cases.get(case) else {
        let count = cases.len();
        return Err(inputs.wrong(format!("entry 'kmeans' of meta.json has {count} cases")));
    };
    let dims @ [_, dim] = inputs.dims("points")?;
    let points = inputs.floats("points", dims)?;
    let config = KMeansConfig {
        clusters,
        ..KMeansConfig::default()
    };
    let fit = Rows::new(&points, dim)
        .and_then(|rows| config.fit(rows, KMEANS_SEED))
        .map_err(|e| inputs.wrong(e))?;

    let mut results = Results::default();
    results.floats("centers", &[fit.centers.len() / dim, dim], &fit.centers);
    let labels = fit.labels.iter().map(|&label| label as i64);
    results.integers("labels", &[fit.labels.len()], labels);
    results.double("inertia", fit.inertia);
    results.write(folders, name)
}
