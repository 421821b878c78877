//! A one-layer LSTM, read at each sequence's own last frame or at all of them, and one that reads both ways.
//!
//! With the gates stacked in PyTorch's order i, f, g, o (Hochreiter & Schmidhuber, 1997; `torch.nn.LSTM`):
//!
//! ```text
//! [i f g o] = x_t W_ih + b_ih + h_{t-1} W_hh + b_hh
//! c_t = σ(f) c_{t-1} + σ(i) tanh(g)
//! h_t = σ(o) tanh(c_t)
//! ```
//!
//! On the CPU all of it is one operation (`cpu.rs`), on a GPU a few (`gpu.rs`); elsewhere it is burn's operations, step
//! by step. Slicing one large tracked tensor over time makes backward quadratic in time, so the (untracked) frames are
//! what is sliced, and every step projects its own. Sequences are sorted by length: those that have ended leave the step.

mod cpu;
mod gpu;
mod schedule;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::{sigmoid, tanh};
use mmrest_kernels::gpu as kernels;
use mmrest_kernels::gpu::lstm::Reading;
use mmrest_kernels::host::{self, ReadError};
use mmrest_kernels::operation::takes;
use mmrest_onnx::{Attribute, Element, Graph, Value};

use self::schedule::Schedule;
use crate::init::{WeightInit, uniform_init, xavier_normal_init};
use crate::packed::lens;

/// Sizes of an [`Lstm`].
#[derive(Config, Debug)]
pub struct LstmConfig {
    /// Features of a frame.
    pub input: usize,
    /// Size of the hidden state, H.
    pub hidden: usize,
}

/// A one-layer LSTM with fused gates. Its weights are PyTorch's, transposed.
#[derive(Module, Debug)]
pub struct Lstm {
    /// `[input, 4H]`, gates in the order i, f, g, o.
    pub weight_ih: Param<Tensor<2>>,
    /// `[H, 4H]`.
    pub weight_hh: Param<Tensor<2>>,
    /// `[4H]`.
    pub bias_ih: Param<Tensor<1>>,
    /// `[4H]`; added to the other, and a parameter of its own as in PyTorch.
    pub bias_hh: Param<Tensor<1>>,
}

impl LstmConfig {
    /// An LSTM with Xavier-normal weights (fans of PyTorch's `[4H, input]` and `[4H, H]`) and biases uniform in
    /// `±1 / sqrt(H)`.
    pub fn init(&self, device: &Device) -> Lstm {
        self.init_with(WeightInit::XavierNormal, device)
    }

    /// [`init`](Self::init) with weights that start in another way. `torch.nn.LSTM` draws all four parameters from the
    /// uniform distribution in `±1 / sqrt(H)`:
    ///
    /// ```
    /// use burn::prelude::*;
    /// use mmrest_encoders::LstmConfig;
    /// use mmrest_encoders::init::WeightInit;
    ///
    /// let lstm = LstmConfig::new(5, 64).init_with(WeightInit::PyTorch, &Device::flex());
    /// let largest: f32 = lstm.weight_ih.val().abs().max().into_scalar();
    /// assert!((0.12..=0.125).contains(&largest)); // 1 / sqrt(64)
    /// ```
    pub fn init_with(&self, weights: WeightInit, device: &Device) -> Lstm {
        let (input, hidden, gates) = (self.input, self.hidden, 4 * self.hidden);
        let weight = |rows: usize| match weights {
            WeightInit::XavierNormal => xavier_normal_init([rows, gates], rows, gates, device),
            WeightInit::PyTorch => uniform_init([rows, gates], hidden, device),
        };
        Lstm {
            weight_ih: weight(input),
            weight_hh: weight(hidden),
            bias_ih: uniform_init([gates], hidden, device),
            bias_hh: uniform_init([gates], hidden, device),
        }
    }
}

