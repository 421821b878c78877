//! An LSTM through all frames of a packed batch as one kernel, and back as another.
//!
//! A cube owns a sequence and steps through its frames; its units share out the 4H gates. The recurrent weight lies in
//! shared memory where it fits; elsewhere every step reads it from the device's. Projections of the frames and gradients of
//! the weights are products over all frames at once, which are left to the caller.
//!
//! The tape of a frame has the gates after their functions (i, f, g, o), the cell after the step and the hidden state
//! before it: `[frames, 6H]`.

use burn::backend::Dispatch;
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::prelude::*;

use super::{Kernels, Spans};

/// How the sequences of a batch are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// From the last frame to the first.
    pub reverse: bool,
    /// Whether the states of all frames are given, or of each sequence's last step.
    pub all: bool,
}

/// States and tape from the gates' sums without the recurrent part, `gates: [frames, 4H]`, and `weight: [H, 4H]`. States are
/// `[frames, H]` where all are given, else `[sequences, H]`.
#[must_use]
pub fn forward(
    gates: Tensor<2>,
    weight: Tensor<2>,
    spans: &Spans,
    reading: Reading,
) -> (Tensor<2>, Tensor<2>) {
    let (states, tape) = <Dispatch as Kernels>::lstm_forward(
        gates.into_dispatch(),
        weight.into_dispatch(),
        spans.values.clone().into_dispatch(),
        spans.count,
        reading,
    );
    (Tensor::from_dispatch(states), Tensor::from_dispatch(tape))
}

/// Gradients of the gates' sums, `[frames, 4H]`, from those of the states that [`forward`] gave with this tape.
#[must_use]
pub fn backward(
    tape: Tensor<2>,
    weight: Tensor<2>,
    spans: &Spans,
    gradient: Tensor<2>,
    reading: Reading,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Kernels>::lstm_backward(
        tape.into_dispatch(),
        weight.transpose().into_dispatch(),
        spans.values.clone().into_dispatch(),
        gradient.into_dispatch(),
        spans.count,
        reading,
    ))
}

/// The hidden states before every step, `[frames, H]`, of a tape.
#[must_use]
pub fn previous(tape: Tensor<2>) -> Tensor<2> {
    let hidden = tape.dims()[1] / 6;
    tape.narrow(1, 5 * hidden, hidden)
}

/// What the forward kernel gives.
#[cfg(feature = "fusion")]
pub(super) fn outputs(
    gates: &TensorSpec,
    weight: &TensorSpec,
    _: &TensorSpec,
    sequences: &usize,
    reading: &Reading,
) -> (TensorSpec, TensorSpec) {
    let (frames, hidden) = (gates.shape[0], weight.shape[0]);
    let rows = if reading.all { frames } else { *sequences };
    let spec = |shape: [usize; 2]| TensorSpec::new(Shape::new(shape), gates.dtype);
    (spec([rows, hidden]), spec([frames, 6 * hidden]))
}

#[cfg(feature = "gpu")]
pub(super) mod kernels {
    use burn::backend::TensorMetadata;
    use burn_cubecl::cubecl::prelude::*;
    use burn_cubecl::cubecl::{self, ir::ElemType};
    use burn_cubecl::kernel::into_contiguous;
    use burn_cubecl::tensor::CubeTensor;

    use super::super::launch::{cubes, empty, shared_values, units};
    use super::Reading;

    /// The type of a tensor's values, for a kernel.
    use burn::backend::cubecl::dtype_to_storage_type;

    /// Whether the weight fits into shared memory beside what the kernels need there for a hidden size.
    fn fits(weight: &CubeTensor, hidden: usize) -> bool {
        weight.shape().num_elements() + 10 * hidden <= shared_values(&weight.client)
    }

    /// Gates, weight `[H, 4H]` and spans; gives the states and the tape.
    pub(in super::super) fn forward(
        inputs: [CubeTensor; 3],
        sequences: usize,
        reading: Reading,
    ) -> (CubeTensor, CubeTensor) {
        let [gates, weight, spans] = inputs.map(into_contiguous);
        let ([frames, wide], hidden) = (gates.shape().dims(), weight.shape()[0]);
        let client = gates.client.clone();
        let rows = if reading.all { frames } else { sequences };
        let (states, tape) = (
            empty(&gates, [rows, hidden]),
            empty(&gates, [frames, 6 * hidden]),
        );
        let (fits, spans_type) = (fits(&weight, hidden), dtype_to_storage_type(spans.dtype));
        lstm_forward::launch(
            &client,
            cubes(sequences),
            units(&client, wide),
            gates.into_tensor_arg(),
            weight.into_tensor_arg(),
            spans.into_tensor_arg(),
            states.clone().into_tensor_arg(),
            tape.clone().into_tensor_arg(),
            sequences as u32,
            hidden,
            reading.reverse,
            reading.all,
            fits,
            spans_type,
        );
        (states, tape)
    }

