//! The kernels as operations of burn's backends: `Dispatch` finds the one of a tensor.

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "fusion")]
use burn::prelude::*;

use super::adam;
#[cfg(any(feature = "gpu", feature = "fusion"))]
use super::{attention, layers, lstm};

/// The kernels as operations of burn's backends: run at once, or put in line where kernels are fused.
#[backend_extension(Cube: cfg(feature = "gpu"), Fusion: cfg(feature = "fusion"))]
pub(crate) trait Kernels: Backend {
    /// States of a packed batch and what backward needs; see [`lstm`].
    #[fusion(meta = lstm::outputs)]
    fn lstm_forward(
        gates: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        spans: IntTensor<Self>,
        sequences: usize,
        reverse: bool,
        all: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of the gates' sums; see [`lstm`].
    #[fusion(meta = lstm::slopes)]
    fn lstm_backward(
        tape: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        spans: IntTensor<Self>,
        gradient: FloatTensor<Self>,
        sequences: usize,
        reverse: bool,
        all: bool,
    ) -> FloatTensor<Self>;

    /// Output and sums of attention; see [`attention`].
    #[fusion(meta = attention::outputs)]
    #[allow(
        clippy::too_many_arguments,
        reason = "an operation takes tensors and numbers alone"
    )]
    fn attention_forward(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        tasks: IntTensor<Self>,
        key: FloatTensor<Self>,
        blocks: usize,
        reach: usize,
        heads: usize,
        causal: bool,
        dropout: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// What both sides' gradients need of every query: the logarithm of its sum, and δ.
    #[fusion(dtype = out, shape = Shape::new([sums[0], 2 * sums[1]]))]
    fn attention_stats(
        out: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sums: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// The queries' gradient.
    #[fusion(dtype = queries, shape = queries)]
    #[allow(
        clippy::too_many_arguments,
        reason = "an operation takes tensors and numbers alone"
    )]
    fn attention_queries(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        tasks: IntTensor<Self>,
        key: FloatTensor<Self>,
        blocks: usize,
        reach: usize,
        heads: usize,
        causal: bool,
        dropout: f64,
    ) -> FloatTensor<Self>;

    /// The gradients of keys and values, side by side.
    #[fusion(dtype = keys, shape = Shape::new([keys[0], 2 * keys[1]]))]
    #[allow(
        clippy::too_many_arguments,
        reason = "an operation takes tensors and numbers alone"
    )]
    fn attention_told(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        tasks: IntTensor<Self>,
        key: FloatTensor<Self>,
        blocks: usize,
        reach: usize,
        heads: usize,
        causal: bool,
        dropout: f64,
    ) -> FloatTensor<Self>;

    /// GELU; see [`layers`].
    #[fusion(dtype = x, shape = x)]
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Its gradient.
    #[fusion(dtype = x, shape = x)]
    fn gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Output, normalised rows and scales; see [`layers`].
    #[fusion(meta = layers::outputs)]
    fn norm_forward(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        key: FloatTensor<Self>,
        epsilon: f64,
        dropout: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of the residual and of what is added to it.
    #[fusion(meta = layers::slopes)]
    fn norm_backward(
        gradient: FloatTensor<Self>,
        normal: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        key: FloatTensor<Self>,
        dropout: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of scale and shift, side by side, of some rows each.
    #[fusion(dtype = normal, shape = Shape::new([normal[0].div_ceil(layers::ROWS), 2 * normal[1]]))]
    fn norm_parameters(gradient: FloatTensor<Self>, normal: FloatTensor<Self>)
    -> FloatTensor<Self>;

    /// A step of Adam; see [`adam`].
    #[fusion(meta = adam_outputs)]
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        factors: adam::Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `sums` with the squares of `count` gradients from place `at` on; see [`adam::squares`].
    #[fusion(dtype = sums, shape = sums)]
    #[allow(
        clippy::too_many_arguments,
        reason = "an operation takes tensors and numbers alone"
    )]
    fn squares(
        sums: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        at: usize,
        count: usize,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "gpu")]
impl Kernels for burn_cubecl::CubeBackend {
    fn lstm_forward(
        gates: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        spans: IntTensor<Self>,
        sequences: usize,
        reverse: bool,
        all: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        lstm::kernels::forward(
            gates,
            weight,
            spans,
            [sequences, reverse.into(), all.into()],
        )
    }

    fn lstm_backward(
        tape: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        spans: IntTensor<Self>,
        gradient: FloatTensor<Self>,
        sequences: usize,
        reverse: bool,
        all: bool,
    ) -> FloatTensor<Self> {
        let settings = [sequences, reverse.into(), all.into()];
        lstm::kernels::backward(tape, weight, spans, gradient, settings)
    }

    fn attention_forward(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        tasks: IntTensor<Self>,
        key: FloatTensor<Self>,
        blocks: usize,
        reach: usize,
        heads: usize,
        causal: bool,
        dropout: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let settings = (blocks, reach, heads, causal);
        attention::kernels::forward([queries, keys, values], tasks, key, settings, dropout)
    }

    fn attention_stats(
        out: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sums: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        attention::kernels::stats(out, gradient, sums)
    }

    fn attention_queries(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        tasks: IntTensor<Self>,
        key: FloatTensor<Self>,
        blocks: usize,
        reach: usize,
        heads: usize,
        causal: bool,
        dropout: f64,
    ) -> FloatTensor<Self> {
        let inputs = [queries, keys, values, gradient, stats, tasks, key];
        attention::kernels::queries(inputs, (blocks, reach, heads, causal), dropout)
    }

    fn attention_told(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        tasks: IntTensor<Self>,
        key: FloatTensor<Self>,
        blocks: usize,
        reach: usize,
        heads: usize,
        causal: bool,
        dropout: f64,
    ) -> FloatTensor<Self> {
        let inputs = [queries, keys, values, gradient, stats, tasks, key];
        attention::kernels::told(inputs, (blocks, reach, heads, causal), dropout)
    }

    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        layers::kernels::gelu(x)
    }

    fn gelu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        layers::kernels::gelu_backward(x, gradient)
    }

    fn norm_forward(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        key: FloatTensor<Self>,
        epsilon: f64,
        dropout: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        layers::kernels::norm_forward([residual, x, gamma, beta, key], epsilon, dropout)
    }

    fn norm_backward(
        gradient: FloatTensor<Self>,
        normal: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        key: FloatTensor<Self>,
        dropout: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        layers::kernels::norm_backward([gradient, normal, scales, gamma, key], dropout)
    }

    fn norm_parameters(
        gradient: FloatTensor<Self>,
        normal: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        layers::kernels::norm_parameters(gradient, normal)
    }

    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        factors: adam::Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        adam::kernels::adam([parameter, gradient, first, second], factors)
    }

    fn squares(
        sums: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        at: usize,
        count: usize,
    ) -> FloatTensor<Self> {
        adam::kernels::squares(sums, [a, b, c, d, e, f], at, count)
    }
}

/// What a step of Adam gives: three tensors like the parameter.
#[cfg(feature = "fusion")]
fn adam_outputs(
    parameter: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &adam::Factors,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    (parameter.clone(), parameter.clone(), parameter.clone())
}
