//! MCL-MCF: multi-level contrastive learning and multi-layer convolution fusion (Fan et al., IEEE Transactions on Affective
//! Computing, 2024). Contrasts of the same segment's representations, of one modality, of pairs and of their outer products,
//! shape what the score is made of.
//!
//! ```text
//! t = BERT's first token     v, a = Linear(LSTM(frames))
//! m_tv, m_va, m_ta, m_tva = Linear of [t; v], [v; a], [t; a], [t; v; a]
//! b_t, b_v, b_a, b_all = relu(Linear) of t, v, a, [t; a; v]
//! prediction = L3 tanh(L2 tanh(L1 dropout Linear [b_t; b_v; b_a; b_all]))
//! q_tv, q_ta, q_va = three convolutions of the outer products b_t b_v', b_t b_a', b_v b_a'
//! nce1 = C(t, a) + C(t, v) + C(v, a)
//! nce2 = C(t, m_va) + C(v, m_ta) + C(a, m_tv) + C(a, m_tva)
//! nce3 = C(q_tv, q_ta) + C(q_tv, q_va) + C(q_ta, q_va)
//! loss = mean |prediction - label| + 0.05 (nce1 + nce2 + nce3)
//! ```
//!
//! Each C (`mcl_mcf/layers.rs`) has weights of its own. What prediction needs is 2 of 199 million parameters.
//!
//! # Where the published code cannot be followed
//!
//! The published code is `Zhudogsi/MCL-MCF` 6e56e82.
//!
//! | point | published | here |
//! |---|---|---|
//! | third level | always on: 197 million parameters | `tensor = false`: nce3 is 0 |
//! | a convolved picture without a value | 0/0: NaN destroys every weight; 29 of 40 seeds in their first step | norms are at least 1e-8, or `tensor_last_relu = false` |
//! | the last hub | contrasted with audio, not text | as the code |
//! | scale | ln(1/0.07) = 2.66 for the usual 14.3 | `temperature = 0.07`, the logarithm as the code |
//! | end of an epoch | an unbound variable ends the run | absent |
//! | epoch | chosen on the test set | as every model: validation MAE |
//!
//! `published = true` has the third level on.

mod config;
mod layers;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::{Bert, BertConfig, SequenceEncoder, SequenceEncoderConfig};

pub use self::config::MclMcfConfig;
use self::layers::{Contrast, Pointwise, TensorConvolution};
use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, lstm, sum};
use crate::error::ModelError;
use crate::layers::{check_encoder, l1, recipe, whole};
use crate::mmim::layers::ScoreHead;
use crate::model::{Loss, Mode, ModelOutput, SentimentModel};
use crate::needs::{AbsentNeed, Needs};
use crate::recipe::{Rates, Recipe};
use crate::task::Task;

/// The MCL-MCF network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct MclMcf {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Encoder of vision.
    pub vision: SequenceEncoder,
    /// Encoder of audio.
    pub audio: SequenceEncoder,
    /// m_tv.
    pub hub_tv: Pointwise,
    /// m_va.
    pub hub_va: Pointwise,
    /// m_ta.
    pub hub_ta: Pointwise,
    /// m_tva.
    pub hub_tva: Pointwise,
    /// b_t.
    pub block_text: Pointwise,
    /// b_v.
    pub block_vision: Pointwise,
    /// b_a.
    pub block_audio: Pointwise,
    /// b_all.
    pub block_all: Pointwise,
    /// `[4S] -> [S]`.
    pub joint: Pointwise,
    /// The score.
    pub score: ScoreHead,
    /// C(t, a).
    pub one_ta: Contrast,
    /// C(t, v).
    pub one_tv: Contrast,
    /// C(v, a).
    pub one_va: Contrast,
    /// C(t, m_va).
    pub two_t: Contrast,
    /// C(v, m_ta).
    pub two_v: Contrast,
    /// C(a, m_tv).
    pub two_a: Contrast,
    /// C(a, m_tva).
    pub two_tva: Contrast,
    /// The third level.
    pub tensor: Option<TensorLevel>,
    #[module(skip)]
    settings: Arc<Settings>,
}

