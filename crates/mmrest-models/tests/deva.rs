//! DEVA: its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use common::{batch, host, seeded, task};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Deva, DevaConfig, Mode, ModelConfig, ModelOutput, Presets, SentimentModel, SequenceBatch, Task,
    bert_parameters,
};

/// A model that takes states of a finished text encoder.
fn without_bert(config: &DevaConfig, task: &Task, hidden: usize, device: &Device) -> Deva {
    let bert = BertConfig::small(5, hidden, 1, 1, 8);
    let text = Some((bert.init(device), &bert));
    let mut model = Deva::init(config, task, text, device).unwrap();
    model.bert = None;
    model
}

/// Sequences that are all full.
fn full(values: &Tensor<3>) -> (Tensor<3>, Vec<usize>) {
    let [count, time, _] = values.dims();
    (values.clone(), vec![time; count])
}

fn tiny() -> DevaConfig {
    DevaConfig {
        width: 4,
        heads: 1,
        inner: 3,
        hyper_depth: 2,
        hyper_heads: 2,
        hyper_head: 2,
        fusion_depth: 1,
        text_length: 5,
        frames: 5,
        ..DevaConfig::default()
    }
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let (device, _turn) = seeded(1);
    let defaults = ModelConfig::default_of("deva").unwrap();
    assert_eq!(defaults.presets(), DevaConfig::PRESETS);
    // Without the two layers that are never used.
    let data = [(5, 20, 3_480_705 - 49_408), (74, 35, 3_491_457 - 49_408)];
    for ((audio, vision, expected), preset) in data.into_iter().zip(DevaConfig::PRESETS) {
        let task = task(audio, vision);
        let (name, config) = common::presets::<DevaConfig>("deva", &task)
            .into_iter()
            .find(|(name, _)| *name == preset.0)
            .unwrap();
        let published = DevaConfig {
            published: true,
            ..config.clone()
        };
        let base = BertConfig::default();
        let count = Deva::parameter_count(&published, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{name}");
        for descriptions in [true, false] {
            let config = DevaConfig {
                descriptions,
                ..config.clone()
            };
            let small = BertConfig::small(30, 8, 1, 2, 16);
            let text = Some((small.init(&device), &small));
            let model = Deva::init(&config, &task, text, &device).unwrap();
            let count = Deva::parameter_count(&config, &task, Some(&small));
            assert_eq!(model.num_params() as u128, count, "{name}");
            let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
            let bert = model.text_encoder().unwrap().num_params();
            assert_eq!((parts + bert) as u128, count);
        }
    }
}

#[test]
fn without_descriptions_their_place_is_empty() {
    let (device, _turn) = seeded(3);
    let random =
        |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let (text, audio, vision) = (random([2, 4, 4]), random([2, 3, 3]), random([2, 5, 2]));
    let mut batch = batch(full(&text), full(&audio), full(&vision), vec![1.0, 0.5]);
    let model = without_bert(&tiny(), &task(3, 2), 4, &device);
    let none = model.forward(&batch, &(), Mode::Evaluate).unwrap();
    assert!(host(none.embeddings[3].clone()).iter().all(|&v| v == 0.0));
    let (values, lengths) = full(&random([2, 3, 4]));
    let sentence = SequenceBatch { values, lengths };
    batch.sentences = vec![sentence.clone(), sentence];
    let some = model.forward(&batch, &(), Mode::Evaluate).unwrap();
    assert!(host(some.prediction()) != host(none.prediction()));

    let config = DevaConfig {
        descriptions: false,
        ..tiny()
    };
    let model = without_bert(&config, &task(3, 2), 4, &device);
    let output = model.forward(&batch, &(), Mode::Evaluate).unwrap();
    assert!(host(output.prediction()).iter().all(|v| v.is_finite()));
}

#[test]
fn what_does_not_fit_is_refused() {
    for (config, key) in [
        (
            DevaConfig {
                hyper_head: 0,
                ..tiny()
            },
            "hyper_head",
        ),
        (
            DevaConfig {
                frames: 0,
                ..tiny()
            },
            "frames",
        ),
        (
            DevaConfig {
                enhancement_dropout: 1.0,
                ..tiny()
            },
            "enhancement_dropout",
        ),
    ] {
        let error = config.check("model.deva", &task(3, 2)).unwrap_err();
        assert!(error.0.contains(&format!("model.deva.{key}")), "{error}");
    }
}
