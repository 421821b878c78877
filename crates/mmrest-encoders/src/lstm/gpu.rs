//! A packed batch through an LSTM on a GPU: the frames' projection is one product, the way through time one kernel
//! ([`mmrest_kernels::gpu::lstm`]), and so back; the weights' gradients are products over all frames.

use burn::backend::DispatchTensor;
use burn::prelude::*;
use mmrest_kernels::gpu::Spans;
use mmrest_kernels::gpu::lstm::{Reading, backward, forward, previous};
use mmrest_kernels::node::{Tape, apply};

/// States from packed frames `[frames, feature]`, whose sequences are `(first frame, frames)` each, and the weights
/// `[feature, 4H]`, `[H, 4H]`, `[4H]`, `[4H]`.
pub(super) fn states(
    frames: Tensor<2>,
    weights: (Tensor<2>, Tensor<2>, Tensor<1>, Tensor<1>),
    spans: &[(usize, usize)],
    reading: Reading,
) -> Tensor<2> {
    let spans = Spans::new(spans, &frames.device());
    let (w_ih, w_hh, b_ih, b_hh) = weights;
    let inputs = [
        frames.into_dispatch(),
        w_ih.into_dispatch(),
        w_hh.into_dispatch(),
        b_ih.into_dispatch(),
        b_hh.into_dispatch(),
    ];
    apply(inputs, |[frames, w_ih, w_hh, b_ih, b_hh]| {
        let [frames, w_ih, w_hh] = [frames, w_ih, w_hh].map(Tensor::<2>::from_dispatch);
        let [b_ih, b_hh] = [b_ih, b_hh].map(Tensor::<1>::from_dispatch);
        let gates = frames.clone().matmul(w_ih.clone()) + (b_ih + b_hh).unsqueeze();
        let (states, tape) = forward(gates, w_hh.clone(), &spans, reading);
        let run = Run {
            inputs: [frames, w_ih, w_hh],
            tape,
            spans,
            reading,
        };
        (states, run)
    })
}

/// What the forward pass keeps.
#[derive(Clone, Debug)]
struct Run {
    /// The frames and the two weights.
    inputs: [Tensor<2>; 3],
    tape: Tensor<2>,
    spans: Spans,
    reading: Reading,
}

impl Tape<5> for Run {
    fn backward(self, gradient: DispatchTensor, wanted: [bool; 5]) -> [Option<DispatchTensor>; 5] {
        let [frames, w_ih, w_hh] = self.inputs;
        let gradient = Tensor::from_dispatch(gradient);
        let before = previous(self.tape.clone());
        let gates = backward(self.tape, w_hh, &self.spans, gradient, self.reading);
        let to_bias = || gates.clone().sum_dim(0).squeeze_dim::<1>(0).into_dispatch();
        let product = |a: Tensor<2>, b: Tensor<2>| a.matmul(b).into_dispatch();
        let bias = (wanted[3] || wanted[4]).then(to_bias);
        [
            wanted[0].then(|| product(gates.clone(), w_ih.transpose())),
            wanted[1].then(|| product(frames.transpose(), gates.clone())),
            wanted[2].then(|| product(before.transpose(), gates.clone())),
            bias.clone().filter(|_| wanted[3]),
            bias.filter(|_| wanted[4]),
        ]
    }
}
