#![doc = include_str!("../README.md")]

mod bert;
mod cpu;
mod error;
pub mod init;
mod lstm;
mod packed;
mod schedule;
mod sequence;
mod tokenizer;

pub use bert::{Bert, BertConfig, has_weights};
pub use error::EncoderError;
pub use lstm::{Lstm, LstmConfig};
pub use packed::PackedTokens;
pub use sequence::{SequenceEncoder, SequenceEncoderConfig};
pub use tokenizer::{Tokenizer, TokenizerOptions};
