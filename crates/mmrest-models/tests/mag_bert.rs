//! MAG-BERT: its own rules. The measured numbers are compared in `mmrest-learner/tests/conformance`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use common::{host, presets, relative, seeded, task};
use mmrest_data::Modality;
use mmrest_encoders::{BertConfig, PackedTokens};
use mmrest_models::{
    Batch, MagBert, MagBertConfig, Mode, ModelOutput, Presets, SentimentModel, SequenceBatch, Task,
    TextBatch, bert_parameters,
};

fn still() -> MagBertConfig {
    MagBertConfig {
        gate_dropout: 0.0,
        dropout: 0.0,
        ..MagBertConfig::default()
    }
}

/// A batch of tokens with a frame each.
fn batch(ids: &[Vec<u32>], audio: Tensor<3>, vision: Tensor<3>, labels: Vec<f32>) -> Batch {
    let frames = |values| {
        Some(SequenceBatch {
            values,
            lengths: ids.iter().map(Vec::len).collect(),
        })
    };
    Batch {
        text: Some(TextBatch::Tokens(PackedTokens::from_sequences(ids))),
        audio: frames(audio),
        vision: frames(vision),
        rows: (0..labels.len()).collect(),
        labels,
        part: None,
        sentences: Vec::new(),
    }
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let (device, _turn) = seeded(1);
    let base = BertConfig::default();
    let hidden = base.hidden_size as u128;
    let gates = [
        (5, 20, 1_222_656),
        (74, 35, 1_351_680),
        (33, 709, 2_323_968),
    ];
    let presets = presets::<MagBertConfig>("mag-bert", &task(5, 20));
    assert_eq!(presets.len(), MagBertConfig::PRESETS.len());
    for ((preset, config), (audio, vision, gate)) in presets.into_iter().zip(gates) {
        let task = task(audio, vision);
        let count = MagBert::parameter_count(&config, &task, Some(&base));
        let head = hidden * hidden + hidden + hidden + 1;
        assert_eq!(count - bert_parameters(&base), gate + head, "{preset}");
        let small = BertConfig::small(30, 8, 1, 2, 16);
        for gate in [true, false] {
            let config = MagBertConfig {
                gate,
                ..config.clone()
            };
            let text = Some((small.init(&device), &small));
            let model = MagBert::init(&config, &task, text, &device).unwrap();
            let count = MagBert::parameter_count(&config, &task, Some(&small));
            assert_eq!(model.num_params() as u128, count, "{preset}");
            let parts: usize = model.parts().iter().map(|(_, count)| count).sum();
            let bert = model.text_encoder().unwrap().num_params();
            assert_eq!((parts + bert) as u128, count);
        }
    }
}

#[test]
fn without_the_gate_frames_do_not_matter_and_with_it_zero_frames_shift_nothing() {
    let (device, _turn) = seeded(1);
    let small = BertConfig::small(30, 8, 1, 2, 16);
    let tokens = [vec![2, 9, 3], vec![2, 7, 8, 3]];
    for gate in [false, true] {
        let config = MagBertConfig { gate, ..still() };
        let text = Some((small.init(&device), &small));
        let model = MagBert::init(&config, &task(3, 2), text, &device).unwrap();
        let forward = |value: f32| {
            let [audio, vision] = [3, 2].map(|width| Tensor::full([2, 4, width], value, &device));
            let batch = batch(&tokens, audio, vision, vec![0.5, 1.0]);
            model.forward(&batch, &(), Mode::Evaluate).unwrap()
        };
        let (zero, one) = (forward(0.0), forward(1.0));
        let same = host(zero.gated.clone()) == host(one.gated.clone());
        assert_eq!(same, !gate);
        assert_eq!(zero.stages().len(), 3);
        if gate {
            // What is left is the norm of the embeddings, which have passed one already.
            let embedding = host(zero.embedding);
            assert!(relative(&host(zero.gated), &embedding) < 1e-3);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (device, _turn) = seeded(1);
    let small = BertConfig::small(30, 8, 1, 2, 16);
    let text = Some((small.init(&device), &small));
    let model = MagBert::init(&still(), &task(3, 2), text, &device).unwrap();
    let [audio, vision] = [3, 2].map(|width| Tensor::zeros([1, 4, width], &device));
    let mut given = batch(&[vec![2, 9, 3]], audio, vision, vec![0.5]);
    given.audio.as_mut().unwrap().lengths = vec![4];
    let error = model.forward(&given, &(), Mode::Evaluate).unwrap_err();
    assert!(error.to_string().contains("aligned to words"), "{error}");
    given.text = None;
    assert!(model.forward(&given, &(), Mode::Evaluate).is_err());
    assert!(MagBert::init(&still(), &task(3, 2), None, &device).is_err());
    let silent = Task {
        modalities: vec![Modality::Audio],
        ..task(3, 0)
    };
    let error = still().check("model.mag-bert", &silent).unwrap_err();
    assert!(error.0.contains("put text into data.modalities"), "{error}");
}
