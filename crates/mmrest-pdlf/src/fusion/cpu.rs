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

use std::ops::Range;

use burn::nn::Linear;
use burn::tensor::Tensor;
use faer::{Accum, MatMut, MatRef};
use mmrest_kernels::activation::tanh_in_place;
use mmrest_kernels::dropout::{Mask, drop_in_place};
use mmrest_kernels::operation::{Input, Tape, apply, input, takes};
use mmrest_kernels::product::{matrix, matrix_mut, product_here};
use mmrest_kernels::vector::sum_rows;
use rayon::prelude::*;

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
        wide(self.inputs[index].values(), self.sizes.modalities[index])
    }

    /// The rows of the weight of all together that a modality is multiplied with.
    fn together(&self, index: usize) -> MatRef<'_, f32> {
        let weight = wide(self.common(TOGETHER).0, self.sizes.channels);
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
        if let Some(mask) = self.mask {
            drop_in_place(part.joint, mask, block * ROWS * self.sizes.joint);
        }
        let [first, second] = part.hidden;
        linear(first, part.joint, self.common(FIRST));
        tanh_in_place(first);
        linear(second, first, self.common(SECOND));
        tanh_in_place(second);
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
        let mut out = wide_mut(joined, self.sizes.joined);
        for index in 0..count {
            let x = self.modality(index).subrows(start, rows);
            let weights = [
                (index, wide(self.alone(index).0, channels)),
                (count, self.together(index)),
            ];
            for (block, weight) in weights {
                let out = out.as_mut().subcols_mut(block * channels, channels);
                product_here(out, Accum::Add, 1.0, x, weight);
            }
        }
        for value in joined {
            // Not `max`, to which NaN is 0.
            *value = if *value <= 0.0 { 0.0 } else { *value };
        }
    }
}

// ---- the way back ----

/// A batch on its way back.
#[derive(Clone, Debug)]
struct Run<const N: usize> {
    pass: Pass<N>,
    values: Values,
}

impl<const N: usize> Tape<N> for Run<N> {
    fn backward(self, gradient: &[f32], wanted: [bool; N]) -> [Option<Vec<f32>>; N] {
        let sizes = &self.pass.sizes;
        let count = sizes.modalities.len();
        let mut gradients = Values::new(gradient.len(), sizes);
        let parts = gradients.parts(sizes).into_par_iter();
        parts
            .zip(gradient.par_chunks(ROWS))
            .enumerate()
            .for_each(|(block, (part, gradient))| self.back(block, part, gradient));

        let all = wanted.into_par_iter().enumerate().with_max_len(1);
        let all = all.map(|(input, wanted)| {
            wanted.then(|| match input.checked_sub(count) {
                None => self.of_modality(input, &gradients),
                Some(at) => self.of_parameter(at / 2, at % 2 == 1, &gradients, gradient),
            })
        });
        let all: Vec<Option<Vec<f32>>> = all.collect();
        let mut all = all.into_iter();
        std::array::from_fn(|_| all.next().flatten())
    }
}

impl<const N: usize> Run<N> {
    /// The gradients of what goes into the functions of all layers, of a block of rows.
    fn back(&self, block: usize, part: Part<'_>, gradient: &[f32]) {
        let (pass, sizes) = (&self.pass, &self.pass.sizes);
        let [first, second] = part.hidden;
        let start = block * ROWS;
        let rows = |width: usize| start * width..(start + gradient.len()) * width;
        linear_back(second, gradient, pass.common(SCORE));
        tanh_back(second, &self.values.hidden[1][rows(sizes.hidden[1])]);
        linear_back(first, second, pass.common(SECOND));
        tanh_back(first, &self.values.hidden[0][rows(sizes.hidden[0])]);
        linear_back(part.joint, first, pass.common(FIRST));
        if let Some(mask) = pass.mask {
            drop_in_place(part.joint, mask, start * sizes.joint);
        }
        linear_back(part.joined, part.joint, pass.common(JOINT));
        let joined = &self.values.joined[rows(sizes.joined)];
        for (gradient, value) in part.joined.iter_mut().zip(joined) {
            *gradient = if *value > 0.0 { *gradient } else { 0.0 };
        }
    }

    /// The gradient of a modality's rows: from it alone, and from all together.
    fn of_modality(&self, index: usize, gradients: &Values) -> Vec<f32> {
        let (pass, sizes) = (&self.pass, &self.pass.sizes);
        let x = pass.modality(index);
        let mut out = vec![0.0; x.nrows() * x.ncols()];
        let joined = wide(&gradients.joined, sizes.joined);
        let alone = wide(pass.alone(index).0, sizes.channels);
        let blocks = [
            (index, alone),
            (sizes.modalities.len(), pass.together(index)),
        ];
        for (block, weight) in blocks {
            let gradient = joined.subcols(block * sizes.channels, sizes.channels);
            let out = wide_mut(&mut out, x.ncols());
            product_here(out, Accum::Add, 1.0, gradient, weight.transpose());
        }
        out
    }

