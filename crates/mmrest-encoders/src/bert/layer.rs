//! One layer of a BERT: self-attention and feed-forward. On the CPU and on GPUs the packed rows stay as they are; elsewhere,
//! and with a relative bias, attention runs on padded ones.

use burn::module::Initializer;
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::{FloatDType, activation};
use mmrest_kernels::activation::gelu;
use mmrest_kernels::dropout::Mask;
use mmrest_kernels::gpu::attention::Blocks;
use mmrest_kernels::gpu::layers::{self, residual_norm as gpu_residual_norm};
use mmrest_kernels::linear::{forward_in, project};
use mmrest_kernels::norm::residual_norm;
use mmrest_kernels::operation::takes;

use super::packing::Packing;
use super::{Bert, BertConfig};
use crate::attention::{Bias, Sight, attend, attend_first, gpu};

/// Multi-head self-attention: `softmax(Q K^T / sqrt(d) + bias) V` of every head, joined by a linear layer.
#[derive(Module, Debug)]
pub(super) struct SelfAttention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    dropout: Dropout,
    pub(super) heads: usize,
    /// In what linear layers multiply where the CPU's own operations do not run.
    #[module(skip)]
    products: FloatDType,
}

impl SelfAttention {
    fn new(config: &BertConfig, device: &Device) -> Self {
        let square = || linear(config, config.hidden_size, config.hidden_size, device);
        Self {
            query: square(),
            key: square(),
            value: square(),
            output: square(),
            dropout: DropoutConfig::new(config.attention_probs_dropout_prob).init(),
            heads: config.num_attention_heads,
            products: FloatDType::F32,
        }
    }

    /// `[tokens, hidden]` to the same shape, before dropout and residual.
    fn forward(&self, hidden: Tensor<2>, packing: &Packing) -> Tensor<2> {
        let query = packing.split(self.dense(&self.query, hidden.clone()), self.heads);
        let attended = packing.join(self.attend(query, hidden, packing));
        self.dense(&self.output, attended)
    }

    /// What [`forward`](Self::forward) gives the first token of each sequence: `[batch, hidden]`, from those tokens'
    /// hidden states `first: [batch, hidden]` and all of them.
    fn forward_first(&self, first: Tensor<2>, hidden: Tensor<2>, packing: &Packing) -> Tensor<2> {
        let [batch, width] = first.dims();
        let query =
            self.dense(&self.query, first)
                .reshape([batch, self.heads, 1, width / self.heads]);
        let attended = self.attend(query, hidden, packing).reshape([batch, width]);
        self.dense(&self.output, attended)
    }

    fn dense(&self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        forward_in(layer, x, self.products)
    }

    /// [`forward`](Self::forward) on the CPU, where sequences are not padded.
    fn forward_cpu(&self, hidden: Tensor<2>, offsets: &[usize], bias: Option<&Bias>) -> Tensor<2> {
        let mask = Mask::draw(&self.dropout, &hidden.device());
        let all = project::<7>(hidden, &[&self.query, &self.key, &self.value]);
        let attended = attend(all, offsets, self.heads, Sight::All, mask, bias);
        project::<3>(attended, &[&self.output])
    }

    /// [`forward_first`](Self::forward_first) on the CPU.
    fn forward_first_cpu(
        &self,
        first: Tensor<2>,
        hidden: Tensor<2>,
        offsets: &[usize],
        bias: Option<&Bias>,
    ) -> Tensor<2> {
        let mask = Mask::draw(&self.dropout, &hidden.device());
        let queries = project::<3>(first, &[&self.query]);
        let keys_values = project::<5>(hidden, &[&self.key, &self.value]);
        let attended = attend_first(queries, keys_values, offsets, self.heads, mask, bias);
        project::<3>(attended, &[&self.output])
    }

    /// [`forward`](Self::forward) on a GPU without padding, for the rows that ask.
    fn forward_gpu(&self, asking: Tensor<2>, hidden: Tensor<2>, blocks: &Blocks) -> Tensor<2> {
        let rows = [
            self.dense(&self.query, asking),
            self.dense(&self.key, hidden.clone()),
            self.dense(&self.value, hidden),
        ];
        let attended = gpu::attend(rows, blocks, self.heads, Sight::All, &self.dropout);
        self.dense(&self.output, attended)
    }