/// The third level of contrasts: of convolved outer products.
#[derive(Module, Debug)]
pub struct TensorLevel {
    /// q_tv.
    pub convolution_tv: TensorConvolution,
    /// q_ta.
    pub convolution_ta: TensorConvolution,
    /// q_va.
    pub convolution_va: TensorConvolution,
    /// C(q_tv, q_ta).
    pub three_tv: Contrast,
    /// C(q_tv, q_va).
    pub three_ta: Contrast,
    /// C(q_ta, q_va).
    pub three_va: Contrast,
}

/// Configuration and task, resolved.
#[derive(Clone, Debug)]
struct Settings {
    config: MclMcfConfig,
    /// How many of the text encoder's lower layers are not trained.
    lower_layers: usize,
}

/// What the forward pass gives.
#[derive(Clone, Debug)]
pub struct MclMcfOutput {
    /// t: the first token's last state, `[batch, hidden]`.
    pub text: Tensor<2>,
    /// v, `[batch, D]`.
    pub vision: Tensor<2>,
    /// a, `[batch, D]`.
    pub audio: Tensor<2>,
    /// b_t, b_v, b_a, b_all, `[batch, S]`.
    pub blocks: [Tensor<2>; 4],
    /// `[batch, S]`.
    pub joint: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

impl ModelOutput for MclMcfOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let names = [
            "text encoder's output",
            "vision representation",
            "audio representation",
            "block of text",
            "block of vision",
            "block of audio",
            "block of all",
            "joint block",
            "prediction",
        ];
        let tensors = [&self.text, &self.vision, &self.audio].into_iter();
        let tensors = tensors.chain(&self.blocks);
        let tensors = tensors.chain([&self.joint, &self.prediction]);
        names.into_iter().zip(tensors.cloned()).collect()
    }
}

impl SentimentModel for MclMcf {
    type Config = MclMcfConfig;
    type State = ();
    type Output = MclMcfOutput;

