//! Self-MM: a file of several cases (`a`, `b`, ...), measured on MMSA.
//!
//! Case `t` is a training loop; `l` and `k` are the moving of its labels alone.

use std::path::PathBuf;

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use mmrest_encoders::{Bert, BertConfig};
use mmrest_models::{
    Batch, Distance, LabelMemory, LabelState, Loss, Mode, ModelError, Needs, Rates, Recipe, SelfMm,
    SelfMmConfig, SelfMmOutput, SentimentModel, StepAt, Task, TextBatch,
};
use serde::Deserialize;

use super::Folders;
use super::published::{
    Case, TRAIN, Training, batch, encoded, first_tokens, labels, load_at, part, rates, sequences,
    task, weights,
};
use super::tensors::{Inputs, Results};
use crate::error::LearnerError;
use crate::train::Trainer;

/// M, in the order of the model's arrays.
const TARGETS: [&str; 4] = ["fusion", "text", "audio", "vision"];

#[derive(Deserialize)]
struct SelfMmCase {
    config: SelfMmSizes,
    #[serde(default)]
    audio_lengths: Vec<usize>,
    #[serde(default)]
    vision_lengths: Vec<usize>,
    #[serde(default)]
    batch_sizes: Vec<usize>,
    #[serde(default)]
    epochs: usize,
}

#[derive(Deserialize)]
struct SelfMmSizes {
    feature_dims: [usize; 3],
    a_lstm_hidden_size: usize,
    v_lstm_hidden_size: usize,
    audio_out: usize,
    video_out: usize,
    post_fusion_dim: usize,
    post_text_dim: usize,
    post_audio_dim: usize,
    post_video_dim: usize,
    #[serde(rename = "H")]
    scale: f32,
    #[serde(rename = "excludeZero")]
    exclude_zero: bool,
    #[serde(default)]
    update_epochs: usize,
    #[serde(default)]
    learning_rate_bert: f64,
    #[serde(default)]
    learning_rate_audio: f64,
    #[serde(default)]
    learning_rate_video: f64,
    #[serde(default)]
    learning_rate_other: f64,
    #[serde(default)]
    weight_decay_bert: f64,
    #[serde(default)]
    weight_decay_audio: f64,
    #[serde(default)]
    weight_decay_video: f64,
    #[serde(default)]
    weight_decay_other: f64,
}

impl SelfMmSizes {
    fn config(&self) -> SelfMmConfig {
        SelfMmConfig {
            audio_lstm_hidden: self.a_lstm_hidden_size,
            vision_lstm_hidden: self.v_lstm_hidden_size,
            audio_out: self.audio_out,
            vision_out: self.video_out,
            audio_lstm_dropout: 0.0,
            vision_lstm_dropout: 0.0,
            post_fusion_dim: self.post_fusion_dim,
            post_text_dim: self.post_text_dim,
            post_audio_dim: self.post_audio_dim,
            post_vision_dim: self.post_video_dim,
            post_fusion_dropout: 0.0,
            post_text_dropout: 0.0,
            post_audio_dropout: 0.0,
            post_vision_dropout: 0.0,
            distance: Distance::Norm,
            exclude_zero: self.exclude_zero,
            accumulate: self.update_epochs.max(1),
            flush_rest: true,
            audio_learning_rate: self.learning_rate_audio,
            vision_learning_rate: self.learning_rate_video,
            text_weight_decay: self.weight_decay_bert,
            audio_weight_decay: self.weight_decay_audio,
            vision_weight_decay: self.weight_decay_video,
            // Drops what is left of an epoch, whatever `flush_rest` says.
            published: true,
        }
    }

    fn task(&self) -> Task {
        let [_, audio, vision] = self.feature_dims;
        task(audio, vision, self.scale)
    }

    fn model(&self, device: &Device) -> Result<SelfMm, LearnerError> {
        let mut model: SelfMm =
            encoded(&self.config(), &self.task(), self.feature_dims[0], device)?;
        model.bert = None;
        Ok(model)
    }
}

/// The file of Self-MM's cases.
const SELF_MM: &str = "self_mm.safetensors";

pub(super) fn self_mm(folders: &Folders<'_>, device: &Device) -> Result<PathBuf, LearnerError> {
    let inputs = Inputs::open(folders, SELF_MM)?;
    let mut results = Results::default();
    for name in ["a", "b"] {
        self_mm_case(&inputs, &mut results, name, device)?;
    }
    for name in ["l", "k"] {
        label_case(&inputs, &mut results, name, device)?;
    }
    self_mm_training(&inputs, &mut results, device)?;
    results.write(folders, SELF_MM)
}

fn memories(state: &mut LabelState) -> [&mut LabelMemory; 4] {
    [
        &mut state.fusion,
        &mut state.text,
        &mut state.audio,
        &mut state.vision,
    ]
}

