//! The way back.

use faer::{Accum, MatRef};
use mmrest_metric::operation::Tape;
use rayon::prelude::*;

use super::layers::{Columns, linear_back, matrix, matrix_mut, product, tanh_back};
use super::{FIRST, JOINT, Part, Pass, ROWS, SCORE, SECOND, TOGETHER, Values};

/// A batch on its way back.
#[derive(Clone, Debug)]
pub(super) struct Run<const N: usize> {
    pub(super) pass: Pass<N>,
    pub(super) values: Values,
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
        if let Some(mask) = &pass.mask {
            mask.apply(block, part.joint);
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
            let rows = matrix_mut(&mut out, after.ncols()).subrows_mut(at, before.ncols());
            product(rows, Accum::Replace, before.transpose(), after);
        }
        out
    }
}

/// All columns after a layer, and all that went into it.
fn whole<'a>(
    after: (&'a [f32], usize),
    before: (&'a [f32], usize),
) -> (Columns<'a>, Option<MatRef<'a, f32>>) {
    let before = matrix(before.0, before.1);
    (Columns(after.0, after.1, 0..after.1), Some(before))
}
