//! BERT (Devlin et al., 2019) over packed batches: no linear layer, normalisation or activation ever sees padding. MPNet
//! (Song et al., 2020) is the same network with a relative attention bias that all layers share, without token types.
//!
//! The layout is that of Hugging Face's [`BertModel`](https://huggingface.co/docs/transformers/model_doc/bert), from the
//! bottom up: embeddings, self-attention, layer, encoder; without a pooler. A layer is in `layer.rs`, `config.json` in
//! `config.rs`; the weights' names are in `pretrained.rs`. A batch's tokens lie end to end, `[tokens, hidden]`. On the
//! CPU and on GPUs, attention runs on each sequence's own rows; elsewhere it gathers them to `[batch, heads, time, head]`
//! and back.

mod config;
mod graph;
mod layer;
mod packing;
mod pretrained;
mod relative;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use burn::module::{Initializer, Param};
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
};
use burn::prelude::*;
use burn::tensor::FloatDType;
use mmrest_kernels::dropout::{self, Mask};
use mmrest_kernels::embedding::rows_of;
use mmrest_kernels::gpu::attention::Blocks;
use mmrest_kernels::operation::takes;

pub use self::config::BertConfig;
use self::layer::{Activation, BertLayer};
use self::packing::averages;
pub(crate) use self::packing::{MASKED, Packing};
pub use self::pretrained::{LARGEST_WEIGHT, NamedTensor};
use self::relative::RelativeBias;
use crate::attention::Bias;
use crate::packed::lens;
use crate::pooling::Part;
use crate::{EncoderError, PackedTokens, Pooling};

// ---- embeddings ----

/// `LayerNorm(word + position + type 0)` of every token; without types in an MPNet.
#[derive(Module, Debug)]
struct Embeddings {
    word: Embedding,
    position: Embedding,
    token_type: Option<Embedding>,
    norm: LayerNorm,
    dropout: Dropout,
    /// The position of a text's first token.
    #[module(skip)]
    first: usize,
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
            token_type: (config.token_types() > 0).then(|| table(config.token_types())),
            norm: LayerNormConfig::new(config.hidden_size)
                .with_epsilon(config.layer_norm_eps)
                .init(device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            first: config.first_position(),
        }
    }

    /// `[tokens, hidden]` of the batch's tokens. Positions count anew in each sequence.
    fn forward(&self, batch: &PackedTokens) -> Tensor<2> {
        let words: Vec<usize> = batch.ids.iter().map(|id| *id as usize).collect();
        let positions: Vec<usize> = lens(&batch.offsets)
            .flat_map(|len| self.first..self.first + len)
            .collect();
        let mut sum = lookup(&self.word, &words) + lookup(&self.position, &positions);
        if let Some(token_type) = &self.token_type {
            sum = sum + token_type.weight.val().narrow(0, 0, 1);
        }
        let normal = self.norm.forward(sum);
        if takes(&normal) {
            let mask = Mask::draw(&self.dropout, &normal.device());
            return dropout::dropout(normal, mask);
        }
        self.dropout.forward(normal)
    }

    fn positions(&self) -> usize {
        self.position.weight.shape()[0] - self.first
    }

    fn vocab_size(&self) -> usize {
        self.word.weight.shape()[0]
    }
}

/// Rows of a table: `[indices, width]`.
fn lookup(table: &Embedding, ids: &[usize]) -> Tensor<2> {
    let weight = table.weight.val();
    if takes(&weight) {
        return rows_of(weight, ids);
    }
    let places = ids.iter().map(|id| *id as i64).collect();
    let places = TensorData::new::<i64, _>(places, [1, ids.len()]);
    let places = Tensor::<2, Int>::from_data(places, &weight.device());
    table.forward(places).squeeze_dim(0)
}

// ---- the model ----

/// A text encoder without a head, BERT or MPNet: the hidden state of every token, and what stands for a text
/// ([`Pooling`]). Start with [`Bert::load_dir`] or [`BertConfig::init`].
///
/// Dropout acts only in a module on an autodiff device.
#[derive(Module, Debug)]
pub struct Bert {
    embeddings: Embeddings,
    relative: Option<RelativeBias>,
    layers: Vec<BertLayer>,
    #[module(skip)]
    pooling: Pooling,
    /// Weight and bias of the pretrained pooler, which is no part of the encoder.
    #[module(skip)]
    pooler: Option<Arc<[TensorData; 2]>>,
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
            relative: (self.buckets() > 0).then(|| RelativeBias::new(self, device)),
            layers: (0..self.num_hidden_layers).map(layer).collect(),
            pooling: self.pooling.clone(),
            pooler: None,
        }
    }
}

