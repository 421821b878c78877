//! DMD: decoupled multimodal distilling (Li, Wang & Cui, CVPR 2023). Each modality is parted into what it shares with the
//! others and what is its own; on both, modalities teach each other along a graph whose edges are learned.
//!
//! With m in text, vision, audio:
//!
//! ```text
//! p_m = Conv(x_m)     s_m = S_m p_m (its own)     c_m = C p_m (common)     r_m = D_m [s_m; c_m]     s'_m = S_m r_m
//! low:    u_m, y_m_low  = Head(flat c_m)
//! common: cf = last of Encoder(c_text), .. side by side                    y_c = Head(cf)
//! high:   e_m = last of Memory [CrossEncoder(s_m from s_n); CrossEncoder(s_m from s_k)]     z_m, y_m_high = Head(e_m)
//! prediction = Head [sigmoid(G_m e_m) ..; sigmoid(G_c cf)]
//! task = L1 of prediction, y_c, three y_low, three y_high, added up
//! loss = task + 0.05 (homo + hetero) + 0.1 (cycle + recon + 0.1 (margin + ort))
//! ```
//!
//! `homo` and `hetero` are the graphs over low and high scores and representations (`dmd/layers.rs`): each regularises
//! its edges and lets students come near to their teachers. `recon` and `cycle` are mean squares of `r_m - p_m` and `s'_m
//! - s_m`, `ort` keeps s_m and c_m orthogonal, `margin` orders the common parts by label.
//!
//! # Where the published code differs from the paper, and what is done here
//!
//! The published code is `mdswyz/DMD` 516d4e1.
//!
//! | point | published | here |
//! |---|---|---|
//! | ort | its cosine runs over the batch | `ort_axis = "channel"`, or `"batch"` |
//! | high representations | pushed away from their teacher; low ones not distilled | `distil_repr = "l1"`, or `"published"` |
//! | batches left over after the last step of an epoch | lost | `flush_rest = true`, or `false` |
//! | last step of a sequence | padding, where it is shorter than its length | as the code |
//! | text padding | states of BERT | zeros |
//! | features of the prediction | the sigmoids themselves, nothing is gated | as the code |
//! | an equal layer of s_m (`proj_cosine_*`) | computed, never used | absent |
//! | `weight_decay` | in the configuration, never used | 0 |
//!
//! `published = true` sets the first three as published.

mod config;
mod layers;

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::sigmoid;
use burn::tensor::module::conv1d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::init::{WeightInit, uniform_init};
use mmrest_encoders::{Bert, BertConfig};

pub use self::config::{DistilRepr, DmdConfig, OrtAxis};
use self::layers::{Channels, Encoder, Graph, Head, cosine, margin, positions};
use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, product, sum};
use crate::error::ModelError;
use crate::layers::{check_encoder, l1, needs, recipe, whole};
use crate::model::{Loss, Mode, ModelOutput, SentimentModel};
use crate::needs::{Longest, Needs};
use crate::recipe::{Rates, Recipe};
use crate::task::Task;

/// The edges that are known to teach among low representations: from text.
const HOMO_KNOWN: [f32; 6] = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0];
/// Among high ones: from text, and from vision to audio.
const HETERO_KNOWN: [f32; 6] = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0];
const GRAPH_WEIGHT: f64 = 0.05;
const DECOUPLING_WEIGHT: f64 = 0.1;

/// The DMD network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct Dmd {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Of the text's states, in training.
    pub text_dropout: Dropout,
    /// Text.
    pub text: Branch,
    /// Vision.
    pub vision: Branch,
    /// Audio.
    pub audio: Branch,
    /// C, `[d, d, 1]`.
    pub common: Channels,
    /// The head of the common parts.
    pub common_head: Head,
    /// G_c.
    pub common_gate: Linear,
    /// The head of the prediction.
    pub head: Head,
    /// The graph of low representations.
    pub homo: Graph,
    /// The graph of high representations.
    pub hetero: Graph,
    #[module(skip)]
    settings: Arc<Settings>,
}

