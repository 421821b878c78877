//! MISA: modality-invariant and -specific representations (Hazarika et al., ACM MM 2020). Each modality is seen twice: by
//! an encoder of its own, and by one that all share.
//!
//! With m in {text, vision, audio}:
//!
//! ```text
//! u_text       = mean of the text encoder's states of all tokens
//! u_v, u_a     = [h1 forward end, h2 forward end, h1 backward end, h2 backward end] of two bidirectional LSTMs
//!                with a layer normalisation between them
//! o_m          = LayerNorm ReLU Linear u_m
//! p_m          = sigmoid Linear_m o_m        s_m = sigmoid Linear_shared o_m        r_m = Linear_m (p_m + s_m)
//! X            = transformer layer over the six rows p_t, p_v, p_a, s_t, s_v, s_a
//! prediction   = L2 ReLU dropout L1 [X_1..X_6]
//! loss         = task + diff_weight difference + sim_weight similarity + recon_weight reconstruction
//! task         = mean (prediction - label)^2
//! difference   = D(p_t,s_t) + D(p_v,s_v) + D(p_a,s_a) + D(p_a,p_t) + D(p_a,p_v) + D(p_t,p_v)
//! similarity   = (C(s_t,s_v) + C(s_t,s_a) + C(s_a,s_v)) / 3
//! reconstruction = (mean (r_t - o_t)^2 + mean (r_v - o_v)^2 + mean (r_a - o_a)^2) / 3
//! D(X,Y)       = mean of the squares of unit(X)^T unit(Y); unit: rows less the batch's mean, over their norms (constants)
//! C(X,Y)       = |mean X - mean Y| + sum_k |mean (X - mean X)^k - mean (Y - mean Y)^k|,  k = 2..5
//! ```
//!
//! # Where the published codes differ
//!
//! The defaults are MMSA a94e65d but for the first row; `published = true` is MMSA to the letter.
//!
//! | point | original | MMSA | here |
//! |---|---|---|---|
//! | frames that are read | one per word | as many as the text has tokens | `lengths = "own"`, or `"text"` |
//! | LSTM's recurrent weights | orthogonal | uniform | `init = "pytorch"`, or `"orthogonal"` |
//! | epoch that is kept | least validation MSE | the same | least validation MAE, as for all |
//! | |x| at 0, a batch of one segment | | gradients are NaN | the gradient is 0 |
//! | a discriminator, a norm of text | computed, never trained | the same | left out |
//! | gradients | of one batch | sum of `accumulate` batches, an epoch's rest dropped | as MMSA, `flush_rest = true`, or `false` |

use std::sync::Arc;

use burn::module::{Initializer, Module};
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::init::pytorch_linear_init;
use mmrest_encoders::{
    Bert, BertConfig, BiLstm, LstmConfig, TransformerLayer, TransformerLayerConfig, drop_out,
};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, lstm, product, sum};
use crate::error::{ConfigError, ModelError};
use crate::layers::{mse, needs, packed_to, recipe, safe_norm, whole};
use crate::model::{Loss, Mode, ModelOutput, Presets, SentimentModel};
use crate::needs::Needs;
use crate::recipe::{Rates, Recipe};
use crate::sequences::{PackedStates, SequenceBatch};
use crate::task::Task;

/// How many frames of audio and vision are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameLengths {
    /// A segment's own.
    #[default]
    Own,
    /// As many as its text has tokens, as MMSA does: of unaligned data the first few.
    Text,
}

/// How the LSTMs' recurrent weights start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LstmInit {
    /// Uniform, as PyTorch's do.
    #[default]
    Pytorch,
    /// Orthogonal, as in the original code.
    Orthogonal,
}

/// `[model.misa]`. The defaults are MMSA's values for MOSI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MisaConfig {
    /// Size Hd of every representation, even.
    pub hidden: usize,
    /// Width between the linear layers of the fusion's transformer layer.
    pub feed_forward: usize,
    /// Dropout between the last two layers.
    pub dropout: f64,
    /// Dropout of the fusion's transformer layer: PyTorch's own.
    pub fusion_dropout: f64,
    /// Weight of the difference.
    pub diff_weight: f64,
    /// Weight of the similarity.
    pub sim_weight: f64,
    /// Weight of the reconstruction.
    pub recon_weight: f64,
    /// How many frames are read.
    pub lengths: FrameLengths,
    /// How the LSTMs' recurrent weights start.
    pub init: LstmInit,
    /// Batches whose gradients are summed for one step.
    pub accumulate: usize,
    /// Whether what is left of an epoch, fewer batches than that, makes a step of its own; otherwise it is dropped.
    pub flush_rest: bool,
    /// MMSA's code to the letter, whatever the switches say.
    pub published: bool,
}

