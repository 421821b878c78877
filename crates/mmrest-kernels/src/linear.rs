//! Linear layers of the same rows as one operation.

use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::{FloatDType, module};
use faer::Accum;

use crate::operation::{Input, Tape, apply, input};
use crate::product::{matrix, matrix_mut, product};
use crate::vector::sum_rows;

/// `x W_i + b_i` of every layer, side by side: `[rows, sum of widths]` from `x: [rows, width]`.
///
/// `N`, the number of inputs, is 1 plus twice the number of layers: queries, keys and values of an attention are three
/// layers of the same rows, so `N` is 7.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::prelude::*;
/// use mmrest_kernels::linear::project;
///
/// let device = Device::flex();
/// let [first, second] = [3, 4].map(|width| LinearConfig::new(8, width).init(&device));
/// let x = Tensor::<2>::ones([5, 8], &device);
/// assert_eq!(project::<5>(x, &[&first, &second]).dims(), [5, 7]);
/// ```
///
/// # Panics
///
/// When `N` does not fit the layers, and on tensors that [`takes`](crate::operation::takes) refuses.
#[must_use]
pub fn project<const N: usize>(x: Tensor<2>, layers: &[&Linear]) -> Tensor<2> {
    let [rows, width] = x.dims();
    let widths: Vec<usize> = layers.iter().map(|layer| layer.weight.shape()[1]).collect();
    let device = x.device();
    let parameters: Vec<_> = layers
        .iter()
        .flat_map(|layer| {
            let weight = layer.weight.val();
            let bias = match &layer.bias {
                Some(bias) => bias.val(),
                None => Tensor::zeros([weight.dims()[1]], &device),
            };
            [input(weight), input(bias)]
        })
        .collect();
    let mut all = std::iter::once(input(x)).chain(parameters);
    let inputs: [_; N] = std::array::from_fn(|_| match all.next() {
        Some(input) => input,
        None => panic!("N is one and twice the number of layers"),
    });
    apply(inputs, |inputs, record| {
        let run = Projection {
            inputs,
            rows,
            width,
            widths,
        };
        let total = run.widths.iter().sum();
        (run.forward(total), [rows, total], record.then_some(run))
    })
}

/// `x W + b`, any `[..., width]` to `[..., out]`, with the factors of the product, its result and the gradients of both
/// rounded to `products`; the sum within a product, the weights and what is added to the result keep 32 bits.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::prelude::*;
/// use burn::tensor::FloatDType;
/// use mmrest_kernels::linear::forward_in;
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(8, 4).init(&device);
/// let x = Tensor::<2>::ones([3, 8], &device);
/// let exact = forward_in(&layer, x.clone(), FloatDType::F32);
/// let rounded = forward_in(&layer, x, FloatDType::BF16);
/// let error: f32 = (exact - rounded).abs().max().into_scalar();
/// assert!(error < 0.02);
/// ```
#[must_use]
pub fn forward_in<const D: usize>(layer: &Linear, x: Tensor<D>, products: FloatDType) -> Tensor<D> {
    if products == FloatDType::F32 {
        return layer.forward(x);
    }
    let weight = layer.weight.val().cast(products);
    let product = module::linear(x.cast(products), weight, None).cast(FloatDType::F32);
    match &layer.bias {
        Some(bias) => product + bias.val().unsqueeze(),
        None => product,
    }
}

#[derive(Clone, Debug)]
struct Projection<const N: usize> {
    /// The rows, then weight and bias of each layer.
    inputs: [Input; N],
    rows: usize,
    width: usize,
    widths: Vec<usize>,
}

impl<const N: usize> Projection<N> {
    /// Where each layer's columns start, how many they are, and the layer's weight.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize, &Input)> {
        let starts = self.widths.iter().scan(0, |start, width| {
            let at = *start;
            *start += width;
            Some(at)
        });
        let weights = self.inputs[1..].iter().step_by(2);
        starts
            .zip(&self.widths)
            .zip(weights)
            .map(|((at, width), weight)| (at, *width, weight))
    }

    fn forward(&self, total: usize) -> Vec<f32> {
        let biases: Vec<f32> = self.inputs[2..]
            .iter()
            .step_by(2)
            .flat_map(|bias| bias.values().iter().copied())
            .collect();
        let mut out = Vec::with_capacity(self.rows * total);
        for _ in 0..self.rows {
            out.extend_from_slice(&biases);
        }
        let x = matrix(self.inputs[0].values(), self.rows, self.width);
        for (at, width, weight) in self.blocks() {
            let columns = matrix_mut(&mut out, self.rows, total).subcols_mut(at, width);
            product(
                columns,
                Accum::Add,
                x,
                matrix(weight.values(), self.width, width),
            );
        }
        out
    }
}

impl<const N: usize> Tape<N> for Projection<N> {
    fn backward(self, gradient: &[f32], wanted: [bool; N]) -> [Option<Vec<f32>>; N] {
        let total: usize = self.widths.iter().sum();
        let gradient_rows = matrix(gradient, self.rows, total);
        let x = matrix(self.inputs[0].values(), self.rows, self.width);
        let mut gradients = std::array::from_fn(|_| None);
        if wanted[0] {
            let mut out = vec![0.0; self.rows * self.width];
            for (at, width, weight) in self.blocks() {
                let back = matrix(weight.values(), self.width, width).transpose();
                let columns = gradient_rows.subcols(at, width);
                product(
                    matrix_mut(&mut out, self.rows, self.width),
                    Accum::Add,
                    columns,
                    back,
                );
            }
            gradients[0] = Some(out);
        }
        let sums = sum_rows(gradient, total, 0..total);
        for (index, (at, width, _)) in self.blocks().enumerate() {
            let (weight, bias) = (1 + 2 * index, 2 + 2 * index);
            if wanted[weight] {
                let mut out = vec![0.0; self.width * width];
                product(
                    matrix_mut(&mut out, self.width, width),
                    Accum::Replace,
                    x.transpose(),
                    gradient_rows.subcols(at, width),
                );
                gradients[weight] = Some(out);
            }
            gradients[bias] = wanted[bias].then(|| sums[at..at + width].to_vec());
        }
        gradients
    }
}
