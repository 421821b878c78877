//! MulT against numbers measured on the published code (MMSA a94e65d), and its own rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::{Golden, TRAIN, batch, host, largest, presets, relative, task, train};
use mmrest_data::Frames;
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Batch, Example, HostBatch, Mode, ModelOutput, Mult, MultConfig, Padding, Presets, Rates,
    SentimentModel, Task, TextFeatures, bert_parameters,
};

/// The configuration and task of a case, all dropout off; the widths of its text.
fn case(golden: &Golden, case: &str) -> (MultConfig, Task, BertConfig) {
    let [text, audio, vision] = golden.sizes(case, "feature_dims")[..] else {
        panic!("three widths")
    };
    let [width, heads] = golden.sizes(case, "dst_feature_dim_nheads")[..] else {
        panic!("width and heads")
    };
    let json = &golden.cases[case];
    let kernel = |m: &str| golden.number(case, &format!("conv1d_kernel_size_{m}")) as usize;
    let config = MultConfig {
        width,
        heads,
        layers: golden.number(case, "nlevels") as usize,
        text_kernel: kernel("l"),
        audio_kernel: kernel("a"),
        vision_kernel: kernel("v"),
        causal: json["config"]["attn_mask"].as_bool().unwrap(),
        positions: json.get("positions").is_some_and(|p| p.as_bool().unwrap()),
        padding: Padding::Published,
        flush_rest: false,
        ..still()
    };
    let task = Task {
        lower_layers: 1,
        ..task(audio, vision)
    };
    (config, task, BertConfig::small(30, text, 1, 1, 4))
}

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
fn outputs_losses_and_gradients_are_the_published_ones() {
    for (file, cases) in [("mult", ["a", "b"]), ("mult_more", ["c", "d"])] {
        let Some(mut golden) = Golden::open(file) else {
            return;
        };
        let device = Device::flex().autodiff();
        for name in cases {
            compare_case(&mut golden, name, &device);
        }
    }
}

fn compare_case(golden: &mut Golden, name: &str, device: &Device) {
    let mut own = case(golden, name);
    let lengths = |what: &str| golden.lengths(name, &format!("{what}_lengths"));
    // Lengths tell a fixed length what has a position; the text's are the rows that there are.
    let input = |what: &str| {
        let values = golden.tensor::<3>(&format!("{name}/in/{what}"), device);
        (values.require_grad(), lengths(what))
    };
    let (mut text, audio, vision) = (input("text"), input("audio"), input("vision"));
    own.0.padded_text = text.0.dims()[1];
    own.0.padded_audio = audio.0.dims()[1];
    own.0.padded_vision = vision.0.dims()[1];
    if !own.0.positions {
        // Padding has gradients too, where it is read.
        text.1.fill(own.0.padded_text);
    }
    let load = |model: Mult| golden.load(model, Mult::PUBLISHED_NAMES, &format!("{name}/w/"));
    let model: Mult = load(init(&own, device));
    let labels = golden.values(&format!("{name}/in/label"));
    let segments = labels.len();
    let given = batch(text.clone(), audio.clone(), vision.clone(), labels.clone());
    let alone = MultConfig {
        padding: Padding::Masked,
        ..own.0.clone()
    };
    let alone: Mult = load(init(&(alone, own.1.clone(), own.2.clone()), device));

    let mut output = model.forward(&given, &(), TRAIN).unwrap();
    let time_first = |rows: Tensor<2>| {
        let [count, width] = rows.dims();
        let rows = rows.reshape([segments, count / segments, width]);
        rows.swap_dims(0, 1)
    };
    for (what, rows) in ["l_with_a", "a_with_l", "v_with_a"]
        .iter()
        .zip(&output.crossed)
    {
        let name = format!("{name}/out/trans_{what}");
        golden.compare_tensor("outputs", &name, time_first(rows.clone()));
    }
    let memory = time_first(output.memories[0].clone());
    golden.compare_tensor("outputs", &format!("{name}/out/trans_l_mem"), memory);
    for (modality, last) in ["l", "a", "v"].iter().zip(&output.last) {
        let name = format!("{name}/out/last_{modality}");
        golden.compare_tensor("outputs", &name, last.clone());
    }
    let prediction = output.prediction.clone();
    golden.compare_tensor("outputs", &format!("{name}/out/prediction"), prediction);
    let loss = model.loss(&given, &mut output, &(), TRAIN).unwrap();
    golden.compare_tensor("losses", &format!("{name}/loss/total"), loss.total.clone());
    let gradients = loss.total.backward();
    for (what, (values, own)) in [("text", &text), ("audio", &audio), ("vision", &vision)] {
        let gradient = values.grad(&gradients).unwrap();
        let full = format!("{name}/grad_in/{what}");
        let [_, time, width] = gradient.dims();
        let (mut found, expected) = (host(gradient), golden.values(&full));
        if what == "text" {
            // What is packed has no padding that could have a gradient.
            for (row, &length) in own.iter().enumerate() {
                let padding = (row * time + length) * width..(row + 1) * time * width;
                found[padding.clone()].copy_from_slice(&expected[padding]);
            }
        }
        golden.compare("gradients", &full, &found);
    }
    let prefix = format!("{name}/grad_w/");
    golden.compare_gradients(&model, Mult::PUBLISHED_NAMES, &gradients, &prefix, &|_| {
        false
    });

    // Every segment alone, without padding.
    let text = (text.0, golden.lengths(name, "text_lengths"));
    let given = batch(text, audio, vision, labels);
    let output = alone.forward(&given, &(), Mode::Evaluate).unwrap();
    let name = format!("{name}/out/prediction_alone_at_length");
    golden.compare_tensor("outputs", &name, output.prediction());
}

