//! Tokens to vectors: word + position + type, normalised.

use burn::module::Initializer;
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig};
use burn::prelude::*;

use super::BertConfig;
use crate::cpu;
use crate::packed::{PackedTokens, lens};

/// `LayerNorm(word + position + type 0)` of every token.
#[derive(Module, Debug)]
pub(crate) struct Embeddings {
    pub(super) word: Embedding,
    pub(super) position: Embedding,
    pub(super) token_type: Embedding,
    pub(super) norm: LayerNorm,
    dropout: Dropout,
}

impl Embeddings {
    pub(super) fn new(config: &BertConfig, device: &Device) -> Self {
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
    pub(super) fn forward(&self, batch: &PackedTokens) -> Tensor<2> {
        let words = batch.ids.iter().map(|id| i64::from(*id)).collect();
        let positions = lens(&batch.offsets).flat_map(|len| 0..len as i64).collect();
        let token_type = self.token_type.weight.val().narrow(0, 0, 1);
        let sum = lookup(&self.word, words) + lookup(&self.position, positions) + token_type;
        let normal = self.norm.forward(sum);
        if cpu::takes(&normal) {
            let mask = cpu::random::Mask::draw(&self.dropout, &normal.device());
            return cpu::norm::dropout(normal, mask);
        }
        self.dropout.forward(normal)
    }

    pub(super) fn positions(&self) -> usize {
        self.position.weight.shape()[0]
    }

    pub(super) fn vocab_size(&self) -> usize {
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
