//! MMIM's table of a configuration.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

/// Layers that a predictor of [`MmimConfig::cpc_layers`] may have.
pub(super) const MOST_LAYERS: usize = 8;

/// `[model.mmim]`. The defaults are MMSA's values. The rates of text encoder and rest, weight decay and clipping are
/// those of `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MmimConfig {
    /// Size of the audio LSTM's hidden state.
    pub audio_hidden: usize,
    /// Size of the vision LSTM's hidden state.
    pub vision_hidden: usize,
    /// Size of the audio representation; a quarter of it is the entropy's.
    pub audio_out: usize,
    /// Size of the vision representation; a quarter of it is the entropy's.
    pub vision_out: usize,
    /// Width of the fusion.
    pub fusion_width: usize,
    /// Dropout before the fusion.
    pub fusion_dropout: f64,
    /// Whether the LSTMs run in both directions, as MMSA's do; the authors' command line has one.
    pub bidirectional: bool,
    /// Whether the mutual information of vision and audio is estimated too.
    pub vision_audio: bool,
    /// Layers of the predictors of the representations.
    pub cpc_layers: usize,
    /// Weight alpha of the predictors' loss.
    pub alpha: f64,
    /// Weight beta of the mutual information.
    pub beta: f64,
    /// The likelihood of the estimators.
    pub lld: Likelihood,
    /// Learning rate of the estimators.
    pub mi_learning_rate: f64,
    /// Which share of the batches the estimators' pass takes.
    pub mi_share: f64,
    /// The published code to the letter: its likelihood.
    pub published: bool,
}

/// The logarithm of a Gaussian's density, without constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likelihood {
    /// `-(mu - y)^2 / 2 exp(logvar)`, as the published code has it: a greater variance is always more likely.
    #[default]
    Published,
    /// `-(mu - y)^2 / 2 exp(logvar) - logvar / 2`.
    Gaussian,
}

impl Default for MmimConfig {
    fn default() -> Self {
        Self {
            audio_hidden: 16,
            vision_hidden: 16,
            audio_out: 16,
            vision_out: 16,
            fusion_width: 128,
            fusion_dropout: 0.1,
            bidirectional: true,
            vision_audio: false,
            cpc_layers: 1,
            alpha: 0.1,
            beta: 0.1,
            lld: Likelihood::Published,
            mi_learning_rate: 1e-3,
            mi_share: 1.0,
            published: false,
        }
    }
}

impl MmimConfig {
    /// The likelihood in force.
    pub(super) fn lld(&self) -> Likelihood {
        if self.published {
            Likelihood::Published
        } else {
            self.lld
        }
    }
}

impl Presets for MmimConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[train]
batch_size = 32
learning_rate = 1e-3
text_learning_rate = 5e-5
weight_decay = 1e-4
max_grad_norm = 1.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "mosei",
            r#"
[model.mmim]
mi_share = 0.5
[train]
batch_size = 32
learning_rate = 1e-3
text_learning_rate = 5e-5
weight_decay = 1e-4
max_grad_norm = 1.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "authors",
            r#"
[model.mmim]
bidirectional = false
[train]
batch_size = 32
learning_rate = 1e-3
text_learning_rate = 5e-5
weight_decay = 1e-4
max_grad_norm = 1.0
plateau_factor = 1.0
epochs = 40
patience = 10
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "fusion_dropout",
        "alpha",
        "beta",
        "lld",
        "mi_learning_rate",
        "mi_share",
    ];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("audio_hidden", self.audio_hidden),
            ("vision_hidden", self.vision_hidden),
            ("fusion_width", self.fusion_width),
            ("cpc_layers", self.cpc_layers),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in [
            ("audio_out", self.audio_out),
            ("vision_out", self.vision_out),
        ] {
            if value < 4 {
                return Err(ConfigError(format!(
                    "{key}.{name} must be at least 4, for a quarter of it is the entropy's, found {value}"
                )));
            }
        }
        if self.cpc_layers > MOST_LAYERS {
            return Err(ConfigError(format!(
                "{key}.cpc_layers must be at most {MOST_LAYERS}, found {}",
                self.cpc_layers
            )));
        }
        ConfigError::fraction(&format!("{key}.fusion_dropout"), self.fusion_dropout)?;
        for (name, value) in [
            ("alpha", self.alpha),
            ("beta", self.beta),
            ("mi_learning_rate", self.mi_learning_rate),
        ] {
            ConfigError::at_least_zero(&format!("{key}.{name}"), value)?;
        }
        if !(self.mi_share > 0.0 && self.mi_share <= 1.0) {
            return Err(ConfigError(format!(
                "{key}.mi_share must be in (0, 1], found {}",
                self.mi_share
            )));
        }
        Ok(())
    }
}
