//! DEVA: sentiment analysis with textual descriptions of voice and face (Wu et al., AAAI 2025). Two sentences a segment,
//! such as how loud the speaker is and what the face does, join audio, vision and text; the rest is ALMT's
//! ([`Almt`](crate::Almt)).
//!
//! ```text
//! h_m = the 8 extra tokens of Block([extra tokens; Linear(x_m)] + positions)     m = t, a, v and the descriptions ad, vd
//! A = relu(Linear dropout [h_a; h_ad])     V = relu(Linear dropout [h_v; h_vd])     T = relu(Linear [h_vd; h_ad; h_t])
//! H_0 = T + positions                      H_i = Block(H_{i-1})
//! m = ones, learned;                       m = Hyper(m, H_i, A, V)                  i = 0, 1, .. hyper_depth - 1
//! prediction = Linear(Fusion(m))           loss = mean (prediction - label)^2
//! ```
//!
//! Descriptions are states of the run's own text encoder, frozen. Data without them leave their place empty: h_ad and h_vd
//! are 0. `descriptions = false` builds a model without the place.
//!
//! # Where the published code differs from the paper, and what is done here
//!
//! Written from the paper and from measurements of the published code.
//!
//! | point | published | here |
//! |---|---|---|
//! | minor fusion | the paper has learned weights of audio's and vision's part; the code has a plain sum | as the code |
//! | loss | the paper's formula has the absolute error, the code the square | as the code |
//! | extra tokens | the paper puts them behind, the code in front | as the code |
//! | frames | 50 of each segment | `frames = 500`; at most so many |
//! | where they begin | at the first frame that is not zero | at the first, with 50 too |
//! | padding, first epoch, text encoder's rate | as ALMT | as ALMT |
//! | epoch | none chosen: every epoch prints test figures | as every model: validation MAE |
//! | two further linear layers | made, and never used | absent |
//!
//! `published = true` sets frames, padding, first epoch and rates as published.

mod config;

use std::sync::Arc;

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::init::WeightInit;
use mmrest_encoders::{Bert, BertConfig};

pub use self::config::DevaConfig;
use crate::almt::layers::{
    Block, Embedding, Fusion, HyperLayer, TOKENS, positions, with_layer_names,
};
use crate::almt::{recipe_by_epoch, rows};
use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, product, sum};
use crate::error::ModelError;
use crate::layers::{check_encoder, fit, mse, needs, whole};
use crate::model::{Loss, Mode, ModelOutput, SentimentModel};
use crate::needs::{Longest, Needs};
use crate::recipe::{Rates, Recipe, Schedule};
use crate::sequences::SequenceBatch;
use crate::task::Task;

/// Positions that the published code reserves for a level of the text; the first 8 are used.
const LEVEL_POSITIONS: usize = 50;

/// The DEVA network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct Deva {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Embedding of text.
    pub text: Embedding,
    /// Embedding of audio.
    pub audio: Embedding,
    /// Embedding of vision.
    pub vision: Embedding,
    /// Embedding of the sentence about the voice.
    pub audio_description: Option<Embedding>,
    /// Embedding of the sentence about the face.
    pub vision_description: Option<Embedding>,
    /// Before the enhancements of audio and vision, in training.
    pub dropout: Dropout,
    /// Joins audio and its description, `[2d] -> [d]`.
    pub audio_enhancement: Linear,
    /// Joins vision and its description, `[2d] -> [d]`.
    pub vision_enhancement: Linear,
    /// Joins the descriptions and text, `[3d] -> [d]`.
    pub text_enhancement: Linear,
    /// Positions of the text's levels, `[1, 50, d]`.
    pub language_positions: Param<Tensor<3>>,
    /// Blocks between the text's levels.
    pub language: Vec<Block>,
    /// The minor modality before its first layer, `[1, 8, d]`.
    pub hyper_start: Param<Tensor<3>>,
    /// Layers of the minor modality.
    pub hyper_layers: Vec<HyperLayer>,
    /// The fusion.
    pub fusion: Fusion,
    /// `[d] -> [1]`.
    pub head: Linear,
    #[module(skip)]
    settings: Arc<Settings>,
}

/// Configuration and task, resolved.
#[derive(Clone, Debug)]
struct Settings {
    config: DevaConfig,
    /// How many of the text encoder's lower layers are not trained.
    lower_layers: usize,
}

