//! ALMT: language-guided learning of an adaptive hyper-modality (Zhang et al., EMNLP 2023). Text of several scales decides
//! what is taken from audio and vision; what is taken, the hyper-modality, is what the score is made of.
//!
//! ```text
//! h_m = the 8 extra tokens of Block([extra tokens; Linear(x_m)] + positions)        m = text, audio, vision
//! H_0 = h_text + positions      H_i = Block(H_{i-1})
//! h = ones, learned;            h = Hyper(h, H_i, h_audio, h_vision)                 i = 0, 1, .. hyper_depth - 1
//! s = [c; h] + positions        x = c + position;     x = CrossBlock(x, s)           fusion_depth times
//! prediction = Linear(x)        loss = mean (prediction - label)^2
//! ```
//!
//! Blocks are pre-norm, without dropout (`almt/layers.rs`). The published fusion also carries H through its target rows,
//! but no row sees another there: they do not reach the prediction, and are not computed here.
//!
//! # Where the published code differs from the paper, and what is done here
//!
//! The published code is MMSA a94e65d; the authors' own has the same layers.
//!
//! | point | published | here |
//! |---|---|---|
//! | padding | gets attention as frames do; text padding has BERT's states | `mask_padding = true`; without, padding is zeros to `max_length` |
//! | first epoch | at learning rate 0 | at the second's, or `first_epoch_at_zero = true` |
//! | text encoder | learns at the rate of the rest | at `train.text_learning_rate`; its presets say the same rate |
//! | weights of audio and vision | the paper's "adaptive" ones are absent, the sum is plain | as the code |
//! | residual of the hyper-modality | its normalised value | as the code |
//! | epoch | chosen by mean square error, or on the test set | as every model: validation MAE |
//!
//! `published = true` sets all of them as published.

mod config;
pub(crate) mod layers;

use std::sync::Arc;

use burn::module::{Initializer, Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::init::WeightInit;
use mmrest_encoders::{Bert, BertConfig};

pub use self::config::AlmtConfig;
use self::layers::{Block, Embedding, Fusion, HyperLayer};
use self::layers::{TOKENS, positions, with_layer_names};
use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, product, sum};
use crate::error::ModelError;
use crate::layers::{check_encoder, fit, mse, needs, recipe, whole};
use crate::model::{Loss, Mode, ModelOutput, SentimentModel};
use crate::needs::{Longest, Needs};
use crate::recipe::{Optimizer, Rates, Recipe, Schedule};
use crate::sequences::SequenceBatch;
use crate::task::Task;

/// The ALMT network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct Almt {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Embedding of text.
    pub text: Embedding,
    /// Embedding of audio.
    pub audio: Embedding,
    /// Embedding of vision.
    pub vision: Embedding,
    /// Positions of the language's levels, `[1, 8, d]`.
    pub language_positions: Param<Tensor<3>>,
    /// Blocks between the language's levels.
    pub language: Vec<Block>,
    /// The hyper-modality before its first layer, `[1, 8, d]`.
    pub hyper_start: Param<Tensor<3>>,
    /// Layers of the hyper-modality.
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
    config: AlmtConfig,
    /// How many of the text encoder's lower layers are not trained.
    lower_layers: usize,
}

/// What the forward pass gives. Arrays are in the order text, audio, vision.
#[derive(Clone, Debug)]
pub struct AlmtOutput {
    /// h of each modality, `[batch, 8, d]`.
    pub embeddings: [Tensor<3>; 3],
    /// H_0 and on, `[batch, 8, d]`.
    pub language: Vec<Tensor<3>>,
    /// The hyper-modality after its last layer, `[batch, 8, d]`.
    pub hyper: Tensor<3>,
    /// The fusion's token, `[batch, d]`.
    pub fusion: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
}

/// AdamW with a schedule by epoch: one rate for everything, as published, or one of the text encoder's own.
pub(crate) fn recipe_by_epoch(rates: &Rates, schedule: Schedule, one_rate: bool) -> Recipe {
    let mut recipe = Recipe {
        schedule,
        ..recipe(rates, 1, true)
    };
    if one_rate {
        recipe.groups.truncate(1);
    }
    for group in &mut recipe.groups {
        group.optimizer = Optimizer::ADAM_W;
    }
    recipe
}

/// One row per segment.
pub(crate) fn rows(x: &Tensor<3>) -> Tensor<2> {
    x.clone().flatten(1, 2)
}

impl ModelOutput for AlmtOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let names = [
            "embedding of text",
            "embedding of audio",
            "embedding of vision",
        ];
        let mut stages: Vec<_> = names
            .into_iter()
            .zip(self.embeddings.iter().map(rows))
            .collect();
        let levels = self.language.iter().map(rows);
        stages.extend(levels.map(|level| ("level of the language", level)));
        stages.push(("hyper-modality", rows(&self.hyper)));
        stages.push(("fusion", self.fusion.clone()));
        stages.push(("prediction", self.prediction.clone()));
        stages
    }
}

impl SentimentModel for Almt {
    type Config = AlmtConfig;
    type State = ();
    type Output = AlmtOutput;

    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = with_layer_names![
        ("bert.", "bertmodel.model."),
        ("text.input.", "embedding_l.0."),
        ("audio.input.", "embedding_a.0."),
        ("vision.input.", "embedding_v.0."),
        ("text.", "embedding_l.1."),
        ("audio.", "embedding_a.1."),
        ("vision.", "embedding_v.1."),
        ("language_positions", "l_encoder.pos_embedding"),
        ("language.", "l_encoder.encoder.layers."),
        ("hyper_layers.", "h_hyper_layer.layers."),
        ("hyper_start", "h_hyper"),
        ("head.", "regression_head."),
    ];