fn self_mm_case(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let mut case = Case::new(inputs, results, Some(name), device);
    let about: SelfMmCase = case.about()?;
    let model = case.load(about.config.model(&case.device)?)?;
    let [text, audio, vision] = case.inputs(["bert", "audio", "vision"])?;
    let truth = case.labels("label_fusion")?;
    let mut state = SelfMm::init_state(&about.config.config(), &about.config.task(), &truth);
    for (target, memory) in TARGETS.iter().zip(memories(&mut state)) {
        memory.labels = case.labels(&format!("label_{target}"))?;
    }
    let given = batch(
        first_tokens(&text),
        sequences(&audio, Some(&about.audio_lengths)),
        sequences(&vision, Some(&about.vision_lengths)),
        truth,
    );
    let mut output = model.forward(&given, &state, TRAIN)?;
    for (at, target) in TARGETS.iter().enumerate() {
        case.output(&format!("feature_{target}"), output.features[at].clone())?;
        case.output(
            &format!("prediction_{target}"),
            output.predictions[at].clone(),
        )?;
    }
    let loss = model.loss(&given, &mut output, &state, TRAIN)?;
    for (target, part) in TARGETS.iter().zip(&loss.parts) {
        if let Some(part) = part {
            case.loss(target, part.clone())?;
        }
    }
    case.finish(&model, &loss.total)
}

/// Labels and centres after every batch, from given features.
fn label_case(
    inputs: &Inputs,
    results: &mut Results,
    name: &str,
    device: &Device,
) -> Result<(), LearnerError> {
    let about: SelfMmCase = inputs.about(name)?;
    let model = about.config.model(device)?;
    let labels = inputs.values(&format!("{name}/in/label"))?;
    let mut state = SelfMm::init_state(&about.config.config(), &about.config.task(), &labels);
    for epoch in 1..=about.epochs {
        let order = inputs.list(&format!("{name}/in/order_{epoch}"))?;
        let mut rest = order.into_iter();
        for (batch, size) in (1..).zip(&about.batch_sizes) {
            let rows: Vec<usize> = rest.by_ref().take(*size).collect();
            let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let index = Tensor::from_data(index.as_slice(), device);
            let features = TARGETS.map(|target| {
                let name = format!("{name}/in/features_{target}_{epoch}");
                inputs
                    .any::<2>(&name, device)
                    .map(|all| all.select(0, index.clone()))
            });
            let [fusion, text, audio, vision] = features;
            let output = of_features([fusion?, text?, audio?, vision?]);
            let given = Batch {
                text: None,
                audio: None,
                vision: None,
                sentences: Vec::new(),
                labels: vec![0.0; rows.len()],
                rows,
                part: None,
            };
            model.observe(&given, &output, &mut state, StepAt::new(epoch, 1))?;
            add_labels(
                results,
                &format!("{name}/after_{epoch}_{batch}"),
                &mut state,
            );
        }
    }
    for (target, memory) in TARGETS.iter().zip(memories(&mut state)) {
        let name = format!("{name}/out/feature_map_{target}");
        results.floats(&name, &[memory.features.len()], &memory.features);
    }
    Ok(())
}

/// An output of which only the features matter.
fn of_features(features: [Tensor<2>; 4]) -> SelfMmOutput {
    let column = Tensor::zeros([features[0].dims()[0], 1], &features[0].device());
    SelfMmOutput {
        text: column.clone(),
        audio: column.clone(),
        vision: column.clone(),
        predictions: [(); 4].map(|()| column.clone()),
        features,
    }
}

/// Adds labels and centres.
fn add_labels(results: &mut Results, at: &str, state: &mut LabelState) {
    for (target, memory) in TARGETS.iter().zip(memories(state)) {
        let labels = &memory.labels;
        results.floats(&format!("{at}/label_{target}"), &[labels.len()], labels);
        for (side, centre) in [("pos", &memory.positive), ("neg", &memory.negative)] {
            if let Some(centre) = centre {
                let name = format!("{at}/center_{side}_{target}");
                results.floats(&name, &[centre.len()], centre);
            }
        }
    }
}

/// The text encoder of the published loop: a linear layer and a norm.
#[derive(Module, Debug)]
struct StandIn {
    dense: Linear,
    norm: LayerNorm,
}

/// Self-MM behind that text encoder.
#[derive(Module, Debug)]
struct WithStandIn {
    bert: StandIn,
    model: SelfMm,
}

impl SentimentModel for WithStandIn {
    type Config = SelfMmConfig;
    type State = LabelState;
    type Output = SelfMmOutput;

