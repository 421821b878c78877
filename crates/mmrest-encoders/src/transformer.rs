//! Transformer encoder layers over packed batches, with their normalisation first (MulT) or last (`torch.nn.
//! TransformerEncoderLayer`), attending within a sequence or from one to its counterpart.
//!
//! ```text
//! norm first:  x += drop(A(LN1 x, LN1 k));     x += drop(F2 drop ReLU F1 LN2 x)          k = x within a sequence
//! norm last:   x = LN1(x + drop(A(x, k)));     x = LN2(x + drop(F2 drop ReLU F1 x))
//! A(q, k) = Wo [softmax(Wq q (Wk k)^T / sqrt(d)) Wv k of every head]
//! ```
//!
//! No row here is padding: sequences lie end to end, `[rows, width]`, sequence i at `offsets[i]..offsets[i + 1]`.

use burn::module::Initializer;
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear};
use burn::prelude::*;
use burn::tensor::activation::{relu, softmax};
use mmrest_kernels::dropout::{Mask, dropout, is_active};
use mmrest_kernels::gpu::attention::Blocks;
use mmrest_kernels::linear::project;
use mmrest_kernels::operation::takes;

use crate::attention::{Sight, attend, attend_across, gpu};
use crate::bert::{MASKED, Packing};
use crate::init::{pytorch_linear_init, xavier_uniform_init};
use crate::packed::lens;

/// Multi-head attention with queries, keys and values of one matrix, as `torch.nn.MultiheadAttention` has it.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width] -> [3 * width]`: queries, keys, values.
    pub in_proj: Linear,
    /// `[width] -> [width]`, over all heads.
    pub out_proj: Linear,
    /// Of the probabilities, in training.
    pub dropout: Dropout,
    heads: usize,
}

/// The rows that keys and values are made of.
#[derive(Clone, Debug)]
pub struct Known {
    keys: Tensor<2>,
    /// Those of the values, where they are others.
    values: Option<Tensor<2>>,
}

impl From<Tensor<2>> for Known {
    /// The same rows for both.
    fn from(rows: Tensor<2>) -> Self {
        Self {
            keys: rows,
            values: None,
        }
    }
}

impl Known {
    /// The same rows for both, but dropped apart.
    #[must_use]
    pub fn dropped(dropout: &Dropout, rows: Tensor<2>) -> Self {
        let apart = is_active(dropout, &rows.device());
        Self {
            keys: drop_out(dropout, rows.clone()),
            values: apart.then(|| drop_out(dropout, rows)),
        }
    }

    fn both(self) -> [Tensor<2>; 2] {
        let values = self.values.unwrap_or_else(|| self.keys.clone());
        [self.keys, values]
    }
}

impl Attention {
    /// With the in-projection Xavier-uniform over the whole matrix, the out-projection so too (`xavier`) or uniform in `±1 /
    /// sqrt(width)`, and biases 0.
    ///
    /// # Panics
    ///
    /// When the heads do not divide the width, or dropout is not in `[0, 1)`.
    pub fn init(width: usize, heads: usize, dropout: f64, xavier: bool, device: &Device) -> Self {
        assert!(
            heads > 0 && width.is_multiple_of(heads),
            "heads divide the width"
        );
        let mut out_proj = pytorch_linear_init(width, width, device);
        if xavier {
            out_proj.weight = xavier_uniform_init([width, width], width, width, device);
        }
        out_proj.bias = Some(Initializer::Zeros.init([width], device));
        Self {
            in_proj: Linear {
                weight: xavier_uniform_init([width, 3 * width], width, 3 * width, device),
                bias: Some(Initializer::Zeros.init([3 * width], device)),
            },
            out_proj,
            dropout: DropoutConfig::new(dropout).init(),
            heads,
        }
    }

    /// What the rows of `x` make of each other, `[rows, width]`. `causal`: row i of a sequence sees those up to i.
    pub fn within(&self, x: Tensor<2>, offsets: &[usize], causal: bool) -> Tensor<2> {
        if !takes(&x) {
            return self.elsewhere(x.clone(), x.into(), [offsets, offsets], causal);
        }
        let mask = Mask::draw(&self.dropout, &x.device());
        let all = project::<3>(x, &[&self.in_proj]);
        let attended = attend(all, offsets, self.heads, sight(causal), mask, None);
        project::<3>(attended, &[&self.out_proj])
    }

