//! A line out: one score.

use mmrest_learner::{NearCluster, Prediction};
use serde::Serialize;

/// One score.
#[derive(Debug, Serialize)]
pub(crate) struct Scored<'a> {
    id: &'a str,
    /// y = y' + gamma bias.
    prediction: f32,
    /// y'.
    score: f32,
    /// gamma bias.
    bias: f32,
    /// The two nearest clusters.
    clusters: &'a [NearCluster],
}

impl<'a> Scored<'a> {
    pub(crate) fn new(id: &'a str, prediction: &'a Prediction) -> Self {
        Self {
            id,
            prediction: prediction.prediction,
            score: prediction.score,
            bias: prediction.bias,
            clusters: &prediction.near,
        }
    }
}