impl Lstm {
    /// Hidden state of each sequence at its own last frame: `[batch, H]`, from right-padded `x: [batch, time, feature]`.
    ///
    /// What lies beyond a sequence's length does not matter. A length of 0 counts as 1 (the padding frame, zeros), one
    /// beyond the time of `x` as that time.
    ///
    /// ```
    /// use burn::prelude::*;
    /// use mmrest_encoders::LstmConfig;
    ///
    /// let device = Device::flex();
    /// let lstm = LstmConfig::new(5, 64).init(&device);
    /// let frames = Tensor::<3>::ones([2, 7, 5], &device); // [batch, time, feature]
    /// assert_eq!(lstm.last_hidden(frames, &[7, 3]).dims(), [2, 64]);
    /// ```
    ///
    /// # Panics
    ///
    /// When there are not as many lengths as sequences, or no frame at all.
    pub fn last_hidden(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        let [batch, _, _] = x.dims();
        assert_eq!(batch, lengths.len(), "one length per sequence");
        if takes(&x) && takes(&self.weight_ih.val()) {
            self.last_hidden_cpu(x, lengths)
        } else if kernels::takes(&x) && kernels::takes(&self.weight_ih.val()) {
            self.last_hidden_gpu(x, lengths)
        } else {
            self.last_hidden_by_steps(x, lengths)
        }
    }

    /// Hidden states of all frames, `[frames, H]`, of a packed batch `x: [frames, feature]`: sequence i has the frames
    /// `offsets[i]..offsets[i + 1]`, at least one. `reverse` reads each from its own last frame to its first.
    pub fn states(&self, x: Tensor<2>, offsets: &[usize], reverse: bool) -> Tensor<2> {
        if kernels::takes(&x) && kernels::takes(&self.weight_ih.val()) {
            let spans: Vec<_> = offsets.windows(2).map(|b| (b[0], b[1] - b[0])).collect();
            let reading = Reading { reverse, all: true };
            return gpu::states(x, self.weights(), &spans, reading);
        }
        let lengths: Vec<usize> = lens(offsets).collect();
        let time = lengths.iter().copied().max().unwrap_or(0);
        let cpu = takes(&x) && takes(&self.weight_ih.val());
        let groups = if cpu {
            Schedule::groups(&lengths, time, cpu::GROUP)
        } else {
            vec![Schedule::new(&lengths, time)]
        };
        let place = |(sequence, step): (usize, usize)| {
            if reverse {
                offsets[sequence + 1] - 1 - step
            } else {
                offsets[sequence] + step
            }
        };
        let order: Vec<usize> = groups.iter().flat_map(Schedule::steps).map(place).collect();
        let mut back = vec![0; order.len()];
        for (read, &frame) in order.iter().enumerate() {
            back[frame] = read;
        }
        let device = x.device();
        let frames = x.select(0, index(&order, &device));
        let states = if cpu {
            cpu::states(frames, self.weights(), groups)
        } else {
            let active = groups.first().map_or(&[][..], |group| &group.active);
            self.run(frames, active).1
        };
        states.select(0, index(&back, &device))
    }

    fn weights(&self) -> (Tensor<2>, Tensor<2>, Tensor<1>, Tensor<1>) {
        (
            self.weight_ih.val(),
            self.weight_hh.val(),
            self.bias_ih.val(),
            self.bias_hh.val(),
        )
    }

    /// [`last_hidden`](Self::last_hidden) as a single operation on the CPU.
    fn last_hidden_cpu(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        let time = x.dims()[1];
        let groups = Schedule::groups(lengths, time, cpu::GROUP);
        let frames: Vec<usize> = groups.iter().flat_map(|group| group.frames(time)).collect();
        cpu::last_hidden(rows(x, &frames), self.weights(), groups)
    }

    /// [`last_hidden`](Self::last_hidden) by the kernels of a GPU.
    fn last_hidden_gpu(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        let [batch, time, features] = x.dims();
        let lengths = schedule::clamped(lengths, time);
        let frames = if lengths.iter().all(|&length| length == time) {
            x.reshape([batch * time, features])
        } else {
            let own = |(sequence, &length)| (0..length).map(move |step| sequence * time + step);
            let frames: Vec<usize> = lengths.iter().enumerate().flat_map(own).collect();
            rows(x, &frames)
        };
        let spans = lengths.iter().scan(0, |first, &length| {
            let span = (*first, length);
            *first += length;
            Some(span)
        });
        let reading = Reading {
            reverse: false,
            all: false,
        };
        gpu::states(frames, self.weights(), &spans.collect::<Vec<_>>(), reading)
    }

