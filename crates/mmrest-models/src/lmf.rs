//! LMF: Low-rank Multimodal Fusion (Liu et al., ACL 2018). TFN's outer product through a weight tensor of low rank, so
//! that it is never made.
//!
//! ```text
//! ha, hv, ht:  subnetworks as TFN's, the text's of half its LSTM's size
//! u_r        = ([1,ha] Fa_r) ([1,hv] Fv_r) ([1,ht] Ft_r)            r = 1..R
//! prediction = sum_r w_r u_r + c
//! loss       = mean |prediction - label|
//! ```
//!
//! # Where the published code differs
//!
//! `published = true` is the published code (MMSA a94e65d) to the letter; text LSTM and mean over time are as in TFN.
//!
//! | point | published | here |
//! |---|---|---|
//! | w and c | in no parameter group: w stays as it was drawn, c at 0 | `train_rank_weights = true`, or `false` |
//! | sum over ranks | plain in the paper, weighted in the code | weighted |
//! | dropout of text and of the fusion | configured, without effect | left out |

use std::sync::Arc;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use mmrest_encoders::init::xavier_normal_init;
use mmrest_encoders::{Bert, BertConfig};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::counts::{bert_parameters, product, sum};
use crate::error::{ConfigError, ModelError};
use crate::layers::{l1, recipe, whole};
use crate::model::{Loss, Mode, ModelOutput, Presets, SentimentModel, StepAt};
use crate::needs::Needs;
use crate::published::PublishedTensor;
use crate::recipe::{ParameterGroup, Rates, Recipe};
use crate::subnets::{
    MeanOver, Padding, SubNet, SubNets, SubnetOutput, SubnetState, TextLstm, TextSubNet, with_one,
};
use crate::task::Task;

/// `[model.lmf]`. The defaults are the published values for MOSI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LmfConfig {
    /// Size T of the text LSTM's hidden state; the text's representation has half of it.
    pub text_hidden: usize,
    /// Width A of the audio subnetwork.
    pub audio_hidden: usize,
    /// Width V of the vision subnetwork.
    pub vision_hidden: usize,
    /// R.
    pub rank: usize,
    /// Dropout of the normalised audio.
    pub audio_dropout: f64,
    /// Dropout of the normalised vision.
    pub vision_dropout: f64,
    /// Learning rate of the factors.
    pub factor_learning_rate: f64,
    /// Whether w and c are trained.
    pub train_rank_weights: bool,
    /// Where the text's LSTM is read.
    pub text_lstm: TextLstm,
    /// Over what frames are averaged.
    pub mean_over: MeanOver,
    /// Tokens of a padded text.
    pub padded_text: usize,
    /// Frames of padded audio.
    pub padded_audio: usize,
    /// Frames of padded vision.
    pub padded_vision: usize,
    /// The published code to the letter, whatever the switches say.
    pub published: bool,
}

impl Default for LmfConfig {
    fn default() -> Self {
        Self {
            text_hidden: 128,
            audio_hidden: 16,
            vision_hidden: 128,
            rank: 3,
            audio_dropout: 0.3,
            vision_dropout: 0.3,
            factor_learning_rate: 1e-3,
            train_rank_weights: true,
            text_lstm: TextLstm::OwnLength,
            mean_over: MeanOver::Frames,
            padded_text: 50,
            padded_audio: 375,
            padded_vision: 500,
            published: false,
        }
    }
}

impl LmfConfig {
    /// To what sequences are padded.
    fn padding(&self) -> Padding {
        let lengths = [self.padded_text, self.padded_audio, self.padded_vision];
        Padding::new(self.published, self.text_lstm, self.mean_over, lengths)
    }

    fn text_out(&self) -> usize {
        self.text_hidden / 2
    }
}

impl Presets for LmfConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[text]
freeze = true
[train]
batch_size = 64
learning_rate = 1e-3
weight_decay = 5e-3
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "mosei",
            r#"
[model.lmf]
rank = 4
audio_dropout = 0.2
vision_dropout = 0.2
padded_audio = 500
[text]
freeze = true
[train]
batch_size = 32
learning_rate = 1e-3
weight_decay = 1e-3
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "sims",
            r#"
[model.lmf]
text_hidden = 64
vision_hidden = 64
rank = 4
audio_dropout = 0.2
vision_dropout = 0.2
factor_learning_rate = 5e-4
padded_text = 39
padded_audio = 400
padded_vision = 55
[text]
freeze = true
[train]
batch_size = 64
learning_rate = 2e-3
weight_decay = 5e-3
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] = &[
        "audio_dropout",
        "vision_dropout",
        "factor_learning_rate",
        "train_rank_weights",
    ];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        if self.text_hidden < 2 {
            return Err(ConfigError(format!(
                "{key}.text_hidden must be at least 2, for the text's representation has half of it, found {}",
                self.text_hidden
            )));
        }
        for (name, value) in [
            ("audio_hidden", self.audio_hidden),
            ("vision_hidden", self.vision_hidden),
            ("rank", self.rank),
            ("padded_text", self.padded_text),
            ("padded_audio", self.padded_audio),
            ("padded_vision", self.padded_vision),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in [
            ("audio_dropout", self.audio_dropout),
            ("vision_dropout", self.vision_dropout),
        ] {
            ConfigError::fraction(&format!("{key}.{name}"), value)?;
        }
        ConfigError::at_least_zero(
            &format!("{key}.factor_learning_rate"),
            self.factor_learning_rate,
        )
    }
}

