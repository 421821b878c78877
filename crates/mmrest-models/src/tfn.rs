//! TFN: Tensor Fusion Network (Zadeh et al., EMNLP 2017). The outer product of the three modalities, each with a 1, is
//! scored by three linear layers.
//!
//! ```text
//! ha, hv, ht:    subnetworks of the averaged audio, the averaged vision and the text's tokens
//! z[i,j,k]     = [1,ha]_i [1,hv]_j [1,ht]_k                  audio slowest, text fastest
//! prediction   = lo + (hi - lo) sigmoid(L3 ReLU L2 ReLU L1 dropout(z))          [lo, hi]: data.label_range
//! loss         = mean |prediction - label|
//! ```
//!
//! # Where the published code differs
//!
//! `published = true` is the published code (MMSA a94e65d) to the letter.
//!
//! | point | published | here |
//! |---|---|---|
//! | text LSTM | runs through the padding behind the text, to 50 tokens | `text_lstm = "own_length"`, or `"padded"` |
//! | mean over time | over the release's fixed number of frames | `mean_over = "frames"`, or `"padded"` |
//! | output's range | -3 to 3 | `data.label_range` |
//! | text encoder | not trained | `text.freeze` of the presets |
//! | dropout of text | configured, without effect | left out |
//! | a batch of one segment | an error in training | joins the batch before |

use std::sync::Arc;

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::Device;
use burn::tensor::activation::{relu, sigmoid};
use mmrest_encoders::init::pytorch_linear_init;
use mmrest_encoders::{Bert, BertConfig, drop_out, linear_layer};
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, sum};
use crate::error::{ConfigError, ModelError};
use crate::layers::{l1, recipe, whole};
use crate::model::{Loss, Mode, ModelOutput, Presets, SentimentModel, StepAt};
use crate::needs::Needs;
use crate::published::PublishedTensor;
use crate::recipe::{Rates, Recipe};
use crate::subnets::{
    MeanOver, Padding, SubNet, SubNets, SubnetOutput, SubnetState, TextLstm, TextSubNet, with_one,
};
use crate::task::Task;

/// `[model.tfn]`. The defaults are the published values for MOSI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TfnConfig {
    /// Size T of the text LSTM's hidden state.
    pub text_hidden: usize,
    /// Width A of the audio subnetwork.
    pub audio_hidden: usize,
    /// Width V of the vision subnetwork.
    pub vision_hidden: usize,
    /// Size O of the text's representation.
    pub text_out: usize,
    /// Width P of the layers behind the fusion.
    pub post_fusion_dim: usize,
    /// Dropout of the normalised audio.
    pub audio_dropout: f64,
    /// Dropout of the normalised vision.
    pub vision_dropout: f64,
    /// Dropout of the fusion.
    pub post_fusion_dropout: f64,
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

impl Default for TfnConfig {
    fn default() -> Self {
        Self {
            text_hidden: 128,
            audio_hidden: 32,
            vision_hidden: 128,
            text_out: 32,
            post_fusion_dim: 64,
            audio_dropout: 0.3,
            vision_dropout: 0.3,
            post_fusion_dropout: 0.5,
            text_lstm: TextLstm::OwnLength,
            mean_over: MeanOver::Frames,
            padded_text: 50,
            padded_audio: 375,
            padded_vision: 500,
            published: false,
        }
    }
}

impl TfnConfig {
    /// To what sequences are padded.
    fn padding(&self) -> Padding {
        let lengths = [self.padded_text, self.padded_audio, self.padded_vision];
        Padding::new(self.published, self.text_lstm, self.mean_over, lengths)
    }

    /// Size of the fusion: (A+1)(V+1)(O+1). Saturates.
    fn fusion(&self) -> usize {
        let sizes = [self.audio_hidden, self.vision_hidden, self.text_out];
        let sizes = sizes.map(|size| size.saturating_add(1));
        sizes.into_iter().fold(1, usize::saturating_mul)
    }
}

impl Presets for TfnConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[
        (
            "mosi",
            r#"
[text]
freeze = true
[train]
batch_size = 32
learning_rate = 1e-3
weight_decay = 0.0
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "mosei",
            r#"
[model.tfn]
audio_hidden = 16
padded_audio = 500
text_out = 128
post_fusion_dim = 16
audio_dropout = 0.4
vision_dropout = 0.4
post_fusion_dropout = 0.4
[text]
freeze = true
[train]
batch_size = 128
learning_rate = 5e-3
weight_decay = 0.0
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
        (
            "sims",
            r#"
[model.tfn]
text_out = 256
post_fusion_dim = 32
audio_dropout = 0.4
vision_dropout = 0.4
post_fusion_dropout = 0.4
padded_text = 39
padded_audio = 400
padded_vision = 55
[text]
freeze = true
[train]
batch_size = 32
learning_rate = 5e-4
weight_decay = 0.0
max_grad_norm = 0.0
plateau_factor = 1.0
patience = 8
"#,
        ),
    ];

    const RESUMABLE: &'static [&'static str] =
        &["audio_dropout", "vision_dropout", "post_fusion_dropout"];

    fn check(&self, key: &str, _: &Task) -> Result<(), ConfigError> {
        for (name, value) in [
            ("text_hidden", self.text_hidden),
            ("audio_hidden", self.audio_hidden),
            ("vision_hidden", self.vision_hidden),
            ("text_out", self.text_out),
            ("post_fusion_dim", self.post_fusion_dim),
            ("padded_text", self.padded_text),
            ("padded_audio", self.padded_audio),
            ("padded_vision", self.padded_vision),
        ] {
            ConfigError::positive(&format!("{key}.{name}"), value)?;
        }
        for (name, value) in [
            ("audio_dropout", self.audio_dropout),
            ("vision_dropout", self.vision_dropout),
            ("post_fusion_dropout", self.post_fusion_dropout),
        ] {
            ConfigError::fraction(&format!("{key}.{name}"), value)?;
        }
        Ok(())
    }
}