/// The layers of one modality.
#[derive(Module, Debug)]
pub struct Branch {
    /// The first convolution, `[d, features, kernel]`.
    pub convolution: Param<Tensor<3>>,
    /// S.
    pub private: Channels,
    /// D.
    pub decoder: Channels,
    /// `[d T] -> [d]`: of the margin loss.
    pub align: Linear,
    /// The low head.
    pub low: Head,
    /// The encoder of the common part.
    pub encoder: Encoder,
    /// Attends to the first of the other modalities.
    pub first: Encoder,
    /// Attends to the second of the other modalities.
    pub second: Encoder,
    /// Reads both.
    pub memory: Encoder,
    /// The high head.
    pub high: Head,
    /// G.
    pub gate: Linear,
}

/// Configuration and task, resolved.
#[derive(Clone, Debug)]
struct Settings {
    config: DmdConfig,
    /// How many of the text encoder's lower layers are not trained.
    lower_layers: usize,
}

/// What the forward pass gives of one modality.
#[derive(Clone, Debug)]
pub struct Decoupled {
    /// p, `[batch, d, T]`.
    pub origin: Tensor<3>,
    /// s, `[batch, d, T]`.
    pub private: Tensor<3>,
    /// c, `[batch, d, T]`.
    pub common: Tensor<3>,
    /// r, `[batch, d, T]`.
    pub reconstructed: Tensor<3>,
    /// s', `[batch, d, T]`.
    pub private_again: Tensor<3>,
    /// What the margin loss orders, `[batch, d]`.
    pub aligned: Tensor<2>,
    /// u, `[batch, d]`.
    pub low: Tensor<2>,
    /// `[batch, 1]`.
    pub low_score: Tensor<2>,
    /// e, `[batch, 2d]`.
    pub last: Tensor<2>,
    /// z, `[batch, 2d]`.
    pub high: Tensor<2>,
    /// `[batch, 1]`.
    pub high_score: Tensor<2>,
}

/// What the forward pass gives.
#[derive(Clone, Debug)]
pub struct DmdOutput {
    /// Of text, vision, audio.
    pub modalities: [Decoupled; 3],
    /// y_c, `[batch, 1]`.
    pub common_score: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

impl ModelOutput for DmdOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let names = [
            [
                "convolved text",
                "low score of text",
                "exclusive part of text",
            ],
            [
                "convolved vision",
                "low score of vision",
                "exclusive part of vision",
            ],
            [
                "convolved audio",
                "low score of audio",
                "exclusive part of audio",
            ],
        ];
        let stages = names.into_iter().zip(&self.modalities);
        let mut stages: Vec<_> = stages
            .flat_map(|([origin, low, last], own)| {
                [
                    (origin, own.origin.clone().flatten(1, 2)),
                    (low, own.low_score.clone()),
                    (last, own.last.clone()),
                ]
            })
            .collect();
        stages.push(("score of the common parts", self.common_score.clone()));
        stages.push(("prediction", self.prediction.clone()));
        stages
    }
}

/// The published names of one modality: field, letter, first and second other.
macro_rules! names {
    ($($field:literal, $m:literal, $first:literal, $second:literal;)* $(($own:literal, $published:literal),)*) => {
        &[
            ("^bert.", "dmd.text_model.model."),
            $(
                (concat!("^", $field, ".convolution"), concat!("dmd.proj_", $m, ".weight")),
                (concat!("^", $field, ".private."), concat!("dmd.encoder_s_", $m, ".")),
                (concat!("^", $field, ".decoder."), concat!("dmd.decoder_", $m, ".")),
                (concat!("^", $field, ".align."), concat!("dmd.align_c_", $m, ".")),
                (concat!("^", $field, ".low.first."), concat!("dmd.proj1_", $m, "_low.")),
                (concat!("^", $field, ".low.second."), concat!("dmd.proj2_", $m, "_low.")),
                (concat!("^", $field, ".low.out."), concat!("dmd.out_layer_", $m, "_low.")),
                (concat!("^", $field, ".high.first."), concat!("dmd.proj1_", $m, "_high.")),
                (concat!("^", $field, ".high.second."), concat!("dmd.proj2_", $m, "_high.")),
                (concat!("^", $field, ".high.out."), concat!("dmd.out_layer_", $m, "_high.")),
                (concat!("^", $field, ".encoder."), concat!("dmd.self_attentions_c_", $m, ".")),
                (concat!("^", $field, ".first."), concat!("dmd.trans_", $m, "_with_", $first, ".")),
                (concat!("^", $field, ".second."), concat!("dmd.trans_", $m, "_with_", $second, ".")),
                (concat!("^", $field, ".memory."), concat!("dmd.trans_", $m, "_mem.")),
                (concat!("^", $field, ".gate."), concat!("dmd.weight_", $m, ".")),
            )*
            $(($own, $published),)*
        ]
    };
}

