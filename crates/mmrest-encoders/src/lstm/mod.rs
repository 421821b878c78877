//! A one-layer LSTM, read at each sequence's own last frame.
//!
//! With the gates stacked in PyTorch's order i, f, g, o (Hochreiter & Schmidhuber, 1997; `torch.nn.LSTM`):
//!
//! ```text
//! [i f g o] = x_t W_ih + b_ih + h_{t-1} W_hh + b_hh
//! c_t = σ(f) c_{t-1} + σ(i) tanh(g)
//! h_t = σ(o) tanh(c_t)
//! ```
//!
//! On the CPU all of it is one operation (`cpu.rs`); elsewhere it is burn's operations, step by step.
//! Slicing one large tracked tensor over time makes backward quadratic in time, so the (untracked) frames are what is
//! sliced, and every step projects its own. Sequences are sorted by length: those that have ended leave the step.

mod cpu;
mod schedule;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::{sigmoid, tanh};
use mmrest_kernels::operation::takes;

use self::schedule::Schedule;
use crate::init::{WeightInit, uniform_init, xavier_normal_init};

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
        } else {
            self.last_hidden_by_steps(x, lengths)
        }
    }

    /// [`last_hidden`](Self::last_hidden) as a single operation on the CPU.
    fn last_hidden_cpu(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        let time = x.dims()[1];
        let groups = Schedule::groups(lengths, time, cpu::GROUP);
        let frames: Vec<usize> = groups.iter().flat_map(|group| group.frames(time)).collect();
        let weights = (
            self.weight_ih.val(),
            self.weight_hh.val(),
            self.bias_ih.val(),
            self.bias_hh.val(),
        );
        cpu::last_hidden(rows(x, &frames), weights, groups)
    }

    /// [`last_hidden`](Self::last_hidden) by burn's operations, for any device.
    fn last_hidden_by_steps(&self, x: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        let time = x.dims()[1];
        let schedule = Schedule::new(lengths, time);
        let frames: Vec<usize> = schedule.frames(time).collect();
        let last = self.run(rows(x, &frames), &schedule.active);
        last.select(0, index(&schedule.place(), &self.weight_ih.device()))
    }

    /// Steps through packed frames; `active[t]` sequences are alive at step t. Last hidden states, longest first.
    fn run(&self, frames: Tensor<2>, active: &[usize]) -> Tensor<2> {
        let device = frames.device();
        let hidden_size = self.weight_hh.shape()[0];
        let weight_ih = self.weight_ih.val();
        let weight_hh = self.weight_hh.val();
        let bias = (self.bias_ih.val() + self.bias_hh.val()).unsqueeze::<2>();

        let mut alive = active.first().copied().unwrap_or(0);
        let mut hidden = Tensor::<2>::zeros([alive, hidden_size], &device);
        let mut cell = hidden.clone();
        let mut ended = Vec::new();
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
        }
        ended.push(hidden);
        ended.reverse();
        Tensor::cat(ended, 0)
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
