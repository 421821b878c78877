//! The layers that ALMT and DEVA share: pre-norm transformer blocks without dropout, learned extra tokens, and the
//! attention of a hyper-modality.
//!
//! ```text
//! A(q, k, v) = softmax(e^-1/2 q k^T) v     per head, e numbers wide
//! MHA(q, k, v) = W_o [A(W_q q, W_k k, W_v v)] + b_o
//! block:  x = x + MHA(LN_q x, LN_k s, LN_v s)      x = x + W_2 gelu(W_1 LN x + b_1) + b_2
//!         with few queries as W_v mix, mix = softmax(e^-1/2 (W_q LN_q x) W_k s_k^T) s_v: sources are not projected
//! hyper:  h = LN_4 h + W_o [A(W_q LN_1 H, W_ka LN_2 a, W_va LN_2 a) + A(W_q LN_1 H, W_kv LN_3 v, W_vv LN_3 v)] + b_o
//! ```

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_encoders::init::{WeightInit, uniform_init};
use mmrest_kernels::activation::gelu;
use mmrest_kernels::gpu;
use mmrest_kernels::operation::takes;

use crate::counts::{linear, product, sum};

/// Extra tokens in front of each sequence: they carry a modality on.
pub(crate) const TOKENS: usize = 8;

/// The width of one head inside the attention of a [`Block`].
const HEAD: usize = 64;

/// The epsilon of every layer norm.
const EPSILON: f64 = 1e-5;

/// A list of a model's published names, followed by those inside the layers; see
/// [`SentimentModel::PUBLISHED_NAMES`](crate::SentimentModel::PUBLISHED_NAMES).
macro_rules! with_layer_names {
    ($($own:expr,)*) => {
        &[
            ("norm_language.", "0.norm1."),
            ("norm_audio.", "0.norm2."),
            ("norm_vision.", "0.norm3."),
            ("norm_hyper.", "0.norm4."),
            ("_audio.", "_ta."),
            ("_vision.", "_tv."),
            $($own,)*
            ("mha.to_out.", "0.fn.to_out.0."),
            ("mha.", "0.fn."),
            ("norm_q.", "0.norm_q."),
            ("norm_k.", "0.norm_k."),
            ("norm_v.", "0.norm_v."),
            (".norm.", ".1.norm."),
            ("feed_forward.first.", "1.fn.net.0."),
            ("feed_forward.second.", "1.fn.net.3."),
            ("fusion.blocks.", "fusion_layer.CrossTransformerEncoder.layers."),
            ("fusion.", "fusion_layer."),
            (".blocks.", ".encoder.layers."),
            ("positions_source", "pos_embedding_s"),
            ("positions_target", "pos_embedding_t"),
            ("positions", "pos_embedding"),
        ]
    };
}
pub(crate) use with_layer_names;

/// A linear layer without bias as PyTorch starts it.
fn no_bias(input: usize, output: usize, device: &Device) -> Linear {
    Linear {
        weight: uniform_init([input, output], input, device),
        bias: None,
    }
}

fn norm(width: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width)
        .with_epsilon(EPSILON)
        .init(device)
}

/// `softmax(e^-1/2 q k^T + mask) v` of every head, side by side: `[batch, queries, inner]` from `q: [batch, queries,
/// inner]` and `k`, `v: [batch, keys, inner]`. `mask: [batch, 1, 1, keys]` is added to the scores.
pub(crate) fn attend(
    [q, k, v]: [Tensor<3>; 3],
    heads: usize,
    mask: Option<&Tensor<4>>,
) -> Tensor<3> {
    let [batch, queries, inner] = q.dims();
    let size = inner / heads;
    let split = |x: Tensor<3>| {
        let rows = x.dims()[1];
        x.reshape([batch, rows, heads, size]).swap_dims(1, 2)
    };
    let scale = 1.0 / (size as f64).sqrt();
    let scores = split(q * scale).matmul(split(k).swap_dims(2, 3));
    let scores = match mask {
        Some(mask) => scores + mask.clone(),
        None => scores,
    };
    let mixed = softmax(scores, 3).matmul(split(v));
    mixed.swap_dims(1, 2).reshape([batch, queries, inner])
}