    /// Tape, transposed weight `[4H, H]`, spans and the states' gradient; gives that of the gates' sums.
    pub(in super::super) fn backward(
        inputs: [CubeTensor; 4],
        sequences: usize,
        reading: Reading,
    ) -> CubeTensor {
        let [tape, weight, spans, gradient] = inputs.map(into_contiguous);
        let [wide, hidden] = weight.shape().dims();
        let client = tape.client.clone();
        let slopes = empty(&tape, [tape.shape()[0], wide]);
        let (fits, spans_type) = (fits(&weight, hidden), dtype_to_storage_type(spans.dtype));
        lstm_backward::launch(
            &client,
            cubes(sequences),
            units(&client, wide),
            tape.into_tensor_arg(),
            weight.into_tensor_arg(),
            spans.into_tensor_arg(),
            gradient.into_tensor_arg(),
            slopes.clone().into_tensor_arg(),
            sequences as u32,
            hidden,
            reading.reverse,
            reading.all,
            fits,
            spans_type,
        );
        slopes
    }

    #[cube]
    fn sigmoid(x: f32) -> f32 {
        1.0f32 / (1.0f32 + (-x).exp())
    }

    /// One number of a sequence's span.
    #[cube]
    fn span<I: Numeric>(spans: &Tensor<I>, #[comptime] field: usize) -> usize {
        u32::cast_from(spans[2 * CUBE_POS + field]) as usize
    }

    /// The row of a step.
    #[cube]
    fn row_of(first: usize, length: usize, step: usize, #[comptime] reverse: bool) -> usize {
        if reverse {
            first + length - 1 - step
        } else {
            first + step
        }
    }

    /// A copy of the weight in shared memory, where it is to be there. Whoever reads it waits for all units first.
    #[cube]
    fn keep(
        weight: &Tensor<f32>,
        #[comptime] count: usize,
        #[comptime] shared: bool,
    ) -> Shared<[f32]> {
        let mut kept = Shared::<[f32]>::new_slice(comptime!(if shared { count } else { 1 }));
        if shared {
            let mut at = UNIT_POS as usize;
            while at < count {
                kept[at] = weight[at];
                at += CUBE_DIM as usize;
            }
        }
        kept
    }

    /// Zeros in shared memory, each set by one unit.
    #[cube]
    fn zeros(#[comptime] count: usize) -> Shared<[f32]> {
        let mut values = Shared::<[f32]>::new_slice(count);
        let mut at = UNIT_POS as usize;
        while at < count {
            values[at] = 0.0f32;
            at += CUBE_DIM as usize;
        }
        values
    }

    #[cube(launch)]
    fn lstm_forward<I: Numeric>(
        gates: &Tensor<f32>,      // [frames, 4H]
        weight: &Tensor<f32>,     // [H, 4H]
        spans: &Tensor<I>,        // [sequences, 2]
        states: &mut Tensor<f32>, // [frames or sequences, H]
        tape: &mut Tensor<f32>,   // [frames, 6H]
        sequences: u32,
        #[comptime] hidden: usize,
        #[comptime] reverse: bool,
        #[comptime] all: bool,
        #[comptime] shared: bool,
        #[define(I)] _spans_type: ElemType,
    ) {
        let sequence = CUBE_POS;
        if sequence >= sequences as usize {
            terminate!();
        }
        let wide = comptime!(4 * hidden);
        let unit = UNIT_POS as usize;
        let units = CUBE_DIM as usize;
        let first = span(spans, 0usize);
        let length = span(spans, 1usize);
        let kept = keep(weight, comptime!(hidden * wide), shared);
        let mut state = zeros(hidden);
        let mut cell = zeros(hidden);
        let mut active = Shared::<[f32]>::new_slice(wide);
        sync_cube();

        for step in 0..length {
            let row = row_of(first, length, step, reverse);
            let mut j = unit;
            while j < wide {
                let mut sum = gates[row * wide + j];
                for k in 0..hidden {
                    if shared {
                        sum += state[k] * kept[k * wide + j];
                    } else {
                        sum += state[k] * weight[k * wide + j];
                    }
                }
                let mut value = sigmoid(sum);
                if j / hidden == 2 {
                    value = sum.tanh();
                }
                active[j] = value;
                tape[row * 6 * hidden + j] = value;
                j += units;
            }
            sync_cube();
            let mut k = unit;
            while k < hidden {
                let next = active[hidden + k] * cell[k] + active[k] * active[2 * hidden + k];
                let out = active[3 * hidden + k] * next.tanh();
                tape[row * 6 * hidden + wide + k] = next;
                tape[row * 6 * hidden + wide + hidden + k] = state[k];
                cell[k] = next;
                state[k] = out;
                if all {
                    states[row * hidden + k] = out;
                } else if step + 1 == length {
                    states[sequence * hidden + k] = out;
                }
                k += units;
            }
            sync_cube();
        }
    }

