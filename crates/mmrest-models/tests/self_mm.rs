//! Self-MM against numbers measured on the published code (MMSA a94e65d), a naive loop, and its own rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::{Frames, Modality, Widths};
use mmrest_encoders::{BertConfig, Lstm};
use mmrest_models::{
    Batch, BinsConfig, Distance, Example, HostBatch, LabelMemory, LabelState, Mode, ModelConfig,
    ModelError, ModelOutput, Presets, Rates, Recipe, SelfMm, SelfMmConfig, SelfMmOutput,
    SentimentModel, SequenceBatch, StepAt, Task, TextBatch, TextFeatures, bert_parameters,
};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;

const TARGETS: [&str; 4] = ["fusion", "text", "audio", "vision"];
/// The largest difference, relative to the largest value of a tensor.
const TOLERANCE: f64 = 5e-5;
const TRAIN: Mode = Mode::Train(StepAt::new(1, 1));

// Golden numbers.

/// The tensors and cases of the file.
struct Golden {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    cases: BTreeMap<String, Value>,
    /// The largest relative difference of each group of comparisons.
    worst: BTreeMap<&'static str, f64>,
}

impl Golden {
    fn open() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let bytes = std::fs::read(root.join("tests/golden/baselines/self_mm.safetensors")).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let cases = metadata.metadata().as_ref().unwrap().iter();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let values = |view: &safetensors::tensor::TensorView<'_>| match view.dtype() {
            safetensors::Dtype::F32 => words(view.data(), f32::from_le_bytes),
            safetensors::Dtype::I64 => words(view.data(), |b| i64::from_le_bytes(b) as f32),
            other => panic!("{other:?}"),
        };
        let tensors = file.tensors().into_iter();
        Self {
            tensors: tensors
                .map(|(name, view)| (name, (view.shape().to_vec(), values(&view))))
                .collect(),
            cases: cases
                .map(|(name, json)| (name.clone(), serde_json::from_str(json).unwrap()))
                .collect(),
            worst: BTreeMap::new(),
        }
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let found = self.tensors.get(name);
        found.unwrap_or_else(|| panic!("no {name}")).1.clone()
    }

    fn usizes(&self, name: &str) -> Vec<usize> {
        self.values(name).iter().map(|&v| v as usize).collect()
    }

    fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = &self.tensors[name];
        Tensor::from_data(TensorData::new(values.clone(), shape.clone()), device)
    }

    /// A list of whole numbers of a case's metadata.
    fn numbers(&self, case: &str, key: &str) -> Vec<usize> {
        let values = self.cases[case][key].as_array().unwrap().iter();
        values.map(|v| v.as_u64().unwrap() as usize).collect()
    }

    /// Compares, and keeps the largest difference of the group.
    fn compare(&mut self, group: &'static str, name: &str, found: &[f32]) {
        let difference = relative(found, &self.values(name));
        assert!(difference <= TOLERANCE, "{name}: {difference:e}");
        let worst = self.worst.entry(group).or_default();
        *worst = worst.max(difference);
    }

    /// Compares the labels and centres of all targets.
    fn compare_state(&mut self, at: &str, state: &LabelState) {
        for (target, memory) in TARGETS.iter().zip(memories(state)) {
            self.compare("labels", &format!("{at}/label_{target}"), &memory.labels);
            let centres = [("pos", &memory.positive), ("neg", &memory.negative)];
            for (side, centre) in centres {
                let name = format!("{at}/center_{side}_{target}");
                self.compare("centres", &name, centre.as_ref().unwrap());
            }
        }
    }

    /// The configuration and task of a case, and the width of its text.
    fn config(&self, case: &str) -> (SelfMmConfig, Task, usize) {
        let json = &self.cases[case]["config"];
        let number = |key: &str| json.get(key).map_or(0.0, |v| v.as_f64().unwrap());
        let size = |key: &str| number(key) as usize;
        let width = |at: usize| json["feature_dims"][at].as_u64().unwrap() as usize;
        let config = SelfMmConfig {
            audio_lstm_hidden: size("a_lstm_hidden_size"),
            vision_lstm_hidden: size("v_lstm_hidden_size"),
            audio_out: size("audio_out"),
            vision_out: size("video_out"),
            audio_lstm_dropout: number("a_lstm_dropout"),
            vision_lstm_dropout: number("v_lstm_dropout"),
            post_fusion_dim: size("post_fusion_dim"),
            post_text_dim: size("post_text_dim"),
            post_audio_dim: size("post_audio_dim"),
            post_vision_dim: size("post_video_dim"),
            post_fusion_dropout: number("post_fusion_dropout"),
            post_text_dropout: number("post_text_dropout"),
            post_audio_dropout: number("post_audio_dropout"),
            post_vision_dropout: number("post_video_dropout"),
            distance: Distance::Norm,
            exclude_zero: json["excludeZero"].as_bool().unwrap(),
            accumulate: size("update_epochs"),
            flush_rest: false,
            audio_learning_rate: number("learning_rate_audio"),
            vision_learning_rate: number("learning_rate_video"),
            text_weight_decay: number("weight_decay_bert"),
            audio_weight_decay: number("weight_decay_audio"),
            vision_weight_decay: number("weight_decay_video"),
        };
        let scale = number("H") as f32;
        let task = Task {
            label_range: [-scale, scale],
            ..task(width(1), width(2))
        };
        (config, task, width(0))
    }

    /// The model of a case with the weights below `at`. It has no text encoder of its own.
    fn model(&self, case: &str, at: &str, device: &Device) -> SelfMm {
        let (config, task, _) = self.config(case);
        let mut model = SelfMm::init(&config, &task, None, device).unwrap();
        let matrix = |name: &str| {
            let published = self.tensor::<2>(&format!("{at}/{name}"), device);
            Param::from_tensor(published.transpose())
        };
        let vector = |name: &str| Param::from_tensor(self.tensor(&format!("{at}/{name}"), device));
        let linear = |layer: &mut Linear, name: &str| {
            layer.weight = matrix(&format!("{name}.weight"));
            layer.bias = Some(vector(&format!("{name}.bias")));
        };
        for (encoder, name) in [
            (&mut model.audio, "audio_model"),
            (&mut model.vision, "video_model"),
        ] {
            encoder.lstm = Lstm {
                weight_ih: matrix(&format!("{name}.rnn.weight_ih_l0")),
                weight_hh: matrix(&format!("{name}.rnn.weight_hh_l0")),
                bias_ih: vector(&format!("{name}.rnn.bias_ih_l0")),
                bias_hh: vector(&format!("{name}.rnn.bias_hh_l0")),
            };
            linear(&mut encoder.projection, &format!("{name}.linear_1"));
        }
        for (head, name) in [
            (&mut model.post_fusion, "post_fusion"),
            (&mut model.post_text, "post_text"),
            (&mut model.post_audio, "post_audio"),
            (&mut model.post_vision, "post_video"),
        ] {
            linear(&mut head.layer_1, &format!("{name}_layer_1"));
            linear(&mut head.layer_2, &format!("{name}_layer_2"));
            linear(&mut head.layer_3, &format!("{name}_layer_3"));
        }
        model
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        for (group, difference) in &self.worst {
            println!("{group}: largest relative difference {difference:.1e}");
        }
    }
}