impl Bert {
    /// Reads a Hugging Face directory of a BERT or an MPNet: `config.json` and `model.safetensors` or
    /// `pytorch_model.bin`, whole or in shards.
    ///
    /// Names may begin with `bert.` or `mpnet.`, normalisations may be called `gamma` and `beta`; heads are ignored;
    /// any float type becomes f32.
    ///
    /// # Errors
    ///
    /// A missing or damaged file; a model of another type; all missing tensors in one error; a tensor whose shape is
    /// not the configuration's, or whose values are not finite.
    pub fn load_dir(dir: &Path, device: &Device) -> Result<(Self, BertConfig), EncoderError> {
        let config = BertConfig::from_dir(dir)?;
        let bert = Self::load(&config, dir, device)?;
        Ok((bert, config))
    }

    /// Reads the weights of a directory whose configuration is at hand.
    ///
    /// # Errors
    ///
    /// As [`load_dir`](Self::load_dir), but for the configuration; a [`pooling`](BertConfig::pooling) of layers that are
    /// not there.
    pub fn load(config: &BertConfig, dir: &Path, device: &Device) -> Result<Self, EncoderError> {
        config.pooling.check(config.num_hidden_layers)?;
        pretrained::load(config, dir, device)
    }

    /// The pretrained pooler, `[hidden] -> [hidden]`, for a model to take over; none where the weights had none.
    pub fn pooler(&self, device: &Device) -> Option<Linear> {
        let [weight, bias] = &**self.pooler.as_ref()?;
        Some(Linear {
            weight: Param::from_data(weight.clone(), device),
            bias: Some(Param::from_data(bias.clone(), device)),
        })
    }

    /// The same encoder, with linear layers that round the factors of their products to `products`; weights and sums keep 32
    /// bits. On the CPU they stay as they are.
    #[must_use]
    pub fn with_products(mut self, products: FloatDType) -> Self {
        for layer in &mut self.layers {
            layer.set_products(products);
        }
        self
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
        let mut pass = Pass::new(self, &hidden, offsets, range.start);
        pass.advance(hidden, range.end)
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
        let mut pass = Pass::new(self, &hidden, offsets, range.start);
        let hidden = pass.advance(hidden, end - 1);
        pass.first(hidden)
    }

    /// What stands for each text, `[batch, BertConfig::text_width]`: the [`Pooling`]'s parts side by side.
    ///
    /// # Panics
    ///
    /// On a batch that [`check`](Self::check) refuses, or a pooling that the encoder's depth does not allow.
    pub fn pooled(&self, batch: &PackedTokens) -> Tensor<2> {
        self.pooled_from(self.embed(batch), &batch.offsets, 0, None)
    }

    /// [`pooled`](Self::pooled) from the states `[tokens, hidden]` that `lower` layers gave, and from what
    /// [`pooled_below`](Self::pooled_below) gave with them.
    pub fn pooled_from(
        &self,
        states: Tensor<2>,
        offsets: &[usize],
        lower: usize,
        below: Option<Tensor<2>>,
    ) -> Tensor<2> {
        if self.pooling.is_first() {
            return self.layers_first(states, offsets, lower..self.depth());
        }
        let averages = averages(offsets, &states.device());
        let mut pass = Pass::new(self, &states, offsets, lower);
        let (states, means) = pass.means(states, self.depth(), &averages);
        let below = below.into_iter().flat_map(|below| {
            let parts = below.dims()[1] / self.hidden_size();
            below.chunk(parts.max(1), 1)
        });
        let mut below = below;
        let part = |part: &Part| match part {
            Part::First => Some(Self::first_token(states.clone(), offsets)),
            part => match part.after(self.depth()).checked_sub(lower) {
                Some(place) => means.get(place).cloned().flatten(),
                None => below.next(),
            },
        };
        Tensor::cat(self.pooling.parts().iter().filter_map(part).collect(), 1)
    }

