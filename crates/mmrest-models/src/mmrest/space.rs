//! The clusters of MMRest, and the shared space as reports and explanations see it.

use std::sync::Arc;

use burn::tensor::Tensor;
use mmrest_data::Modality;
use mmrest_kernels::host;
use mmrest_metric::{
    Clusters, KernelRegression, MultiMetric, ReadySupport, Rows, Support, expected_sentiment,
};
use mmrest_pdlf::{Projection, cluster_distances, mean_over_modalities, projection_from_distances};
use serde::{Deserialize, Serialize};

use super::{Assign, ClusterScope, Forward, MmRest, ProjectionConfig};
use crate::all_gather::{PartRows, concatenate};
use crate::batch::Batch;
use crate::error::ModelError;
use crate::geometry::{BiasInfo, Geometry, HostMetrics, PlacedRow, Placement, Representations};
use crate::model::{Mode, NearCluster, Prediction, SentimentModel};
use crate::seed;

/// The clusters in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterState {
    /// None before the first epoch, and where neither L_MMC nor the bias is in use.
    pub clusters: Option<Clusters>,
    /// The training segments that a kernel's bias is made of, and the memory of its loss; none before the first epoch has
    /// ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<Support>,
    /// The weight of the bias that the validation split chose ([`MmRestConfig::gamma_choices`](super::MmRestConfig)); none:
    /// the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// The support, made ready for one model's weights ([`SentimentModel::ready`]); empty in training.
    #[serde(skip)]
    pub ready: ReadyKernel,
    /// What the steps of the epoch in progress have encoded, where a support is made of it (`projection.support`).
    #[serde(skip)]
    pub steps: StepRows,
}

/// The training segments as the steps of an epoch encoded them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepRows {
    /// How many segments the training split has, where no support tells it.
    segments: usize,
    batches: Vec<Arc<PartRows>>,
}

impl StepRows {
    /// Nothing yet of a training split of so many segments.
    pub(super) fn new(segments: usize) -> Self {
        Self {
            segments,
            batches: Vec::new(),
        }
    }

    pub(super) fn keep(&mut self, batch: Option<&Arc<PartRows>>) {
        self.batches.extend(batch.cloned());
    }

    /// Takes all rows of the split's `segments`, in its order; none where a segment is missing, as those of a skipped step
    /// are, or not finite.
    fn take(&mut self, segments: usize, modalities: usize, dim: usize) -> Option<PartRows> {
        let batches: Vec<PartRows> = std::mem::take(&mut self.batches)
            .into_iter()
            .map(Arc::unwrap_or_clone)
            .collect();
        let all = concatenate(&batches, modalities, dim);
        let mut order: Vec<usize> = (0..all.places.len()).collect();
        order.sort_by_key(|&at| all.places[at]);
        let places: Vec<usize> = order.iter().map(|&at| all.places[at]).collect();
        let complete = places.iter().copied().eq(0..segments);
        let finite = all.values.iter().all(|value| value.is_finite());
        (complete && finite && segments > 0).then(|| {
            let (mut values, mut labels) = (Vec::new(), Vec::new());
            for modality in 0..modalities {
                for row in order.iter().map(|at| modality * segments + at) {
                    values.extend_from_slice(&all.values[row * dim..(row + 1) * dim]);
                    labels.push(all.labels[row]);
                }
            }
            PartRows {
                values,
                labels,
                places,
            }
        })
    }
}

/// A support that is ready, or nothing. It says nothing that support and weights do not say, so any two are equal.
#[derive(Clone, Debug, Default)]
pub struct ReadyKernel(Option<Arc<ReadySupport>>);

impl ReadyKernel {
    pub(super) fn new(support: ReadySupport) -> Self {
        Self(Some(Arc::new(support)))
    }
}

impl PartialEq for ReadyKernel {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A model with its clusters.
pub(super) struct Space<'a> {
    pub(super) model: &'a MmRest,
    pub(super) state: &'a ClusterState,
}

