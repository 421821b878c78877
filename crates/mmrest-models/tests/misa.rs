//! MISA against a naive loop, and its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use common::{TRAIN, host, largest, presets, relative, seeded, task};
use mmrest_data::Frames;
use mmrest_encoders::BertConfig;
use mmrest_models::{
    Example, FrameLengths, HostBatch, LstmInit, Misa, MisaConfig, Mode, ModelOutput, Presets,
    SentimentModel, TextFeatures, bert_parameters,
};

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let (device, _turn) = seeded(1);
    // Without the discriminator and the norm that are never trained.
    let unused = 3_588;
    let data = [
        (5, 20, 1_138_033 - unused),
        (74, 35, 1_435_105 - unused),
        (33, 709, 21_664_749 - unused),
    ];
    let presets = presets::<MisaConfig>("misa", &task(5, 20));
    for ((preset, config), (audio, vision, expected)) in presets.into_iter().zip(data) {
        let task = task(audio, vision);
        let base = BertConfig::default();
        let count = Misa::parameter_count(&config, &task, Some(&base));
        assert_eq!(count - bert_parameters(&base), expected, "{preset}");
    }
    let small = BertConfig::small(30, 8, 1, 2, 16);
    let task = task(3, 2);
    let config = tiny();
    let text = Some((small.init(&device), &small));
    let model = Misa::init(&config, &task, text, &device).unwrap();
    let count = Misa::parameter_count(&config, &task, Some(&small));
    assert_eq!(model.num_params() as u128, count);
    let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
    let bert = model.text_encoder().unwrap().num_params();
    assert_eq!((parts + bert) as u128, count);
}

fn tiny() -> MisaConfig {
    MisaConfig {
        hidden: 4,
        feed_forward: 6,
        dropout: 0.0,
        fusion_dropout: 0.0,
        ..MisaConfig::default()
    }
}

fn examples(labels: &[f32], vision: usize) -> Vec<Example> {
    let frames = |label: f32, count: usize, width: usize| {
        let value = |i: usize| (label * (i as f32 + 1.0)).sin();
        Frames {
            values: (0..count * width).map(value).collect(),
            width,
        }
    };
    let one = |(at, &label): (usize, &f32)| Example {
        id: "segment".into(),
        text: TextFeatures::Tokens(vec![2, 5 + at as u32, 9, 3]),
        vision: frames(label, 2 + at, vision),
        audio: frames(label, 5, 3),
        label,
        sentences: Vec::new(),
    };
    labels.iter().enumerate().map(one).collect()
}

#[test]
fn losses_are_those_of_a_naive_loop_and_a_segment_alone_has_gradients() {
    let (device, _turn) = seeded(4);
    let device = device.autodiff();
    let small = BertConfig::small(30, 4, 1, 2, 8);
    for (vision, count) in [(2, 3), (0, 3), (2, 1)] {
        let task = task(3, vision);
        let text = Some((small.init(&device), &small));
        let model = Misa::init(&tiny(), &task, text, &device).unwrap();
        let examples = examples(&[1.0, -2.0, 0.5][..count], vision);
        let batch = HostBatch::new(&examples, (0..count).collect()).upload(&device);
        let mut output = model.forward(&batch, &(), TRAIN).unwrap();
        let loss = model.loss(&batch, &mut output, &(), TRAIN).unwrap();
        let rows = |tensor: &Tensor<2>| -> Vec<Vec<f64>> {
            let values = host(tensor.clone());
            let rows = values
                .chunks(4)
                .map(|row| row.iter().map(|&v| f64::from(v)).collect());
            rows.collect()
        };
        let mean = |x: &[Vec<f64>], power: i32, centre: &[f64]| -> Vec<f64> {
            let column = |j: usize| {
                let sum: f64 = x.iter().map(|row| (row[j] - centre[j]).powi(power)).sum();
                sum / x.len() as f64
            };
            (0..4).map(column).collect()
        };
        let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
        let overlap = |x: &[Vec<f64>], y: &[Vec<f64>]| {
            let unit = |x: &[Vec<f64>]| -> Vec<Vec<f64>> {
                let centre = mean(x, 1, &[0.0; 4]);
                let centred = x.iter().map(|row| -> Vec<f64> {
                    row.iter().zip(&centre).map(|(v, c)| v - c).collect()
                });
                let scale = |row: Vec<f64>| {
                    let norm = norm(&row) + 1e-6;
                    row.iter().map(|v| v / norm).collect()
                };
                centred.map(scale).collect()
            };
            let (x, y) = (unit(x), unit(y));
            let mut sum = 0.0;
            for i in 0..4 {
                for j in 0..4 {
                    let entry: f64 = x.iter().zip(&y).map(|(x, y)| x[i] * y[j]).sum();
                    sum += entry * entry;
                }
            }
            sum / 16.0
        };
        let discrepancy = |x: &[Vec<f64>], y: &[Vec<f64>]| {
            let (a, b) = (mean(x, 1, &[0.0; 4]), mean(y, 1, &[0.0; 4]));
            let apart = |x: &[f64], y: &[f64]| -> f64 {
                norm(&x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<_>>())
            };
            let moments = (2..=5).map(|k| apart(&mean(x, k, &a), &mean(y, k, &b)));
            apart(&a, &b) + moments.sum::<f64>()
        };
        let [p_t, p_v, p_a] = [0, 1, 2].map(|m| rows(&output.private[m]));
        let [s_t, s_v, s_a] = [0, 1, 2].map(|m| rows(&output.shared[m]));
        let difference = overlap(&p_t, &s_t)
            + overlap(&p_v, &s_v)
            + overlap(&p_a, &s_a)
            + overlap(&p_a, &p_t)
            + overlap(&p_a, &p_v)
            + overlap(&p_t, &p_v);
        let similarity =
            (discrepancy(&s_t, &s_v) + discrepancy(&s_t, &s_a) + discrepancy(&s_a, &s_v)) / 3.0;
        let found = [1, 2].map(|part| host(loss.parts[part].clone().unwrap())[0]);
        let expected = [difference as f32, similarity as f32];
        // Rows that hardly differ lose digits of single precision before they are divided by their norms.
        assert!(relative(&found, &expected) < 5e-3, "{found:?} {expected:?}");
        let gradients = loss.total.backward();
        let gradient = model.shared.weight.val().grad(&gradients).unwrap();
        let gradient = host(gradient);
        assert!(gradient.iter().all(|v| v.is_finite()) && largest(gradient) > 0.0);
        assert_eq!(output.stages().len(), 13);
    }
}

