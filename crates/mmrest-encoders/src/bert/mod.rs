//! BERT (Devlin et al., 2019) over packed batches: no linear layer, normalisation or activation ever sees padding.
//!
//! The layout is that of Hugging Face's [`BertModel`](https://huggingface.co/docs/transformers/model_doc/bert), from the
//! bottom up: embeddings, self-attention, layer, encoder; without a pooler. `config.json` and the weights' names are in
//! `pretrained.rs`. A batch's tokens lie end to end, `[tokens, hidden]`. On the CPU, attention runs on each sequence's
//! own rows; elsewhere it gathers them to `[batch, heads, time, head]` and back.

mod pretrained;

use std::ops::Range;
use std::path::Path;

use burn::module::Initializer;
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig,
};
use burn::prelude::*;
use burn::tensor::activation;
use mmrest_kernels::activation::gelu;
use mmrest_kernels::dropout::{self, Mask};
use mmrest_kernels::linear::project;
use mmrest_kernels::norm::residual_norm;
use mmrest_kernels::operation::takes;

pub use self::pretrained::{BertConfig, has_weights};
use crate::attention::{Sight, attend, attend_first};
use crate::packed::lens;
use crate::{EncoderError, PackedTokens};

// ---- embeddings ----

/// `LayerNorm(word + position + type 0)` of every token.
#[derive(Module, Debug)]
struct Embeddings {
    word: Embedding,
    position: Embedding,
    token_type: Embedding,
    norm: LayerNorm,
    dropout: Dropout,
}

impl Embeddings {
    fn new(config: &BertConfig, device: &Device) -> Self {
        let initializer = Initializer::Normal {
            mean: 0.0,
            std: config.initializer_range,
        };
        let table = |rows| {
            EmbeddingConfig::new(rows, config.hidden_size)
                .with_initializer(initializer.clone())
                .init(device)
        };
        Self {
            word: table(config.vocab_size),
            position: table(config.max_position_embeddings),
            token_type: table(config.type_vocab_size),
            norm: LayerNormConfig::new(config.hidden_size)
                .with_epsilon(config.layer_norm_eps)
                .init(device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
        }
    }

    /// `[tokens, hidden]` of the batch's tokens. Positions count from 0 in each sequence.
    fn forward(&self, batch: &PackedTokens) -> Tensor<2> {
        let words = batch.ids.iter().map(|id| i64::from(*id)).collect();
        let positions = lens(&batch.offsets).flat_map(|len| 0..len as i64).collect();
        let token_type = self.token_type.weight.val().narrow(0, 0, 1);
        let sum = lookup(&self.word, words) + lookup(&self.position, positions) + token_type;
        let normal = self.norm.forward(sum);
        if takes(&normal) {
            let mask = Mask::draw(&self.dropout, &normal.device());
            return dropout::dropout(normal, mask);
        }
        self.dropout.forward(normal)
    }

    fn positions(&self) -> usize {
        self.position.weight.shape()[0]
    }

    fn vocab_size(&self) -> usize {
        self.word.weight.shape()[0]
    }
}

/// Rows of a table: `[indices, width]`.
fn lookup(table: &Embedding, indices: Vec<i64>) -> Tensor<2> {
    let count = indices.len();
    let indices =
        Tensor::<2, Int>::from_data(TensorData::new(indices, [1, count]), &table.weight.device());
    table.forward(indices).squeeze_dim(0)
}

// ---- self-attention ----

/// Multi-head self-attention: `softmax(Q K^T / sqrt(d)) V` of every head, joined by a linear layer.
#[derive(Module, Debug)]
struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    dropout: Dropout,
    heads: usize,
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
        }
    }

    /// `[tokens, hidden]` to the same shape, before dropout and residual.
    fn forward(&self, hidden: Tensor<2>, packing: &Packing) -> Tensor<2> {
        let query = packing.split(self.query.forward(hidden.clone()), self.heads);
        self.output
            .forward(packing.join(self.attend(query, hidden, packing)))
    }

    /// What [`forward`](Self::forward) gives the first token of each sequence: `[batch, hidden]`, from those tokens'
    /// hidden states `first: [batch, hidden]` and all of them.
    fn forward_first(&self, first: Tensor<2>, hidden: Tensor<2>, packing: &Packing) -> Tensor<2> {
        let [batch, width] = first.dims();
        let query = self
            .query
            .forward(first)
            .reshape([batch, self.heads, 1, width / self.heads]);
        self.output
            .forward(self.attend(query, hidden, packing).reshape([batch, width]))
    }

    /// [`forward`](Self::forward) on the CPU, where sequences are not padded.
    fn forward_cpu(&self, hidden: Tensor<2>, offsets: &[usize]) -> Tensor<2> {
        let mask = Mask::draw(&self.dropout, &hidden.device());
        let all = project::<7>(hidden, &[&self.query, &self.key, &self.value]);
        let attended = attend(all, offsets, self.heads, Sight::All, mask);
        project::<3>(attended, &[&self.output])
    }

    /// [`forward_first`](Self::forward_first) on the CPU.
    fn forward_first_cpu(
        &self,
        first: Tensor<2>,
        hidden: Tensor<2>,
        offsets: &[usize],
    ) -> Tensor<2> {
        let mask = Mask::draw(&self.dropout, &hidden.device());
        let queries = project::<3>(first, &[&self.query]);
        let keys_values = project::<5>(hidden, &[&self.key, &self.value]);
        let attended = attend_first(queries, keys_values, offsets, self.heads, mask);
        project::<3>(attended, &[&self.output])
    }

    /// `softmax(Q K^T / sqrt(d)) V` for queries `[batch, heads, any, d]`.
    fn attend(&self, query: Tensor<4>, hidden: Tensor<2>, packing: &Packing) -> Tensor<4> {
        let key = packing.split(self.key.forward(hidden.clone()), self.heads);
        let value = packing.split(self.value.forward(hidden), self.heads);
        let scale = 1.0 / (query.dims()[3] as f64).sqrt();
        let scores = packing.mask((query * scale).matmul(key.transpose()));
        self.dropout
            .forward(activation::softmax(scores, 3))
            .matmul(value)
    }
}

