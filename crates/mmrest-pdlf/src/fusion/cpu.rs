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

use burn::nn::{Dropout, Linear};
use burn::tensor::{Device, Distribution, Tensor};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use mmrest_metric::operation::{Input, Tape, apply, input, takes};
use rayon::prelude::*;

use super::{Alone, Fusion};

/// Rows that one thread takes at a time.
const ROWS: usize = 32;

/// Whether [`score`] can take these: all of it is on the CPU in single precision, and every layer has its bias.
pub(super) fn fits(fusion: &Fusion, alone: &[Alone<'_>]) -> bool {
    layers(fusion, alone).all(|layer| takes(&layer.weight.val()) && layer.bias.is_some())
        && alone.iter().all(|alone| takes(&alone.input))
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
    let shape = [rows, sizes.joint];
    let mask = Mask::of(&fusion.dropout, shape, &alone[0].input.device());

    let modalities = alone.iter().map(|alone| input(alone.input.clone()));
    let parameters = layers(fusion, alone).flat_map(|layer| {
        let bias = layer.bias.as_ref().map(|bias| input(bias.val()));
        [Some(input(layer.weight.val())), bias]
    });
    let mut all = modalities.chain(parameters.flatten());
    let inputs: [_; N] = std::array::from_fn(|_| match all.next() {
        Some(input) => input,
        None => unreachable!("three inputs of each modality, and ten"),
    });
    apply(inputs, |inputs, record| {
        let pass = Pass { inputs, sizes };
        let (values, factors, score) = pass.forward(rows, mask);
        let tape = record.then_some(Run {
            pass,
            values,
            factors,
        });
        (score, [rows], tape)
    })
}

/// All linear layers, in the order of the operation's inputs: each modality alone, then those of [`TOGETHER`] and on.
fn layers<'a>(fusion: &'a Fusion, alone: &'a [Alone<'_>]) -> impl Iterator<Item = &'a Linear> {
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

/// A dropout mask that is yet to be drawn.
struct Mask {
    shape: [usize; 2],
    keep: f64,
    device: Device,
}

impl Mask {
    /// None where dropout does nothing: the conditions are those of [`Dropout::forward`].
    fn of(dropout: &Dropout, shape: [usize; 2], device: &Device) -> Option<Self> {
        let active = dropout.training.is_enabled() && device.is_autodiff() && dropout.prob != 0.0;
        active.then(|| Self {
            shape,
            keep: 1.0 - dropout.prob,
            device: device.clone().inner(),
        })
    }

    /// What each value is multiplied with, 0 or `1 / keep`, from the numbers that [`Dropout::forward`] would draw.
    fn draw(self) -> Vec<f32> {
        let scale = (1.0 / self.keep) as f32;
        let kept = Distribution::Bernoulli(self.keep);
        let drawn = Tensor::<2>::random(self.shape, kept, &self.device).into_data();
        drawn.iter::<f32>().map(|kept| kept * scale).collect()
    }
}

/// Multiplies with the factors of a mask, if there is one.
fn drop_out(values: &mut [f32], factors: &[f32]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
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

    /// The values of all layers, the factors of dropout, and the score.
    fn forward(&self, rows: usize, mask: Option<Mask>) -> (Values, Vec<f32>, Vec<f32>) {
        let mut values = Values::new(rows, &self.sizes);
        let mut score = vec![0.0; rows];
        let mut parts = values.parts(&self.sizes);
        let (factors, ()) = rayon::join(
            || mask.map(Mask::draw).unwrap_or_default(),
            || {
                let parts = parts.par_iter_mut().enumerate();
                parts.for_each(|(index, part)| self.join(index * ROWS, part));
            },
        );
        parts
            .into_par_iter()
            .zip(score.par_chunks_mut(ROWS))
            .enumerate()
            .for_each(|(index, (part, score))| {
                let start = index * ROWS * self.sizes.joint;
                self.decide(part, factors.get(start..).unwrap_or_default(), score);
            });
        (values, factors, score)
    }

    /// From the modalities to the joint values, of the rows from `start` on.
    fn join(&self, start: usize, part: &mut Part<'_>) {
        let count = self.sizes.modalities.len();
        let channels = self.sizes.channels;
        let rows = part.joint.len() / self.sizes.joint;
        for row in part.joined.chunks_exact_mut(self.sizes.joined) {
            for (layer, values) in row.chunks_exact_mut(channels).enumerate() {
                values.copy_from_slice(self.alone(layer).1);
            }
        }
        let mut joined = matrix_mut(part.joined, self.sizes.joined);
        for index in 0..count {
            let x = self.modality(index).subrows(start, rows);
            let weights = [
                (index, matrix(self.alone(index).0, channels)),
                (count, self.together(index)),
            ];
            for (block, weight) in weights {
                let out = joined.as_mut().subcols_mut(block * channels, channels);
                product(out, Accum::Add, x, weight);
            }
        }
        for value in &mut *part.joined {
            // Not `max`, to which NaN is 0.
            *value = if *value <= 0.0 { 0.0 } else { *value };
        }
        linear(part.joint, part.joined, self.common(JOINT));
    }

    /// From the joint values to the score.
    fn decide(&self, part: Part<'_>, factors: &[f32], score: &mut [f32]) {
        let [first, second] = part.hidden;
        drop_out(part.joint, factors);
        linear(first, part.joint, self.common(FIRST));
        first.iter_mut().for_each(|value| *value = value.tanh());
        linear(second, first, self.common(SECOND));
        second.iter_mut().for_each(|value| *value = value.tanh());
        linear(score, second, self.common(SCORE));
    }
}