impl Space<'_> {
    fn host_metrics(&self, which: Option<&[usize]>) -> Result<Option<HostMetrics>, ModelError> {
        let Some(metric) = &self.model.metric else {
            return Ok(None);
        };
        let all: Vec<usize> = (0..metric.len()).collect();
        let widened =
            |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
        let dim = metric.dim();
        let mut global = widened(host::read("global metric", metric.global.val())?);
        for place in 0..dim {
            global[place * (dim + 1)] += metric.ridge();
        }
        let own = metric.metrics(which.unwrap_or(&all));
        Ok(Some(HostMetrics {
            dim,
            global,
            own: widened(host::read("metrics", own)?),
        }))
    }

    /// What each row adds to its segment's bias, where the bias is a mean over rows: gamma r / modalities, `[rows]`.
    fn shares(&self, output: &Forward) -> Result<Option<Vec<f32>>, ModelError> {
        let config = &self.model.settings.config;
        let (Some(_), Some(projection), Some(clusters)) =
            (&output.bias, &output.projection, &self.state.clusters)
        else {
            return Ok(None);
        };
        let value = match config.projection {
            ProjectionConfig::Expectation {} | ProjectionConfig::Kernel { .. } => return Ok(None),
            ProjectionConfig::Length { signed: true } => projection.signed(&clusters.bins),
            ProjectionConfig::Length { signed: false } => projection.value.clone(),
        };
        let weight = self.model.gamma(self.state) / output.representations.modalities() as f64;
        let shares = host::read("shares of the bias", value.mul_scalar(weight))?;
        Ok(Some(shares))
    }
}

impl Geometry for Space<'_> {
    fn dim(&self) -> usize {
        self.model.settings.config.representation
    }

    fn clusters(&self) -> Option<&Clusters> {
        self.state.clusters.as_ref()
    }

    fn bias(&self) -> BiasInfo {
        let config = &self.model.settings.config;
        BiasInfo {
            on: config.bias
                && config.bias_at_evaluation
                && self.clusters().is_some()
                && (self.state.support.is_some() || !config.biased_by_kernel()),
            kind: match config.projection {
                ProjectionConfig::Length { .. } => "length",
                ProjectionConfig::Expectation {} => "expectation",
                ProjectionConfig::Kernel { .. } => "kernel",
            },
            gamma: self.model.gamma(self.state),
        }
    }

    fn classes(&self) -> &[i32] {
        &self.model.settings.classes
    }

    fn bin(&self, label: f32) -> usize {
        self.model.settings.bins.bin(label)
    }

    fn metrics(&self) -> Result<Option<HostMetrics>, ModelError> {
        self.host_metrics(self.clusters().map(|clusters| &clusters.metric[..]))
    }

    fn all_metrics(&self) -> Result<Option<HostMetrics>, ModelError> {
        self.host_metrics(None)
    }

    fn precisions(&self) -> Result<Option<Vec<f32>>, ModelError> {
        let by_kernel = self.bias().on && self.model.settings.config.biased_by_kernel();
        let kernel = self.model.kernel.as_ref().filter(|_| by_kernel);
        let read =
            |kernel: &KernelRegression| host::read("precisions", kernel.log_precisions.val().exp());
        Ok(kernel.map(read).transpose()?)
    }

    fn encode(&self, batch: &Batch) -> Representations {
        self.model.encode(batch)
    }

    fn decide(
        &self,
        representations: Representations,
        rows: &[usize],
    ) -> Result<Vec<Prediction>, ModelError> {
        let output = self
            .model
            .decide(representations, self.state, Mode::Evaluate)?;
        self.model.predictions(&output, self.state, rows)
    }

    fn place(&self, batch: &Batch) -> Result<Vec<Placement>, ModelError> {
        let output = self.model.forward(batch, self.state, Mode::Evaluate)?;
        let shares = self.shares(&output)?;
        let rows = placed_rows(&output, shares.as_deref(), batch.len());
        let predictions = self.model.predictions(&output, self.state, &batch.rows)?;
        let placements = predictions.into_iter().zip(rows);
        Ok(placements
            .map(|(prediction, rows)| Placement { prediction, rows })
            .collect())
    }
}

