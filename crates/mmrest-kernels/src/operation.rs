//! Registers an operation of several tensors, with its own backward pass, as one node of burn's autodiff graph.
//!
//! Forward and backward work on slices of `f32` on the CPU. That pays where burn would run many small tensor operations
//! whose bookkeeping costs more than their arithmetic.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use mmrest_kernels::operation::{Input, Tape, apply, input, takes};
//!
//! /// `a b` of each pair of values, and its gradients `b` and `a`.
//! #[derive(Clone, Debug)]
//! struct Product([Input; 2]);
//!
//! impl Tape<2> for Product {
//!     fn backward(self, gradient: &[f32], _: [bool; 2]) -> [Option<Vec<f32>>; 2] {
//!         let times = |other: &Input| {
//!             let pairs = gradient.iter().zip(other.values());
//!             Some(pairs.map(|(gradient, other)| gradient * other).collect())
//!         };
//!         [times(&self.0[1]), times(&self.0[0])]
//!     }
//! }
//!
//! let device = Device::flex().autodiff();
//! let a = Tensor::<1>::from_data([2.0, 3.0], &device).require_grad();
//! let b = Tensor::<1>::from_data([5.0, 7.0], &device);
//! assert!(takes(&a) && takes(&b));
//! let product = apply([input(a.clone()), input(b)], |inputs, record| {
//!     let [a, b] = inputs.each_ref().map(Input::values);
//!     let values: Vec<f32> = a.iter().zip(b).map(|(a, b)| a * b).collect();
//!     (values, [2], record.then_some(Product(inputs)))
//! });
//! let gradient = a.grad(&product.sum().backward()).unwrap();
//! assert_eq!(gradient.into_data().try_to_vec::<f32>().unwrap(), [5.0, 7.0]);
//! ```

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, BackendTensor, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, Flex,
    TensorMetadata,
};
use burn::prelude::*;
use burn::tensor::{DType, Shape};

type Tracked = FloatTensor<Autodiff<Flex>>;

/// Whether a tensor can be an input of [`apply`]: it is on the CPU and holds `f32`.
#[must_use]
pub fn takes<const D: usize>(tensor: &Tensor<D>) -> bool {
    use burn::backend::DispatchDevice as Kind;
    let device = tensor.device().inner();
    matches!(device.as_dispatch(), Kind::Flex(_)) && tensor.dtype() == DType::F32
}

/// What an operation keeps of its forward pass for its backward one.
pub trait Tape<const N: usize>: Clone + Debug + Send + 'static {
    /// Gradients of the inputs from that of the output, row-major; only those `wanted` have to be there.
    fn backward(self, gradient: &[f32], wanted: [bool; N]) -> [Option<Vec<f32>>; N];
}

/// An input of an operation: its values, row-major.
#[derive(Clone, Debug)]
pub struct Input(FlexTensor);

impl Input {
    /// The values.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_default()
    }

    fn new(tensor: FlexTensor) -> Self {
        Self(if tensor.is_contiguous() {
            tensor
        } else {
            tensor.to_contiguous()
        })
    }
}

/// Any tensor as an input.
#[must_use]
pub fn input<const D: usize>(tensor: Tensor<D>) -> DispatchTensor {
    tensor.into_dispatch()
}

/// Runs an operation. `forward` gets the inputs and whether a backward pass may follow; it returns the output's values
/// (row-major), its shape and, if a backward pass may follow, the tape.
///
/// # Panics
///
/// On tensors that [`takes`] refuses, an output that is not of its shape, and a tape that is missing.
pub fn apply<const N: usize, const D: usize, T: Tape<N>>(
    inputs: [DispatchTensor; N],
    forward: impl FnOnce([Input; N], bool) -> (Vec<f32>, [usize; D], Option<T>),
) -> Tensor<D> {
    let context = inputs
        .iter()
        .map(|input| input.autodiff)
        .fold(DispatchAutodiffContext::Disabled, |all, one| all.merge(one));
    let inputs = inputs.map(|input| tracked(input.kind));
    let record = inputs.iter().any(Tracked::is_tracked);
    let shapes = Shapes(inputs.each_ref().map(TensorMetadata::shape));
    let guards = inputs.each_ref().map(Tracked::node);
    let values = inputs.map(|input| Input::new(input.into_primitive()));
    let (output, shape, tape) = forward(values, record);
    let output = FlexTensor::from_data(TensorData::new(output, shape));

    let kind = match context {
        DispatchAutodiffContext::Disabled => DispatchTensorKind::Flex(BackendTensor::Float(output)),
        DispatchAutodiffContext::Enabled(_) => {
            let prepared = Step::<T>::default()
                .prepare::<NoCheckpointing>(guards)
                .compute_bound();
            let output = match (prepared.stateful(), tape) {
                (OpsKind::Tracked(prepared), Some(tape)) => prepared.finish((tape, shapes), output),
                (OpsKind::UnTracked(prepared), _) => prepared.finish(output),
                (OpsKind::Tracked(_), None) => unreachable!("a recorded operation has a tape"),
            };
            DispatchTensorKind::Autodiff(Box::new(DispatchTensorKind::Flex(
                BackendTensor::Autodiff(output),
            )))
        }
    };
    Tensor::from_dispatch(DispatchTensor {
        kind,
        autodiff: context,
    })
}

/// The values of a tensor of the CPU without autodiff, in order and from the start of their memory.
pub(crate) fn flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    match tensor.into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => tensor.to_contiguous(),
        _ => panic!("a tensor of the CPU, without autodiff"),
    }
}

/// A tensor without autodiff.
pub(crate) fn tensor<const D: usize>(values: FlexTensor) -> Tensor<D> {
    Tensor::from_dispatch(DispatchTensor {
        kind: DispatchTensorKind::Flex(BackendTensor::Float(values)),
        autodiff: DispatchAutodiffContext::Disabled,
    })
}

/// A tensor as autodiff has it; one from outside autodiff as a constant.
fn tracked(kind: DispatchTensorKind) -> Tracked {
    match kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => Tracked::new(tensor),
        DispatchTensorKind::Flex(BackendTensor::Autodiff(tensor)) => tensor,
        DispatchTensorKind::Autodiff(inner) => tracked(*inner),
        _ => panic!("an operation of the CPU got a tensor that is not its own"),
    }
}

#[derive(Clone, Debug)]
struct Shapes<const N: usize>([Shape; N]);

/// One node of the graph.
#[derive(Debug)]
struct Step<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Default for Step<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<const N: usize, T: Tape<N>> Backward<Flex, N> for Step<T> {
    type State = (T, Shapes<N>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = Input::new(grads.consume::<Flex>(&ops.node));
        let (tape, Shapes(shapes)) = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = tape.backward(gradient.values(), wanted);
        let parents = ops.parents.into_iter().zip(shapes).zip(gradients);
        for ((parent, shape), gradient) in parents {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                let gradient = FlexTensor::from_data(TensorData::new(gradient, shape));
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}
