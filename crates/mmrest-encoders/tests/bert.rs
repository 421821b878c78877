//! Packing changes nothing: company, order and padding; and gradients go where they should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::Gradients;
use common::{bert_dir, relative, values};
use mmrest_encoders::{Bert, BertConfig, EncoderError, PackedTokens, Tokenizer};
use proptest::prelude::*;

/// A BERT without dropout.
fn bert(device: &Device) -> Bert {
    let config = BertConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.3,
        max_position_embeddings: 16,
        ..BertConfig::small(50, 16, 3, 4, 24)
    };
    config.init(device)
}

/// Names of the parameters that have a gradient, and of those that have none.
struct Reached<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    with: Vec<String>,
    without: Vec<String>,
}

impl ModuleVisitor for Reached<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let nonzero = |gradient: Tensor<D>| values(gradient).iter().any(|v| *v != 0.0);
        let reached = param.grad(self.gradients).is_some_and(nonzero);
        if reached {
            &mut self.with
        } else {
            &mut self.without
        }
        .push(self.path.join("."));
    }
}

/// Largest difference of two backward passes' gradients, absolute.
struct Compare<'a> {
    left: &'a Gradients,
    right: &'a Gradients,
    largest: f32,
}

impl ModuleVisitor for Compare<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let [left, right] =
            [self.left, self.right].map(|gradients| values(param.grad(gradients).unwrap()));
        self.largest = left
            .iter()
            .zip(&right)
            .fold(self.largest, |m, (a, b)| m.max((a - b).abs()));
    }
}

fn reached(bert: &Bert, gradients: &Gradients) -> (Vec<String>, Vec<String>) {
    let mut visitor = Reached {
        gradients,
        path: vec![],
        with: vec![],
        without: vec![],
    };
    bert.visit(&mut visitor);
    (visitor.with, visitor.without)
}

/// A loss that no normalisation can cancel.
fn loss(hidden: Tensor<2>) -> Tensor<1> {
    let weights = common::noise(hidden.dims().iter().product(), 7);
    let weights = Tensor::<2>::from_data(TensorData::new(weights, hidden.dims()), &hidden.device());
    (hidden * weights).sum()
}

#[test]
fn gradients_reach_every_parameter_but_the_bias_of_the_keys() {
    let device = Device::flex().autodiff();
    let bert = bert(&device);
    let batch = PackedTokens::from_sequences(&[vec![2u32, 7, 9, 3], vec![2, 8, 3]]);
    let gradients = loss(bert.forward(&batch)).backward();
    let (with, without) = reached(&bert, &gradients);
    // softmax does not see what a key's bias adds to all scores of a query: its gradient is rounding at most.
    assert!(
        without.iter().all(|name| name.ends_with("key.bias")),
        "{without:?}"
    );
    assert!(with.len() >= 5 + 3 * 15, "{with:?}");
}

#[test]
fn the_top_layers_can_be_trained_alone() {
    let device = Device::flex().autodiff();
    let bert = bert(&device);
    let batch = PackedTokens::from_sequences(&[vec![2u32, 7, 9, 3], vec![2, 8, 3]]);

    let fixed = bert.valid();
    let lower = fixed.layers(fixed.embed(&batch), &batch.offsets, 0..2);
    let hidden = bert.layers(Tensor::from_inner(lower), &batch.offsets, 2..3);
    assert!(relative(&values(hidden.clone()), &values(bert.forward(&batch))) < 1e-6);

    let (with, _) = reached(&bert, &loss(hidden).backward());
    assert!(
        with.len() >= 15 && with.iter().all(|name| name.starts_with("layers.2.")),
        "{with:?}"
    );
}