#[test]
fn two_epochs_of_training_are_the_published_ones() {
    let Some(mut golden) = Golden::open("mult_more") else {
        return;
    };
    let device = Device::flex().autodiff();
    let mut own = case(&golden, "t");
    let time = |what: &str| golden.find(&format!("t/train/{what}")).unwrap().0[1];
    own.0.padded_text = time("text");
    own.0.padded_audio = time("audio");
    own.0.padded_vision = time("vision");
    own.0.accumulate = golden.number("t", "update_epochs") as usize;
    let model: Mult = golden.load(init(&own, &device), Mult::PUBLISHED_NAMES, "t/w0/");
    let rate = golden.number("t", "learning_rate");
    let rates = Rates {
        learning_rate: rate,
        text_learning_rate: rate,
        weight_decay: 0.0,
        max_grad_norm: 0.0,
        max_grad_value: golden.number("t", "grad_clip"),
    };
    let recipe = Mult::recipe(&own.0, &rates);
    let take = |golden: &Golden, split: &str, first: usize, count: usize| -> Batch {
        let part = |what: &str| {
            let all = golden.tensor::<3>(&format!("t/{split}/{what}"), &device);
            let part = all.narrow(0, first, count);
            let time = part.dims()[1];
            (part, vec![time; count])
        };
        let labels = golden.values(&format!("t/{split}/label"))[first..][..count].to_vec();
        batch(part("text"), part("audio"), part("vision"), labels)
    };
    let mut after = |epoch: usize, steps: usize, model: &Mult, (): &(), golden: &mut Golden| {
        let prefix = format!("t/w{epoch}/");
        let moved = rate * steps as f64;
        let text = |name: &str| name.starts_with("text_model.");
        golden.compare_weights(model, Mult::PUBLISHED_NAMES, &prefix, moved, &text);
    };
    train(&mut golden, model, (), &recipe, &take, &mut after);
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let device = Device::flex();
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
    let device = Device::flex();
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
    let device = Device::flex().autodiff();
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