fn words<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let words = data.as_chunks::<N>().0.iter();
    words.map(|word| read(*word)).collect()
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn largest(values: impl IntoIterator<Item = f32>) -> f64 {
    let values = values.into_iter();
    f64::from(values.fold(0.0f32, |most, v| most.max(v.abs())))
}

fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|value| value.is_finite()));
    largest(found.iter().zip(expected).map(|(a, b)| a - b))
}

/// The largest difference relative to the largest expected value.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    difference(found, expected) / largest(expected.iter().copied()).max(1e-12)
}

fn memories(state: &LabelState) -> [&LabelMemory; 4] {
    [&state.fusion, &state.text, &state.audio, &state.vision]
}

/// A parameter of the published code, of its shape.
enum Published<'a> {
    Matrix(&'a Param<Tensor<2>>),
    Vector(&'a Param<Tensor<1>>),
}

impl Published<'_> {
    fn value(&self) -> Vec<f32> {
        match self {
            Self::Matrix(param) => host(param.val().transpose()),
            Self::Vector(param) => host(param.val()),
        }
    }

    fn gradient(&self, gradients: &burn::tensor::Gradients) -> Vec<f32> {
        match self {
            Self::Matrix(param) => host(param.val().grad(gradients).unwrap().transpose()),
            Self::Vector(param) => host(param.val().grad(gradients).unwrap()),
        }
    }
}