/// What is added to the scores of keys so that those beyond a sequence's length get no weight: `[batch, 1, 1, before +
/// time]`; none when nothing is padded. `before` keys in front of each sequence always count.
pub(crate) fn key_mask(
    lengths: &[usize],
    before: usize,
    time: usize,
    device: &Device,
) -> Option<Tensor<4>> {
    if lengths.iter().all(|&length| length >= time) {
        return None;
    }
    let row = |&length: &usize| (0..before + time).map(move |at| at >= before + length);
    let values: Vec<f32> = lengths
        .iter()
        .flat_map(row)
        .map(|padding| if padding { -1e30 } else { 0.0 })
        .collect();
    let shape = [lengths.len(), 1, 1, before + time];
    Some(Tensor::from_data(TensorData::new(values, shape), device))
}

/// Attention of several heads; projections have no bias, the output has one.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[d] -> [heads * 64]`.
    pub to_q: Linear,
    /// `[d] -> [heads * 64]`.
    pub to_k: Linear,
    /// `[d] -> [heads * 64]`.
    pub to_v: Linear,
    /// `[heads * 64] -> [d]`.
    pub to_out: Linear,
    heads: usize,
}

impl Attention {
    /// `[batch, queries, d]` of what queries, `[batch, queries, d]`, take of keys and values, `[batch, keys, d]`.
    fn forward(&self, [q, k, v]: [Tensor<3>; 3], mask: Option<&Tensor<4>>) -> Tensor<3> {
        let [[_, queries, width], [_, keys, _]] = [q.dims(), k.dims()];
        let inner = self.heads * HEAD;
        let q = self.to_q.forward(q);
        // Multiplications of either way, for keys as for values.
        let projected = keys * inner * (width + queries);
        let absorbed = queries * width * (inner + self.heads * keys);
        let mixed = if absorbed < projected {
            self.absorbed([q, k, v], mask)
        } else {
            let (k, v) = (self.to_k.forward(k), self.to_v.forward(v));
            attend([q, k, v], self.heads, mask)
        };
        self.to_out.forward(mixed)
    }

    /// As [`attend`] of the projected keys and values, which are never made: without bias, `q (n W_k)^T` is `(q W_k^T)
    /// n^T`, and `p (n W_v)` is `(p n) W_v`.
    fn absorbed(&self, [q, k, v]: [Tensor<3>; 3], mask: Option<&Tensor<4>>) -> Tensor<3> {
        let ([batch, queries, inner], [_, keys, width]) = (q.dims(), k.dims());
        let heads = self.heads;
        let of_heads = |linear: &Linear| linear.weight.val().reshape([width, heads, HEAD]);
        let to_k = of_heads(&self.to_k).permute([1, 2, 0]);
        let to_v = of_heads(&self.to_v).swap_dims(0, 1);
        let q = q * (1.0 / (HEAD as f64).sqrt());
        let q = q.reshape([batch * queries, heads, HEAD]).swap_dims(0, 1);
        let q = q.matmul(to_k).reshape([heads, batch, queries, width]);
        let q = q.swap_dims(0, 1).reshape([batch, heads * queries, width]);
        let scores = q.matmul(k.swap_dims(1, 2));
        let scores = scores.reshape([batch, heads, queries, keys]);
        let scores = match mask {
            Some(mask) => scores + mask.clone(),
            None => scores,
        };
        let chances = softmax(scores, 3).reshape([batch, heads * queries, keys]);
        let mixed = chances.matmul(v).reshape([batch, heads, queries, width]);
        let mixed = mixed
            .swap_dims(0, 1)
            .reshape([heads, batch * queries, width]);
        let mixed = mixed.matmul(to_v).swap_dims(0, 1);
        mixed.reshape([batch, queries, inner])
    }
}

/// Two linear layers with GELU between.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[d] -> [inner]`.
    pub first: Linear,
    /// `[inner] -> [d]`.
    pub second: Linear,
}

