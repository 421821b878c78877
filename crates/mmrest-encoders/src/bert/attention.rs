//! Self-attention within each sequence of a packed batch.

use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::prelude::*;
use burn::tensor::activation::softmax;

use super::BertConfig;
use super::model::linear;
use crate::cpu::attention::{attend, attend_first};
use crate::cpu::linear::project;
use crate::cpu::random::Mask;
use crate::packed::lens;

/// What is added to the scores of padding: exp of it is 0, and half precision can hold it.
const MASKED: f32 = -3e4;

/// Where the tokens of a packed batch lie in the padded one, and back.
pub(super) struct Packing {
    batch: usize,
    time: usize,
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
    pub(super) fn new(offsets: &[usize], device: &Device) -> Self {
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
    fn split(&self, packed: Tensor<2>, heads: usize) -> Tensor<4> {
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
    fn join(&self, padded: Tensor<4>) -> Tensor<2> {
        let [batch, heads, time, head] = padded.dims();
        let rows = padded.swap_dims(1, 2).reshape([batch * time, heads * head]);
        match &self.padding {
            Some(padding) => rows.select(0, padding.packed.clone()),
            None => rows,
        }
    }

    fn mask(&self, scores: Tensor<4>) -> Tensor<4> {
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

/// Multi-head self-attention: `softmax(Q K^T / sqrt(d)) V` of every head, joined by a linear layer.
#[derive(Module, Debug)]
pub(crate) struct SelfAttention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    dropout: Dropout,
    heads: usize,
}

impl SelfAttention {
    pub(super) fn new(config: &BertConfig, device: &Device) -> Self {
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
    pub(super) fn forward(&self, hidden: Tensor<2>, packing: &Packing) -> Tensor<2> {
        let query = packing.split(self.query.forward(hidden.clone()), self.heads);
        self.output
            .forward(packing.join(self.attend(query, hidden, packing)))
    }

    /// What [`forward`](Self::forward) gives the first token of each sequence: `[batch, hidden]`, from those tokens'
    /// hidden states `first: [batch, hidden]` and all of them.
    pub(super) fn forward_first(
        &self,
        first: Tensor<2>,
        hidden: Tensor<2>,
        packing: &Packing,
    ) -> Tensor<2> {
        let [batch, width] = first.dims();
        let query = self
            .query
            .forward(first)
            .reshape([batch, self.heads, 1, width / self.heads]);
        self.output
            .forward(self.attend(query, hidden, packing).reshape([batch, width]))
    }

    /// [`forward`](Self::forward) on the CPU, where sequences are not padded.
    pub(super) fn forward_cpu(&self, hidden: Tensor<2>, offsets: &[usize]) -> Tensor<2> {
        let mask = Mask::draw(&self.dropout, &hidden.device());
        let all = project::<7>(hidden, &[&self.query, &self.key, &self.value]);
        let attended = attend(all, offsets, self.heads, mask);
        project::<3>(attended, &[&self.output])
    }

    /// [`forward_first`](Self::forward_first) on the CPU.
    pub(super) fn forward_first_cpu(
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
        self.dropout.forward(softmax(scores, 3)).matmul(value)
    }
}
