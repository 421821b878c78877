//! MAG-BERT: the multimodal adaptation gate (Rahman et al., ACL 2020). Vision and audio of each token shift its embedding
//! before the text encoder's layers.
//!
//! Per token, with its embedding e, vision frame v and audio frame a:
//!
//! ```text
//! g_v = ReLU(W_hv [v,e])     g_a = ReLU(W_ha [a,e])     s = g_v (W_v v) + g_a (W_a a)
//! alpha = min(beta |e| / (|s| + 1e-6), 1)               |s| counts as 1 where it is 0, and has gradient 0 there
//! x     = dropout(LayerNorm(alpha s + e))
//! prediction = W dropout(tanh(P h))                     h: the first token behind the layers; P: BERT's pooler
//! loss       = mean |prediction - label|, or mean (prediction - label)^2
//! ```
//!
//! # Where the published codes differ
//!
//! The gate is the same in both.
//!
//! | point | original | MMSA a94e65d | here |
//! |---|---|---|---|
//! | loss | squared | absolute | `loss = "l1"`, or `"mse"` |
//! | optimiser | AdamW, warm-up and linear decay, 40 epochs | Adam, early stop | presets `mosi`, `mosei`, `sims` as MMSA, `original` |
//! | frame of a token | its word's; zero for `[CLS]`, `[SEP]` | the release's row of the token's number | as the original |
//! | epoch that is kept | the best on test | least validation loss | least validation MAE |
//! | gate | always | always | `gate = true`, or `false`: the text encoder alone |

use std::sync::Arc;

use burn::module::{Initializer, Module};
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::{Bert, BertConfig, drop_out};
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, TextBatch};
use crate::counts::{bert_parameters, linear, product, sum};
use crate::error::{ConfigError, ModelError};
use crate::layers::{l1, mse, recipe, safe_norm};
use crate::model::{Loss, Mode, ModelOutput, Presets, SentimentModel};
use crate::needs::{AbsentNeed, FrameNeed, Needs, TextNeed};
use crate::recipe::{ParameterGroup, Rates, Recipe};
use crate::sequences::SequenceBatch;
use crate::task::Task;

/// What is made small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MagLoss {
    /// The mean absolute error, as in MMSA.
    #[default]
    L1,
    /// The mean squared error, as in the original.
    Mse,
}

/// `[model.mag-bert]`. The defaults are MMSA's values for MOSI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MagBertConfig {
    /// Largest length of a shift, relative to the embedding's.
    pub beta: f64,
    /// Dropout behind the gate.
    pub gate_dropout: f64,
    /// Dropout of the pooled first token.
    pub dropout: f64,
    /// Whether there is a gate.
    pub gate: bool,
    /// What is made small.
    pub loss: MagLoss,
}

impl Default for MagBertConfig {
    fn default() -> Self {
        Self {
            beta: 1.0,
            gate_dropout: 0.3,
            dropout: 0.1,
            gate: true,
            loss: MagLoss::L1,
        }
    }
}

impl Presets for MagBertConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[data]
frames = "word"
[train]
batch_size = 32
learning_rate = 2e-5
text_learning_rate = 2e-5
weight_decay = 0.0
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "mosei",
            r#"
[data]
frames = "word"
[model.mag-bert]
gate_dropout = 0.2
[train]
batch_size = 32
learning_rate = 1e-5
text_learning_rate = 1e-5
weight_decay = 0.0
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "sims",
            r#"
[data]
frames = "word"
[model.mag-bert]
gate_dropout = 0.1
[train]
batch_size = 32
learning_rate = 5e-5
text_learning_rate = 5e-5
weight_decay = 0.0
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        // The original code, for both data sets.
        (
            "original",
            r#"
[data]
frames = "word"
[model.mag-bert]
gate_dropout = 0.5
loss = "mse"
[train]
epochs = 40
patience = 40
batch_size = 48
learning_rate = 1e-5
text_learning_rate = 1e-5
weight_decay = 0.01
decoupled_decay = true
schedule = "warmup-linear"
warmup = 0.1
max_grad_norm = 0.0
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &["beta", "gate_dropout", "dropout", "loss"];

    fn check(&self, key: &str, task: &Task) -> Result<(), ConfigError> {
        if !task.uses(Modality::Text) {
            return Err(ConfigError(format!(
                "{key} shifts the embeddings of a text; put text into data.modalities"
            )));
        }
        ConfigError::at_least_zero(&format!("{key}.beta"), self.beta)?;
        ConfigError::fraction(&format!("{key}.gate_dropout"), self.gate_dropout)?;
        ConfigError::fraction(&format!("{key}.dropout"), self.dropout)
    }
}