    /// What the rows of `x` make of those that `known` gives, `[rows of x, width]`. `offsets` are those of `x` and of
    /// `known`. `causal`: row i of a sequence sees those up to i, or as many more as the two differ in length.
    pub fn across(
        &self,
        x: Tensor<2>,
        known: Known,
        offsets: [&[usize]; 2],
        causal: bool,
    ) -> Tensor<2> {
        if !takes(&x) {
            return self.elsewhere(x, known, offsets, causal);
        }
        let mask = Mask::draw(&self.dropout, &x.device());
        let width = x.dims()[1];
        let queries = self.columns(x, 0, width);
        let keys_values = match known.values {
            None => self.columns(known.keys, width, 2 * width),
            Some(values) => {
                let keys = self.columns(known.keys, width, width);
                Tensor::cat(vec![keys, self.columns(values, 2 * width, width)], 1)
            }
        };
        let sight = sight(causal);
        let attended = attend_across(queries, keys_values, offsets, self.heads, sight, mask);
        project::<3>(attended, &[&self.out_proj])
    }

    /// Some columns of the in-projection.
    fn columns(&self, x: Tensor<2>, first: usize, count: usize) -> Tensor<2> {
        let product = x.matmul(self.in_proj.weight.val().narrow(1, first, count));
        match &self.in_proj.bias {
            Some(bias) => product + bias.val().narrow(0, first, count).unsqueeze(),
            None => product,
        }
    }

    /// By the kernels of a GPU, or on padded sequences.
    fn elsewhere(
        &self,
        x: Tensor<2>,
        known: Known,
        offsets: [&[usize]; 2],
        causal: bool,
    ) -> Tensor<2> {
        if !gpu::takes(&x, self.heads) {
            return self.padded(x, known, offsets, causal);
        }
        let (device, width) = (x.device(), x.dims()[1]);
        let blocks = Blocks::new(offsets[0], offsets[1], &device);
        let [keys, values] = known.both();
        let rows = [
            self.columns(x, 0, width),
            self.columns(keys, width, width),
            self.columns(values, 2 * width, width),
        ];
        let (sight, dropout) = (sight(causal), &self.dropout);
        self.out_proj
            .forward(gpu::attend(rows, &blocks, self.heads, sight, dropout))
    }

    /// By burn's operations, on sequences that are padded, for any device.
    fn padded(
        &self,
        x: Tensor<2>,
        known: Known,
        offsets: [&[usize]; 2],
        causal: bool,
    ) -> Tensor<2> {
        let (device, width) = (x.device(), x.dims()[1]);
        let [keys, values] = known.both();
        let [asked, told] = offsets.map(|offsets| Packing::new(offsets, None, &device));
        let queries = asked.split(self.columns(x, 0, width), self.heads);
        let keys = told.split(self.columns(keys, width, width), self.heads);
        let values = told.split(self.columns(values, 2 * width, width), self.heads);
        let scale = 1.0 / (queries.dims()[3] as f64).sqrt();
        let mut scores = told.finish_scores((queries * scale).matmul(keys.transpose()));
        if causal {
            scores = scores + unseen(offsets, [asked.time, told.time], &device);
        }
        let chances = self.dropout.forward(softmax(scores, 3));
        self.out_proj.forward(asked.join(chances.matmul(values)))
    }
}

fn sight(causal: bool) -> Sight {
    if causal { Sight::Causal } else { Sight::All }
}

