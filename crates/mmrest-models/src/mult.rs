//! MulT: Multimodal Transformer (Tsai et al., ACL 2019). Each modality attends to both others through transformers of its
//! own, whose results a third transformer reads.
//!
//! With m in {l (text), a (audio), v (vision)}:
//!
//! ```text
//! X_m        = convolution of m over time, D_m -> d, kernel k_m, no bias
//! enc(Q, K)  = x = sqrt(E) Q + P(Q), k = sqrt(E) K + P(K), dropout of x, and of k as keys and as values; then layers, norm
//!              first, in which x attends to k (to itself without K); LayerNorm.   P: sinusoids of the positions, from 1
//! G_l        = [enc_la(X_l, X_a), enc_lv(X_l, X_v)], likewise G_a = [al, av], G_v = [vl, va]        n layers, E = d
//! M_m        = enc_m(G_m)                                                            max(n, 3) layers, E = 2d
//! z          = the last rows of M_l, M_a, M_v
//! prediction = Lo(z + Lp2 dropout ReLU Lp1 z)
//! loss       = mean |prediction - label|
//! ```
//!
//! A position i sees those up to i, or as many more as the two sequences differ in length.
//!
//! # Where the published codes differ
//!
//! `published = true` is MMSA a94e65d to the letter.
//!
//! | point | paper and original | MMSA | here |
//! |---|---|---|---|
//! | positions | added | never | `positions = true`, or `false` |
//! | padding | not masked; the last row read is a padding one | the same | `padding = "masked"`, or `"published"` |
//! | gradients | of one batch, clipped by norm | sum of `accumulate`, by value, an epoch's rest dropped | as MMSA, `flush_rest = true`, or `false` |
//! | convolution where D_m = d | left out | left out | always there |
//! | text | GloVe | the text encoder's states, not trained | `text.freeze` of the presets |
//!
//! Under `padding = "published"` all sequences of a modality have the fixed lengths `padded_text`, `padded_audio` and
//! `padded_vision`, cut or filled with zeros.

mod config;

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::Modality;
use mmrest_encoders::init::{pytorch_linear_init, uniform_init};
use mmrest_encoders::{
    Bert, BertConfig, Known, TransformerLayer, TransformerLayerConfig, drop_out,
};

use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, product, sum};
use crate::error::ModelError;
use crate::layers::{indices, l1, needs, packed_to, recipe, sinusoids};
use crate::model::{Loss, Mode, ModelOutput, SentimentModel};
use crate::needs::{Longest, Needs};
use crate::recipe::{Rates, Recipe};
use crate::sequences::{PackedStates, SequenceBatch};
use crate::task::Task;

pub use config::{MultConfig, Padding};

/// A convolution over time without bias.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[out, in, kernel]`.
    pub weight: Param<Tensor<3>>,
}

impl Convolution {
    fn init(inputs: usize, width: usize, kernel: usize, device: &Device) -> Self {
        let inputs = inputs.max(1);
        Self {
            weight: uniform_init([width, inputs, kernel], inputs * kernel, device),
        }
    }

    fn kernel(&self) -> usize {
        self.weight.dims()[2]
    }

    /// Rows of sequences that are at least as long as the kernel: so many fewer, less one, each.
    fn forward(&self, rows: PackedStates) -> PackedStates {
        let [out, inputs, kernel] = self.weight.dims();
        let mut offsets = vec![0];
        let mut places = Vec::new();
        for bounds in rows.offsets.windows(2) {
            for first in bounds[0]..bounds[1] + 1 - kernel {
                places.extend(first..first + kernel);
            }
            offsets.push(places.len() / kernel);
        }
        let device = rows.states.device();
        let windows = rows.states.select(0, indices(&places, &device));
        let windows = windows.reshape([places.len() / kernel, kernel * inputs]);
        let weight = self.weight.val().permute([2, 1, 0]);
        PackedStates {
            states: windows.matmul(weight.reshape([kernel * inputs, out])),
            offsets,
        }
    }
}

/// Transformer layers between what is done to their input and a normalisation.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The layers.
    pub layers: Vec<TransformerLayer>,
    /// Of the result.
    pub layer_norm: LayerNorm,
    dropout: Dropout,
}

/// A sequence on its way into an [`Encoder`]: its rows, and P where it is added.
struct Sequence<'a> {
    rows: &'a PackedStates,
    positions: Option<Tensor<2>>,
}

