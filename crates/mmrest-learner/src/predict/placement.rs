//! Where segments lie in the shared space: the rows and distances that their bias comes from.

use mmrest_data::{Modality, Segment};
use mmrest_kernels::host;
use mmrest_metric::{Clusters, MetricError};

use super::Predictor;
use crate::batch::Batch;
use crate::config::ProjectionKind;
use crate::error::LearnerError;
use crate::evaluate::Prediction;
use crate::model::{Forward, MmRest};
use crate::space::HostMetrics;

/// A segment's prediction, and its rows in the shared space.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The prediction and its parts.
    pub prediction: Prediction,
    /// One row a modality in use, in the order text, vision, audio; none where there are no clusters.
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

impl Predictor {
    /// The clusters of the model, where it has any.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn shared_space(&self) -> Result<Option<SharedSpace>, LearnerError> {
        let context = &self.model.context;
        let Some(clusters) = context.clusters() else {
            return Ok(None);
        };
        let Some(metrics) = HostMetrics::read(&self.model, Some(&clusters))? else {
            return Ok(None);
        };
        let labels = &context.settings().labels;
        let sentiment = |&bin: &usize| labels.get(bin).copied().unwrap_or_default();
        Ok(Some(SharedSpace {
            sentiments: clusters.bins.iter().map(sentiment).collect(),
            clusters,
            global: metrics.global,
        }))
    }

    /// Scores segments as [`Predictor::predict`] does, all as one batch, and tells where their rows lie.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict`].
    pub fn place(&self, segments: &[Segment]) -> Result<Vec<Placement>, LearnerError> {
        let rows: Vec<usize> = (0..segments.len()).collect();
        match rows.is_empty() {
            true => Ok(Vec::new()),
            false => self.model.place_batch(&self.batch(segments, &rows)),
        }
    }
}

impl MmRest {
    /// Predicts one batch, and tells where its rows lie.
    fn place_batch(&self, batch: &Batch) -> Result<Vec<Placement>, LearnerError> {
        let geometry = self.context.evaluation_geometry();
        let forward = self.forward(batch, geometry.as_ref())?;
        let shares = match geometry.as_ref() {
            Some(geometry) if geometry.bias => self.shares(&forward, &geometry.clusters)?,
            _ => None,
        };
        let clusters = geometry.map(|geometry| geometry.clusters);
        let rows = placed_rows(&forward, shares.as_deref(), batch.len());
        let predictions = self.predictions(forward, clusters.as_ref(), &batch.rows)?;
        let placements = predictions.into_iter().zip(rows);
        Ok(placements
            .map(|(prediction, rows)| Placement { prediction, rows })
            .collect())
    }

    /// What each row adds to its segment's bias, where the bias is a mean over rows: gamma r / modalities, `[rows]`.
    fn shares(
        &self,
        forward: &Forward,
        clusters: &Clusters,
    ) -> Result<Option<Vec<f32>>, LearnerError> {
        let settings = self.context.settings();
        let Some(projection) = &forward.projection else {
            return Ok(None);
        };
        let value = match settings.projection {
            ProjectionKind::Expectation => return Ok(None),
            ProjectionKind::Length if settings.signed => projection.signed(&clusters.bins),
            ProjectionKind::Length => projection.value.clone(),
        };
        let weight = settings.gamma / forward.representations.modalities() as f64;
        let shares = host::read("shares of the bias", value.mul_scalar(weight));
        Ok(Some(shares.map_err(MetricError::from)?))
    }
}

/// The rows of each segment of a batch.
fn placed_rows(forward: &Forward, shares: Option<&[f32]>, batch: usize) -> Vec<Vec<PlacedRow>> {
    let (Some(projection), Some(values)) = (&forward.projection, &forward.rows_on_host) else {
        return vec![Vec::new(); batch];
    };
    let named = forward.representations.named();
    let used: Vec<Modality> = named.into_iter().map(|(modality, _)| modality).collect();
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
        rows.map(|(place, &modality)| placed(place, modality, segment))
            .collect()
    };
    (0..batch).map(rows_of).collect()
}
