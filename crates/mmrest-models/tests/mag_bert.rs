//! MAG-BERT against numbers measured on the published code (MMSA a94e65d, whose gate has the original's bits), and its own
//! rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::{Golden, TRAIN, host, packed, presets, relative, task, train};
use mmrest_data::Modality;
use mmrest_encoders::{BertConfig, PackedTokens};
use mmrest_models::{
    Batch, MagBert, MagBertConfig, MagLoss, Mode, ModelOutput, Presets, Rates, SentimentModel,
    SequenceBatch, Task, TextBatch, bert_parameters,
};

/// The model of a case with the weights below `at`.
fn model(golden: &Golden, case: &str, at: &str, loss: MagLoss, device: &Device) -> MagBert {
    let [_, audio, vision] = golden.sizes(case, "feature_dims")[..] else {
        panic!("three widths")
    };
    let bert = &golden.cases[case]["config"]["bert"];
    let size = |key: &str| bert[key].as_u64().unwrap() as usize;
    let mut text = BertConfig::small(
        size("vocab_size"),
        size("hidden_size"),
        size("num_hidden_layers"),
        size("num_attention_heads"),
        size("intermediate_size"),
    );
    text.max_position_embeddings = size("max_position_embeddings");
    text.hidden_dropout_prob = 0.0;
    text.attention_probs_dropout_prob = 0.0;
    let config = MagBertConfig {
        beta: golden.number(case, "beta_shift"),
        loss,
        ..still()
    };
    let text = Some((text.init(device), &text));
    let model = MagBert::init(&config, &task(audio, vision), text, device).unwrap();
    golden.load(model, MagBert::PUBLISHED_NAMES, at)
}

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

/// Token ids without their padding.
fn ids(golden: &Golden, at: &str, first: usize, count: usize) -> Vec<Vec<u32>> {
    let (shape, ids) = golden.find(&format!("{at}/ids")).unwrap();
    let mask = golden.values(&format!("{at}/mask"));
    let rows = ids.chunks(shape[1]).zip(mask.chunks(shape[1]));
    let row = |(ids, mask): (&[f32], &[f32])| {
        let real = ids.iter().zip(mask).filter(|(_, mask)| **mask == 1.0);
        real.map(|(id, _)| *id as u32).collect()
    };
    rows.skip(first).take(count).map(row).collect()
}

fn key_bias(name: &str) -> bool {
    name.ends_with("attention.self.key.bias")
}

#[test]
fn outputs_losses_and_gradients_are_the_published_ones() {
    let Some(mut golden) = Golden::open("mag_bert") else {
        return;
    };
    let device = Device::flex().autodiff();
    for case in ["a", "b"] {
        let at = format!("{case}/w/");
        let model = model(&golden, case, &at, MagLoss::L1, &device);
        let labels = golden.values(&format!("{case}/in/label"));
        let ids = ids(&golden, &format!("{case}/in"), 0, labels.len());
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        assert_eq!(lengths, golden.lengths(case, "token_lengths"));
        let frames = |what: &str| {
            let values = golden.tensor::<3>(&format!("{case}/in/{what}"), &device);
            values.require_grad()
        };
        let (audio, vision) = (frames("audio"), frames("vision"));
        let given = batch(&ids, audio.clone(), vision.clone(), labels);
        let mut output = model.forward(&given, &(), TRAIN).unwrap();
        let offsets = PackedTokens::from_sequences(&ids).offsets;
        let all = model.bert.layers(output.gated.clone(), &offsets, 0..2);
        for (what, found) in [
            ("embedding", output.embedding.clone()),
            ("gated", output.gated.clone()),
            ("last_hidden", all),
        ] {
            let expected = golden.tensor::<3>(&format!("{case}/out/{what}"), &device);
            let expected = host(packed(expected, &lengths).0);
            assert!(relative(&host(found), &expected) < 5e-5, "{case} {what}");
        }
        golden.compare_tensor(
            "outputs",
            &format!("{case}/out/pooled"),
            output.pooled.clone(),
        );
        let name = format!("{case}/out/prediction");
        golden.compare_tensor("outputs", &name, output.prediction.clone());
        let squared = self::model(&golden, case, &at, MagLoss::Mse, &device);
        let mse = squared.loss(&given, &mut output, &(), TRAIN).unwrap();
        let name = format!("{case}/loss/mean_squared_error");
        golden.compare_tensor("losses", &name, mse.total);
        let loss = model.loss(&given, &mut output, &(), TRAIN).unwrap();
        golden.compare_tensor("losses", &format!("{case}/loss/total"), loss.total.clone());
        let gradients = loss.total.backward();
        for (what, values) in [("audio", audio), ("vision", vision)] {
            let gradient = values.grad(&gradients).unwrap();
            golden.compare_tensor("gradients", &format!("{case}/grad_in/{what}"), gradient);
        }
        let prefix = format!("{case}/grad_w/");
        let names = MagBert::PUBLISHED_NAMES;
        golden.compare_gradients(&model, names, &gradients, &prefix, &key_bias);
    }
}

#[test]
fn two_epochs_of_training_are_the_published_ones() {
    let Some(mut golden) = Golden::open("mag_bert") else {
        return;
    };
    let device = Device::flex().autodiff();
    let model = model(&golden, "t", "t/w0/", MagLoss::L1, &device);
    let rate = golden.number("t", "learning_rate");
    let rates = Rates {
        learning_rate: rate,
        text_learning_rate: rate,
        weight_decay: 0.0,
        max_grad_norm: 0.0,
        max_grad_value: 0.0,
    };
    let recipe = MagBert::recipe(&still(), &rates);
    let take = |golden: &Golden, split: &str, first: usize, count: usize| -> Batch {
        let at = format!("t/{split}");
        let part = |what: &str| {
            let all = golden.tensor::<3>(&format!("{at}/{what}"), &device);
            all.narrow(0, first, count)
        };
        let labels = golden.values(&format!("{at}/label"))[first..][..count].to_vec();
        let ids = ids(golden, &at, first, count);
        batch(&ids, part("audio"), part("vision"), labels)
    };
    let mut after = |epoch: usize, steps: usize, model: &MagBert, (): &(), golden: &mut Golden| {
        if epoch == 2 {
            let (names, moved) = (MagBert::PUBLISHED_NAMES, rate * steps as f64);
            golden.compare_weights(model, names, "t/w2/", moved, &key_bias);
        }
    };
    train(&mut golden, model, (), &recipe, &take, &mut after);
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let device = Device::flex();
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
    let device = Device::flex();
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
    let device = Device::flex();
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