impl Encoder {
    fn init(
        layer: TransformerLayerConfig,
        layers: usize,
        embed_dropout: f64,
        device: &Device,
    ) -> Self {
        Self {
            layers: (0..layers).map(|_| layer.init(device)).collect(),
            layer_norm: LayerNormConfig::new(layer.width).init(device),
            dropout: DropoutConfig::new(embed_dropout).init(),
        }
    }

    /// E and layers: 12 E^2 + 13 E a layer, and the norm.
    fn parameters(width: usize, layers: usize) -> u128 {
        let wide = width.saturating_mul(4);
        let norm = product([2, width]);
        let layer = sum([
            linear(width, width.saturating_mul(3)),
            linear(width, width),
            linear(width, wide),
            linear(wide, width),
            norm,
            norm,
        ]);
        sum([layer.saturating_mul(layers as u128), norm])
    }

    /// What the rows of `x` make of those of `known`, or of each other without.
    fn forward(&self, x: &Sequence<'_>, known: Option<&Sequence<'_>>, causal: bool) -> Tensor<2> {
        let offsets = &x.rows.offsets[..];
        let mut rows = drop_out(&self.dropout, x.embedded());
        match known {
            None => {
                for layer in &self.layers {
                    rows = layer.within(rows, offsets, causal);
                }
            }
            Some(known) => {
                let both = [offsets, &known.rows.offsets[..]];
                let known = Known::dropped(&self.dropout, known.embedded());
                for layer in &self.layers {
                    rows = layer.across(rows, known.clone(), both, causal);
                }
            }
        }
        self.layer_norm.forward(rows)
    }
}

impl Sequence<'_> {
    /// sqrt(E) times the rows, with their positions.
    fn embedded(&self) -> Tensor<2> {
        let rows = self.rows.states.clone();
        let x = rows.clone() * (rows.dims()[1] as f64).sqrt();
        match &self.positions {
            Some(positions) => x + positions.clone(),
            None => x,
        }
    }
}

/// P of rows from the table of [`sinusoids`] of a width; 0 for rows behind the `own` ones of a sequence.
fn positions(
    table: &[f32],
    width: usize,
    offsets: &[usize],
    own: &[usize],
    device: &Device,
) -> Tensor<2> {
    let count = offsets.last().copied().unwrap_or(0);
    let mut values = vec![0.0f32; count * width];
    for (first, &own) in offsets.iter().zip(own) {
        values[first * width..(first + own) * width].copy_from_slice(&table[..own * width]);
    }
    Tensor::from_data(TensorData::new(values, [count, width]), device)
}

/// The network. A modality that is not in use is one zero frame of one feature, or a text of one zero. Encoders are named
/// by what attends to what, as the published ones are: l text, a audio, v vision.
#[derive(Module, Debug)]
pub struct Mult {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Of text.
    pub proj_l: Convolution,
    /// Of audio.
    pub proj_a: Convolution,
    /// Of vision.
    pub proj_v: Convolution,
    /// Text attends to audio.
    pub trans_l_with_a: Encoder,
    /// Text attends to vision.
    pub trans_l_with_v: Encoder,
    /// Audio attends to text.
    pub trans_a_with_l: Encoder,
    /// Audio attends to vision.
    pub trans_a_with_v: Encoder,
    /// Vision attends to text.
    pub trans_v_with_l: Encoder,
    /// Vision attends to audio.
    pub trans_v_with_a: Encoder,
    /// Of what text has seen.
    pub trans_l_mem: Encoder,
    /// Of what audio has seen.
    pub trans_a_mem: Encoder,
    /// Of what vision has seen.
    pub trans_v_mem: Encoder,
    /// `[6d] -> [6d]`.
    pub proj1: Linear,
    /// `[6d] -> [6d]`.
    pub proj2: Linear,
    /// `[6d] -> [1]`.
    pub out_layer: Linear,
    text_dropout: Dropout,
    output_dropout: Dropout,
    #[module(skip)]
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    config: MultConfig,
    lower_layers: usize,
}

/// What the forward pass gives. Sequences are end to end; arrays are in the order text, audio, vision.
#[derive(Clone, Debug)]
pub struct MultOutput {
    /// What text made of audio, audio of text, vision of audio: `[rows, d]`.
    pub crossed: [Tensor<2>; 3],
    /// M, `[rows, 2d]`.
    pub memories: [Tensor<2>; 3],
    /// Their last rows, `[batch, 2d]`.
    pub last: [Tensor<2>; 3],
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

impl ModelOutput for MultOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let names = [
            "text representation",
            "audio representation",
            "vision representation",
            "prediction",
        ];
        let tensors = self.last.iter().chain([&self.prediction]);
        names.into_iter().zip(tensors.cloned()).collect()
    }
}

