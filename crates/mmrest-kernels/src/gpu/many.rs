//! Kernels that take many tensors at once: over each parameter of a network alone they would be hundreds of launches a step.
//!
//! A cube works on a block of one of the tensors. A launch takes as many tensors as the device binds buffers, and writes
//! over what it read where nobody else holds it.

#[cfg(feature = "fusion")]
mod fusion;

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType,
};
use burn::prelude::*;
#[cfg(feature = "fusion")]
use burn::tensor::DType;

use super::Kernels;

/// Values of a tensor that a cube works on.
#[cfg(any(feature = "gpu", feature = "fusion"))]
pub(super) const BLOCK: usize = 1 << 13;

/// The sums of squares of flat tensors, of a GPU: values whose sum is that of all squares; none of no tensor.
///
/// # Panics
///
/// On tensors that [`takes`](super::takes) refuses.
#[must_use]
pub fn squares(tensors: Vec<Tensor<1>>) -> Option<Tensor<1>> {
    if tensors.is_empty() {
        return None;
    }
    let sums = <Dispatch as Kernels>::squares(Tensors::of(tensors));
    Some(Tensor::from_dispatch(sums))
}

/// Flat tensors of a GPU, multiplied.
///
/// # Panics
///
/// On tensors that [`takes`](super::takes) refuses.
#[must_use]
pub fn scale(tensors: Vec<Tensor<1>>, by: f32) -> Vec<Tensor<1>> {
    combine(
        tensors,
        Vec::new(),
        Combination {
            keep: by,
            ..AS_IT_IS
        },
    )
}

/// Flat tensors of a GPU, every value held in `[-most, most]`.
///
/// # Panics
///
/// On tensors that [`takes`](super::takes) refuses.
#[must_use]
pub fn clamp(tensors: Vec<Tensor<1>>, most: f32) -> Vec<Tensor<1>> {
    let most = Some(most);
    combine(tensors, Vec::new(), Combination { most, ..AS_IT_IS })
}

/// `keep` times each flat tensor of a GPU, and `add` times its counterpart.
///
/// # Panics
///
/// On tensors that [`takes`](super::takes) refuses, or not as many of the same sizes.
#[must_use]
pub fn blend(
    tensors: Vec<Tensor<1>>,
    others: Vec<Tensor<1>>,
    [keep, add]: [f32; 2],
) -> Vec<Tensor<1>> {
    let sizes = |tensors: &[Tensor<1>]| tensors.iter().map(Tensor::dims).collect::<Vec<_>>();
    assert_eq!(sizes(&tensors), sizes(&others), "tensors of the same sizes");
    combine(
        tensors,
        others,
        Combination {
            keep,
            add,
            most: None,
        },
    )
}

/// What becomes of a value: `keep` times it, and `add` times its counterpart, held in `[-most, most]`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "no kernel looks"))]
pub(crate) struct Combination {
    keep: f32,
    add: f32,
    most: Option<f32>,
}

const AS_IT_IS: Combination = Combination {
    keep: 1.0,
    add: 0.0,
    most: None,
};

fn combine(own: Vec<Tensor<1>>, others: Vec<Tensor<1>>, by: Combination) -> Vec<Tensor<1>> {
    if own.is_empty() {
        return own;
    }
    <Dispatch as Kernels>::combine(Tensors::of(own), Tensors::of(others), by).flat()
}

/// What [`squares`] gives for such tensors.
#[cfg(feature = "fusion")]
pub(super) fn sums(tensors: &[TensorSpec]) -> TensorSpec {
    let blocks = |tensor: &TensorSpec| tensor.shape.num_elements().div_ceil(BLOCK);
    let dtype = tensors.first().map_or(DType::F32, |tensor| tensor.dtype);
    TensorSpec::new(Shape::new([tensors.iter().map(blocks).sum()]), dtype)
}

/// Tensors as one argument, or result, of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Tensors<B: Backend>(pub(super) Vec<FloatTensor<B>>);

impl Tensors<Dispatch> {
    /// Tensors of one device.
    pub(super) fn of(tensors: Vec<Tensor<1>>) -> Self {
        Self(tensors.into_iter().map(Tensor::into_dispatch).collect())
    }

    /// The tensors again.
    pub(super) fn flat(self) -> Vec<Tensor<1>> {
        self.0.into_iter().map(Tensor::from_dispatch).collect()
    }
}