impl Default for MisaConfig {
    fn default() -> Self {
        Self {
            hidden: 128,
            feed_forward: 2048,
            dropout: 0.2,
            fusion_dropout: 0.1,
            diff_weight: 0.1,
            sim_weight: 0.3,
            recon_weight: 1.0,
            lengths: FrameLengths::Own,
            init: LstmInit::Pytorch,
            accumulate: 2,
            flush_rest: true,
            published: false,
        }
    }
}

impl Presets for MisaConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[train]
batch_size = 16
learning_rate = 1e-4
text_learning_rate = 1e-4
weight_decay = 0.0
max_grad_norm = 0.0
max_grad_value = 0.8
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "mosei",
            r#"
[model.misa]
dropout = 0.5
diff_weight = 0.3
sim_weight = 0.8
[train]
batch_size = 64
learning_rate = 1e-4
text_learning_rate = 1e-4
weight_decay = 0.0
max_grad_norm = 0.0
max_grad_value = 0.8
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "sims",
            r#"
[model.misa]
dropout = 0.0
diff_weight = 0.3
sim_weight = 1.0
recon_weight = 0.8
[train]
batch_size = 64
learning_rate = 1e-4
text_learning_rate = 1e-4
weight_decay = 0.0
max_grad_norm = 0.0
max_grad_value = 1.0
plateau_factor = 1.0
patience = 8
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "dropout",
        "fusion_dropout",
        "diff_weight",
        "sim_weight",
        "recon_weight",
        "accumulate",
        "flush_rest",
    ];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("hidden", self.hidden),
            ("feed_forward", self.feed_forward),
            ("accumulate", self.accumulate),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        if !self.hidden.is_multiple_of(2) {
            return Err(ConfigError(format!(
                "{key}.hidden must be even, for the fusion has two heads, found {}",
                self.hidden
            )));
        }
        for (name, value) in [
            ("dropout", self.dropout),
            ("fusion_dropout", self.fusion_dropout),
        ] {
            ConfigError::fraction(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in [
            ("diff_weight", self.diff_weight),
            ("sim_weight", self.sim_weight),
            ("recon_weight", self.recon_weight),
        ] {
            ConfigError::at_least_zero(&format!("{key}.{name}"), value)?;
        }
        Ok(())
    }
}

/// Two bidirectional LSTMs with a normalisation between them.
#[derive(Module, Debug)]
pub struct FrameReader {
    /// `[features] -> [2 features]`.
    pub rnn1: BiLstm,
    /// Of the first one's states.
    pub norm: LayerNorm,
    /// `[2 features] -> [2 features]`.
    pub rnn2: BiLstm,
}

impl FrameReader {
    fn init(features: usize, init: LstmInit, device: &Device) -> Self {
        let features = features.max(1);
        let lstm = |input: usize| {
            let mut lstm = BiLstm::init(&LstmConfig::new(input, features), device);
            if init == LstmInit::Orthogonal {
                for direction in [&mut lstm.forward, &mut lstm.backward] {
                    let orthogonal = Initializer::Orthogonal { gain: 1.0 };
                    direction.weight_hh = orthogonal.init([features, 4 * features], device);
                }
            }
            lstm
        };
        Self {
            rnn1: lstm(features),
            norm: LayerNormConfig::new(2 * features).init(device),
            rnn2: lstm(2 * features),
        }
    }

    fn parameters(features: usize) -> u128 {
        let features = features.max(1);
        let wide = features.saturating_mul(2);
        sum([
            lstm(features, features).saturating_mul(2),
            product([2, wide]),
            lstm(wide, features).saturating_mul(2),
        ])
    }

