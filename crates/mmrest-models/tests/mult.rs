//! MulT: its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::Device;
use common::{TRAIN, host, largest, presets, relative, seeded, task};
use mmrest_data::Frames;
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Example, HostBatch, Mode, ModelOutput, Mult, MultConfig, Presets, SentimentModel, Task,
    TextFeatures, bert_parameters,
};

/// Without dropout.
fn still() -> MultConfig {
    MultConfig {
        attention_dropout: 0.0,
        audio_attention_dropout: 0.0,
        vision_attention_dropout: 0.0,
        relu_dropout: 0.0,
        embed_dropout: 0.0,
        residual_dropout: 0.0,
        output_dropout: 0.0,
        text_dropout: 0.0,
        ..MultConfig::default()
    }
}

fn init((config, task, text): &(MultConfig, Task, BertConfig), device: &Device) -> Mult {
    Mult::init(config, task, Some((text.init(device), text)), device).unwrap()
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let (device, _turn) = seeded(1);
    let data = [(5, 20, 2_571_551), (74, 35, 982_951), (33, 709, 1_870_701)];
    let presets = presets::<MultConfig>("mult", &task(5, 20));
    for ((preset, config), (audio, vision, expected)) in presets.into_iter().zip(data) {
        let task = task(audio, vision);
        let base = BertConfig::default();
        let count = Mult::parameter_count(&config, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{preset}");
        let small = BertConfig::small(30, 8, 1, 2, 16);
        let text = Some((small.init(&device), &small));
        let model = Mult::init(&config, &task, text, &device).unwrap();
        let count = Mult::parameter_count(&config, &task, Some(&small));
        assert_eq!(model.num_params() as u128, count, "{preset}");
        let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
        let bert = model.text_encoder().unwrap().num_params();
        assert_eq!((parts + bert) as u128, count);
    }
}

fn tiny() -> MultConfig {
    MultConfig {
        width: 4,
        heads: 2,
        layers: 1,
        text_kernel: 3,
        audio_kernel: 1,
        vision_kernel: 2,
        ..still()
    }
}

fn example(tokens: usize, audio: usize, vision: usize) -> Example {
    let frames = |count: usize, width: usize| Frames {
        values: (0..count * width).map(|i| (i as f32).sin()).collect(),
        width,
    };
    Example {
        id: "segment".into(),
        text: TextFeatures::Tokens((0..tokens).map(|token| 2 + token as u32).collect()),
        vision: frames(vision, 2),
        audio: frames(audio, 3),
        label: 1.0,
        sentences: Vec::new(),
    }
}

#[test]
fn a_segment_is_scored_alike_in_any_batch_where_padding_is_masked() {
    let (device, _turn) = seeded(1);
    let small = BertConfig::small(30, 4, 1, 2, 8);
    for (config, same) in [
        (tiny(), true),
        (
            MultConfig {
                published: true,
                padded_text: 6,
                padded_audio: 7,
                padded_vision: 5,
                ..tiny()
            },
            false,
        ),
    ] {
        device.seed(2);
        let model = init(&(config, task(3, 2), small.clone()), &device);
        let score = |examples: &[Example]| {
            let batch = HostBatch::new(examples, (0..examples.len()).collect());
            let batch = batch.upload(&device);
            let output = model.forward(&batch, &(), Mode::Evaluate).unwrap();
            assert_eq!(output.stages().len(), 4);
            host(output.prediction())
        };
        // One is shorter than its kernels.
        let examples = [example(5, 6, 4), example(2, 1, 1), example(3, 2, 3)];
        let together = score(&examples);
        let alone: Vec<f32> = examples
            .iter()
            .flat_map(|e| score(std::slice::from_ref(e)))
            .collect();
        assert!(relative(&together, &alone) < 1e-4, "{together:?} {alone:?}");
        let mut longer = examples[1].clone();
        longer.audio.values.extend([0.0; 3]);
        let longer = score(&[longer]);
        // More zero frames are frames where padding is masked, and more of the same padding where it is not.
        assert_eq!((longer[0] - alone[1]).abs() < 1e-7, !same);
    }
}

#[test]
fn modalities_that_are_not_in_use_are_zero_and_all_weights_learn() {
    let (device, _turn) = seeded(1);
    let device = device.autodiff();
    let small = BertConfig::small(30, 4, 1, 2, 8);
    for (audio, vision) in [(3, 2), (3, 0), (0, 0)] {
        let model = init(&(tiny(), task(audio, vision), small.clone()), &device);
        let mut examples = [example(5, 6, 4), example(4, 3, 1)];
        for example in &mut examples {
            if audio == 0 {
                example.audio = Frames::empty(0);
            }
            if vision == 0 {
                example.vision = Frames::empty(0);
            }
        }
        let batch = HostBatch::new(&examples, vec![0, 1]).upload(&device);
        let mut output = model.forward(&batch, &(), TRAIN).unwrap();
        let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
        let gradients = loss.total.backward();
        for encoder in [
            &model.trans_l_with_a,
            &model.trans_v_with_l,
            &model.trans_a_mem,
        ] {
            let weight = encoder.layers[0].linear1.weight.val();
            let gradient = host(weight.grad(&gradients).unwrap());
            assert!(gradient.iter().all(|v| v.is_finite()) && largest(gradient) > 0.0);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let config = MultConfig { heads: 3, ..tiny() };
    let error = config.check("model.mult", &task(3, 2)).unwrap_err();
    assert!(error.0.contains("model.mult.heads must divide"), "{error}");
}
