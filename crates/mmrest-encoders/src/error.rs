//! Errors of this crate, each with the place it occurred and the values that were found and expected.

use std::io;
use std::path::PathBuf;

/// Every error of this crate. Its message names the place, what was found and what is expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// A file that has to be there is not.
    #[error("{}: no such file; {hint}",
        .path.display())]
    MissingFile {
        /// The file looked for.
        path: PathBuf,
        /// What the file is and where it comes from.
        hint: String,
    },

    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file that Git LFS keeps elsewhere: what is here only points to it.
    #[error("{}: is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, or download the file", .path.display())]
    GitLfsPointer {
        /// The file.
        path: PathBuf,
    },

    /// A JSON file does not hold what it should.
    #[error("{}: {source}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },

    /// A configuration asks for what this crate cannot do, or contradicts itself.
    #[error("{origin}: `{key}` is {found}; expected {expected}")]
    Config {
        /// The file, or the name of the configuration when it comes from no file.
        origin: String,
        /// The key with the error.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would be accepted.
        expected: String,
    },

    /// A vocabulary lacks the special tokens its model cannot do without.
    #[error("{}: the vocabulary lacks {}; a BERT vocab.txt has one token per line, these among them",
        .path.display(), .missing.join(", "))]
    Vocabulary {
        /// The vocabulary file.
        path: PathBuf,
        /// The tokens that are not there.
        missing: Vec<String>,
    },

    /// A vocabulary that the tokenizer refuses for another reason.
    #[error("{}: not a WordPiece vocabulary: {message}", .path.display())]
    InvalidVocabulary {
        /// The vocabulary file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A weights file that cannot be read in the format of its name.
    #[error("{}: cannot read the weights: {message}; the file may be incomplete, download it again", .path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What the reader said.
        message: String,
    },

    /// Tensors that the configuration calls for and the weights file does not have.
    #[error("{}: {} tensors are missing: {}; do config.json and the weights belong together?",
        .path.display(), .names.len(), .names.join(", "))]
    MissingTensors {
        /// The weights file.
        path: PathBuf,
        /// All of the missing names, in Hugging Face's spelling without the `bert.` prefix.
        names: Vec<String>,
    },

    /// A tensor whose shape is not the one the configuration calls for.
    #[error("{}: tensor `{name}` has shape {found:?}, config.json calls for {expected:?}", .path.display())]
    TensorShape {
        /// The weights file.
        path: PathBuf,
        /// The tensor, as the file spells it.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
    },

    /// A tensor whose values cannot be used.
    #[error("{}: tensor `{name}`: {message}", .path.display())]
    TensorData {
        /// The weights file.
        path: PathBuf,
        /// The tensor, as the file spells it.
        name: String,
        /// What is wrong with its values.
        message: String,
    },

    /// A pooling that cannot be read, or names a layer that the encoder lacks.
    #[error("pooling {found:?}: {reason}")]
    Pooling {
        /// The pooling.
        found: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A batch without sequences, or whose offsets do not describe its tokens.
    #[error("invalid batch of tokens: {0}")]
    InvalidBatch(String),

    /// A sequence longer than the model has positions.
    #[error(
        "sequence {index} of the batch has {tokens} tokens, the model has positions for {limit}: cut it when encoding"
    )]
    TooLong {
        /// Place of the sequence in the batch, from 0.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// `max_position_embeddings`.
        limit: usize,
    },

    /// A token id beyond the model's vocabulary.
    #[error(
        "sequence {index} of the batch has token id {id}, the model knows {vocab_size} tokens: do vocab.txt and config.json belong together?"
    )]
    UnknownId {
        /// Place of the sequence in the batch, from 0.
        index: usize,
        /// The id.
        id: u32,
        /// `vocab_size`.
        vocab_size: usize,
    },
}
