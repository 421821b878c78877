//! DMD's table of a configuration.

use mmrest_encoders::TransformerLayerConfig;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::model::Presets;
use crate::task::Task;

/// `[model.dmd]`. The defaults are the published values for aligned MOSI. Arrays are in the order text, audio, vision. The
/// learning rates and clipping are those of `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DmdConfig {
    /// The common width d.
    pub width: usize,
    /// Heads of all attention; they divide the width.
    pub heads: usize,
    /// Layers of the encoders; those of the memories are at least 3.
    pub levels: usize,
    /// The lengths that sequences are cut or padded to: layers depend on them.
    pub lengths: [usize; 3],
    /// Kernels of the first convolutions.
    pub kernels: [usize; 3],
    /// Dropout of the text's states.
    pub text_dropout: f64,
    /// Dropout in the heads.
    pub output_dropout: f64,
    /// Dropout of the encoders' inputs.
    pub embed_dropout: f64,
    /// Dropout of the attention to each modality.
    pub attention_dropout: [f64; 3],
    /// Dropout between an encoder's linear layers.
    pub relu_dropout: f64,
    /// Dropout of what an encoder's layers add.
    pub residual_dropout: f64,
    /// Width of the graph of low representations.
    pub homo_width: usize,
    /// Width of the graph of high representations.
    pub hetero_width: usize,
    /// What the exclusive and common parts are made orthogonal over.
    pub ort_axis: OrtAxis,
    /// What representations distil.
    pub distil_repr: DistilRepr,
    /// Batches whose gradients are summed for one step.
    pub accumulate: usize,
    /// Whether the batches left over at the end of an epoch make a step; published, they are dropped.
    pub flush_rest: bool,
    /// The published code to the letter: orthogonal over the batch, representations as published, left-over batches dropped.
    pub published: bool,
}

/// The axis of the cosine between a modality's exclusive and common part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrtAxis {
    /// Of each time step of each segment, over its channels.
    #[default]
    Channel,
    /// Of each time step and channel, over the segments of the batch: what the published code computes under PyTorch 1.9.
    Batch,
}

/// The distillation of representations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistilRepr {
    /// The student's come near to the teacher's, by their absolute difference, in both graphs.
    #[default]
    L1,
    /// High representations are pushed apart, and low ones not distilled, as the published code has it.
    Published,
}

impl Default for DmdConfig {
    fn default() -> Self {
        Self {
            width: 50,
            heads: 10,
            levels: 4,
            lengths: [50; 3],
            kernels: [5; 3],
            text_dropout: 0.5,
            output_dropout: 0.5,
            embed_dropout: 0.2,
            attention_dropout: [0.3, 0.2, 0.0],
            relu_dropout: 0.0,
            residual_dropout: 0.0,
            homo_width: 64,
            hetero_width: 32,
            ort_axis: OrtAxis::Channel,
            distil_repr: DistilRepr::L1,
            accumulate: 10,
            flush_rest: true,
            published: false,
        }
    }
}

impl DmdConfig {
    /// T of a modality: what its convolution leaves of its length.
    pub(super) fn time(&self, modality: usize) -> usize {
        (self.lengths[modality] + 1).saturating_sub(self.kernels[modality])
    }

    /// Layers of the memories.
    pub(super) fn memory_layers(&self) -> usize {
        self.levels.max(3)
    }

    /// A layer of an encoder.
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

    /// The axis in force.
    pub(super) fn ort_axis(&self) -> OrtAxis {
        if self.published {
            OrtAxis::Batch
        } else {
            self.ort_axis
        }
    }

    /// The distillation in force.
    pub(super) fn distil_repr(&self) -> DistilRepr {
        if self.published {
            DistilRepr::Published
        } else {
            self.distil_repr
        }
    }
}

/// What all presets share.
macro_rules! preset {
    ($own:literal) => {
        concat!(
            $own,
            r#"
[train]
batch_size = 16
learning_rate = 1e-4
text_learning_rate = 1e-4
weight_decay = 0.0
max_grad_norm = 0.0
max_grad_value = 0.6
plateau_factor = 0.5
plateau_patience = 5
patience = 10
"#
        )
    };
}

impl Presets for DmdConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        ("mosi", preset!("")),
        (
            "mosi-unaligned",
            preset!("[model.dmd]\nlengths = [50, 375, 500]"),
        ),
        (
            "mosei",
            preset!(
                r#"[model.dmd]
width = 30
heads = 6
kernels = [5, 1, 3]
text_dropout = 0.3
embed_dropout = 0.0
attention_dropout = [0.4, 0.0, 0.0]"#
            ),
        ),
        (
            "mosei-unaligned",
            preset!(
                r#"[model.dmd]
width = 30
heads = 6
lengths = [50, 500, 500]
kernels = [5, 1, 3]
text_dropout = 0.3
embed_dropout = 0.0
attention_dropout = [0.4, 0.0, 0.0]"#
            ),
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "text_dropout",
        "output_dropout",
        "embed_dropout",
        "attention_dropout",
        "relu_dropout",
        "residual_dropout",
        "ort_axis",
        "distil_repr",
        "accumulate",
        "flush_rest",
    ];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("width", self.width),
            ("heads", self.heads),
            ("levels", self.levels),
            ("homo_width", self.homo_width),
            ("hetero_width", self.hetero_width),
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
        for (length, kernel) in self.lengths.into_iter().zip(self.kernels) {
            ConfigError::positive(&format!("{key}.kernels"), kernel)?;
            if kernel > length {
                return Err(ConfigError(format!(
                    "{key}.lengths must be at least {key}.kernels, found {length} and {kernel}"
                )));
            }
        }
        let one = [
            ("text_dropout", self.text_dropout),
            ("output_dropout", self.output_dropout),
            ("embed_dropout", self.embed_dropout),
            ("relu_dropout", self.relu_dropout),
            ("residual_dropout", self.residual_dropout),
        ];
        let attention = self.attention_dropout.map(|p| ("attention_dropout", p));
        for (name, value) in one.into_iter().chain(attention) {
            ConfigError::fraction(&format!("{key}.{name}"), value)?;
        }
        Ok(())
    }
}
