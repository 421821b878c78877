//! The whole score as one operation on the CPU, forward and back.
//!
//! With a dash for the gradient of the loss and `x` for the rows that went into a layer `z = f(x W + b)`:
//!
//! ```text
//! s- = z- f'      x- = s- W^T      W- = x^T s-      b- = sum of s- over the rows
//! ```
//!
//! Rows are independent but for the weights' gradients. So they are cut into blocks that go forward and back by
//! themselves, each on one thread; then come the weights' gradients, each a product over all rows on one thread.

mod back;
mod layers;
mod mask;

use burn::nn::Linear;
use burn::tensor::Tensor;
use faer::{Accum, MatRef};
use mmrest_metric::operation::{Input, apply, input, takes};
use rayon::prelude::*;

use self::back::Run;
use self::layers::{linear, matrix, matrix_mut, product, tanh};
use self::mask::Mask;
use super::{Alone, Fusion};

/// Rows that one thread takes at a time.
const ROWS: usize = 32;

/// Whether [`score`] can take these: all of it is on the CPU in single precision, every layer has its bias, and all blocks
/// of channels are of one width.
pub(super) fn fits(fusion: &Fusion, alone: &[Alone<'_>]) -> bool {
    let channels = fusion.together.weight.shape()[1];
    all_layers(fusion, alone).all(|layer| takes(&layer.weight.val()) && layer.bias.is_some())
        && alone
            .iter()
            .all(|alone| takes(&alone.input) && alone.layer.weight.shape()[1] == channels)
}

/// What [`Fusion::forward`] says, for what [`fits`].
pub(super) fn score(fusion: &Fusion, alone: &[Alone<'_>]) -> Tensor<1> {
    match alone.len() {
        1 => run::<13>(fusion, alone),
        2 => run::<16>(fusion, alone),
        _ => run::<19>(fusion, alone),
    }
}

/// N: an input of each modality, and weight and bias of each layer.
fn run<const N: usize>(fusion: &Fusion, alone: &[Alone<'_>]) -> Tensor<1> {
    let [rows, _] = alone[0].input.dims();
    let sizes = Sizes::of(fusion, alone);
    let mask = Mask::draw(&fusion.dropout, &alone[0].input.device());

    let modalities = alone.iter().map(|alone| input(alone.input.clone()));
    let parameters = all_layers(fusion, alone).flat_map(|layer| {
        let bias = layer.bias.as_ref().map(|bias| input(bias.val()));
        [Some(input(layer.weight.val())), bias]
    });
    let mut all = modalities.chain(parameters.flatten());
    let inputs: [_; N] = std::array::from_fn(|_| match all.next() {
        Some(input) => input,
        None => unreachable!("three inputs of each modality, and ten"),
    });
    apply(inputs, |inputs, record| {
        let pass = Pass {
            inputs,
            sizes,
            mask,
        };
        let (values, score) = pass.forward(rows);
        (score, [rows], record.then_some(Run { pass, values }))
    })
}

/// All linear layers, in the order of the operation's inputs: each modality alone, then those of [`TOGETHER`] and on.
fn all_layers<'a>(fusion: &'a Fusion, alone: &'a [Alone<'_>]) -> impl Iterator<Item = &'a Linear> {
    let common = [
        &fusion.together,
        &fusion.joint,
        &fusion.first,
        &fusion.second,
        &fusion.score,
    ];
    alone.iter().map(|alone| alone.layer).chain(common)
}

// The layers after those of each modality alone.
const TOGETHER: usize = 0;
const JOINT: usize = 1;
const FIRST: usize = 2;
const SECOND: usize = 3;
const SCORE: usize = 4;

/// How wide everything is.
#[derive(Clone, Debug)]
struct Sizes {
    /// Of each modality.
    modalities: Vec<usize>,
    /// Where each modality starts among all of them side by side.
    offsets: Vec<usize>,
    /// Of a block of channels: each modality alone, and all together.
    channels: usize,
    /// Of all these blocks.
    joined: usize,
    joint: usize,
    hidden: [usize; 2],
}