/// The rows of each segment of a batch.
fn placed_rows(output: &Forward, shares: Option<&[f32]>, batch: usize) -> Vec<Vec<PlacedRow>> {
    let (Some(projection), Some(values)) = (&output.projection, &output.rows_on_host) else {
        return vec![Vec::new(); batch];
    };
    let used = output.representations.by_modality();
    let count = projection.near.len().max(1);
    let (dim, clusters) = (values.len() / count, projection.distances.len() / count);
    let placed = |place: usize, modality: Modality, segment: usize| {
        let row = place * batch + segment;
        PlacedRow {
            modality,
            values: values[row * dim..(row + 1) * dim].to_vec(),
            distances: projection.distances[row * clusters..(row + 1) * clusters].to_vec(),
            near: projection.near[row],
            second: projection.second[row],
            bias: shares.map(|shares| shares[row]),
        }
    };
    let rows_of = |segment: usize| {
        let rows = used.iter().enumerate();
        rows.map(|(place, (modality, _))| placed(place, *modality, segment))
            .collect()
    };
    (0..batch).map(rows_of).collect()
}

/// The batches of a pass over the training split.
type Batches<'a> = dyn Iterator<Item = Result<Batch, ModelError>> + 'a;

impl MmRest {
    /// Whether the training set is clustered.
    pub(super) fn fits_clusters(&self) -> bool {
        let scope = self.settings.config.clusters.scope;
        self.metric.is_some() && scope == ClusterScope::Train
    }

    /// Clusters the training set, from the centres in force (docs/src/method.md, "a stable set").
    pub(super) fn fit_clusters(
        &self,
        state: &mut ClusterState,
        epoch: usize,
        train: &mut Batches<'_>,
    ) -> Result<(), ModelError> {
        let settings = &self.settings;
        let parts = self.encode_split(train)?;
        let values: Vec<f32> = parts
            .iter()
            .flat_map(|part| &part.values)
            .copied()
            .collect();
        let labels = parts.iter().flat_map(|part| &part.labels);
        let bins: Vec<usize> = labels.map(|&l| settings.bins.bin(l)).collect();
        let rows = Rows::new(&values, settings.config.representation)?;
        let (kmeans, field) = (&settings.kmeans, settings.field);
        let clusters = match &state.clusters {
            _ if settings.config.clusters.assign == Assign::Sentiment => {
                Clusters::by_bin(rows, &bins, settings.bins.len())
            }
            Some(before) => before.fit_from(rows, &bins, &settings.bins, kmeans, field)?,
            None => {
                let seed = seed::mix(settings.seed, &[seed::KMEANS, epoch as u64]);
                Clusters::fit(rows, &bins, &settings.bins, kmeans, field, seed)?
            }
        };
        state.clusters = Some(clusters);
        Ok(())
    }

    /// Whether predictions are biased by the training segments around.
    pub(super) fn predicts_by_support(&self) -> bool {
        let config = &self.settings.config;
        config.biased_by_kernel() && config.bias_at_evaluation
    }

    /// Makes the segments that a kernel's bias and memory are made of (docs/src/method.md, "the kernel form"), and their
    /// clusters, of what the epoch's steps have kept, or else of `train`.
    pub(super) fn fit_support(
        &self,
        state: &mut ClusterState,
        train: &mut Batches<'_>,
    ) -> Result<(), ModelError> {
        let settings = &self.settings;
        let dim = settings.config.representation;
        let modalities = self.kernel.as_ref().map_or(1, KernelRegression::modalities);
        let before = state.support.as_ref();
        let segments = before.map_or(state.steps.segments, Support::len);
        let PartRows {
            values, mut labels, ..
        } = match state.steps.take(segments, modalities, dim) {
            Some(kept) => kept,
            None => concatenate(&self.encode_split(train)?, modalities, dim),
        };
        let mut bins: Vec<usize> = labels.iter().map(|&l| settings.bins.bin(l)).collect();
        let rows = Rows::new(&values, dim)?;
        state.clusters = Some(Clusters::by_bin(rows, &bins, settings.bins.len()));
        let segments = labels.len() / modalities;
        labels.truncate(segments);
        bins.truncate(segments);
        state.support = Some(Support {
            dim,
            rows: values,
            labels,
            metric: bins,
        });
        state.ready = ReadyKernel::default();
        state.steps = StepRows::default();
        Ok(())
    }

