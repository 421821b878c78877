//! The shared space of a model that has one: representations, clusters, learned metrics. A capability, for reports and
//! explanations; nothing in training asks for it.

use burn::tensor::Tensor;
use mmrest_data::Modality;
use mmrest_metric::Clusters;
use serde::Serialize;

use crate::batch::Batch;
use crate::error::ModelError;
use crate::model::Prediction;

/// A model with its state, seen as a space in which segments, clusters and metrics lie.
pub trait Geometry {
    /// Width of the shared space.
    fn dim(&self) -> usize;

    /// The clusters in force, where there are any.
    fn clusters(&self) -> Option<&Clusters>;

    /// How the bias is computed.
    fn bias(&self) -> BiasInfo;

    /// The sentiment class of each bin (`bins.labels`).
    fn classes(&self) -> &[i32];

    /// The sentiment bin of a label.
    fn bin(&self, label: f32) -> usize;

    /// The learned metrics of the clusters in force (without clusters: all local metrics), where there are any.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn metrics(&self) -> Result<Option<HostMetrics>, ModelError>;

    /// All learned metrics, by their own number and not by cluster, where there are any.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn all_metrics(&self) -> Result<Option<HostMetrics>, ModelError>;

    /// Where the bias is kernel regression over training segments: the precision of each modality in use, in their order, by
    /// which it sums squared distances under the metric of the training segment's own bin. None elsewhere.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn precisions(&self) -> Result<Option<Vec<f32>>, ModelError> {
        Ok(None)
    }

    /// The representations of a batch.
    fn encode(&self, batch: &Batch) -> Representations;

    /// Predicts from representations; `rows` are the places of the segments.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn decide(
        &self,
        representations: Representations,
        rows: &[usize],
    ) -> Result<Vec<Prediction>, ModelError>;

    /// Predicts a batch, with the position of each segment among the clusters.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    fn place(&self, batch: &Batch) -> Result<Vec<Placement>, ModelError>;
}

/// How a bias from geometry is computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BiasInfo {
    /// Whether it is added to the score.
    pub on: bool,
    /// Its form, as the configuration names it.
    pub kind: &'static str,
    /// Its weight.
    pub gamma: f64,
}

/// The outputs of the encoders.
#[derive(Clone, Debug)]
pub struct Representations {
    /// What stands for each text (`text.pooling`; by default the first token's last state), `[batch, text width]`, when
    /// text is in use.
    pub first_token: Option<Tensor<2>>,
    /// Text in the shared space, `[batch, representation]`.
    pub text: Option<Tensor<2>>,
    /// Vision in the shared space.
    pub vision: Option<Tensor<2>>,
    /// Audio in the shared space.
    pub audio: Option<Tensor<2>>,
}

impl Representations {
    /// The rows of C: all text rows, then vision, then audio: `[modalities * batch, representation]`.
    pub fn rows(&self) -> Tensor<2> {
        let present: Vec<Tensor<2>> = [&self.text, &self.vision, &self.audio]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        Tensor::cat(present, 0)
    }

    /// The modalities in use, in the order of the rows of C, with their rows.
    pub fn by_modality(&self) -> Vec<(Modality, Tensor<2>)> {
        let all = [
            (Modality::Text, &self.text),
            (Modality::Vision, &self.vision),
            (Modality::Audio, &self.audio),
        ];
        all.into_iter()
            .filter_map(|(modality, rows)| Some((modality, rows.clone()?)))
            .collect()
    }

    /// How many modalities are present.
    pub fn modalities(&self) -> usize {
        [&self.text, &self.vision, &self.audio]
            .into_iter()
            .flatten()
            .count()
    }

    /// These representations where `keep` says so; elsewhere `absent`, which is of one segment without any modality.
    #[must_use]
    pub fn mixed(&self, absent: &Self, segments: usize, keep: impl Fn(Modality) -> bool) -> Self {
        let choose = |modality, own: &Option<Tensor<2>>, absent: &Option<Tensor<2>>| {
            if keep(modality) {
                own.clone()
            } else {
                absent.clone().map(|row| row.repeat_dim(0, segments))
            }
        };
        Self {
            first_token: choose(Modality::Text, &self.first_token, &absent.first_token),
            text: choose(Modality::Text, &self.text, &absent.text),
            vision: choose(Modality::Vision, &self.vision, &absent.vision),
            audio: choose(Modality::Audio, &self.audio, &absent.audio),
        }
    }
}

/// The metrics of a model on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostMetrics {
    /// Width of the shared space.
    pub dim: usize,
    /// `M0 + beta I`: `[dim, dim]`.
    pub global: Vec<f64>,
    /// `M_i` of each cluster, or of each local metric: `[.., dim, dim]`.
    pub own: Vec<f64>,
}

/// A segment's prediction, and its rows in the shared space.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The prediction and its parts.
    pub prediction: Prediction,
    /// One row per modality in use, in the order text, vision, audio; none where there are no clusters.
    pub rows: Vec<PlacedRow>,
}

/// One modality of a segment among the clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedRow {
    /// Which modality.
    pub modality: Modality,
    /// The row in the shared space: `[representation]`.
    pub values: Vec<f32>,
    /// Squared Mahalanobis distance to each cluster's centre under the cluster's own metric: `[clusters]`.
    pub distances: Vec<f32>,
    /// The nearest cluster.
    pub near: usize,
    /// The second-nearest cluster; `near` where there is no other.
    pub second: usize,
    /// The row's share of the segment's bias, which the shares add up to; none where the bias is off, or is not a mean over
    /// rows (`projection.kind = "expectation"`).
    pub bias: Option<f32>,
}

/// The clusters of a model and the geometry between them.
#[derive(Clone, Debug)]
pub struct SharedSpace {
    /// Centres, bins, metrics.
    pub clusters: Clusters,
    /// The sentiment class of each cluster (`bins.labels`).
    pub sentiments: Vec<i32>,
    /// The global metric with the ridge, `M0 + beta I`: `[dim, dim]`, symmetric.
    pub global: Vec<f64>,
}