impl<B: Backend> ExtensionType<B> for Tensors<B> {
    type Target = Tensors<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let tensors = self.0.into_iter().map(|tensor| DispatchTensor {
            kind: map_kind(BackendTensor::Float(tensor)),
            autodiff,
        });
        Tensors(tensors.collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        let tensors = target.0.into_iter();
        Self(tensors.map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let contexts = target.0.iter().map(|tensor| tensor.autodiff);
        contexts.fold(DispatchAutodiffContext::Disabled, |all, one| all.merge(one))
    }
}

#[cfg(feature = "gpu")]
pub(super) mod kernels {
    use std::array::from_fn;

    use burn::backend::TensorMetadata;
    use burn_cubecl::cubecl;
    use burn_cubecl::cubecl::prelude::*;
    use burn_cubecl::kernel::into_contiguous;
    use burn_cubecl::tensor::CubeTensor;

    use super::{BLOCK, Combination};
    use crate::gpu::launch::{alike, cubes, empty, total};

    /// Units of a cube; a power of 2.
    pub(in super::super) const UNITS: usize = 128;

    /// The most buffers of a launch: on CUDA their addresses and sizes have to fit the 4 KiB of a kernel's parameters.
    const MOST: usize = 96;

    /// Arguments of a launch: `READ` tensors of each of its entries, and the `WRITTEN` results of each.
    pub(in super::super) struct Arguments<const READ: usize, const WRITTEN: usize> {
        pub(in super::super) read: [SequenceArg<OwnedTensor<f32>>; READ],
        pub(in super::super) written: [SequenceArg<OwnedTensor<f32>>; WRITTEN],
        /// Entries of the launch.
        pub(in super::super) count: usize,
        /// Blocks of them all.
        pub(in super::super) blocks: usize,
        pub(in super::super) client: cubecl::client::Client,
    }

    impl<const READ: usize, const WRITTEN: usize> Arguments<READ, WRITTEN> {
        /// A cube for each block.
        pub(in super::super) fn cubes(&self) -> (CubeCount, CubeDim) {
            (cubes(self.blocks), CubeDim::new_1d(UNITS as u32))
        }
    }

    /// Launches for entries of flat tensors of a size each; the results of each. Result i is written over tensor
    /// `over[i]` of its entry where nobody else holds that. A launch binds so many buffers `besides`.
    pub(in super::super) fn launches<const READ: usize, const WRITTEN: usize>(
        entries: impl Iterator<Item = [CubeTensor; READ]>,
        over: [usize; WRITTEN],
        besides: usize,
        mut launch: impl FnMut(Arguments<READ, WRITTEN>),
    ) -> Vec<[CubeTensor; WRITTEN]> {
        let buffers = |entry: &[CubeTensor; READ]| {
            READ + over.iter().filter(|&&at| !entry[at].can_mut()).count()
        };
        let mut entries = entries.map(|entry| entry.map(into_contiguous)).peekable();
        let mut results = Vec::new();
        while let Some([first, ..]) = entries.peek().map(|entry| &entry[..]) {
            let client = first.client.clone();
            let most = MOST.min(client.properties().hardware.max_bindings as usize);
            let (mut bound, mut together) = (besides, Vec::new());
            let fits = |bound: usize, entry: &_| bound == besides || bound + buffers(entry) <= most;
            while let Some(entry) = entries.next_if(|entry| fits(bound, entry)) {
                bound += buffers(&entry);
                together.push(entry);
            }
            let mut arguments = Arguments {
                read: from_fn(|_| SequenceArg::new()),
                written: from_fn(|_| SequenceArg::new()),
                count: together.len(),
                blocks: 0,
                client,
            };
            // Asked before any entry is given away: two may have one gradient, which the launch is to read for both.
            let own: Vec<_> = together
                .iter()
                .map(|entry| over.map(|at| entry[at].can_mut()))
                .collect();
            for (index, (entry, own)) in together.into_iter().zip(own).enumerate() {
                arguments.blocks += blocks(&entry[0]);
                let mut own = own.into_iter();
                let result = over.map(|at| {
                    if own.next().unwrap_or_default() {
                        (entry[at].clone(), Some(at * arguments.count + index))
                    } else {
                        (alike(&entry[at]), None)
                    }
                });
                for (sequence, tensor) in arguments.read.iter_mut().zip(entry) {
                    sequence.push(tensor.into_tensor_arg());
                }
                for (sequence, (tensor, place)) in arguments.written.iter_mut().zip(&result) {
                    sequence.push(match place {
                        Some(place) => tensor.as_tensor_alias(*place),
                        None => tensor.clone().into_tensor_arg(),
                    });
                }
                results.push(result.map(|(tensor, _)| tensor));
            }
            launch(arguments);
        }
        results
    }

    /// Blocks of a tensor.
    fn blocks(tensor: &CubeTensor) -> usize {
        blocks_of(tensor.shape().num_elements())
    }

