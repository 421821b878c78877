#![doc = include_str!("../README.md")]

mod attention;
mod bert;
mod error;
mod lstm;
mod packed;
mod sequence;
mod tokenizer;
mod transformer;

pub use bert::{Bert, BertConfig, has_weights};
pub use error::EncoderError;
pub use lstm::{BiLstm, Lstm, LstmConfig};
pub use mmrest_kernels::init;
pub use packed::PackedTokens;
pub use sequence::{SequenceEncoder, SequenceEncoderConfig};
pub use tokenizer::{Tokenizer, TokenizerOptions};
pub use transformer::{Attention, TransformerLayer, TransformerLayerConfig, drop_out};