/// What the forward pass gives.
#[derive(Clone, Debug)]
pub struct DevaOutput {
    /// h of text, audio, vision, audio's and vision's description, `[batch, 8, d]`; the last two are 0 without.
    pub embeddings: [Tensor<3>; 5],
    /// A, V and T, `[batch, 8, d]`.
    pub enhanced: [Tensor<3>; 3],
    /// H_0 and on, `[batch, 8, d]`.
    pub levels: Vec<Tensor<3>>,
    /// The minor modality after its last layer, `[batch, 8, d]`.
    pub minor: Tensor<3>,
    /// The fusion's token, `[batch, d]`.
    pub fusion: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

impl ModelOutput for DevaOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let names = [
            "embedding of text",
            "embedding of audio",
            "embedding of vision",
            "embedding of audio's description",
            "embedding of vision's description",
            "enhanced audio",
            "enhanced vision",
            "enhanced text",
        ];
        let tensors = self.embeddings.iter().chain(&self.enhanced).map(rows);
        let mut stages: Vec<_> = names.into_iter().zip(tensors).collect();
        stages.extend(
            self.levels
                .iter()
                .map(|level| ("level of the text", rows(level))),
        );
        stages.push(("minor modality", rows(&self.minor)));
        stages.push(("fusion", self.fusion.clone()));
        stages.push(("prediction", self.prediction.clone()));
        stages
    }
}

impl SentimentModel for Deva {
    type Config = DevaConfig;
    type State = ();
    type Output = DevaOutput;

    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = with_layer_names![
        ("bert.", "bertmodel.model."),
        ("audio_description.input.", "proj_al0."),
        ("vision_description.input.", "proj_vl0."),
        ("audio_description.", "proj_al."),
        ("vision_description.", "proj_vl."),
        ("text.input.", "proj_l0."),
        ("audio.input.", "proj_a0."),
        ("vision.input.", "proj_v0."),
        ("text.", "proj_l."),
        ("audio.", "proj_a."),
        ("vision.", "proj_v."),
        ("audio_enhancement.", "aatfusion_layer."),
        ("vision_enhancement.", "vvtfusion_layer."),
        ("text_enhancement.", "avttfusion_layer."),
        ("language_positions", "text_encoder.pos_embedding"),
        ("language.", "text_encoder.encoder.layers."),
        ("hyper_layers.", "h_tpf_layer.layers."),
        ("hyper_start", "h_minor"),
        ("head.", "cls_head.0."),
    ];