    const LOSSES: &'static [&'static str] = SelfMm::LOSSES;
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("^bert.dense.", "text_model.dense."),
        ("^bert.norm.", "text_model.LayerNorm."),
        ("^model.audio.lstm.", "audio_model.rnn."),
        ("^model.audio.projection.", "audio_model.linear_1."),
        ("^model.vision.lstm.", "video_model.rnn."),
        ("^model.vision.projection.", "video_model.linear_1."),
        ("^model.post_vision.", "post_video."),
        ("^model.", ""),
        (".layer_", "_layer_"),
    ];

    fn init(
        config: &SelfMmConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.hidden_size);
        let mut model = SelfMm::init(config, task, text, device)?;
        model.bert = None;
        let bert = StandIn {
            dense: LinearConfig::new(hidden, hidden).init(device),
            norm: LayerNormConfig::new(hidden).with_epsilon(1e-5).init(device),
        };
        Ok(Self { bert, model })
    }

    fn parameter_count(config: &SelfMmConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        SelfMm::parameter_count(config, task, text)
    }

    fn init_state(config: &SelfMmConfig, task: &Task, labels: &[f32]) -> LabelState {
        SelfMm::init_state(config, task, labels)
    }

    fn check_state(&self, state: &LabelState) -> Result<(), ModelError> {
        self.model.check_state(state)
    }

    fn prediction_state(&self, state: &LabelState) -> LabelState {
        self.model.prediction_state(state)
    }

    fn needs(config: &SelfMmConfig) -> Needs {
        SelfMm::needs(config)
    }

    fn recipe(config: &SelfMmConfig, rates: &Rates) -> Recipe {
        let mut recipe = SelfMm::recipe(config, rates);
        for group in &mut recipe.groups {
            group.pattern = match group.name {
                "audio" => r"^model\.audio\.",
                "vision" => r"^model\.vision\.",
                _ => group.pattern,
            };
        }
        recipe
    }

    fn forward(
        &self,
        batch: &Batch,
        state: &LabelState,
        mode: Mode,
    ) -> Result<SelfMmOutput, ModelError> {
        let mut batch = batch.clone();
        if let Some(TextBatch::First(table)) = batch.text {
            let states = self.bert.norm.forward(self.bert.dense.forward(table));
            batch.text = Some(TextBatch::First(states));
        }
        self.model.forward(&batch, state, mode)
    }

    fn loss(
        &self,
        batch: &Batch,
        output: &mut SelfMmOutput,
        state: &LabelState,
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        self.model.loss(batch, output, state, mode)
    }

    fn observe(
        &self,
        batch: &Batch,
        output: &SelfMmOutput,
        state: &mut LabelState,
        at: StepAt,
    ) -> Result<(), ModelError> {
        self.model.observe(batch, output, state, at)
    }

    fn text_encoder(&self) -> Option<&Bert> {
        None
    }
}

fn self_mm_training(
    inputs: &Inputs,
    results: &mut Results,
    device: &Device,
) -> Result<(), LearnerError> {
    let SelfMmCase { config: sizes, .. } = inputs.about("t")?;
    let device = device.clone().autodiff();
    let config = sizes.config();
    let model: WithStandIn = encoded(&config, &sizes.task(), sizes.feature_dims[0], &device)?;
    let model = load_at(inputs, model, "t/w0/")?;
    let truth = inputs.values("t/train/label")?;
    let state = SelfMm::init_state(&config, &sizes.task(), &truth);
    let rates = Rates {
        text_learning_rate: sizes.learning_rate_bert,
        weight_decay: sizes.weight_decay_other,
        ..rates(sizes.learning_rate_other)
    };
    let recipe = WithStandIn::recipe(&config, &rates);
    let take = |inputs: &Inputs, split: &str, rows: &[usize], device: &Device| {
        let frames = |name: &str| -> Result<_, LearnerError> {
            let lengths = inputs.list(&format!("t/{split}/{name}_lengths"))?;
            let lengths: Vec<usize> = rows.iter().map(|&row| lengths[row]).collect();
            let values = part(inputs, split, name, rows, device)?;
            Ok(sequences(&values, Some(&lengths)))
        };
        let text = first_tokens(&part(inputs, split, "bert", rows, device)?);
        let mut given = batch(
            text,
            frames("audio")?,
            frames("vision")?,
            labels(inputs, split, rows)?,
        );
        given.rows = rows.to_vec();
        Ok(given)
    };
    let mut after = |epoch: usize, trainer: &Trainer<WithStandIn>, results: &mut Results| {
        let mut state = (*trainer.state()).clone();
        add_labels(results, &format!("t/after_{epoch}"), &mut state);
        weights(results, &trainer.model(), &format!("t/w{epoch}/"))
    };
    let training = Training {
        inputs,
        results,
        device,
    };
    training.run(model, state, &recipe, &take, &mut after)
}
