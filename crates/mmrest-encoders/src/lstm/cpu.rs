//! A ragged batch through an LSTM as one operation, forward and back.
//!
//! Sequences are independent, so the batch is cut into groups that step through time by themselves, each on one thread.
//! With a dash for the gradient of the loss and tanh' c = 1 - tanh² c, a step back is
//!
//! ```text
//! o- = h- tanh(c) σ'(o)          c- += h- o tanh'(c)
//! i- = c- g σ'(i)    f- = c- c_{t-1} σ'(f)    g- = c- i tanh'(g)
//! h-_{t-1} = [i- f- g- o-] W_hh^T             c-_{t-1} = c- f
//! ```
//!
//! and the weights' gradients are products over all frames at once.

use burn::prelude::*;
use faer::Accum;
use mmrest_kernels::activation::{sigmoid, tanh};
use mmrest_kernels::kernel;
use mmrest_kernels::operation::{Input, Tape, apply, input};
use mmrest_kernels::product::{matrix, matrix_mut, product, small_product};
use mmrest_kernels::scratch::{Scratch, parts};
use mmrest_kernels::vector::{transpose, vectorised};
use rayon::prelude::*;

use super::schedule::Schedule;

/// Sequences that step together. More would use registers no better, fewer would leave threads nothing to do.
pub(super) const GROUP: usize = 8;

/// Last hidden states `[batch, H]` from frames `[frames, feature]` in the order of the groups' schedules, and the weights
/// `[feature, 4H]`, `[H, 4H]`, `[4H]`, `[4H]`.
pub(super) fn last_hidden(
    frames: Tensor<2>,
    weights: (Tensor<2>, Tensor<2>, Tensor<1>, Tensor<1>),
    groups: Vec<Schedule>,
) -> Tensor<2> {
    run(frames, weights, groups, false)
}

/// [`last_hidden`] with the hidden states of all frames, `[frames, H]`, in the order of the frames.
pub(super) fn states(
    frames: Tensor<2>,
    weights: (Tensor<2>, Tensor<2>, Tensor<1>, Tensor<1>),
    groups: Vec<Schedule>,
) -> Tensor<2> {
    run(frames, weights, groups, true)
}

fn run(
    frames: Tensor<2>,
    weights: (Tensor<2>, Tensor<2>, Tensor<1>, Tensor<1>),
    groups: Vec<Schedule>,
    all: bool,
) -> Tensor<2> {
    let [count, features] = frames.dims();
    let [hidden, _] = weights.1.dims();
    let rows = if all {
        count
    } else {
        groups.iter().map(|group| group.order.len()).sum()
    };
    let inputs = [
        input(frames),
        input(weights.0),
        input(weights.1),
        input(weights.2),
        input(weights.3),
    ];
    apply(inputs, |[frames, w_ih, w_hh, b_ih, b_hh], record| {
        let bias: Vec<f32> = b_ih
            .values()
            .iter()
            .zip(b_hh.values())
            .map(|(a, b)| a + b)
            .collect();
        let mut run = Run {
            features,
            hidden,
            all,
            gates: Scratch::new(count * 4 * hidden),
            cells: Scratch::new(count * hidden),
            tanhs: Scratch::new(count * hidden),
            previous: Scratch::new(count * hidden),
            groups,
            inputs: [frames.clone(), w_ih.clone(), w_hh.clone()],
        };
        let output = run.forward(frames.values(), w_ih.values(), w_hh.values(), &bias, rows);
        (output, [rows, hidden], record.then_some(run))
    })
}

/// What the forward pass keeps: one row per frame, group after group.
#[derive(Clone, Debug)]
struct Run {
    features: usize,
    hidden: usize,
    /// Whether the output has the states of all frames, or of each sequence's last.
    all: bool,
    groups: Vec<Schedule>,
    /// `[frames, 4H]`: the gates after their functions; on the way back, their gradients before them.
    gates: Scratch,
    /// `[frames, H]`: the cell after the step, and its tanh.
    cells: Scratch,
    tanhs: Scratch,
    /// `[frames, H]`: the hidden state before the step.
    previous: Scratch,
    /// The frames and the two weights.
    inputs: [Input; 3],
}

