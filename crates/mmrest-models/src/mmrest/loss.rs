//! L_MMC of a batch, and the clusters that it is about.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use mmrest_kernels::host;
use mmrest_metric::{
    Clusters, KernelRegression, MetricError, MmcLoss, MultiMetric, OrdinalLossConfig, Rows,
    Support, assign, receptive_fields,
};

use super::{
    Assign, ClusterScope, ClusterState, Forward, KernelLossConfig, LossConfig, MmRest,
    OrdinalConfig, Target,
};
use crate::all_gather::{PartRows, concatenate};
use crate::batch::Batch;
use crate::error::ModelError;
use crate::model::{Loss, Mode, SentimentModel};
use crate::seed;

/// A batch's rows, and clusters as they see them.
#[derive(Default)]
struct BatchClusters {
    /// None of them, nor an assignment, where a step has no use for clusters.
    clusters: Clusters,
    assignment: Vec<usize>,
    /// The receptive fields, for the hinges alone.
    fields: Vec<Vec<usize>>,
    /// The sentiment bin of each row.
    bins: Vec<usize>,
    /// The label of each segment.
    labels: Vec<f32>,
    /// Training segments beside the batch's, as they were last encoded.
    memory: Option<Support>,
    /// Seed of the pair sampling.
    seed: u64,
    /// The clusters after this batch, where a step has any use for them.
    next: Option<Clusters>,
}

/// The rows of a whole batch that several devices computed, and its clusters.
struct Gathered {
    rows: Arc<PartRows>,
    on: BatchClusters,
}

impl MmRest {
    /// The loss of a batch, and its parts: of the task, of L_MMC, and all of L_MMC.
    pub(super) fn loss_of(
        &self,
        batch: &Batch,
        output: &mut Forward,
        state: &ClusterState,
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        let device = output.prediction.device();
        let labels = TensorData::new(batch.labels.clone(), [batch.len()]);
        let labels = Tensor::from_data(labels, &device);
        let compared = match self.settings.config.target {
            Target::Prediction => output.prediction.clone(),
            Target::Score => output.score.clone(),
        };
        let task = (compared - labels).abs().mean();
        let task = match &batch.part {
            Some(part) => task.mul_scalar(batch.len() as f64 / part.segments() as f64),
            None => task,
        };
        let mmc = match &self.metric {
            Some(metric) => self.mmc(batch, output, state, metric, mode)?,
            None => None,
        };
        let total = match &mmc {
            Some(mmc) => {
                let weight = self.settings.config.mmc_weight;
                task.clone() + mmc.total.clone().mul_scalar(weight)
            }
            None => task.clone(),
        };
        let mut parts = match mmc {
            Some(mmc) => [task, mmc.intra, mmc.inter, mmc.frobenius, mmc.total]
                .map(Some)
                .to_vec(),
            None => vec![Some(task), None, None, None, None],
        };
        if let LossConfig::Kernel(weights) = &self.settings.config.loss {
            let used = [weights.ordinal_weight, weights.anchor_weight];
            for (part, weight) in parts[2..4].iter_mut().zip(used) {
                part.take_if(|_| weight == 0.0);
            }
        }
        Ok(Loss { total, parts })
    }

    /// Whether a training step has any use for clusters: for L_MMC, or because evaluation goes by those that the last step
    /// leaves. Otherwise the epoch's end makes them anew, and nothing before it looks at them.
    pub(super) fn steps_use_clusters(&self) -> bool {
        let config = &self.settings.config;
        let by_segments = match &config.loss {
            LossConfig::Kernel(weights) => !weights.by_clusters(),
            LossConfig::Hinge(_) | LossConfig::Ordinal(_) => false,
        };
        self.epoch_end_stage().is_none() || (config.mmc && !by_segments)
    }

