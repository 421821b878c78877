//! ALMT's table of a configuration.

use serde::{Deserialize, Serialize};

use super::layers::EmbeddingSizes;
use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

/// `[model.almt]`. The defaults are the published values for MOSI. Arrays are in the order text, audio, vision. Rates and
/// weight decay are those of `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlmtConfig {
    /// Width d of all representations.
    pub width: usize,
    /// Blocks of each modality's embedding.
    pub embedding_depth: [usize; 3],
    /// Heads of each modality's embedding.
    pub embedding_heads: [usize; 3],
    /// Inner width of the embeddings' feed-forward layers.
    pub embedding_inner: usize,
    /// Heads of the blocks between levels of the language.
    pub language_heads: usize,
    /// Inner width of the feed-forward layers of the blocks between levels of the language.
    pub language_inner: usize,
    /// Layers of the hyper-modality; the language has as many levels.
    pub hyper_depth: usize,
    /// Heads of the hyper-modality's attention; they divide `width`.
    pub hyper_heads: usize,
    /// Blocks of the fusion.
    pub fusion_depth: usize,
    /// Heads of the fusion.
    pub fusion_heads: usize,
    /// Inner width of the fusion's feed-forward layers.
    pub fusion_inner: usize,
    /// The longest sequences; what lies beyond is cut off.
    pub max_length: [usize; 3],
    /// Whether padding gets no attention. Without, every sequence is padded to `max_length`, as in the published data.
    pub mask_padding: bool,
    /// Whether the first epoch has a learning rate of 0, as published; otherwise it has the second's.
    pub first_epoch_at_zero: bool,
    /// Epochs over which the learning rate falls.
    pub schedule_epochs: usize,
    /// Epochs over which the learning rate rises.
    pub warmup_epochs: usize,
    /// The published code to the letter: no masks, a first epoch at rate 0, one rate and decay for everything.
    pub published: bool,
}

impl Default for AlmtConfig {
    fn default() -> Self {
        Self {
            width: 128,
            embedding_depth: [1; 3],
            embedding_heads: [8; 3],
            embedding_inner: 128,
            language_heads: 8,
            language_inner: 128,
            hyper_depth: 3,
            hyper_heads: 8,
            fusion_depth: 2,
            fusion_heads: 8,
            fusion_inner: 128,
            max_length: [50, 375, 500],
            mask_padding: true,
            first_epoch_at_zero: false,
            schedule_epochs: 200,
            warmup_epochs: 20,
            published: false,
        }
    }
}

impl AlmtConfig {
    /// Sizes of the embedding of text (0), audio (1) or vision (2).
    pub(super) fn embedding(&self, modality: usize, features: usize) -> EmbeddingSizes {
        EmbeddingSizes {
            features: features.max(1),
            room: self.max_length[modality],
            width: self.width,
            depth: self.embedding_depth[modality],
            heads: self.embedding_heads[modality],
            inner: self.embedding_inner,
        }
    }

    /// The width of one head of the hyper-modality's attention.
    pub(super) fn hyper_head(&self) -> usize {
        self.width / self.hyper_heads.max(1)
    }

    /// Whether padding gets no attention.
    pub(super) fn masks(&self) -> bool {
        self.mask_padding && !self.published
    }
}

impl Presets for AlmtConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[train]
batch_size = 64
learning_rate = 1e-4
text_learning_rate = 1e-4
weight_decay = 1e-4
max_grad_norm = 0.0
plateau_factor = 1.0
epochs = 200
patience = 32
"#,
        ),
        (
            "mosei",
            r#"
[model.almt]
fusion_depth = 4
max_length = [50, 500, 500]
[train]
batch_size = 64
learning_rate = 1e-4
text_learning_rate = 1e-4
weight_decay = 1e-4
max_grad_norm = 0.0
plateau_factor = 1.0
epochs = 200
patience = 32
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &["first_epoch_at_zero"];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("width", self.width),
            ("embedding_inner", self.embedding_inner),
            ("language_heads", self.language_heads),
            ("language_inner", self.language_inner),
            ("hyper_depth", self.hyper_depth),
            ("hyper_heads", self.hyper_heads),
            ("fusion_depth", self.fusion_depth),
            ("fusion_heads", self.fusion_heads),
            ("fusion_inner", self.fusion_inner),
            ("schedule_epochs", self.schedule_epochs),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        for (name, values) in [
            ("embedding_depth", self.embedding_depth),
            ("embedding_heads", self.embedding_heads),
            ("max_length", self.max_length),
        ] {
            for value in values {
                ConfigError::positive(&format!("{key}.{name}"), value)?;
            }
        }
        if !self.width.is_multiple_of(self.hyper_heads) {
            return Err(ConfigError(format!(
                "{key}.hyper_heads must divide {key}.width, found {} and {}",
                self.hyper_heads, self.width
            )));
        }
        Ok(())
    }
}
