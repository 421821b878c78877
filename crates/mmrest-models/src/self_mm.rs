//! Self-MM: self-supervised multi-task learning (Yu et al., AAAI 2021). One head scores the fusion of the modalities; a
//! head per modality learns labels that are made during training from where a segment's features lie between the
//! centres of positive and negative segments.
//!
//! With M = {fusion, text, audio, vision} and S = {text, audio, vision}:
//!
//! ```text
//! t = BERT's first token [B,H]     a = Linear(LSTM(audio)) [B,oa]     v = Linear(LSTM(vision)) [B,ov]
//! x_fusion = [t,a,v]    x_text = t    x_audio = a    x_vision = v
//! F_m = ReLU(L1_m dropout(x_m)) [B,P_m]        y_m = L3_m ReLU(L2_m F_m)        prediction = y_fusion
//! loss = sum_m mean_b w_m |y_m - Y_m|          w_fusion = 1,  w_s = tanh |Y_s - Y_fusion|
//! ```
//!
//! In epoch 1 all Y are equal: every w_s is 0 and only the fusion learns. After each batch of epoch e:
//!
//! ```text
//! 1. e > 1:  d_m = (|F_m - c_m-| - |F_m - c_m+|) / (|F_m - c_m+| + 1e-8)
//!            new = Y_f d_s / 2 (d_f + 1e-8) + (Y_f + d_s - d_f) / 2, clamped to the scale of the labels
//!            Y_s <- (e-1)/(e+1) Y_s + 2/(e+1) new
//! 2. F_m of the batch's segments are kept.
//! 3. c_m+, c_m- <- means of the F_m of all training segments with Y_m > 0, Y_m < 0
//! ```
//!
//! # Where the published code differs from the paper
//!
//! The published code is MMSA a94e65d; `published = true` sets distances and an epoch's rest as it does.
//!
//! | point | paper | code | here |
//! |---|---|---|---|
//! | distance to a centre | squared L2 norm over sqrt(P) | L2 norm | `distance = "norm"` or `"paper"` |
//! | second 1e-8, in the ratio of d | absent | there; the authors confirm it | as the code |
//! | labels clamped to their scale | not mentioned | yes | as the code, to `data.label_range` |
//! | label 0 | not mentioned | on neither side | `exclude_zero = true`, or `false`: positive |
//! | a side without segments | not mentioned | the centre, then every label, is NaN | the centre before stays; without one, labels stay |
//! | centres in epoch 1 | not mentioned | include segments not yet seen, with F = 0 | as the code: they are not used before epoch 2 |
//! | F of the labels | not mentioned | of training mode, dropout on | as the code |
//! | gradients | of one batch | sum of `accumulate` batches, an epoch's rest dropped | `flush_rest = true`: the rest makes a step, or `false` |
//!
//! # Published names of the parameters
//!
//! PyTorch stores the matrices transposed.
//!
//! | here | published |
//! |---|---|
//! | `bert.*` | `text_model.model.*` |
//! | `audio.lstm.weight_ih` (`weight_hh`, `bias_ih`, `bias_hh`) | `audio_model.rnn.weight_ih_l0` (..) |
//! | `audio.projection.*` | `audio_model.linear_1.*` |
//! | `vision.*` | `video_model.*`, likewise |
//! | `post_fusion.layer_1.*` (2, 3) | `post_fusion_layer_1.*` (2, 3) |
//! | `post_text`, `post_audio`, `post_vision` | `post_text_layer_`, `post_audio_layer_`, `post_video_layer_`, likewise |

mod config;
mod labels;

use std::sync::Arc;

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::Modality;
use mmrest_encoders::init::WeightInit;
use mmrest_encoders::{Bert, BertConfig, SequenceEncoder, SequenceEncoderConfig};
use mmrest_kernels::host::{self, ReadError};
use mmrest_onnx::{Graph, Value};