/// What is added to the scores of what a query may not see: `[batch, 1, queries, tokens]`.
fn unseen(
    [asked, told]: [&[usize]; 2],
    [queries, tokens]: [usize; 2],
    device: &Device,
) -> Tensor<4> {
    let sequences: Vec<(usize, usize)> = lens(asked).zip(lens(told)).collect();
    let mut values = vec![0.0f32; sequences.len() * queries * tokens];
    let rows = values.chunks_exact_mut(tokens);
    let places = sequences
        .iter()
        .flat_map(|&(asked, told)| (0..queries).map(move |i| i + Sight::Causal.first(asked, told)));
    for (row, seen) in rows.zip(places) {
        row[seen.min(tokens)..].fill(MASKED);
    }
    let shape = [sequences.len(), 1, queries, tokens];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What a [`TransformerLayer`] is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransformerLayerConfig {
    /// Features of a row.
    pub width: usize,
    /// Heads of the attention; they divide the width.
    pub heads: usize,
    /// Width between the two linear layers.
    pub wide: usize,
    /// Whether normalisation comes before attention and linear layers, or after them.
    pub norm_first: bool,
    /// Whether the linear layers start Xavier-uniform with biases 0, or as PyTorch's do.
    pub xavier: bool,
    /// Dropout of the attention's probabilities.
    pub attention_dropout: f64,
    /// Dropout between the linear layers.
    pub relu_dropout: f64,
    /// Dropout of what is added to the rows.
    pub residual_dropout: f64,
}

/// One layer; see the module. The names are PyTorch's.
#[derive(Module, Debug)]
pub struct TransformerLayer {
    /// The attention.
    pub self_attn: Attention,
    /// `[width] -> [wide]`.
    pub linear1: Linear,
    /// `[wide] -> [width]`.
    pub linear2: Linear,
    /// Before, or after, the attention.
    pub norm1: LayerNorm,
    /// Before, or after, the linear layers.
    pub norm2: LayerNorm,
    relu_dropout: Dropout,
    residual_dropout: Dropout,
    norm_first: bool,
}

impl TransformerLayerConfig {
    /// A layer with fresh weights.
    ///
    /// # Panics
    ///
    /// As [`Attention::init`].
    pub fn init(&self, device: &Device) -> TransformerLayer {
        let linear = |input: usize, output: usize| {
            if !self.xavier {
                return pytorch_linear_init(input, output, device);
            }
            Linear {
                weight: xavier_uniform_init([input, output], input, output, device),
                bias: Some(Initializer::Zeros.init([output], device)),
            }
        };
        let norm = || LayerNormConfig::new(self.width).init(device);
        TransformerLayer {
            self_attn: Attention::init(
                self.width,
                self.heads,
                self.attention_dropout,
                self.xavier,
                device,
            ),
            linear1: linear(self.width, self.wide),
            linear2: linear(self.wide, self.width),
            norm1: norm(),
            norm2: norm(),
            relu_dropout: DropoutConfig::new(self.relu_dropout).init(),
            residual_dropout: DropoutConfig::new(self.residual_dropout).init(),
            norm_first: self.norm_first,
        }
    }
}

impl TransformerLayer {
    /// Rows that attend to their own sequence, `[rows, width]`.
    pub fn within(&self, x: Tensor<2>, offsets: &[usize], causal: bool) -> Tensor<2> {
        self.layer(x, |x| self.self_attn.within(x, offsets, causal))
    }

    /// Rows that attend to the sequence of the same number of `known`; offsets and `causal` as [`Attention::across`].
    pub fn across(
        &self,
        x: Tensor<2>,
        known: Known,
        offsets: [&[usize]; 2],
        causal: bool,
    ) -> Tensor<2> {
        let known = if self.norm_first {
            Known {
                keys: self.norm1.forward(known.keys),
                values: known.values.map(|values| self.norm1.forward(values)),
            }
        } else {
            known
        };
        self.layer(x, |x| self.self_attn.across(x, known, offsets, causal))
    }

    fn layer(&self, x: Tensor<2>, attend: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let drop = |x| drop_out(&self.residual_dropout, x);
        if self.norm_first {
            let x = x.clone() + drop(attend(self.norm1.forward(x)));
            return x.clone() + drop(self.feed_forward(self.norm2.forward(x)));
        }
        let x = self.norm1.forward(x.clone() + drop(attend(x)));
        self.norm2.forward(x.clone() + drop(self.feed_forward(x)))
    }

    fn feed_forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = relu(linear_layer(&self.linear1, x));
        linear_layer(&self.linear2, drop_out(&self.relu_dropout, hidden))
    }
}

/// A linear layer of rows, by one operation where the device has it.
pub fn linear_layer(layer: &Linear, x: Tensor<2>) -> Tensor<2> {
    if takes(&x) {
        return project::<3>(x, &[layer]);
    }
    layer.forward(x)
}