    /// The rows of C of each batch of the training split, with the label of each row.
    fn encode_split(&self, batches: &mut Batches<'_>) -> Result<Vec<PartRows>, ModelError> {
        let encoded = batches.map(|batch| {
            let batch = batch?;
            let representations = self.encode(&batch);
            let values = host::read("representations", representations.rows())?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(ModelError::NonFinite(
                    "the training set cannot be clustered, for it has a representation that is not finite".into(),
                ));
            }
            let labels = batch.labels.repeat(representations.modalities());
            Ok(PartRows {
                values,
                labels,
                places: batch.rows,
            })
        });
        encoded.collect()
    }

    /// The bias of a batch before it is weighed: `[batch]`; none of a kernel without segments to compare with.
    pub(super) fn bias(
        &self,
        representations: &Representations,
        score: &Tensor<1>,
        (clusters, projection): (&Clusters, &Projection),
        state: &ClusterState,
        metric: &MultiMetric,
    ) -> Result<Option<Tensor<1>>, ModelError> {
        let settings = &self.settings;
        let modalities = representations.modalities();
        let expected = || {
            let temperature = settings.config.clusters.temperature;
            let rows = representations.rows();
            let shares = metric.log_memberships(rows, modalities, clusters, temperature);
            expected_sentiment(shares, &settings.sentiments_of(clusters))
        };
        Ok(Some(match settings.config.projection {
            ProjectionConfig::Expectation {} => expected() - score.clone(),
            ProjectionConfig::Kernel { centers, .. } => {
                let rows = representations.rows();
                let mut around = match (&state.ready, &self.kernel, &state.support) {
                    (ReadyKernel(Some(ready)), ..) => ready.predict(rows)?,
                    (_, Some(kernel), Some(support)) => kernel.predict(rows, support, metric)?,
                    _ => return Ok(None),
                };
                if centers > 0.0 {
                    around = around.mul_scalar(1.0 - centers) + expected().mul_scalar(centers);
                }
                around - score.clone()
            }
            ProjectionConfig::Length { signed: true } => {
                mean_over_modalities(projection.signed(&clusters.bins), modalities)
            }
            ProjectionConfig::Length { signed: false } => {
                mean_over_modalities(projection.value.clone(), modalities)
            }
        }))
    }
}

/// Places `rows`, `[rows, dim]`, among clusters; gives the rows on the host too, for one read has both.
pub(super) fn place_rows(
    rows: Tensor<2>,
    clusters: &Clusters,
    metric: &MultiMetric,
) -> Result<(Projection, Vec<f32>), ModelError> {
    let [count, dim] = rows.dims();
    let measured = cluster_distances(rows.clone(), clusters, metric)?;
    let both = Tensor::cat(vec![rows.clone().inner(), measured.inner()], 1);
    let both = host::read("representations", both)?;
    let mut values = Vec::with_capacity(count * dim);
    let mut distances = Vec::with_capacity(count * clusters.len());
    for row in both.chunks_exact(dim + clusters.len()) {
        let (row, measured) = row.split_at(dim);
        values.extend_from_slice(row);
        distances.extend_from_slice(measured);
    }
    let projection = projection_from_distances(rows, clusters, metric, distances)?;
    Ok((projection, values))
}

/// The two nearest clusters of each segment, by the mean distance of its modalities. `classes`: the class of each bin.
pub(super) fn near_clusters(
    output: &Forward,
    clusters: Option<&Clusters>,
    classes: &[i32],
    batch: usize,
) -> Vec<Vec<NearCluster>> {
    let Some((projection, clusters)) = output.projection.as_ref().zip(clusters) else {
        return vec![Vec::new(); batch];
    };
    let (count, modalities) = (clusters.len(), output.representations.modalities());
    let sentiment = |cluster: usize| classes.get(*clusters.bins.get(cluster)?).copied();
    let distance = |segment: usize, cluster: usize| {
        let rows = (0..modalities).map(|m| m * batch + segment);
        rows.map(|row| projection.distances[row * count + cluster])
            .sum::<f32>()
            / modalities as f32
    };
    (0..batch)
        .map(|segment| {
            let mut near: Vec<NearCluster> = (0..count)
                .map(|cluster| NearCluster {
                    cluster,
                    sentiment: sentiment(cluster).unwrap_or_default(),
                    distance: distance(segment, cluster),
                })
                .collect();
            near.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            near.truncate(2);
            near
        })
        .collect()
}

/// Rows `[rows, dim]` divided by their lengths; a row of zeros stays one.
pub(super) fn unit_length(rows: Tensor<2>) -> Tensor<2> {
    let lengths = rows.clone().square().sum_dim(1).clamp_min(1e-12).sqrt();
    rows / lengths
}
