//! DEVA's table of a configuration.

use serde::{Deserialize, Serialize};

use crate::almt::layers::EmbeddingSizes;
use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

/// The published code looks at so many frames.
const PUBLISHED_FRAMES: usize = 50;

/// `[model.deva]`. The defaults are the published values, the same for MOSI and MOSEI. Rates and weight decay are those of
/// `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevaConfig {
    /// Whether the model has a place for the two sentences that describe a segment's voice and face. Where the data have
    /// none, the place stays empty.
    pub descriptions: bool,
    /// Width d of all representations.
    pub width: usize,
    /// Heads of all blocks.
    pub heads: usize,
    /// Inner width of all feed-forward layers.
    pub inner: usize,
    /// Layers of the hyper-modality; the text has as many levels.
    pub hyper_depth: usize,
    /// Heads of the hyper-modality's attention.
    pub hyper_heads: usize,
    /// Width of one head of the hyper-modality's attention.
    pub hyper_head: usize,
    /// Blocks of the fusion.
    pub fusion_depth: usize,
    /// Dropout before audio and vision are joined with their descriptions.
    pub enhancement_dropout: f64,
    /// The longest text, description too, in tokens.
    pub text_length: usize,
    /// The longest audio and vision: what lies beyond is cut off. The published code has 50.
    pub frames: usize,
    /// Whether padding gets no attention. Without, every sequence is padded to its greatest length, as in the published
    /// data.
    pub mask_padding: bool,
    /// Whether the first epoch has a learning rate of 0, as published; otherwise it has the second's.
    pub first_epoch_at_zero: bool,
    /// Epochs over which the learning rate falls.
    pub schedule_epochs: usize,
    /// Epochs over which the learning rate rises.
    pub warmup_epochs: usize,
    /// The published code to the letter: 50 frames, no masks, a first epoch at rate 0, one rate and decay for everything.
    pub published: bool,
}

impl Default for DevaConfig {
    fn default() -> Self {
        Self {
            descriptions: true,
            width: 128,
            heads: 8,
            inner: 128,
            hyper_depth: 3,
            hyper_heads: 8,
            hyper_head: 16,
            fusion_depth: 2,
            enhancement_dropout: 0.1,
            text_length: 50,
            frames: 500,
            mask_padding: true,
            first_epoch_at_zero: false,
            schedule_epochs: 80,
            warmup_epochs: 8,
            published: false,
        }
    }
}

impl DevaConfig {
    /// Sizes of an embedding with room for `room` frames or tokens.
    pub(super) fn embedding(&self, features: usize, room: usize) -> EmbeddingSizes {
        EmbeddingSizes {
            features: features.max(1),
            room,
            width: self.width,
            depth: 1,
            heads: self.heads,
            inner: self.inner,
        }
    }

    /// The longest audio and vision.
    pub(super) fn frames(&self) -> usize {
        if self.published {
            PUBLISHED_FRAMES
        } else {
            self.frames
        }
    }

    /// Whether padding gets no attention.
    pub(super) fn masks(&self) -> bool {
        self.mask_padding && !self.published
    }

    /// What audio, vision and text are joined with: inputs of their enhancements, in multiples of the width.
    pub(super) fn joined(&self) -> [usize; 3] {
        if self.descriptions {
            [2, 2, 3]
        } else {
            [1, 1, 1]
        }
    }
}

impl Presets for DevaConfig {
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
epochs = 80
patience = 80
"#,
        ),
        (
            "mosei",
            r#"
[train]
batch_size = 64
learning_rate = 1e-4
text_learning_rate = 1e-4
weight_decay = 1e-4
max_grad_norm = 0.0
plateau_factor = 1.0
epochs = 80
patience = 80
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &["first_epoch_at_zero", "enhancement_dropout"];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("width", self.width),
            ("heads", self.heads),
            ("inner", self.inner),
            ("hyper_depth", self.hyper_depth),
            ("hyper_heads", self.hyper_heads),
            ("hyper_head", self.hyper_head),
            ("fusion_depth", self.fusion_depth),
            ("text_length", self.text_length),
            ("frames", self.frames),
            ("schedule_epochs", self.schedule_epochs),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        ConfigError::fraction(
            &format!("{key}.enhancement_dropout"),
            self.enhancement_dropout,
        )
    }
}