    /// L_MMC, where it is in use; the clusters move on in any case.
    pub(super) fn mmc(
        &self,
        batch: &Batch,
        output: &mut Forward,
        state: &ClusterState,
        metric: &MultiMetric,
        mode: Mode,
    ) -> Result<Option<MmcLoss>, ModelError> {
        let rows = output.representations.rows();
        let modalities = output.representations.modalities();
        let keeps = self.settings.config.keeps_steps() && matches!(mode, Mode::Train(_));
        let own = PartRows {
            values: match &output.rows_on_host {
                Some(values) => values.clone(),
                // Several devices exchange their rows in any case.
                None if batch.part.is_none() && !keeps && !self.steps_use_clusters() => Vec::new(),
                None => host::read("representations", rows.clone().inner())?,
            },
            labels: batch.labels.repeat(modalities),
            places: batch.rows.clone(),
        };
        let Some(part) = &batch.part else {
            let on = self.cluster_batch(&own, state, modalities, mode)?;
            let loss = self.mmc_loss(rows, &on, metric, self.kernel.as_ref())?;
            output.next = on.next;
            output.kept = keeps.then(|| Arc::new(own));
            return Ok(loss);
        };
        let [_, dim] = rows.dims();
        let gathered = part.all_gather(own, |parts| {
            let all = concatenate(parts, modalities, dim);
            let on = self.cluster_batch(&all, state, modalities, mode)?;
            let rows = Arc::new(all);
            Ok(Gathered { rows, on })
        })?;
        output.next.clone_from(&gathered.on.next);
        output.kept = keeps.then(|| Arc::clone(&gathered.rows));
        let all = part.among(rows, &gathered.rows.values, modalities);
        match part.index() {
            0 => self.mmc_loss(all, &gathered.on, metric, self.kernel.as_ref()),
            // The metrics' own gradient is the whole batch's on every device: it is taken once.
            _ => {
                let kernel = self.kernel.clone().map(Module::no_grad);
                let metric = metric.clone().no_grad();
                self.mmc_loss(all, &gathered.on, &metric, kernel.as_ref())
            }
        }
    }

    /// The clusters that L_MMC of this batch is about, and those that the next step's bias is about: the batch's own
    /// (scope `batch`), or those in force moved towards its rows (scope `train`).
    fn cluster_batch(
        &self,
        all: &PartRows,
        state: &ClusterState,
        modalities: usize,
        mode: Mode,
    ) -> Result<BatchClusters, ModelError> {
        let settings = &self.settings;
        let config = &settings.config.clusters;
        let (epoch, step) = match mode {
            Mode::Train(at) => (at.epoch as u64, at.step as u64),
            Mode::Evaluate => (0, 0),
        };
        let labels = &all.labels;
        let bins: Vec<usize> = labels.iter().map(|&l| settings.bins.bin(l)).collect();
        let on = BatchClusters {
            labels: labels[..labels.len() / modalities.max(1)].to_vec(),
            seed: seed::mix(settings.seed, &[seed::PAIRS, epoch, step]),
            memory: self.memory(state, mode, &all.places),
            ..BatchClusters::default()
        };
        if !self.steps_use_clusters() {
            return Ok(BatchClusters { bins, ..on });
        }
        let dim = all.values.len() / labels.len().max(1);
        let rows = Rows::new(&all.values, dim)?;
        let clusters = match (config.scope, config.assign, &state.clusters) {
            (ClusterScope::Train, _, Some(clusters)) => clusters.clone(),
            (_, Assign::Sentiment, _) => Clusters::by_bin(rows, &bins, settings.bins.len()),
            _ => {
                let seed = seed::mix(settings.seed, &[seed::KMEANS, epoch, step]);
                let (kmeans, field) = (&settings.kmeans, settings.field);
                Clusters::fit(rows, &bins, &settings.bins, kmeans, field, seed)?
            }
        };
        let assignment = match config.assign {
            Assign::Kmeans => assign(rows, &clusters.centers),
            Assign::Sentiment => clusters.assign_by_bin(rows, &bins),
        };
        let hinges = settings.config.mmc && matches!(settings.config.loss, LossConfig::Hinge(_));
        let fields = if hinges {
            receptive_fields(rows, &clusters.centers, &assignment, settings.field)
        } else {
            Vec::new()
        };
        let mut next = clusters.clone();
        if config.scope == ClusterScope::Train {
            next.ema_update(rows, &assignment, config.momentum);
        }
        Ok(BatchClusters {
            clusters,
            assignment,
            fields,
            bins,
            next: Some(next),
            ..on
        })
    }

