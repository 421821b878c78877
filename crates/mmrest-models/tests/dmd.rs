//! DMD: its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::{TRAIN, batch, host, seeded, task};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Dmd, DmdConfig, Mode, ModelConfig, ModelOutput, Presets, SentimentModel, Task, bert_parameters,
};

/// A model that takes states of a finished text encoder.
fn without_bert(config: &DmdConfig, task: &Task, hidden: usize, device: &Device) -> Dmd {
    let bert = BertConfig::small(5, hidden, 1, 1, 8);
    let text = Some((bert.init(device), &bert));
    let mut model = Dmd::init(config, task, text, device).unwrap();
    model.bert = None;
    model
}

/// Sequences that are all full.
fn full(values: &Tensor<3>) -> (Tensor<3>, Vec<usize>) {
    let [count, time, _] = values.dims();
    (values.clone(), vec![time; count])
}

fn tiny() -> DmdConfig {
    DmdConfig {
        width: 4,
        heads: 2,
        levels: 1,
        lengths: [4, 5, 3],
        kernels: [2, 1, 3],
        homo_width: 2,
        hetero_width: 3,
        ..DmdConfig::default()
    }
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let (device, _turn) = seeded(1);
    let defaults = ModelConfig::default_of("dmd").unwrap();
    assert_eq!(defaults.presets(), DmdConfig::PRESETS);
    let base = BertConfig::default();
    // With the graphs; without the layer that is never used, as large as the one of the margin loss.
    for (preset, audio, vision, graphs, expected) in [
        ("mosi", 5, 20, 3_649 + 3_425, 4_743_658),
        ("mosi-unaligned", 5, 20, 3_649 + 3_425, 12_571_158),
        ("mosei", 74, 35, 2_369 + 2_145, 1_792_778),
        ("mosei-unaligned", 74, 35, 2_369 + 2_145, 5_086_778),
    ] {
        let task = task(audio, vision);
        let presets = common::presets::<DmdConfig>("dmd", &task);
        let (_, config) = presets.iter().find(|(name, _)| *name == preset).unwrap();
        let count = Dmd::parameter_count(config, &task, Some(&base)) - bert_parameters(&base);
        let times = config.lengths.iter().zip(&config.kernels);
        let unused = times.map(|(length, kernel)| {
            let flat = (length - kernel + 1) * config.width;
            (flat + 1) * config.width
        });
        let unused: usize = unused.sum();
        assert_eq!(count + unused as u128, expected + graphs, "{preset}");
    }
    let task = task(3, 2);
    let small = BertConfig::small(30, 8, 1, 2, 16);
    let text = Some((small.init(&device), &small));
    let model = Dmd::init(&tiny(), &task, text, &device).unwrap();
    let count = Dmd::parameter_count(&tiny(), &task, Some(&small));
    assert_eq!(model.num_params() as u128, count);
    let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
    let bert = model.text_encoder().unwrap().num_params();
    assert_eq!((parts + bert) as u128, count);
}

#[test]
fn sequences_of_any_length_are_cut_and_padded_and_the_losses_are_finite() {
    let (device, _turn) = seeded(2);
    let device = device.autodiff();
    let model = without_bert(&tiny(), &task(3, 2), 6, &device);
    let random = |shape: [usize; 3]| {
        Tensor::<3>::random(shape, burn::tensor::Distribution::Normal(0.0, 1.0), &device)
    };
    for labels in [vec![1.0, 1.0, -2.0], vec![0.5, 0.5, 0.5]] {
        let (text, audio, vision) = (random([3, 2, 6]), random([3, 9, 3]), random([3, 1, 2]));
        let batch = batch(full(&text), full(&audio), full(&vision), labels);
        let mut output = model.forward(&batch, &(), TRAIN).unwrap();
        let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
        // Rows of one label have no others to be far from.
        let margin = host(loss.parts[4].clone().unwrap())[0];
        assert_eq!(margin == 0.0, batch.labels[2] == 0.5);
        let gradients = loss.total.backward();
        let weight = model.text.convolution.val().grad(&gradients).unwrap();
        assert!(host(weight).iter().all(|value| value.is_finite()));
        let loss = model
            .loss(&batch, &mut output, &(), Mode::Evaluate)
            .unwrap();
        let scores = host(output.prediction());
        let errors = scores.iter().zip(&batch.labels).map(|(s, l)| (s - l).abs());
        assert!((host(loss.total)[0] - errors.sum::<f32>() / 3.0).abs() < 1e-6);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for (config, key) in [
        (DmdConfig { heads: 3, ..tiny() }, "heads"),
        (
            DmdConfig {
                kernels: [5, 1, 1],
                ..tiny()
            },
            "lengths",
        ),
        (
            DmdConfig {
                accumulate: 0,
                ..tiny()
            },
            "accumulate",
        ),
        (
            DmdConfig {
                attention_dropout: [0.0, 1.0, 0.0],
                ..tiny()
            },
            "attention_dropout",
        ),
    ] {
        let error = config.check("model.dmd", &task(3, 2)).unwrap_err();
        assert!(error.0.contains(&format!("model.dmd.{key}")), "{error}");
    }
}
