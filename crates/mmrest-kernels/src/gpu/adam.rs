//! A step of Adam as one kernel for each parameter, and the squares of many gradients in few.

use burn::backend::Dispatch;
use burn::prelude::*;
use burn::tensor::DType;

use super::Kernels;

/// What one step multiplies with: weight decay, what decoupled decay leaves of a parameter, the decays of both moments and
/// what they add, the corrected first moment's factor, epsilon, the rate.
pub(crate) type Factors = [f32; 9];

/// The parameter's new values, and the moments'.
pub(crate) fn step<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    [first, second]: [Tensor<D>; 2],
    factors: Factors,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let (parameter, first, second) = <Dispatch as Kernels>::adam(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        first.into_dispatch(),
        second.into_dispatch(),
        factors,
    );
    let moments = [first, second].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(parameter), moments)
}

/// Gradients of a launch.
const TOGETHER: usize = 6;

/// Sums of a gradient's squares: so many, of parts of it.
const PARTS: usize = 64;

/// The sums of squares of gradients, flat ones of a GPU: each has as many values, whose sum it is.
///
/// A launch takes six gradients, so a step of two hundred parameters has 34 launches and gives one tensor to read.
///
/// # Panics
///
/// On tensors that [`takes`](super::takes) refuses.
#[must_use]
pub fn squares(gradients: &[Tensor<1>]) -> Option<Tensor<1>> {
    let first = gradients.first()?;
    let device = first.device().inner();
    let count = [gradients.len() * PARTS];
    let mut sums = Tensor::<1>::empty(count, (&device, DType::F32)).into_dispatch();
    for (launch, together) in gradients.chunks(TOGETHER).enumerate() {
        let gradient = |at: usize| {
            let gradient = together.get(at).unwrap_or(&together[0]);
            gradient.clone().into_dispatch()
        };
        sums = <Dispatch as Kernels>::squares(
            sums,
            gradient(0),
            gradient(1),
            gradient(2),
            gradient(3),
            gradient(4),
            gradient(5),
            launch * TOGETHER * PARTS,
            together.len(),
        );
    }
    Some(Tensor::from_dispatch(sums))
}

/// How many values each gradient has in the sums of [`squares`].
#[must_use]
pub const fn parts() -> usize {
    PARTS
}

#[cfg(feature = "gpu")]
pub(super) mod kernels {
    use burn::backend::TensorMetadata;
    use burn_cubecl::cubecl::prelude::*;
    use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
    use burn_cubecl::kernel::into_contiguous;
    use burn_cubecl::tensor::CubeTensor;

    use super::{Factors, PARTS, TOGETHER};
    use crate::gpu::launch::{alike, units};

    /// Units of a cube that add up squares.
    const UNITS: usize = 128;

    pub(in super::super) fn adam(
        tensors: [CubeTensor; 4],
        factors: Factors,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [parameter, gradient, first, second] = tensors.map(into_contiguous);
        let outs = [alike(&parameter), alike(&parameter), alike(&parameter)];
        let client = parameter.client.clone();
        let count = parameter.shape().num_elements();
        let dim = units(&client, 256);
        let [
            decay,
            shrink,
            keep_1,
            add_1,
            keep_2,
            add_2,
            corrected,
            epsilon,
            rate,
        ] = factors;
        adam_step::launch(
            &client,
            calculate_cube_count_elemwise(&client, count, dim),
            dim,
            parameter.into_tensor_arg(),
            gradient.into_tensor_arg(),
            first.into_tensor_arg(),
            second.into_tensor_arg(),
            outs[0].clone().into_tensor_arg(),
            outs[1].clone().into_tensor_arg(),
            outs[2].clone().into_tensor_arg(),
            decay,
            shrink,
            keep_1,
            add_1,
            keep_2,
            add_2,
            corrected,
            epsilon,
            rate,
        );
        let [parameter, first, second] = outs;
        (parameter, first, second)
    }

    /// Writes to `sums`, which nobody else may hold.
    pub(in super::super) fn squares(
        sums: CubeTensor,
        gradients: [CubeTensor; TOGETHER],
        at: usize,
        count: usize,
    ) -> CubeTensor {
        let [a, b, c, d, e, f] = gradients.map(into_contiguous);
        let client = sums.client.clone();
        sums_of_squares::launch(
            &client,
            CubeCount::Static(PARTS as u32, count as u32, 1),
            CubeDim::new_1d(UNITS as u32),
            a.into_tensor_arg(),
            b.into_tensor_arg(),
            c.into_tensor_arg(),
            d.into_tensor_arg(),
            e.into_tensor_arg(),
            f.into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            at as u32,
        );
        sums
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
    fn adam_step(
        parameter: &Tensor<f32>,
        gradient: &Tensor<f32>,
        first: &Tensor<f32>,
        second: &Tensor<f32>,
        out: &mut Tensor<f32>,
        out_first: &mut Tensor<f32>,
        out_second: &mut Tensor<f32>,
        decay: f32,
        shrink: f32,
        keep_1: f32,
        add_1: f32,
        keep_2: f32,
        add_2: f32,
        corrected: f32,
        epsilon: f32,
        rate: f32,
    ) {
        let at = ABSOLUTE_POS;
        if at < out.len() {
            let slope = parameter[at] * decay + gradient[at];
            let mean = first[at] * keep_1 + slope * add_1;
            let square = second[at] * keep_2 + slope * slope * add_2;
            let step = mean * corrected / (square.sqrt() + epsilon);
            out_first[at] = mean;
            out_second[at] = square;
            out[at] = parameter[at] * shrink - step * rate;
        }
    }

    /// The squares of a part of a gradient: those that are this cube's in every row of all cubes.
    #[cube]
    fn part(gradient: &Tensor<f32>) -> f32 {
        let mut sum = 0.0f32;
        let mut at = CUBE_POS_X as usize * CUBE_DIM as usize + UNIT_POS as usize;
        while at < gradient.len() {
            sum += gradient[at] * gradient[at];
            at += PARTS * UNITS;
        }
        sum
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
    fn sums_of_squares(
        a: &Tensor<f32>,
        b: &Tensor<f32>,
        c: &Tensor<f32>,
        d: &Tensor<f32>,
        e: &Tensor<f32>,
        f: &Tensor<f32>,
        sums: &mut Tensor<f32>,
        first: u32,
    ) {
        let which = CUBE_POS_Y;
        let own = if which == 0 {
            part(a)
        } else if which == 1 {
            part(b)
        } else if which == 2 {
            part(c)
        } else if which == 3 {
            part(d)
        } else if which == 4 {
            part(e)
        } else {
            part(f)
        };
        let unit = UNIT_POS as usize;
        let mut shared = Shared::<[f32]>::new_slice(UNITS);
        shared[unit] = own;
        sync_cube();
        if unit == 0 {
            let mut sum = 0.0f32;
            for other in 0..UNITS {
                sum += shared[other];
            }
            sums[first as usize + which as usize * PARTS + CUBE_POS_X as usize] = sum;
        }
    }
}
