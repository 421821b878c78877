//! Attention on a GPU, by the kernels of [`mmrest_kernels::gpu::attention`].

use burn::backend::DispatchTensor;
use burn::nn::Dropout;
use burn::prelude::*;
use mmrest_kernels::gpu;
use mmrest_kernels::gpu::attention::{Blocks, Heads, WIDEST, backward, draw_key, forward};
use mmrest_kernels::node::{Tape, apply};

use super::Sight;

/// Whether the kernels can take rows of this many heads.
pub(crate) fn takes(rows: &Tensor<2>, heads: usize) -> bool {
    gpu::takes(rows) && rows.dims()[1] / heads <= WIDEST
}

/// `softmax(Q K^T / sqrt(d)) V` of every head, `[asked, width]`, from queries, keys and values of all rows.
pub(crate) fn attend(
    rows: [Tensor<2>; 3],
    blocks: &Blocks,
    heads: usize,
    sight: Sight,
    dropout: &Dropout,
) -> Tensor<2> {
    let device = rows[0].device();
    let drops = dropout.training.is_enabled() && device.is_autodiff();
    let heads = Heads {
        heads,
        causal: sight == Sight::Causal,
        dropout: if drops { dropout.prob } else { 0.0 },
    };
    let blocks = blocks.clone();
    apply(rows.map(Tensor::into_dispatch), |rows| {
        let rows = rows.map(Tensor::<2>::from_dispatch);
        let key = if heads.dropout > 0.0 {
            draw_key(&device)
        } else {
            // Not looked at.
            let count = rows[0].shape().num_elements();
            rows[0].clone().reshape([count])
        };
        let (out, sums) = forward(rows.clone(), key.clone(), &blocks, heads);
        let run = Run {
            rows,
            key,
            blocks,
            heads,
            given: [out.clone(), sums],
        };
        (out, run)
    })
}

/// What the forward pass keeps.
#[derive(Clone, Debug)]
struct Run {
    rows: [Tensor<2>; 3],
    key: Tensor<1>,
    blocks: Blocks,
    heads: Heads,
    given: [Tensor<2>; 2],
}

impl Tape<3> for Run {
    fn backward(self, gradient: DispatchTensor, _: [bool; 3]) -> [Option<DispatchTensor>; 3] {
        let gradient = Tensor::from_dispatch(gradient);
        let gradients = backward(
            self.rows,
            self.key,
            &self.blocks,
            self.heads,
            self.given,
            gradient,
        );
        gradients.map(|gradient| Some(gradient.into_dispatch()))
    }
}
