//! The objective L = L1(y, label) + eta L_MMC of a batch, and the clusters it works on.

use burn::tensor::Tensor;
use burn::tensor::TensorData;
use mmrest_metric::{Clusters, MetricError, MmcLoss, Rows, assign, receptive_fields};

use crate::batch::Batch;
use crate::clustering;
use crate::config::{ClusterBy, ClusterScope, LossForm, TaskOn};
use crate::error::LearnerError;
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

/// A batch's rows in the shared space, read to the host once.
struct HostRows {
    values: Vec<f32>,
    dim: usize,
    bins: Vec<usize>,
}

impl MmRest {
    /// The objective of a batch. Clusters move on: to this batch's own (scope `batch`), or towards its rows (scope `train`).
    ///
    /// # Errors
    ///
    /// Rows that are not finite, which k-means refuses.
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
        let Some(on) = self.move_clusters_from(batch, forward)? else {
            return Ok(Objective {
                total: task.clone(),
                task,
                mmc: None,
            });
        };
        let mmc = self.mmc_loss(batch, forward, &on)?;
        let total = match &mmc {
            Some(mmc) => {
                task.clone()
                    + mmc
                        .total
                        .clone()
                        .mul_scalar(self.context.settings().mmc_weight)
            }
            None => task.clone(),
        };
        Ok(Objective { total, task, mmc })
    }

    /// Reads the rows, finds the clusters that L_MMC is about, and leaves in the context those that the next step's bias is about.
    fn move_clusters_from(
        &self,
        batch: &Batch,
        forward: &Forward,
    ) -> Result<Option<OnBatch>, LearnerError> {
        if self.metric.is_none() {
            return Ok(None);
        }
        let settings = self.context.settings();
        let host = host_rows(batch, forward, settings)?;
        let rows = Rows::new(&host.values, host.dim)?;
        let mut state = self.context.state();
        let clusters = match (settings.scope, settings.by, &state.clusters) {
            (ClusterScope::Train, _, Some(clusters)) => clusters.clone(),
            (_, ClusterBy::Sentiment, _) => {
                clustering::by_sentiment(rows, &host.bins, settings.bins.len())
            }
            _ => {
                let path = [seed::KMEANS, state.epoch as u64, state.step as u64];
                let seed = seed::mix(settings.seed, &path);
                clustering::fresh(
                    rows,
                    &host.bins,
                    &settings.bins,
                    &settings.kmeans,
                    settings.field,
                    seed,
                )?
            }
        };
        let assignment = match settings.by {
            ClusterBy::Kmeans => assign(rows, &clusters.centers),
            ClusterBy::Sentiment => clustering::assign_by_sentiment(&clusters, rows, &host.bins),
        };
        let fields = receptive_fields(rows, &clusters.centers, &assignment, settings.field);
        let mut next = clusters.clone();
        if settings.scope == ClusterScope::Train {
            clustering::follow(&mut next, rows, &assignment, settings.momentum);
        }
        state.clusters = Some(next);
        let path = [seed::PAIRS, state.epoch as u64, state.step as u64];
        Ok(Some(OnBatch {
            clusters,
            assignment,
            fields,
            bins: host.bins,
            seed: seed::mix(settings.seed, &path),
        }))
    }

    fn mmc_loss(
        &self,
        batch: &Batch,
        forward: &Forward,
        on: &OnBatch,
    ) -> Result<Option<MmcLoss>, MetricError> {
        let settings = self.context.settings();
        let Some(metric) = self.metric.as_ref().filter(|_| settings.mmc) else {
            return Ok(None);
        };
        let rows = forward.representations.rows();
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
                &batch.labels,
                &settings.sentiments_of(&on.clusters),
                &on.clusters,
                metric,
            ),
        };
        loss.map(Some)
    }
}

/// Clusters as a batch's rows see them.
struct OnBatch {
    clusters: Clusters,
    assignment: Vec<usize>,
    fields: Vec<Vec<usize>>,
    bins: Vec<usize>,
    seed: u64,
}

fn host_rows(
    batch: &Batch,
    forward: &Forward,
    settings: &crate::state::Settings,
) -> Result<HostRows, LearnerError> {
    let rows = forward.representations.rows().detach();
    let [_, dim] = rows.dims();
    let values = to_host(rows)?;
    let bins = batch.labels.iter().map(|&label| settings.bins.bin(label));
    let bins: Vec<usize> = bins.collect();
    Ok(HostRows {
        values,
        dim,
        bins: bins.repeat(forward.representations.modalities()),
    })
}

/// Reads a tensor to the host, row-major.
pub(crate) fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, LearnerError> {
    tensor
        .into_data()
        .convert::<f32>()
        .try_to_vec()
        .map_err(|e| LearnerError::Device(format!("cannot read a tensor from the device: {e:?}")))
}