pub use self::config::{Distance, SelfMmConfig};
pub use self::labels::{LabelMemory, LabelState};
use crate::batch::Batch;
use crate::counts::{bert_parameters, linear, lstm, sum};
use crate::error::ModelError;
use crate::graph::{self, GraphFrames, GraphInputs, GraphOutputs};
use crate::layers::{check_encoder, l1, whole};
use crate::model::{Loss, Mode, ModelOutput, SentimentModel, StepAt};
use crate::needs::{AbsentNeed, Needs};
use crate::recipe::{GradientGroup, ParameterGroup, Rates, Recipe};
use crate::task::Task;

/// M: what has a head, in the order of every array of four here.
const TARGETS: [&str; 4] = ["fusion", "text", "audio", "vision"];
/// Keeps the ratios of distances finite.
const EPSILON: f64 = 1e-8;

/// The Self-MM network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct SelfMm {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// LSTM and linear layer of audio.
    pub audio: SequenceEncoder,
    /// LSTM and linear layer of vision.
    pub vision: SequenceEncoder,
    /// The head of the prediction.
    pub post_fusion: Head,
    /// The head of text.
    pub post_text: Head,
    /// The head of audio.
    pub post_audio: Head,
    /// The head of vision.
    pub post_vision: Head,
    #[module(skip)]
    settings: Arc<Settings>,
}

/// Configuration and task, resolved.
#[derive(Clone, Debug)]
struct Settings {
    config: SelfMmConfig,
    label_range: [f32; 2],
    /// How many of the text encoder's lower layers are not trained.
    lower_layers: usize,
}

/// Dropout and three linear layers.
#[derive(Module, Debug)]
pub struct Head {
    /// Before the first layer, in training.
    pub dropout: Dropout,
    /// `[inputs] -> [P]`: gives the features that labels are made of.
    pub layer_1: Linear,
    /// `[P] -> [P]`.
    pub layer_2: Linear,
    /// `[P] -> [1]`.
    pub layer_3: Linear,
}

impl Head {
    fn init(inputs: usize, width: usize, dropout: f64, device: &Device) -> Self {
        Self {
            dropout: DropoutConfig::new(dropout).init(),
            layer_1: LinearConfig::new(inputs, width).init(device),
            layer_2: LinearConfig::new(width, width).init(device),
            layer_3: LinearConfig::new(width, 1).init(device),
        }
    }

    /// F `[batch, P]` and y `[batch, 1]`.
    fn forward(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let features = relu(self.layer_1.forward(self.dropout.forward(x)));
        let hidden = relu(self.layer_2.forward(features.clone()));
        (features, self.layer_3.forward(hidden))
    }

    /// F and y in a graph.
    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<[Value; 2], ReadError> {
        let features = graph.linear(&self.layer_1, x)?;
        let features = graph.op("Relu", &[&features]);
        let hidden = graph.linear(&self.layer_2, &features)?;
        let hidden = graph.op("Relu", &[&hidden]);
        let y = graph.linear(&self.layer_3, &hidden)?;
        Ok([features, y])
    }

    /// Inputs and P.
    fn dims(&self) -> [usize; 2] {
        self.layer_1.weight.val().dims()
    }
}

/// What the forward pass gives. Arrays are in the order fusion, text, audio, vision.
#[derive(Clone, Debug)]
pub struct SelfMmOutput {
    /// t: the first token's last state, `[batch, hidden]`.
    pub text: Tensor<2>,
    /// a, `[batch, oa]`.
    pub audio: Tensor<2>,
    /// v, `[batch, ov]`.
    pub vision: Tensor<2>,
    /// F of each target, `[batch, P]`.
    pub features: [Tensor<2>; 4],
    /// y of each target, `[batch, 1]`; the first is the prediction.
    pub predictions: [Tensor<2>; 4],
}

