//! `bert.json`: sentences through the tokenizer and the text encoder.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mmrest_encoders::{Bert, PackedTokens, Tokenizer};

use super::Folders;
use super::tensors::Results;
use crate::error::{LearnerError, to_host};
use crate::files;

/// A list of sentences.
pub(super) const INPUT: &str = "bert.json";
/// What becomes of them.
pub(super) const OUTPUT: &str = "bert.safetensors";

/// Tokens that a sentence is cut and padded to.
const TOKENS: usize = 50;
/// Sentences that go through the encoder at once.
const BATCH: usize = 64;

/// Writes `input_ids` and `attention_mask`, `[sentences, 50]`, and `first_token`, `[sentences, hidden]`.
pub(super) fn run(
    folders: &Folders<'_>,
    dir: &Path,
    device: &Device,
) -> Result<PathBuf, LearnerError> {
    let path = folders.input.join(INPUT);
    let sentences: Vec<String> = files::read_json(&path)?;
    let tokenizer = Tokenizer::from_dir(dir)?;
    let (bert, _) = Bert::load_dir(dir, device)?;
    let encoded = tokenizer.encode_all(&sentences, TOKENS);

    let (mut ids, mut mask, mut states) = (Vec::new(), Vec::new(), Vec::new());
    for tokens in &encoded {
        let (padded, ones) = tokenizer.pad(tokens, TOKENS);
        ids.extend(padded.into_iter().map(i64::from));
        mask.extend(ones.into_iter().map(i64::from));
    }
    for batch in encoded.chunks(BATCH) {
        let batch = PackedTokens::from_sequences(batch);
        bert.check(&batch)?;
        states.extend(to_host(bert.forward_first(&batch))?);
    }

    let count = sentences.len();
    let mut results = Results::default();
    results.integers("input_ids", &[count, TOKENS], ids);
    results.integers("attention_mask", &[count, TOKENS], mask);
    results.floats("first_token", &[count, bert.hidden_size()], &states);
    results.write(folders, OUTPUT)
}