/// A transformer block: attention and feed-forward layer, each with norms before and a residual.
#[derive(Module, Debug)]
pub struct Block {
    /// Of the queries.
    pub norm_q: LayerNorm,
    /// Of the keys.
    pub norm_k: LayerNorm,
    /// Of the values.
    pub norm_v: LayerNorm,
    /// Multi-head attention.
    pub mha: Attention,
    /// Before the feed-forward layer.
    pub norm: LayerNorm,
    /// The feed-forward layer.
    pub feed_forward: FeedForward,
}

impl Block {
    pub(crate) fn init(width: usize, heads: usize, inner: usize, device: &Device) -> Self {
        let wide = heads * HEAD;
        Self {
            norm_q: norm(width, device),
            norm_k: norm(width, device),
            norm_v: norm(width, device),
            mha: Attention {
                to_q: no_bias(width, wide, device),
                to_k: no_bias(width, wide, device),
                to_v: no_bias(width, wide, device),
                to_out: WeightInit::PyTorch.linear(wide, width, device),
                heads,
            },
            norm: norm(width, device),
            feed_forward: FeedForward {
                first: WeightInit::PyTorch.linear(width, inner, device),
                second: WeightInit::PyTorch.linear(inner, width, device),
            },
        }
    }

    pub(crate) fn parameter_count(width: usize, heads: usize, inner: usize) -> u128 {
        let wide = heads.saturating_mul(HEAD);
        sum([
            product([4, wide, width]),
            width as u128,
            linear(width, inner),
            linear(inner, width),
            product([8, width]),
        ])
    }

    /// `[batch, targets, d]` from `x` of that shape and the source `s: [batch, keys, d]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        s: Tensor<3>,
        mask: Option<&Tensor<4>>,
    ) -> Tensor<3> {
        let normal = [
            self.norm_q.forward(x.clone()),
            self.norm_k.forward(s.clone()),
            self.norm_v.forward(s),
        ];
        let x = x + self.mha.forward(normal, mask);
        let hidden = self
            .feed_forward
            .first
            .forward(self.norm.forward(x.clone()));
        let hidden = if takes(&hidden) {
            gelu(hidden)
        } else if gpu::takes(&hidden) {
            gpu::layers::gelu(hidden)
        } else {
            burn::tensor::activation::gelu(hidden)
        };
        x + self.feed_forward.second.forward(hidden)
    }

    /// Blocks that attend to their own input.
    pub(crate) fn run(blocks: &[Self], x: Tensor<3>, mask: Option<&Tensor<4>>) -> Tensor<3> {
        let step = |x: Tensor<3>, block: &Self| block.forward(x.clone(), x, mask);
        blocks.iter().fold(x, step)
    }
}

/// Embeds one modality: a linear layer, extra tokens in front, learned positions, blocks; what the extra tokens become is
/// the modality's representation.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[features] -> [d]`.
    pub input: Linear,
    /// The extra tokens, `[1, 8, d]`.
    pub extra_token: Param<Tensor<3>>,
    /// Positions of the extra tokens and of as many frames as there is room for, `[1, 8 + room, d]`.
    pub positions: Param<Tensor<3>>,
    /// The blocks.
    pub blocks: Vec<Block>,
}

/// Sizes of an [`Embedding`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmbeddingSizes {
    pub(crate) features: usize,
    pub(crate) room: usize,
    pub(crate) width: usize,
    pub(crate) depth: usize,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
}

impl Embedding {
    pub(crate) fn init(sizes: EmbeddingSizes, device: &Device) -> Self {
        let EmbeddingSizes { width, .. } = sizes;
        let block = |_| Block::init(width, sizes.heads, sizes.inner, device);
        Self {
            input: WeightInit::PyTorch.linear(sizes.features, width, device),
            extra_token: Initializer::Zeros.init([1, TOKENS, width], device),
            positions: positions(TOKENS + sizes.room, width, device),
            blocks: (0..sizes.depth).map(block).collect(),
        }
    }

    pub(crate) fn parameter_count(sizes: EmbeddingSizes) -> u128 {
        let rows = sizes.room.saturating_add(2 * TOKENS);
        let block = Block::parameter_count(sizes.width, sizes.heads, sizes.inner);
        sum([
            linear(sizes.features, sizes.width),
            product([rows, sizes.width]),
            block.saturating_mul(sizes.depth as u128),
        ])
    }