/// Dropout of rows, by the fast masks where the device has them.
pub fn drop_out(layer: &Dropout, x: Tensor<2>) -> Tensor<2> {
    if takes(&x) {
        let mask = Mask::draw(layer, &x.device());
        return dropout(x, mask);
    }
    layer.forward(x)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// Output, and gradients of both inputs and the matrices, of a loss that weighs every value differently.
    fn results(
        attention: &Attention,
        inputs: &[Tensor<2>; 2],
        run: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Vec<Vec<f32>> {
        let [x, known] = inputs.clone().map(|x| x.detach().require_grad());
        let output = run(x.clone(), known.clone());
        let [rows, width] = output.dims();
        let weigh = Tensor::arange(0..(rows * width) as i64, &output.device())
            .float()
            .sin()
            .reshape([rows, width]);
        let gradients = (output.clone() * weigh).sum().backward();
        let gradient = |x: Tensor<2>| x.grad(&gradients).map(read).unwrap_or_default();
        vec![
            read(output),
            gradient(x),
            gradient(known),
            gradient(attention.in_proj.weight.val()),
            gradient(attention.out_proj.weight.val()),
        ]
    }

    fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>]) {
        for (part, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found.len(), expected.len());
            let scale = expected.iter().fold(1.0f32, |most, v| most.max(v.abs()));
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 2e-5 * scale, "part {part}");
            }
        }
    }

    #[test]
    fn the_cpu_attends_as_padded_sequences_do() {
        let device = Device::flex().autodiff();
        device.seed(5);
        let attention = Attention::init(6, 3, 0.0, true, &device);
        let offsets = [&[0, 4, 5, 8, 10][..], &[0, 2, 9, 12, 13][..]];
        let inputs =
            [10, 13].map(|rows| Tensor::random([rows, 6], Distribution::Normal(0.0, 2.0), &device));
        for causal in [false, true] {
            let cpu = results(&attention, &inputs, |x, known| {
                attention.across(x, known.into(), offsets, causal)
            });
            let padded = results(&attention, &inputs, |x, known| {
                attention.padded(x, known.into(), offsets, causal)
            });
            assert_close(&cpu, &padded);
            // Keys and values of different rows.
            let apart = |known: Tensor<2>| Known {
                keys: known.clone() * 0.5,
                values: Some(known + 1.0),
            };
            let cpu = results(&attention, &inputs, |x, known| {
                attention.across(x, apart(known), offsets, causal)
            });
            let padded = results(&attention, &inputs, |x, known| {
                attention.padded(x, apart(known), offsets, causal)
            });
            assert_close(&cpu, &padded);
            let own = [offsets[0]; 2];
            let cpu = results(&attention, &inputs, |x, _| {
                attention.within(x, own[0], causal)
            });
            let padded = results(&attention, &inputs, |x, _| {
                attention.padded(x.clone(), x.into(), own, causal)
            });
            assert_close(&cpu, &padded);
        }
    }

    #[test]
    fn keys_and_values_are_dropped_apart() {
        let dropout = DropoutConfig::new(0.5).init();
        let rows = |device: &Device| Tensor::<2>::ones([8, 8], device);
        let device = Device::flex().autodiff();
        device.seed(3);
        let [keys, values] = Known::dropped(&dropout, rows(&device)).both().map(read);
        assert!(keys != values && keys.contains(&0.0) && values.contains(&2.0));
        let still = Known::dropped(&dropout, rows(&Device::flex()));
        assert!(still.values.is_none());
    }

    #[test]
    fn what_is_ahead_does_not_matter() {
        let device = Device::flex();
        let config = TransformerLayerConfig {
            width: 4,
            heads: 2,
            wide: 8,
            norm_first: true,
            xavier: true,
            attention_dropout: 0.5,
            relu_dropout: 0.5,
            residual_dropout: 0.5,
        };
        let layer = config.init(&device);
        let x = Tensor::<2>::random([5, 4], Distribution::Default, &device);
        let whole = layer.within(x.clone(), &[0, 5], true);
        let start = layer.within(x.clone().narrow(0, 0, 3), &[0, 3], true);
        assert_close(&[read(whole.clone().narrow(0, 0, 3))], &[read(start)]);
        let all = layer.within(x, &[0, 5], false);
        assert!(read(all.narrow(0, 0, 1)) != read(whole.narrow(0, 0, 1)));
    }
}
