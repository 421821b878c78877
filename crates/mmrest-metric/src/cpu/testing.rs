//! What the tests of the operations share.

use burn::tensor::{Device, Tensor, TensorData};

/// A tracked tensor of numbers between -1 and 1, without any symmetry.
pub(crate) fn leaf<const D: usize>(shape: [usize; D], seed: u32) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i as u32 * 2_654_435 + seed * 7919) % 1009) as f32 / 504.5 - 1.0;
    let values: Vec<f32> = (0..count).map(value).collect();
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
}

pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Asserts that numbers differ by less than 1e-5 of the largest.
pub(crate) fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3_f32, |most, x| most.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let near = (found - expected).abs() <= 1e-5 * largest;
        assert!(near, "{what}: {found} for {expected}, largest {largest}");
    }
}

/// Asserts that a computation gives the same bits on one thread and on three.
pub(crate) fn assert_same_on_any_threads(compute: impl Fn() -> Vec<Vec<f32>> + Sync) {
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(&compute)
    });
    let bits =
        |all: &[Vec<f32>]| -> Vec<u32> { all.iter().flatten().map(|x| x.to_bits()).collect() };
    assert_eq!(bits(&one), bits(&three));
}
