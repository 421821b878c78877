//! What stands between the products of a transformer's layer, as one kernel each: GELU, and
//! `LayerNorm(residual + dropout(x))`; and back. Formulas as in [`activation`](crate::activation) and [`norm`](crate::norm).
//!
//! burn has GELU as five operations, and takes its derivative from the approximation by tanh, which is another function.

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::{Dispatch, DispatchTensor};
use burn::nn::{Dropout, LayerNorm};
use burn::prelude::*;

use super::Kernels;
use super::attention::draw_key;
use crate::node::{Tape, apply};

/// `x Φ(x)` value by value, with Φ the normal distribution.
///
/// # Panics
///
/// On a tensor that [`takes`](super::takes) refuses.
#[must_use]
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    apply([x.into_dispatch()], |[x]| {
        let out = <Dispatch as Kernels>::gelu(x.clone());
        (
            Tensor::from_dispatch(out),
            Gelu(Tensor::<D>::from_dispatch(x)),
        )
    })
}

#[derive(Clone, Debug)]
struct Gelu<const D: usize>(Tensor<D>);

impl<const D: usize> Tape<1> for Gelu<D> {
    fn backward(self, gradient: DispatchTensor, _: [bool; 1]) -> [Option<DispatchTensor>; 1] {
        let x = self.0.into_dispatch();
        [Some(<Dispatch as Kernels>::gelu_backward(x, gradient))]
    }
}

/// `LayerNorm(residual + dropout(x))` row by row, `[rows, width]`; `epsilon` is that of the norm. Dropout acts under the
/// conditions of [`Dropout::forward`].
///
/// # Panics
///
/// On shapes that do not fit, and tensors that [`takes`](super::takes) refuses.
#[must_use]
pub fn residual_norm(
    residual: Tensor<2>,
    x: Tensor<2>,
    dropout: &Dropout,
    norm: &LayerNorm,
    epsilon: f64,
) -> Tensor<2> {
    let [_, width] = x.dims();
    let device = x.device();
    let drops = dropout.training.is_enabled() && device.is_autodiff();
    let prob = if drops { dropout.prob } else { 0.0 };
    let gamma = norm.gamma.val();
    let beta = match &norm.beta {
        Some(beta) => beta.val(),
        None => Tensor::zeros([width], &device),
    };
    let inputs = [
        residual.into_dispatch(),
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
    ];
    apply(inputs, |[residual, x, gamma, beta]| {
        // Not looked at without dropout.
        let key = if prob > 0.0 {
            draw_key(&device).into_dispatch()
        } else {
            beta.clone()
        };
        let (out, normal, scales) = <Dispatch as Kernels>::norm_forward(
            residual,
            x,
            gamma.clone(),
            beta,
            key.clone(),
            epsilon,
            prob,
        );
        let run = Norm {
            normal: Tensor::from_dispatch(normal),
            scales: Tensor::from_dispatch(scales),
            gamma: Tensor::from_dispatch(gamma),
            key: Tensor::from_dispatch(key),
            prob,
        };
        (Tensor::from_dispatch(out), run)
    })
}

/// What the forward pass keeps: rows with mean 0 and variance 1, the inverse of the deviation they had, and the mask's key.
#[derive(Clone, Debug)]
struct Norm {
    normal: Tensor<2>,
    scales: Tensor<1>,
    gamma: Tensor<1>,
    key: Tensor<1>,
    prob: f64,
}

impl Tape<4> for Norm {
    fn backward(self, gradient: DispatchTensor, wanted: [bool; 4]) -> [Option<DispatchTensor>; 4] {
        let width = self.gamma.dims()[0];
        let normal = self.normal.into_dispatch();
        let (residual, x) = <Dispatch as Kernels>::norm_backward(
            gradient.clone(),
            normal.clone(),
            self.scales.into_dispatch(),
            self.gamma.into_dispatch(),
            self.key.into_dispatch(),
            self.prob,
        );
        let parameters = (wanted[2] || wanted[3]).then(|| {
            let sums = <Dispatch as Kernels>::norm_parameters(gradient, normal);
            let sums = Tensor::<2>::from_dispatch(sums)
                .sum_dim(0)
                .squeeze_dim::<1>(0);
            [0, width].map(|first| sums.clone().narrow(0, first, width).into_dispatch())
        });
        let [gamma, beta] = match parameters {
            Some(both) => both.map(Some),
            None => [None, None],
        };
        [Some(residual), Some(x), gamma, beta]
    }
}

/// What the forward kernel of the norm gives.
#[cfg(feature = "fusion")]
pub(super) fn outputs(
    residual: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &f64,
    _: &f64,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    let scales = TensorSpec::new(Shape::new([residual.shape[0]]), residual.dtype);
    (residual.clone(), residual.clone(), scales)
}