    fn init(
        config: &DevaConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_encoder(task, text.is_some())?;
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let width = config.width;
        let embedding = |features, room| Embedding::init(config.embedding(features, room), device);
        let description = || {
            config
                .descriptions
                .then(|| embedding(hidden, config.text_length))
        };
        let enhancement = |parts: usize| WeightInit::PyTorch.linear(parts * width, width, device);
        let [of_audio, of_vision, of_text] = config.joined().map(enhancement);
        Ok(Self {
            text: embedding(hidden, config.text_length),
            audio: embedding(task.widths.audio, config.frames()),
            vision: embedding(task.widths.vision, config.frames()),
            audio_description: description(),
            vision_description: description(),
            dropout: DropoutConfig::new(config.enhancement_dropout).init(),
            audio_enhancement: of_audio,
            vision_enhancement: of_vision,
            text_enhancement: of_text,
            language_positions: positions(LEVEL_POSITIONS, width, device),
            language: (1..config.hyper_depth)
                .map(|_| Block::init(width, config.heads, config.inner, device))
                .collect(),
            hyper_start: Initializer::Ones.init([1, TOKENS, width], device),
            hyper_layers: (0..config.hyper_depth)
                .map(|_| HyperLayer::init(width, config.hyper_heads, config.hyper_head, device))
                .collect(),
            fusion: Fusion::init(
                width,
                config.fusion_depth,
                config.heads,
                config.inner,
                device,
            ),
            head: WeightInit::PyTorch.linear(width, 1, device),
            bert: text.map(|(bert, _)| bert),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &DevaConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let hidden = text.map_or(1, |bert| bert.hidden_size);
        let width = config.width;
        let embedding =
            |features, room| Embedding::parameter_count(config.embedding(features, room));
        let of_text = embedding(hidden, config.text_length);
        let texts = if config.descriptions { 3 } else { 1 };
        let enhancement = |parts: usize| linear(parts.saturating_mul(width), width);
        let depth = config.hyper_depth as u128;
        let block = Block::parameter_count(width, config.heads, config.inner);
        sum([
            text.map_or(0, bert_parameters),
            of_text.saturating_mul(texts),
            embedding(task.widths.audio, config.frames()),
            embedding(task.widths.vision, config.frames()),
            sum(config.joined().map(enhancement)),
            product([LEVEL_POSITIONS + TOKENS, width]),
            block.saturating_mul(depth.saturating_sub(1)),
            HyperLayer::parameter_count(width, config.hyper_heads, config.hyper_head)
                .saturating_mul(depth),
            Fusion::parameter_count(width, config.fusion_depth, config.heads, config.inner),
            linear(width, 1),
        ])
    }

    fn init_state(_: &DevaConfig, _: &Task, _: &[f32]) {}

    fn check_state(&self, (): &()) -> Result<(), ModelError> {
        Ok(())
    }

    fn needs(config: &DevaConfig) -> Needs {
        Needs {
            sentences: if config.descriptions { 2 } else { 0 },
            longest: Longest {
                text: Some(config.text_length),
                vision: Some(config.frames()),
                audio: Some(config.frames()),
            },
            ..needs(1)
        }
    }

    fn recipe(config: &DevaConfig, rates: &Rates) -> Recipe {
        let schedule = Schedule::EpochCosine {
            idle_first: config.first_epoch_at_zero || config.published,
            warmup: config.warmup_epochs,
            epochs: config.schedule_epochs,
        };
        recipe_by_epoch(rates, schedule, config.published)
    }

    fn forward(&self, batch: &Batch, (): &(), _: Mode) -> Result<DevaOutput, ModelError> {
        Ok(self.score(batch, !self.settings.config.masks()))
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut DevaOutput,
        (): &(),
        _: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "DEVA")?;
        let task = mse(batch, output.prediction());
        Ok(Loss {
            total: task.clone(),
            parts: vec![Some(task)],
        })
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let embeddings = [&self.text, &self.audio, &self.vision].into_iter();
        let descriptions = [&self.audio_description, &self.vision_description];
        let enhancements = [
            &self.audio_enhancement,
            &self.vision_enhancement,
            &self.text_enhancement,
        ];
        let language = self.language.num_params() + self.language_positions.num_params();
        vec![
            ("embeddings", embeddings.map(Module::num_params).sum()),
            (
                "descriptions",
                descriptions.into_iter().map(Module::num_params).sum(),
            ),
            (
                "enhancements",
                enhancements.into_iter().map(Module::num_params).sum(),
            ),
            ("language", language),
            (
                "minor",
                self.hyper_start.num_params() + self.hyper_layers.num_params(),
            ),
            ("fusion", self.fusion.num_params()),
            ("head", self.head.num_params()),
        ]
    }
}

impl Deva {
    /// Scores a batch. `fixed`: sequences are padded to their greatest length, not to the longest of the batch.
    #[doc(hidden)]
    #[must_use]
    pub fn score(&self, batch: &Batch, fixed: bool) -> DevaOutput {
        let device = self.head.weight.device();
        let masked = self.settings.config.masks();
        let embed = |embedding: &Embedding, input: SequenceBatch| {
            let input = fit(input, embedding.room(), fixed);
            let lengths = masked.then_some(input.lengths.as_slice());
            embedding.forward(input.values, lengths)
        };
        let (bert, lower) = (self.bert.as_ref(), self.settings.lower_layers);
        let text = batch.all_tokens(bert, lower, &device).padded(None);
        let text = embed(&self.text, text);
        let audio = embed(&self.audio, batch.frames(Modality::Audio, &device));
        let vision = embed(&self.vision, batch.frames(Modality::Vision, &device));
        let description = |embedding: &Option<Embedding>, place: usize| match (
            embedding,
            batch.sentences.get(place),
        ) {
            (Some(embedding), Some(input)) => embed(embedding, input.clone()),
            _ => text.zeros_like(),
        };
        let of_audio = description(&self.audio_description, 0);
        let of_vision = description(&self.vision_description, 1);
        let enhanced = self.enhance([&text, &audio, &vision, &of_audio, &of_vision]);
        let [enhanced_audio, enhanced_vision, enhanced_text] = enhanced.clone();
        let positions = self.language_positions.val().narrow(1, 0, TOKENS);
        let mut levels = vec![enhanced_text + positions];
        for block in &self.language {
            let Some(level) = levels.last().cloned() else {
                break;
            };
            levels.push(block.forward(level.clone(), level, None));
        }
        let start = self.hyper_start.val().expand(text.dims());
        let layers = self.hyper_layers.iter().zip(&levels);
        let minor = layers.fold(start, |minor, (layer, level)| {
            let (audio, vision) = (enhanced_audio.clone(), enhanced_vision.clone());
            layer.forward(minor, level.clone(), audio, vision)
        });
        let fusion = self.fusion.forward(minor.clone());
        let prediction = self.head.forward(fusion.clone());
        DevaOutput {
            embeddings: [text, audio, vision, of_audio, of_vision],
            enhanced,
            levels,
            minor,
            fusion,
            prediction,
        }
    }

    /// A, V and T of text, audio, vision, audio's and vision's description.
    fn enhance(&self, embeddings: [&Tensor<3>; 5]) -> [Tensor<3>; 3] {
        let [text, audio, vision, of_audio, of_vision] = embeddings.map(Tensor::clone);
        let join = |parts: Vec<Tensor<3>>| Tensor::cat(parts, 2);
        let [audio, vision, text] = if self.settings.config.descriptions {
            [
                join(vec![audio, of_audio.clone()]),
                join(vec![vision, of_vision.clone()]),
                join(vec![of_vision, of_audio, text]),
            ]
        } else {
            [audio, vision, text]
        };
        [
            relu(self.audio_enhancement.forward(self.dropout.forward(audio))),
            relu(
                self.vision_enhancement
                    .forward(self.dropout.forward(vision)),
            ),
            relu(self.text_enhancement.forward(text)),
        ]
    }
}
