//! How weights that are not pretrained start: Xavier-normal, or PyTorch's default.
//!
//! | name | weight `[out, in]` | bias |
//! |---|---|---|
//! | [Xavier (Glorot) normal](xavier_normal_init) | normal, `std = sqrt(2 / (fan_in + fan_out))` | as PyTorch's |
//! | [Xavier (Glorot) uniform](xavier_uniform_init) | uniform in `±sqrt(6 / (fan_in + fan_out))` | |
//! | [PyTorch's default](pytorch_linear_init) | uniform in `±1 / sqrt(fan_in)` | uniform in `±1 / sqrt(fan_in)` |
//!
//! The fans are PyTorch's whichever way round the matrix is stored. For `torch.nn.LSTM` the hidden size takes the place of
//! `fan_in`, for weights and biases alike.

use burn::module::{Initializer, Param};
use burn::nn::Linear;
use burn::prelude::*;

/// How the weights of a layer start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightInit {
    /// Xavier-normal.
    #[default]
    XavierNormal,
    /// PyTorch's default: uniform, as the layer's biases.
    PyTorch,
}

impl WeightInit {
    /// A linear layer `[..., input] -> [..., output]` that starts so.
    #[must_use]
    pub fn linear(self, input: usize, output: usize, device: &Device) -> Linear {
        match self {
            Self::XavierNormal => xavier_linear_init(input, output, device),
            Self::PyTorch => pytorch_linear_init(input, output, device),
        }
    }
}

/// A parameter of any shape drawn from the Xavier-normal distribution of the given fans.
///
/// Fans follow PyTorch's rule on PyTorch's layout: of a weight `[out, in]`, `fan_in` is `in` and `fan_out` is `out`.
///
/// ```
/// use burn::prelude::*;
/// use mmrest_kernels::init::xavier_normal_init;
///
/// let weight = xavier_normal_init([768, 64], 768, 64, &Device::flex());
/// assert_eq!(weight.val().dims(), [768, 64]);
/// ```
#[must_use]
pub fn xavier_normal_init<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    fan_out: usize,
    device: &Device,
) -> Param<Tensor<D>> {
    Initializer::XavierNormal { gain: 1.0 }.init_with(shape, Some(fan_in), Some(fan_out), device)
}

/// A parameter of any shape, uniform in `±sqrt(6 / (fan_in + fan_out))`: Xavier (Glorot) uniform of the given fans.
#[must_use]
pub fn xavier_uniform_init<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    fan_out: usize,
    device: &Device,
) -> Param<Tensor<D>> {
    Initializer::XavierUniform { gain: 1.0 }.init_with(shape, Some(fan_in), Some(fan_out), device)
}

/// A parameter of any shape, uniform in `±1 / sqrt(fan_in)`: PyTorch's default of linear layers, and of an LSTM with its
/// hidden size as `fan_in`.
#[must_use]
pub fn uniform_init<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    device: &Device,
) -> Param<Tensor<D>> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Initializer::Uniform {
        min: -bound,
        max: bound,
    }
    .init(shape, device)
}

/// A linear layer `[..., input] -> [..., output]` with [Xavier-normal](xavier_normal_init) weight and PyTorch's default
/// bias.
///
/// ```
/// use burn::prelude::*;
/// use mmrest_kernels::init::xavier_linear_init;
///
/// let device = Device::flex();
/// let linear = xavier_linear_init(8, 3, &device);
/// assert_eq!(linear.forward(Tensor::<2>::ones([5, 8], &device)).dims(), [5, 3]);
/// ```
#[must_use]
pub fn xavier_linear_init(input: usize, output: usize, device: &Device) -> Linear {
    Linear {
        weight: xavier_normal_init([input, output], input, output, device),
        bias: Some(uniform_init([output], input, device)),
    }
}

/// A linear layer `[..., input] -> [..., output]` as `torch.nn.Linear` starts it: weight and bias uniform in
/// `±1 / sqrt(input)`.
///
/// ```
/// use burn::prelude::*;
/// use mmrest_kernels::init::pytorch_linear_init;
///
/// let linear = pytorch_linear_init(16, 100, &Device::flex());
/// let largest: f32 = linear.weight.val().abs().max().into_scalar();
/// assert!((0.24..=0.25).contains(&largest));
/// ```
#[must_use]
pub fn pytorch_linear_init(input: usize, output: usize, device: &Device) -> Linear {
    Linear {
        weight: uniform_init([input, output], input, device),
        bias: Some(uniform_init([output], input, device)),
    }
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