    /// [`last_hidden`](Self::last_hidden) by burn's operations, for any device.
    fn last_hidden_by_steps(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        let time = x.dims()[1];
        let schedule = Schedule::new(lengths, time);
        let frames: Vec<usize> = schedule.frames(time).collect();
        let (last, _) = self.run(rows(x, &frames), &schedule.active);
        last.select(0, index(&schedule.place(), &self.weight_ih.device()))
    }

    /// Steps through packed frames; `active[t]` sequences are alive at step t. Last hidden states, longest first,
    /// and those of all frames in their order.
    fn run(&self, frames: Tensor<2>, active: &[usize]) -> (Tensor<2>, Tensor<2>) {
        let device = frames.device();
        let hidden_size = self.weight_hh.shape()[0];
        let weight_ih = self.weight_ih.val();
        let weight_hh = self.weight_hh.val();
        let bias = (self.bias_ih.val() + self.bias_hh.val()).unsqueeze::<2>();

        let mut alive = active.first().copied().unwrap_or(0);
        let mut hidden = Tensor::<2>::zeros([alive, hidden_size], &device);
        let mut cell = hidden.clone();
        let mut ended = Vec::new();
        let mut states = Vec::with_capacity(active.len());
        let mut start = 0;
        for &count in active {
            if count < alive {
                ended.push(hidden.clone().narrow(0, count, alive - count));
                hidden = hidden.narrow(0, 0, count);
                cell = cell.narrow(0, 0, count);
                alive = count;
            }
            let frame = frames.clone().narrow(0, start, count);
            start += count;
            let gates =
                frame.matmul(weight_ih.clone()) + hidden.matmul(weight_hh.clone()) + bias.clone();
            (hidden, cell) = step(gates, cell);
            states.push(hidden.clone());
        }
        ended.push(hidden);
        ended.reverse();
        (Tensor::cat(ended, 0), Tensor::cat(states, 0))
    }
}

impl Lstm {
    /// Adds the LSTM to a graph and gives what [`last_hidden`](Self::last_hidden) computes, `[batch, H]`, from frames
    /// `[batch, time, feature]` and lengths `[batch]`, 64-bit whole numbers.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn graph(
        &self,
        graph: &mut Graph,
        frames: &Value,
        lengths: &Value,
    ) -> Result<Value, ReadError> {
        let hidden = self.weight_hh.dims()[0];
        let weight_ih = onnx_gates(&host::read("weights", self.weight_ih.val())?, hidden);
        let weight_hh = onnx_gates(&host::read("weights", self.weight_hh.val())?, hidden);
        let mut bias = onnx_gates(&host::read("weights", self.bias_ih.val())?, hidden);
        bias.extend(onnx_gates(
            &host::read("weights", self.bias_hh.val())?,
            hidden,
        ));
        let input = self.weight_ih.dims()[0];
        let w = graph.floats(&[1, 4 * hidden, input], &weight_ih);
        let r = graph.floats(&[1, 4 * hidden, hidden], &weight_hh);
        let b = graph.floats(&[1, 8 * hidden], &bias);
        // A length of 0 counts as 1, one beyond the frames as their number.
        let (one, time) = (graph.int(1), graph.size(frames, 1));
        let lengths = graph.op("Max", &[lengths, &one]);
        let lengths = graph.op("Min", &[&lengths, &time]);
        let lengths = graph.cast(&lengths, Element::Int32);
        let x = graph.transpose(frames, &[1, 0, 2]);
        let size = [("hidden_size", Attribute::Int(hidden as i64))];
        let [_, last] = graph.op_many("LSTM", &[&x, &w, &r, &b, &lengths], &size);
        Ok(graph.squeeze(&last, &[0]))
    }
}

/// A weight `[rows, 4H]` as ONNX has it: `[4H, rows]`, gates in the order i, o, f, g.
fn onnx_gates(weight: &[f32], hidden: usize) -> Vec<f32> {
    let gates = [0, 3, 1, 2].map(|gate| gate * hidden..(gate + 1) * hidden);
    let columns = gates.into_iter().flatten();
    columns
        .flat_map(|column| weight.iter().skip(column).step_by(4 * hidden).copied())
        .collect()
}

/// Two LSTMs, one of which reads each sequence backwards.
#[derive(Module, Debug)]
pub struct BiLstm {
    /// From the first frame to the last.
    pub forward: Lstm,
    /// From the last frame to the first.
    pub backward: Lstm,
}