fn of_linear<'a>(name: &str, linear: &'a Linear) -> [(String, Published<'a>); 2] {
    let bias = linear.bias.as_ref().unwrap();
    [
        (format!("{name}.weight"), Published::Matrix(&linear.weight)),
        (format!("{name}.bias"), Published::Vector(bias)),
    ]
}

/// Every parameter beside the text encoder, by its published name.
fn published(model: &SelfMm) -> Vec<(String, Published<'_>)> {
    let mut all = Vec::new();
    for (encoder, name) in [
        (&model.audio, "audio_model"),
        (&model.vision, "video_model"),
    ] {
        let lstm = &encoder.lstm;
        for (part, param) in [
            ("weight_ih_l0", Published::Matrix(&lstm.weight_ih)),
            ("weight_hh_l0", Published::Matrix(&lstm.weight_hh)),
            ("bias_ih_l0", Published::Vector(&lstm.bias_ih)),
            ("bias_hh_l0", Published::Vector(&lstm.bias_hh)),
        ] {
            all.push((format!("{name}.rnn.{part}"), param));
        }
        all.extend(of_linear(&format!("{name}.linear_1"), &encoder.projection));
    }
    for (head, name) in [
        (&model.post_fusion, "post_fusion"),
        (&model.post_text, "post_text"),
        (&model.post_audio, "post_audio"),
        (&model.post_vision, "post_video"),
    ] {
        all.extend(of_linear(&format!("{name}_layer_1"), &head.layer_1));
        all.extend(of_linear(&format!("{name}_layer_2"), &head.layer_2));
        all.extend(of_linear(&format!("{name}_layer_3"), &head.layer_3));
    }
    assert_eq!(all.len(), 2 * 6 + 4 * 6);
    all
}

/// A task without text.
fn task(audio: usize, vision: usize) -> Task {
    Task {
        modalities: vec![Modality::Vision, Modality::Audio],
        widths: Widths { vision, audio },
        label_range: [-3.0, 3.0],
        bins: BinsConfig::default(),
        lower_layers: 0,
        seed: 1,
    }
}

#[test]
fn outputs_losses_and_gradients_are_the_published_ones() {
    let device = Device::flex().autodiff();
    let mut golden = Golden::open();
    for case in ["a", "b"] {
        let model = golden.model(case, &format!("{case}/w"), &device);
        let (config, task, _) = golden.config(case);
        let bert = golden.tensor::<3>(&format!("{case}/in/bert"), &device);
        let text: Tensor<2> = bert.narrow(1, 0, 1).squeeze_dim(1);
        let text = text.detach().require_grad();
        let frames = |name: &str| {
            let values = golden.tensor::<3>(&format!("{case}/in/{name}"), &device);
            SequenceBatch {
                values: values.require_grad(),
                lengths: golden.numbers(case, &format!("{name}_lengths")),
            }
        };
        let (audio, vision) = (frames("audio"), frames("vision"));
        let labels = |target: &str| golden.values(&format!("{case}/in/label_{target}"));
        let mut state = SelfMm::init_state(&config, &task, &labels("fusion"));
        state.text.labels = labels("text");
        state.audio.labels = labels("audio");
        state.vision.labels = labels("vision");
        let batch = Batch {
            text: Some(TextBatch::First(text.clone())),
            audio: Some(audio.clone()),
            vision: Some(vision.clone()),
            sentences: Vec::new(),
            labels: labels("fusion"),
            rows: (0..labels("fusion").len()).collect(),
            part: None,
        };
        let mut output = model.forward(&batch, &state, TRAIN).unwrap();
        for (at, target) in TARGETS.iter().enumerate() {
            let name = format!("{case}/out/feature_{target}");
            golden.compare("outputs", &name, &host(output.features[at].clone()));
            let name = format!("{case}/out/prediction_{target}");
            golden.compare("outputs", &name, &host(output.predictions[at].clone()));
        }
        let loss = model.loss(&batch, &mut output, &state, TRAIN).unwrap();
        let name = format!("{case}/loss/total");
        golden.compare("losses", &name, &host(loss.total.clone()));
        assert_eq!(loss.parts.len(), SelfMm::LOSSES.len());
        for (target, part) in TARGETS.iter().zip(loss.parts) {
            let name = format!("{case}/loss/{target}");
            golden.compare("losses", &name, &host(part.unwrap()));
        }
        let gradients = loss.total.backward();
        for (name, param) in published(&model) {
            let name = format!("{case}/grad_w/{name}");
            golden.compare("gradients", &name, &param.gradient(&gradients));
        }
        for (name, frames) in [("audio", audio), ("vision", vision)] {
            let name = format!("{case}/grad_in/{name}");
            let gradient = frames.values.grad(&gradients).unwrap();
            golden.compare("gradients", &name, &host(gradient));
        }
        let of_bert = golden.tensor::<3>(&format!("{case}/grad_in/bert"), &device);
        let expected = host(of_bert.narrow(1, 0, 1));
        let found = host(text.grad(&gradients).unwrap());
        assert!(relative(&found, &expected) <= TOLERANCE);
    }
}

/// An output of which only the features matter.
fn output_of(features: [Tensor<2>; 4]) -> SelfMmOutput {
    let [rows, _] = features[0].dims();
    let column = Tensor::zeros([rows, 1], &features[0].device());
    SelfMmOutput {
        text: column.clone(),
        audio: column.clone(),
        vision: column.clone(),
        predictions: [(); 4].map(|()| column.clone()),
        features,
    }
}

/// A batch of which only the rows matter.
fn batch_of(rows: Vec<usize>) -> Batch {
    Batch {
        text: None,
        audio: None,
        vision: None,
        sentences: Vec::new(),
        labels: vec![0.0; rows.len()],
        rows,
        part: None,
    }
}

#[test]
fn labels_and_centres_are_the_published_ones_after_every_batch() {
    let device = Device::flex();
    let mut golden = Golden::open();
    for case in ["l", "k"] {
        let (config, task, _) = golden.config(case);
        let model = SelfMm::init(&config, &task, None, &device).unwrap();
        let labels = golden.values(&format!("{case}/in/label"));
        let mut state = SelfMm::init_state(&config, &task, &labels);
        for epoch in 1..=3 {
            let order = golden.usizes(&format!("{case}/in/order_{epoch}"));
            let mut rest = order.into_iter();
            for (batch, size) in golden.numbers(case, "batch_sizes").into_iter().enumerate() {
                let rows: Vec<usize> = rest.by_ref().take(size).collect();
                let features = TARGETS.map(|target| {
                    let name = format!("{case}/in/features_{target}_{epoch}");
                    let index: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
                    let index = Tensor::from_data(index.as_slice(), &device);
                    golden.tensor::<2>(&name, &device).select(0, index)
                });
                let output = output_of(features);
                model
                    .observe(&batch_of(rows), &output, &mut state, StepAt::new(epoch, 1))
                    .unwrap();
                golden.compare_state(&format!("{case}/after_{epoch}_{}", batch + 1), &state);
            }
        }
        for (target, memory) in TARGETS.iter().zip(memories(&state)) {
            let name = format!("{case}/out/feature_map_{target}");
            golden.compare("features", &name, &memory.features);
        }
        model.check_state(&state).unwrap();
    }
}

// The training loop.

/// The text encoder of the published test: a linear layer and a norm.
#[derive(Module, Debug)]
struct Stub {
    dense: Linear,
    norm: LayerNorm,
}

#[derive(Module, Debug)]
struct Whole {
    bert: Stub,
    model: SelfMm,
}

impl Whole {
    fn load(golden: &Golden, device: &Device) -> Self {
        let (_, _, hidden) = golden.config("t");
        let mut dense = LinearConfig::new(hidden, hidden).init(device);
        let mut norm = LayerNormConfig::new(hidden).with_epsilon(1e-5).init(device);
        let vector = |name: &str| {
            let name = format!("t/w0/text_model.{name}");
            Param::from_tensor(golden.tensor::<1>(&name, device))
        };
        let weight = golden.tensor::<2>("t/w0/text_model.dense.weight", device);
        dense.weight = Param::from_tensor(weight.transpose());
        dense.bias = Some(vector("dense.bias"));
        norm.gamma = vector("LayerNorm.weight");
        norm.beta = Some(vector("LayerNorm.bias"));
        Self {
            bert: Stub { dense, norm },
            model: golden.model("t", "t/w0", device),
        }
    }

    fn batch(&self, golden: &Golden, split: &str, rows: &[usize], device: &Device) -> Batch {
        let (first, count) = (rows[0], rows.len());
        let part = |name: &str| {
            let all = golden.tensor::<3>(&format!("t/{split}/{name}"), device);
            all.narrow(0, first, count)
        };
        let frames = |name: &str| {
            let lengths = golden.usizes(&format!("t/{split}/{name}_lengths"));
            SequenceBatch {
                values: part(name),
                lengths: lengths[first..][..count].to_vec(),
            }
        };
        let table: Tensor<2> = part("bert").narrow(1, 0, 1).squeeze_dim(1);
        let text = self.bert.norm.forward(self.bert.dense.forward(table));
        let labels = golden.values(&format!("t/{split}/label"));
        Batch {
            text: Some(TextBatch::First(text)),
            audio: Some(frames("audio")),
            vision: Some(frames("vision")),
            sentences: Vec::new(),
            labels: labels[first..][..count].to_vec(),
            rows: rows.to_vec(),
            part: None,
        }
    }

    /// Compares all weights after an epoch, and so many steps.
    fn compare(&self, golden: &mut Golden, epoch: usize, steps: usize, recipe: &Recipe) {
        let Stub { dense, norm } = &self.bert;
        let beta = norm.beta.as_ref().unwrap();
        let mut all = published(&self.model);
        all.extend(of_linear("text_model.dense", dense));
        for (name, param) in [("weight", &norm.gamma), ("bias", beta)] {
            let name = format!("text_model.LayerNorm.{name}");
            all.push((name, Published::Vector(param)));
        }
        for (name, param) in all {
            let group = match name.split('_').next().unwrap() {
                "post" => "",
                "video" => "vision",
                other => other,
            };
            let group = recipe.groups.iter().find(|g| g.name == group).unwrap();
            let full = format!("t/w{epoch}/{name}");
            let (found, expected) = (param.value(), golden.values(&full));
            // What the page of the golden numbers asks for, and what single precision can tell apart.
            let rounding = 2.0 * f64::from(f32::EPSILON) * largest(expected.iter().copied());
            let tolerance = 1e-4 * group.learning_rate * steps as f64 + rounding;
            let difference = difference(&found, &expected);
            assert!(
                difference <= tolerance,
                "{full}: {difference:e} > {tolerance:e}"
            );
            golden.compare("weights after training", &full, &found);
        }
    }
}

/// Optimisers and rates of a recipe, for a model that is the `model` of a [`Whole`].
fn optimizer(recipe: &Recipe) -> (ModuleOptimizer, ModuleLrScheduler) {
    let adam = |decay: f64| {
        AdamConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay as f32)))
            .build()
    };
    let first = &recipe.groups[0];
    let mut optimizer = ModuleOptimizer::from(adam(first.weight_decay));
    let mut scheduler = ModuleLrScheduler::new(first.learning_rate);
    for group in &recipe.groups[1..] {
        let pattern = group.pattern.replace('^', r"^(model\.)?");
        let parameters = ParamGroup::from_regex(pattern).unwrap();
        optimizer = optimizer.with_group(parameters.clone(), adam(group.weight_decay), None);
        scheduler = scheduler.with_group(parameters, group.learning_rate);
    }
    (optimizer, scheduler)
}