impl ModelOutput for SelfMmOutput {
    fn prediction(&self) -> Tensor<1> {
        self.predictions[0].clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        let names = [
            "text encoder's output",
            "audio representation",
            "vision representation",
            "features of the fusion",
            "features of text",
            "features of audio",
            "features of vision",
            "prediction",
            "prediction of text",
            "prediction of audio",
            "prediction of vision",
        ];
        let representations = [&self.text, &self.audio, &self.vision];
        let tensors = representations.into_iter();
        let tensors = tensors.chain(&self.features).chain(&self.predictions);
        names.into_iter().zip(tensors.cloned()).collect()
    }
}

impl SentimentModel for SelfMm {
    type Config = SelfMmConfig;
    type State = LabelState;
    type Output = SelfMmOutput;

    /// Its labels move by centres of the whole training set.
    const SEVERAL_DEVICES: bool = false;
    const HAS_GRAPH: bool = true;
    const LOSSES: &'static [&'static str] = &["task", "text", "audio", "vision"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^bert.", "text_model.model."),
        ("^audio.lstm.", "audio_model.rnn."),
        ("^audio.projection.", "audio_model.linear_1."),
        ("^vision.lstm.", "video_model.rnn."),
        ("^vision.projection.", "video_model.linear_1."),
        ("^post_vision.", "post_video."),
        (".layer_", "_layer_"),
    ];

    fn init(
        config: &SelfMmConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_encoder(task, text.is_some())?;
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.text_width());
        let [fusion, of_text, of_audio, of_vision] = config.inputs(hidden);
        let [p_fusion, p_text, p_audio, p_vision] = config.widths();
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            audio: sequence_init(
                task.widths.audio,
                config.audio_lstm_hidden,
                config.audio_out,
                config.audio_lstm_dropout,
                device,
            ),
            vision: sequence_init(
                task.widths.vision,
                config.vision_lstm_hidden,
                config.vision_out,
                config.vision_lstm_dropout,
                device,
            ),
            post_fusion: Head::init(fusion, p_fusion, config.post_fusion_dropout, device),
            post_text: Head::init(of_text, p_text, config.post_text_dropout, device),
            post_audio: Head::init(of_audio, p_audio, config.post_audio_dropout, device),
            post_vision: Head::init(of_vision, p_vision, config.post_vision_dropout, device),
            settings: Arc::new(Settings {
                config: config.clone(),
                label_range: task.label_range,
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &SelfMmConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let sequence = |width: usize, hidden: usize, output: usize| {
            sum([lstm(width.max(1), hidden), linear(hidden, output)])
        };
        let inputs = config.inputs(text.map_or(1, |bert| bert.text_width()));
        let heads = inputs.into_iter().zip(config.widths());
        let head = |(input, width): (usize, usize)| {
            sum([linear(input, width), linear(width, width), linear(width, 1)])
        };
        sum([
            text.map_or(0, bert_parameters),
            sequence(
                task.widths.audio,
                config.audio_lstm_hidden,
                config.audio_out,
            ),
            sequence(
                task.widths.vision,
                config.vision_lstm_hidden,
                config.vision_out,
            ),
            heads.map(head).fold(0, u128::saturating_add),
        ])
    }

    fn init_state(config: &SelfMmConfig, _: &Task, labels: &[f32]) -> LabelState {
        let [fusion, text, audio, vision] =
            config.widths().map(|width| LabelMemory::new(labels, width));
        LabelState {
            fusion,
            text,
            audio,
            vision,
        }
    }

    fn check_state(&self, state: &LabelState) -> Result<(), ModelError> {
        let segments = state.fusion.labels.len();
        let memories = TARGETS.iter().zip(state.memories());
        for ((name, memory), head) in memories.zip(self.heads()) {
            let [_, width] = head.dims();
            memory.check(name, segments, width)?;
        }
        Ok(())
    }

    /// Prediction needs no labels.
    fn prediction_state(&self, _: &LabelState) -> LabelState {
        LabelState::default()
    }

    fn needs(_: &SelfMmConfig) -> Needs {
        Needs {
            absent: AbsentNeed::ZeroFrame,
            ..Needs::default()
        }
    }

    fn recipe(config: &SelfMmConfig, rates: &Rates) -> Recipe {
        let group = ParameterGroup::new;
        let text_rate = rates.text_learning_rate;
        let (audio_rate, vision_rate) = (config.audio_learning_rate, config.vision_learning_rate);
        let undecayed = r"^bert\..*\.(bias|gamma|beta)$";
        let groups = vec![
            group("", "", rates.learning_rate, rates.weight_decay),
            group("text", r"^bert\.", text_rate, config.text_weight_decay),
            group("text_undecayed", undecayed, text_rate, 0.0),
            group("audio", r"^audio\.", audio_rate, config.audio_weight_decay),
            group(
                "vision",
                r"^vision\.",
                vision_rate,
                config.vision_weight_decay,
            ),
        ];
        let gradients = vec![GradientGroup {
            name: "",
            pattern: "",
            clip: rates.clip(),
        }];
        Recipe {
            accumulate: config.accumulate,
            flush_rest: config.flush_rest && !config.published,
            ..Recipe::new(groups, gradients)
        }
    }

    fn forward(&self, batch: &Batch, _: &LabelState, _: Mode) -> Result<SelfMmOutput, ModelError> {
        let device = self.post_fusion.layer_1.weight.device();
        let text = batch.pooled_text(self.bert.as_ref(), self.settings.lower_layers, &device);
        let sequence = |encoder: &SequenceEncoder, modality| {
            let frames = batch.frames(modality, &device);
            encoder.forward(frames.values, &frames.lengths)
        };
        let audio = sequence(&self.audio, Modality::Audio);
        let vision = sequence(&self.vision, Modality::Vision);
        let all = Tensor::cat(vec![text.clone(), audio.clone(), vision.clone()], 1);
        let (f_fusion, y_fusion) = self.post_fusion.forward(all);
        let (f_text, y_text) = self.post_text.forward(text.clone());
        let (f_audio, y_audio) = self.post_audio.forward(audio.clone());
        let (f_vision, y_vision) = self.post_vision.forward(vision.clone());
        Ok(SelfMmOutput {
            text,
            audio,
            vision,
            features: [f_fusion, f_text, f_audio, f_vision],
            predictions: [y_fusion, y_text, y_audio, y_vision],
        })
    }

    /// In training against the labels in force, each part with its weights; in evaluation the fusion's part alone.
    fn loss(
        &self,
        batch: &Batch,
        output: &mut SelfMmOutput,
        state: &LabelState,
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "Self-MM")?;
        let device = output.predictions[0].device();
        if mode == Mode::Evaluate {
            let task = l1(batch, output.prediction());
            return Ok(Loss {
                total: task.clone(),
                parts: vec![Some(task), None, None, None],
            });
        }
        state.check_rows(&batch.rows)?;
        let (mut labels, mut weights) = (Vec::new(), Vec::new());
        for &row in &batch.rows {
            let of_row = state.memories().map(|memory| memory.labels[row]);
            labels.extend(of_row);
            weights.push(1.0);
            weights.extend(of_row[1..].iter().map(|l| (l - of_row[0]).abs().tanh()));
        }
        let shape = [batch.len(), TARGETS.len()];
        let table = |values| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let predictions = Tensor::cat(output.predictions.to_vec(), 1);
        let errors = (predictions - table(labels)).abs() * table(weights);
        let parts = errors.mean_dim(0);
        Ok(Loss {
            total: parts.clone().sum(),
            parts: (0..TARGETS.len())
                .map(|target| Some(parts.clone().narrow(1, target, 1).reshape([1])))
                .collect(),
        })
    }

    /// Moves the labels, with one read of the device.
    fn observe(
        &self,
        batch: &Batch,
        output: &SelfMmOutput,
        state: &mut LabelState,
        at: StepAt,
    ) -> Result<(), ModelError> {
        state.check_rows(&batch.rows)?;
        let features = Tensor::cat(output.features.to_vec(), 1);
        let features = host::read("features", features.inner())?;
        state.update(&batch.rows, &features, at.epoch, &self.settings);
        Ok(())
    }

    /// How far each modality's labels are from the true ones, on average.
    fn epoch_columns(&self, state: &LabelState) -> Vec<(&'static str, f64)> {
        let shift = |memory: &LabelMemory| {
            let labels = memory.labels.iter().zip(&state.fusion.labels);
            let sum: f64 = labels
                .map(|(own, truth)| f64::from((own - truth).abs()))
                .sum();
            sum / memory.labels.len().max(1) as f64
        };
        vec![
            ("text_label_shift", shift(&state.text)),
            ("audio_label_shift", shift(&state.audio)),
            ("vision_label_shift", shift(&state.vision)),
        ]
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let heads = self.heads().map(Module::num_params);
        vec![
            ("audio", self.audio.num_params()),
            ("vision", self.vision.num_params()),
            ("heads", heads.iter().sum()),
        ]
    }

    fn graph(
        &self,
        _: &LabelState,
        inputs: &GraphInputs,
        graph: &mut Graph,
    ) -> Result<GraphOutputs, ModelError> {
        let nothing = || ModelError::Internal("a graph without an input".into());
        let rows = inputs.rows(graph).ok_or_else(nothing)?;
        let [hidden, _] = self.post_text.dims();
        let text = match (&self.bert, &inputs.text) {
            (Some(bert), Some([ids, mask])) => bert.graph(graph, ids, mask)?,
            _ => graph::zeros(graph, &rows, &[hidden]),
        };
        let audio = sequence_graph(&self.audio, inputs.audio.as_ref(), &rows, graph)?;
        let vision = sequence_graph(&self.vision, inputs.vision.as_ref(), &rows, graph)?;
        let all = graph.concat(&[&text, &audio, &vision], 1);
        let [f_fusion, y] = self.post_fusion.graph(graph, &all)?;
        let score = graph.squeeze(&y, &[1]);
        let [f_text, _] = self.post_text.graph(graph, &text)?;
        let [f_audio, _] = self.post_audio.graph(graph, &audio)?;
        let [f_vision, _] = self.post_vision.graph(graph, &vision)?;
        let [p_fusion, p_text, p_audio, p_vision] = self.heads().map(|head| head.dims()[1]);
        let representations = [
            ("text encoder's output", text, hidden),
            ("audio representation", audio, self.post_audio.dims()[0]),
            ("vision representation", vision, self.post_vision.dims()[0]),
            ("features of the fusion", f_fusion, p_fusion),
            ("features of text", f_text, p_text),
            ("features of audio", f_audio, p_audio),
            ("features of vision", f_vision, p_vision),
        ];
        let present = representations.map(|(name, value, width)| (name, Some(value), width));
        Ok(GraphOutputs::new(graph, score, None).with(present))
    }
}

