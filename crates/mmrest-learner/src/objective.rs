//! The objective L = L1(y, label) + eta L_MMC of a batch, and the clusters it works on.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::TensorData;
use mmrest_kernels::host;
use mmrest_metric::{Clusters, MetricError, MmcLoss, MultiMetric, Rows, assign, receptive_fields};

use crate::batch::Batch;
use crate::clustering;
use crate::config::{ClusterBy, ClusterScope, LossForm, TaskOn};
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
        let compared = match self.context.settings().task {
            TaskOn::Prediction => forward.prediction.clone(),
            TaskOn::Score => forward.score.clone(),
        };
        let task = (compared - labels).abs().mean();
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
        let modalities = forward.representations.modalities();
        let Some(part) = &batch.part else {
            let on = self.move_clusters(&own.values, &own.labels, modalities)?;
            return self.mmc_loss(rows, &on, metric);
        };
        let [_, dim] = rows.dims();
        let gathered = part.meet(own, |parts| {
            let (values, labels) = gather::in_order(parts, modalities, dim);
            let on = self.move_clusters(&values, &labels, modalities)?;
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
    /// `values` and `labels` are those of all rows.
    fn move_clusters(
        &self,
        values: &[f32],
        labels: &[f32],
        modalities: usize,
    ) -> Result<OnBatch, LearnerError> {
        let settings = self.context.settings();
        let bins: Vec<usize> = labels.iter().map(|&l| settings.bins.bin(l)).collect();
        let dim = values.len() / labels.len().max(1);
        let rows = Rows::new(values, dim)?;
        let mut state = self.context.state();
        let clusters = match (settings.scope, settings.by, &state.clusters) {
            (ClusterScope::Train, _, Some(clusters)) => clusters.clone(),
            (_, ClusterBy::Sentiment, _) => {
                clustering::by_sentiment(rows, &bins, settings.bins.len())
            }
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
        let assignment = match settings.by {
            ClusterBy::Kmeans => assign(rows, &clusters.centers),
            ClusterBy::Sentiment => clustering::assign_by_sentiment(&clusters, rows, &bins),
        };
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
            labels: labels[..labels.len() / modalities.max(1)].to_vec(),
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
        let loss = match settings.form {
            LossForm::Hinge => settings.loss.forward(
                rows,
                &on.bins,
                &on.assignment,
                &on.fields,
                &on.clusters,
                metric,
                on.seed,
            ),
            LossForm::Ordinal => settings.ordinal.forward(
                rows,
                &on.labels,
                &settings.sentiments_of(&on.clusters),
                &on.clusters,
                metric,
            ),
        }?;
        Ok(Some(loss))
    }

    /// A batch's rows on the host, read once a step: with the distances, where there were any to read.
    fn host_rows(&self, batch: &Batch, forward: &Forward) -> Result<PartRows, LearnerError> {
        let values = match &forward.rows_on_host {
            Some(values) => values.clone(),
            None => to_host(forward.representations.rows().inner())?,
        };
        Ok(PartRows {
            values,
            labels: batch.labels.repeat(forward.representations.modalities()),
        })
    }
}

/// Clusters as a batch's rows see them.
pub(crate) struct OnBatch {
    clusters: Clusters,
    assignment: Vec<usize>,
    fields: Vec<Vec<usize>>,
    /// The sentiment bin of each row.
    bins: Vec<usize>,
    /// The label of each segment.
    labels: Vec<f32>,
    seed: u64,
}

/// Reads a tensor to the host, row-major.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, LearnerError> {
    Ok(host::read("values", tensor).map_err(MetricError::from)?)
}