impl SentimentModel for Dmd {
    type Config = DmdConfig;
    type State = ();
    type Output = DmdOutput;

    /// Its margins and edges are of complete batches.
    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &[
        "task",
        "recon",
        "cycle",
        "ort",
        "margin",
        "homo_reg",
        "homo_logit",
        "homo_repr",
        "hetero_reg",
        "hetero_logit",
        "hetero_repr",
    ];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = names![
        "text", "l", "a", "v";
        "vision", "v", "l", "a";
        "audio", "a", "l", "v";
        ("^common.", "dmd.encoder_c."),
        ("^common_head.first.", "dmd.proj1_c."),
        ("^common_head.second.", "dmd.proj2_c."),
        ("^common_head.out.", "dmd.out_layer_c."),
        ("^common_gate.", "dmd.weight_c."),
        ("^head.first.", "dmd.proj1."),
        ("^head.second.", "dmd.proj2."),
        ("^head.out.", "dmd.out_layer."),
        ("^homo.edge.", "homo.W_edge."),
        ("^homo.logit.", "homo.W_logit."),
        ("^homo.repr.", "homo.W_repr."),
        ("^hetero.edge.", "hetero.W_edge."),
        ("^hetero.logit.", "hetero.W_logit."),
        ("^hetero.repr.", "hetero.W_repr."),
        (".norm.", ".layer_norm."),
        (".norm1.", ".layer_norms.0."),
        (".norm2.", ".layer_norms.1."),
        (".linear1.", ".fc1."),
        (".linear2.", ".fc2."),
    ];