    /// How many frames there is room for.
    pub(crate) fn room(&self) -> usize {
        self.positions.val().dims()[1] - TOKENS
    }

    /// `[batch, 8, d]` from `x: [batch, time, features]`; with `lengths`, frames beyond them get no attention.
    ///
    /// Only the extra tokens of the last block are used, so only they are computed.
    pub(crate) fn forward(&self, x: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<3> {
        let [batch, time, _] = x.dims();
        let x = self.input.forward(x);
        let mask = lengths.and_then(|lengths| key_mask(lengths, TOKENS, time, &x.device()));
        let extra = self.extra_token.val();
        let [_, tokens, width] = extra.dims();
        let extra = extra.expand([batch, tokens, width]);
        let positions = self.positions.val().narrow(1, 0, tokens + time);
        let x = Tensor::cat(vec![extra, x], 1) + positions;
        let Some((last, blocks)) = self.blocks.split_last() else {
            return x.narrow(1, 0, tokens);
        };
        let x = Block::run(blocks, x, mask.as_ref());
        last.forward(x.clone().narrow(1, 0, tokens), x, mask.as_ref())
    }
}

/// Learned positions, `[1, rows, width]`, from the standard normal distribution.
pub(crate) fn positions(rows: usize, width: usize, device: &Device) -> Param<Tensor<3>> {
    let normal = Initializer::Normal {
        mean: 0.0,
        std: 1.0,
    };
    normal.init([1, rows, width], device)
}

/// The attention of the hyper-modality: one query of the language, to audio and to vision.
#[derive(Module, Debug)]
pub struct HyperAttention {
    /// Queries, `[d] -> [heads * e]`.
    pub to_q: Linear,
    /// Keys of audio.
    pub to_k_audio: Linear,
    /// Keys of vision.
    pub to_k_vision: Linear,
    /// Values of audio.
    pub to_v_audio: Linear,
    /// Values of vision.
    pub to_v_vision: Linear,
    /// `[heads * e] -> [d]`, with bias.
    pub to_out: Linear,
    heads: usize,
}

/// One layer of the hyper-modality.
#[derive(Module, Debug)]
pub struct HyperLayer {
    /// LN_1, of the language.
    pub norm_language: LayerNorm,
    /// LN_2, of audio.
    pub norm_audio: LayerNorm,
    /// LN_3, of vision.
    pub norm_vision: LayerNorm,
    /// LN_4, of the hyper-modality.
    pub norm_hyper: LayerNorm,
    /// Multi-head attention.
    pub mha: HyperAttention,
}

impl HyperLayer {
    /// `head`: the width of one head.
    pub(crate) fn init(width: usize, heads: usize, head: usize, device: &Device) -> Self {
        let inner = heads * head;
        let (norm, linear) = (|| norm(width, device), || no_bias(width, inner, device));
        Self {
            norm_language: norm(),
            norm_audio: norm(),
            norm_vision: norm(),
            norm_hyper: norm(),
            mha: HyperAttention {
                to_q: linear(),
                to_k_audio: linear(),
                to_k_vision: linear(),
                to_v_audio: linear(),
                to_v_vision: linear(),
                to_out: WeightInit::PyTorch.linear(inner, width, device),
                heads,
            },
        }
    }

    pub(crate) fn parameter_count(width: usize, heads: usize, head: usize) -> u128 {
        sum([product([6, width, heads, head]), product([9, width])])
    }

