//! What the integration tests share: where files are, how tensors are read and compared.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub mod tiny;

use burn::prelude::*;
use safetensors::SafeTensors;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_path_buf()
}

/// A file of golden numbers.
pub fn golden(name: &str) -> PathBuf {
    let inside = workspace().join("tests/golden").join(name);
    if inside.is_file() {
        inside
    } else {
        workspace().join("../shared/golden").join(name)
    }
}

/// A directory with a real BERT, if there is one here.
pub fn bert_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("MMREST_BERT")
        .map_or_else(|| workspace().join("data/bert/minilm"), PathBuf::from);
    let found = dir.join("config.json").is_file();
    if !found {
        println!("skipped: no BERT at {} (set MMREST_BERT)", dir.display());
    }
    found.then_some(dir)
}

/// A tensor on the host.
#[derive(Clone, Debug)]
pub struct Host {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Host {
    pub fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(
            TensorData::new(self.values.clone(), self.shape.clone()),
            device,
        )
    }

    pub fn usizes(&self) -> Vec<usize> {
        self.values.iter().map(|v| *v as usize).collect()
    }
}

/// All tensors of a safetensors file.
pub fn read(path: &Path) -> BTreeMap<String, Host> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let host = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let values = match view.dtype() {
            safetensors::Dtype::F32 => view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect(),
            safetensors::Dtype::F64 => view
                .data()
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes(b.try_into().unwrap()) as f32)
                .collect(),
            _ => view
                .data()
                .chunks_exact(8)
                .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32)
                .collect(),
        };
        (
            name,
            Host {
                shape: view.shape().to_vec(),
                values,
            },
        )
    };
    file.tensors().into_iter().map(host).collect()
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Largest difference of two vectors over the largest value of the second.
pub fn relative(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = found
        .iter()
        .zip(expected)
        .fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(difference.is_finite());
    difference / largest
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