    fn init(
        config: &AlmtConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_encoder(task, text.is_some())?;
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let (width, heads) = (config.width, config.language_heads);
        let embedding = |at, features| Embedding::init(config.embedding(at, features), device);
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            text: embedding(0, hidden),
            audio: embedding(1, task.widths.audio),
            vision: embedding(2, task.widths.vision),
            language_positions: positions(TOKENS, width, device),
            language: (1..config.hyper_depth)
                .map(|_| Block::init(width, heads, config.language_inner, device))
                .collect(),
            hyper_start: Initializer::Ones.init([1, TOKENS, width], device),
            hyper_layers: (0..config.hyper_depth)
                .map(|_| HyperLayer::init(width, config.hyper_heads, config.hyper_head(), device))
                .collect(),
            fusion: Fusion::init(
                width,
                config.fusion_depth,
                config.fusion_heads,
                config.fusion_inner,
                device,
            ),
            head: WeightInit::PyTorch.linear(width, 1, device),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &AlmtConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let hidden = text.map_or(1, |bert| bert.hidden_size);
        let features = [hidden, task.widths.audio, task.widths.vision];
        let embedding = |at| Embedding::parameter_count(config.embedding(at, features[at]));
        let (width, heads) = (config.width, config.language_heads);
        let depth = config.hyper_depth as u128;
        let block = Block::parameter_count(width, heads, config.language_inner);
        sum([
            text.map_or(0, bert_parameters),
            (0..3).map(embedding).fold(0, u128::saturating_add),
            // The hyper-modality's start is as large as the positions.
            product([2, TOKENS, width]),
            block.saturating_mul(depth.saturating_sub(1)),
            HyperLayer::parameter_count(width, config.hyper_heads, config.hyper_head())
                .saturating_mul(depth),
            Fusion::parameter_count(
                width,
                config.fusion_depth,
                config.fusion_heads,
                config.fusion_inner,
            ),
            linear(width, 1),
        ])
    }

    fn init_state(_: &AlmtConfig, _: &Task, _: &[f32]) {}

    fn check_state(&self, (): &()) -> Result<(), ModelError> {
        Ok(())
    }

    fn needs(config: &AlmtConfig) -> Needs {
        let [text, audio, vision] = config.max_length.map(Some);
        Needs {
            longest: Longest {
                text,
                vision,
                audio,
            },
            ..needs(1)
        }
    }

    fn recipe(config: &AlmtConfig, rates: &Rates) -> Recipe {
        let schedule = Schedule::EpochCosine {
            idle_first: config.first_epoch_at_zero || config.published,
            warmup: config.warmup_epochs,
            epochs: config.schedule_epochs,
        };
        recipe_by_epoch(rates, schedule, config.published)
    }

    fn forward(&self, batch: &Batch, (): &(), _: Mode) -> Result<AlmtOutput, ModelError> {
        Ok(self.score(batch, !self.settings.config.masks()))
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut AlmtOutput,
        (): &(),
        _: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "ALMT")?;
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
        let embeddings = [&self.text, &self.audio, &self.vision];
        let embeddings = embeddings.iter().map(|part| part.num_params()).sum();
        let language = self.language.num_params() + self.language_positions.num_params();
        vec![
            ("embeddings", embeddings),
            ("language", language),
            (
                "hyper",
                self.hyper_start.num_params() + self.hyper_layers.num_params(),
            ),
            ("fusion", self.fusion.num_params()),
            ("head", self.head.num_params()),
        ]
    }
}

impl Almt {
    /// Scores a batch. `fixed`: sequences are padded to `max_length`, not to the longest of the batch.
    #[doc(hidden)]
    #[must_use]
    pub fn score(&self, batch: &Batch, fixed: bool) -> AlmtOutput {
        let device = self.head.weight.device();
        let (bert, lower) = (self.bert.as_ref(), self.settings.lower_layers);
        let text = batch.all_tokens(bert, lower, &device).padded(None);
        let audio = batch.frames(Modality::Audio, &device);
        let vision = batch.frames(Modality::Vision, &device);
        let masked = self.settings.config.masks();
        let embed = |embedding: &Embedding, input: SequenceBatch| {
            let input = fit(input, embedding.room(), fixed);
            let lengths = masked.then_some(input.lengths.as_slice());
            embedding.forward(input.values, lengths)
        };
        let text = embed(&self.text, text);
        let audio = embed(&self.audio, audio);
        let vision = embed(&self.vision, vision);
        let mut language = vec![text.clone() + self.language_positions.val()];
        for block in &self.language {
            let Some(level) = language.last().cloned() else {
                break;
            };
            language.push(block.forward(level.clone(), level, None));
        }
        let hyper = self.hyper_start.val().expand(text.dims());
        let layers = self.hyper_layers.iter().zip(&language);
        let hyper = layers.fold(hyper, |hyper, (layer, level)| {
            layer.forward(hyper, level.clone(), audio.clone(), vision.clone())
        });
        let fusion = self.fusion.forward(hyper.clone());
        let prediction = self.head.forward(fusion.clone());
        AlmtOutput {
            embeddings: [text, audio, vision],
            language,
            hyper,
            fusion,
            prediction,
        }
    }
}