    /// Its contrasts are of complete batches.
    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task", "nce1", "nce2", "nce3"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("bert.", "text_enc.bertmodel."),
        ("vision.lstm.", "visual_enc.rnn."),
        ("vision.projection.", "visual_enc.linear_1."),
        ("audio.lstm.", "acoustic_enc.rnn."),
        ("audio.projection.", "acoustic_enc.linear_1."),
        ("hub_tva.", "conv_tav."),
        ("hub_tv.", "conv_tv."),
        ("hub_va.", "conv_av."),
        ("hub_ta.", "conv_vt."),
        ("block_text.", "getresNet.0.0."),
        ("block_vision.", "getresNet2.0.0."),
        ("block_audio.", "getresNet3.0.0."),
        ("block_all.", "getresNet4.0.0."),
        ("joint.", "conv_res."),
        ("score.", "fusion_prj."),
        ("one_ta.", "ta_clip."),
        ("one_tv.", "tv_clip."),
        ("one_va.", "av_clip."),
        ("two_tva.", "mass_tav_clip."),
        ("two_t.", "mass_t_clip."),
        ("two_v.", "mass_v_clip."),
        ("two_a.", "mass_a_clip."),
        ("tensor.", ""),
        ("convolution_tv.", "conv_tfn_t."),
        ("convolution_ta.", "conv_tfn_v."),
        ("convolution_va.", "conv_tfn_a."),
        (".first.", ".0."),
        (".second.", ".2."),
        (".third.", ".4."),
        ("three_tv.", "tfn_tv."),
        ("three_ta.", "tfn_ta."),
        ("three_va.", "tfn_av."),
        (".of_x.", ".x_learn_weight."),
        (".of_y.", ".y_learn_weight."),
    ];

    fn init(
        config: &MclMcfConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_encoder(task, text.is_some())?;
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.text_width());
        let (d, s) = (config.width, config.block_width);
        let encoder = |features: usize| {
            let sizes = SequenceEncoderConfig::new(features.max(1))
                .with_hidden(d)
                .with_output(d);
            sizes.init(device)
        };
        let pointwise = |inputs, outputs| Pointwise::init(inputs, outputs, device);
        let contrast = |x, y| Contrast::init(x, y, config.contrast_width, device);
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            vision: encoder(task.widths.vision),
            audio: encoder(task.widths.audio),
            hub_tv: pointwise(hidden + d, d),
            hub_va: pointwise(2 * d, d),
            hub_ta: pointwise(hidden + d, d),
            hub_tva: pointwise(hidden + 2 * d, d),
            block_text: pointwise(hidden, s),
            block_vision: pointwise(d, s),
            block_audio: pointwise(d, s),
            block_all: pointwise(hidden + 2 * d, s),
            joint: pointwise(4 * s, s),
            score: ScoreHead::init(s, config.score_width, config.score_dropout, device),
            one_ta: contrast(hidden, d),
            one_tv: contrast(hidden, d),
            one_va: contrast(d, d),
            two_t: contrast(hidden, d),
            two_v: contrast(d, d),
            two_a: contrast(d, d),
            two_tva: contrast(d, d),
            tensor: config.picture().map(|values| TensorLevel {
                convolution_tv: TensorConvolution::init(device),
                convolution_ta: TensorConvolution::init(device),
                convolution_va: TensorConvolution::init(device),
                three_tv: contrast(values, values),
                three_ta: contrast(values, values),
                three_va: contrast(values, values),
            }),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &MclMcfConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let hidden = text.map_or(1, |bert| bert.text_width());
        let (d, s) = (config.width, config.block_width);
        let pair = hidden.saturating_add(d);
        let all = pair.saturating_add(d);
        let encoder = |features: usize| sum([lstm(features.max(1), d), linear(d, d)]);
        let contrast = |x, y| Contrast::parameter_count(x, y, config.contrast_width);
        let tensor = config.picture().map_or(0, |values| {
            sum([TensorConvolution::PARAMETERS, contrast(values, values)]).saturating_mul(3)
        });
        sum([
            text.map_or(0, bert_parameters),
            encoder(task.widths.vision),
            encoder(task.widths.audio),
            linear(pair, d).saturating_mul(2),
            linear(d.saturating_mul(2), d),
            linear(all, d),
            linear(hidden, s),
            linear(d, s).saturating_mul(2),
            linear(all, s),
            linear(s.saturating_mul(4), s),
            ScoreHead::parameter_count(s, config.score_width),
            contrast(hidden, d).saturating_mul(3),
            contrast(d, d).saturating_mul(4),
            tensor,
        ])
    }

    fn init_state(_: &MclMcfConfig, _: &Task, _: &[f32]) {}

    fn check_state(&self, (): &()) -> Result<(), ModelError> {
        Ok(())
    }

    fn needs(_: &MclMcfConfig) -> Needs {
        Needs {
            absent: AbsentNeed::ZeroFrame,
            ..Needs::default()
        }
    }

    fn recipe(_: &MclMcfConfig, rates: &Rates) -> Recipe {
        recipe(rates, 1, true)
    }

    fn forward(&self, batch: &Batch, (): &(), _: Mode) -> Result<MclMcfOutput, ModelError> {
        let device = self.score.linear_1.weight.device();
        let (bert, lower) = (self.bert.as_ref(), self.settings.lower_layers);
        let text = batch.pooled_text(bert, lower, &device);
        let encode = |encoder: &SequenceEncoder, modality| {
            let frames = batch.frames(modality, &device);
            encoder.forward(frames.values, &frames.lengths)
        };
        let vision = encode(&self.vision, Modality::Vision);
        let audio = encode(&self.audio, Modality::Audio);
        let all = Tensor::cat(vec![text.clone(), audio.clone(), vision.clone()], 1);
        let blocks = [
            relu(self.block_text.forward(text.clone())),
            relu(self.block_vision.forward(vision.clone())),
            relu(self.block_audio.forward(audio.clone())),
            relu(self.block_all.forward(all)),
        ];
        let joint = self.joint.forward(Tensor::cat(blocks.to_vec(), 1));
        let (_, prediction) = self.score.forward(joint.clone());
        Ok(MclMcfOutput {
            text,
            vision,
            audio,
            blocks,
            joint,
            prediction,
        })
    }

    /// In training with the contrasts; in evaluation the task's part alone.
    fn loss(
        &self,
        batch: &Batch,
        output: &mut MclMcfOutput,
        (): &(),
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "MCL-MCF")?;
        let task = l1(batch, output.prediction());
        if mode == Mode::Evaluate {
            return Ok(Loss {
                total: task.clone(),
                parts: vec![Some(task), None, None, None],
            });
        }
        let weight = self.settings.config.contrast_weight;
        let contrasts = self.contrasts(output).map(|level| {
            let level = level?;
            Some(Tensor::cat(level, 0).sum())
        });
        let levels = contrasts.iter().flatten();
        let total = levels.fold(task.clone(), |sum, level| sum + level.clone() * weight);
        Ok(Loss {
            total,
            parts: [Some(task)].into_iter().chain(contrasts).collect(),
        })
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let hubs = [&self.hub_tv, &self.hub_va, &self.hub_ta, &self.hub_tva];
        let blocks = [
            &self.block_text,
            &self.block_vision,
            &self.block_audio,
            &self.block_all,
            &self.joint,
        ];
        let one = [&self.one_ta, &self.one_tv, &self.one_va].into_iter();
        let contrasts = one.chain([&self.two_t, &self.two_v, &self.two_a, &self.two_tva]);
        vec![
            ("vision", self.vision.num_params()),
            ("audio", self.audio.num_params()),
            ("hubs", hubs.into_iter().map(Module::num_params).sum()),
            ("blocks", blocks.into_iter().map(Module::num_params).sum()),
            ("score", self.score.num_params()),
            ("contrasts", contrasts.map(Module::num_params).sum()),
            ("tensor", self.tensor.num_params()),
        ]
    }
}

