//! What the integration tests share besides `mmrest_testing`: a BERT if there is one here, and reproducible numbers.
#![allow(dead_code, unreachable_pub)]

use std::path::PathBuf;

pub mod tiny;

pub use mmrest_testing::{host as values, relative};

/// A directory with a real BERT, if there is one here.
pub fn bert_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("MMREST_BERT").map_or_else(
        || mmrest_testing::workspace().join("data/bert/minilm"),
        PathBuf::from,
    );
    let found = dir.join("config.json").is_file();
    if !found {
        println!("skipped: no BERT at {} (set MMREST_BERT)", dir.display());
    }
    found.then_some(dir)
}

/// Reproducible numbers in [-1, 1).
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