#[test]
fn three_epochs_of_training_are_the_published_ones() {
    let device = Device::flex().autodiff();
    let mut golden = Golden::open();
    let (config, task, _) = golden.config("t");
    let json = golden.cases["t"]["config"].clone();
    let number = |key: &str| json[key].as_f64().unwrap();
    let rates = Rates {
        learning_rate: number("learning_rate_other"),
        text_learning_rate: number("learning_rate_bert"),
        weight_decay: number("weight_decay_other"),
        max_grad_norm: 0.0,
        max_grad_value: 0.0,
    };
    let recipe = SelfMm::recipe(&config, &rates);
    assert_eq!(recipe.accumulate, 2);
    let (mut optimizer, mut scheduler) = optimizer(&recipe);
    let mut whole = Whole::load(&golden, &device);
    let labels = golden.values("t/train/label");
    let mut state = SelfMm::init_state(&config, &task, &labels);
    let (mut losses, mut predictions, mut validation) = (Vec::new(), Vec::new(), Vec::new());
    let mut steps = 0;
    for epoch in 1..=3 {
        let mut accumulator = GradientsAccumulator::new();
        let rows: Vec<usize> = (0..labels.len()).collect();
        for (step, rows) in (1..).zip(rows.chunks(4)) {
            let mode = Mode::Train(StepAt::new(epoch, step));
            let batch = whole.batch(&golden, "train", rows, &device);
            let mut output = whole.model.forward(&batch, &state, mode).unwrap();
            let loss = whole.model.loss(&batch, &mut output, &state, mode).unwrap();
            losses.extend(host(loss.total.clone()));
            let gradients = GradientsParams::from_grads(loss.total.backward(), &whole);
            whole
                .model
                .observe(&batch, &output, &mut state, StepAt::new(epoch, 1))
                .unwrap();
            accumulator.accumulate(&whole, gradients);
            if step % recipe.accumulate == 0 {
                whole = optimizer.step(scheduler.step(), whole, accumulator.grads());
                steps += 1;
            }
        }
        golden.compare_state(&format!("t/after_{epoch}"), &state);
        whole.compare(&mut golden, epoch, steps, &recipe);
        // Validation with what a saved model keeps.
        let kept = whole.model.prediction_state(&state);
        let rows: Vec<usize> = (0..golden.values("t/valid/label").len()).collect();
        let mut means = Vec::new();
        for rows in rows.chunks(4) {
            let batch = whole.batch(&golden, "valid", rows, &device);
            let mode = Mode::Evaluate;
            let mut output = whole.model.forward(&batch, &kept, mode).unwrap();
            predictions.extend(host(output.prediction()));
            let loss = whole.model.loss(&batch, &mut output, &kept, mode).unwrap();
            means.extend(host(loss.total));
        }
        validation.push(means.iter().sum::<f32>() / means.len() as f32);
    }
    golden.compare("losses of steps", "t/out/step_losses", &losses);
    golden.compare("predictions", "t/out/valid_prediction", &predictions);
    // Rounded to four digits in the file.
    let rounded = golden.values("t/out/valid_loss_rounded");
    assert!(difference(&validation, &rounded) < 6e-5, "{validation:?}");
}

