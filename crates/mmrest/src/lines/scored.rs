//! A line out: one score.

use mmrest_data::Modality;
use mmrest_learner::{Contributions, Explanation, NearCluster, Neighbour, Prediction};
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
    /// The modalities that the model uses and the segment lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a [Modality]>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explained<'a>>,
}

/// Why a score is what it is.
#[derive(Debug, Serialize)]
struct Explained<'a> {
    /// The prediction of a segment without any modality.
    base: f32,
    /// What each modality adds to it.
    contributions: &'a Contributions,
    /// The nearest training segments.
    neighbours: &'a [Neighbour],
}

impl<'a> Scored<'a> {
    pub(crate) fn new(id: &'a str, prediction: &'a Prediction) -> Self {
        Self {
            id,
            prediction: prediction.prediction,
            score: prediction.score,
            bias: prediction.bias,
            clusters: &prediction.near,
            missing: None,
            explanation: None,
        }
    }

    /// With the explained prediction's reasons.
    pub(crate) fn explained(id: &'a str, explanation: &'a Explanation) -> Self {
        Self {
            explanation: Some(Explained {
                base: explanation.base,
                contributions: &explanation.contributions,
                neighbours: &explanation.neighbours,
            }),
            ..Self::new(id, &explanation.prediction)
        }
    }

    /// Says which modalities were missing, of those that the model uses.
    pub(crate) fn missing(self, missing: &'a [Modality]) -> Self {
        Self {
            missing: Some(missing),
            ..self
        }
    }
}
