//! What the untrained layers of the text encoder give: computed once, without dropout, and cached by content.

use std::path::{Path, PathBuf};

use mmrest_data::Frames;
use mmrest_data::text::hex;
use mmrest_encoders::{Bert, PackedTokens};
use sha2::{Digest, Sha256};

use crate::error::{LearnerError, to_host};
use crate::tensor_file::TensorFile;
use mmrest_models::TextFeatures;

/// Segments encoded at a time.
const CHUNK: usize = 32;

/// The untrained part of a text encoder, on a device without autodiff.
pub(crate) struct Frozen<'a> {
    /// The whole encoder; `model.valid()`'s, so that dropout is off.
    pub bert: &'a Bert,
    /// How many of its lower layers are not trained.
    pub lower_layers: usize,
    /// Whether all tokens' states are kept where every layer is untrained; otherwise the first token's alone.
    pub all_tokens: bool,
    /// What the encoder's weights and configuration are: the cache's key, beside layers and tokens.
    pub fingerprint: &'a str,
    /// Where results are cached.
    pub cache: &'a Path,
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> bool,
}

impl Frozen<'_> {
    /// What the untrained layers make of the tokens of every text, in order; the tokens where every layer is trained.
    ///
    /// # Errors
    ///
    /// The device cannot be read, or somebody asked to stop. A cache that cannot be written is a warning.
    pub(crate) fn apply(
        &self,
        texts: Vec<TextFeatures>,
    ) -> Result<Vec<TextFeatures>, LearnerError> {
        if self.lower_layers == 0 {
            return Ok(texts);
        }
        let tokens: Vec<Vec<u32>> = texts
            .into_iter()
            .map(|text| match text {
                TextFeatures::Tokens(ids) => ids,
                _ => Vec::new(),
            })
            .collect();
        if let Some(empty) = tokens.iter().position(Vec::is_empty) {
            return Err(LearnerError::Internal(format!("text {empty} has no token")));
        }
        let path = self.cache_file(&tokens);
        let states = match read(&path, &tokens, self.first_only(), self.bert.hidden_size()) {
            Some(states) => states,
            None => {
                let states = self.compute(&tokens)?;
                if let Err(error) = save(&path, &states) {
                    tracing::warn!(%error, "the text encoder's output is not cached");
                }
                states
            }
        };
        let states = states.into_iter().map(|states| {
            if self.first_only() {
                TextFeatures::First(states.values)
            } else {
                TextFeatures::Hidden(states)
            }
        });
        Ok(states.collect())
    }

    /// With every layer untrained the first token's state may be all that is needed.
    fn first_only(&self) -> bool {
        self.lower_layers == self.bert.depth() && !self.all_tokens
    }

    fn compute(&self, tokens: &[Vec<u32>]) -> Result<Vec<Frames>, LearnerError> {
        let width = self.bert.hidden_size();
        let mut states = Vec::with_capacity(tokens.len());
        for chunk in tokens.chunks(CHUNK) {
            if (self.stop)() {
                return Err(LearnerError::Interrupted);
            }
            let packed = PackedTokens::from_sequences(chunk);
            self.bert.check(&packed)?;
            let embedded = self.bert.embed(&packed);
            let hidden = self
                .bert
                .layers(embedded, &packed.offsets, 0..self.lower_layers);
            let values = if self.first_only() {
                to_host(Bert::first_token(hidden, &packed.offsets))?
            } else {
                to_host(hidden)?
            };
            let mut rest = values.as_slice();
            for length in packed.lens() {
                let rows = if self.first_only() { 1 } else { length };
                let (own, others) = rest.split_at(rows * width);
                states.push(Frames {
                    values: own.to_vec(),
                    width,
                });
                rest = others;
            }
        }
        Ok(states)
    }

    fn cache_file(&self, tokens: &[Vec<u32>]) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(self.fingerprint);
        hash.update((self.lower_layers as u64).to_le_bytes());
        if self.lower_layers == self.bert.depth() && self.all_tokens {
            hash.update(b"all tokens");
        }
        for ids in tokens {
            hash.update((ids.len() as u64).to_le_bytes());
            for id in ids {
                hash.update(id.to_le_bytes());
            }
        }
        let name = hex(&hash.finalize());
        self.cache.join(format!("text-{}.safetensors", &name[..32]))
    }
}