/// The gate.
#[derive(Module, Debug)]
pub struct Gate {
    /// `[dv + H] -> [H]`.
    pub w_hv: Linear,
    /// `[da + H] -> [H]`.
    pub w_ha: Linear,
    /// `[dv] -> [H]`.
    pub w_v: Linear,
    /// `[da] -> [H]`.
    pub w_a: Linear,
    /// Of the shifted embedding.
    pub norm: LayerNorm,
    /// Behind it, in training.
    pub dropout: Dropout,
}

impl Gate {
    fn init(
        [vision, audio]: [usize; 2],
        hidden: usize,
        dropout: f64,
        std: f64,
        device: &Device,
    ) -> Self {
        Self {
            w_hv: normal_linear(vision + hidden, hidden, std, device),
            w_ha: normal_linear(audio + hidden, hidden, std, device),
            w_v: normal_linear(vision, hidden, std, device),
            w_a: normal_linear(audio, hidden, std, device),
            norm: LayerNormConfig::new(hidden).init(device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    fn forward(&self, e: Tensor<2>, vision: Tensor<2>, audio: Tensor<2>, beta: f64) -> Tensor<2> {
        let shift = |gate: &Linear, linear: &Linear, frames: Tensor<2>| {
            let both = Tensor::cat(vec![frames.clone(), e.clone()], 1);
            relu(gate.forward(both)) * linear.forward(frames)
        };
        let s = shift(&self.w_hv, &self.w_v, vision) + shift(&self.w_ha, &self.w_a, audio);
        let norm = safe_norm(s.clone());
        let norm = norm.clone().mask_fill(norm.equal_elem(0.0), 1.0);
        let alpha = (safe_norm(e.clone()) * beta / (norm + 1e-6)).clamp_max(1.0);
        drop_out(&self.dropout, self.norm.forward(s * alpha + e.clone()))
    }
}

/// A linear layer as BERT starts it: weight normal, bias 0.
fn normal_linear(inputs: usize, outputs: usize, std: f64, device: &Device) -> Linear {
    let normal = Initializer::Normal { mean: 0.0, std };
    let mut linear = LinearConfig::new(inputs, outputs)
        .with_initializer(normal)
        .init(device);
    linear.bias = Some(Initializer::Zeros.init([outputs], device));
    linear
}

/// The network. Vision or audio that is not in use is a zero feature of every token.
#[derive(Module, Debug)]
pub struct MagBert {
    /// Text encoder.
    pub bert: Bert,
    /// Between its embeddings and its layers.
    pub mag: Option<Gate>,
    /// P: pretrained where the encoder's weights have it.
    pub pooler: Linear,
    /// Of the pooled token, in training.
    pub dropout: Dropout,
    /// `[H] -> [1]`.
    pub classifier: Linear,
    #[module(skip)]
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    config: MagBertConfig,
    /// Features of a frame of vision and audio, at least 1.
    widths: [usize; 2],
}

/// What the forward pass gives. Tokens are end to end.
#[derive(Clone, Debug)]
pub struct MagBertOutput {
    /// e, `[tokens, H]`.
    pub embedding: Tensor<2>,
    /// x, `[tokens, H]`.
    pub gated: Tensor<2>,
    /// h, `[batch, H]`.
    pub first: Tensor<2>,
    /// tanh P h, `[batch, H]`.
    pub pooled: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

impl ModelOutput for MagBertOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        vec![
            ("text encoder's output", self.first.clone()),
            ("pooled text", self.pooled.clone()),
            ("prediction", self.prediction.clone()),
        ]
    }
}

impl SentimentModel for MagBert {
    type Config = MagBertConfig;
    type State = ();
    type Output = MagBertOutput;

    const LOSSES: &'static [&'static str] = &["task"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^mag.w_hv", "bert.MAG.W_hv"),
        ("^mag.w_ha", "bert.MAG.W_ha"),
        ("^mag.w_v", "bert.MAG.W_v"),
        ("^mag.w_a", "bert.MAG.W_a"),
        ("^mag.norm", "bert.MAG.LayerNorm"),
        ("^pooler", "bert.pooler.dense"),
    ];

    fn init(
        config: &MagBertConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let Some((bert, text)) = text else {
            return Err(ModelError::Config(ConfigError(
                "MAG-BERT shifts the embeddings of a text, which needs a text encoder (text.bert); found none".into(),
            )));
        };
        let (hidden, std) = (text.hidden_size, text.initializer_range);
        let widths = [task.widths.vision, task.widths.audio].map(|width| width.max(1));
        let gate = || Gate::init(widths, hidden, config.gate_dropout, std, device);
        let pooler = bert.pooler(device);
        Ok(Self {
            mag: config.gate.then(gate),
            pooler: pooler.unwrap_or_else(|| normal_linear(hidden, hidden, std, device)),
            dropout: DropoutConfig::new(config.dropout).init(),
            classifier: normal_linear(hidden, 1, std, device),
            bert,
            settings: Arc::new(Settings {
                config: config.clone(),
                widths,
            }),
        })
    }

    fn parameter_count(config: &MagBertConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let hidden = text.map_or(1, |bert| bert.hidden_size);
        let of_frames = |width: usize| {
            let width = width.max(1);
            sum([
                linear(width.saturating_add(hidden), hidden),
                linear(width, hidden),
            ])
        };
        let gate = sum([
            of_frames(task.widths.vision),
            of_frames(task.widths.audio),
            product([2, hidden]),
        ]);
        sum([
            text.map_or(0, bert_parameters),
            if config.gate { gate } else { 0 },
            linear(hidden, hidden),
            linear(hidden, 1),
        ])
    }

    fn init_state(_: &MagBertConfig, _: &Task, _: &[f32]) {}

    fn check_state(&self, (): &()) -> Result<(), ModelError> {
        Ok(())
    }

    fn needs(config: &MagBertConfig) -> Needs {
        Needs {
            text: TextNeed::TokenIds,
            frames: if config.gate {
                FrameNeed::PerToken
            } else {
                FrameNeed::Own
            },
            absent: AbsentNeed::ZeroFrame,
            ..Needs::default()
        }
    }

    /// One rate; biases and norms, the gate's included, are not decayed.
    fn recipe(_: &MagBertConfig, rates: &Rates) -> Recipe {
        let mut recipe = recipe(rates, 1, true);
        let still = r"\.(bias|gamma|beta)$";
        let text = r"^bert\..*\.(bias|gamma|beta)$";
        recipe.groups.extend([
            ParameterGroup::new("undecayed", still, rates.learning_rate, 0.0),
            ParameterGroup::new("text_undecayed", text, rates.text_learning_rate, 0.0),
        ]);
        recipe
    }

    fn forward(&self, batch: &Batch, (): &(), _: Mode) -> Result<MagBertOutput, ModelError> {
        let Some(TextBatch::Tokens(tokens)) = &batch.text else {
            let found = match &batch.text {
                None => "no text",
                Some(_) => "states of a text encoder",
            };
            return Err(ModelError::Config(ConfigError(format!(
                "MAG-BERT shifts the embeddings of a text's tokens; found {found}: put text into data.modalities"
            ))));
        };
        let Settings { config, widths } = &*self.settings;
        let embedding = self.bert.embed(tokens);
        let gated = match &self.mag {
            None => embedding.clone(),
            Some(gate) => {
                let count = tokens.ids.len();
                let frames = |input: Option<&SequenceBatch>, width: usize| {
                    match input {
                    None => Ok(Tensor::zeros([count, width], &embedding.device())),
                    Some(frames) if frames.lengths.iter().copied().eq(tokens.lens()) => {
                        Ok(frames.packed().states)
                    }
                    Some(_) => Err(ModelError::Config(ConfigError(
                        "MAG-BERT needs one frame of vision and audio for each token; these data are not aligned to words"
                            .into(),
                    ))),
                }
                };
                let vision = frames(batch.vision.as_ref(), widths[0])?;
                let audio = frames(batch.audio.as_ref(), widths[1])?;
                gate.forward(embedding.clone(), vision, audio, config.beta)
            }
        };
        let layers = 0..self.bert.depth();
        let first = self
            .bert
            .layers_first(gated.clone(), &tokens.offsets, layers);
        let pooled = self.pooler.forward(first.clone()).tanh();
        let prediction = self
            .classifier
            .forward(drop_out(&self.dropout, pooled.clone()));
        Ok(MagBertOutput {
            embedding,
            gated,
            first,
            pooled,
            prediction,
        })
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut MagBertOutput,
        (): &(),
        _: Mode,
    ) -> Result<Loss, ModelError> {
        let prediction = output.prediction();
        let task = match self.settings.config.loss {
            MagLoss::L1 => l1(batch, prediction),
            MagLoss::Mse => mse(batch, prediction),
        };
        Ok(Loss {
            total: task.clone(),
            parts: vec![Some(task)],
        })
    }

    fn text_encoder(&self) -> Option<&Bert> {
        Some(&self.bert)
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let head = self.pooler.num_params() + self.classifier.num_params();
        let gate = self.mag.as_ref().map_or(0, Module::num_params);
        vec![("gate", gate), ("head", head)]
    }
}
