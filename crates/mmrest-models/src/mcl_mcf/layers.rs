//! MCL-MCF's layers: linear layers that are stored as convolutions, contrasts, and convolutions of outer products.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Tensor};
use mmrest_encoders::init::{WeightInit, uniform_init, xavier_normal_init};

use crate::counts::{linear, sum};
use crate::mmim::layers::unit;

/// A linear layer that the published code stores as a convolution over one position.
#[derive(Module, Debug)]
pub struct Pointwise {
    /// `[out, in, 1]`.
    pub weight: Param<Tensor<3>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Pointwise {
    pub(super) fn init(input: usize, output: usize, device: &Device) -> Self {
        Self {
            weight: xavier_normal_init([output, input, 1], input, output, device),
            bias: uniform_init([output], input, device),
        }
    }

    /// `[batch, out]` from `x: [batch, in]`.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight: Tensor<2> = self.weight.val().squeeze_dim(2);
        x.matmul(weight.transpose()) + self.bias.val().unsqueeze()
    }
}

/// Contrasts two representations of the same segments.
///
/// ```text
/// x' = (U x + u) / |U x + u|     y' = V (y / |y|) + v     logits = scale x'_i . y'_j
/// ```
///
/// y is normalised before its projection, as published, so that the product is no cosine. The loss is the mean of the two
/// cross-entropies, of rows and of columns, whose target is the diagonal.
#[derive(Module, Debug)]
pub struct Contrast {
    /// U, `[x] -> [P]`.
    pub of_x: Linear,
    /// V, `[y] -> [P]`.
    pub of_y: Linear,
}

impl Contrast {
    pub(super) fn init(x: usize, y: usize, width: usize, device: &Device) -> Self {
        let linear = |inputs| WeightInit::XavierNormal.linear(inputs, width, device);
        Self {
            of_x: linear(x),
            of_y: linear(y),
        }
    }

    pub(super) fn parameter_count(x: usize, y: usize, width: usize) -> u128 {
        sum([linear(x, width), linear(y, width)])
    }

    /// The loss, `[1]`.
    pub(super) fn loss(&self, x: Tensor<2>, y: Tensor<2>, scale: f64) -> Tensor<1> {
        let x = unit(self.of_x.forward(x));
        let y = self.of_y.forward(unit(y));
        let batch = x.dims()[0];
        let logits = x.matmul(y.transpose()) * scale;
        let both = log_softmax(logits.clone(), 0) + log_softmax(logits, 1);
        let diagonal = Tensor::<2>::eye(batch, &both.device());
        -(both * diagonal).sum() / (2.0 * batch as f64)
    }
}

/// Three 3x3 convolutions of an outer product, 1 to 4 to 6 to 1 channels, each followed by ReLU.
#[derive(Module, Debug)]
pub struct TensorConvolution {
    /// To 4 channels.
    pub first: Conv2d,
    /// To 6 channels.
    pub second: Conv2d,
    /// To 1 channel.
    pub third: Conv2d,
}

impl TensorConvolution {
    /// Parameters of the three convolutions.
    pub(super) const PARAMETERS: u128 = (4 * 9 + 4) + (6 * 4 * 9 + 6) + (6 * 9 + 1);

    pub(super) fn init(device: &Device) -> Self {
        let layer = |input: usize, output: usize| {
            let config = Conv2dConfig::new([input, output], [3, 3]);
            let mut layer = config.with_padding(PaddingConfig2d::Valid).init(device);
            let shape = [output, input, 3, 3];
            layer.weight = xavier_normal_init(shape, 9 * input, 9 * output, device);
            layer.bias = Some(uniform_init([output], 9 * input, device));
            layer
        };
        Self {
            first: layer(1, 4),
            second: layer(4, 6),
            third: layer(6, 1),
        }
    }

    /// `[batch, (S - 6)^2]` from rows of `[batch, S]`.
    pub(super) fn forward(&self, x: Tensor<2>, y: Tensor<2>, last_relu: bool) -> Tensor<2> {
        let products: Tensor<3> = x.unsqueeze_dim::<3>(2) * y.unsqueeze_dim::<3>(1);
        let picture = relu(self.first.forward(products.unsqueeze_dim(1)));
        let picture = self.third.forward(relu(self.second.forward(picture)));
        let picture = if last_relu { relu(picture) } else { picture };
        picture.flatten(1, 3)
    }
}