/// A batch on its way back.
#[derive(Clone, Debug)]
struct Run<const N: usize> {
    pass: Pass<N>,
    values: Values,
    factors: Vec<f32>,
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
            .for_each(|(index, (part, gradient))| self.back(index * ROWS, part, gradient));

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
    /// The gradients of what goes into the functions of all layers, of the rows from `start` on.
    fn back(&self, start: usize, part: Part<'_>, gradient: &[f32]) {
        let (pass, sizes) = (&self.pass, &self.pass.sizes);
        let [first, second] = part.hidden;
        let values = |values, width: usize| -> &[f32] {
            let values: &Vec<f32> = values;
            &values[start * width..][..gradient.len() * width]
        };
        linear_back(second, gradient, pass.common(SCORE));
        tanh_back(second, values(&self.values.hidden[1], sizes.hidden[1]));
        linear_back(first, second, pass.common(SECOND));
        tanh_back(first, values(&self.values.hidden[0], sizes.hidden[0]));
        linear_back(part.joint, first, pass.common(FIRST));
        let factors = self.factors.get(start * sizes.joint..).unwrap_or_default();
        drop_out(part.joint, factors);
        linear_back(part.joined, part.joint, pass.common(JOINT));
        let joined = values(&self.values.joined, sizes.joined);
        for (gradient, value) in part.joined.iter_mut().zip(joined) {
            *gradient = if *value > 0.0 { *gradient } else { 0.0 };
        }
    }

    /// The gradient of a modality's rows: from it alone, and from all together.
    fn of_modality(&self, index: usize, gradients: &Values) -> Vec<f32> {
        let (pass, sizes) = (&self.pass, &self.pass.sizes);
        let x = pass.modality(index);
        let mut out = vec![0.0; x.nrows() * x.ncols()];
        let joined = matrix(&gradients.joined, sizes.joined);
        let alone = matrix(pass.alone(index).0, sizes.channels);
        let blocks = [
            (index, alone),
            (sizes.modalities.len(), pass.together(index)),
        ];
        for (block, weight) in blocks {
            let gradient = joined.subcols(block * sizes.channels, sizes.channels);
            let out = matrix_mut(&mut out, x.ncols());
            product(out, Accum::Add, gradient, weight.transpose());
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
        let (after, before) = match layer.checked_sub(count) {
            None | Some(TOGETHER) => {
                let block = layer * sizes.channels..(layer + 1) * sizes.channels;
                let alone = (layer < count).then(|| pass.modality(layer));
                (Columns(&gradients.joined, sizes.joined, block), alone)
            }
            Some(JOINT) => {
                let before = matrix(&values.joined, sizes.joined);
                (Columns::all(&gradients.joint, sizes.joint), Some(before))
            }
            Some(FIRST) => {
                let before = matrix(&values.joint, sizes.joint);
                let after = Columns::all(&gradients.hidden[0], sizes.hidden[0]);
                (after, Some(before))
            }
            Some(SECOND) => {
                let before = matrix(&values.hidden[0], sizes.hidden[0]);
                let after = Columns::all(&gradients.hidden[1], sizes.hidden[1]);
                (after, Some(before))
            }
            Some(_) => {
                let before = matrix(&values.hidden[1], sizes.hidden[1]);
                (Columns::all(score, 1), Some(before))
            }
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
            let rows = matrix_mut(&mut out, after.ncols()).subrows_mut(at, before.ncols());
            product(rows, Accum::Replace, before.transpose(), after);
        }
        out
    }
}

/// Some columns of a row-major matrix: its values, how many columns it has, and which are meant.
struct Columns<'a>(&'a [f32], usize, Range<usize>);

impl<'a> Columns<'a> {
    fn all(values: &'a [f32], columns: usize) -> Self {
        Self(values, columns, 0..columns)
    }

    fn matrix(&self) -> MatRef<'a, f32> {
        matrix(self.0, self.1).subcols(self.2.start, self.2.len())
    }

    /// The sum of each column.
    fn sums(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.2.len()];
        for row in self.0.chunks_exact(self.1) {
            for (sum, value) in sums.iter_mut().zip(&row[self.2.clone()]) {
                *sum += value;
            }
        }
        sums
    }
}

/// A row-major matrix of so many columns.
fn matrix(values: &[f32], columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(values, values.len() / columns, columns)
}

/// A row-major matrix of so many columns, to write to.
fn matrix_mut(values: &mut [f32], columns: usize) -> MatMut<'_, f32> {
    let rows = values.len() / columns;
    MatMut::from_row_major_slice_mut(values, rows, columns)
}

fn product(out: MatMut<'_, f32>, accumulate: Accum, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    matmul(out, accumulate, a, b, 1.0, Par::Seq);
}

/// `out = x W + b`.
fn linear(out: &mut [f32], x: &[f32], (weight, bias): (&[f32], &[f32])) {
    let width = bias.len();
    for row in out.chunks_exact_mut(width) {
        row.copy_from_slice(bias);
    }
    let (out, weight) = (matrix_mut(out, width), matrix(weight, width));
    product(out, Accum::Add, matrix(x, weight.nrows()), weight);
}

/// `x- = s- W^T`.
fn linear_back(out: &mut [f32], gradient: &[f32], (weight, bias): (&[f32], &[f32])) {
    let weight = matrix(weight, bias.len());
    let (out, gradient) = (
        matrix_mut(out, weight.nrows()),
        matrix(gradient, bias.len()),
    );
    product(out, Accum::Replace, gradient, weight.transpose());
}

/// Multiplies gradients with the slopes of tanh, given its values.
fn tanh_back(gradients: &mut [f32], values: &[f32]) {
    for (gradient, value) in gradients.iter_mut().zip(values) {
        *gradient *= 1.0 - value * value;
    }
}
