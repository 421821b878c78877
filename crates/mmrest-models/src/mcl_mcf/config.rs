//! MCL-MCF's table of a configuration.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

/// What three 3x3 convolutions without padding take off a picture's side.
const CONVOLVED: usize = 6;

/// `[model.mcl-mcf]`. The defaults are the published values, without the tensor level. The rates of text encoder and rest,
/// weight decay and clipping are those of `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MclMcfConfig {
    /// Size D of the LSTMs' hidden state and of the representations of vision and audio.
    pub width: usize,
    /// Width S of the blocks.
    pub block_width: usize,
    /// Width P that contrasts are computed in.
    pub contrast_width: usize,
    /// Width of the score's layers.
    pub score_width: usize,
    /// Dropout before the score.
    pub score_dropout: f64,
    /// Weight of each level of contrasts.
    pub contrast_weight: f64,
    /// Products of contrasts are multiplied with the logarithm of its inverse.
    pub temperature: f64,
    /// Whether the third level, convolved outer products, is there: 197 million parameters and most of the memory for
    /// `block_width = 512`, and nothing that prediction needs.
    pub tensor: bool,
    /// Whether a ReLU follows the last convolution of the third level too. It may leave a picture without any value.
    pub tensor_last_relu: bool,
    /// The published code to the letter: with the third level.
    pub published: bool,
}

impl Default for MclMcfConfig {
    fn default() -> Self {
        Self {
            width: 64,
            block_width: 512,
            contrast_width: 128,
            score_width: 128,
            score_dropout: 0.1,
            contrast_weight: 0.05,
            temperature: 0.07,
            tensor: false,
            tensor_last_relu: true,
            published: false,
        }
    }
}

impl MclMcfConfig {
    /// Values of a convolved picture; none without the third level.
    pub(super) fn picture(&self) -> Option<usize> {
        let side = self.block_width.saturating_sub(CONVOLVED);
        (self.tensor || self.published).then(|| side.saturating_mul(side))
    }

    /// Whether a ReLU follows the last convolution.
    pub(super) fn last_relu(&self) -> bool {
        self.tensor_last_relu || self.published
    }

    /// What products of contrasts are multiplied with.
    pub(super) fn scale(&self) -> f64 {
        -self.temperature.ln()
    }
}

impl Presets for MclMcfConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[(
        "published",
        r#"
[train]
batch_size = 128
learning_rate = 1e-4
text_learning_rate = 5e-5
weight_decay = 1e-4
max_grad_norm = 1.0
plateau_factor = 1.0
epochs = 200
patience = 10
"#,
    )];

    const RESUMABLE: &'static [&'static str] = &["score_dropout", "contrast_weight", "temperature"];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("width", self.width),
            ("block_width", self.block_width),
            ("contrast_width", self.contrast_width),
            ("score_width", self.score_width),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        if self.picture() == Some(0) {
            return Err(ConfigError(format!(
                "{key}.block_width must be at least {} with {key}.tensor, for its convolutions take {CONVOLVED} off, found {}",
                CONVOLVED + 1,
                self.block_width
            )));
        }
        if !(self.temperature > 0.0 && self.temperature < 1.0) {
            return Err(ConfigError(format!(
                "{key}.temperature must be in (0, 1), found {}",
                self.temperature
            )));
        }
        ConfigError::fraction(&format!("{key}.score_dropout"), self.score_dropout)?;
        ConfigError::at_least_zero(&format!("{key}.contrast_weight"), self.contrast_weight)
    }
}
