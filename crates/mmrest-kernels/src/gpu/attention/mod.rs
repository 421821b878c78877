//! Attention within packed sequences, or from one to its counterpart, as one kernel; and back as three.
//!
//! Per head, with P = softmax(Q K^T / sqrt(d)), D = dropout(P), O = D V and a dash for the gradient of the loss:
//!
//! ```text
//! V- = D^T O-     P- = dropout'(O- V^T)     S- = P (P- - δ), δ_q = sum O-_q O_q     Q- = S- K / sqrt(d)     K- = S-^T Q / sqrt(d)
//! ```
//!
//! A cube owns up to [`BLOCK`] rows of a sequence, one a unit, and passes over the rows of the other side by tiles in
//! shared memory (Dao et al., 2022): the scores are never in memory. Sums are kept as logarithms, from which backward
//! computes P again; whether dropout keeps a probability is a function of a key and its place, as on the CPU
//! ([`dropout`](crate::dropout)), so no mask is kept either. The key is drawn on the device and never read.

#[cfg(feature = "gpu")]
pub(super) mod kernels;

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchTensor, ExtensionType};
use burn::prelude::*;
use burn::tensor::{DType, Distribution};

use super::{Kernels, integers};

/// Rows of a cube.
pub const BLOCK: usize = 32;

/// The widest head that the kernels keep in a unit's own memory.
pub const WIDEST: usize = 128;

/// Numbers that tell a cube its rows.
const FIELDS: usize = 6;

/// The sequences of two packed batches, cut into blocks: who asks, and who is asked.
#[derive(Clone, Debug)]
pub struct Blocks {
    asking: Tensor<1, Int>,
    told: Tensor<1, Int>,
    counts: [usize; 2],
    /// The most rows of a sequence that is asked.
    reach: usize,
}

impl Blocks {
    /// Sequence i asks with the rows `asked[i]..asked[i + 1]`, and is told by the rows `told[i]..told[i + 1]` of its
    /// counterpart.
    #[must_use]
    pub fn new(asked: &[usize], told: &[usize], device: &Device) -> Self {
        let sides = |own: &[usize], other: &[usize]| {
            let mut fields = Vec::new();
            for (own, other) in own.windows(2).zip(other.windows(2)) {
                let (rows, others) = (own[1] - own[0], other[1] - other[0]);
                let seen = rows.abs_diff(others) + 1;
                for at in (0..rows).step_by(BLOCK) {
                    let block = [
                        own[0] + at,
                        BLOCK.min(rows - at),
                        other[0],
                        others,
                        at,
                        seen,
                    ];
                    fields.extend(block.map(|field| field as i32));
                }
            }
            fields
        };
        let (asking, telling) = (sides(asked, told), sides(told, asked));
        let counts = [asking.len() / FIELDS, telling.len() / FIELDS];
        let lengths = told.windows(2).map(|bounds| bounds[1] - bounds[0]);
        Self {
            asking: integers(asking, device),
            told: integers(telling, device),
            counts,
            reach: lengths.max().unwrap_or(0),
        }
    }
}

/// What attention is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Heads side by side in a row.
    pub heads: usize,
    /// Whether query i sees the keys up to i alone, or as many more as the two sides differ in number.
    pub causal: bool,
    /// The share of probabilities that are dropped.
    pub dropout: f64,
}

/// The key of a dropout mask, from the device's generator; it stays there.
#[must_use]
pub fn draw_key(device: &Device) -> Tensor<1> {
    let sixteen_bits = Distribution::Uniform(0.0, 65_536.0);
    let device = device.clone().inner();
    Tensor::random([4], sixteen_bits, (&device, DType::F32))
}

/// Queries, keys and values: `[asked, width]`, `[told, width]` twice.
pub type Rows = [Tensor<2>; 3];

/// What an operation of attention gets of its two sides.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct Sides<B: Backend> {
    pub(crate) queries: FloatTensor<B>,
    pub(crate) keys: FloatTensor<B>,
    pub(crate) values: FloatTensor<B>,
    /// The blocks of the side that the cubes own.
    pub(crate) tasks: IntTensor<B>,
    /// That of the dropout mask; not looked at without.
    pub(crate) key: FloatTensor<B>,
}

/// How the cubes of an operation of attention pass over its rows.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "no kernel looks"))]
pub(crate) struct Walk {
    /// The blocks.
    pub(crate) blocks: usize,
    /// The most rows of a sequence that is asked.
    pub(crate) reach: usize,
    pub(crate) heads: Heads,
}

impl Blocks {
    /// Arguments of an operation whose cubes own the rows that ask, or those that are told of.
    fn arguments(
        &self,
        told: bool,
        rows: [DispatchTensor; 3],
        key: DispatchTensor,
        heads: Heads,
    ) -> (Sides<Dispatch>, Walk) {
        let [queries, keys, values] = rows;
        let tasks = if told { &self.told } else { &self.asking };
        let sides = Sides {
            queries,
            keys,
            values,
            tasks: tasks.clone().into_dispatch(),
            key,
        };
        let walk = Walk {
            blocks: self.counts[usize::from(told)],
            reach: self.reach,
            heads,
        };
        (sides, walk)
    }
}

/// The output `[asked, width]`, and the logarithms of the sums, `[asked, heads]`. `key` is not looked at without dropout.
#[must_use]
pub fn forward(
    rows: Rows,
    key: Tensor<1>,
    blocks: &Blocks,
    heads: Heads,
) -> (Tensor<2>, Tensor<2>) {
    let rows = rows.map(Tensor::into_dispatch);
    let (sides, walk) = blocks.arguments(false, rows, key.into_dispatch(), heads);
    let (out, sums) = <Dispatch as Kernels>::attention_forward(sides, walk);
    (Tensor::from_dispatch(out), Tensor::from_dispatch(sums))
}

/// Gradients of queries, keys and values from that of the output of [`forward`], with what it got and gave.
#[must_use]
pub fn backward(
    rows: Rows,
    key: Tensor<1>,
    blocks: &Blocks,
    heads: Heads,
    [out, sums]: [Tensor<2>; 2],
    gradient: Tensor<2>,
) -> Rows {
    let width = rows[1].dims()[1];
    let gradient = gradient.into_dispatch();
    let stats = <Dispatch as Kernels>::attention_stats(
        out.into_dispatch(),
        gradient.clone(),
        sums.into_dispatch(),
    );
    let (rows, key) = (rows.map(Tensor::into_dispatch), key.into_dispatch());
    let (sides, walk) = blocks.arguments(false, rows.clone(), key.clone(), heads);
    let to_queries =
        <Dispatch as Kernels>::attention_queries(sides, gradient.clone(), stats.clone(), walk);
    let (sides, walk) = blocks.arguments(true, rows, key, heads);
    let to_told = <Dispatch as Kernels>::attention_told(sides, gradient, stats, walk);
    let to_told = Tensor::<2>::from_dispatch(to_told);
    [
        Tensor::from_dispatch(to_queries),
        to_told.clone().narrow(1, 0, width),
        to_told.narrow(1, width, width),
    ]
}

/// What the forward kernel gives for such queries.
#[cfg(feature = "fusion")]
pub(super) fn outputs(queries: &TensorSpec, walk: &Walk) -> (TensorSpec, TensorSpec) {
    let sums = Shape::new([queries.shape[0], walk.heads.heads]);
    (queries.clone(), TensorSpec::new(sums, queries.dtype))
}

/// Two gradients of such rows, side by side.
#[cfg(feature = "fusion")]
pub(super) fn both(rows: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([rows.shape[0], 2 * rows.shape[1]]), rows.dtype)
}
