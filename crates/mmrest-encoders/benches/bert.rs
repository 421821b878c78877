//! A BERT of MiniLM-L6's shape over 64 ragged sentences: forward, and forward with backward.
//!
//! `cargo bench --bench bert -- --python PATH` puts the same BERT in PyTorch beside it, padded to the longest sentence.

mod common;

use anyhow::Result;
use burn::prelude::*;
use mmrest_encoders::{BertConfig, PackedTokens};

fn main() -> Result<()> {
    let lengths: Vec<usize> = (0..64)
        .map(|i: usize| 6 + (i * 29 % 64).pow(2) * 19 / 3969 + if i == 5 { 37 } else { i % 7 })
        .collect();
    let config = BertConfig::small(30_522, 384, 6, 12, 1536);
    let sentence = |len: usize| (0..len as u32).map(|i| 1000 + i * 97).collect::<Vec<_>>();
    let sentences: Vec<_> = lengths.iter().map(|len| sentence(*len)).collect();
    let batch = PackedTokens::from_sequences(&sentences);
    let tracked = config.init(&Device::flex().autodiff());
    let plain = config.init(&Device::flex());
    let (tokens, longest) = (batch.ids.len(), batch.max_len());
    println!(
        "{} sentences, {tokens} tokens, the longest {longest}",
        batch.len()
    );
    common::compare(
        "bert.py",
        &lengths,
        vec![
            (
                "forward",
                Box::new(|| {
                    let _ = plain.forward_first(&batch).into_data();
                }),
            ),
            (
                "both",
                Box::new(|| {
                    let _ = tracked.forward_first(&batch).sum().backward();
                }),
            ),
        ],
    )
}