    /// `softmax(Q K^T / sqrt(d) + bias) V` for queries `[batch, heads, any, d]`.
    fn attend(&self, query: Tensor<4>, hidden: Tensor<2>, packing: &Packing) -> Tensor<4> {
        let key = packing.split(self.dense(&self.key, hidden.clone()), self.heads);
        let value = packing.split(self.dense(&self.value, hidden), self.heads);
        let scale = 1.0 / (query.dims()[3] as f64).sqrt();
        let scores = packing.finish_scores((query * scale).matmul(key.transpose()));
        self.dropout
            .forward(activation::softmax(scores, 3))
            .matmul(value)
    }
}

/// One layer: attention and feed-forward, each with dropout, a residual and a normalisation after it.
#[derive(Module, Debug)]
pub(super) struct BertLayer {
    pub(super) attention: SelfAttention,
    pub(super) attention_norm: LayerNorm,
    pub(super) intermediate: Linear,
    pub(super) output: Linear,
    pub(super) output_norm: LayerNorm,
    pub(super) norm_epsilon: f64,
    dropout: Dropout,
    #[module(skip)]
    pub(super) activation: Activation,
}

impl BertLayer {
    pub(super) fn new(config: &BertConfig, device: &Device) -> Self {
        let norm = || {
            LayerNormConfig::new(config.hidden_size)
                .with_epsilon(config.layer_norm_eps)
                .init(device)
        };
        Self {
            attention: SelfAttention::new(config, device),
            attention_norm: norm(),
            intermediate: linear(config, config.hidden_size, config.intermediate_size, device),
            output: linear(config, config.intermediate_size, config.hidden_size, device),
            output_norm: norm(),
            norm_epsilon: config.layer_norm_eps,
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            activation: config.activation(),
        }
    }

    /// Linear layers multiply in `products`; on the CPU in f32.
    pub(super) fn set_products(&mut self, products: FloatDType) {
        self.attention.products = products;
    }

    /// `[tokens, hidden]` to the same shape.
    pub(super) fn forward(&self, hidden: Tensor<2>, packing: &Packing) -> Tensor<2> {
        let attended = self.attention.forward(hidden.clone(), packing);
        self.feed_forward(hidden, attended)
    }

    /// The first token of each sequence only: `[tokens, hidden]` to `[batch, hidden]`.
    pub(super) fn forward_first(
        &self,
        hidden: Tensor<2>,
        offsets: &[usize],
        packing: &Packing,
    ) -> Tensor<2> {
        let first = Bert::first_token(hidden.clone(), offsets);
        let attended = self.attention.forward_first(first.clone(), hidden, packing);
        self.feed_forward(first, attended)
    }

    /// Whether [`forward_gpu`](Self::forward_gpu) can take these states.
    pub(super) fn on_gpu(&self, hidden: &Tensor<2>) -> bool {
        gpu::takes(hidden, self.attention.heads)
    }

    /// [`forward`](Self::forward) on a GPU.
    pub(super) fn forward_gpu(&self, hidden: Tensor<2>, blocks: &Blocks) -> Tensor<2> {
        let attended = self
            .attention
            .forward_gpu(hidden.clone(), hidden.clone(), blocks);
        self.feed_forward_gpu(hidden, attended)
    }

    /// [`forward_first`](Self::forward_first) on a GPU; the blocks' queries are the first tokens.
    pub(super) fn forward_first_gpu(
        &self,
        hidden: Tensor<2>,
        offsets: &[usize],
        blocks: &Blocks,
    ) -> Tensor<2> {
        let first = Bert::first_token(hidden.clone(), offsets);
        let attended = self.attention.forward_gpu(first.clone(), hidden, blocks);
        self.feed_forward_gpu(first, attended)
    }

    /// [`feed_forward`](Self::feed_forward) on a GPU.
    fn feed_forward_gpu(&self, hidden: Tensor<2>, attended: Tensor<2>) -> Tensor<2> {
        let norm = |residual, x, norm| {
            gpu_residual_norm(residual, x, &self.dropout, norm, self.norm_epsilon)
        };
        let attended = norm(hidden, attended, &self.attention_norm);
        let dense = |layer, x| self.attention.dense(layer, x);
        let wide = dense(&self.intermediate, attended.clone());
        let output = dense(&self.output, self.activation.forward(wide));
        norm(attended, output, &self.output_norm)
    }