/// What the backward kernel of the norm gives.
#[cfg(feature = "fusion")]
pub(super) fn slopes(
    gradient: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &f64,
) -> (TensorSpec, TensorSpec) {
    (gradient.clone(), gradient.clone())
}

/// Rows whose gradients of scale and shift a unit adds up.
#[cfg(feature = "gpu")]
pub(super) const ROWS: usize = 32;

#[cfg(feature = "gpu")]
pub(super) mod kernels {
    use burn::backend::TensorMetadata;
    use burn_cubecl::cubecl::prelude::*;
    use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
    use burn_cubecl::kernel::into_contiguous;
    use burn_cubecl::tensor::CubeTensor;

    use super::ROWS;
    use crate::gpu::dropout::{factor, mask};
    use crate::gpu::launch::{alike, cubes, empty, total, units};

    /// Units of a cube that share a row; a power of 2.
    const UNITS: usize = 64;

    /// `1 / sqrt(2)`, and `1 / sqrt(2 π)`.
    const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
    const DENSITY: f32 = 0.398_942_3;

    pub(in super::super) fn gelu(x: CubeTensor) -> CubeTensor {
        let x = into_contiguous(x);
        let (client, out) = (x.client.clone(), alike(&x));
        let dim = units(&client, 256);
        let count = calculate_cube_count_elemwise(&client, x.shape().num_elements(), dim);
        gelu_forward::launch(
            &client,
            count,
            dim,
            x.into_tensor_arg(),
            out.clone().into_tensor_arg(),
        );
        out
    }

    pub(in super::super) fn gelu_backward(x: CubeTensor, gradient: CubeTensor) -> CubeTensor {
        let [x, gradient] = [x, gradient].map(into_contiguous);
        let (client, out) = (x.client.clone(), alike(&x));
        let dim = units(&client, 256);
        let count = calculate_cube_count_elemwise(&client, x.shape().num_elements(), dim);
        gelu_slopes::launch(
            &client,
            count,
            dim,
            x.into_tensor_arg(),
            gradient.into_tensor_arg(),
            out.clone().into_tensor_arg(),
        );
        out
    }

    pub(in super::super) fn norm_forward(
        inputs: [CubeTensor; 5],
        epsilon: f64,
        prob: f64,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [residual, x, gamma, beta, key] = inputs.map(into_contiguous);
        let [rows, width] = x.shape().dims();
        let (out, normal, scales) = (alike(&x), alike(&x), empty(&x, [rows]));
        let (dropped, threshold, kept) = mask(prob);
        let client = x.client.clone();
        norm_rows::launch(
            &client,
            cubes(rows),
            CubeDim::new_1d(UNITS as u32),
            residual.into_tensor_arg(),
            x.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            key.into_tensor_arg(),
            out.clone().into_tensor_arg(),
            normal.clone().into_tensor_arg(),
            scales.clone().into_tensor_arg(),
            rows as u32,
            epsilon as f32,
            threshold,
            kept,
            width,
            dropped,
        );
        (out, normal, scales)
    }

    pub(in super::super) fn norm_backward(
        inputs: [CubeTensor; 5],
        prob: f64,
    ) -> (CubeTensor, CubeTensor) {
        let [gradient, normal, scales, gamma, key] = inputs.map(into_contiguous);
        let [rows, width] = normal.shape().dims();
        let (residual, x) = (alike(&normal), alike(&normal));
        let (dropped, threshold, kept) = mask(prob);
        let client = normal.client.clone();
        norm_slopes::launch(
            &client,
            cubes(rows),
            CubeDim::new_1d(UNITS as u32),
            gradient.into_tensor_arg(),
            normal.into_tensor_arg(),
            scales.into_tensor_arg(),
            gamma.into_tensor_arg(),
            key.into_tensor_arg(),
            residual.clone().into_tensor_arg(),
            x.clone().into_tensor_arg(),
            rows as u32,
            threshold,
            kept,
            width,
            dropped,
        );
        (residual, x)
    }

    pub(in super::super) fn norm_parameters(
        gradient: CubeTensor,
        normal: CubeTensor,
    ) -> CubeTensor {
        let [gradient, normal] = [gradient, normal].map(into_contiguous);
        let [rows, width] = normal.shape().dims();
        let blocks = rows.div_ceil(ROWS);
        let sums = empty(&normal, [blocks, 2 * width]);
        let client = normal.client.clone();
        norm_sums::launch(
            &client,
            CubeCount::Static(width.div_ceil(UNITS) as u32, blocks as u32, 1),
            CubeDim::new_1d(UNITS as u32),
            gradient.into_tensor_arg(),
            normal.into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            rows as u32,
            width,
        );
        sums
    }

    /// The share of the normal distribution below a value.
    #[cube]
    fn below<F: Float>(x: F) -> F {
        F::new(0.5) * (F::new(1.0) + (x * F::new(ROOT_HALF)).erf())
    }