// The labels, compared with their definition.

const WIDTHS: [usize; 4] = [3, 2, 1, 2];

fn tiny() -> SelfMmConfig {
    SelfMmConfig {
        audio_lstm_hidden: 2,
        vision_lstm_hidden: 3,
        audio_out: 2,
        vision_out: 2,
        post_fusion_dim: WIDTHS[0],
        post_text_dim: WIDTHS[1],
        post_audio_dim: WIDTHS[2],
        post_vision_dim: WIDTHS[3],
        ..SelfMmConfig::default()
    }
}

/// A segment's row and its F of each target.
type Row = (usize, [Vec<f32>; 4]);

/// The definition, one number at a time.
struct Naive {
    labels: Vec<[f32; 4]>,
    features: Vec<[Vec<f32>; 4]>,
    /// Of each target: positive, negative.
    centres: [[Option<Vec<f32>>; 2]; 4],
}

impl Naive {
    fn new(labels: &[f32]) -> Self {
        Self {
            labels: labels.iter().map(|&label| [label; 4]).collect(),
            features: vec![WIDTHS.map(|width| vec![0.0; width]); labels.len()],
            centres: Default::default(),
        }
    }

    fn observe(&mut self, config: &SelfMmConfig, epoch: usize, rows: &[Row]) {
        let distance = |a: &[f32], b: &[f32]| {
            let mut square = 0.0;
            for i in 0..a.len() {
                square += (f64::from(a[i]) - f64::from(b[i])).powi(2);
            }
            match config.distance {
                Distance::Norm => square.sqrt(),
                Distance::Paper => square / (a.len() as f64).sqrt(),
            }
        };
        for (row, features) in rows {
            let mut d = [None; 4];
            for m in 0..4 {
                if let [Some(positive), Some(negative)] = &self.centres[m] {
                    let to_positive = distance(&features[m], positive);
                    let to_negative = distance(&features[m], negative);
                    d[m] = Some((to_negative - to_positive) / (to_positive + 1e-8));
                }
            }
            for s in 1..4 {
                if let (true, Some(d_f), Some(d_s)) = (epoch > 1, d[0], d[s]) {
                    let truth = f64::from(self.labels[*row][0]);
                    let new = 0.5 * truth * d_s / (d_f + 1e-8) + 0.5 * (truth + d_s - d_f);
                    let new = new.clamp(-3.0, 3.0);
                    let e = epoch as f64;
                    let old = f64::from(self.labels[*row][s]);
                    let moved = (e - 1.0) / (e + 1.0) * old + 2.0 / (e + 1.0) * new;
                    self.labels[*row][s] = moved as f32;
                }
            }
        }
        for (row, features) in rows {
            self.features[*row] = features.clone();
        }
        for (m, width) in WIDTHS.into_iter().enumerate() {
            for side in 0..2 {
                let belongs = |label: f32| match side {
                    0 => label > 0.0 || (!config.exclude_zero && label == 0.0),
                    _ => label < 0.0,
                };
                let all = 0..self.labels.len();
                let members: Vec<usize> = all.filter(|&i| belongs(self.labels[i][m])).collect();
                if !members.is_empty() {
                    let mean = |column: usize| {
                        let values = members.iter().map(|&i| self.features[i][m][column]);
                        (values.map(f64::from).sum::<f64>() / members.len() as f64) as f32
                    };
                    self.centres[m][side] = Some((0..width).map(mean).collect());
                }
            }
        }
    }
}