    /// The published trainer saves its network without the graphs.
    const PUBLISHED_APART: &'static [&'static str] = &["homo.", "hetero."];

    fn init(
        config: &DmdConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_encoder(task, text.is_some())?;
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let d = config.width;
        let head = |width, inner| Head::init(width, inner, config.output_dropout, device);
        let gate = |width| WeightInit::PyTorch.linear(width, width, device);
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            text_dropout: DropoutConfig::new(config.text_dropout).init(),
            text: Branch::init(config, 0, hidden, device),
            vision: Branch::init(config, 2, task.widths.vision, device),
            audio: Branch::init(config, 1, task.widths.audio, device),
            common: Channels::init(d, d, device),
            common_head: head(3 * d, 3 * d),
            common_gate: gate(3 * d),
            head: head(9 * d, 9 * d),
            homo: Graph::init(d, config.homo_width, device),
            hetero: Graph::init(2 * d, config.hetero_width, device),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &DmdConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let hidden = text.map_or(1, |bert| bert.hidden_size);
        let d = config.width;
        let times = |n: usize| d.saturating_mul(n);
        sum([
            text.map_or(0, bert_parameters),
            Branch::parameter_count(config, 0, hidden),
            Branch::parameter_count(config, 1, task.widths.audio),
            Branch::parameter_count(config, 2, task.widths.vision),
            product([d, d]),
            Head::parameter_count(times(3), times(3)),
            linear(times(3), times(3)),
            Head::parameter_count(times(9), times(9)),
            Graph::parameter_count(d, config.homo_width),
            Graph::parameter_count(times(2), config.hetero_width),
        ])
    }

    fn init_state(_: &DmdConfig, _: &Task, _: &[f32]) {}

    fn check_state(&self, (): &()) -> Result<(), ModelError> {
        Ok(())
    }

    fn needs(config: &DmdConfig) -> Needs {
        let [text, audio, vision] = config.lengths.map(Some);
        Needs {
            longest: Longest {
                text,
                vision,
                audio,
            },
            ..needs(1)
        }
    }

    fn recipe(config: &DmdConfig, rates: &Rates) -> Recipe {
        let flush_rest = config.flush_rest && !config.published;
        recipe(rates, config.accumulate, flush_rest)
    }

    fn forward(&self, batch: &Batch, (): &(), _: Mode) -> Result<DmdOutput, ModelError> {
        let device = self.common_gate.weight.device();
        let lengths = self.settings.config.lengths;
        let (bert, lower) = (self.bert.as_ref(), self.settings.lower_layers);
        let text = batch.all_tokens(bert, lower, &device);
        let text = self
            .text_dropout
            .forward(text.padded(Some(lengths[0])).values);
        let audio = batch.frames(Modality::Audio, &device).resized(lengths[1]);
        let vision = batch.frames(Modality::Vision, &device).resized(lengths[2]);
        let inputs = [text, vision.values, audio.values];
        let branches = self.branches();
        let parts = branches.into_iter().zip(inputs);
        let [text, vision, audio] = three(parts.map(|(branch, x)| {
            let origin = branch.convolve(x);
            let private = branch.private.forward(origin.clone());
            let common = self.common.forward(origin.clone());
            (origin, private, common)
        }))?;
        let longest = (0..3).map(|modality| self.settings.config.time(modality));
        let (longest, width) = (longest.max().unwrap_or(0), self.settings.config.width);
        let [narrow, wide] = [1, 2].map(|times| positions(longest, times * width, &device));
        let common_last = [&text, &vision, &audio].into_iter().zip(self.branches());
        let common_last = common_last.map(|((_, _, common), branch)| {
            let common = common.clone().swap_dims(1, 2);
            last(branch.encoder.forward(common, None, &narrow))
        });
        let common = Tensor::cat(common_last.collect(), 1);
        let common_head = self.common_head.forward(common.clone());
        // The others of each modality, in the published order.
        let others = [
            (&text, [&audio, &vision]),
            (&vision, [&text, &audio]),
            (&audio, [&text, &vision]),
        ];
        let decoupled = self.branches().into_iter().zip(others);
        let modalities = three(decoupled.map(|(branch, (own, [first, second]))| {
            branch.decouple(own.clone(), [&first.1, &second.1], [&narrow, &wide])
        }))?;
        let gates = self.branches().into_iter().zip(&modalities);
        let mut features: Vec<_> = gates
            .map(|(branch, own)| sigmoid(branch.gate.forward(own.last.clone())))
            .collect();
        features.push(sigmoid(self.common_gate.forward(common)));
        let head = self.head.forward(Tensor::cat(features, 1));
        Ok(DmdOutput {
            modalities,
            common_score: common_head.score,
            prediction: head.score,
        })
    }

    /// In training all parts; in evaluation the absolute error alone.
    fn loss(
        &self,
        batch: &Batch,
        output: &mut DmdOutput,
        (): &(),
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "DMD")?;
        let error = |score: &Tensor<2>| l1(batch, score.clone().squeeze_dim(1));
        let mut task = error(&output.prediction);
        if mode == Mode::Evaluate {
            let mut parts = vec![None; Self::LOSSES.len()];
            parts[0] = Some(task.clone());
            return Ok(Loss { total: task, parts });
        }
        task = task + error(&output.common_score);
        let own = &output.modalities;
        for modality in own {
            task = task + error(&modality.low_score) + error(&modality.high_score);
        }
        let square = |a: &Tensor<3>, b: &Tensor<3>| (a.clone() - b.clone()).square().mean();
        let axis = match self.settings.config.ort_axis() {
            OrtAxis::Channel => 1,
            OrtAxis::Batch => 0,
        };
        let add = |of: &dyn Fn(&Decoupled) -> Tensor<1>| {
            let [text, vision, audio] = own;
            of(text) + of(vision) + of(audio)
        };
        let recon = add(&|m| square(&m.reconstructed, &m.origin));
        let cycle = add(&|m| square(&m.private_again, &m.private));
        let ort = add(&|m| {
            let cosines = cosine(m.private.clone(), m.common.clone(), axis);
            cosines.clamp_min(0.0).mean()
        });
        let rows = own.iter().map(|m| m.aligned.clone().unsqueeze_dim::<3>(1));
        let rows: Tensor<3> = Tensor::cat(rows.collect(), 1);
        let thrice: Vec<f32> = batch.labels.iter().flat_map(|&label| [label; 3]).collect();
        let margin = margin(rows.flatten(0, 1), &thrice);
        let each = |of: fn(&Decoupled) -> &Tensor<2>| {
            let [text, vision, audio] = own;
            [text, vision, audio].map(|m| of(m).clone())
        };
        let homo = self
            .homo
            .losses(&each(|m| &m.low_score), &each(|m| &m.low), HOMO_KNOWN);
        let hetero = self
            .hetero
            .losses(&each(|m| &m.high_score), &each(|m| &m.high), HETERO_KNOWN);
        let (homo_repr, hetero_repr) = match self.settings.config.distil_repr() {
            DistilRepr::L1 => (Some(homo.near), hetero.near),
            DistilRepr::Published => (None, hetero.similar),
        };
        let mut graphs = homo.logit.clone() + homo.reg.clone();
        if let Some(homo_repr) = &homo_repr {
            graphs = graphs + homo_repr.clone();
        }
        graphs = graphs + hetero.logit.clone() + hetero_repr.clone() + hetero.reg.clone();
        let order = (margin.clone() + ort.clone()) * DECOUPLING_WEIGHT;
        let decoupling = (cycle.clone() + recon.clone() + order) * DECOUPLING_WEIGHT;
        Ok(Loss {
            total: task.clone() + graphs * GRAPH_WEIGHT + decoupling,
            parts: vec![
                Some(task),
                Some(recon),
                Some(cycle),
                Some(ort),
                Some(margin),
                Some(homo.reg),
                Some(homo.logit),
                homo_repr,
                Some(hetero.reg),
                Some(hetero.logit),
                Some(hetero_repr),
            ],
        })
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let common = self.common.num_params() + self.common_head.num_params();
        vec![
            ("text", self.text.num_params()),
            ("vision", self.vision.num_params()),
            ("audio", self.audio.num_params()),
            ("common", common + self.common_gate.num_params()),
            ("head", self.head.num_params()),
            ("graphs", self.homo.num_params() + self.hetero.num_params()),
        ]
    }
}