    pub(in super::super) fn squares(tensors: Vec<CubeTensor>) -> CubeTensor {
        let all = tensors.iter().map(blocks).sum();
        let sums = empty(&tensors[0], [all]);
        let mut at = 0;
        launches(tensors.into_iter().map(|tensor| [tensor]), [], 1, |these| {
            let (cubes, dim) = these.cubes();
            let [tensors] = these.read;
            sums_of_squares::launch(
                &these.client,
                cubes,
                dim,
                tensors,
                sums.clone().into_tensor_arg(),
                at as u32,
                these.blocks as u32,
                these.count,
            );
            at += these.blocks;
        });
        sums
    }

    pub(in super::super) fn combine(
        own: Vec<CubeTensor>,
        others: Vec<CubeTensor>,
        by: Combination,
    ) -> Vec<CubeTensor> {
        let results = if others.is_empty() {
            let alone = own.into_iter().map(|own| [own]);
            launches(alone, [0], 0, |these| combine_these(these, by))
        } else {
            let pairs = own.into_iter().zip(others).map(<[CubeTensor; 2]>::from);
            launches(pairs, [0], 0, |these| combine_these(these, by))
        };
        results.into_iter().map(|[out]| out).collect()
    }

    fn combine_these<const READ: usize>(these: Arguments<READ, 1>, by: Combination) {
        let Combination { keep, add, most } = by;
        let (cubes, dim) = these.cubes();
        let mut read = these.read.into_iter();
        let [own, others] = [read.next(), read.next()].map(Option::unwrap_or_default);
        let [out] = these.written;
        combined::launch(
            &these.client,
            cubes,
            dim,
            own,
            others,
            out,
            keep,
            add,
            most.unwrap_or_default(),
            these.count,
            READ == 2,
            most.is_some(),
        );
    }

    /// Blocks of a tensor of some length.
    #[cube]
    pub(in super::super) fn blocks_of(length: usize) -> usize {
        length.div_ceil(BLOCK)
    }

    /// Where a cube's block begins in a tensor whose first block is `first` of all; the tensor's end if it is another's.
    #[cube]
    pub(in super::super) fn start(first: usize, length: usize) -> usize {
        let mut start = length;
        if CUBE_POS >= first && CUBE_POS < first + blocks_of(length) {
            start = (CUBE_POS - first) * BLOCK;
        }
        start
    }

    /// Where the block that begins at `start` ends.
    #[cube]
    pub(in super::super) fn end(start: usize, length: usize) -> usize {
        let mut end = start + BLOCK;
        if end > length {
            end = length;
        }
        end
    }

    #[cube(launch)]
    fn sums_of_squares(
        tensors: &Sequence<OwnedTensor<f32>>,
        sums: &mut Tensor<f32>,
        at: u32,
        blocks: u32,
        #[comptime] count: usize,
    ) {
        if CUBE_POS >= blocks as usize {
            terminate!();
        }
        let mut own = 0.0f32;
        let mut first = 0usize;
        #[unroll]
        for i in 0..count {
            let tensor = tensors.index(i);
            let length = tensor.len();
            let start = start(first, length);
            let end = end(start, length);
            let mut at = start + UNIT_POS as usize;
            while at < end {
                own += tensor[at] * tensor[at];
                at += UNITS;
            }
            first += blocks_of(length);
        }
        let mut shared = Shared::<[f32]>::new_slice(UNITS);
        let sum = total(own, &mut shared, UNITS);
        if UNIT_POS == 0 {
            sums[at as usize + CUBE_POS] = sum;
        }
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
    fn combined(
        own: &Sequence<OwnedTensor<f32>>,
        other: &Sequence<OwnedTensor<f32>>,
        out: &mut Sequence<OwnedTensor<f32>>,
        keep: f32,
        add: f32,
        most: f32,
        #[comptime] count: usize,
        #[comptime] blended: bool,
        #[comptime] clamped: bool,
    ) {
        let mut first = 0usize;
        #[unroll]
        for i in 0..count {
            let own = own.index(i);
            let length = own.len();
            let start = start(first, length);
            let end = end(start, length);
            let out = out.index_mut(i);
            let mut at = start + UNIT_POS as usize;
            while at < end {
                let mut value = own[at] * keep;
                if blended {
                    value += other.index(i)[at] * add;
                }
                if clamped {
                    if value > most {
                        value = most;
                    }
                    if value < -most {
                        value = -most;
                    }
                }
                out[at] = value;
                at += UNITS;
            }
            first += blocks_of(length);
        }
    }
}