impl SentimentModel for Mult {
    type Config = MultConfig;
    type State = ();
    type Output = MultOutput;

    const LOSSES: &'static [&'static str] = &["task"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^bert.", "text_model.model."),
        (".linear1.", ".fc1."),
        (".linear2.", ".fc2."),
        (".norm1.", ".layer_norms.0."),
        (".norm2.", ".layer_norms.1."),
    ];

    fn init(
        config: &MultConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let states = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let (width, widths) = (config.width, task.widths);
        let [to_text, to_audio, to_vision] = [
            config.attention_dropout,
            config.audio_attention_dropout,
            config.vision_attention_dropout,
        ];
        let crossed = |dropout: f64| {
            let layer = config.layer(width, dropout);
            Encoder::init(layer, config.layers, config.embed_dropout, device)
        };
        let memory = || {
            let layer = config.layer(2 * width, config.attention_dropout);
            Encoder::init(layer, config.memory_layers(), config.embed_dropout, device)
        };
        let square = || pytorch_linear_init(6 * width, 6 * width, device);
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            proj_l: Convolution::init(states, width, config.text_kernel, device),
            proj_a: Convolution::init(widths.audio, width, config.audio_kernel, device),
            proj_v: Convolution::init(widths.vision, width, config.vision_kernel, device),
            trans_l_with_a: crossed(to_audio),
            trans_l_with_v: crossed(to_vision),
            trans_a_with_l: crossed(to_text),
            trans_a_with_v: crossed(to_vision),
            trans_v_with_l: crossed(to_text),
            trans_v_with_a: crossed(to_audio),
            trans_l_mem: memory(),
            trans_a_mem: memory(),
            trans_v_mem: memory(),
            proj1: square(),
            proj2: square(),
            out_layer: pytorch_linear_init(6 * width, 1, device),
            text_dropout: DropoutConfig::new(config.text_dropout).init(),
            output_dropout: DropoutConfig::new(config.output_dropout).init(),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &MultConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let width = config.width;
        let convolution = |inputs: usize, kernel: usize| product([inputs.max(1), width, kernel]);
        let all = width.saturating_mul(6);
        let memory = Encoder::parameters(width.saturating_mul(2), config.memory_layers());
        sum([
            text.map_or(0, bert_parameters),
            convolution(text.map_or(1, |bert| bert.hidden_size), config.text_kernel),
            convolution(task.widths.audio, config.audio_kernel),
            convolution(task.widths.vision, config.vision_kernel),
            Encoder::parameters(width, config.layers).saturating_mul(6),
            memory.saturating_mul(3),
            linear(all, all).saturating_mul(2),
            linear(all, 1),
        ])
    }

    fn init_state(_: &MultConfig, _: &Task, _: &[f32]) {}

    fn check_state(&self, (): &()) -> Result<(), ModelError> {
        Ok(())
    }

    fn needs(config: &MultConfig) -> Needs {
        let fixed = |time: usize| config.is_padded().then_some(time);
        Needs {
            longest: Longest {
                text: fixed(config.padded_text),
                vision: fixed(config.padded_vision),
                audio: fixed(config.padded_audio),
            },
            ..needs(1)
        }
    }

    fn recipe(config: &MultConfig, rates: &Rates) -> Recipe {
        let flush_rest = config.flush_rest && !config.published;
        recipe(rates, config.accumulate, flush_rest)
    }

    fn forward(&self, batch: &Batch, (): &(), _: Mode) -> Result<MultOutput, ModelError> {
        let Settings {
            config,
            lower_layers,
        } = &*self.settings;
        let device = self.out_layer.weight.device();
        let mut text = batch.all_tokens(self.bert.as_ref(), *lower_layers, &device);
        text.states = drop_out(&self.text_dropout, text.states);
        let inputs = [
            (&self.proj_l, text.padded(None), config.padded_text),
            (
                &self.proj_a,
                batch.frames(Modality::Audio, &device),
                config.padded_audio,
            ),
            (
                &self.proj_v,
                batch.frames(Modality::Vision, &device),
                config.padded_vision,
            ),
        ];
        let fixed = config.is_padded();
        let inputs = inputs.map(|(convolution, frames, time)| {
            convolved(convolution, &frames, fixed.then_some(time))
        });
        let longest = inputs.iter().flat_map(|(rows, _)| rows.lengths()).max();
        let table = |width: usize| {
            let added = config.positions && !config.published;
            added.then(|| sinusoids(longest.unwrap_or(0), width))
        };
        let (width, twice) = (config.width, 2 * config.width);
        let (narrow, wide) = (table(width), table(twice));
        let [l, a, v] = [0, 1, 2].map(|m| {
            let (rows, own) = &inputs[m];
            let table = narrow.as_ref();
            Sequence {
                rows,
                positions: table.map(|table| positions(table, width, &rows.offsets, own, &device)),
            }
        });
        let cross = |encoder: &Encoder, x, known| encoder.forward(x, Some(known), config.causal);
        let (l_a, l_v) = (
            cross(&self.trans_l_with_a, &l, &a),
            cross(&self.trans_l_with_v, &l, &v),
        );
        let (a_l, a_v) = (
            cross(&self.trans_a_with_l, &a, &l),
            cross(&self.trans_a_with_v, &a, &v),
        );
        let (v_l, v_a) = (
            cross(&self.trans_v_with_l, &v, &l),
            cross(&self.trans_v_with_a, &v, &a),
        );
        let crossed = [l_a.clone(), a_l.clone(), v_a.clone()];
        // What has been seen has a position everywhere: a normalised row does not begin with 0.
        let memory = |encoder: &Encoder, of: &Sequence<'_>, seen: [Tensor<2>; 2]| {
            let rows = PackedStates {
                states: Tensor::cat(seen.to_vec(), 1),
                offsets: of.rows.offsets.clone(),
            };
            let (table, own) = (wide.as_ref(), rows.lengths());
            let all = Sequence {
                rows: &rows,
                positions: table.map(|table| positions(table, twice, &rows.offsets, &own, &device)),
            };
            encoder.forward(&all, None, config.causal)
        };
        let memories = [
            memory(&self.trans_l_mem, &l, [l_a, l_v]),
            memory(&self.trans_a_mem, &a, [a_l, a_v]),
            memory(&self.trans_v_mem, &v, [v_l, v_a]),
        ];
        let last = [0, 1, 2].map(|m| {
            let ends = inputs[m].0.offsets[1..].iter().map(|end| end - 1);
            let ends: Vec<usize> = ends.collect();
            memories[m].clone().select(0, indices(&ends, &device))
        });
        let z = Tensor::cat(last.to_vec(), 1);
        let hidden = drop_out(&self.output_dropout, relu(self.proj1.forward(z.clone())));
        let z = z + self.proj2.forward(hidden);
        Ok(MultOutput {
            crossed,
            memories,
            last,
            prediction: self.out_layer.forward(z),
        })
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut MultOutput,
        (): &(),
        _: Mode,
    ) -> Result<Loss, ModelError> {
        let task = l1(batch, output.prediction());
        Ok(Loss {
            total: task.clone(),
            parts: vec![Some(task)],
        })
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let count = |encoders: &[&Encoder]| encoders.iter().map(|e| e.num_params()).sum();
        let convolutions = [&self.proj_l, &self.proj_a, &self.proj_v];
        let linears = [&self.proj1, &self.proj2, &self.out_layer];
        vec![
            (
                "convolutions",
                convolutions.map(Module::num_params).iter().sum(),
            ),
            (
                "crossmodal transformers",
                count(&[
                    &self.trans_l_with_a,
                    &self.trans_l_with_v,
                    &self.trans_a_with_l,
                    &self.trans_a_with_v,
                    &self.trans_v_with_l,
                    &self.trans_v_with_a,
                ]),
            ),
            (
                "memory transformers",
                count(&[&self.trans_l_mem, &self.trans_a_mem, &self.trans_v_mem]),
            ),
            ("fusion", linears.map(Module::num_params).iter().sum()),
        ]
    }
}

/// A modality's rows behind its convolution, and how many of each sequence come from its own frames. `fixed`: the frames
/// of every sequence; without, those that are its own, or as many as the kernel needs.
fn convolved(
    convolution: &Convolution,
    frames: &SequenceBatch,
    fixed: Option<usize>,
) -> (PackedStates, Vec<usize>) {
    let kernel = convolution.kernel();
    let own = frames.lengths.iter();
    let lengths: Vec<usize> = own.map(|&own| fixed.unwrap_or(own).max(kernel)).collect();
    let rows = convolution.forward(packed_to(frames, &lengths));
    let own = frames.lengths.iter().zip(rows.lengths());
    let own = own.map(|(&own, rows)| own.min(rows)).collect();
    (rows, own)
}