    /// The gradient of the weight or the bias of a layer.
    fn of_parameter(
        &self,
        layer: usize,
        bias: bool,
        gradients: &Values,
        score: &[f32],
    ) -> Vec<f32> {
        let (pass, sizes, values) = (&self.pass, &self.pass.sizes, &self.values);
        let count = sizes.modalities.len();
        // The gradients after the layer, and what went into it; all modalities side by side are nowhere.
        let joint = (&values.joint[..], sizes.joint);
        let [first, second] = [0, 1].map(|at| (&values.hidden[at][..], sizes.hidden[at]));
        let [of_first, of_second] = [0, 1].map(|at| (&gradients.hidden[at][..], sizes.hidden[at]));
        let (after, before) = match layer.checked_sub(count) {
            None | Some(TOGETHER) => {
                let block = layer * sizes.channels..(layer + 1) * sizes.channels;
                let alone = (layer < count).then(|| pass.modality(layer));
                (Columns(&gradients.joined, sizes.joined, block), alone)
            }
            Some(JOINT) => whole(
                (&gradients.joint, sizes.joint),
                (&values.joined, sizes.joined),
            ),
            Some(FIRST) => whole(of_first, joint),
            Some(SECOND) => whole(of_second, first),
            Some(_) => whole((score, 1), second),
        };
        if bias {
            return after.sums();
        }
        let parts = match before {
            Some(before) => vec![(0, before)],
            None => (0..count)
                .map(|index| (sizes.offsets[index], pass.modality(index)))
                .collect(),
        };
        let inputs: usize = parts.iter().map(|(_, before)| before.ncols()).sum();
        let after = after.matrix();
        let mut out = vec![0.0; inputs * after.ncols()];
        for (at, before) in parts {
            let rows = wide_mut(&mut out, after.ncols()).subrows_mut(at, before.ncols());
            product_here(rows, Accum::Replace, 1.0, before.transpose(), after);
        }
        out
    }
}

/// All columns after a layer, and all that went into it.
fn whole<'a>(
    after: (&'a [f32], usize),
    before: (&'a [f32], usize),
) -> (Columns<'a>, Option<MatRef<'a, f32>>) {
    let before = wide(before.0, before.1);
    (Columns(after.0, after.1, 0..after.1), Some(before))
}

/// Some columns of a row-major matrix: its values, how many columns it has, and which are meant.
struct Columns<'a>(&'a [f32], usize, Range<usize>);

impl<'a> Columns<'a> {
    fn matrix(&self) -> MatRef<'a, f32> {
        wide(self.0, self.1).subcols(self.2.start, self.2.len())
    }

    /// The sum of each column.
    fn sums(&self) -> Vec<f32> {
        sum_rows(self.0, self.1, self.2.clone())
    }
}

// ---- layers on slices ----

/// A row-major matrix of so many columns.
fn wide(values: &[f32], columns: usize) -> MatRef<'_, f32> {
    matrix(values, values.len() / columns, columns)
}

/// A row-major matrix of so many columns, to write to.
fn wide_mut(values: &mut [f32], columns: usize) -> MatMut<'_, f32> {
    let rows = values.len() / columns;
    matrix_mut(values, rows, columns)
}

/// `out = x W + b`.
fn linear(out: &mut [f32], x: &[f32], (weight, bias): (&[f32], &[f32])) {
    let width = bias.len();
    for row in out.chunks_exact_mut(width) {
        row.copy_from_slice(bias);
    }
    let (out, weight) = (wide_mut(out, width), wide(weight, width));
    product_here(out, Accum::Add, 1.0, wide(x, weight.nrows()), weight);
}

/// `x- = s- W^T`.
fn linear_back(out: &mut [f32], gradient: &[f32], (weight, bias): (&[f32], &[f32])) {
    let weight = wide(weight, bias.len());
    let (out, gradient) = (wide_mut(out, weight.nrows()), wide(gradient, bias.len()));
    product_here(out, Accum::Replace, 1.0, gradient, weight.transpose());
}

/// Multiplies gradients with the slopes of tanh, given its values.
fn tanh_back(gradients: &mut [f32], values: &[f32]) {
    for (gradient, value) in gradients.iter_mut().zip(values) {
        *gradient *= 1.0 - value * value;
    }
}
