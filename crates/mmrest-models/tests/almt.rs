//! ALMT: its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use common::{batch, host, seeded, task};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Almt, AlmtConfig, Batch, Mode, ModelConfig, ModelOutput, Presets, SentimentModel, Task,
    bert_parameters,
};

/// A model that takes states of a finished text encoder.
fn without_bert(config: &AlmtConfig, task: &Task, hidden: usize, device: &Device) -> Almt {
    let bert = BertConfig::small(5, hidden, 1, 1, 8);
    let text = Some((bert.init(device), &bert));
    let mut model = Almt::init(config, task, text, device).unwrap();
    model.bert = None;
    model
}

/// Sequences that are all full.
fn full(values: &Tensor<3>) -> (Tensor<3>, Vec<usize>) {
    let [count, time, _] = values.dims();
    (values.clone(), vec![time; count])
}

fn tiny() -> AlmtConfig {
    AlmtConfig {
        width: 4,
        embedding_heads: [1; 3],
        embedding_inner: 3,
        language_heads: 1,
        language_inner: 3,
        hyper_depth: 2,
        hyper_heads: 2,
        fusion_depth: 1,
        fusion_heads: 1,
        fusion_inner: 3,
        max_length: [6, 7, 5],
        ..AlmtConfig::default()
    }
}

fn score(model: &Almt, batch: &Batch) -> Vec<f32> {
    let output = model.forward(batch, &(), Mode::Evaluate).unwrap();
    host(output.prediction())
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let (device, _turn) = seeded(1);
    let defaults = ModelConfig::default_of("almt").unwrap();
    assert_eq!(defaults.presets(), AlmtConfig::PRESETS);
    let data = [(5, 20, 2_603_649), (74, 35, 3_223_041)];
    for ((name, layer), (audio, vision, expected)) in AlmtConfig::PRESETS.iter().zip(data) {
        let layer: toml::Table = layer.parse().unwrap();
        let own = layer.get("model").map(|model| model["almt"].clone());
        let config = own.map_or_else(AlmtConfig::default, |own| own.try_into().unwrap());
        let task = task(audio, vision);
        config.check("model.almt", &task).unwrap();
        let base = BertConfig::default();
        let count = Almt::parameter_count(&config, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{name}");
        let small = BertConfig::small(30, 8, 1, 2, 16);
        let text = Some((small.init(&device), &small));
        let model = Almt::init(&config, &task, text, &device).unwrap();
        let count = Almt::parameter_count(&config, &task, Some(&small));
        assert_eq!(model.num_params() as u128, count, "{name}");
        let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
        let bert = model.text_encoder().unwrap().num_params();
        assert_eq!((parts + bert) as u128, count);
    }
}

#[test]
fn what_is_padding_does_not_matter() {
    let (device, _turn) = seeded(3);
    let model = without_bert(&tiny(), &task(3, 2), 4, &device);
    let random =
        |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let (text, audio, vision) = (random([2, 5, 4]), random([2, 6, 3]), random([2, 9, 2]));
    let whole = batch(full(&text), full(&audio), full(&vision), vec![1.0, 0.5]);
    let both = score(&model, &whole);
    // Fewer frames of audio than the batch's longest: what lies beyond is something else.
    let mut short = whole.clone();
    short.audio.as_mut().unwrap().lengths[0] = 2;
    let shorter = score(&model, &short);
    assert!((shorter[0] - both[0]).abs() > 1e-5);
    assert!((shorter[1] - both[1]).abs() < 1e-6);
    let first = |values: Tensor<3>, time: usize| full(&values.narrow(0, 0, 1).narrow(1, 0, time));
    // Frames beyond the room for them are cut off.
    let alone = batch(first(text, 5), first(audio, 2), first(vision, 5), vec![1.0]);
    let alone = score(&model, &alone);
    assert!(
        (alone[0] - shorter[0]).abs() < 1e-5,
        "{alone:?} {shorter:?}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    for (config, key) in [
        (
            AlmtConfig {
                hyper_heads: 3,
                ..tiny()
            },
            "hyper_heads",
        ),
        (
            AlmtConfig {
                fusion_depth: 0,
                ..tiny()
            },
            "fusion_depth",
        ),
        (
            AlmtConfig {
                max_length: [5, 0, 5],
                ..tiny()
            },
            "max_length",
        ),
    ] {
        let error = config.check("model.almt", &task(3, 2)).unwrap_err();
        assert!(error.0.contains(&format!("model.almt.{key}")), "{error}");
    }
}