/// Three values of an iterator.
fn three<T>(values: impl Iterator<Item = T>) -> Result<[T; 3], ModelError> {
    let values: Vec<T> = values.collect();
    let three = values.try_into();
    three.map_err(|_| ModelError::Internal("DMD has three modalities".into()))
}

/// The last time step of `[batch, time, width]`.
fn last(x: Tensor<3>) -> Tensor<2> {
    let time = x.dims()[1];
    x.narrow(1, time - 1, 1).squeeze_dim(1)
}

impl Dmd {
    /// Text, vision, audio.
    fn branches(&self) -> [&Branch; 3] {
        [&self.text, &self.vision, &self.audio]
    }

    /// The edges of the graphs of low and high representations, `[6, batch]` each.
    #[must_use]
    pub fn edges(&self, output: &DmdOutput) -> [Tensor<2>; 2] {
        let each = |of: fn(&Decoupled) -> &Tensor<2>| {
            let [text, vision, audio] = &output.modalities;
            [text, vision, audio].map(|m| of(m).clone())
        };
        let low = [each(|m| &m.low_score), each(|m| &m.low)];
        let high = [each(|m| &m.high_score), each(|m| &m.high)];
        [
            self.homo.losses(&low[0], &low[1], HOMO_KNOWN).edges,
            self.hetero.losses(&high[0], &high[1], HETERO_KNOWN).edges,
        ]
    }
}

