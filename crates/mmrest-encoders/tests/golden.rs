//! Tokenizer, BERT and sequence encoders against numbers measured on PyTorch and Hugging Face.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::Param;
use burn::prelude::*;
use common::{bert_dir, relative, values};
use mmrest_encoders::{Bert, PackedTokens, SequenceEncoder, SequenceEncoderConfig, Tokenizer};
use mmrest_testing::{Golden, golden};

fn sentences() -> Vec<String> {
    serde_json::from_str(&std::fs::read_to_string(golden("bert.json")).unwrap()).unwrap()
}

#[test]
fn token_ids_are_those_of_hugging_face() {
    let Some(dir) = bert_dir() else { return };
    let tokenizer = Tokenizer::from_dir(&dir).unwrap();
    let expected = Golden::open("bert.safetensors");
    let (ids, mask) = (
        expected.indices("input_ids"),
        expected.indices("attention_mask"),
    );
    let encoded = tokenizer.encode_all(&sentences(), 50);
    for (row, tokens) in encoded.iter().enumerate() {
        let (padded, ones) = tokenizer.pad(tokens, 50);
        let to_usize = |v: Vec<u32>| v.into_iter().map(|v| v as usize).collect::<Vec<_>>();
        assert_eq!(
            to_usize(padded),
            ids[row * 50..(row + 1) * 50],
            "sentence {row}"
        );
        assert_eq!(
            to_usize(ones),
            mask[row * 50..(row + 1) * 50],
            "sentence {row}"
        );
    }
    assert_eq!(tokenizer.vocab_size(), 30_522);
}

#[test]
fn first_tokens_are_those_of_pytorch() {
    let Some(dir) = bert_dir() else { return };
    let tokenizer = Tokenizer::from_dir(&dir).unwrap();
    let (bert, config) = Bert::load_dir(&dir, &Device::flex()).unwrap();
    assert_eq!(
        (config.num_hidden_layers, bert.depth(), bert.hidden_size()),
        (6, 6, 384)
    );
    let batch = PackedTokens::from_sequences(&tokenizer.encode_all(&sentences(), 50));
    bert.check(&batch).unwrap();
    let found = values(Bert::first_token(bert.forward(&batch), &batch.offsets));
    let expected = Golden::open("bert.safetensors").f32s("first_token");
    let error = relative(&found, &expected);
    println!("first token: relative difference {error:e}");
    assert!(error < 1e-5, "{error:e}");
}

/// An encoder with the golden parameters of that name, which are in PyTorch's layout.
fn encoder(golden: &Golden, name: &str, device: &Device) -> SequenceEncoder {
    let matrix = |key: &str| {
        let stored = golden.tensor::<2>(&format!("param.{name}.{key}"), device);
        Param::from_tensor(Tensor::from_data(stored.transpose().into_data(), device))
    };
    let vector =
        |key: &str| Param::from_tensor(golden.tensor::<1>(&format!("param.{name}.{key}"), device));
    let input = golden.values(&format!("param.{name}.rnn.weight_ih_l0")).0[1];
    let mut encoder = SequenceEncoderConfig::new(input).init(device);
    encoder.lstm.weight_ih = matrix("rnn.weight_ih_l0");
    encoder.lstm.weight_hh = matrix("rnn.weight_hh_l0");
    encoder.lstm.bias_ih = vector("rnn.bias_ih_l0");
    encoder.lstm.bias_hh = vector("rnn.bias_hh_l0");
    encoder.projection.weight = matrix("linear_1.weight");
    encoder.projection.bias = Some(vector("linear_1.bias"));
    encoder
}

#[test]
fn sequence_representations_are_those_of_pytorch() {
    let device = Device::flex();
    let golden = Golden::open("model_step.safetensors");
    for (name, modality) in [("visual_enc", "visual"), ("acoustic_enc", "acoustic")] {
        let x = golden.tensor::<3>(modality, &device).swap_dims(0, 1);
        let lengths = golden.indices(&format!("{modality}_lengths"));
        let found = values(encoder(&golden, name, &device).forward(x, &lengths));
        let error = relative(&found, &golden.f32s(&format!("clus_{modality}")));
        println!("{modality}: relative difference {error:e}");
        assert!(error < 1e-5, "{modality} {error:e}");
    }
}