    #[cube(launch)]
    fn gelu_forward(x: &Tensor<f32>, out: &mut Tensor<f32>) {
        let at = ABSOLUTE_POS;
        if at < out.len() {
            out[at] = x[at] * below::<f32>(x[at]);
        }
    }

    #[cube(launch)]
    fn gelu_slopes(x: &Tensor<f32>, gradient: &Tensor<f32>, out: &mut Tensor<f32>) {
        let at = ABSOLUTE_POS;
        if at < out.len() {
            let density = DENSITY * (-0.5f32 * x[at] * x[at]).exp();
            out[at] = gradient[at] * (below::<f32>(x[at]) + x[at] * density);
        }
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
    fn norm_rows(
        residual: &Tensor<f32>,   // [rows, width]
        x: &Tensor<f32>,          // [rows, width]
        gamma: &Tensor<f32>,      // [width]
        beta: &Tensor<f32>,       // [width]
        key: &Tensor<f32>,        // [4]
        out: &mut Tensor<f32>,    // [rows, width]
        normal: &mut Tensor<f32>, // [rows, width]
        scales: &mut Tensor<f32>, // [rows]
        rows: u32,
        epsilon: f32,
        threshold: u32,
        kept: f32,
        #[comptime] width: usize,
        #[comptime] dropped: bool,
    ) {
        let row = CUBE_POS;
        if row >= rows as usize {
            terminate!();
        }
        let mut shared = Shared::<[f32]>::new_slice(UNITS);
        let unit = UNIT_POS as usize;
        let first = row * width;
        let mut own = 0.0f32;
        let mut at = unit;
        while at < width {
            let mut value = x[first + at];
            if dropped {
                value *= factor((first + at) as u32, key, threshold, kept);
            }
            value += residual[first + at];
            normal[first + at] = value;
            own += value;
            at += UNITS;
        }
        let mean = total(own, &mut shared, UNITS) / (width as f32);
        let mut own = 0.0f32;
        let mut at = unit;
        while at < width {
            let value = normal[first + at] - mean;
            own += value * value;
            at += UNITS;
        }
        let variance = total(own, &mut shared, UNITS) / (width as f32);
        let scale = 1.0f32 / (variance + epsilon).sqrt();
        let mut at = unit;
        while at < width {
            let value = (normal[first + at] - mean) * scale;
            normal[first + at] = value;
            out[first + at] = value * gamma[at] + beta[at];
            at += UNITS;
        }
        if unit == 0 {
            scales[row] = scale;
        }
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
    fn norm_slopes(
        gradient: &Tensor<f32>,     // [rows, width]
        normal: &Tensor<f32>,       // [rows, width]
        scales: &Tensor<f32>,       // [rows]
        gamma: &Tensor<f32>,        // [width]
        key: &Tensor<f32>,          // [4]
        residual: &mut Tensor<f32>, // [rows, width]
        x: &mut Tensor<f32>,        // [rows, width]
        rows: u32,
        threshold: u32,
        kept: f32,
        #[comptime] width: usize,
        #[comptime] dropped: bool,
    ) {
        let row = CUBE_POS;
        if row >= rows as usize {
            terminate!();
        }
        let mut shared = Shared::<[f32]>::new_slice(UNITS);
        let unit = UNIT_POS as usize;
        let first = row * width;
        let mut plain = 0.0f32;
        let mut along = 0.0f32;
        let mut at = unit;
        while at < width {
            let slope = gradient[first + at] * gamma[at];
            plain += slope;
            along += slope * normal[first + at];
            at += UNITS;
        }
        let plain = total(plain, &mut shared, UNITS) / (width as f32);
        let along = total(along, &mut shared, UNITS) / (width as f32);
        let mut at = unit;
        while at < width {
            let slope = gradient[first + at] * gamma[at];
            let mut value = scales[row] * (slope - plain - normal[first + at] * along);
            residual[first + at] = value;
            if dropped {
                value *= factor((first + at) as u32, key, threshold, kept);
            }
            x[first + at] = value;
            at += UNITS;
        }
    }

    #[cube(launch)]
    fn norm_sums(
        gradient: &Tensor<f32>, // [rows, width]
        normal: &Tensor<f32>,   // [rows, width]
        sums: &mut Tensor<f32>, // [blocks, 2 width]: of some rows, for scale and shift
        rows: u32,
        #[comptime] width: usize,
    ) {
        let column = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
        let block = CUBE_POS_Y as usize;
        if column < width {
            let mut scale = 0.0f32;
            let mut shift = 0.0f32;
            for row in block * ROWS..(block + 1) * ROWS {
                if row < rows as usize {
                    let slope = gradient[row * width + column];
                    scale += slope * normal[row * width + column];
                    shift += slope;
                }
            }
            sums[block * 2 * width + column] = scale;
            sums[block * 2 * width + width + column] = shift;
        }
    }
}