impl Branch {
    /// `modality`: 0 text, 1 audio, 2 vision.
    fn init(config: &DmdConfig, modality: usize, features: usize, device: &Device) -> Self {
        let (d, features) = (config.width, features.max(1));
        let kernel = config.kernels[modality];
        let flat = d * config.time(modality);
        let encoder = |width, layers, attention: f64| {
            let layer = config.layer(width, attention);
            Encoder::init(layer, layers, config.embed_dropout, device)
        };
        // Attention is dropped as the modality says that it goes to.
        let [of_text, of_audio, of_vision] = config.attention_dropout;
        let [own, first, second] = match modality {
            0 => [of_text, of_audio, of_vision],
            1 => [of_audio, of_text, of_vision],
            _ => [of_vision, of_text, of_audio],
        };
        let linear = |input, output| WeightInit::PyTorch.linear(input, output, device);
        Self {
            convolution: uniform_init([d, features, kernel], features * kernel, device),
            private: Channels::init(d, d, device),
            decoder: Channels::init(2 * d, d, device),
            align: linear(flat, d),
            low: Head::init(flat, d, config.output_dropout, device),
            encoder: encoder(d, config.levels, own),
            first: encoder(d, config.levels, first),
            second: encoder(d, config.levels, second),
            memory: encoder(2 * d, config.memory_layers(), of_text),
            high: Head::init(2 * d, 2 * d, config.output_dropout, device),
            gate: linear(2 * d, 2 * d),
        }
    }

    fn parameter_count(config: &DmdConfig, modality: usize, features: usize) -> u128 {
        let d = config.width;
        let twice = d.saturating_mul(2);
        let flat = d.saturating_mul(config.time(modality));
        sum([
            product([d, features.max(1), config.kernels[modality]]),
            product([3, d, d]),
            linear(flat, d),
            Head::parameter_count(flat, d),
            Encoder::parameter_count(d, config.levels).saturating_mul(3),
            Encoder::parameter_count(twice, config.memory_layers()),
            Head::parameter_count(twice, twice),
            linear(twice, twice),
        ])
    }

    /// p, `[batch, d, T]`, from `x: [batch, time, features]`.
    fn convolve(&self, x: Tensor<3>) -> Tensor<3> {
        let options = ConvOptions::new([1], [0], [1], 1);
        conv1d(x.swap_dims(1, 2), self.convolution.val(), None, options)
    }

    /// What becomes of p, s and c of this modality and the s of the two others. Positions are of d and 2d.
    fn decouple(
        &self,
        (origin, private, common): (Tensor<3>, Tensor<3>, Tensor<3>),
        others: [&Tensor<3>; 2],
        [narrow, wide]: [&Tensor<3>; 2],
    ) -> Decoupled {
        let both = Tensor::cat(vec![private.clone(), common.clone()], 1);
        let reconstructed = self.decoder.forward(both);
        let in_time = |x: Tensor<3>| x.swap_dims(1, 2);
        let low = self.low.forward(in_time(common.clone()).flatten(1, 2));
        let [first, second] = others.map(|other| Some(in_time(other.clone())));
        let own = in_time(private.clone());
        let crossed = vec![
            self.first.forward(own.clone(), first, narrow),
            self.second.forward(own, second, narrow),
        ];
        let last = last(self.memory.forward(Tensor::cat(crossed, 2), None, wide));
        let high = self.high.forward(last.clone());
        Decoupled {
            aligned: self.align.forward(common.clone().flatten(1, 2)),
            private_again: self.private.forward(reconstructed.clone()),
            origin,
            private,
            common,
            reconstructed,
            low: low.hidden,
            low_score: low.score,
            last,
            high: high.sum,
            high_score: high.score,
        }
    }
}
