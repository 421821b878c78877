//! Parameter counts before a model is built: sizes that a file claims are compared with the file first.

use mmrest_encoders::BertConfig;

/// Parameters of a text encoder. Saturates.
pub fn bert_parameters(bert: &BertConfig) -> u128 {
    let (hidden, wide) = (bert.hidden_size, bert.intermediate_size);
    let norm = product([2, hidden]);
    let tables = [
        bert.vocab_size,
        bert.max_position_embeddings,
        bert.token_types(),
    ];
    let tables = sum(tables.map(|rows| product([rows, hidden])));
    let relative = product([bert.buckets(), bert.num_attention_heads]);
    let attention = linear(hidden, hidden).saturating_mul(4);
    let forward = sum([linear(hidden, wide), linear(wide, hidden)]);
    let layer = sum([attention, forward, norm, norm]);
    let layers = layer.saturating_mul(bert.num_hidden_layers as u128);
    sum([tables, relative, norm, layers])
}

/// Parameters of a linear layer with bias.
pub(crate) fn linear(inputs: usize, outputs: usize) -> u128 {
    product([inputs.saturating_add(1), outputs])
}

/// Parameters of an LSTM with two biases.
pub(crate) fn lstm(inputs: usize, hidden: usize) -> u128 {
    let rows = inputs.saturating_add(hidden).saturating_add(2);
    product([rows, hidden, 4])
}

/// The product, saturating.
pub(crate) fn product<const N: usize>(factors: [usize; N]) -> u128 {
    let factors = factors.into_iter().map(|factor| factor as u128);
    factors.fold(1, u128::saturating_mul)
}

/// The sum, saturating.
pub(crate) fn sum<const N: usize>(terms: [u128; N]) -> u128 {
    terms.into_iter().fold(0, u128::saturating_add)
}