impl SelfMm {
    fn heads(&self) -> [&Head; 4] {
        [
            &self.post_fusion,
            &self.post_text,
            &self.post_audio,
            &self.post_vision,
        ]
    }
}

/// An encoder of one modality, with PyTorch's initial weights; frames that are absent are one zero feature.
fn sequence_init(
    width: usize,
    hidden: usize,
    output: usize,
    dropout: f64,
    device: &Device,
) -> SequenceEncoder {
    let config = SequenceEncoderConfig {
        input: width.max(1),
        hidden,
        output,
        dropout,
    };
    config.init_with(WeightInit::PyTorch, device)
}

/// The representation of audio or vision in a graph: of one zero frame where there is none; `rows` is the number of
/// segments, `[1]`.
fn sequence_graph(
    encoder: &SequenceEncoder,
    input: Option<&GraphFrames>,
    rows: &Value,
    graph: &mut Graph,
) -> Result<Value, ReadError> {
    if let Some(input) = input {
        return encoder.graph(graph, &input.frames, &input.lengths);
    }
    let frames = graph::zeros(graph, rows, &[1, encoder.lstm.weight_ih.dims()[0]]);
    let one = graph.int(1);
    let lengths = graph.op("Expand", &[&one, rows]);
    encoder.graph(graph, &frames, &lengths)
}
