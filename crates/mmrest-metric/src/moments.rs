//! Optimisers of Adam's kind in one pass over each parameter, on the CPU.
//!
//! As burn's tensor operations such a step is a dozen passes of one thread over memory, each with memory of its own for
//! the result. Here every value is read and written once, on all threads.

use burn::backend::flex::FlexTensor;
use burn::backend::{BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind};
use burn::tensor::Tensor;
use faer::traits::pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use crate::operation::takes;

/// Values that one thread takes at a time.
const BLOCK: usize = 1 << 14;

/// A step of an optimiser that keeps two moments of the gradients, value by value.
pub trait MomentStep: Copy + Send + Sync {
    /// The parameter's new value, given the old one and its gradient; the moments move on.
    ///
    /// To be computed on vectors it has to be `#[inline(always)]`.
    fn step(&self, parameter: f32, gradient: f32, moments: [&mut f32; 2]) -> f32;
}

/// Whether [`step_in_one_pass`] can take these: all are on the CPU, hold `f32` and have one shape.
#[must_use]
pub fn steps_in_one_pass<const D: usize>(
    parameter: &Tensor<D>,
    gradient: &Tensor<D>,
    moments: [&Tensor<D>; 2],
) -> bool {
    let shape = parameter.dims();
    let all = [parameter, gradient, moments[0], moments[1]];
    let alike = |one: &Tensor<D>| takes(one) && one.dims() == shape && !one.device().is_autodiff();
    all.into_iter().all(alike)
}

/// One step: the parameter's new values, and the moments'. Gradient and moments give their memory to the result where
/// nobody else holds them.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_metric::{MomentStep, step_in_one_pass};
///
/// /// Stochastic gradient descent whose momentum is the first moment; it has no use for the second.
/// #[derive(Clone, Copy)]
/// struct Momentum;
///
/// impl MomentStep for Momentum {
///     #[inline(always)]
///     fn step(&self, parameter: f32, gradient: f32, [momentum, _]: [&mut f32; 2]) -> f32 {
///         *momentum = 0.5 * *momentum + gradient;
///         parameter - 0.1 * *momentum
///     }
/// }
///
/// let tensor = |values: [f32; 2]| Tensor::<1>::from_data(values, &Device::flex());
/// let moments = [tensor([2.0, 0.0]), tensor([0.0, 0.0])];
/// let (parameter, [momentum, _]) =
///     step_in_one_pass(&Momentum, tensor([1.0, 1.0]), tensor([1.0, 0.0]), moments);
/// assert_eq!(momentum.into_data().try_to_vec::<f32>().unwrap(), [2.0, 0.0]);
/// assert_eq!(parameter.into_data().try_to_vec::<f32>().unwrap(), [0.8, 1.0]);
/// ```
///
/// # Panics
///
/// On tensors that [`steps_in_one_pass`] refuses.
#[must_use]
pub fn step_in_one_pass<const D: usize>(
    step: &impl MomentStep,
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [Tensor<D>; 2],
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let fits = steps_in_one_pass(&parameter, &gradient, moments.each_ref());
    assert!(
        fits,
        "tensors of the CPU, of single precision, of one shape and without autodiff"
    );
    let parameter = flex(parameter);
    let mut out = flex(gradient);
    let [mut first, mut second] = moments.map(flex);
    let moments = [first.storage_mut(), second.storage_mut()];
    apply(step, parameter.storage(), out.storage_mut(), moments);
    (tensor(out), [first, second].map(tensor))
}

/// `out` holds the gradients and gets the parameters' new values.
fn apply<S: MomentStep>(step: &S, parameters: &[f32], out: &mut [f32], moments: [&mut [f32]; 2]) {
    let widest = Arch::new();
    let [first, second] = moments;
    if out.len() <= BLOCK {
        return widest.dispatch(Block(step, parameters, out, [first, second]));
    }
    out.par_chunks_mut(BLOCK)
        .zip(parameters.par_chunks(BLOCK))
        .zip(first.par_chunks_mut(BLOCK))
        .zip(second.par_chunks_mut(BLOCK))
        .for_each(|(((out, parameters), first), second)| {
            widest.dispatch(Block(step, parameters, out, [first, second]));
        });
}

/// The step of some values, compiled for the widest vectors of the processor: parameters, gradients, moments.
struct Block<'a, S>(&'a S, &'a [f32], &'a mut [f32], [&'a mut [f32]; 2]);

impl<S: MomentStep> NullaryFnOnce for Block<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(step, parameters, out, [first, second]) = self;
        let step = *step;
        let moments = first.iter_mut().zip(second);
        for ((out, &parameter), (first, second)) in out.iter_mut().zip(parameters).zip(moments) {
            *out = step.step(parameter, *out, [first, second]);
        }
    }
}

/// The values of a tensor that fits, in order and from the start of their memory.
fn flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    match tensor.into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => tensor.to_contiguous(),
        _ => unreachable!("a tensor of the CPU, without autodiff"),
    }
}

fn tensor<const D: usize>(values: FlexTensor) -> Tensor<D> {
    Tensor::from_dispatch(DispatchTensor {
        kind: DispatchTensorKind::Flex(BackendTensor::Float(values)),
        autodiff: DispatchAutodiffContext::Disabled,
    })
}
