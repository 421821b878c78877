//! Packed batches on devices other than the CPU, where attention runs on padded ones; and means over packed tokens.

use burn::prelude::*;

use crate::attention::Bias;
use crate::packed::lens;

/// What is added to the scores of padding: exp of it is 0, and half precision can hold it.
pub(crate) const MASKED: f32 = -3e4;

/// Where the tokens of a packed batch lie in the padded one, and back.
pub(crate) struct Packing {
    batch: usize,
    pub(crate) time: usize,
    /// `[1, heads, time, time]`: what is added to all scores.
    bias: Option<Tensor<4>>,
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
    pub(crate) fn new(offsets: &[usize], bias: Option<Bias>, device: &Device) -> Self {
        let batch = offsets.len().saturating_sub(1);
        let time = lens(offsets).max().unwrap_or(0);
        let equal = lens(offsets).all(|len| len == time);
        Self {
            batch,
            time,
            bias: bias.map(|bias| spread(bias, time)),
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

    /// Scores `[batch, heads, queries, time]` with the bias, those of padding out of the way. Fewer queries than tokens are
    /// each sequence's first.
    pub(crate) fn finish_scores(&self, mut scores: Tensor<4>) -> Tensor<4> {
        if let Some(bias) = &self.bias {
            let queries = scores.dims()[2];
            scores = scores + bias.clone().narrow(2, 0, queries);
        }
        match &self.padding {
            Some(padding) => scores + padding.mask.clone(),
            None => scores,
        }
    }
}

/// The bias of every head, query and key: `[1, heads, time, time]`.
fn spread(bias: Bias, time: usize) -> Tensor<4> {
    let heads = bias.table.dims()[1];
    let reach = bias.buckets.len() / 2;
    let places = (0..time).flat_map(|query| (0..time).map(move |key| key + reach - query));
    let buckets: Vec<i64> = places.map(|place| bias.buckets[place] as i64).collect();
    let buckets = Tensor::from_data(TensorData::from(buckets.as_slice()), &bias.table.device());
    let all = bias.table.select(0, buckets);
    all.transpose().reshape([1, heads, time, time])
}

/// The matrix that takes tokens to the mean of each sequence's: `[batch, tokens]`.
pub(super) fn averages(offsets: &[usize], device: &Device) -> Tensor<2> {
    let tokens = offsets.last().copied().unwrap_or(0);
    let mut shares = vec![0.0f32; offsets.len().saturating_sub(1) * tokens];
    for (sequence, bounds) in offsets.windows(2).enumerate() {
        let row = &mut shares[sequence * tokens..][bounds[0]..bounds[1]];
        row.fill(1.0 / (bounds[1] - bounds[0]) as f32);
    }
    let shape = [offsets.len().saturating_sub(1), tokens];
    Tensor::from_data(TensorData::new(shares, shape), device)
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