impl Sizes {
    fn of(fusion: &Fusion, alone: &[Alone<'_>]) -> Self {
        let modalities: Vec<usize> = alone.iter().map(|alone| alone.input.dims()[1]).collect();
        let before = |place| {
            let others = alone.iter().zip(&modalities);
            others.filter(move |(other, _)| other.place < place)
        };
        let offset = |alone: &Alone<'_>| before(alone.place).map(|(_, width)| width).sum();
        let outputs = |layer: &Linear| layer.weight.shape()[1];
        Self {
            offsets: alone.iter().map(offset).collect(),
            channels: outputs(&fusion.together),
            joined: (modalities.len() + 1) * outputs(&fusion.together),
            joint: outputs(&fusion.joint),
            hidden: [outputs(&fusion.first), outputs(&fusion.second)],
            modalities,
        }
    }
}

/// What comes out of the layers, or gradients of what goes into their functions.
#[derive(Clone, Debug)]
struct Values {
    /// `[rows, joined]`: relu.
    joined: Vec<f32>,
    /// `[rows, joint]`: dropout.
    joint: Vec<f32>,
    /// `[rows, hidden]`: tanh.
    hidden: [Vec<f32>; 2],
}

/// The same of some of the rows.
struct Part<'a> {
    joined: &'a mut [f32],
    joint: &'a mut [f32],
    hidden: [&'a mut [f32]; 2],
}

impl Values {
    fn new(rows: usize, sizes: &Sizes) -> Self {
        Self {
            joined: vec![0.0; rows * sizes.joined],
            joint: vec![0.0; rows * sizes.joint],
            hidden: sizes.hidden.map(|width| vec![0.0; rows * width]),
        }
    }

    fn parts(&mut self, sizes: &Sizes) -> Vec<Part<'_>> {
        let [first, second] = &mut self.hidden;
        let first = first.chunks_mut(ROWS * sizes.hidden[0]);
        let hidden = first.zip(second.chunks_mut(ROWS * sizes.hidden[1]));
        let joint = self.joint.chunks_mut(ROWS * sizes.joint);
        let joined = self.joined.chunks_mut(ROWS * sizes.joined);
        let parts = joined.zip(joint).zip(hidden);
        parts
            .map(|((joined, joint), (first, second))| Part {
                joined,
                joint,
                hidden: [first, second],
            })
            .collect()
    }
}

/// What the forward pass reads.
#[derive(Clone, Debug)]
struct Pass<const N: usize> {
    inputs: [Input; N],
    sizes: Sizes,
    mask: Option<Mask>,
}

impl<const N: usize> Pass<N> {
    /// Weight and bias of a layer of one modality.
    fn alone(&self, index: usize) -> (&[f32], &[f32]) {
        let at = self.sizes.modalities.len() + 2 * index;
        (self.inputs[at].values(), self.inputs[at + 1].values())
    }

    /// Weight and bias of a layer after those.
    fn common(&self, layer: usize) -> (&[f32], &[f32]) {
        self.alone(self.sizes.modalities.len() + layer)
    }

    /// The rows of a modality.
    fn modality(&self, index: usize) -> MatRef<'_, f32> {
        matrix(self.inputs[index].values(), self.sizes.modalities[index])
    }

    /// The rows of the weight of all together that a modality is multiplied with.
    fn together(&self, index: usize) -> MatRef<'_, f32> {
        let weight = matrix(self.common(TOGETHER).0, self.sizes.channels);
        weight.subrows(self.sizes.offsets[index], self.sizes.modalities[index])
    }

    /// The values of all layers, and the score.
    fn forward(&self, rows: usize) -> (Values, Vec<f32>) {
        let mut values = Values::new(rows, &self.sizes);
        let mut score = vec![0.0; rows];
        let parts = values.parts(&self.sizes).into_par_iter();
        parts
            .zip(score.par_chunks_mut(ROWS))
            .enumerate()
            .for_each(|(block, (part, score))| self.forward_block(block, part, score));
        (values, score)
    }

    fn forward_block(&self, block: usize, part: Part<'_>, score: &mut [f32]) {
        self.join(block * ROWS, part.joined);
        linear(part.joint, part.joined, self.common(JOINT));
        if let Some(mask) = &self.mask {
            mask.apply(block, part.joint);
        }
        let [first, second] = part.hidden;
        linear(first, part.joint, self.common(FIRST));
        first.iter_mut().for_each(|value| *value = tanh(*value));
        linear(second, first, self.common(SECOND));
        second.iter_mut().for_each(|value| *value = tanh(*value));
        linear(score, second, self.common(SCORE));
    }

    /// The blocks of channels, of the rows from `start` on: each modality alone, and all together.
    fn join(&self, start: usize, joined: &mut [f32]) {
        let count = self.sizes.modalities.len();
        let channels = self.sizes.channels;
        let rows = joined.len() / self.sizes.joined;
        for row in joined.chunks_exact_mut(self.sizes.joined) {
            for (layer, values) in row.chunks_exact_mut(channels).enumerate() {
                values.copy_from_slice(self.alone(layer).1);
            }
        }
        let mut out = matrix_mut(joined, self.sizes.joined);
        for index in 0..count {
            let x = self.modality(index).subrows(start, rows);
            let weights = [
                (index, matrix(self.alone(index).0, channels)),
                (count, self.together(index)),
            ];
            for (block, weight) in weights {
                let out = out.as_mut().subcols_mut(block * channels, channels);
                product(out, Accum::Add, x, weight);
            }
        }
        for value in joined {
            // Not `max`, to which NaN is 0.
            *value = if *value <= 0.0 { 0.0 } else { *value };
        }
    }
}