    /// [`forward`](Self::forward) on the CPU.
    pub(super) fn forward_cpu(
        &self,
        hidden: Tensor<2>,
        offsets: &[usize],
        bias: Option<&Bias>,
    ) -> Tensor<2> {
        let attended = self.attention.forward_cpu(hidden.clone(), offsets, bias);
        self.feed_forward_cpu(hidden, attended)
    }

    /// [`forward_first`](Self::forward_first) on the CPU.
    pub(super) fn forward_first_cpu(
        &self,
        hidden: Tensor<2>,
        offsets: &[usize],
        bias: Option<&Bias>,
    ) -> Tensor<2> {
        let first = Bert::first_token(hidden.clone(), offsets);
        let attended = self
            .attention
            .forward_first_cpu(first.clone(), hidden, offsets, bias);
        self.feed_forward_cpu(first, attended)
    }

    /// [`feed_forward`](Self::feed_forward) on the CPU.
    fn feed_forward_cpu(&self, hidden: Tensor<2>, attended: Tensor<2>) -> Tensor<2> {
        let mask = || Mask::draw(&self.dropout, &hidden.device());
        let (first, second) = (mask(), mask());
        let attended = residual_norm(
            hidden,
            attended,
            first,
            &self.attention_norm,
            self.norm_epsilon,
        );
        let wide = project::<3>(attended.clone(), &[&self.intermediate]);
        let output = project::<3>(self.activation.forward(wide), &[&self.output]);
        residual_norm(
            attended,
            output,
            second,
            &self.output_norm,
            self.norm_epsilon,
        )
    }

    /// `a = LayerNorm(x + Attention(x))`, then `LayerNorm(a + W2 act(W1 a))`, row by row.
    fn feed_forward(&self, hidden: Tensor<2>, attended: Tensor<2>) -> Tensor<2> {
        let attended = self
            .attention_norm
            .forward(hidden + self.dropout.forward(attended));
        let wide = self
            .activation
            .forward(self.attention.dense(&self.intermediate, attended.clone()));
        let output = self.attention.dense(&self.output, wide);
        let output = self.dropout.forward(output);
        self.output_norm.forward(attended + output)
    }
}

/// Activation of the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// `x Φ(x)`, with the error function.
    Gelu,
    /// `x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// The activation a `hidden_act` names, if it is one of those supported.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Some(Self::GeluTanh),
            "relu" => Some(Self::Relu),
            _ => None,
        }
    }

    /// Applies the activation, element by element.
    fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu if takes(&x) => gelu(x),
            Self::Gelu if mmrest_kernels::gpu::takes(&x) => layers::gelu(x),
            Self::Gelu => activation::gelu(x),
            Self::GeluTanh => activation::gelu_approximate(x),
            Self::Relu => activation::relu(x),
        }
    }
}

/// A linear layer as BERT starts it: weight normal with `initializer_range`, bias 0.
fn linear(config: &BertConfig, input: usize, output: usize, device: &Device) -> Linear {
    let normal = Initializer::Normal {
        mean: 0.0,
        std: config.initializer_range,
    };
    let mut linear = LinearConfig::new(input, output)
        .with_initializer(normal)
        .init(device);
    linear.bias = Some(Initializer::Zeros.init([output], device));
    linear
}

#[cfg(test)]
mod tests {
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::{Distribution, Gradients};

    use super::super::relative::RelativeBias;
    use super::*;

    const LENGTHS: [usize; 6] = [5, 1, 9, 2, 9, 4];

    fn layer(device: &Device) -> BertLayer {
        let mut config = BertConfig::small(10, 24, 1, 3, 40);
        config.hidden_dropout_prob = 0.0;
        config.attention_probs_dropout_prob = 0.0;
        config.initializer_range = 0.3;
        BertLayer::new(&config, device)
    }

    fn relative(device: &Device) -> RelativeBias {
        let mut config = BertConfig::small(10, 24, 1, 3, 40).as_mpnet();
        config.initializer_range = 0.3;
        RelativeBias::new(&config, device)
    }

