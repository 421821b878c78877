//! `[model.self-mm]`: the configuration of Self-MM, with its published presets.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

/// `[model.self-mm]`. The defaults are the published values for MOSI. The text encoder's learning rate is
/// `train.text_learning_rate`; the heads' rate and decay are `train.learning_rate` and `train.weight_decay`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfMmConfig {
    /// Size of the audio LSTM's hidden state.
    pub audio_lstm_hidden: usize,
    /// Size of the vision LSTM's hidden state.
    pub vision_lstm_hidden: usize,
    /// Size oa of the audio representation.
    pub audio_out: usize,
    /// Size ov of the vision representation.
    pub vision_out: usize,
    /// Dropout after the audio LSTM.
    pub audio_lstm_dropout: f64,
    /// Dropout after the vision LSTM.
    pub vision_lstm_dropout: f64,
    /// Width P of the fusion's head.
    pub post_fusion_dim: usize,
    /// Width P of the text head.
    pub post_text_dim: usize,
    /// Width P of the audio head.
    pub post_audio_dim: usize,
    /// Width P of the vision head.
    pub post_vision_dim: usize,
    /// Dropout before the fusion's head.
    pub post_fusion_dropout: f64,
    /// Dropout before the text head.
    pub post_text_dropout: f64,
    /// Dropout before the audio head.
    pub post_audio_dropout: f64,
    /// Dropout before the vision head.
    pub post_vision_dropout: f64,
    /// How far a segment's features are from a centre.
    pub distance: Distance,
    /// Whether segments labelled 0 are on neither side; otherwise they are positive.
    pub exclude_zero: bool,
    /// Batches whose gradients are summed for one step.
    pub accumulate: usize,
    /// Whether an epoch's last batches, fewer than `accumulate`, make a step too; otherwise they are dropped.
    pub flush_rest: bool,
    /// Learning rate of the audio LSTM and its linear layer.
    pub audio_learning_rate: f64,
    /// Learning rate of the vision LSTM and its linear layer.
    pub vision_learning_rate: f64,
    /// Weight decay of the text encoder's matrices; its biases and norms have none.
    pub text_weight_decay: f64,
    /// Weight decay of the audio LSTM and its linear layer.
    pub audio_weight_decay: f64,
    /// Weight decay of the vision LSTM and its linear layer.
    pub vision_weight_decay: f64,
    /// The published code to the letter: distances are norms, and an epoch's last batches are dropped.
    pub published: bool,
}

impl Default for SelfMmConfig {
    fn default() -> Self {
        Self {
            audio_lstm_hidden: 16,
            vision_lstm_hidden: 32,
            audio_out: 16,
            vision_out: 32,
            audio_lstm_dropout: 0.0,
            vision_lstm_dropout: 0.0,
            post_fusion_dim: 128,
            post_text_dim: 32,
            post_audio_dim: 16,
            post_vision_dim: 32,
            post_fusion_dropout: 0.0,
            post_text_dropout: 0.1,
            post_audio_dropout: 0.1,
            post_vision_dropout: 0.0,
            distance: Distance::Norm,
            exclude_zero: true,
            accumulate: 4,
            flush_rest: true,
            audio_learning_rate: 5e-3,
            vision_learning_rate: 5e-3,
            text_weight_decay: 1e-3,
            audio_weight_decay: 1e-3,
            vision_weight_decay: 1e-3,
            published: false,
        }
    }
}

/// How far features F are from a centre c.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// |F - c|, the L2 norm, as the published code has it.
    #[default]
    Norm,
    /// |F - c|^2 / sqrt(P), as the paper has it.
    Paper,
}

impl Distance {
    pub(super) fn between(self, a: &[f32], b: &[f32]) -> f64 {
        let difference = |(a, b): (&f32, &f32)| f64::from(*a) - f64::from(*b);
        let square: f64 = a.iter().zip(b).map(difference).map(|d| d * d).sum();
        match self {
            Self::Norm => square.sqrt(),
            Self::Paper => square / (a.len() as f64).sqrt(),
        }
    }
}

impl SelfMmConfig {
    /// The distance in force.
    pub(super) fn distance(&self) -> Distance {
        if self.published {
            Distance::Norm
        } else {
            self.distance
        }
    }

    /// P of each target.
    pub(super) fn widths(&self) -> [usize; 4] {
        [
            self.post_fusion_dim,
            self.post_text_dim,
            self.post_audio_dim,
            self.post_vision_dim,
        ]
    }

    /// Inputs of each head, from the width of the text.
    pub(super) fn inputs(&self, text: usize) -> [usize; 4] {
        let (audio, vision) = (self.audio_out, self.vision_out);
        let all = text.saturating_add(audio).saturating_add(vision);
        [all, text, audio, vision]
    }
}

impl Presets for SelfMmConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[train]
batch_size = 16
learning_rate = 1e-3
text_learning_rate = 5e-5
weight_decay = 1e-3
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "mosei",
            r#"
[model.self-mm]
post_fusion_dropout = 0.1
post_text_dropout = 0.0
post_audio_dropout = 0.0
vision_learning_rate = 1e-4
audio_weight_decay = 0.0
vision_weight_decay = 0.0
[train]
batch_size = 32
learning_rate = 1e-3
text_learning_rate = 5e-5
weight_decay = 1e-2
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        // The data set's table sets data.label_range = [-1, 1], which bounds the labels.
        (
            "sims",
            r#"
[model.self-mm]
vision_lstm_hidden = 64
post_text_dim = 64
audio_weight_decay = 1e-2
vision_weight_decay = 1e-2
[train]
batch_size = 32
learning_rate = 1e-3
text_learning_rate = 5e-5
weight_decay = 1e-3
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "audio_lstm_dropout",
        "vision_lstm_dropout",
        "post_fusion_dropout",
        "post_text_dropout",
        "post_audio_dropout",
        "post_vision_dropout",
        "distance",
        "exclude_zero",
        "accumulate",
        "flush_rest",
        "audio_learning_rate",
        "vision_learning_rate",
        "text_weight_decay",
        "audio_weight_decay",
        "vision_weight_decay",
    ];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("audio_lstm_hidden", self.audio_lstm_hidden),
            ("vision_lstm_hidden", self.vision_lstm_hidden),
            ("audio_out", self.audio_out),
            ("vision_out", self.vision_out),
            ("post_fusion_dim", self.post_fusion_dim),
            ("post_text_dim", self.post_text_dim),
            ("post_audio_dim", self.post_audio_dim),
            ("post_vision_dim", self.post_vision_dim),
            ("accumulate", self.accumulate),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in [
            ("audio_lstm_dropout", self.audio_lstm_dropout),
            ("vision_lstm_dropout", self.vision_lstm_dropout),
            ("post_fusion_dropout", self.post_fusion_dropout),
            ("post_text_dropout", self.post_text_dropout),
            ("post_audio_dropout", self.post_audio_dropout),
            ("post_vision_dropout", self.post_vision_dropout),
        ] {
            ConfigError::fraction(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in [
            ("audio_learning_rate", self.audio_learning_rate),
            ("vision_learning_rate", self.vision_learning_rate),
            ("text_weight_decay", self.text_weight_decay),
            ("audio_weight_decay", self.audio_weight_decay),
            ("vision_weight_decay", self.vision_weight_decay),
        ] {
            ConfigError::at_least_zero(&format!("{key}.{name}"), value)?;
        }
        Ok(())
    }
}
