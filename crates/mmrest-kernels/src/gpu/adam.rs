//! A step of Adam for many parameters in few launches.

use burn::backend::Dispatch;
use burn::prelude::*;

use super::Kernels;
use super::many::Tensors;

/// What one step multiplies with: weight decay, what decoupled decay leaves of a parameter, the decays of both moments and
/// what they add, the corrected first moment's factor, epsilon, the rate.
pub(crate) type Factors = [f32; 9];

/// A parameter, its gradient and its moments, flat.
pub(crate) type Parts = [Tensor<1>; 4];

/// The new values of each parameter, and of its moments.
pub(crate) fn steps(all: Vec<Parts>, factors: Factors) -> Vec<(Tensor<1>, [Tensor<1>; 2])> {
    let mut lists = [const { Vec::new() }; 4];
    for parts in all {
        for (list, part) in lists.iter_mut().zip(parts) {
            list.push(part);
        }
    }
    let [parameters, gradients, firsts, seconds] = lists.map(Tensors::of);
    let (parameters, firsts, seconds) =
        <Dispatch as Kernels>::adam(parameters, gradients, firsts, seconds, factors);
    let moments = firsts.flat().into_iter().zip(seconds.flat());
    let moments = moments.map(<[Tensor<1>; 2]>::from);
    parameters.flat().into_iter().zip(moments).collect()
}

#[cfg(feature = "gpu")]
pub(super) mod kernels {
    use burn_cubecl::cubecl;
    use burn_cubecl::cubecl::prelude::*;
    use burn_cubecl::tensor::CubeTensor;

    use super::Factors;
    use crate::gpu::many::kernels::{UNITS, blocks_of, end, launches, start};

    /// Parameters, gradients and both moments, each in an order; gives the new parameters and moments.
    pub(in super::super) fn adam(
        lists: [Vec<CubeTensor>; 4],
        factors: Factors,
    ) -> [Vec<CubeTensor>; 3] {
        let [parameters, gradients, firsts, seconds] = lists;
        let moments = firsts.into_iter().zip(seconds);
        let entries = parameters.into_iter().zip(gradients).zip(moments);
        let entries = entries
            .map(|((parameter, gradient), (first, second))| [parameter, gradient, first, second]);
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
        // The parameters before the step are still the model's: their new values take the gradients' place.
        let results = launches(entries, [1, 2, 3], 0, |these| {
            let (cubes, dim) = these.cubes();
            let [parameters, gradients, firsts, seconds] = these.read;
            let [out, out_firsts, out_seconds] = these.written;
            adam_steps::launch(
                &these.client,
                cubes,
                dim,
                parameters,
                gradients,
                firsts,
                seconds,
                out,
                out_firsts,
                out_seconds,
                decay,
                shrink,
                keep_1,
                add_1,
                keep_2,
                add_2,
                corrected,
                epsilon,
                rate,
                these.count,
            );
        });
        let mut lists = [const { Vec::new() }; 3];
        for result in results {
            for (list, tensor) in lists.iter_mut().zip(result) {
                list.push(tensor);
            }
        }
        lists
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
    fn adam_steps(
        parameters: &Sequence<OwnedTensor<f32>>,
        gradients: &Sequence<OwnedTensor<f32>>,
        firsts: &Sequence<OwnedTensor<f32>>,
        seconds: &Sequence<OwnedTensor<f32>>,
        out: &mut Sequence<OwnedTensor<f32>>,
        out_firsts: &mut Sequence<OwnedTensor<f32>>,
        out_seconds: &mut Sequence<OwnedTensor<f32>>,
        decay: f32,
        shrink: f32,
        keep_1: f32,
        add_1: f32,
        keep_2: f32,
        add_2: f32,
        corrected: f32,
        epsilon: f32,
        rate: f32,
        #[comptime] count: usize,
    ) {
        let mut before = 0usize;
        #[unroll]
        for i in 0..count {
            let parameter = parameters.index(i);
            let gradient = gradients.index(i);
            let first = firsts.index(i);
            let second = seconds.index(i);
            let length = parameter.len();
            let start = start(before, length);
            let end = end(start, length);
            let out = out.index_mut(i);
            let out_first = out_firsts.index_mut(i);
            let out_second = out_seconds.index_mut(i);
            let mut at = start + UNIT_POS as usize;
            while at < end {
                let slope = parameter[at] * decay + gradient[at];
                let mean = first[at] * keep_1 + slope * add_1;
                let square = second[at] * keep_2 + slope * slope * add_2;
                let step = mean * corrected / (square.sqrt() + epsilon);
                let value = parameter[at] * shrink - step * rate;
                out_first[at] = mean;
                out_second[at] = square;
                out[at] = value;
                at += UNITS;
            }
            before += blocks_of(length);
        }
    }
}