    fn hidden(device: &Device) -> (Tensor<2>, Vec<usize>) {
        let mut offsets = vec![0];
        offsets.extend(LENGTHS.iter().scan(0, |end, len| {
            *end += len;
            Some(*end)
        }));
        let shape = [LENGTHS.iter().sum(), 24];
        (
            Tensor::random(shape, Distribution::Normal(0.1, 1.0), device),
            offsets,
        )
    }

    struct Collect<'a>(&'a Gradients, Vec<Vec<f32>>);

    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.0).unwrap();
            self.1.push(gradient.into_data().try_to_vec().unwrap());
        }
    }

    /// Output, and gradients of the input and all parameters, those of the bias among them, of a loss that weighs every
    /// value differently.
    fn results(
        layer: &BertLayer,
        hidden: &Tensor<2>,
        relative: Option<&RelativeBias>,
        run: impl Fn(&BertLayer, Tensor<2>, Option<Bias>) -> Tensor<2>,
    ) -> Vec<Vec<f32>> {
        let hidden = hidden.clone().detach().require_grad();
        let output = run(
            layer,
            hidden.clone(),
            relative.map(|bias| bias.of(9, false)),
        );
        let [rows, width] = output.dims();
        let weigh = Tensor::arange(0..(rows * width) as i64, &output.device())
            .float()
            .sin()
            .reshape([rows, width]);
        let gradients = (output.clone() * weigh).sum().backward();
        let mut all = Collect(&gradients, Vec::new());
        layer.visit(&mut all);
        if let Some(relative) = relative {
            relative.visit(&mut all);
        }
        for tensor in [output, hidden.grad(&gradients).unwrap()] {
            all.1.push(tensor.into_data().try_to_vec().unwrap());
        }
        all.1
    }

    fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>]) {
        assert_eq!(found.len(), expected.len());
        for (part, (found, expected)) in found.iter().zip(expected).enumerate() {
            let scale = expected.iter().fold(1.0f32, |most, v| most.max(v.abs()));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() <= 2e-5 * scale,
                    "part {part}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn products_in_bf16_are_near_those_in_f32_and_so_are_their_gradients() {
        let device = Device::flex().autodiff();
        device.seed(6);
        let mut layer = layer(&device);
        let (hidden, offsets) = hidden(&device);
        let run = |layer: &BertLayer| {
            results(layer, &hidden, None, |layer, x, bias| {
                layer.forward(x, &Packing::new(&offsets, bias, &device))
            })
        };
        let exact = run(&layer);
        layer.set_products(FloatDType::BF16);
        let rounded = run(&layer);
        assert_eq!(rounded.len(), exact.len());
        let mut differ = 0;
        for (part, (rounded, exact)) in rounded.iter().zip(&exact).enumerate() {
            let norm =
                |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
            let error = norm(&mut rounded.iter().zip(exact).map(|(a, b)| a - b));
            let size = norm(&mut exact.iter().copied());
            // Keys' biases have no gradient: softmax takes them out.
            assert!(
                error <= 0.03 * size + 0.05,
                "part {part}: {error} of {size}"
            );
            differ += usize::from(error > 1e-5 * size);
        }
        assert!(differ > exact.len() / 2);
    }

    #[test]
    fn the_cpu_computes_what_burn_does() {
        let device = Device::flex().autodiff();
        device.seed(5);
        let (layer, relative) = (layer(&device), relative(&device));
        let (hidden, offsets) = hidden(&device);
        let packing = |bias| Packing::new(&offsets, bias, &device);
        for relative in [None, Some(&relative)] {
            let run = |run: &dyn Fn(&BertLayer, Tensor<2>, Option<Bias>) -> Tensor<2>| {
                results(&layer, &hidden, relative, run)
            };
            let general = run(&|layer, x, bias| layer.forward(x, &packing(bias)));
            let cpu = run(&|layer, x, bias| layer.forward_cpu(x, &offsets, bias.as_ref()));
            assert_eq!(general.len(), 18 + usize::from(relative.is_some()));
            assert_close(&cpu, &general);

            let general = run(&|layer, x, bias| layer.forward_first(x, &offsets, &packing(bias)));
            let cpu = run(&|layer, x, bias| layer.forward_first_cpu(x, &offsets, bias.as_ref()));
            assert_close(&cpu, &general);
        }
    }
}
