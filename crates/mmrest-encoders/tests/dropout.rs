//! Dropout in BERT on the CPU: the seed decides it, threads do not, and gradients belong to the mask that was drawn.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Mutex, PoisonError};

use burn::module::{ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::{Distribution, Gradients};
use mmrest_encoders::{Bert, BertConfig, PackedTokens};

/// The device has one generator for the whole process: one test at a time.
static SEED: Mutex<()> = Mutex::new(());

const LENGTHS: [usize; 6] = [5, 1, 9, 2, 9, 4];

fn bert(dropout: f64, device: &Device) -> Bert {
    let mut config = BertConfig::small(50, 24, 2, 3, 40);
    config.hidden_dropout_prob = dropout;
    config.attention_probs_dropout_prob = dropout;
    config.initializer_range = 0.3;
    let bert = config.init(device);
    let _ = results(&bert); // weights are drawn when they are first used
    bert
}

fn batch() -> PackedTokens {
    let sentence = |len: &usize| (0..*len as u32).map(|i| i * 7 % 50).collect();
    PackedTokens::from_sequences(&LENGTHS.iter().map(sentence).collect::<Vec<Vec<u32>>>())
}

struct Collect<'a>(&'a Gradients, Vec<Vec<f32>>);

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.0).unwrap();
        self.1.push(gradient.into_data().try_to_vec().unwrap());
    }
}

/// Output and the gradients of all parameters.
fn results(bert: &Bert) -> Vec<Vec<f32>> {
    let output = bert.forward_first(&batch());
    let gradients = (output.clone() * output.clone().sin()).sum().backward();
    let mut all = Collect(&gradients, vec![output.into_data().try_to_vec().unwrap()]);
    bert.visit(&mut all);
    all.1
}

#[test]
fn a_seed_decides_the_masks_and_threads_decide_nothing() {
    let _alone = SEED.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex().autodiff();
    device.seed(6);
    let bert = bert(0.2, &device);
    let on = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            device.seed(seed);
            results(&bert)
        })
    };
    let once = on(1, 9);
    assert!(once == on(1, 9));
    assert!(once == on(3, 9));
    assert!(once != on(1, 10));
}

#[test]
fn every_pass_draws_new_masks() {
    let _alone = SEED.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex().autodiff();
    device.seed(2);
    let bert = bert(0.2, &device);
    assert!(results(&bert)[0] != results(&bert)[0]);
}

/// With the mask held fixed by the seed, the gradient is the slope of the loss.
#[test]
fn gradients_are_slopes_under_the_same_mask() {
    let _alone = SEED.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::flex().autodiff();
    device.seed(8);
    let bert = bert(0.3, &device);
    let offsets = batch().offsets;
    let shape = [LENGTHS.iter().sum(), 24];
    let draw = || Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let (hidden, direction) = (draw(), draw());
    let loss = |x: Tensor<2>| {
        device.seed(4);
        let output = bert.layers(x, &offsets, 0..1);
        (output.clone() * output.sin()).sum()
    };
    let x = hidden.clone().require_grad();
    let gradient = x.grad(&loss(x.clone()).backward()).unwrap();
    let along = (gradient * direction.clone().inner())
        .sum()
        .into_scalar::<f32>();
    let at = |step: f64| {
        loss(hidden.clone() + direction.clone() * step)
            .inner()
            .into_scalar::<f32>()
    };
    let slope = (at(5e-3) - at(-5e-3)) / 1e-2;
    assert!(
        (along - slope).abs() < 0.02 * slope.abs().max(1.0),
        "{along} {slope}"
    );
}
