//! Predictions of a trained model, with their parts.

use burn::tensor::Tensor;
use mmrest_kernels::host;
use mmrest_metric::{Clusters, MetricError};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::LearnerError;
use crate::figures::{FigureSet, Figures};
use crate::loader::SegmentLoader;
use crate::model::{Forward, MmRest, Representations};

/// A cluster as a segment sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearCluster {
    /// The cluster's number, from 0.
    pub cluster: usize,
    /// Its sentiment: the class of its bin (`bins.labels`), by default from -3 (most negative) to 3.
    pub sentiment: i32,
    /// Squared Mahalanobis distance under the cluster's own metric, mean over the segment's modalities.
    pub distance: f32,
}

/// A predicted sentiment and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Place of the segment in its split.
    pub row: usize,
    /// y = y' + gamma bias.
    pub prediction: f32,
    /// y'.
    pub score: f32,
    /// gamma bias; 0 where the bias is off.
    pub bias: f32,
    /// The nearest clusters, at most two; none where neither L_MMC nor the bias is in use.
    pub near: Vec<NearCluster>,
}

impl MmRest {
    /// Predicts one batch. `self` should be on a device without autodiff (`model.valid()`), so that dropout is off.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn predict_batch(&self, batch: &Batch) -> Result<Vec<Prediction>, LearnerError> {
        let geometry = self.context.evaluation_geometry();
        let forward = self.forward(batch, geometry.as_ref())?;
        let clusters = geometry.map(|geometry| geometry.clusters);
        self.predictions(forward, clusters.as_ref(), &batch.rows)
    }

    /// What a forward pass says of each segment, read from the device; `rows` are the segments' places.
    pub(crate) fn predictions(
        &self,
        forward: Forward,
        clusters: Option<&Clusters>,
        rows: &[usize],
    ) -> Result<Vec<Prediction>, LearnerError> {
        let near = near_clusters(
            &forward,
            clusters,
            &self.context.settings().labels,
            rows.len(),
        );
        let biased = forward.bias.is_some();
        let columns = [Some(forward.score), Some(forward.prediction), forward.bias];
        let columns = columns.into_iter().flatten().collect();
        let values =
            host::read("predictions", Tensor::cat(columns, 0)).map_err(MetricError::from)?;
        let at = |column: usize, row: usize| values[column * rows.len() + row];
        Ok((0..rows.len())
            .zip(near)
            .map(|(i, near)| Prediction {
                row: rows[i],
                prediction: at(1, i),
                score: at(0, i),
                bias: if biased { at(2, i) } else { 0.0 },
                near,
            })
            .collect())
    }

    /// Predicts from the shared space; `rows` are the segments' places.
    pub(crate) fn judge(
        &self,
        representations: Representations,
        rows: &[usize],
    ) -> Result<Vec<Prediction>, LearnerError> {
        let geometry = self.context.evaluation_geometry();
        let forward = self.decide(representations, geometry.as_ref())?;
        let clusters = geometry.map(|geometry| geometry.clusters);
        self.predictions(forward, clusters.as_ref(), rows)
    }

    /// Predicts a whole split, in its own order.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn predict(&self, loader: &SegmentLoader) -> Result<Vec<Prediction>, LearnerError> {
        let mut predictions = Vec::new();
        for batch in loader.pass() {
            let batch = batch?;
            predictions.extend(self.predict_batch(&batch)?);
        }
        predictions.sort_by_key(|p| p.row);
        Ok(predictions)
    }
}

/// A set's figures of predictions against the labels of their split.
pub fn figures(set: FigureSet, predictions: &[Prediction], labels: &[f32]) -> Figures {
    let values: Vec<f32> = predictions.iter().map(|p| p.prediction).collect();
    let truth: Vec<f32> = predictions.iter().map(|p| labels[p.row]).collect();
    Figures::of(set, &values, &truth)
}

/// The two nearest clusters of each segment, by the mean distance of its modalities. `labels`: the class of each bin.
fn near_clusters(
    forward: &Forward,
    clusters: Option<&Clusters>,
    labels: &[i32],
    batch: usize,
) -> Vec<Vec<NearCluster>> {
    let Some((projection, clusters)) = forward.projection.as_ref().zip(clusters) else {
        return vec![Vec::new(); batch];
    };
    let (count, modalities) = (clusters.len(), forward.representations.modalities());
    let sentiment = |cluster: usize| labels.get(*clusters.bins.get(cluster)?).copied();
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
