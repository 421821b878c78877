//! Registers an operation on tensors of any device, with its own backward pass, as one node of burn's autodiff graph.
//!
//! Where [`operation`](crate::operation) works on slices of the CPU, forward and backward here are written with tensors
//! that are outside autodiff, and with the kernels of [`gpu`](crate::gpu).
//!
//! ```
//! use burn::backend::DispatchTensor;
//! use burn::tensor::{Device, Tensor};
//! use mmrest_kernels::node::{Tape, apply};
//!
//! /// `a b` of each pair of values, and its gradients `b` and `a`.
//! #[derive(Clone, Debug)]
//! struct Product([Tensor<1>; 2]);
//!
//! impl Tape<2> for Product {
//!     fn backward(self, gradient: DispatchTensor, _: [bool; 2]) -> [Option<DispatchTensor>; 2] {
//!         let gradient = Tensor::<1>::from_dispatch(gradient);
//!         let [a, b] = self.0;
//!         [b * gradient.clone(), a * gradient].map(|tensor| Some(tensor.into_dispatch()))
//!     }
//! }
//!
//! let device = Device::flex().autodiff();
//! let a = Tensor::<1>::from_data([2.0, 3.0], &device).require_grad();
//! let b = Tensor::<1>::from_data([5.0, 7.0], &device);
//! let inputs = [a.clone().into_dispatch(), b.into_dispatch()];
//! let product = apply(inputs, |inputs| {
//!     let [a, b] = inputs.map(Tensor::<1>::from_dispatch);
//!     (a.clone() * b.clone(), Product([a, b]))
//! });
//! let gradient = a.grad(&product.sum().backward()).unwrap();
//! assert_eq!(gradient.into_data().try_to_vec::<f32>().unwrap(), [5.0, 7.0]);
//! ```

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    Flex,
};
use burn::tensor::Tensor;

/// What an operation keeps of its forward pass for its backward one.
pub trait Tape<const N: usize>: Clone + Debug + Send + 'static {
    /// Gradients of the inputs, in their shapes, from that of the output; only those `wanted` have to be there.
    fn backward(self, gradient: DispatchTensor, wanted: [bool; N]) -> [Option<DispatchTensor>; N];
}

/// Runs an operation. `forward` gets the inputs outside autodiff, and gives the output and the tape.
///
/// # Panics
///
/// On tensors of different backends, or of one that is neither the CPU's nor a GPU's.
pub fn apply<const N: usize, const D: usize, T: Tape<N>>(
    inputs: [DispatchTensor; N],
    forward: impl FnOnce([DispatchTensor; N]) -> (Tensor<D>, T),
) -> Tensor<D> {
    let context = inputs
        .iter()
        .map(|input| input.autodiff)
        .fold(DispatchAutodiffContext::Disabled, |all, one| all.merge(one));
    if context == DispatchAutodiffContext::Disabled {
        return forward(inputs).0;
    }
    let kind = match inputs.first().map(|input| &input.kind) {
        Some(DispatchTensorKind::Autodiff(inner)) => Some(&**inner),
        kind => kind,
    };
    let output = match kind {
        Some(DispatchTensorKind::Flex(_)) => record::<Flex, N, D, T>(inputs, forward),
        #[cfg(feature = "gpu")]
        Some(DispatchTensorKind::Cube(_)) => {
            record::<burn::backend::Cube, N, D, T>(inputs, forward)
        }
        _ => unreachable!("{NOT_OURS}"),
    };
    Tensor::from_dispatch(DispatchTensor {
        kind: DispatchTensorKind::Autodiff(Box::new(output)),
        autodiff: context,
    })
}

const NOT_OURS: &str = "an operation got tensors of different backends";

/// The operation as a node of one backend's graph.
fn record<B: Home, const N: usize, const D: usize, T: Tape<N>>(
    inputs: [DispatchTensor; N],
    forward: impl FnOnce([DispatchTensor; N]) -> (Tensor<D>, T),
) -> DispatchTensorKind {
    let inputs = inputs.map(|input| tracked::<B>(input.kind));
    let guards = inputs.each_ref().map(FloatTensor::<Autodiff<B>>::node);
    let (output, tape) = forward(inputs.map(|input| outside::<B>(input.into_primitive())));
    let output = B::unwrap(output.into_dispatch().kind).float();
    let step = Step::<T>(PhantomData)
        .prepare::<NoCheckpointing>(guards)
        .compute_bound();
    let output = match step.stateful() {
        OpsKind::Tracked(step) => step.finish(tape, output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    B::wrap(BackendTensor::Autodiff(output))
}

/// A backend whose tensors can be in the graph.
trait Home: Backend {
    fn unwrap(kind: DispatchTensorKind) -> BackendTensor<Self>;
    fn wrap(tensor: BackendTensor<Self>) -> DispatchTensorKind;
}

impl Home for Flex {
    fn unwrap(kind: DispatchTensorKind) -> BackendTensor<Self> {
        match kind {
            DispatchTensorKind::Flex(tensor) => tensor,
            _ => unreachable!("{NOT_OURS}"),
        }
    }

    fn wrap(tensor: BackendTensor<Self>) -> DispatchTensorKind {
        DispatchTensorKind::Flex(tensor)
    }
}

#[cfg(feature = "gpu")]
impl Home for burn::backend::Cube {
    fn unwrap(kind: DispatchTensorKind) -> BackendTensor<Self> {
        match kind {
            DispatchTensorKind::Cube(tensor) => tensor,
            _ => unreachable!("{NOT_OURS}"),
        }
    }

    fn wrap(tensor: BackendTensor<Self>) -> DispatchTensorKind {
        DispatchTensorKind::Cube(tensor)
    }
}

/// A tensor as autodiff has it; one from outside autodiff as a constant.
fn tracked<B: Home>(kind: DispatchTensorKind) -> FloatTensor<Autodiff<B>> {
    let kind = match kind {
        DispatchTensorKind::Autodiff(inner) => *inner,
        kind => kind,
    };
    match B::unwrap(kind) {
        BackendTensor::Autodiff(tensor) => tensor,
        tensor => FloatTensor::<Autodiff<B>>::new(tensor.float()),
    }
}

/// A tensor outside autodiff.
fn outside<B: Home>(tensor: FloatTensor<B>) -> DispatchTensor {
    DispatchTensor {
        kind: B::wrap(BackendTensor::Float(tensor)),
        autodiff: DispatchAutodiffContext::Disabled,
    }
}

/// One node of the graph.
#[derive(Debug)]
struct Step<T>(PhantomData<fn() -> T>);

impl<B: Home, const N: usize, T: Tape<N>> Backward<B, N> for Step<T> {
    type State = T;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = outside::<B>(grads.consume::<B>(&ops.node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = ops.state.backward(gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, B::unwrap(gradient.kind).float());
            }
        }
    }
}
