//! What the method did in a run: whether its parts had any effect.

use mmrest_models::HostMetrics;
use serde::{Deserialize, Serialize};

use super::finish::EvaluatedSplit;
use crate::error::LearnerError;
use crate::figures::Figures;
use crate::train::EpochRow;
use crate::trained::TrainedModel;

/// What the method did: a run whose loss was never active, whose metrics stayed Euclidean or whose bias changes nothing is
/// a run of the network alone, whatever its configuration says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodReport {
    /// Of each part of the loss in use, the share of training steps in which it was not 0.
    pub active: Vec<Active>,
    /// How far the learned metrics moved, where the model has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_moved: Option<MetricsMoved>,
    /// The weight of the bias, where the model adds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Figures on the validation split without the bias, where the model adds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_without_bias: Option<Figures>,
}

/// How often a part of the loss was active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Active {
    /// The part's name.
    pub part: String,
    /// The share of training steps, 0 to 1.
    pub share: f64,
}

/// How far learned metrics are from Euclidean distance: `|M - c I| / |M|` (Frobenius norms), c the mean of M's diagonal. 0
/// for a multiple of the identity, which orders distances as Euclid does; below 1 for any other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsMoved {
    /// The global metric.
    pub global: f64,
    /// Mean over the metrics of the clusters.
    pub local: f64,
}

impl MethodReport {
    /// The report of a run's epochs and of its selected model with its predictions of the validation split.
    pub(super) fn of(
        epochs: &[EpochRow],
        model: &dyn TrainedModel,
        valid: &EvaluatedSplit,
    ) -> Result<Self, LearnerError> {
        let mut active: Vec<Active> = Vec::new();
        for (part, share) in epochs.iter().flat_map(|epoch| &epoch.active) {
            let share = share / epochs.len() as f64;
            match active.iter_mut().find(|known| known.part == *part) {
                Some(known) => known.share += share,
                None => active.push(Active {
                    part: part.clone(),
                    share,
                }),
            }
        }
        let space = model.geometry();
        let metrics = match &space {
            Some(space) => space.all_metrics()?,
            None => None,
        };
        let bias = space.map(|space| space.bias()).filter(|bias| bias.on);
        let scores = valid.predictions.iter();
        let scores: Vec<f32> = scores.map(|prediction| prediction.score).collect();
        let labels = valid.predictions.iter();
        let labels: Vec<f32> = labels
            .map(|prediction| valid.labels[prediction.row])
            .collect();
        Ok(Self {
            active,
            metrics_moved: metrics.as_ref().map(MetricsMoved::of),
            gamma: bias.as_ref().map(|bias| bias.gamma),
            valid_without_bias: bias.map(|_| Figures::of(valid.figures.set(), &scores, &labels)),
        })
    }

    /// A warning where a part of the loss that is in use was 0 in every step.
    pub fn warning(&self) -> Option<String> {
        let idle = self.active.iter().filter(|part| part.share == 0.0);
        let idle: Vec<&str> = idle.map(|part| part.part.as_str()).collect();
        let (these, were) = match idle.len() {
            0 => return None,
            1 => ("part", "was"),
            _ => ("parts", "were"),
        };
        Some(format!(
            "the {these} {} of the loss {were} 0 in every step: nothing was learned from {}",
            idle.join(", "),
            if idle.len() == 1 { "it" } else { "them" }
        ))
    }
}

impl MetricsMoved {
    fn of(metrics: &HostMetrics) -> Self {
        let size = metrics.dim * metrics.dim;
        let own = metrics.own.chunks_exact(size);
        let count = own.len().max(1) as f64;
        Self {
            global: from_identity(&metrics.global, metrics.dim),
            local: own.map(|own| from_identity(own, metrics.dim)).sum::<f64>() / count,
        }
    }
}

/// `|M - c I| / |M|` of a metric `[dim, dim]`, c the mean of its diagonal; 0 for a metric of zeros.
fn from_identity(metric: &[f64], dim: usize) -> f64 {
    let squares: f64 = metric.iter().map(|value| value * value).sum();
    let trace: f64 = metric.iter().step_by(dim + 1).sum();
    if squares > 0.0 {
        // |M - c I|^2 = |M|^2 - 2 c tr M + c^2 dim = |M|^2 - tr(M)^2 / dim.
        ((squares - trace * trace / dim as f64).max(0.0) / squares).sqrt()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_of_the_identity_has_not_moved() {
        assert_eq!(from_identity(&[2.0, 0.0, 0.0, 2.0], 2), 0.0);
        // M - I of norm sqrt(2), M of norm 2.
        let moved = from_identity(&[2.0, 0.0, 0.0, 0.0], 2);
        assert!((moved - 0.5_f64.sqrt()).abs() < 1e-12, "{moved}");
        assert_eq!(from_identity(&[0.0; 4], 2), 0.0);
    }

    #[test]
    fn parts_that_were_never_active_are_named() {
        let part = |part: &str, share| Active {
            part: part.into(),
            share,
        };
        let mut report = MethodReport {
            active: vec![part("task", 1.0), part("intra", 0.0)],
            ..MethodReport::default()
        };
        let warning = report.warning().unwrap();
        assert!(
            warning.contains("part intra of the loss was 0"),
            "{warning}"
        );
        report.active.push(part("inter", 0.0));
        assert!(report.warning().unwrap().contains("parts intra, inter of"));
        report.active.truncate(1);
        assert_eq!(report.warning(), None);
    }
}
