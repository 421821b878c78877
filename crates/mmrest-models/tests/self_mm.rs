//! Self-MM: its labels against a naive loop, and its own rules. The measured numbers are compared in
//! `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::tensor::{Device, Tensor, TensorData};
use common::{TRAIN, host, largest, seeded};
use mmrest_data::{Frames, Modality, Widths};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, BinsConfig, Distance, Example, HostBatch, LabelMemory, LabelState, Mode, ModelConfig,
    ModelError, ModelOutput, Presets, Rates, Recipe, SelfMm, SelfMmConfig, SelfMmOutput,
    SentimentModel, StepAt, Task, TextFeatures, bert_parameters,
};
use proptest::prelude::*;

fn memories(state: &LabelState) -> [&LabelMemory; 4] {
    [&state.fusion, &state.text, &state.audio, &state.vision]
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
        let (device, _turn) = seeded(1);
        let model = SelfMm::init(&config, &task(2, 2), None, &device).unwrap();
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
    let (device, _turn) = seeded(1);
    let model = SelfMm::init(&tiny(), &task(2, 2), None, &device).unwrap();
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
    let (device, _turn) = seeded(1);
    let model = SelfMm::init(&tiny(), &task(2, 2), None, &device).unwrap();
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
    let (device, _turn) = seeded(1);
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
    let (device, _turn) = seeded(5);
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
    let (device, _turn) = seeded(1);
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
    let (device, _turn) = seeded(1);
    let device = device.autodiff();
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
    assert!(matches!(error, ModelError::Config(_)), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let (device, _turn) = seeded(1);
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