/// The network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct Tfn {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Of the text's tokens.
    pub text: TextSubNet,
    /// Of the averaged audio.
    pub audio: SubNet,
    /// Of the averaged vision.
    pub vision: SubNet,
    /// Of the fusion, in training.
    pub post_fusion_dropout: Dropout,
    /// `[(A+1)(V+1)(O+1)] -> [P]`.
    pub post_fusion_layer_1: Linear,
    /// `[P] -> [P]`.
    pub post_fusion_layer_2: Linear,
    /// `[P] -> [1]`.
    pub post_fusion_layer_3: Linear,
    #[module(skip)]
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    config: TfnConfig,
    label_range: [f32; 2],
    lower_layers: usize,
}

impl SentimentModel for Tfn {
    type Config = TfnConfig;
    type State = SubnetState;
    type Output = SubnetOutput;

    /// It normalises by the statistics of complete batches.
    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^text.", "text_subnet."),
        ("^audio.", "audio_subnet."),
        ("^vision.", "video_subnet."),
    ];

    fn init(
        config: &TfnConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let states = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let width = config.post_fusion_dim;
        let (audio, vision) = (task.widths.audio, task.widths.vision);
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            text: TextSubNet::init(states, config.text_hidden, config.text_out, device),
            audio: SubNet::init(audio, config.audio_hidden, config.audio_dropout, device),
            vision: SubNet::init(vision, config.vision_hidden, config.vision_dropout, device),
            post_fusion_dropout: DropoutConfig::new(config.post_fusion_dropout).init(),
            post_fusion_layer_1: pytorch_linear_init(config.fusion(), width, device),
            post_fusion_layer_2: pytorch_linear_init(width, width, device),
            post_fusion_layer_3: pytorch_linear_init(width, 1, device),
            settings: Arc::new(Settings {
                config: config.clone(),
                label_range: task.label_range,
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &TfnConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let states = text.map_or(1, |bert| bert.hidden_size);
        let width = config.post_fusion_dim;
        sum([
            text.map_or(0, bert_parameters),
            TextSubNet::parameters(states, config.text_hidden, config.text_out),
            SubNet::parameters(task.widths.audio, config.audio_hidden),
            SubNet::parameters(task.widths.vision, config.vision_hidden),
            linear(config.fusion(), width),
            linear(width, width),
            linear(width, 1),
        ])
    }

    fn init_state(_: &TfnConfig, task: &Task, _: &[f32]) -> SubnetState {
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

    fn needs(config: &TfnConfig) -> Needs {
        config.padding().needs()
    }

    fn recipe(_: &TfnConfig, rates: &Rates) -> Recipe {
        recipe(rates, 1, true)
    }

    fn forward(
        &self,
        batch: &Batch,
        state: &SubnetState,
        mode: Mode,
    ) -> Result<SubnetOutput, ModelError> {
        let Settings {
            config,
            label_range: [least, greatest],
            lower_layers,
        } = &*self.settings;
        let (segments, training) = (batch.len(), mode != Mode::Evaluate);
        let device = self.post_fusion_layer_3.weight.device();
        let text = batch.all_tokens(self.bert.as_ref(), *lower_layers, &device);
        let subnets = SubNets {
            text: &self.text,
            audio: &self.audio,
            vision: &self.vision,
        };
        let padding = config.padding();
        let ([text, audio, vision], statistics) =
            subnets.forward(batch, &text, padding, state, training);
        let [a, v, t] = [&audio, &vision, &text].map(|h| with_one(h.clone()));
        let (width, by_text) = (a.dims()[1] * v.dims()[1], t.dims()[1]);
        let pairs = a.unsqueeze_dim::<3>(2) * v.unsqueeze_dim::<3>(1);
        let pairs = pairs.reshape([segments, width, 1]);
        let fusion = (pairs * t.unsqueeze_dim::<3>(1)).reshape([segments, width * by_text]);
        let x = drop_out(&self.post_fusion_dropout, fusion.clone());
        let x = relu(linear_layer(&self.post_fusion_layer_1, x));
        let x = relu(self.post_fusion_layer_2.forward(x));
        let score = sigmoid(self.post_fusion_layer_3.forward(x));
        Ok(SubnetOutput {
            text,
            audio,
            vision,
            fusion,
            prediction: score * (greatest - least) + *least,
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
        whole(batch, "TFN")?;
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
        let layers = [
            &self.post_fusion_layer_1,
            &self.post_fusion_layer_2,
            &self.post_fusion_layer_3,
        ];
        vec![
            ("text", self.text.num_params()),
            ("audio", self.audio.num_params()),
            ("vision", self.vision.num_params()),
            ("fusion", layers.map(Module::num_params).iter().sum()),
        ]
    }
}
