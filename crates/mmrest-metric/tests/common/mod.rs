//! Golden files, and how numbers are compared.
#![allow(unreachable_pub, reason = "a module of each test file")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors};

/// Tensors of one file under `tests/golden` of the workspace.
pub struct Golden {
    bytes: Vec<u8>,
}

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(name)
}

/// Parameters and figures by file name.
pub fn meta() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path("meta.json")).unwrap()).unwrap()
}

impl Golden {
    pub fn open(name: &str) -> Self {
        Self {
            bytes: std::fs::read(path(name)).unwrap(),
        }
    }

    /// Shape and values; integers become f32.
    pub fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(name).unwrap();
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => words(data, f32::from_le_bytes),
            Dtype::F64 => words(data, |b| f64::from_le_bytes(b) as f32),
            Dtype::I32 => words(data, |b| i32::from_le_bytes(b) as f32),
            Dtype::I64 => words(data, |b| i64::from_le_bytes(b) as f32),
            other => panic!("{name} is {other:?}"),
        };
        (view.shape().to_vec(), values)
    }

    pub fn f32s(&self, name: &str) -> Vec<f32> {
        self.values(name).1
    }

    pub fn indices(&self, name: &str) -> Vec<usize> {
        self.f32s(name)
            .iter()
            .map(|&value| value as usize)
            .collect()
    }

    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

fn words<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|word| read(*word))
        .collect()
}

pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The largest difference relative to the largest expected value.
pub fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        f64::from(values.fold(0.0_f32, |a, b| a.max(b.abs())))
    };
    let difference = largest(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    assert!(found.iter().all(|value| value.is_finite()));
    difference / largest(&mut expected.iter().copied()).max(1e-12)
}