    /// u, `[batch, 4 features]`.
    fn forward(&self, frames: &SequenceBatch, lengths: &[usize]) -> Tensor<2> {
        let PackedStates { states, offsets } = packed_to(frames, lengths);
        let (states, [forward_1, backward_1]) = self.rnn1.states(states, &offsets);
        let (_, [forward_2, backward_2]) = self.rnn2.states(self.norm.forward(states), &offsets);
        Tensor::cat(vec![forward_1, forward_2, backward_1, backward_2], 1)
    }
}

/// A linear layer, ReLU and a normalisation.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[inputs] -> [Hd]`.
    pub linear: Linear,
    /// Of the result.
    pub norm: LayerNorm,
}

impl Projection {
    fn init(inputs: usize, hidden: usize, device: &Device) -> Self {
        Self {
            linear: pytorch_linear_init(inputs, hidden, device),
            norm: LayerNormConfig::new(hidden).init(device),
        }
    }

    fn forward(&self, u: Tensor<2>) -> Tensor<2> {
        self.norm.forward(relu(self.linear.forward(u)))
    }
}

/// The network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct Misa {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Of vision.
    pub vision: FrameReader,
    /// Of audio.
    pub audio: FrameReader,
    /// Makes o of text.
    pub project_text: Projection,
    /// Makes o of vision.
    pub project_vision: Projection,
    /// Makes o of audio.
    pub project_audio: Projection,
    /// Makes p of text.
    pub private_text: Linear,
    /// Makes p of vision.
    pub private_vision: Linear,
    /// Makes p of audio.
    pub private_audio: Linear,
    /// Makes s of all.
    pub shared: Linear,
    /// Makes r of text.
    pub recon_text: Linear,
    /// Makes r of vision.
    pub recon_vision: Linear,
    /// Makes r of audio.
    pub recon_audio: Linear,
    /// Over the six rows of a segment.
    pub transformer: TransformerLayer,
    /// `[6 Hd] -> [3 Hd]`.
    pub fusion_layer_1: Linear,
    /// Before the last layer, in training.
    pub fusion_dropout: Dropout,
    /// `[3 Hd] -> [1]`.
    pub fusion_layer_3: Linear,
    #[module(skip)]
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    config: MisaConfig,
    lower_layers: usize,
}

/// What the forward pass gives. Arrays are in the order text, vision, audio.
#[derive(Clone, Debug)]
pub struct MisaOutput {
    /// o of each modality, `[batch, Hd]`.
    pub originals: [Tensor<2>; 3],
    /// p.
    pub private: [Tensor<2>; 3],
    /// s.
    pub shared: [Tensor<2>; 3],
    /// r.
    pub reconstructed: [Tensor<2>; 3],
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

impl ModelOutput for MisaOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let names = [
            "text representation",
            "vision representation",
            "audio representation",
            "private text",
            "private vision",
            "private audio",
            "shared text",
            "shared vision",
            "shared audio",
            "reconstructed text",
            "reconstructed vision",
            "reconstructed audio",
            "prediction",
        ];
        let tensors = self.originals.iter().chain(&self.private);
        let tensors = tensors.chain(&self.shared).chain(&self.reconstructed);
        let tensors = tensors.chain([&self.prediction]);
        names.into_iter().zip(tensors.cloned()).collect()
    }
}

impl SentimentModel for Misa {
    type Config = MisaConfig;
    type State = ();
    type Output = MisaOutput;