impl BiLstm {
    /// Starts as `torch.nn.LSTM` does.
    pub fn init(config: &LstmConfig, device: &Device) -> Self {
        let lstm = || config.init_with(WeightInit::PyTorch, device);
        Self {
            forward: lstm(),
            backward: lstm(),
        }
    }

    /// States of all frames of a packed batch `x: [frames, feature]`, forward ones before backward ones, `[frames, 2H]`;
    /// and where each direction ends, `[batch, H]` each: forward at a sequence's own last frame, backward at its first.
    pub fn states(&self, x: Tensor<2>, offsets: &[usize]) -> (Tensor<2>, [Tensor<2>; 2]) {
        let forward = self.forward.states(x.clone(), offsets, false);
        let backward = self.backward.states(x, offsets, true);
        let bounds = || offsets.windows(2);
        let first: Vec<usize> = bounds().map(|bounds| bounds[0]).collect();
        let last: Vec<usize> = bounds().map(|bounds| bounds[1] - 1).collect();
        let device = forward.device();
        let ends = [
            forward.clone().select(0, index(&last, &device)),
            backward.clone().select(0, index(&first, &device)),
        ];
        (Tensor::cat(vec![forward, backward], 1), ends)
    }
}

/// One step from the gates' sums `[n, 4H]` and the cell `[n, H]`: hidden state and cell.
fn step(gates: Tensor<2>, cell: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let size = cell.dims()[1];
    let gate = |at: usize| gates.clone().narrow(1, at * size, size);
    let cell = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * tanh(gate(2));
    let hidden = sigmoid(gate(3)) * tanh(cell.clone());
    (hidden, cell)
}

/// Frames of `[batch, time, feature]` by their number in `[batch * time]`: `[frames, feature]`.
fn rows(x: Tensor<3>, frames: &[usize]) -> Tensor<2> {
    let [batch, time, features] = x.dims();
    let device = x.device();
    x.reshape([batch * time, features])
        .select(0, index(frames, &device))
}

