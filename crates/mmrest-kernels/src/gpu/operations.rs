//! The kernels as operations of burn's backends: `Dispatch` finds the one of a tensor.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "fusion")]
use burn::prelude::*;

use super::attention::{Sides, Walk};
use super::lstm::Reading;
use super::many::Tensors;
use super::{adam, many};
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
        reading: Reading,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of the gates' sums; see [`lstm`].
    #[fusion(dtype = tape, shape = Shape::new([tape[0], weight[0]]))]
    fn lstm_backward(
        tape: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        spans: IntTensor<Self>,
        gradient: FloatTensor<Self>,
        sequences: usize,
        reading: Reading,
    ) -> FloatTensor<Self>;

    /// Output and sums of attention; see [`attention`].
    #[fusion(meta = |sides, walk| attention::outputs(&sides.queries, walk))]
    fn attention_forward(
        #[extension_type] sides: Sides<Self>,
        walk: Walk,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// What both sides' gradients need of every query: the logarithm of its sum, and δ.
    #[fusion(dtype = out, shape = Shape::new([sums[0], 2 * sums[1]]))]
    fn attention_stats(
        out: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sums: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// The queries' gradient.
    #[fusion(meta = |sides, _gradient, _stats, _walk| sides.queries.clone())]
    fn attention_queries(
        #[extension_type] sides: Sides<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        walk: Walk,
    ) -> FloatTensor<Self>;

    /// The gradients of keys and values, side by side.
    #[fusion(meta = |sides, _gradient, _stats, _walk| attention::both(&sides.keys))]
    fn attention_told(
        #[extension_type] sides: Sides<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        walk: Walk,
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

    /// Steps of Adam: new parameters and moments; see [`adam`].
    #[fusion(meta = |parameters, _gradients, _firsts, _seconds, _factors| {
        (parameters.clone(), parameters.clone(), parameters.clone())
    })]
    fn adam(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] firsts: Tensors<Self>,
        #[extension_type] seconds: Tensors<Self>,
        factors: adam::Factors,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>);

    /// Sums of squares; see [`many`].
    #[fusion(meta = |tensors| many::sums(tensors))]
    fn squares(#[extension_type] tensors: Tensors<Self>) -> FloatTensor<Self>;

    /// Sums of multiples, and what is held within bounds; see [`many`].
    #[fusion(meta = |own, _others, _by| own.clone())]
    fn combine(
        #[extension_type] own: Tensors<Self>,
        #[extension_type] others: Tensors<Self>,
        by: many::Combination,
    ) -> Tensors<Self>;
}

#[cfg(feature = "gpu")]
impl Kernels for burn_cubecl::CubeBackend {
    fn lstm_forward(
        gates: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        spans: IntTensor<Self>,
        sequences: usize,
        reading: Reading,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        lstm::kernels::forward([gates, weight, spans], sequences, reading)
    }

    fn lstm_backward(
        tape: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        spans: IntTensor<Self>,
        gradient: FloatTensor<Self>,
        sequences: usize,
        reading: Reading,
    ) -> FloatTensor<Self> {
        lstm::kernels::backward([tape, weight, spans, gradient], sequences, reading)
    }

    fn attention_forward(sides: Sides<Self>, walk: Walk) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::kernels::forward(sides, walk)
    }

    fn attention_stats(
        out: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        sums: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        attention::kernels::stats(out, gradient, sums)
    }

    fn attention_queries(
        sides: Sides<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        walk: Walk,
    ) -> FloatTensor<Self> {
        attention::kernels::queries(sides, [gradient, stats], walk)
    }

    fn attention_told(
        sides: Sides<Self>,
        gradient: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        walk: Walk,
    ) -> FloatTensor<Self> {
        attention::kernels::told(sides, [gradient, stats], walk)
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
        parameters: Tensors<Self>,
        gradients: Tensors<Self>,
        firsts: Tensors<Self>,
        seconds: Tensors<Self>,
        factors: adam::Factors,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        let lists = [parameters, gradients, firsts, seconds].map(|list| list.0);
        let [parameters, firsts, seconds] = adam::kernels::adam(lists, factors).map(Tensors);
        (parameters, firsts, seconds)
    }

    fn squares(tensors: Tensors<Self>) -> FloatTensor<Self> {
        many::kernels::squares(tensors.0)
    }

    fn combine(own: Tensors<Self>, others: Tensors<Self>, by: many::Combination) -> Tensors<Self> {
        Tensors(many::kernels::combine(own.0, others.0, by))
    }
}