    #[cube(launch)]
    fn lstm_backward<I: Numeric>(
        tape: &Tensor<f32>,       // [frames, 6H]
        weight: &Tensor<f32>,     // [4H, H]: the transposed weight
        spans: &Tensor<I>,        // [sequences, 2]
        gradient: &Tensor<f32>,   // [frames or sequences, H]
        slopes: &mut Tensor<f32>, // [frames, 4H]
        sequences: u32,
        #[comptime] hidden: usize,
        #[comptime] reverse: bool,
        #[comptime] all: bool,
        #[comptime] shared: bool,
        #[define(I)] _spans_type: ElemType,
    ) {
        let sequence = CUBE_POS;
        if sequence >= sequences as usize {
            terminate!();
        }
        let wide = comptime!(4 * hidden);
        let unit = UNIT_POS as usize;
        let units = CUBE_DIM as usize;
        let first = span(spans, 0usize);
        let length = span(spans, 1usize);
        let kept = keep(weight, comptime!(hidden * wide), shared);
        // The gradient of the cell; of the gates' sums; and that of the hidden state before, one share from each kind of
        // gate.
        let mut cell = zeros(hidden);
        let mut slope = Shared::<[f32]>::new_slice(wide);
        let mut before = zeros(wide);
        sync_cube();

        for back in 0..length {
            let step = length - 1 - back;
            let row = row_of(first, length, step, reverse);
            let at = row * 6 * hidden;
            let mut k = unit;
            while k < hidden {
                let mut state = before[k]
                    + before[hidden + k]
                    + before[2 * hidden + k]
                    + before[3 * hidden + k];
                if all {
                    state += gradient[row * hidden + k];
                } else if back == 0 {
                    state += gradient[sequence * hidden + k];
                }
                let i = tape[at + k];
                let f = tape[at + hidden + k];
                let g = tape[at + 2 * hidden + k];
                let o = tape[at + 3 * hidden + k];
                let squashed = tape[at + wide + k].tanh();
                let mut past = 0.0f32;
                if step > 0 {
                    let row_before = row_of(first, length, step - 1, reverse);
                    past = tape[row_before * 6 * hidden + wide + k];
                }
                let through = cell[k] + state * o * (1.0f32 - squashed * squashed);
                slope[k] = through * g * i * (1.0f32 - i);
                slope[hidden + k] = through * past * f * (1.0f32 - f);
                slope[2 * hidden + k] = through * i * (1.0f32 - g * g);
                slope[3 * hidden + k] = state * squashed * o * (1.0f32 - o);
                cell[k] = through * f;
                slopes[row * wide + k] = slope[k];
                slopes[row * wide + hidden + k] = slope[hidden + k];
                slopes[row * wide + 2 * hidden + k] = slope[2 * hidden + k];
                slopes[row * wide + 3 * hidden + k] = slope[3 * hidden + k];
                k += units;
            }
            sync_cube();
            let mut j = unit;
            while j < wide {
                let gate = j / hidden * hidden;
                let k = j % hidden;
                let mut sum = 0.0f32;
                for other in 0..hidden {
                    if shared {
                        sum += slope[gate + other] * kept[(gate + other) * hidden + k];
                    } else {
                        sum += slope[gate + other] * weight[(gate + other) * hidden + k];
                    }
                }
                before[j] = sum;
                j += units;
            }
            sync_cube();
        }
    }
}