#[test]
fn frames_behind_the_text_matter_only_at_own_lengths() {
    let (device, _turn) = seeded(1);
    let small = BertConfig::small(30, 4, 1, 2, 8);
    for (lengths, published, same) in [
        (FrameLengths::Own, false, false),
        (FrameLengths::Text, false, true),
        (FrameLengths::Own, true, true),
    ] {
        let config = MisaConfig {
            lengths,
            published,
            ..tiny()
        };
        let frames_matter = || {
            let text = Some((small.init(&device), &small));
            let model = Misa::init(&config, &task(3, 2), text, &device).unwrap();
            let score = |mut example: Example, frames: usize| {
                example.audio.values = (0..3 * frames).map(|i| (i as f32).cos()).collect();
                let batch = HostBatch::new(&[example], vec![0]).upload(&device);
                let output = model.forward(&batch, &(), Mode::Evaluate).unwrap();
                host(output.prediction())[0]
            };
            let example = examples(&[1.0], 2).remove(0);
            score(example.clone(), 4) != score(example, 9)
        };
        // Ten networks, since all ReLUs of one this small may be off.
        assert_eq!((0..10).any(|_| frames_matter()), !same);
    }
}

#[test]
fn recurrent_weights_can_start_orthogonal() {
    let (device, _turn) = seeded(1);
    let config = MisaConfig {
        init: LstmInit::Orthogonal,
        ..tiny()
    };
    let model = Misa::init(&config, &task(3, 2), None, &device).unwrap();
    let weight = model.audio.rnn1.backward.weight_hh.val();
    let product = host(weight.clone().matmul(weight.transpose()));
    let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    assert!(relative(&product, &identity) < 1e-5, "{product:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let config = MisaConfig {
        hidden: 5,
        ..tiny()
    };
    let error = config.check("model.misa", &task(3, 2)).unwrap_err();
    assert!(
        error.0.contains("model.misa.hidden must be even"),
        "{error}"
    );
    let (device, _turn) = seeded(1);
    let small = BertConfig::small(30, 4, 1, 2, 8);
    let text = Some((small.init(&device), &small));
    let model = Misa::init(&tiny(), &task(3, 2), text, &device).unwrap();
    let parts = HostBatch::split(&examples(&[1.0, -1.0], 2), &[0, 1], 2);
    let parts = HostBatch::upload_parts(parts, &[device.clone(), device.clone()]);
    let mut output = model.forward(&parts[0], &(), TRAIN).unwrap();
    let error = model.loss(&parts[0], &mut output, &(), TRAIN);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("one device"), "{error}");
}
