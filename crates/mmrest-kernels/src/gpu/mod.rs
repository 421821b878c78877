//! Kernels of GPUs, in CubeCL, where burn's operations would be thousands of launches.
//!
//! They take and give tensors outside autodiff; [`node`](crate::node) makes operations with a backward pass of them.
//! Every kernel runs on each runtime that burn computes with, and keeps to the limits of WebGPU: eight buffers, 256 units in
//! a cube, and as much shared memory as the device says it has.

pub mod adam;
pub mod attention;
#[cfg(feature = "gpu")]
mod dropout;
pub mod layers;
pub mod lstm;

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

/// Whether a tensor is on a GPU whose kernels are built in, and holds `f32`.
#[must_use]
pub fn takes<const D: usize>(tensor: &Tensor<D>) -> bool {
    on_gpu(&tensor.device()) && tensor.dtype() == DType::F32
}

/// Whether a device is a GPU whose kernels are built in.
#[must_use]
pub fn on_gpu(device: &Device) -> bool {
    #[cfg(feature = "gpu")]
    {
        use burn::backend::DispatchDevice;
        matches!(
            device.clone().inner().as_dispatch(),
            DispatchDevice::Cube(_)
        )
    }
    #[cfg(not(feature = "gpu"))]
    {
        let _ = device;
        false
    }
}

/// Rows of packed sequences, on a GPU: first row and number of rows of each.
#[derive(Clone, Debug)]
pub struct Spans {
    values: Tensor<1, Int>,
    count: usize,
}

impl Spans {
    /// The spans `(first row, rows)`, for kernels on a device.
    #[must_use]
    pub fn new(spans: &[(usize, usize)], device: &Device) -> Self {
        let values = spans
            .iter()
            .flat_map(|&(first, rows)| [first as i32, rows as i32]);
        Self {
            values: integers(values.collect(), device),
            count: spans.len(),
        }
    }
}

/// Whole numbers on a device, outside autodiff.
fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::from(values.as_slice()), &device.clone().inner())
}

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

/// The kernels launched while some work was done, by name. Work of other threads counts too.
#[cfg(feature = "gpu")]
pub fn count_launches<R>(work: impl FnOnce() -> R) -> (R, Vec<(&'static str, usize)>) {
    use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver};
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Default)]
    struct Counts(Mutex<BTreeMap<&'static str, usize>>);

    impl LaunchObserver for Counts {
        fn launched(&self, kernel: &'static str) {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(kernel).or_default() += 1;
        }
    }

    let counts = Arc::new(Counts::default());
    let watching = LaunchObservation::new(counts.clone());
    let result = work();
    drop(watching);
    let counts = counts.0.lock().unwrap_or_else(PoisonError::into_inner);
    (
        result,
        counts.iter().map(|(name, count)| (*name, *count)).collect(),
    )
}

/// What the launches of several kernels share.
#[cfg(feature = "gpu")]
mod launch {
    use burn::backend::TensorMetadata;
    use burn::tensor::{DType, Shape};
    use burn_cubecl::cubecl::client::Client;
    use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim};
    use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
    use burn_cubecl::tensor::CubeTensor;

    /// A tensor for a kernel's results, on the device of another.
    pub(super) fn empty<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
        let (client, device) = (like.client.clone(), like.device.clone());
        empty_device_contiguous_dtype(client, device, Shape::new(shape), DType::F32)
    }

    /// A tensor for a kernel's results, of the shape of another and on its device.
    pub(super) fn alike(like: &CubeTensor) -> CubeTensor {
        let (client, device) = (like.client.clone(), like.device.clone());
        empty_device_contiguous_dtype(client, device, like.shape(), DType::F32)
    }

    /// At most `wanted` units in a row, in whole groups of 32, and no more than the device allows.
    pub(super) fn units(client: &Client, wanted: usize) -> CubeDim {
        let most = client.properties().hardware.max_units_per_cube;
        let most = most.min(client.properties().hardware.max_cube_dim.0).max(1);
        CubeDim::new_1d((wanted.next_multiple_of(32) as u32).min(most))
    }

    /// A cube for each of `count` tasks, in two dimensions where one does not hold them: there may be more.
    pub(super) fn cubes(count: usize) -> CubeCount {
        const ROW: usize = 1 << 15;
        let rows = count.div_ceil(ROW).max(1);
        CubeCount::Static(count.clamp(1, ROW) as u32, rows as u32, 1)
    }

    /// How many values of shared memory a cube of the device has.
    pub(super) fn shared_values(client: &Client) -> usize {
        client.properties().hardware.max_shared_memory_size / size_of::<f32>()
    }
}
