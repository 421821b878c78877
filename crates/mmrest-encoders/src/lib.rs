#![doc = include_str!("../README.md")]

mod attention;
mod bert;
mod error;
mod files;
mod lstm;
mod packed;
mod pooling;
mod sequence;
mod tokenizer;
mod transformer;

pub use bert::{Bert, BertConfig, LARGEST_WEIGHT, NamedTensor};
pub use error::EncoderError;
pub use files::{has_weights, weights_files};
pub use lstm::{BiLstm, Lstm, LstmConfig};
pub use mmrest_kernels::init;
pub use packed::PackedTokens;
pub use pooling::Pooling;
pub use sequence::{SequenceEncoder, SequenceEncoderConfig};
pub use tokenizer::{AddedToken, Tokenizer, TokenizerConfig, TokenizerOptions};
pub use transformer::{
    Attention, Known, TransformerLayer, TransformerLayerConfig, drop_out, linear_layer,
};
