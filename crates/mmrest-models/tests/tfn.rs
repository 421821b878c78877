//! TFN and LMF against a naive loop, and their own rules. The measured numbers are compared in
//! `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use common::{TRAIN, host, presets, relative, seeded, task};
use mmrest_data::{Frames, Modality};
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Example, HostBatch, Lmf, LmfConfig, Mode, ModelOutput, Presets, SentimentModel, Task,
    TextFeatures, Tfn, TfnConfig, bert_parameters,
};

fn parameters<M: SentimentModel>(name: &str, expected: [u128; 3]) {
    let (device, _turn) = seeded(1);
    let data = [(5, 20), (74, 35), (33, 709)];
    let presets = presets::<M::Config>(name, &task(5, 20));
    assert_eq!(presets.len(), M::Config::PRESETS.len());
    for (((preset, config), (audio, vision)), expected) in
        presets.into_iter().zip(data).zip(expected)
    {
        let task = task(audio, vision);
        let base = BertConfig::default();
        let count = M::parameter_count(&config, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{preset}");
        let small = BertConfig::small(30, 8, 1, 2, 16);
        let model = M::init(&config, &task, Some((small.init(&device), &small)), &device).unwrap();
        let count = M::parameter_count(&config, &task, Some(&small));
        assert_eq!(model.num_params() as u128, count, "{preset}");
        let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
        let bert = model.text_encoder().unwrap().num_params();
        assert_eq!((parts + bert) as u128, count);
    }
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    parameters::<Tfn>("tfn", [9_497_043, 5_042_539, 35_632_077]);
    parameters::<Lmf>("lmf", [505_071, 508_475, 272_381]);
}

fn small() -> TfnConfig {
    TfnConfig {
        text_hidden: 4,
        audio_hidden: 2,
        vision_hidden: 3,
        text_out: 2,
        post_fusion_dim: 3,
        ..TfnConfig::default()
    }
}

fn example(label: f32, audio: usize, frames: usize) -> Example {
    Example {
        id: "segment".into(),
        text: TextFeatures::Tokens(vec![2, 5 + label.abs() as u32, 3]),
        vision: Frames::empty(0),
        audio: Frames {
            values: vec![0.3 * label; frames * audio],
            width: audio,
        },
        label,
        sentences: Vec::new(),
    }
}

#[test]
fn the_fusion_is_the_outer_product_and_the_score_is_in_range() {
    let (device, _turn) = seeded(1);
    let bert = BertConfig::small(30, 4, 1, 2, 8);
    let task = Task {
        modalities: vec![Modality::Text, Modality::Audio],
        label_range: [-1.0, 2.0],
        ..task(5, 0)
    };
    let model = Tfn::init(&small(), &task, Some((bert.init(&device), &bert)), &device).unwrap();
    let state = Tfn::init_state(&small(), &task, &[]);
    let examples = [example(1.0, 5, 3), example(-2.0, 5, 1)];
    let batch = HostBatch::new(&examples, vec![0, 1]).upload(&device);
    let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
    let [a, v, t] = [&output.audio, &output.vision, &output.text].map(|h| host(h.clone()));
    let mut expected = Vec::new();
    let one = |h: &[f32], at: usize| if at == 0 { 1.0 } else { h[at - 1] };
    for row in 0..2 {
        for i in 0..3 {
            for j in 0..4 {
                for k in 0..3 {
                    expected.push(
                        one(&a[row * 2..][..2], i)
                            * one(&v[row * 3..][..3], j)
                            * one(&t[row * 2..][..2], k),
                    );
                }
            }
        }
    }
    assert!(relative(&host(output.fusion.clone()), &expected) < 1e-6);
    let predictions = host(output.prediction());
    assert!(predictions.iter().all(|p| (-1.0..=2.0).contains(p)));
    assert_eq!(output.stages().len(), 5);
}

#[test]
fn padding_matters_only_where_it_is_asked_for() {
    let (device, _turn) = seeded(1);
    let bert = BertConfig::small(30, 4, 1, 2, 8);
    let long = [example(1.0, 5, 6), example(-2.0, 5, 1)];
    let alone = [example(-2.0, 5, 1)];
    for (published, same) in [(false, true), (true, false)] {
        device.seed(3);
        let config = TfnConfig {
            published,
            audio_hidden: 16,
            padded_audio: 8,
            ..small()
        };
        let task = task(5, 0);
        let model = Tfn::init(&config, &task, Some((bert.init(&device), &bert)), &device).unwrap();
        let state = Tfn::init_state(&config, &task, &[]);
        let score = |examples: &[Example]| {
            let rows = (0..examples.len()).collect();
            let batch = HostBatch::new(examples, rows).upload(&device);
            let output = model.forward(&batch, &state, Mode::Evaluate).unwrap();
            host(output.audio)[(examples.len() - 1) * 16..].to_vec()
        };
        // The mean over a fixed number of frames depends on how many frames are a segment's own.
        assert!(relative(&score(&long), &score(&alone)) < 1e-6);
        let more = [example(-2.0, 5, 4)];
        assert_eq!(relative(&score(&more), &score(&alone)) < 1e-6, same);
        // What lies beyond is cut off.
        let [full, mut beyond] = [8, 9].map(|frames| [example(-2.0, 5, frames)]);
        beyond[0].audio.values[8 * 5..].fill(9.0);
        assert_eq!(relative(&score(&beyond), &score(&full)) < 1e-6, published);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (device, _turn) = seeded(1);
    let task = Task {
        modalities: vec![Modality::Audio],
        ..task(5, 0)
    };
    let model = Tfn::init(&small(), &task, None, &device).unwrap();
    let mut state = Tfn::init_state(&small(), &task, &[]);
    model.check_state(&state).unwrap();
    let no_text = |mut example: Example| {
        example.text = TextFeatures::Absent;
        example
    };
    let examples = [1.0, -1.0].map(|label| no_text(example(label, 5, 2)));
    let parts = HostBatch::split(&examples, &[0, 1], 2);
    let parts = HostBatch::upload_parts(parts, &[device.clone(), device.clone()]);
    let mut output = model.forward(&parts[0], &state, TRAIN).unwrap();
    let error = model.loss(&parts[0], &mut output, &state, TRAIN);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("one device"), "{error}");
    state.audio.mean.pop();
    assert!(model.check_state(&state).is_err());
    let config = TfnConfig {
        text_out: 0,
        ..small()
    };
    let error = config.check("model.tfn", &task).unwrap_err();
    assert!(error.0.contains("model.tfn.text_out"), "{error}");
    let config = LmfConfig {
        text_hidden: 1,
        ..LmfConfig::default()
    };
    let error = config.check("model.lmf", &task).unwrap_err();
    assert!(error.0.contains("model.lmf.text_hidden"), "{error}");
}