#[test]
fn the_first_tokens_alone_are_the_same_values_and_gradients() {
    let bert = bert(&Device::flex().autodiff());
    let batch = PackedTokens::from_sequences(&[vec![2u32, 7, 9, 3], vec![4], vec![2, 8, 3]]);
    let (all, first) = (
        Bert::first_token(bert.forward(&batch), &batch.offsets),
        bert.forward_first(&batch),
    );
    assert!(relative(&values(first.clone()), &values(all.clone())) < 1e-5);
    let (all, first) = (loss(all).backward(), loss(first).backward());
    let mut compare = Compare {
        left: &first,
        right: &all,
        largest: 0.0,
    };
    bert.visit(&mut compare);
    assert!(compare.largest < 1e-4, "{:e}", compare.largest);

    let embedded = bert.embed(&batch);
    let none = bert.layers_first(embedded.clone(), &batch.offsets, 3..9);
    assert_eq!(
        values(none),
        values(Bert::first_token(embedded, &batch.offsets))
    );
}

#[test]
fn dropout_acts_in_training_only() {
    let config = BertConfig::small(50, 16, 2, 4, 24);
    let bert = config.init(&Device::flex().autodiff());
    let batch = PackedTokens::from_sequences(&[vec![2u32, 7, 9, 3], vec![2, 8, 3]]);
    assert_ne!(values(bert.forward(&batch)), values(bert.forward(&batch)));
    let fixed = bert.valid();
    assert_eq!(values(fixed.forward(&batch)), values(fixed.forward(&batch)));
}

#[test]
fn a_batch_the_model_cannot_take_is_an_error() {
    let bert = bert(&Device::flex());
    let check = |sequences: &[Vec<u32>]| bert.check(&PackedTokens::from_sequences(sequences));
    assert!(check(&[vec![1; 16], vec![49]]).is_ok());
    assert!(matches!(
        check(&[vec![1], vec![1; 17]]),
        Err(EncoderError::TooLong {
            index: 1,
            tokens: 17,
            limit: 16
        })
    ));
    let unknown = check(&[vec![1, 1], vec![3], vec![2, 50]]);
    assert!(matches!(
        unknown,
        Err(EncoderError::UnknownId {
            index: 2,
            id: 50,
            vocab_size: 50
        })
    ));
    assert!(matches!(check(&[]), Err(EncoderError::InvalidBatch(_))));
    assert!(matches!(
        check(&[vec![]]),
        Err(EncoderError::InvalidBatch(_))
    ));
}

#[test]
fn a_real_model_does_not_mind_company_either() {
    let Some(dir) = bert_dir() else { return };
    let tokenizer = Tokenizer::from_dir(&dir).unwrap();
    let (bert, _) = Bert::load_dir(&dir, &Device::flex()).unwrap();
    let texts = [
        "A fine film.",
        "",
        "it was, umm, kind of long and I would not watch it again",
    ];
    let sequences = tokenizer.encode_all(&texts, 50);
    let batch = PackedTokens::from_sequences(&sequences);
    let together = values(Bert::first_token(bert.forward(&batch), &batch.offsets));
    assert!(relative(&values(bert.forward_first(&batch)), &together) < 1e-5);
    for (sequence, together) in sequences.iter().zip(together.chunks(bert.hidden_size())) {
        let one = PackedTokens::from_sequences(std::slice::from_ref(sequence));
        let alone = values(Bert::first_token(bert.forward(&one), &one.offsets));
        assert!(relative(&alone, together) < 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn company_and_order_do_not_matter(
        sequences in proptest::collection::vec(proptest::collection::vec(0u32..50, 1..17), 1..6),
        rotate in 0usize..6,
    ) {
        let bert = bert(&Device::flex());
        let first = |batch: &PackedTokens| values(Bert::first_token(bert.forward(batch), &batch.offsets));
        let together = first(&PackedTokens::from_sequences(&sequences));
        let mut turned = sequences.clone();
        turned.rotate_left(rotate % sequences.len());
        let turned = first(&PackedTokens::from_sequences(&turned));
        for (place, sequence) in sequences.iter().enumerate() {
            let alone = first(&PackedTokens::from_sequences(std::slice::from_ref(sequence)));
            let other = (place + sequences.len() - rotate % sequences.len()) % sequences.len();
            prop_assert!(relative(&alone, &together[place * 16..][..16]) < 1e-5);
            prop_assert!(relative(&alone, &turned[other * 16..][..16]) < 1e-5);
        }
    }
}