impl MclMcf {
    /// m_tv, m_va, m_ta, m_tva, `[batch, D]`.
    #[must_use]
    pub fn hubs(&self, output: &MclMcfOutput) -> [Tensor<2>; 4] {
        let (t, v, a) = (&output.text, &output.vision, &output.audio);
        let join = |parts: &[&Tensor<2>]| {
            let parts = parts.iter().map(|part| (*part).clone());
            Tensor::cat(parts.collect(), 1)
        };
        [
            self.hub_tv.forward(join(&[t, v])),
            self.hub_va.forward(join(&[v, a])),
            self.hub_ta.forward(join(&[t, a])),
            self.hub_tva.forward(join(&[t, v, a])),
        ]
    }

    /// q_tv, q_ta, q_va, `[batch, (S - 6)^2]`; none without the third level.
    #[must_use]
    pub fn pictures(&self, output: &MclMcfOutput) -> Option<[Tensor<2>; 3]> {
        let last_relu = self.settings.config.last_relu();
        let [t, v, a, _] = &output.blocks;
        let level = self.tensor.as_ref()?;
        let pictures = [
            (&level.convolution_tv, t, v),
            (&level.convolution_ta, t, a),
            (&level.convolution_va, v, a),
        ];
        Some(
            pictures
                .map(|(convolution, x, y)| convolution.forward(x.clone(), y.clone(), last_relu)),
        )
    }

    /// The contrasts of each level, `[1]` each; none of a level that is absent.
    #[must_use]
    pub fn contrasts(&self, output: &MclMcfOutput) -> [Option<Vec<Tensor<1>>>; 3] {
        let scale = self.settings.config.scale();
        let of = |pairs: Vec<(&Contrast, &Tensor<2>, &Tensor<2>)>| -> Option<Vec<Tensor<1>>> {
            let pairs = pairs.into_iter();
            let losses = pairs.map(|(contrast, x, y)| contrast.loss(x.clone(), y.clone(), scale));
            Some(losses.collect())
        };
        let (t, v, a) = (&output.text, &output.vision, &output.audio);
        let [tv, va, ta, tva] = &self.hubs(output);
        let tensor = self.tensor.as_ref().zip(self.pictures(output));
        [
            of(vec![
                (&self.one_ta, t, a),
                (&self.one_tv, t, v),
                (&self.one_va, v, a),
            ]),
            of(vec![
                (&self.two_t, t, va),
                (&self.two_v, v, ta),
                (&self.two_a, a, tv),
                (&self.two_tva, a, tva),
            ]),
            tensor.and_then(|(level, [q_tv, q_ta, q_va])| {
                of(vec![
                    (&level.three_tv, &q_tv, &q_ta),
                    (&level.three_ta, &q_tv, &q_va),
                    (&level.three_va, &q_ta, &q_va),
                ])
            }),
        ]
    }
}
