//! A one-layer LSTM read at each sequence's own last frame.
//!
//! With the gates stacked in PyTorch's order i, f, g, o (Hochreiter & Schmidhuber, 1997; `torch.nn.LSTM`):
//!
//! ```text
//! [i f g o] = x_t W_ih + b_ih + h_{t-1} W_hh + b_hh
//! c_t = σ(f) c_{t-1} + σ(i) tanh(g)
//! h_t = σ(o) tanh(c_t)
//! ```
//!
//! Slicing one large tracked tensor over time makes backward quadratic in time, so the (untracked) frames are what is
//! sliced, and every step projects its own. Sequences are sorted by length: those that have ended leave the step.

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::{sigmoid, tanh};

use crate::init::{bias_init, xavier_normal_init};

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
        let (input, hidden, gates) = (self.input, self.hidden, 4 * self.hidden);
        Lstm {
            weight_ih: xavier_normal_init([input, gates], input, gates, device),
            weight_hh: xavier_normal_init([hidden, gates], hidden, gates, device),
            bias_ih: bias_init(gates, hidden, device),
            bias_hh: bias_init(gates, hidden, device),
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
        let [batch, time, _] = x.dims();
        assert_eq!(batch, lengths.len(), "one length a sequence");
        let schedule = Schedule::new(lengths, time);
        let frames = schedule.pack(x);
        let last = self.run(frames, &schedule.active);
        last.select(0, index(&schedule.place, &self.weight_ih.device()))
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

/// In which order a batch is stepped through.
struct Schedule {
    /// Frames of the batch `[batch * time]` in the order they are read: step by step, longest sequence first.
    frames: Vec<usize>,
    /// Sequences alive at each step, never increasing.
    active: Vec<usize>,
    /// Where each sequence is in the order of lengths.
    place: Vec<usize>,
}

impl Schedule {
    fn new(lengths: &[usize], time: usize) -> Self {
        let lengths: Vec<usize> = lengths
            .iter()
            .map(|length| (*length).min(time).max(1))
            .collect();
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|sequence| std::cmp::Reverse(lengths[*sequence]));
        let mut place = vec![0; order.len()];
        for (position, sequence) in order.iter().enumerate() {
            place[*sequence] = position;
        }
        let steps = order.first().map_or(0, |longest| lengths[*longest]);
        let active: Vec<usize> = (0..steps)
            .map(|step| order.partition_point(|sequence| lengths[*sequence] > step))
            .collect();
        let order = &order;
        let read = |(step, count): (usize, &usize)| {
            order[..*count]
                .iter()
                .map(move |sequence| sequence * time + step)
        };
        let frames = active.iter().enumerate().flat_map(read).collect();
        Self {
            frames,
            active,
            place,
        }
    }

    /// `[batch, time, feature]` to the frames that are read, in order: `[frames, feature]`.
    fn pack(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, time, features] = x.dims();
        let device = x.device();
        x.reshape([batch * time, features])
            .select(0, index(&self.frames, &device))
    }
}

fn index(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|value| *value as i64).collect();
    Tensor::from_data(TensorData::from(values.as_slice()), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_reads_every_live_frame_once() {
        let schedule = Schedule::new(&[2, 4, 0, 9], 4);
        assert_eq!(schedule.active, [4, 3, 2, 2]);
        assert_eq!(schedule.place, [2, 0, 3, 1]);
        assert_eq!(schedule.frames, [4, 12, 0, 8, 5, 13, 1, 6, 14, 7, 15]);
    }
}