/// The network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct Lmf {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Of the text's tokens.
    pub text: TextSubNet,
    /// Of the averaged audio.
    pub audio: SubNet,
    /// Of the averaged vision.
    pub vision: SubNet,
    /// Fa, `[R, A+1, 1]`.
    pub audio_factor: Param<Tensor<3>>,
    /// Fv, `[R, V+1, 1]`.
    pub vision_factor: Param<Tensor<3>>,
    /// Ft, `[R, O+1, 1]`.
    pub text_factor: Param<Tensor<3>>,
    /// w, `[1, R]`.
    pub fusion_weights: Param<Tensor<2>>,
    /// c, `[1, 1]`.
    pub fusion_bias: Param<Tensor<2>>,
    #[module(skip)]
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    config: LmfConfig,
    lower_layers: usize,
}

impl SentimentModel for Lmf {
    type Config = LmfConfig;
    type State = SubnetState;
    type Output = SubnetOutput;

    /// It normalises by the statistics of complete batches.
    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^text.", "text_subnet."),
        ("^audio.", "audio_subnet."),
        ("^vision.", "video_subnet."),
        ("^vision_factor", "video_factor"),
    ];

    fn init(
        config: &LmfConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let states = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let rank = config.rank;
        let (audio, vision) = (task.widths.audio, task.widths.vision);
        // PyTorch's fans of [R, width, 1]: width and R.
        let factor =
            |width: usize| xavier_normal_init([rank, width + 1, 1], width + 1, rank, device);
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            text: TextSubNet::init(states, config.text_hidden, config.text_out(), device),
            audio: SubNet::init(audio, config.audio_hidden, config.audio_dropout, device),
            vision: SubNet::init(vision, config.vision_hidden, config.vision_dropout, device),
            audio_factor: factor(config.audio_hidden),
            vision_factor: factor(config.vision_hidden),
            text_factor: factor(config.text_out()),
            fusion_weights: xavier_normal_init([1, rank], rank, 1, device),
            fusion_bias: Initializer::Zeros.init([1, 1], device),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &LmfConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let states = text.map_or(1, |bert| bert.hidden_size);
        let widths = [config.audio_hidden, config.vision_hidden, config.text_out()];
        let factors = widths.map(|width| product([config.rank, width.saturating_add(1)]));
        sum([
            text.map_or(0, bert_parameters),
            TextSubNet::parameters(states, config.text_hidden, config.text_out()),
            SubNet::parameters(task.widths.audio, config.audio_hidden),
            SubNet::parameters(task.widths.vision, config.vision_hidden),
            sum(factors),
            config.rank as u128,
            1,
        ])
    }

    fn init_state(_: &LmfConfig, task: &Task, _: &[f32]) -> SubnetState {
        SubnetState::new(task.widths.audio, task.widths.vision)
    }

    fn load_published_state(
        state: &mut SubnetState,
        find: &dyn Fn(&str) -> Option<PublishedTensor>,
    ) -> Result<(), ModelError> {
        state.load_published(find)
    }

    fn check_state(&self, state: &SubnetState) -> Result<(), ModelError> {
        state.check(&self.audio, &self.vision)
    }

    fn needs(config: &LmfConfig) -> Needs {
        config.padding().needs()
    }

    fn recipe(config: &LmfConfig, rates: &Rates) -> Recipe {
        let mut recipe = recipe(rates, 1, true);
        recipe.groups.extend([
            ParameterGroup::new(
                "factor",
                "^(audio|vision|text)_factor$",
                config.factor_learning_rate,
                rates.weight_decay,
            ),
            ParameterGroup {
                trained: config.train_rank_weights && !config.published,
                ..ParameterGroup::new(
                    "rank",
                    "^fusion_(weights|bias)$",
                    rates.learning_rate,
                    rates.weight_decay,
                )
            },
        ]);
        recipe
    }

    fn forward(
        &self,
        batch: &Batch,
        state: &SubnetState,
        mode: Mode,
    ) -> Result<SubnetOutput, ModelError> {
        let Settings {
            config,
            lower_layers,
        } = &*self.settings;
        let training = mode != Mode::Evaluate;
        let device = self.fusion_weights.device();
        let text = batch.all_tokens(self.bert.as_ref(), *lower_layers, &device);
        let subnets = SubNets {
            text: &self.text,
            audio: &self.audio,
            vision: &self.vision,
        };
        let padding = config.padding();
        let ([text, audio, vision], statistics) =
            subnets.forward(batch, &text, padding, state, training);
        let ranks = |h: &Tensor<2>, factor: &Param<Tensor<3>>| {
            let factor = factor.val().squeeze_dim::<2>(2);
            with_one(h.clone()).matmul(factor.transpose())
        };
        let fusion = ranks(&audio, &self.audio_factor)
            * ranks(&vision, &self.vision_factor)
            * ranks(&text, &self.text_factor);
        let weights = self.fusion_weights.val().transpose();
        Ok(SubnetOutput {
            text,
            audio,
            vision,
            prediction: fusion.clone().matmul(weights) + self.fusion_bias.val(),
            fusion,
            statistics,
        })
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut SubnetOutput,
        _: &SubnetState,
        _: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "LMF")?;
        let task = l1(batch, output.prediction());
        Ok(Loss {
            total: task.clone(),
            parts: vec![Some(task)],
        })
    }

    /// Moves the running statistics, with one read of the device.
    fn observe(
        &self,
        _: &Batch,
        output: &SubnetOutput,
        state: &mut SubnetState,
        _: StepAt,
    ) -> Result<(), ModelError> {
        state.update(&output.statistics)
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let factors = [&self.audio_factor, &self.vision_factor, &self.text_factor];
        let factors = factors.map(|factor| factor.val().shape().num_elements());
        let rank = self.settings.config.rank;
        vec![
            ("text", self.text.num_params()),
            ("audio", self.audio.num_params()),
            ("vision", self.vision.num_params()),
            ("fusion", factors.iter().sum::<usize>() + rank + 1),
        ]
    }
}
