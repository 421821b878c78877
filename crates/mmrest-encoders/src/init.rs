//! How weights that are not pretrained start: Xavier-normal matrices, PyTorch's default biases.
//!
//! Xavier (Glorot) normal: `std = sqrt(2 / (fan_in + fan_out))`. It is the same whichever way round the matrix is stored.
//! Biases: uniform in `±1 / sqrt(fan_in)`, as `torch.nn.Linear` has them.

use burn::module::{Initializer, Param};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;

/// A parameter of any shape drawn from the Xavier-normal distribution of the given fans.
///
/// Fans follow PyTorch's rule on PyTorch's layout: of a weight `[out, in]`, `fan_in` is `in` and `fan_out` is `out`.
///
/// ```
/// use burn::prelude::*;
/// use mmrest_encoders::init::xavier_normal_init;
///
/// let weight = xavier_normal_init([768, 64], 768, 64, &Device::flex());
/// assert_eq!(weight.val().dims(), [768, 64]);
/// ```
pub fn xavier_normal_init<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    fan_out: usize,
    device: &Device,
) -> Param<Tensor<D>> {
    Initializer::XavierNormal { gain: 1.0 }.init_with(shape, Some(fan_in), Some(fan_out), device)
}

/// A vector of `len` values uniform in `±1 / sqrt(fan_in)`: PyTorch's default bias.
pub fn bias_init(len: usize, fan_in: usize, device: &Device) -> Param<Tensor<1>> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Initializer::Uniform {
        min: -bound,
        max: bound,
    }
    .init([len], device)
}

/// A linear layer `[..., input] -> [..., output]` with [Xavier-normal](xavier_normal_init) weight and
/// [PyTorch's default](bias_init) bias.
///
/// ```
/// use burn::prelude::*;
/// use mmrest_encoders::init::xavier_linear_init;
///
/// let device = Device::flex();
/// let linear = xavier_linear_init(8, 3, &device);
/// assert_eq!(linear.forward(Tensor::<2>::ones([5, 8], &device)).dims(), [5, 3]);
/// ```
pub fn xavier_linear_init(input: usize, output: usize, device: &Device) -> Linear {
    let mut linear = LinearConfig::new(input, output).init(device);
    linear.weight = xavier_normal_init([input, output], input, output, device);
    linear.bias = Some(bias_init(output, input, device));
    linear
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn xavier_has_the_std_of_its_fans() {
        let weight = values(xavier_normal_init([300, 200], 300, 200, &Device::flex()).val());
        let variance = weight.iter().map(|w| f64::from(w * w)).sum::<f64>() / weight.len() as f64;
        let expected = 2.0 / 500.0;
        assert!(
            (variance / expected - 1.0).abs() < 0.05,
            "{variance} {expected}"
        );
    }

    #[test]
    fn biases_stay_within_the_bound() {
        let linear = xavier_linear_init(16, 1000, &Device::flex());
        let bias = values(linear.bias.unwrap().val());
        let largest = bias.iter().fold(0.0f32, |m, b| m.max(b.abs()));
        assert!((0.24..=0.25).contains(&largest), "{largest}");
    }
}
