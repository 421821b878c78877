//! Every operation against burn's own operations: values, and the gradients of all inputs.
#![allow(clippy::unwrap_used)]

use burn::backend::DispatchTensor;
use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor, TensorData, activation};
use mmrest_kernels::activation::gelu;
use mmrest_kernels::dropout::{Mask, dropout};
use mmrest_kernels::linear::project;
use mmrest_kernels::node;
use mmrest_kernels::norm::residual_norm;
use mmrest_testing::{assert_near, assert_same_on_any_threads, host, leaf};

/// The output, and the gradients of the inputs, of a loss that weighs every value differently.
fn results(output: Tensor<2>, inputs: &[&Tensor<2>], vectors: &[&Tensor<1>]) -> Vec<Vec<f32>> {
    let weights = leaf(output.dims(), 99).detach();
    let gradients = (output.clone() * weights).sum().backward();
    let mut all = vec![host(output)];
    all.extend(inputs.iter().map(|x| host(x.grad(&gradients).unwrap())));
    all.extend(vectors.iter().map(|x| host(x.grad(&gradients).unwrap())));
    all
}

fn assert_all_near(found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_near(found, expected, what);
    }
}

/// A layer whose parameters are leaves of their own.
fn layer(input: usize, output: usize, seed: u32) -> Linear {
    Linear {
        weight: Param::from_tensor(leaf([input, output], seed)),
        bias: Some(Param::from_tensor(leaf([output], seed + 1))),
    }
}

#[test]
fn a_projection_is_the_layers_side_by_side() {
    for [rows, width, first, second] in [[1, 1, 1, 1], [70, 33, 5, 64], [300, 128, 17, 96]] {
        let run = |fused: bool| {
            let x = leaf([rows, width], 1);
            let layers = [layer(width, first, 2), layer(width, second, 4)];
            let output = if fused {
                project::<5>(x.clone(), &[&layers[0], &layers[1]])
            } else {
                let both = layers.each_ref().map(|layer| layer.forward(x.clone()));
                Tensor::cat(both.to_vec(), 1)
            };
            let weights = layers.each_ref().map(|layer| layer.weight.val());
            let biases = layers.map(|layer| layer.bias.unwrap().val());
            results(
                output,
                &[&x, &weights[0], &weights[1]],
                &[&biases[0], &biases[1]],
            )
        };
        assert_all_near(&run(true), &run(false), "projection");
    }
    assert_same_on_any_threads(|| {
        let (x, layer) = (leaf([300, 128], 1), layer(128, 96, 2));
        let output = project::<3>(x.clone(), &[&layer]);
        results(output, &[&x, &layer.weight.val()], &[])
    });
}

fn norm(width: usize) -> LayerNorm {
    let mut norm = LayerNormConfig::new(width).init(&Device::flex().autodiff());
    norm.gamma = Param::from_tensor(leaf([width], 7));
    norm.beta = Some(Param::from_tensor(leaf([width], 8)));
    norm
}

#[test]
fn a_residual_norm_is_the_sum_and_the_norm() {
    for [rows, width] in [[1, 5], [65, 24], [200, 50]] {
        let run = |fused: bool| {
            let (residual, x, norm) = (leaf([rows, width], 1), leaf([rows, width], 2), norm(width));
            let output = if fused {
                residual_norm(residual.clone(), x.clone(), None, &norm, 1e-5)
            } else {
                norm.forward(residual.clone() + x.clone())
            };
            let (gamma, beta) = (norm.gamma.val(), norm.beta.unwrap().val());
            results(output, &[&residual, &x], &[&gamma, &beta])
        };
        assert_all_near(&run(true), &run(false), "norm");
    }
}

#[test]
fn gelu_is_burns() {
    let run = |fused: bool| {
        let x = leaf([130, 150], 3);
        let wide = x.clone().mul_scalar(4.0);
        let output = if fused {
            gelu(wide)
        } else {
            activation::gelu(wide)
        };
        results(output, &[&x], &[])
    };
    assert_all_near(&run(true), &run(false), "gelu");
}