    /// What a batch is compared with beside itself (`loss.memory`): the training segments that it does not have, as the
    /// epoch before left them.
    fn memory(&self, state: &ClusterState, mode: Mode, places: &[usize]) -> Option<Support> {
        let remembers = self.settings.config.remembers() && matches!(mode, Mode::Train(_));
        let support = state.support.as_ref().filter(|_| remembers)?;
        Some(support.without(places)).filter(|memory| !memory.is_empty())
    }

    fn mmc_loss(
        &self,
        rows: Tensor<2>,
        on: &BatchClusters,
        metric: &MultiMetric,
        kernel: Option<&KernelRegression>,
    ) -> Result<Option<MmcLoss>, ModelError> {
        let settings = &self.settings;
        if !settings.config.mmc {
            return Ok(None);
        }
        let ordinal = |rows: Tensor<2>, smoothing, anchor_weight| {
            let loss = OrdinalLossConfig {
                temperature: settings.config.clusters.temperature,
                smoothing,
                anchor_weight,
            };
            let sentiments = settings.sentiments_of(&on.clusters);
            loss.forward(rows, &on.labels, &sentiments, &on.clusters, metric)
        };
        let loss = match &settings.config.loss {
            LossConfig::Hinge(loss) => loss.forward(
                rows,
                &on.bins,
                &on.assignment,
                &on.fields,
                &on.clusters,
                metric,
                on.seed,
            ),
            LossConfig::Ordinal(OrdinalConfig {
                smoothing,
                anchor_weight,
            }) => ordinal(rows, *smoothing, *anchor_weight),
            LossConfig::Kernel(config) => {
                let loss = if config.by_clusters() {
                    ordinal(rows.clone(), config.smoothing, config.anchor_weight)?
                } else {
                    let nothing = Tensor::zeros([1], &rows.device());
                    MmcLoss {
                        total: nothing.clone(),
                        intra: nothing.clone(),
                        inter: nothing.clone(),
                        frobenius: nothing,
                    }
                };
                self.kernel_loss(rows, on, metric, kernel, config, loss)
            }
        }?;
        Ok(Some(loss))
    }

    /// The kernel L_MMC: the mean error of each segment's sentiment as the batch's others give it, and `ordinal`.
    fn kernel_loss(
        &self,
        rows: Tensor<2>,
        on: &BatchClusters,
        metric: &MultiMetric,
        kernel: Option<&KernelRegression>,
        config: &KernelLossConfig,
        ordinal: MmcLoss,
    ) -> Result<MmcLoss, MetricError> {
        let labels = &on.labels;
        // A segment alone in its batch, without a memory, has nothing to be compared with.
        let compared = labels.len() + on.memory.as_ref().map_or(0, Support::len);
        let intra = match kernel.filter(|_| compared > 1) {
            Some(kernel) => {
                let which = &on.bins[..labels.len()];
                let truth = TensorData::new(labels.clone(), [labels.len()]);
                let truth = Tensor::<1>::from_data(truth, &rows.device());
                let memory = on.memory.as_ref();
                let given = kernel.leave_one_out(rows, labels, which, memory, metric)?;
                (given - truth).abs().mean()
            }
            None => ordinal.intra,
        };
        let total = intra.clone()
            + ordinal.inter.clone().mul_scalar(config.ordinal_weight)
            + ordinal.frobenius.clone().mul_scalar(config.anchor_weight);
        Ok(MmcLoss {
            total,
            intra,
            ..ordinal
        })
    }
}
