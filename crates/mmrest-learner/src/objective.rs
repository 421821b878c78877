//! The objective L = L1(y, label) + eta L_MMC of a batch, and the clusters it works on.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::TensorData;
use mmrest_metric::{Clusters, MmcLoss, MultiMetric, Rows, assign, host, receptive_fields};

use crate::batch::Batch;
use crate::clustering;
use crate::config::ClusterScope;
use crate::error::LearnerError;
use crate::gather;
use crate::meeting::{Gathered, PartRows};
use crate::model::{Forward, MmRest};
use crate::seed;

/// The objective and its parts; L_MMC and its three parts are unweighted, as docs/src/method.md writes them.
pub struct Objective {
    /// What is differentiated.
    pub total: Tensor<1>,
    /// Mean absolute error.
    pub task: Tensor<1>,
    /// L_MMC, where it is in use.
    pub mmc: Option<MmcLoss>,
}

impl MmRest {
    /// The objective of a batch. Clusters move on: to this batch's own (scope `batch`), or towards its rows (scope `train`).
    ///
    /// # Errors
    ///
    /// Rows that are not finite, which k-means refuses; another device's part of the step failed.
    pub fn objective(&self, batch: &Batch, forward: &Forward) -> Result<Objective, LearnerError> {
        let device = forward.prediction.device();
        let labels = Tensor::from_data(
            TensorData::new(batch.labels.clone(), [batch.len()]),
            &device,
        );
        let task = (forward.prediction.clone() - labels).abs().mean();
        let task = match &batch.part {
            Some(part) => task.mul_scalar(batch.len() as f64 / part.segments() as f64),
            None => task,
        };
        let mmc = match &self.metric {
            Some(metric) => self.mmc(batch, forward, metric)?,
            None => None,
        };
        let total = match &mmc {
            Some(mmc) => {
                let weight = self.context.settings().mmc_weight;
                task.clone() + mmc.total.clone().mul_scalar(weight)
            }
            None => task.clone(),
        };
        Ok(Objective { total, task, mmc })
    }

    /// L_MMC, where it is in use; the clusters move on in any case.
    fn mmc(
        &self,
        batch: &Batch,
        forward: &Forward,
        metric: &MultiMetric,
    ) -> Result<Option<MmcLoss>, LearnerError> {
        let own = self.host_rows(batch, forward)?;
        let rows = forward.representations.rows();
        let Some(part) = &batch.part else {
            let on = self.move_clusters(&own.values, own.bins)?;
            return self.mmc_loss(rows, &on, metric);
        };
        let [_, dim] = rows.dims();
        let modalities = forward.representations.modalities();
        let gathered = part.meet(own, |parts| {
            let (values, bins) = gather::in_order(parts, modalities, dim);
            let on = self.move_clusters(&values, bins)?;
            Ok(Gathered { values, on })
        })?;
        let all = gather::among(rows, &gathered.values, part, modalities);
        match part.index() {
            0 => self.mmc_loss(all, &gathered.on, metric),
            // The metrics' own gradient is the whole batch's on every device: it is taken once.
            _ => self.mmc_loss(all, &gathered.on, &metric.clone().no_grad()),
        }
    }

    /// Finds the clusters that L_MMC is about, and leaves in the context those that the next step's bias is about.
    fn move_clusters(&self, values: &[f32], bins: Vec<usize>) -> Result<OnBatch, LearnerError> {
        let settings = self.context.settings();
        let dim = values.len() / bins.len().max(1);
        let rows = Rows::new(values, dim)?;
        let mut state = self.context.state();
        let clusters = match (settings.scope, &state.clusters) {
            (ClusterScope::Train, Some(clusters)) => clusters.clone(),
            _ => {
                let path = [seed::KMEANS, state.epoch as u64, state.step as u64];
                let seed = seed::mix(settings.seed, &path);
                clustering::fresh(
                    rows,
                    &bins,
                    &settings.bins,
                    &settings.kmeans,
                    settings.field,
                    seed,
                )?
            }
        };
        let assignment = assign(rows, &clusters.centers);
        let fields = receptive_fields(rows, &clusters.centers, &assignment, settings.field);
        let mut next = clusters.clone();
        if settings.scope == ClusterScope::Train {
            clustering::follow(&mut next, rows, &assignment, settings.momentum);
        }
        state.clusters = Some(next);
        let path = [seed::PAIRS, state.epoch as u64, state.step as u64];
        Ok(OnBatch {
            clusters,
            assignment,
            fields,
            bins,
            seed: seed::mix(settings.seed, &path),
        })
    }

    fn mmc_loss(
        &self,
        rows: Tensor<2>,
        on: &OnBatch,
        metric: &MultiMetric,
    ) -> Result<Option<MmcLoss>, LearnerError> {
        let settings = self.context.settings();
        if !settings.mmc {
            return Ok(None);
        }
        let (fields, clusters) = (&on.fields, &on.clusters);
        let loss = &settings.loss;
        let loss = loss.forward(
            rows,
            &on.bins,
            &on.assignment,
            fields,
            clusters,
            metric,
            on.seed,
        )?;
        Ok(Some(loss))
    }

    /// A batch's rows on the host, read once a step: with the distances, where there were any to read.
    fn host_rows(&self, batch: &Batch, forward: &Forward) -> Result<PartRows, LearnerError> {
        let values = match &forward.rows_on_host {
            Some(values) => values.clone(),
            None => to_host(forward.representations.rows().inner())?,
        };
        let bin = |&label| self.context.settings().bins.bin(label);
        let bins: Vec<usize> = batch.labels.iter().map(bin).collect();
        Ok(PartRows {
            values,
            bins: bins.repeat(forward.representations.modalities()),
        })
    }
}

/// Clusters as a batch's rows see them.
pub(crate) struct OnBatch {
    clusters: Clusters,
    assignment: Vec<usize>,
    fields: Vec<Vec<usize>>,
    bins: Vec<usize>,
    seed: u64,
}

/// Reads a tensor to the host, row-major.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, LearnerError> {
    Ok(host::read("values", tensor)?)
}
