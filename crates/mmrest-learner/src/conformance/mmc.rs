//! `mmc_<n>.safetensors`: L_MMC of given rows under given clusters and metrics, and its gradients.

use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::Device;
use mmrest_metric::{
    Clusters, MmcLossConfig, MultiMetric, MultiMetricConfig, ReceptiveField, Rows, SentimentBins,
    receptive_fields,
};
use serde::Deserialize;

use super::Folders;
use super::tensors::{Inputs, Results};
use crate::error::LearnerError;

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

/// Writes `loss`, `grad_features`, `grad_m0` and `grad_delta_m`.
pub(super) fn run(
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
