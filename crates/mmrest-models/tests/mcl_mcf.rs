//! MCL-MCF: its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use common::{TRAIN, host, seeded, task};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, MclMcf, MclMcfConfig, Mode, ModelConfig, ModelOutput, Presets, SentimentModel,
    SequenceBatch, Task, TextBatch, bert_parameters,
};

/// A model that takes the first token's state from the batch.
fn without_bert(config: &MclMcfConfig, task: &Task, hidden: usize, device: &Device) -> MclMcf {
    let bert = BertConfig::small(5, hidden, 1, 1, 8);
    let text = Some((bert.init(device), &bert));
    let mut model = MclMcf::init(config, task, text, device).unwrap();
    model.bert = None;
    model
}

fn batch(
    [text, audio, vision]: &[Tensor<3>; 3],
    lengths: [Vec<usize>; 2],
    labels: Vec<f32>,
) -> Batch {
    let first: Tensor<2> = text.clone().narrow(1, 0, 1).squeeze_dim(1);
    let [of_audio, of_vision] = lengths;
    let frames = |values: &Tensor<3>, lengths| {
        Some(SequenceBatch {
            values: values.clone(),
            lengths,
        })
    };
    Batch {
        text: Some(TextBatch::First(first)),
        audio: frames(audio, of_audio),
        vision: frames(vision, of_vision),
        sentences: Vec::new(),
        rows: (0..labels.len()).collect(),
        labels,
        part: None,
    }
}

fn tiny() -> MclMcfConfig {
    MclMcfConfig {
        width: 3,
        block_width: 8,
        contrast_width: 2,
        score_width: 4,
        ..MclMcfConfig::default()
    }
}

#[test]
fn the_published_numbers_of_parameters_are_those_of_the_model() {
    let (device, _turn) = seeded(1);
    let defaults = ModelConfig::default_of("mcl-mcf").unwrap();
    assert_eq!(defaults.presets(), MclMcfConfig::PRESETS);
    let base = BertConfig::default();
    for (audio, vision, expected) in [(5, 20, 199_295_928), (74, 35, 199_317_432)] {
        let task = task(audio, vision);
        common::presets::<MclMcfConfig>("mcl-mcf", &task);
        let published = MclMcfConfig {
            published: true,
            ..MclMcfConfig::default()
        };
        let count = MclMcf::parameter_count(&published, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected);
        for tensor in [true, false] {
            let config = MclMcfConfig { tensor, ..tiny() };
            let small = BertConfig::small(30, 8, 1, 2, 16);
            let text = Some((small.init(&device), &small));
            let model = MclMcf::init(&config, &task, text, &device).unwrap();
            let count = MclMcf::parameter_count(&config, &task, Some(&small));
            assert_eq!(model.num_params() as u128, count);
            let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
            let bert = model.text_encoder().unwrap().num_params();
            assert_eq!((parts + bert) as u128, count);
        }
    }
}

#[test]
fn a_picture_without_values_is_no_nan() {
    let (device, _turn) = seeded(1);
    let device = device.autodiff();
    let config = MclMcfConfig {
        tensor: true,
        ..tiny()
    };
    let mut model = without_bert(&config, &task(3, 2), 6, &device);
    let level = model.tensor.as_mut().unwrap();
    let last = &mut level.convolution_tv.third.bias;
    *last = last.take().map(|bias| bias.map(|bias| bias - 1e3));
    let random =
        |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let inputs = [random([3, 1, 6]), random([3, 5, 3]), random([3, 4, 2])];
    let batch = batch(&inputs, [vec![5; 3], vec![4; 3]], vec![1.0, 0.0, -1.0]);
    let mut output = model.forward(&batch, &(), TRAIN).unwrap();
    let [dead, _, _] = model.pictures(&output).unwrap();
    assert!(host(dead).iter().all(|&value| value == 0.0));
    let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
    let gradients = loss.total.backward();
    let of_block = model.block_text.weight.val().grad(&gradients).unwrap();
    assert!(host(of_block).iter().all(|value| value.is_finite()));
    // The task alone in evaluation.
    let loss = model
        .loss(&batch, &mut output, &(), Mode::Evaluate)
        .unwrap();
    let errors = host(output.prediction());
    let mae = errors.iter().zip(&batch.labels).map(|(p, l)| (p - l).abs());
    assert!((host(loss.total)[0] - mae.sum::<f32>() / 3.0).abs() < 1e-6);
}

#[test]
fn what_does_not_fit_is_refused() {
    for (config, key) in [
        (
            MclMcfConfig {
                block_width: 6,
                tensor: true,
                ..tiny()
            },
            "block_width",
        ),
        (
            MclMcfConfig {
                temperature: 1.0,
                ..tiny()
            },
            "temperature",
        ),
        (MclMcfConfig { width: 0, ..tiny() }, "width"),
    ] {
        let error = config.check("model.mcl-mcf", &task(3, 2)).unwrap_err();
        assert!(error.0.contains(&format!("model.mcl-mcf.{key}")), "{error}");
    }
}