/// Reads a cache file; anything that does not fit counts as absent, and is written anew.
fn read(path: &Path, tokens: &[Vec<u32>], first_only: bool, hidden: usize) -> Option<Vec<Frames>> {
    let file = TensorFile::read(path).ok()?;
    let (&[rows, width], values) = file.floats("states")? else {
        return None;
    };
    let lengths: Vec<usize> = tokens
        .iter()
        .map(|ids| if first_only { 1 } else { ids.len() })
        .collect();
    if width != hidden || rows != lengths.iter().sum::<usize>() {
        return None;
    }
    let mut rest = values.as_slice();
    let states = lengths.iter().map(|length| {
        let (own, others) = rest.split_at(length * width);
        rest = others;
        Frames {
            values: own.to_vec(),
            width,
        }
    });
    Some(states.collect())
}

fn save(path: &Path, states: &[Frames]) -> Result<(), LearnerError> {
    let width = states.first().map_or(0, |s| s.width);
    let values = || states.iter().flat_map(|s| &s.values).copied();
    let mut file = TensorFile::default();
    let rows = values().count() / width.max(1);
    file.add_floats("states", &[rows, width], values());
    file.write(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use mmrest_encoders::BertConfig;

    fn texts() -> Vec<TextFeatures> {
        let tokens = [vec![2, 9, 3], vec![2, 3], vec![2, 7, 8, 9, 3]];
        tokens.map(TextFeatures::Tokens).to_vec()
    }

    fn run(bert: &Bert, lower_layers: usize, cache: &Path) -> Vec<TextFeatures> {
        apply(bert, lower_layers, false, cache)
    }

    fn apply(
        bert: &Bert,
        lower_layers: usize,
        all_tokens: bool,
        cache: &Path,
    ) -> Vec<TextFeatures> {
        let frozen = Frozen {
            bert,
            lower_layers,
            all_tokens,
            fingerprint: "test",
            cache,
            stop: &|| false,
        };
        frozen.apply(texts()).unwrap()
    }

    #[test]
    fn cached_states_are_those_of_the_encoder() {
        let bert = BertConfig::small(20, 16, 3, 2, 32).init(&Device::flex());
        let cache = tempfile::tempdir().unwrap();
        let computed = run(&bert, 2, cache.path());
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1);
        assert_eq!(run(&bert, 2, cache.path()), computed);
        let packed = PackedTokens::from_sequences(&[vec![2, 7, 8, 9, 3]]);
        let alone = bert.layers(bert.embed(&packed), &packed.offsets, 0..2);
        let TextFeatures::Hidden(states) = &computed[2] else {
            panic!("not hidden states");
        };
        for (a, b) in states.values.iter().zip(to_host(alone).unwrap()) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn a_frozen_encoder_keeps_all_tokens_where_a_model_reads_them() {
        let bert = BertConfig::small(20, 16, 2, 2, 32).init(&Device::flex());
        let cache = tempfile::tempdir().unwrap();
        let first = run(&bert, 2, cache.path());
        let all = apply(&bert, 2, true, cache.path());
        assert_eq!(apply(&bert, 2, true, cache.path()), all, "from the cache");
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 2);
        for ((first, all), tokens) in first.iter().zip(&all).zip([3, 2, 5]) {
            let (TextFeatures::First(first), TextFeatures::Hidden(all)) = (first, all) else {
                panic!("{first:?}, {all:?}");
            };
            assert_eq!((all.len(), &first[..]), (tokens, all.row(0)));
        }
    }

    #[test]
    fn a_frozen_encoder_leaves_one_state_a_segment_and_a_damaged_cache_is_made_anew() {
        let bert = BertConfig::small(20, 16, 2, 2, 32).init(&Device::flex());
        let cache = tempfile::tempdir().unwrap();
        let computed = run(&bert, 2, cache.path());
        assert!(
            computed
                .iter()
                .all(|text| matches!(text, TextFeatures::First(s) if s.len() == 16))
        );
        let file = std::fs::read_dir(cache.path())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        std::fs::write(file.path(), b"damaged").unwrap();
        assert_eq!(run(&bert, 2, cache.path()), computed);
    }
}