fn observe(model: &SelfMm, state: &mut LabelState, epoch: usize, rows: &[Row]) {
    let features = [0, 1, 2, 3].map(|m| {
        let values: Vec<f32> = rows.iter().flat_map(|(_, f)| f[m].clone()).collect();
        let values = TensorData::new(values, [rows.len(), WIDTHS[m]]);
        Tensor::from_data(values, &Device::flex())
    });
    let batch = batch_of(rows.iter().map(|(row, _)| *row).collect());
    model
        .observe(&batch, &output_of(features), state, StepAt::new(epoch, 1))
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn labels_are_those_of_a_naive_loop(
        labels in prop::collection::vec(
            prop::sample::select(vec![-2.5f32, -1.0, -0.2, 0.0, 0.6, 1.0, 3.0]), 2..9),
        features in prop::collection::vec(prop_oneof![Just(0.0f32), 0.0f32..2.0], 4 * 8 * 8),
        size in 1usize..5,
        exclude_zero: bool,
        paper: bool,
    ) {
        let config = SelfMmConfig {
            exclude_zero,
            distance: if paper { Distance::Paper } else { Distance::Norm },
            ..tiny()
        };
        let model = SelfMm::init(&config, &task(2, 2), None, &Device::flex()).unwrap();
        let mut state = SelfMm::init_state(&config, &task(2, 2), &labels);
        let mut naive = Naive::new(&labels);
        let mut values = features.into_iter();
        for epoch in 1..=4 {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.rotate_left(epoch % labels.len());
            for rows in order.chunks(size) {
                let mut draw = |&row| (row, WIDTHS.map(|width| values.by_ref().take(width).collect()));
                let rows: Vec<Row> = rows.iter().map(&mut draw).collect();
                observe(&model, &mut state, epoch, &rows);
                naive.observe(&config, epoch, &rows);
            }
            for (m, memory) in memories(&state).into_iter().enumerate() {
                for (&found, expected) in memory.labels.iter().zip(&naive.labels) {
                    prop_assert!(found.is_finite() && found.abs() <= 3.0);
                    prop_assert!((found - expected[m]).abs() < 1e-5, "{} {}", found, expected[m]);
                }
                let all: Vec<f32> = naive.features.iter().flat_map(|f| f[m].clone()).collect();
                prop_assert_eq!(&memory.features, &all);
                prop_assert_eq!(&memory.positive, &naive.centres[m][0]);
                prop_assert_eq!(&memory.negative, &naive.centres[m][1]);
            }
            prop_assert_eq!(&state.fusion.labels, &labels);
        }
        model.check_state(&state).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        let again: LabelState = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(again, state);
    }
}

/// Rows whose features all have one value.
fn even(rows: &[(usize, f32)]) -> Vec<Row> {
    let rows = rows.iter();
    rows.map(|&(row, value)| (row, WIDTHS.map(|width| vec![value; width])))
        .collect()
}