fn index(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|value| *value as i64).collect();
    Tensor::from_data(TensorData::from(values.as_slice()), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    /// Output, and gradients of the frames and all weights, of a loss that weighs every hidden unit differently.
    fn results(
        lstm: &Lstm,
        x: &Tensor<3>,
        run: impl Fn(&Lstm, Tensor<3>) -> Tensor<2>,
    ) -> Vec<Vec<f32>> {
        let x = x.clone().detach().require_grad();
        let output = run(lstm, x.clone());
        let [batch, hidden] = output.dims();
        let weigh = Tensor::arange(0..(batch * hidden) as i64, &output.device())
            .float()
            .sin()
            .reshape([batch, hidden]);
        let gradients = (output.clone() * weigh).sum().backward();
        fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
            tensor.into_data().try_to_vec().unwrap()
        }
        vec![
            read(output),
            read(x.grad(&gradients).unwrap()),
            read(lstm.weight_ih.grad(&gradients).unwrap()),
            read(lstm.weight_hh.grad(&gradients).unwrap()),
            read(lstm.bias_ih.grad(&gradients).unwrap()),
            read(lstm.bias_hh.grad(&gradients).unwrap()),
        ]
    }

    #[test]
    fn the_single_operation_is_the_steps() {
        let device = Device::flex().autodiff();
        device.seed(7);
        for (input, hidden, time, lengths) in [
            (5, 8, 7, vec![7, 1, 3, 3, 0, 5, 7, 2, 6, 1, 4]),
            (3, 16, 4, vec![4; 9]),
            (20, 64, 30, vec![12]),
            (2, 5, 1, vec![1, 1, 1]),
            (1, 3, 12, vec![1, 12]),
        ] {
            let lstm = LstmConfig::new(input, hidden).init(&device);
            let shape = [lengths.len(), time, input];
            let x = Tensor::random(shape, Distribution::Normal(0.0, 1.5), &device);
            let steps = results(&lstm, &x, |lstm, x| lstm.last_hidden_by_steps(x, &lengths));
            let single = results(&lstm, &x, |lstm, x| lstm.last_hidden_cpu(x, &lengths));
            for (part, (single, steps)) in single.iter().zip(&steps).enumerate() {
                let scale = steps.iter().fold(1.0f32, |most, v| most.max(v.abs()));
                for (single, steps) in single.iter().zip(steps) {
                    assert!(
                        (single - steps).abs() <= 1e-5 * scale,
                        "part {part} of {lengths:?}: {single} {steps}"
                    );
                }
            }
        }
    }

    #[test]
    fn states_of_all_frames_are_those_of_ever_longer_sequences() {
        let device = Device::flex().autodiff();
        device.seed(11);
        let lengths = [5usize, 1, 7, 3, 3, 2, 7, 4, 1, 6, 2];
        let (batch, time) = (lengths.len(), 7);
        let mut offsets = vec![0];
        for length in lengths {
            offsets.push(offsets[offsets.len() - 1] + length);
        }
        let lstm = LstmConfig::new(3, 6).init(&device);
        let x = Tensor::random([batch, time, 3], Distribution::Normal(0.0, 1.5), &device);
        let packed = |x: Tensor<3>, reverse: bool| {
            let rows = lengths.iter().enumerate().map(|(row, &length)| {
                let own: Tensor<2> = x
                    .clone()
                    .narrow(0, row, 1)
                    .narrow(1, 0, length)
                    .squeeze_dim(0);
                if reverse { own.flip([0]) } else { own }
            });
            Tensor::cat(rows.collect(), 0)
        };
        // State t of a sequence is the last one of its first t frames.
        let naive = |lstm: &Lstm, x: Tensor<3>| {
            let all: Vec<Tensor<3>> = (1..=time)
                .map(|t| {
                    let cut = lengths.map(|length| length.min(t));
                    lstm.last_hidden_by_steps(x.clone(), &cut).unsqueeze_dim(1)
                })
                .collect();
            packed(Tensor::cat(all, 1), false)
        };
        let expected = results(&lstm, &x, naive);
        let found = results(&lstm, &x, |lstm, x| {
            lstm.states(packed(x, false), &offsets, false)
        });
        let steps = results(&lstm, &x, |lstm, x| {
            let schedule = Schedule::new(&lengths, time);
            let frames: Vec<usize> = schedule.frames(time).collect();
            let states = lstm.run(rows(x, &frames), &schedule.active).1;
            let order = schedule
                .steps()
                .map(|(sequence, step)| offsets[sequence] + step);
            let mut back = vec![0; frames.len()];
            for (read, frame) in order.enumerate() {
                back[frame] = read;
            }
            states.select(0, index(&back, &Device::flex().autodiff()))
        });
        for (part, expected) in expected.iter().enumerate() {
            let scale = expected.iter().fold(1.0f32, |most, v| most.max(v.abs()));
            for found in [&found[part], &steps[part]] {
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() <= 1e-5 * scale, "{part}");
                }
            }
        }
        // Backwards is forwards over sequences that are turned round.
        let turned = |states: Tensor<2>| {
            let bounds = offsets.windows(2);
            let own = bounds.map(|b| states.clone().narrow(0, b[0], b[1] - b[0]).flip([0]));
            Tensor::cat(own.collect(), 0)
        };
        let backward = results(&lstm, &x, |lstm, x| {
            lstm.states(packed(x, false), &offsets, true)
        });
        let forward = results(&lstm, &x, |lstm, x| {
            turned(lstm.states(packed(x, true), &offsets, false))
        });
        for (found, expected) in backward.iter().zip(&forward).skip(2) {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 2e-5 * (1.0 + expected.abs()));
            }
        }
        assert_eq!(backward[0].len(), forward[0].len());
        let config = LstmConfig::new(3, 6);
        let both = BiLstm::init(&config, &device);
        let (states, [first, last]) = both.states(packed(x, false), &offsets);
        assert_eq!(states.dims(), [41, 12]);
        assert_eq!((first.dims(), last.dims()), ([11, 6], [11, 6]));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let device = Device::flex().autodiff();
        device.seed(3);
        let lengths: Vec<usize> = (0..40).map(|i| 1 + i * 7 % 50).collect();
        let lstm = LstmConfig::new(20, 64).init(&device);
        let x = Tensor::random([40, 50, 20], Distribution::Default, &device);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| results(&lstm, &x, |lstm, x| lstm.last_hidden_cpu(x, &lengths)))
        };
        assert!(on(1) == on(3));
    }
}