    /// Takes embeddings through the `lower` layers: the states after them, `[tokens, hidden]`, and the pooling's parts
    /// that are taken further below, `[batch, parts * hidden]`, where there are any.
    pub fn pooled_below(
        &self,
        embedded: Tensor<2>,
        offsets: &[usize],
        lower: usize,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        if self.pooling.parts_below(lower, self.depth()) == 0 {
            return (self.layers(embedded, offsets, 0..lower), None);
        }
        let averages = averages(offsets, &embedded.device());
        let mut pass = Pass::new(self, &embedded, offsets, 0);
        let (states, means) = pass.means(embedded, lower, &averages);
        let below = self.pooling.parts().iter().filter_map(|part| {
            let after = part.after(self.depth());
            (after < lower).then(|| means.get(after).cloned().flatten())?
        });
        let below = Tensor::cat(below.collect(), 1);
        (states, Some(below))
    }

    /// What stands for a text.
    pub fn pooling(&self) -> &Pooling {
        &self.pooling
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

/// A batch on its way up the layers.
struct Pass<'a> {
    bert: &'a Bert,
    offsets: &'a [usize],
    /// The layers passed.
    at: usize,
    on: On,
}

/// What a device needs beside the states.
#[allow(clippy::large_enum_variant)] // one for each pass
enum On {
    /// The CPU, where sequences are not padded: the relative bias.
    Cpu(Option<Bias>),
    /// A GPU, where they are neither: the blocks of all tokens, and those that only the first tokens ask.
    Gpu(Box<[Blocks; 2]>),
    /// Elsewhere.
    Padded(Box<Packing>),
}

impl<'a> Pass<'a> {
    /// From states that `at` layers gave. Where lower layers have passed without gradients, what all layers share has none
    /// either: they would disagree about it.
    fn new(bert: &'a Bert, hidden: &Tensor<2>, offsets: &'a [usize], at: usize) -> Self {
        let longest = lens(offsets).max().unwrap_or(0).max(1);
        let bias = bert.relative.as_ref();
        let bias = bias.map(|bias| bias.of(longest, at > 0));
        let on = if takes(hidden) {
            On::Cpu(bias)
        } else if bias.is_none() && bert.layers.iter().all(|layer| layer.on_gpu(hidden)) {
            let (device, first) = (hidden.device(), (0..offsets.len()).collect::<Vec<_>>());
            let asked = [offsets, &first[..]];
            On::Gpu(Box::new(
                asked.map(|asked| Blocks::new(asked, offsets, &device)),
            ))
        } else {
            On::Padded(Box::new(Packing::new(offsets, bias, &hidden.device())))
        };
        Self {
            bert,
            offsets,
            at,
            on,
        }
    }

    /// Through the layers up to `end`.
    fn advance(&mut self, hidden: Tensor<2>, end: usize) -> Tensor<2> {
        let layers = self.bert.layers.iter().take(end).skip(self.at);
        self.at = self.at.max(end);
        match &self.on {
            On::Cpu(bias) => layers.fold(hidden, |hidden, layer| {
                layer.forward_cpu(hidden, self.offsets, bias.as_ref())
            }),
            On::Gpu(blocks) => layers.fold(hidden, |hidden, layer| {
                layer.forward_gpu(hidden, &blocks[0])
            }),
            On::Padded(packing) => {
                layers.fold(hidden, |hidden, layer| layer.forward(hidden, packing))
            }
        }
    }

    /// Through one more layer, for the first token of each sequence alone.
    fn first(&mut self, hidden: Tensor<2>) -> Tensor<2> {
        let layer = &self.bert.layers[self.at];
        self.at += 1;
        match &self.on {
            On::Cpu(bias) => layer.forward_first_cpu(hidden, self.offsets, bias.as_ref()),
            On::Gpu(blocks) => layer.forward_first_gpu(hidden, self.offsets, &blocks[1]),
            On::Padded(packing) => layer.forward_first(hidden, self.offsets, packing),
        }
    }

    /// Through the layers up to `end`, with the means over each text's tokens that the pooling asks for: the first after
    /// the layers passed so far.
    fn means(
        &mut self,
        mut hidden: Tensor<2>,
        end: usize,
        averages: &Tensor<2>,
    ) -> (Tensor<2>, Vec<Option<Tensor<2>>>) {
        let depth = self.bert.depth();
        let parts = self.bert.pooling.parts();
        let wanted = |after: usize| {
            let here = |part: &&Part| part.after(depth) == after && **part != Part::First;
            parts.iter().any(|part| here(&part))
        };
        let mut means = Vec::new();
        for after in self.at..=end {
            hidden = self.advance(hidden, after);
            means.push(wanted(after).then(|| averages.clone().matmul(hidden.clone())));
        }
        (hidden, means)
    }
}
