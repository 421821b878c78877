//! MulT's configuration and its published presets.

use mmrest_encoders::TransformerLayerConfig;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

/// What becomes of the padding behind a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Nothing sees it, and a sequence's own last row is read.
    #[default]
    Masked,
    /// Sequences have a fixed length, and the padding is read like all else.
    Published,
}

/// `[model.mult]`. The defaults are MMSA's values for MOSI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultConfig {
    /// Width d.
    pub width: usize,
    /// Heads; they divide the width.
    pub heads: usize,
    /// Layers n.
    pub layers: usize,
    /// Tokens of a convolution.
    pub text_kernel: usize,
    /// Audio frames of a convolution.
    pub audio_kernel: usize,
    /// Vision frames of a convolution.
    pub vision_kernel: usize,
    /// Dropout of the attention to text and of the last transformers.
    pub attention_dropout: f64,
    /// Dropout of the attention to audio.
    pub audio_attention_dropout: f64,
    /// Dropout of the attention to vision.
    pub vision_attention_dropout: f64,
    /// Dropout between the linear layers of a transformer layer.
    pub relu_dropout: f64,
    /// Dropout of what goes into a transformer.
    pub embed_dropout: f64,
    /// Dropout of what a transformer layer adds.
    pub residual_dropout: f64,
    /// Dropout between the last linear layers.
    pub output_dropout: f64,
    /// Dropout of the text's states.
    pub text_dropout: f64,
    /// Whether a position sees only what is not ahead of it.
    pub causal: bool,
    /// Whether positions are added.
    pub positions: bool,
    /// What becomes of padding.
    pub padding: Padding,
    /// Tokens of a padded text.
    pub padded_text: usize,
    /// Frames of padded audio.
    pub padded_audio: usize,
    /// Frames of padded vision.
    pub padded_vision: usize,
    /// Batches whose gradients are summed for one step.
    pub accumulate: usize,
    /// Whether what is left of an epoch, fewer batches than that, makes a step of its own; otherwise it is dropped.
    pub flush_rest: bool,
    /// MMSA's code to the letter, whatever the switches say.
    pub published: bool,
}

impl Default for MultConfig {
    fn default() -> Self {
        Self {
            width: 50,
            heads: 10,
            layers: 4,
            text_kernel: 5,
            audio_kernel: 5,
            vision_kernel: 5,
            attention_dropout: 0.3,
            audio_attention_dropout: 0.2,
            vision_attention_dropout: 0.0,
            relu_dropout: 0.0,
            embed_dropout: 0.2,
            residual_dropout: 0.0,
            output_dropout: 0.5,
            text_dropout: 0.5,
            causal: true,
            positions: true,
            padding: Padding::Masked,
            padded_text: 50,
            padded_audio: 375,
            padded_vision: 500,
            accumulate: 8,
            flush_rest: true,
            published: false,
        }
    }
}

impl MultConfig {
    /// Whether sequences have the published data's fixed lengths.
    pub(super) fn is_padded(&self) -> bool {
        self.published || self.padding == Padding::Published
    }

    pub(super) fn layer(&self, width: usize, attention_dropout: f64) -> TransformerLayerConfig {
        TransformerLayerConfig {
            width,
            heads: self.heads,
            wide: 4 * width,
            norm_first: true,
            xavier: true,
            attention_dropout,
            relu_dropout: self.relu_dropout,
            residual_dropout: self.residual_dropout,
        }
    }

    pub(super) fn memory_layers(&self) -> usize {
        self.layers.max(3)
    }
}

impl Presets for MultConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[text]
freeze = true
[train]
batch_size = 16
learning_rate = 2e-3
weight_decay = 0.0
max_grad_norm = 0.0
max_grad_value = 0.6
plateau_factor = 0.1
plateau_patience = 5
patience = 8
"#,
        ),
        (
            "mosei",
            r#"
[model.mult]
width = 30
padded_audio = 500
heads = 6
audio_kernel = 1
vision_kernel = 3
attention_dropout = 0.4
audio_attention_dropout = 0.0
embed_dropout = 0.0
text_dropout = 0.3
[text]
freeze = true
[train]
batch_size = 4
learning_rate = 5e-4
weight_decay = 0.0
max_grad_norm = 0.0
max_grad_value = 0.6
plateau_factor = 0.1
plateau_patience = 20
patience = 8
"#,
        ),
        (
            "sims",
            r#"
[model.mult]
layers = 2
audio_kernel = 1
vision_kernel = 1
attention_dropout = 0.2
audio_attention_dropout = 0.1
embed_dropout = 0.1
residual_dropout = 0.2
output_dropout = 0.1
text_dropout = 0.3
padded_text = 39
padded_audio = 400
padded_vision = 55
[text]
freeze = true
[train]
batch_size = 16
learning_rate = 2e-3
weight_decay = 0.0
max_grad_norm = 0.0
max_grad_value = 0.6
plateau_factor = 0.1
plateau_patience = 10
patience = 8
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "attention_dropout",
        "audio_attention_dropout",
        "vision_attention_dropout",
        "relu_dropout",
        "embed_dropout",
        "residual_dropout",
        "output_dropout",
        "text_dropout",
        "accumulate",
        "flush_rest",
    ];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("width", self.width),
            ("heads", self.heads),
            ("layers", self.layers),
            ("text_kernel", self.text_kernel),
            ("audio_kernel", self.audio_kernel),
            ("vision_kernel", self.vision_kernel),
            ("padded_text", self.padded_text),
            ("padded_audio", self.padded_audio),
            ("padded_vision", self.padded_vision),
            ("accumulate", self.accumulate),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(ConfigError(format!(
                "{key}.heads must divide {key}.width, found {} and {}",
                self.heads, self.width
            )));
        }
        for (name, value) in [
            ("attention_dropout", self.attention_dropout),
            ("audio_attention_dropout", self.audio_attention_dropout),
            ("vision_attention_dropout", self.vision_attention_dropout),
            ("relu_dropout", self.relu_dropout),
            ("embed_dropout", self.embed_dropout),
            ("residual_dropout", self.residual_dropout),
            ("output_dropout", self.output_dropout),
            ("text_dropout", self.text_dropout),
        ] {
            ConfigError::fraction(&format!("{key}.{name}"), value)?;
        }
        Ok(())
    }
}