    /// Its losses compare the segments of complete batches.
    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task", "difference", "similarity", "reconstruction"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^bert.", "bertmodel.model."),
        ("^vision.rnn", "vrnn"),
        ("^vision.norm", "vlayer_norm"),
        ("^audio.rnn", "arnn"),
        ("^audio.norm", "alayer_norm"),
        ("^project_text.linear", "project_t.project_t"),
        ("^project_text.norm", "project_t.project_t_layer_norm"),
        ("^project_vision.linear", "project_v.project_v"),
        ("^project_vision.norm", "project_v.project_v_layer_norm"),
        ("^project_audio.linear", "project_a.project_a"),
        ("^project_audio.norm", "project_a.project_a_layer_norm"),
        ("^private_text", "private_t.private_t_1"),
        ("^private_vision", "private_v.private_v_1"),
        ("^private_audio", "private_a.private_a_3"),
        ("^shared", "shared.shared_1"),
        ("^recon_text", "recon_t.recon_t_1"),
        ("^recon_vision", "recon_v.recon_v_1"),
        ("^recon_audio", "recon_a.recon_a_1"),
        ("^transformer.", "transformer_encoder.layers.0."),
        ("^fusion_layer", "fusion.fusion_layer"),
    ];

    fn init(
        config: &MisaConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let states = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let hidden = config.hidden;
        let square = || pytorch_linear_init(hidden, hidden, device);
        let (of_vision, of_audio) = (task.widths.vision, task.widths.audio);
        let transformer = TransformerLayerConfig {
            width: hidden,
            heads: 2,
            wide: config.feed_forward,
            norm_first: false,
            xavier: false,
            attention_dropout: config.fusion_dropout,
            relu_dropout: config.fusion_dropout,
            residual_dropout: config.fusion_dropout,
        };
        let init = if config.published {
            LstmInit::Pytorch
        } else {
            config.init
        };
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            vision: FrameReader::init(of_vision, init, device),
            audio: FrameReader::init(of_audio, init, device),
            project_text: Projection::init(states, hidden, device),
            project_vision: Projection::init(4 * of_vision.max(1), hidden, device),
            project_audio: Projection::init(4 * of_audio.max(1), hidden, device),
            private_text: square(),
            private_vision: square(),
            private_audio: square(),
            shared: square(),
            recon_text: square(),
            recon_vision: square(),
            recon_audio: square(),
            transformer: transformer.init(device),
            fusion_layer_1: pytorch_linear_init(6 * hidden, 3 * hidden, device),
            fusion_dropout: DropoutConfig::new(config.dropout).init(),
            fusion_layer_3: pytorch_linear_init(3 * hidden, 1, device),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &MisaConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let states = text.map_or(1, |bert| bert.hidden_size);
        let (hidden, wide) = (config.hidden, config.feed_forward);
        let times = |factor: usize| hidden.saturating_mul(factor);
        let norm = product([2, hidden]);
        let ends = |features: usize| features.max(1).saturating_mul(4);
        let projection = |inputs: usize| sum([linear(inputs, hidden), norm]);
        sum([
            text.map_or(0, bert_parameters),
            FrameReader::parameters(task.widths.vision),
            FrameReader::parameters(task.widths.audio),
            projection(states),
            projection(ends(task.widths.vision)),
            projection(ends(task.widths.audio)),
            linear(hidden, hidden).saturating_mul(7),
            linear(hidden, times(3)),
            linear(hidden, hidden),
            linear(hidden, wide),
            linear(wide, hidden),
            norm.saturating_mul(2),
            linear(times(6), times(3)),
            linear(times(3), 1),
        ])
    }

    fn init_state(_: &MisaConfig, _: &Task, _: &[f32]) {}

    fn check_state(&self, (): &()) -> Result<(), ModelError> {
        Ok(())
    }

    fn needs(_: &MisaConfig) -> Needs {
        needs(2)
    }

    fn recipe(config: &MisaConfig, rates: &Rates) -> Recipe {
        let flush_rest = config.flush_rest && !config.published;
        recipe(rates, config.accumulate, flush_rest)
    }

    fn forward(&self, batch: &Batch, (): &(), _: Mode) -> Result<MisaOutput, ModelError> {
        let Settings {
            config,
            lower_layers,
        } = &*self.settings;
        let segments = batch.len();
        let device = self.project_text.linear.weight.device();
        let text = batch.all_tokens(self.bert.as_ref(), *lower_layers, &device);
        let of_text = text.lengths();
        let by_text = config.published || config.lengths == FrameLengths::Text;
        let read = |reader: &FrameReader, modality: Modality| {
            let frames = batch.frames(modality, &device);
            let lengths = if by_text { &of_text } else { &frames.lengths };
            reader.forward(&frames, lengths)
        };
        let originals = [
            self.project_text.forward(text.mean()),
            self.project_vision
                .forward(read(&self.vision, Modality::Vision)),
            self.project_audio
                .forward(read(&self.audio, Modality::Audio)),
        ];
        let private = [
            &self.private_text,
            &self.private_vision,
            &self.private_audio,
        ];
        let recon = [&self.recon_text, &self.recon_vision, &self.recon_audio];
        let private = [0, 1, 2].map(|m| sigmoid(private[m].forward(originals[m].clone())));
        let shared = [0, 1, 2].map(|m| sigmoid(self.shared.forward(originals[m].clone())));
        let reconstructed =
            [0, 1, 2].map(|m| recon[m].forward(private[m].clone() + shared[m].clone()));
        let hidden = config.hidden;
        let six = private.iter().chain(&shared).cloned().collect();
        let six = Tensor::stack::<3>(six, 1).reshape([6 * segments, hidden]);
        let offsets: Vec<usize> = (0..=segments).map(|segment| 6 * segment).collect();
        let six = self.transformer.within(six, &offsets, false);
        let x = self
            .fusion_layer_1
            .forward(six.reshape([segments, 6 * hidden]));
        let x = relu(drop_out(&self.fusion_dropout, x));
        Ok(MisaOutput {
            originals,
            private,
            shared,
            reconstructed,
            prediction: self.fusion_layer_3.forward(x),
        })
    }

    /// In evaluation the task's part alone.
    fn loss(
        &self,
        batch: &Batch,
        output: &mut MisaOutput,
        (): &(),
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "MISA")?;
        let task = mse(batch, output.prediction());
        if mode == Mode::Evaluate {
            return Ok(Loss {
                total: task.clone(),
                parts: vec![Some(task), None, None, None],
            });
        }
        let config = &self.settings.config;
        let [p_t, p_v, p_a] = output.private.clone().map(unit);
        let [s_t, s_v, s_a] = output.shared.clone().map(unit);
        let difference = overlap(&p_t, &s_t)
            + overlap(&p_v, &s_v)
            + overlap(&p_a, &s_a)
            + overlap(&p_a, &p_t)
            + overlap(&p_a, &p_v)
            + overlap(&p_t, &p_v);
        let [s_t, s_v, s_a] = output.shared.clone().map(moments);
        let similarity =
            (discrepancy(&s_t, &s_v) + discrepancy(&s_t, &s_a) + discrepancy(&s_a, &s_v)) / 3.0;
        let pairs = output.reconstructed.iter().zip(&output.originals);
        let errors = pairs.map(|(r, o)| square(r.clone() - o.clone()).mean());
        let reconstruction = Tensor::cat(errors.collect(), 0).mean();
        let total = task.clone()
            + difference.clone() * config.diff_weight
            + similarity.clone() * config.sim_weight
            + reconstruction.clone() * config.recon_weight;
        Ok(Loss {
            total,
            parts: vec![
                Some(task),
                Some(difference),
                Some(similarity),
                Some(reconstruction),
            ],
        })
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let linears = [
            &self.private_text,
            &self.private_vision,
            &self.private_audio,
            &self.shared,
            &self.recon_text,
            &self.recon_vision,
            &self.recon_audio,
        ];
        let projections = [
            &self.project_text,
            &self.project_vision,
            &self.project_audio,
        ];
        let representations = linears.map(Module::num_params).iter().sum::<usize>()
            + projections.map(Module::num_params).iter().sum::<usize>();
        let fusion = [&self.fusion_layer_1, &self.fusion_layer_3];
        vec![
            ("vision", self.vision.num_params()),
            ("audio", self.audio.num_params()),
            ("representations", representations),
            (
                "fusion",
                self.transformer.num_params()
                    + fusion.map(Module::num_params).iter().sum::<usize>(),
            ),
        ]
    }
}

fn square<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * x
}

/// Rows less the batch's mean, over their norms, which are constants.
fn unit(x: Tensor<2>) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(0);
    let norm = safe_norm(centred.clone().detach());
    centred / (norm + 1e-6)
}

/// D, `[1]`, of two that have passed [`unit`].
fn overlap(x: &Tensor<2>, y: &Tensor<2>) -> Tensor<1> {
    square(x.clone().transpose().matmul(y.clone())).mean()
}

/// The batch's mean and its central moments 2 to 5, `[5, Hd]`.
fn moments(x: Tensor<2>) -> Tensor<2> {
    let mean = x.clone().mean_dim(0);
    let centred = x - mean.clone();
    let mut power = centred.clone();
    let mut rows = vec![mean];
    for _ in 2..=5 {
        power = power * centred.clone();
        rows.push(power.clone().mean_dim(0));
    }
    Tensor::cat(rows, 0)
}

/// C, `[1]`, of two that have passed [`moments`].
fn discrepancy(x: &Tensor<2>, y: &Tensor<2>) -> Tensor<1> {
    safe_norm(x.clone() - y.clone()).sum()
}
