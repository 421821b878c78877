//! The weight of the bias, and its choice by validation.

use super::{ClusterState, MmRest};
use crate::error::ModelError;
use crate::model::PredictWith;

impl MmRest {
    /// The weight gamma of the bias.
    pub(super) fn gamma(&self, state: &ClusterState) -> f64 {
        state.gamma.unwrap_or(self.settings.config.gamma)
    }

    /// Takes the weight with the least mean absolute error: the configured one, unless one of `gamma_choices` has a lower
    /// error; of equal ones the first.
    pub(super) fn choose_gamma(
        &self,
        state: &mut ClusterState,
        predict: &mut PredictWith<'_, ClusterState>,
    ) -> Result<bool, ModelError> {
        let config = &self.settings.config;
        if config.gamma_choices.is_empty() || !config.bias || !config.bias_at_evaluation {
            return Ok(false);
        }
        let before = state.gamma.take();
        let predicted = predict(state)?;
        let error = |gamma: f64| -> f64 {
            let share = gamma / config.gamma;
            let errors = predicted.iter().map(|(prediction, label)| {
                let (score, bias) = (f64::from(prediction.score), f64::from(prediction.bias));
                (score + share * bias - f64::from(*label)).abs()
            });
            errors.sum()
        };
        let mut least = error(config.gamma);
        for &choice in &config.gamma_choices {
            let error = error(choice);
            if error < least {
                (least, state.gamma) = (error, Some(choice));
            }
        }
        Ok(state.gamma != before)
    }
}