#[test]
fn dropout_passes_the_gradients_of_what_it_keeps() {
    let device = Device::flex().autodiff();
    let config = burn::nn::DropoutConfig::new(0.25).init();
    let mask = Mask::draw(&config, &device);
    let x = leaf([40, 30], 5);
    let ones = Tensor::<2>::ones([40, 30], &device);
    let factors = dropout(ones, mask); // 0, or 1 / (1 - p)
    let kept = host(factors.clone());
    assert!(
        kept.iter()
            .all(|&k| k == 0.0 || (k - 4.0 / 3.0).abs() < 1e-6)
    );
    let found = results(dropout(x.clone(), mask), &[&x], &[]);
    let y = leaf([40, 30], 5);
    let expected = results(y.clone() * factors, &[&y], &[]);
    assert_all_near(&found, &expected, "dropout");
    assert_eq!(host(dropout(x.clone(), None)), host(x));
}

/// A product of matrices written with tensors.
#[derive(Clone, Debug)]
struct TensorProduct([Tensor<2>; 2]);

impl node::Tape<2> for TensorProduct {
    fn backward(self, gradient: DispatchTensor, wanted: [bool; 2]) -> [Option<DispatchTensor>; 2] {
        let gradient = Tensor::<2>::from_dispatch(gradient);
        let [a, b] = self.0;
        [
            wanted[0].then(|| gradient.clone().matmul(b.transpose()).into_dispatch()),
            wanted[1].then(|| a.transpose().matmul(gradient).into_dispatch()),
        ]
    }
}

fn product_of_tensors(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    node::apply([a.into_dispatch(), b.into_dispatch()], |inputs| {
        let [a, b] = inputs.map(Tensor::<2>::from_dispatch);
        assert!(!a.device().is_autodiff() && !b.device().is_autodiff());
        (a.clone().matmul(b.clone()), TensorProduct([a, b]))
    })
}

#[test]
fn a_node_of_tensors_has_the_gradients_that_burn_has() {
    let device = Device::flex().autodiff();
    let values = |rows: usize, columns: usize, device: &Device| {
        let values = (0..rows * columns).map(|at| (at as f32).sin()).collect();
        Tensor::<2>::from_data(TensorData::new::<f32, _>(values, [rows, columns]), device)
    };
    let read = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().unwrap();
    let gradients = |product: &dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
        let (a, b) = (
            values(3, 4, &device).require_grad(),
            values(4, 2, &device).require_grad(),
        );
        // What the node gives goes on, and so does what it got.
        let loss = (product(a.clone(), b.clone()) * values(3, 2, &device)).sum()
            + a.clone().square().sum();
        let gradients = loss.backward();
        [a, b].map(|tensor| read(tensor.grad(&gradients).unwrap()))
    };
    let own = gradients(&product_of_tensors);
    assert_eq!(own, gradients(&|a, b| a.matmul(b)));
    // One input is a constant, or from outside autodiff.
    for constant in [values(3, 4, &device), values(3, 4, &Device::flex())] {
        let b = values(4, 2, &device).require_grad();
        let found = product_of_tensors(constant, b.clone()).sum().backward();
        let expected = values(3, 4, &device).matmul(b.clone()).sum().backward();
        assert_eq!(
            read(b.grad(&found).unwrap()),
            read(b.grad(&expected).unwrap())
        );
    }
    // Nothing is tracked, and nothing is with autodiff.
    for device in [device, Device::flex()] {
        let product = product_of_tensors(values(3, 4, &device), values(4, 2, &device));
        let expected = values(3, 4, &device).matmul(values(4, 2, &device));
        assert_eq!(product.device(), device);
        assert_eq!(read(product), read(expected));
    }
}