    /// The next hyper-modality; everything is `[batch, 8, d]`. The residual is the normalised one, as published.
    pub(crate) fn forward(
        &self,
        hyper: Tensor<3>,
        language: Tensor<3>,
        audio: Tensor<3>,
        vision: Tensor<3>,
    ) -> Tensor<3> {
        let attention = &self.mha;
        let q = attention.to_q.forward(self.norm_language.forward(language));
        let audio = self.norm_audio.forward(audio);
        let vision = self.norm_vision.forward(vision);
        let of_audio = [
            q.clone(),
            attention.to_k_audio.forward(audio.clone()),
            attention.to_v_audio.forward(audio),
        ];
        let of_vision = [
            q,
            attention.to_k_vision.forward(vision.clone()),
            attention.to_v_vision.forward(vision),
        ];
        let mixed =
            attend(of_audio, attention.heads, None) + attend(of_vision, attention.heads, None);
        self.norm_hyper.forward(hyper) + attention.to_out.forward(mixed)
    }
}

/// The fusion of language and hyper-modality: a token in front of both, positions of each, and blocks in which the
/// language's side attends to the hyper-modality's.
#[derive(Module, Debug)]
pub struct Fusion {
    /// The token c, `[1, 1, d]`.
    pub extra_token: Param<Tensor<3>>,
    /// Positions of the source, `[1, 9, d]`.
    pub positions_source: Param<Tensor<3>>,
    /// Positions of the target, `[1, 9, d]`.
    pub positions_target: Param<Tensor<3>>,
    /// The blocks.
    pub blocks: Vec<Block>,
}

impl Fusion {
    pub(crate) fn init(
        width: usize,
        depth: usize,
        heads: usize,
        inner: usize,
        device: &Device,
    ) -> Self {
        Self {
            extra_token: Initializer::Zeros.init([1, 1, width], device),
            positions_source: positions(1 + TOKENS, width, device),
            positions_target: positions(1 + TOKENS, width, device),
            blocks: (0..depth)
                .map(|_| Block::init(width, heads, inner, device))
                .collect(),
        }
    }

    pub(crate) fn parameter_count(width: usize, depth: usize, heads: usize, inner: usize) -> u128 {
        let block = Block::parameter_count(width, heads, inner);
        sum([
            product([3 + 2 * TOKENS, width]),
            block.saturating_mul(depth as u128),
        ])
    }

    /// What the target's token becomes, `[batch, d]`, from the hyper-modality `[batch, 8, d]`.
    ///
    /// The source is the same in every block and target rows do not see each other, so that the rows of the language never
    /// reach the token: they are not computed. The language acts through the queries of the hyper-modality alone.
    pub(crate) fn forward(&self, hyper: Tensor<3>) -> Tensor<2> {
        let [batch, _, width] = hyper.dims();
        let token = self.extra_token.val().expand([batch, 1, width]);
        let source = Tensor::cat(vec![token.clone(), hyper], 1) + self.positions_source.val();
        let target = token + self.positions_target.val().narrow(1, 0, 1);
        let step = |x: Tensor<3>, block: &Block| block.forward(x, source.clone(), None);
        self.blocks.iter().fold(target, step).squeeze_dim(1)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn keys_and_values_need_not_be_projected() {
        let device = Device::flex().autodiff();
        device.seed(4);
        let attention = Block::init(6, 3, 4, &device).mha;
        let random = |shape: [usize; 3]| {
            Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device).require_grad()
        };
        let (q, k, v) = (random([2, 2, 192]), random([2, 5, 6]), random([2, 5, 6]));
        for lengths in [[5, 5], [5, 3]] {
            let mask = key_mask(&lengths, 0, 5, &device);
            let results = |mixed: Tensor<3>| -> Vec<Vec<f32>> {
                let weigh = Tensor::arange(0..2 * 2 * 192, &device).float().sin();
                let gradients = (mixed.clone() * weigh.reshape([2, 2, 192]))
                    .sum()
                    .backward();
                let host = |x: Tensor<1>| -> Vec<f32> { x.into_data().try_to_vec().unwrap() };
                let mut all = vec![host(mixed.flatten(0, 2))];
                for input in [&q, &k, &v] {
                    all.push(host(input.grad(&gradients).unwrap().flatten(0, 2)));
                }
                for linear in [&attention.to_k, &attention.to_v] {
                    let gradient = linear.weight.val().grad(&gradients).unwrap();
                    all.push(host(gradient.flatten(0, 1)));
                }
                all
            };
            let inputs = [q.clone(), k.clone(), v.clone()];
            let absorbed = results(attention.absorbed(inputs, mask.as_ref()));
            let projected = [
                q.clone(),
                attention.to_k.forward(k.clone()),
                attention.to_v.forward(v.clone()),
            ];
            let expected = results(attend(projected, 3, mask.as_ref()));
            for (found, expected) in absorbed.iter().zip(&expected) {
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 2e-5 * expected.abs().max(1.0));
                }
            }
        }
    }
}