/// The rows of one group.
struct Rows<'a> {
    schedule: &'a Schedule,
    gates: &'a mut [f32],
    cells: &'a mut [f32],
    tanhs: &'a mut [f32],
    previous: &'a mut [f32],
}

impl Run {
    fn rows(&mut self) -> Vec<Rows<'_>> {
        let lengths: Vec<usize> = self.groups.iter().map(Schedule::len).collect();
        let cut = |values, width| parts(values, lengths.iter().map(move |len| len * width));
        let gates = cut(&mut self.gates, 4 * self.hidden);
        let cells = cut(&mut self.cells, self.hidden);
        let tanhs = cut(&mut self.tanhs, self.hidden);
        let previous = cut(&mut self.previous, self.hidden);
        let states = cells.into_iter().zip(tanhs).zip(previous);
        self.groups
            .iter()
            .zip(gates)
            .zip(states)
            .map(|((schedule, gates), ((cells, tanhs), previous))| Rows {
                schedule,
                gates,
                cells,
                tanhs,
                previous,
            })
            .collect()
    }

    fn forward(
        &mut self,
        frames: &[f32],
        w_ih: &[f32],
        w_hh: &[f32],
        bias: &[f32],
        rows: usize,
    ) -> Vec<f32> {
        let (features, hidden) = (self.features, self.hidden);
        for row in self.gates.chunks_exact_mut(bias.len()) {
            row.copy_from_slice(bias);
        }
        let count = self.cells.len() / hidden;
        product(
            matrix_mut(&mut self.gates, count, 4 * hidden),
            Accum::Add,
            matrix(frames, count, features),
            matrix(w_ih, features, 4 * hidden),
        );
        let mut output = vec![0.0; rows * hidden];
        if self.all {
            let lengths: Vec<usize> = self.groups.iter().map(Schedule::len).collect();
            let states = parts(&mut output, lengths.iter().map(|len| len * hidden));
            let groups = self.rows().into_par_iter().zip(states);
            groups.for_each(|(mut rows, states)| {
                rows.forward(w_hh, hidden, Some(states));
            });
            return output;
        }
        let ended: Vec<(Vec<usize>, Vec<f32>)> = self
            .rows()
            .into_par_iter()
            .map(|mut rows| {
                (
                    rows.schedule.order.clone(),
                    rows.forward(w_hh, hidden, None),
                )
            })
            .collect();
        for (order, last) in ended {
            for (sequence, last) in order.iter().zip(last.chunks_exact(hidden)) {
                output[sequence * hidden..(sequence + 1) * hidden].copy_from_slice(last);
            }
        }
        output
    }
}

