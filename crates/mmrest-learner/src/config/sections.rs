//! The tables of a configuration that every model shares. docs/src/configuration.md lists every key.

use std::path::{Path, PathBuf};

use mmrest_encoders::{BertConfig, EncoderError, Pooling};
use mmrest_models::{Optimizer, Rates, Recipe, SentimentModel};
use serde::{Deserialize, Serialize};

use crate::device::Precision;
use crate::train::Tuning;

/// `[text]`: the text encoder, any directory of a BERT or an MPNet in Hugging Face's layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextConfig {
    /// Directory with `config.json`, vocabulary and weights; looked for from the working directory, then from the project's
    /// root.
    pub bert: PathBuf,
    /// Whether to start from random weights, as a directory without weights must.
    pub from_scratch: bool,
    /// Most tokens of an input, `[CLS]` and `[SEP]` included.
    pub max_tokens: usize,
    /// Whether the encoder stays as it is; its output is then computed once and cached.
    pub freeze: bool,
    /// How many of the top layers are trained (all when absent); what the lower ones give is computed once and cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_layers: Option<usize>,
    /// Dropout of the trained layers in place of the encoder's own, of its states and its attention alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// What stands for a text: its first token's last state, or means over its tokens of the states of some layers.
    #[serde(skip_serializing_if = "Pooling::is_first")]
    pub pooling: Pooling,
    /// Where the output of untrained layers is cached, from the project's root.
    pub cache: PathBuf,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            bert: PathBuf::from("data/bert/bert-base-uncased"),
            from_scratch: false,
            max_tokens: 50,
            freeze: false,
            train_layers: None,
            dropout: None,
            pooling: Pooling::default(),
            cache: PathBuf::from("runs/cache"),
        }
    }
}

impl TextConfig {
    /// The encoder of a directory, with this table's pooling and dropout.
    ///
    /// # Errors
    ///
    /// Those of [`BertConfig::from_dir`].
    pub(crate) fn encoder(&self, folder: &Path) -> Result<BertConfig, EncoderError> {
        let own = BertConfig::from_dir(folder)?;
        Ok(BertConfig {
            pooling: self.pooling.clone(),
            hidden_dropout_prob: self.dropout.unwrap_or(own.hidden_dropout_prob),
            attention_probs_dropout_prob: self.dropout.unwrap_or(own.attention_probs_dropout_prob),
            ..own
        })
    }
}

/// `[sequence]`: how frames become the LSTMs' input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SequenceConfig {
    /// Drop every frame whose features sum to 0, anywhere in the sequence, as the published code does.
    pub drop_zero_frames: bool,
}

/// What decides which epoch's model is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Lowest mean absolute error on the validation split.
    #[default]
    ValidMae,
    /// Lowest test error among the epochs that improve validation, as the published code does: not an honest test figure.
    TestAmongImproving,
}

/// `[train]`: optimiser, schedule, stopping, selection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Most epochs.
    pub epochs: usize,
    /// Segments of a batch.
    pub batch_size: usize,
    /// Learning rate of everything but the text encoder.
    pub learning_rate: f64,
    /// Learning rate of the text encoder.
    pub text_learning_rate: f64,
    /// Weight decay of every parameter that the model does not give one of its own.
    pub weight_decay: f64,
    /// Whether weight decay is decoupled from the gradients, as AdamW has it; otherwise it is coupled (L2), unless the
    /// model's recipe is published with AdamW.
    pub decoupled_decay: bool,
    /// Rate of each layer of the text encoder relative to the layer above it, in (0, 1]; the top layer has
    /// `text_learning_rate`.
    pub layer_decay: f64,
    /// Decay of the exponential moving average of the weights that is evaluated and saved in their place; 0 turns it off.
    pub ema: f64,
    /// Largest global gradient norm; 0 turns clipping by norm off.
    pub max_grad_norm: f64,
    /// Largest value of any entry of a gradient; 0 turns clipping by value off. One of the two at most is on.
    pub max_grad_value: f64,
    /// How the learning rates move.
    pub schedule: ScheduleKind,
    /// Share of the schedule's steps over which the rates rise from 0 (`warmup-linear`, `warmup-cosine`).
    pub warmup: f64,
    /// Epochs after which `warmup-linear` and `warmup-cosine` reach 0; `epochs` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_epochs: Option<usize>,
    /// Factor of the learning rates when validation does not improve.
    pub plateau_factor: f64,
    /// Epochs without improvement before that.
    pub plateau_patience: usize,
    /// Epochs without improvement before training stops.
    pub patience: usize,
    /// Steps in a row with a loss or gradient that is not finite, none of them taken, after which training stops.
    pub non_finite_steps: usize,
    /// Probability with which each modality of a training segment is taken for missing; never all of a segment.
    pub modality_dropout: f64,
    /// What decides which epoch's model is kept.
    pub selection: Selection,
    /// Whether the test split's figures are recorded after every epoch; nothing goes by them.
    pub record_test: bool,
    /// In what matrix products are computed on a GPU.
    pub precision: Precision,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 200,
            batch_size: 64,
            learning_rate: 1e-4,
            text_learning_rate: 5e-5,
            weight_decay: 1e-4,
            max_grad_norm: 1.0,
            max_grad_value: 0.0,
            decoupled_decay: false,
            layer_decay: 1.0,
            ema: 0.0,
            schedule: ScheduleKind::Plateau,
            warmup: 0.1,
            schedule_epochs: None,
            plateau_factor: 0.5,
            plateau_patience: 20,
            patience: 10,
            non_finite_steps: 3,
            modality_dropout: 0.0,
            selection: Selection::ValidMae,
            record_test: false,
            precision: Precision::F32,
        }
    }
}

/// How the learning rates move over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Lowered by `plateau_factor` when validation has not improved for more than `plateau_patience` epochs.
    #[default]
    Plateau,
    /// From 0 to the base rate over the warm-up, then straight to 0.
    WarmupLinear,
    /// From 0 to the base rate over the warm-up, then half a cosine to 0.
    WarmupCosine,
    /// The base rate.
    Constant,
}

impl TrainConfig {
    /// Whether the rates depend on how many epochs there are.
    pub(crate) fn schedule_follows_epochs(&self) -> bool {
        let warms_up = matches!(
            self.schedule,
            ScheduleKind::WarmupLinear | ScheduleKind::WarmupCosine
        );
        warms_up && self.schedule_epochs.is_none()
    }

    /// A model's recipe under this configuration.
    pub fn recipe<M: SentimentModel>(&self, model: &M::Config) -> Recipe {
        let mut recipe = M::recipe(model, &self.rates());
        for group in &mut recipe.groups {
            if let Optimizer::Adam(adam) = &mut group.optimizer {
                adam.decoupled |= self.decoupled_decay;
            }
        }
        recipe
    }

    /// What else changes a model's training.
    pub(crate) fn tuning(&self) -> Tuning {
        Tuning {
            layer_decay: self.layer_decay,
            ema: (self.ema > 0.0).then_some(self.ema),
            ..Tuning::default()
        }
    }

    /// The rates that every model shares.
    pub fn rates(&self) -> Rates {
        Rates {
            learning_rate: self.learning_rate,
            text_learning_rate: self.text_learning_rate,
            weight_decay: self.weight_decay,
            max_grad_norm: self.max_grad_norm,
            max_grad_value: self.max_grad_value,
        }
    }
}

/// `[report]`: what a run leaves for `mmrest report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Whether the shared space before and after training, and the metrics' eigenvalues, are kept in `geometry/`.
    pub geometry: bool,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { geometry: true }
    }
}
