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

use burn::backend::Dispatch;
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
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

/// The output `[asked, width]`, and the logarithms of the sums, `[asked, heads]`. `key` is not looked at without dropout.
#[must_use]
pub fn forward(
    [queries, keys, values]: Rows,
    key: Tensor<1>,
    blocks: &Blocks,
    heads: Heads,
) -> (Tensor<2>, Tensor<2>) {
    let (out, sums) = <Dispatch as Kernels>::attention_forward(
        queries.into_dispatch(),
        keys.into_dispatch(),
        values.into_dispatch(),
        blocks.asking.clone().into_dispatch(),
        key.into_dispatch(),
        blocks.counts[0],
        blocks.reach,
        heads.heads,
        heads.causal,
        heads.dropout,
    );
    (Tensor::from_dispatch(out), Tensor::from_dispatch(sums))
}

/// Gradients of queries, keys and values from that of the output of [`forward`], with what it got and gave.
#[must_use]
pub fn backward(
    [queries, keys, values]: Rows,
    key: Tensor<1>,
    blocks: &Blocks,
    heads: Heads,
    [out, sums]: [Tensor<2>; 2],
    gradient: Tensor<2>,
) -> Rows {
    let width = keys.dims()[1];
    let gradient = gradient.into_dispatch();
    let stats = <Dispatch as Kernels>::attention_stats(
        out.into_dispatch(),
        gradient.clone(),
        sums.into_dispatch(),
    );
    let [queries, keys, values] = [queries, keys, values].map(Tensor::into_dispatch);
    let key = key.into_dispatch();
    let to_queries = <Dispatch as Kernels>::attention_queries(
        queries.clone(),
        keys.clone(),
        values.clone(),
        gradient.clone(),
        stats.clone(),
        blocks.asking.clone().into_dispatch(),
        key.clone(),
        blocks.counts[0],
        blocks.reach,
        heads.heads,
        heads.causal,
        heads.dropout,
    );
    let to_told = <Dispatch as Kernels>::attention_told(
        queries,
        keys,
        values,
        gradient,
        stats,
        blocks.told.clone().into_dispatch(),
        key,
        blocks.counts[1],
        blocks.reach,
        heads.heads,
        heads.causal,
        heads.dropout,
    );
    let to_told = Tensor::<2>::from_dispatch(to_told);
    [
        Tensor::from_dispatch(to_queries),
        to_told.clone().narrow(1, 0, width),
        to_told.narrow(1, width, width),
    ]
}

/// What the forward kernel gives.
#[cfg(feature = "fusion")]
#[allow(clippy::too_many_arguments, reason = "as the operation has them")]
pub(super) fn outputs(
    queries: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &TensorSpec,
    _: &usize,
    _: &usize,
    heads: &usize,
    _: &bool,
    _: &f64,
) -> (TensorSpec, TensorSpec) {
    let sums = Shape::new([queries.shape[0], *heads]);
    (queries.clone(), TensorSpec::new(sums, queries.dtype))
}