#[test]
fn labels_of_one_side_only_stay_as_they_are() {
    let model = SelfMm::init(&tiny(), &task(2, 2), None, &Device::flex()).unwrap();
    for labels in [[1.0, 2.0, 0.5], [-1.0, -2.0, 0.0], [0.0, 0.0, 0.0]] {
        let mut state = SelfMm::init_state(&tiny(), &task(2, 2), &labels);
        for epoch in 1..=3 {
            let rows = even(&[(0, 0.1), (1, 0.7 * epoch as f32), (2, 0.4)]);
            observe(&model, &mut state, epoch, &rows);
        }
        for memory in memories(&state) {
            assert_eq!(memory.labels, labels);
        }
        model.check_state(&state).unwrap();
    }
}

#[test]
fn a_side_that_loses_its_last_segment_keeps_its_centre() {
    let model = SelfMm::init(&tiny(), &task(2, 2), None, &Device::flex()).unwrap();
    let mut state = SelfMm::init_state(&tiny(), &task(2, 2), &[1.0, -1.0]);
    observe(&model, &mut state, 1, &even(&[(0, 1.0), (1, 0.25)]));
    let centre = Some(vec![0.25]);
    assert_eq!(state.audio.negative, centre);
    state.audio.labels = vec![1.0, 0.5];
    observe(&model, &mut state, 1, &even(&[(0, 0.9), (1, 0.5)]));
    assert_eq!(state.audio.negative, centre);
    for epoch in 2..=4 {
        observe(&model, &mut state, epoch, &even(&[(0, 0.9)]));
    }
    model.check_state(&state).unwrap();
}

// The rules of the model.

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let device = Device::flex();
    let defaults = ModelConfig::default_of("self-mm").unwrap();
    assert_eq!(defaults.presets(), SelfMmConfig::PRESETS);
    let data = [(5, 20, 159_332), (74, 35, 165_668), (33, 709, 381_380)];
    for ((name, layer), (audio, vision, expected)) in SelfMmConfig::PRESETS.iter().zip(data) {
        let layer: toml::Table = layer.parse().unwrap();
        let own = layer.get("model").map(|model| model["self-mm"].clone());
        let config = own.map_or_else(SelfMmConfig::default, |own| own.try_into().unwrap());
        let mut task = task(audio, vision);
        task.modalities.push(Modality::Text);
        config.check("model.self-mm", &task).unwrap();
        let base = BertConfig::default();
        let count = SelfMm::parameter_count(&config, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{name}");
        let small = BertConfig::small(30, 8, 1, 2, 16);
        let text = Some((small.init(&device), &small));
        let model = SelfMm::init(&config, &task, text, &device).unwrap();
        let count = SelfMm::parameter_count(&config, &task, Some(&small));
        assert_eq!(model.num_params() as u128, count, "{name}");
        let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
        let bert = model.text_encoder().unwrap().num_params();
        assert_eq!((parts + bert) as u128, count);
    }
}

#[test]
fn weights_start_as_those_of_pytorch() {
    let device = Device::flex();
    device.seed(5);
    let model = SelfMm::init(&SelfMmConfig::default(), &task(74, 35), None, &device).unwrap();
    let fills = |values: Vec<f32>, bound: f64| {
        let found = largest(values);
        assert!(found <= bound && found > 0.8 * bound, "{found} {bound}");
    };
    fills(host(model.audio.lstm.weight_ih.val()), 0.25);
    fills(host(model.audio.lstm.bias_hh.val()), 0.25);
    fills(host(model.audio.projection.weight.val()), 0.25);
    fills(host(model.post_fusion.layer_1.weight.val()), 1.0 / 7.0); // 1 + 16 + 32 inputs
    let bias = model.post_fusion.layer_2.bias.as_ref().unwrap();
    fills(host(bias.val()), 1.0 / 128f64.sqrt());
}

/// Finds the group of every parameter.
struct Groups<'a> {
    recipe: &'a Recipe,
    path: Vec<String>,
    found: BTreeMap<String, &'static str>,
}

impl ModuleVisitor for Groups<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        let mut groups = self.recipe.groups.iter().rev();
        let group = groups.find(|group| {
            let parameters = ParamGroup::from_regex(group.pattern).unwrap();
            parameters.matches(&param.id, Some(&path))
        });
        self.found.insert(path, group.unwrap().name);
    }
}

