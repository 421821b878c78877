//! An LSTM over 64 ragged sequences of up to 375 frames: forward, and forward with backward.
//!
//! `cargo bench --bench lstm -- --python PATH` puts PyTorch's packed LSTM beside it.

mod common;

use anyhow::Result;
use burn::prelude::*;
use burn::tensor::Distribution;
use mmrest_encoders::LstmConfig;

fn main() -> Result<()> {
    let (batch, time, features, hidden) = (64, 375, 20, 64);
    let lengths: Vec<usize> = (0..batch).map(|i| 30 + i * 37 % 64 * 345 / 63).collect();
    let plain = Device::flex();
    let tracked = Device::flex().autodiff();
    let lstm = LstmConfig::new(features, hidden).init(&tracked);
    let fixed = LstmConfig::new(features, hidden).init(&plain);
    let shape = [batch, time, features];
    let x = Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &plain);
    let x_tracked = Tensor::<3>::from_inner(x.clone());
    common::compare(
        "lstm.py",
        &lengths,
        vec![
            (
                "forward",
                Box::new(|| {
                    let _ = fixed.last_hidden(x.clone(), &lengths).into_data();
                }),
            ),
            (
                "both",
                Box::new(|| {
                    let loss = lstm.last_hidden(x_tracked.clone(), &lengths).sum();
                    let gradients = loss.backward();
                    let _ = lstm.weight_hh.val().grad(&gradients).map(Tensor::into_data);
                }),
            ),
        ],
    )
}
