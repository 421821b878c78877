//! Gradients of the CPU, on all threads: their sums of squares, and what clipping makes of them.
//!
//! burn squares into new memory, on one thread, and adds several millions of values in an order that depends on which
//! thread is free first: the last digit of a sum differs from run to run.

use burn::prelude::*;
use rayon::prelude::*;

use crate::kernel;
use crate::operation::{flex, tensor};
use crate::vector::{BLOCK, vectorised};

/// Sums that a block is added to in turn.
const LANES: usize = 64;

/// The sum of the squares of a tensor's values, `[1]`, the same on any number of threads.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_kernels::gradient::sum_of_squares;
///
/// let tensor = Tensor::<2>::from_data([[1.0, 2.0], [0.0, -2.0]], &Device::flex());
/// let sum: f32 = sum_of_squares(tensor).into_scalar();
/// assert_eq!(sum, 9.0);
/// ```
///
/// # Panics
///
/// On a tensor that [`takes`](crate::operation::takes) refuses, or with autodiff.
#[must_use]
pub fn sum_of_squares<const D: usize>(gradient: Tensor<D>) -> Tensor<1> {
    let device = gradient.device();
    let gradient = flex(gradient);
    let values: &[f32] = gradient.storage();
    let sum = if values.len() <= BLOCK {
        squares_of(values)
    } else {
        let blocks = values.par_chunks(BLOCK).map(squares_of);
        blocks.collect::<Vec<f64>>().into_iter().sum()
    };
    Tensor::from_data([sum as f32], &device)
}

fn squares_of(block: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    vectorised(add_squares, (&mut lanes, block));
    lanes.into_iter().map(f64::from).sum()
}

kernel! {
    fn add_squares(
        (lanes, values): (&mut [f32; LANES], &[f32])
    ) {
        let (rows, rest) = values.as_chunks::<LANES>();
        for row in rows {
            for (lane, value) in lanes.iter_mut().zip(row) {
                *lane += value * value;
            }
        }
        for (lane, value) in lanes.iter_mut().zip(rest) {
            *lane += value * value;
        }
    }
}

/// A tensor times a number, in its own memory where nobody else holds it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_kernels::gradient::scale;
///
/// let tensor = Tensor::<1>::from_data([1.0, -2.0], &Device::flex());
/// let halves = scale(tensor, 0.5);
/// assert_eq!(halves.into_data().try_to_vec::<f32>().unwrap(), [0.5, -1.0]);
/// ```
///
/// # Panics
///
/// On a tensor that [`takes`](crate::operation::takes) refuses, or with autodiff.
#[must_use]
pub fn scale<const D: usize>(gradient: Tensor<D>, by: f32) -> Tensor<D> {
    in_place(gradient, |values| vectorised(multiply, (values, by)))
}

/// A tensor whose every value is held in `[-most, most]`, in its own memory where nobody else holds it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_kernels::gradient::clamp;
///
/// let tensor = Tensor::<1>::from_data([1.0, -2.0, 0.25], &Device::flex());
/// let held = clamp(tensor, 0.5);
/// assert_eq!(held.into_data().try_to_vec::<f32>().unwrap(), [0.5, -0.5, 0.25]);
/// ```
///
/// # Panics
///
/// On a tensor that [`takes`](crate::operation::takes) refuses, or with autodiff; when `most` is negative or not a number.
#[must_use]
pub fn clamp<const D: usize>(gradient: Tensor<D>, most: f32) -> Tensor<D> {
    assert!(most >= 0.0, "nothing lies between {} and {most}", -most);
    in_place(gradient, |values| vectorised(hold, (values, most)))
}

fn in_place<const D: usize>(
    gradient: Tensor<D>,
    change: impl Fn(&mut [f32]) + Send + Sync,
) -> Tensor<D> {
    let mut gradient = flex(gradient);
    let values: &mut [f32] = gradient.storage_mut();
    if values.len() <= BLOCK {
        change(values);
    } else {
        values.par_chunks_mut(BLOCK).for_each(change);
    }
    tensor(gradient)
}

kernel! {
    fn multiply(
        (values, by): (&mut [f32], f32)
    ) {
        for value in values {
            *value *= by;
        }
    }
}

kernel! {
    fn hold(
        (values, most): (&mut [f32], f32)
    ) {
        for value in values {
            *value = value.clamp(-most, most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        let value = |index: usize| ((index * 7919 % 1000) as f32 - 500.0) / 300.0;
        (0..count).map(value).collect()
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn sums_are_those_of_a_plain_loop_and_of_any_number_of_threads() {
        for count in [0, 1, 63, 64, 1000, BLOCK, BLOCK + 1, 5 * BLOCK + 77] {
            let values = values(count);
            let expected: f64 = values.iter().map(|value| f64::from(value * value)).sum();
            let sum = || {
                let tensor = Tensor::<1>::from_data(values.as_slice(), &Device::flex());
                read(sum_of_squares(tensor))[0]
            };
            let found = sum();
            let error = (f64::from(found) - expected).abs();
            assert!(error <= 1e-5 * expected, "{found} and {expected}");
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                assert_eq!(
                    pool.build().unwrap().install(sum).to_bits(),
                    found.to_bits()
                );
            }
        }
    }

    #[test]
    fn a_transposed_gradient_has_the_same_sum_and_is_changed_value_by_value() {
        let rows = BLOCK / 8;
        let data = TensorData::new(values(16 * rows), [rows, 16]);
        let gradient = Tensor::<2>::from_data(data, &Device::flex()).transpose();
        let whole = read(gradient.clone());
        let sum = read(sum_of_squares(gradient.clone()))[0];
        let expected: f64 = whole.iter().map(|value| f64::from(value * value)).sum();
        assert!((f64::from(sum) - expected).abs() <= 1e-5 * expected);
        let scaled = read(scale(gradient.clone(), -0.25));
        let held = read(clamp(gradient.clone(), 0.75));
        assert_eq!(read(gradient), whole, "what others hold stays");
        for (value, (scaled, held)) in whole.iter().zip(scaled.iter().zip(&held)) {
            assert_eq!((*scaled, *held), (value * -0.25, value.clamp(-0.75, 0.75)));
        }
    }
}