impl Tape<5> for Run {
    fn backward(mut self, gradient: &[f32], wanted: [bool; 5]) -> [Option<Vec<f32>>; 5] {
        let (features, hidden) = (self.features, self.hidden);
        let wide = 4 * hidden;
        let [frames, w_ih, w_hh] = self.inputs.clone();
        let transposed = transpose(w_hh.values(), hidden, wide);
        let all = self.all;
        let mut first = 0;
        let groups: Vec<(Rows<'_>, Option<&[f32]>)> = self
            .rows()
            .into_iter()
            .map(|rows| {
                let own = first..first + rows.schedule.len() * hidden;
                first = own.end;
                (rows, all.then(|| &gradient[own]))
            })
            .collect();
        let sums: Vec<Vec<f32>> = groups
            .into_par_iter()
            .map(|(mut rows, states)| match states {
                Some(states) => rows.backward(states, &transposed, hidden, true),
                None => rows.backward(gradient, &transposed, hidden, false),
            })
            .collect();
        let mut bias = vec![0.0; wide];
        for sums in sums {
            for (bias, sum) in bias.iter_mut().zip(sums) {
                *bias += sum;
            }
        }
        let count = self.cells.len() / hidden;
        let gates = matrix(&self.gates, count, wide);
        let weight = |rows: &[f32], width: usize| {
            let mut out = vec![0.0; width * wide];
            let rows = matrix(rows, count, width).transpose();
            product(
                matrix_mut(&mut out, width, wide),
                Accum::Replace,
                rows,
                gates,
            );
            out
        };
        let (to_ih, to_hh) = rayon::join(
            || wanted[1].then(|| weight(frames.values(), features)),
            || wanted[2].then(|| weight(&self.previous, hidden)),
        );
        let frames = wanted[0].then(|| {
            let mut out = vec![0.0; count * features];
            let back = matrix(w_ih.values(), features, wide).transpose();
            product(
                matrix_mut(&mut out, count, features),
                Accum::Replace,
                gates,
                back,
            );
            out
        });
        let [b_ih, b_hh] = [wanted[3], wanted[4]].map(|wanted| wanted.then(|| bias.clone()));
        [frames, to_ih, to_hh, b_ih, b_hh]
    }
}

impl Rows<'_> {
    /// Hidden states after each sequence's last frame, in the order of the schedule; those after every frame go to `states`.
    fn forward(&mut self, w_hh: &[f32], size: usize, mut states: Option<&mut [f32]>) -> Vec<f32> {
        let wide = 4 * size;
        let mut hidden = vec![0.0; self.schedule.order.len() * size];
        let zeros = hidden.clone();
        let (mut start, mut before) = (0, 0);
        for (step, &count) in self.schedule.active.iter().enumerate() {
            let rows = start * size..(start + count) * size;
            let hidden = &mut hidden[..count * size];
            self.previous[rows.clone()].copy_from_slice(hidden);
            let gates = &mut self.gates[start * wide..(start + count) * wide];
            if step > 0 {
                small_product::<true>(gates, hidden, w_hh, size, wide);
            }
            let (past, cells) = self.cells.split_at_mut(rows.start);
            let past = if step == 0 {
                &zeros[..]
            } else {
                &past[before * size..]
            };
            let tanhs = &mut self.tanhs[rows.clone()];
            vectorised(
                forward_rows,
                (gates, past, (cells, tanhs, &mut *hidden), size),
            );
            if let Some(states) = &mut states {
                states[rows].copy_from_slice(hidden);
            }
            before = start;
            start += count;
        }
        hidden
    }

    /// Turns the gates into their gradients; gives their sum over all frames, `[4H]`. `gradient` is that of the states of
    /// the group's own frames where `all`, else of every sequence's last state.
    fn backward(&mut self, gradient: &[f32], w_hh: &[f32], size: usize, all: bool) -> Vec<f32> {
        let wide = 4 * size;
        let mut sums = vec![0.0; wide];
        let mut hidden = vec![0.0; self.schedule.order.len() * size];
        let mut cell = hidden.clone();
        let zeros = hidden.clone();
        let mut alive = 0;
        let mut start = self.schedule.len();
        for (step, &count) in self.schedule.active.iter().enumerate().rev() {
            start -= count;
            if all {
                let states = &gradient[start * size..(start + count) * size];
                for (hidden, state) in hidden.iter_mut().zip(states) {
                    *hidden += state;
                }
            }
            let ending = if all { count } else { alive };
            for (row, sequence) in (ending..count).zip(&self.schedule.order[ending..]) {
                hidden[row * size..(row + 1) * size]
                    .copy_from_slice(&gradient[sequence * size..(sequence + 1) * size]);
            }
            alive = count;
            let gates = &mut self.gates[start * wide..(start + count) * wide];
            let past = match step.checked_sub(1) {
                Some(step) => &self.cells[(start - self.schedule.active[step]) * size..],
                None => &zeros[..],
            };
            let tanhs = &self.tanhs[start * size..(start + count) * size];
            let states = (tanhs, &hidden[..], &mut cell[..]);
            vectorised(backward_rows, (&mut *gates, past, states, &mut sums, size));
            if step > 0 {
                small_product::<false>(&mut hidden[..count * size], gates, w_hh, wide, size);
            }
        }
        sums
    }
}