// ---- a layer ----

/// One layer: attention and feed-forward, each with dropout, a residual and a normalisation after it.
#[derive(Module, Debug)]
struct BertLayer {
    attention: SelfAttention,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    norm_epsilon: f64,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl BertLayer {
    fn new(config: &BertConfig, device: &Device) -> Self {
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

    /// `[tokens, hidden]` to the same shape.
    fn forward(&self, hidden: Tensor<2>, packing: &Packing) -> Tensor<2> {
        let attended = self.attention.forward(hidden.clone(), packing);
        self.feed_forward(hidden, attended)
    }

    /// The first token of each sequence only: `[tokens, hidden]` to `[batch, hidden]`.
    fn forward_first(&self, hidden: Tensor<2>, offsets: &[usize], packing: &Packing) -> Tensor<2> {
        let first = Bert::first_token(hidden.clone(), offsets);
        let attended = self.attention.forward_first(first.clone(), hidden, packing);
        self.feed_forward(first, attended)
    }

    /// [`forward`](Self::forward) on the CPU.
    fn forward_cpu(&self, hidden: Tensor<2>, offsets: &[usize]) -> Tensor<2> {
        let attended = self.attention.forward_cpu(hidden.clone(), offsets);
        self.feed_forward_cpu(hidden, attended)
    }

    /// [`forward_first`](Self::forward_first) on the CPU.
    fn forward_first_cpu(&self, hidden: Tensor<2>, offsets: &[usize]) -> Tensor<2> {
        let first = Bert::first_token(hidden.clone(), offsets);
        let attended = self
            .attention
            .forward_first_cpu(first.clone(), hidden, offsets);
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
            .forward(self.intermediate.forward(attended.clone()));
        let output = self.dropout.forward(self.output.forward(wide));
        self.output_norm.forward(attended + output)
    }
}

/// Activation of the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    /// `x Φ(x)`, with the error function.
    Gelu,
    /// `x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// The activation a `hidden_act` names, if it is one of those supported.
    fn from_name(name: &str) -> Option<Self> {
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

// ---- the model ----

/// BERT without a head: the hidden state of every token. Start with [`Bert::load_dir`] or [`BertConfig::init`].
///
/// Dropout acts only in a module on an autodiff device.
#[derive(Module, Debug)]
pub struct Bert {
    embeddings: Embeddings,
    layers: Vec<BertLayer>,
}

impl BertConfig {
    /// A BERT with random weights: normal with `initializer_range`, biases 0, normalisations the identity.
    ///
    /// # Panics
    ///
    /// On a configuration that [`check`](Self::check) refuses for its dropout; one that was read from a file is checked.
    ///
    /// ```
    /// use burn::prelude::*;
    /// use mmrest_encoders::{Bert, BertConfig, PackedTokens};
    ///
    /// let bert = BertConfig::small(100, 32, 2, 4, 64).init(&Device::flex());
    /// let batch = PackedTokens::from_sequences(&[vec![2, 7, 9, 3], vec![2, 3]]);
    /// bert.check(&batch)?;
    /// let hidden = bert.forward(&batch);
    /// assert_eq!(hidden.dims(), [6, 32]);
    /// assert_eq!(Bert::first_token(hidden, &batch.offsets).dims(), [2, 32]);
    /// # Ok::<(), mmrest_encoders::EncoderError>(())
    /// ```
    pub fn init(&self, device: &Device) -> Bert {
        let layer = |_| BertLayer::new(self, device);
        Bert {
            embeddings: Embeddings::new(self, device),
            layers: (0..self.num_hidden_layers).map(layer).collect(),
        }
    }
}

impl Bert {
    /// Reads a Hugging Face BERT directory: `config.json` and `model.safetensors` or `pytorch_model.bin`.
    ///
    /// Names may begin with `bert.`, normalisations may be called `gamma` and `beta`; poolers and heads are ignored;
    /// any float type becomes f32.
    ///
    /// # Errors
    ///
    /// A missing or damaged file; a model that is no BERT; all missing tensors in one error; a tensor whose shape is
    /// not the configuration's.
    pub fn load_dir(dir: &Path, device: &Device) -> Result<(Self, BertConfig), EncoderError> {
        let config = BertConfig::from_dir(dir)?;
        let bert = pretrained::load(&config, dir, device)?;
        Ok((bert, config))
    }

    /// Checks that the model can take a batch: sequences not empty, none too long, ids within the vocabulary.
    ///
    /// # Errors
    ///
    /// [`EncoderError::InvalidBatch`], [`EncoderError::TooLong`] or [`EncoderError::UnknownId`], naming the sequence.
    pub fn check(&self, batch: &PackedTokens) -> Result<(), EncoderError> {
        batch.check()?;
        let limit = self.max_tokens();
        if let Some((index, tokens)) = batch.lens().enumerate().find(|(_, len)| *len > limit) {
            return Err(EncoderError::TooLong {
                index,
                tokens,
                limit,
            });
        }
        let vocab_size = self.embeddings.vocab_size();
        if let Some(place) = batch.ids.iter().position(|id| *id as usize >= vocab_size) {
            let index = batch.offsets.partition_point(|offset| *offset <= place) - 1;
            return Err(EncoderError::UnknownId {
                index,
                id: batch.ids[place],
                vocab_size,
            });
        }
        Ok(())
    }

    /// The longest sequence the model has positions for, in tokens.
    pub fn max_tokens(&self) -> usize {
        self.embeddings.positions()
    }

    /// Number of layers.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Size of a token's representation.
    pub fn hidden_size(&self) -> usize {
        self.embeddings.word.weight.shape()[1]
    }

    /// Embeddings of a batch: `[tokens, hidden]`.
    ///
    /// # Panics
    ///
    /// On a batch that [`check`](Self::check) refuses.
    pub fn embed(&self, batch: &PackedTokens) -> Tensor<2> {
        self.embeddings.forward(batch)
    }

    /// Takes hidden states `[tokens, hidden]` through the layers of `range`; beyond the last layer there is none.
    ///
    /// Layers can be run apart, so that the lower ones stay fixed and outside the autodiff graph:
    ///
    /// ```
    /// use burn::prelude::*;
    /// use mmrest_encoders::{BertConfig, PackedTokens};
    ///
    /// let mut config = BertConfig::small(100, 32, 4, 4, 64);
    /// config.hidden_dropout_prob = 0.0;
    /// let bert = config.init(&Device::flex().autodiff());
    /// let batch = PackedTokens::from_sequences(&[vec![2, 7, 3], vec![2, 9, 9, 3]]);
    ///
    /// let fixed = bert.valid(); // the same weights, untracked
    /// let lower = fixed.layers(fixed.embed(&batch), &batch.offsets, 0..3);
    /// let hidden = bert.layers(Tensor::from_inner(lower), &batch.offsets, 3..4);
    /// let gradients = hidden.sum().backward(); // reaches the top layer only
    /// # let _ = gradients;
    /// ```
    pub fn layers(&self, hidden: Tensor<2>, offsets: &[usize], range: Range<usize>) -> Tensor<2> {
        let layers = self.layers.iter().take(range.end).skip(range.start);
        if takes(&hidden) {
            return layers.fold(hidden, |hidden, layer| layer.forward_cpu(hidden, offsets));
        }
        let packing = Packing::new(offsets, &hidden.device());
        layers.fold(hidden, |hidden, layer| layer.forward(hidden, &packing))
    }

    /// Last hidden state of every token: `[tokens, hidden]`.
    ///
    /// # Panics
    ///
    /// On a batch that [`check`](Self::check) refuses.
    pub fn forward(&self, batch: &PackedTokens) -> Tensor<2> {
        self.layers(self.embed(batch), &batch.offsets, 0..self.depth())
    }

    /// What [`first_token`](Self::first_token) of [`layers`](Self::layers) is, without computing the other tokens in
    /// the last layer of the range: `[batch, hidden]`.
    pub fn layers_first(
        &self,
        hidden: Tensor<2>,
        offsets: &[usize],
        range: Range<usize>,
    ) -> Tensor<2> {
        let end = range.end.min(self.depth());
        if end <= range.start {
            return Self::first_token(hidden, offsets);
        }
        let hidden = self.layers(hidden, offsets, range.start..end - 1);
        if takes(&hidden) {
            return self.layers[end - 1].forward_first_cpu(hidden, offsets);
        }
        let packing = Packing::new(offsets, &hidden.device());
        self.layers[end - 1].forward_first(hidden, offsets, &packing)
    }

    /// Last hidden state of each sequence's first token, `[batch, hidden]`: the sentence's representation.
    ///
    /// The same as [`first_token`](Self::first_token) of [`forward`](Self::forward), at less cost.
    ///
    /// # Panics
    ///
    /// On a batch that [`check`](Self::check) refuses.
    pub fn forward_first(&self, batch: &PackedTokens) -> Tensor<2> {
        self.layers_first(self.embed(batch), &batch.offsets, 0..self.depth())
    }

    /// Hidden state of each sequence's first token: `[batch, hidden]`.
    pub fn first_token(hidden: Tensor<2>, offsets: &[usize]) -> Tensor<2> {
        let starts: Vec<i64> = offsets.windows(2).map(|bounds| bounds[0] as i64).collect();
        let starts = Tensor::from_data(TensorData::from(starts.as_slice()), &hidden.device());
        hidden.select(0, starts)
    }
}

// ---- padding, for devices other than the CPU ----

/// What is added to the scores of padding: exp of it is 0, and half precision can hold it.
pub(crate) const MASKED: f32 = -3e4;

/// Where the tokens of a packed batch lie in the padded one, and back.
pub(crate) struct Packing {
    batch: usize,
    pub(crate) time: usize,
    /// What padding takes; none when all sequences are equally long.
    padding: Option<Padding>,
}

struct Padding {
    /// Row of the packed batch of every place `[batch * time]`. Padding reads row 0 and is masked.
    padded: Tensor<1, Int>,
    /// Place in the padded batch of every token `[tokens]`.
    packed: Tensor<1, Int>,
    /// `[batch, 1, 1, time]`: 0 for tokens, [`MASKED`] for padding.
    mask: Tensor<4>,
}

impl Packing {
    pub(crate) fn new(offsets: &[usize], device: &Device) -> Self {
        let batch = offsets.len().saturating_sub(1);
        let time = lens(offsets).max().unwrap_or(0);
        let equal = lens(offsets).all(|len| len == time);
        Self {
            batch,
            time,
            padding: (!equal).then(|| Padding::new(offsets, time, device)),
        }
    }

    /// `[tokens, hidden]` to `[batch, heads, time, hidden / heads]`.
    pub(crate) fn split(&self, packed: Tensor<2>, heads: usize) -> Tensor<4> {
        let [_, hidden] = packed.dims();
        let padded = match &self.padding {
            Some(padding) => packed.select(0, padding.padded.clone()),
            None => packed,
        };
        padded
            .reshape([self.batch, self.time, heads, hidden / heads])
            .swap_dims(1, 2)
    }

    /// `[batch, heads, time, head]` to `[tokens, heads * head]`.
    pub(crate) fn join(&self, padded: Tensor<4>) -> Tensor<2> {
        let [batch, heads, time, head] = padded.dims();
        let rows = padded.swap_dims(1, 2).reshape([batch * time, heads * head]);
        match &self.padding {
            Some(padding) => rows.select(0, padding.packed.clone()),
            None => rows,
        }
    }

    pub(crate) fn mask(&self, scores: Tensor<4>) -> Tensor<4> {
        match &self.padding {
            Some(padding) => scores + padding.mask.clone(),
            None => scores,
        }
    }
}

impl Padding {
    fn new(offsets: &[usize], time: usize, device: &Device) -> Self {
        let batch = offsets.len() - 1;
        let mut padded = vec![0i64; batch * time];
        let mut mask = vec![MASKED; batch * time];
        let mut packed = Vec::new();
        for (sequence, bounds) in offsets.windows(2).enumerate() {
            for (step, row) in (bounds[0]..bounds[1]).enumerate() {
                let place = sequence * time + step;
                padded[place] = row as i64;
                mask[place] = 0.0;
                packed.push(place as i64);
            }
        }
        let index =
            |values: Vec<i64>| Tensor::from_data(TensorData::from(values.as_slice()), device);
        let mask = Tensor::from_data(TensorData::new(mask, [batch, 1, 1, time]), device);
        Self {
            padded: index(padded),
            packed: index(packed),
            mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::{Distribution, Gradients};

    use super::*;

    const LENGTHS: [usize; 6] = [5, 1, 9, 2, 9, 4];

    fn layer(device: &Device) -> BertLayer {
        let mut config = BertConfig::small(10, 24, 1, 3, 40);
        config.hidden_dropout_prob = 0.0;
        config.attention_probs_dropout_prob = 0.0;
        config.initializer_range = 0.3;
        BertLayer::new(&config, device)
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

    /// Output, and gradients of the input and all parameters, of a loss that weighs every value differently.
    fn results(
        layer: &BertLayer,
        hidden: &Tensor<2>,
        run: impl Fn(&BertLayer, Tensor<2>) -> Tensor<2>,
    ) -> Vec<Vec<f32>> {
        let hidden = hidden.clone().detach().require_grad();
        let output = run(layer, hidden.clone());
        let [rows, width] = output.dims();
        let weigh = Tensor::arange(0..(rows * width) as i64, &output.device())
            .float()
            .sin()
            .reshape([rows, width]);
        let gradients = (output.clone() * weigh).sum().backward();
        let mut all = Collect(&gradients, Vec::new());
        layer.visit(&mut all);
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
    fn the_cpu_computes_what_burn_does() {
        let device = Device::flex().autodiff();
        device.seed(5);
        let layer = layer(&device);
        let (hidden, offsets) = hidden(&device);
        let packing = Packing::new(&offsets, &device);
        let general = results(&layer, &hidden, |layer, x| layer.forward(x, &packing));
        let cpu = results(&layer, &hidden, |layer, x| layer.forward_cpu(x, &offsets));
        assert_eq!(general.len(), 18);
        assert_close(&cpu, &general);

        let general = |layer: &BertLayer, x| layer.forward_first(x, &offsets, &packing);
        let general = results(&layer, &hidden, general);
        let cpu = results(&layer, &hidden, |layer, x| {
            layer.forward_first_cpu(x, &offsets)
        });
        assert_close(&cpu, &general);
    }
}
