//! What the tests of several crates share: golden tensors, comparisons of numbers, runs on different numbers of threads.
//!
//! As in tests everywhere, what cannot be done panics.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors};

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_path_buf()
}

/// A file under `tests/golden`.
#[must_use]
pub fn golden(name: &str) -> PathBuf {
    workspace().join("tests/golden").join(name)
}

/// Parameters and figures of the golden files, by file name: `meta.json`.
#[must_use]
pub fn meta() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(golden("meta.json")).unwrap()).unwrap()
}

/// The tensors of a safetensors file.
#[derive(Debug)]
pub struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    /// A file under `tests/golden`.
    #[must_use]
    pub fn open(name: &str) -> Self {
        Self {
            bytes: std::fs::read(golden(name)).unwrap(),
        }
    }

    /// Shape and values; integers and doubles become f32.
    #[must_use]
    pub fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(name).unwrap();
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => words(data, f32::from_le_bytes),
            Dtype::F64 => words(data, |word| f64::from_le_bytes(word) as f32),
            Dtype::I32 => words(data, |word| i32::from_le_bytes(word) as f32),
            Dtype::I64 => words(data, |word| i64::from_le_bytes(word) as f32),
            other => panic!("{name} is {other:?}"),
        };
        (view.shape().to_vec(), values)
    }

    /// The values.
    #[must_use]
    pub fn f32s(&self, name: &str) -> Vec<f32> {
        self.values(name).1
    }

    /// The values as indices.
    #[must_use]
    pub fn indices(&self, name: &str) -> Vec<usize> {
        let values = self.f32s(name);
        values.iter().map(|&value| value as usize).collect()
    }

    /// A tensor on a device.
    #[must_use]
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

fn words<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let words = data.as_chunks::<N>().0;
    words.iter().map(|word| read(*word)).collect()
}

/// The values of a tensor, row-major.
#[must_use]
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// A tracked tensor of numbers between -1 and 1, without any symmetry.
#[must_use]
pub fn leaf<const D: usize>(shape: [usize; D], seed: u32) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i as u32 * 2_654_435 + seed * 7919) % 1009) as f32 / 504.5 - 1.0;
    let values: Vec<f32> = (0..count).map(value).collect();
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
}

/// The largest difference relative to the largest expected value.
#[must_use]
pub fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        f64::from(values.fold(0.0_f32, |most, value| most.max(value.abs())))
    };
    let difference = largest(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    assert!(found.iter().all(|value| value.is_finite()));
    difference / largest(&mut expected.iter().copied()).max(1e-12)
}

/// Asserts that numbers differ by less than 1e-5 of the largest.
pub fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3_f32, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let near = (found - expected).abs() <= 1e-5 * largest;
        assert!(near, "{what}: {found} for {expected}, largest {largest}");
    }
}

/// Asserts that a computation gives the same bits on one thread and on three.
pub fn assert_same_on_any_threads(compute: impl Fn() -> Vec<Vec<f32>> + Sync) {
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(&compute)
    });
    let bits =
        |all: &[Vec<f32>]| -> Vec<u32> { all.iter().flatten().map(|x| x.to_bits()).collect() };
    assert_eq!(bits(&one), bits(&three));
}