kernel! {
    /// A step of all sequences that are alive: [`forward_row`] of each.
    fn forward_rows(
        (gates, past, (cells, tanhs, hidden), size): (&mut [f32], &[f32], (&mut [f32], &mut [f32], &mut [f32]), usize)
    ) {
        let states = cells
            .chunks_exact_mut(size)
            .zip(tanhs.chunks_exact_mut(size))
            .zip(hidden.chunks_exact_mut(size));
        let gates = gates.chunks_exact_mut(4 * size).zip(past.chunks_exact(size));
        for ((gates, past), ((cell, tanh), hidden)) in gates.zip(states) {
            forward_row(gates, past, cell, tanh, hidden);
        }
    }
}

kernel! {
    /// A step back of all sequences that are alive: [`backward_row`] of each, and the sums of the gates' gradients.
    fn backward_rows(
        (gates, past, (tanhs, hidden, cell), sums, size): (&mut [f32], &[f32], (&[f32], &[f32], &mut [f32]), &mut Vec<f32>, usize)
    ) {
        let states = tanhs
            .chunks_exact(size)
            .zip(hidden.chunks_exact(size))
            .zip(cell.chunks_exact_mut(size));
        let gates = gates.chunks_exact_mut(4 * size).zip(past.chunks_exact(size));
        for ((gates, past), ((tanh, hidden), cell)) in gates.zip(states) {
            backward_row(gates, past, tanh, hidden, cell);
            for (sum, gate) in sums.iter_mut().zip(&*gates) {
                *sum += *gate;
            }
        }
    }
}

/// One sequence, one step: from the gates' sums to the gates, the cell, its tanh and the hidden state.
#[inline(always)]
fn forward_row(
    gates: &mut [f32],
    past: &[f32],
    cell: &mut [f32],
    tanh_cell: &mut [f32],
    hidden: &mut [f32],
) {
    let size = cell.len();
    let (input_forget, rest) = gates.split_at_mut(2 * size);
    let (candidate, output) = rest.split_at_mut(size);
    // One loop a result: with all in one, too many slices might overlap for the compiler to use vectors.
    for gate in &mut *input_forget {
        *gate = sigmoid(*gate);
    }
    for gate in &mut *output {
        *gate = sigmoid(*gate);
    }
    for value in &mut *candidate {
        *value = tanh(*value);
    }
    let (input, forget) = input_forget.split_at(size);
    let kept = forget.iter().zip(past);
    let added = input.iter().zip(&*candidate);
    for ((cell, (forget, past)), (input, candidate)) in cell.iter_mut().zip(kept).zip(added) {
        *cell = forget * past + input * candidate;
    }
    for (tanh_cell, cell) in tanh_cell.iter_mut().zip(&*cell) {
        *tanh_cell = tanh(*cell);
    }
    for ((hidden, output), tanh_cell) in hidden.iter_mut().zip(&*output).zip(&*tanh_cell) {
        *hidden = output * tanh_cell;
    }
}

/// One sequence, one step back: the gates become the gradients of their sums, the cell's gradient that of the past cell.
#[inline(always)]
fn backward_row(
    gates: &mut [f32],
    past: &[f32],
    tanh_cell: &[f32],
    hidden: &[f32],
    cell: &mut [f32],
) {
    let size = cell.len();
    let (i, rest) = gates.split_at_mut(size);
    let (f, rest) = rest.split_at_mut(size);
    let (g, o) = rest.split_at_mut(size);
    let (o, past) = (&mut o[..size], &past[..size]);
    let (tanh_cell, hidden) = (&tanh_cell[..size], &hidden[..size]);
    for k in 0..size {
        let through = cell[k] + hidden[k] * o[k] * (1.0 - tanh_cell[k] * tanh_cell[k]);
        o[k] = hidden[k] * tanh_cell[k] * o[k] * (1.0 - o[k]);
        cell[k] = through * f[k];
        f[k] = through * past[k] * f[k] * (1.0 - f[k]);
        let input = i[k];
        i[k] = through * g[k] * input * (1.0 - input);
        g[k] = through * input * (1.0 - g[k] * g[k]);
    }
}