#[test]
fn every_parameter_is_in_the_published_group() {
    let device = Device::flex();
    let small = BertConfig::small(30, 8, 2, 2, 16);
    let mut task = task(3, 4);
    task.modalities.push(Modality::Text);
    let text = Some((small.init(&device), &small));
    let model = SelfMm::init(&tiny(), &task, text, &device).unwrap();
    let rates = Rates {
        learning_rate: 1e-3,
        text_learning_rate: 5e-5,
        weight_decay: 1e-3,
        max_grad_norm: 0.0,
        max_grad_value: 0.0,
    };
    let recipe = SelfMm::recipe(&tiny(), &rates);
    let mut groups = Groups {
        recipe: &recipe,
        path: Vec::new(),
        found: BTreeMap::new(),
    };
    model.visit(&mut groups);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, &group) in &groups.found {
        *counts.entry(group).or_default() += 1;
        let decayed = path.ends_with(".weight");
        let expected = match path.split('.').next().unwrap() {
            "bert" if decayed => "text",
            "bert" => "text_undecayed",
            "audio" => "audio",
            "vision" => "vision",
            _ => "",
        };
        assert_eq!(group, expected, "{path}");
    }
    // Three tables and six matrices per layer; one norm, and six biases and two norms per layer.
    let expected = [
        ("", 24),
        ("audio", 6),
        ("text", 15),
        ("text_undecayed", 22),
        ("vision", 6),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

fn example(text: TextFeatures, audio: usize, label: f32) -> Example {
    Example {
        id: "segment".into(),
        text,
        vision: Frames::empty(0),
        audio: Frames {
            values: vec![0.3 * label; 3 * audio],
            width: audio,
        },
        sentences: Vec::new(),
        label,
    }
}

#[test]
fn modalities_that_are_not_in_use_are_zero() {
    let device = Device::flex().autodiff();
    let small = BertConfig::small(30, 4, 1, 2, 8);
    for (modalities, text, audio) in [
        (vec![Modality::Text, Modality::Audio], true, 5),
        (vec![Modality::Audio], false, 5),
        (vec![Modality::Text], true, 0),
    ] {
        let mut task = task(audio, 0);
        task.modalities = modalities;
        let encoder = text.then(|| (small.init(&device), &small));
        let model = SelfMm::init(&tiny(), &task, encoder, &device).unwrap();
        let labels = [1.0, -2.0, 0.5];
        let examples = labels.map(|label: f32| {
            let text = if text {
                TextFeatures::Tokens(vec![2, 5 + label.abs() as u32, 3])
            } else {
                TextFeatures::Absent
            };
            example(text, audio, label)
        });
        let mut state = SelfMm::init_state(&tiny(), &task, &labels);
        for epoch in 1..=3 {
            let batch = HostBatch::new(&examples, vec![0, 1, 2]).upload(&device);
            let mode = Mode::Train(StepAt::new(epoch, 1));
            let mut output = model.forward(&batch, &state, mode).unwrap();
            let loss = model.loss(&batch, &mut output, &state, mode).unwrap();
            assert!(host(loss.total.clone())[0].is_finite());
            loss.total.backward();
            model
                .observe(&batch, &output, &mut state, StepAt::new(epoch, 1))
                .unwrap();
            assert_eq!(output.stages().len(), 11);
            assert_eq!(output.text.dims(), [3, if text { 4 } else { 1 }]);
        }
        model.check_state(&state).unwrap();
        let columns = model.epoch_columns(&state);
        assert!(columns.iter().all(|(_, value)| value.is_finite()));
    }
    let mut text_only = task(0, 0);
    text_only.modalities = vec![Modality::Text];
    let error = SelfMm::init(&tiny(), &text_only, None, &device).unwrap_err();
    assert!(matches!(error, ModelError::Internal(_)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex();
    let task = task(5, 0);
    let model = SelfMm::init(&tiny(), &task, None, &device).unwrap();
    let examples = [1.0, -1.0].map(|label| example(TextFeatures::Absent, 5, label));
    let state = SelfMm::init_state(&tiny(), &task, &[1.0, -1.0]);

    let parts = HostBatch::split(&examples, &[0, 1], 2);
    let parts = HostBatch::upload_parts(parts, &[device.clone(), device.clone()]);
    let mut output = model.forward(&parts[0], &state, TRAIN).unwrap();
    let error = model.loss(&parts[0], &mut output, &state, TRAIN);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("one device"), "{error}");

    let batch = HostBatch::new(&examples, vec![0, 2]).upload(&device);
    let mut output = model.forward(&batch, &state, TRAIN).unwrap();
    let error = model.loss(&batch, &mut output, &state, TRAIN);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("segment 2 of 2"), "{error}");

    let empty = model.prediction_state(&state);
    assert_eq!(empty, LabelState::default());
    model.check_state(&empty).unwrap();
    model.check_state(&state).unwrap();
    let mut other = state.clone();
    other.audio.labels.pop();
    assert!(model.check_state(&other).is_err());
    let mut other = state.clone();
    other.text.positive = Some(vec![0.0; WIDTHS[1] + 1]);
    assert!(model.check_state(&other).is_err());
    let mut other = state.clone();
    other.vision.features[0] = f32::NAN;
    let error = model.check_state(&other).unwrap_err();
    assert!(matches!(error, ModelError::NonFinite(_)));

    let config = SelfMmConfig {
        post_text_dim: 0,
        ..tiny()
    };
    let error = config.check("model.self-mm", &task).unwrap_err();
    assert!(error.0.contains("model.self-mm.post_text_dim"), "{error}");
    let config = SelfMmConfig {
        audio_lstm_dropout: 1.0,
        ..tiny()
    };
    assert!(config.check("model.self-mm", &task).is_err());
}
