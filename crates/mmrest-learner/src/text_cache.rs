//! What the untrained layers of the text encoder give: computed once, without dropout, and cached by content.

use std::path::{Path, PathBuf};

use mmrest_data::Frames;
use mmrest_data::text::hex;
use mmrest_encoders::{Bert, PackedTokens};
use sha2::{Digest, Sha256};

use crate::device::Precision;
use crate::error::{LearnerError, to_host};
use crate::tensor_file::TensorFile;
use mmrest_models::TextFeatures;

/// What is kept of a text: rows of states, and the parts of the pooling that are taken below them.
type Kept = (Frames, Vec<f32>);

/// The tensors of a cache file.
const STATES: &str = "states";
const BELOW: &str = "below";

/// The SHA-256 of the file's name and of its tensors, in its metadata.
const DIGEST: &str = "sha256";

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
    /// In what the encoder's device multiplies.
    pub precision: Precision,
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
        let states = match self.read(&path, &tokens) {
            Some(states) => states,
            None => {
                let states = self.compute(&tokens)?;
                if let Err(error) = save(&path, &states) {
                    tracing::warn!("the text encoder's output is not cached: {error}");
                }
                states
            }
        };
        let features = states.into_iter().map(|of_text| match of_text {
            (states, _) if self.first_only() => TextFeatures::First(states.values),
            (states, below) if below.is_empty() => TextFeatures::Hidden(states),
            (states, below) => TextFeatures::Layers { states, below },
        });
        Ok(features.collect())
    }

    /// With every layer untrained what stands for the text may be all that is needed.
    fn first_only(&self) -> bool {
        self.lower_layers == self.bert.depth() && !self.all_tokens
    }

    /// Numbers of a row of what is kept.
    fn width(&self) -> usize {
        let hidden = self.bert.hidden_size();
        if self.first_only() {
            self.bert.pooling().width(hidden)
        } else {
            hidden
        }
    }

    /// Rows that are kept of a text.
    fn rows(&self, tokens: usize) -> usize {
        if self.first_only() { 1 } else { tokens }
    }

    /// Numbers that are kept of the layers below.
    fn width_below(&self) -> usize {
        if self.first_only() {
            return 0;
        }
        let pooling = self.bert.pooling();
        pooling.parts_below(self.lower_layers, self.bert.depth()) * self.bert.hidden_size()
    }

    fn compute(&self, tokens: &[Vec<u32>]) -> Result<Vec<Kept>, LearnerError> {
        let mut states = Vec::with_capacity(tokens.len());
        for chunk in tokens.chunks(CHUNK) {
            if (self.stop)() {
                return Err(LearnerError::Interrupted);
            }
            let packed = PackedTokens::from_sequences(chunk);
            self.bert.check(&packed)?;
            let (offsets, lower) = (&packed.offsets, self.lower_layers);
            let embedded = self.bert.embed(&packed);
            let (hidden, below) = self.bert.pooled_below(embedded, offsets, lower);
            let (values, below) = if self.first_only() {
                let pooled = self.bert.pooled_from(hidden, offsets, lower, below);
                (to_host(pooled)?, Vec::new())
            } else {
                let below = below.map(to_host).transpose()?;
                (to_host(hidden)?, below.unwrap_or_default())
            };
            states.extend(self.cut(&values, &below, packed.lens()));
        }
        Ok(states)
    }

    /// What belongs to each text of so many tokens.
    fn cut(&self, values: &[f32], below: &[f32], tokens: impl Iterator<Item = usize>) -> Vec<Kept> {
        let (width, width_below) = (self.width(), self.width_below());
        let mut rest = values;
        tokens
            .enumerate()
            .map(|(text, tokens)| {
                let (own, others) = rest.split_at(self.rows(tokens) * width);
                rest = others;
                let below = below[text * width_below..][..width_below].to_vec();
                let values = own.to_vec();
                (Frames { values, width }, below)
            })
            .collect()
    }

    /// Reads a cache file; anything that does not fit counts as absent, and is written anew.
    fn read(&self, path: &Path, tokens: &[Vec<u32>]) -> Option<Vec<Kept>> {
        let file = TensorFile::read(path).ok()?;
        // Older versions wrote none.
        if *file.metadata.get(DIGEST)? != digest(path, &file)? {
            tracing::warn!("{}: is damaged, and computed again", path.display());
            return None;
        }
        let (&[rows, width], values) = file.floats(STATES)? else {
            return None;
        };
        let expected: usize = tokens.iter().map(|ids| self.rows(ids.len())).sum();
        if (rows, width) != (expected, self.width()) {
            return None;
        }
        let below = match self.width_below() {
            0 => Vec::new(),
            width => match file.floats(BELOW)? {
                (&[texts, found], below) if (texts, found) == (tokens.len(), width) => below,
                _ => return None,
            },
        };
        Some(self.cut(&values, &below, tokens.iter().map(Vec::len)))
    }

    fn cache_file(&self, tokens: &[Vec<u32>]) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(self.fingerprint);
        hash.update((self.lower_layers as u64).to_le_bytes());
        if self.lower_layers == self.bert.depth() && self.all_tokens {
            hash.update(b"all tokens");
        }
        let pooling = self.bert.pooling();
        if !pooling.is_first() {
            hash.update(pooling.to_string());
        }
        // bf16 is a matter of the layers that are trained: these multiply in f32 then.
        if self.precision == Precision::Tf32 {
            hash.update(b"tf32");
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

/// The digest of a cache file's tensors under its name.
fn digest(path: &Path, file: &TensorFile) -> Option<String> {
    let mut hash = Sha256::new();
    hash.update(path.file_name()?.as_encoded_bytes());
    hash.update(file.get(STATES)?.bytes());
    if let Some(below) = file.get(BELOW) {
        hash.update(below.bytes());
    }
    Some(hex(&hash.finalize()))
}

fn save(path: &Path, kept: &[Kept]) -> Result<(), LearnerError> {
    let width = kept.first().map_or(0, |(states, _)| states.width);
    let values = || kept.iter().flat_map(|(states, _)| &states.values).copied();
    let mut file = TensorFile::default();
    let rows = values().count() / width.max(1);
    file.add_floats(STATES, &[rows, width], values());
    let width_below = kept.first().map_or(0, |(_, below)| below.len());
    if width_below > 0 {
        let below = kept.iter().flat_map(|(_, below)| below).copied();
        file.add_floats(BELOW, &[kept.len(), width_below], below);
    }
    if let Some(digest) = digest(path, &file) {
        file.metadata.insert(DIGEST.into(), digest);
    }
    if let Some(folder) = path.parent().filter(|folder| folder.is_dir()) {
        mmrest_data::files::remove_drafts(folder)?;
    }
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
            precision: Precision::F32,
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
    fn values_in_tf32_are_cached_apart_from_those_in_f32() {
        let bert = BertConfig::small(20, 16, 3, 2, 32).init(&Device::flex());
        let file = |precision| {
            let frozen = Frozen {
                bert: &bert,
                lower_layers: 2,
                all_tokens: false,
                fingerprint: "test",
                precision,
                cache: Path::new("cache"),
                stop: &|| false,
            };
            frozen.cache_file(&[vec![2, 9, 3]])
        };
        assert_ne!(file(Precision::Tf32), file(Precision::F32));
        assert_eq!(file(Precision::Bf16), file(Precision::F32));
        // The key of caches that are there already.
        let name = "text-6ebc888af6625d35dd2dfdb5b8424921.safetensors";
        assert_eq!(file(Precision::F32), Path::new("cache").join(name));
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
        let whole = std::fs::read(file.path()).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&b"damaged"[..], &flipped, &whole[..whole.len() - 1]] {
            std::fs::write(file.path(), damaged).unwrap();
            assert_eq!(run(&bert, 2, cache.path()), computed);
            assert_eq!(std::fs::read(file.path()).unwrap(), whole);
        }
    }

    #[test]
    fn what_is_pooled_is_cached_with_the_layers_it_is_taken_from() {
        let mut config = BertConfig::small(20, 16, 3, 2, 32);
        config.pooling = "mean+layer:1".parse().unwrap();
        let bert = config.init(&Device::flex());
        let cache = tempfile::tempdir().unwrap();
        let tokens = [vec![2, 9, 3], vec![2, 3], vec![2, 7, 8, 9, 3]];
        let packed = PackedTokens::from_sequences(&tokens);
        let expected = to_host(bert.pooled(&packed)).unwrap();
        for lower_layers in 1..=3 {
            let computed = run(&bert, lower_layers, cache.path());
            assert_eq!(run(&bert, lower_layers, cache.path()), computed);
            let example = |text: &TextFeatures| mmrest_models::Example {
                id: String::new(),
                text: text.clone(),
                vision: Frames::empty(0),
                audio: Frames::empty(0),
                sentences: Vec::new(),
                label: 0.0,
            };
            let examples: Vec<_> = computed.iter().map(example).collect();
            let batch = mmrest_models::HostBatch::new(&examples, vec![0, 1, 2]);
            let text = batch.upload(&Device::flex()).text.unwrap();
            let found = to_host(text.pooled(&bert, lower_layers)).unwrap();
            assert_eq!(found.len(), 3 * 32);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{lower_layers}: {found} {expected}"
                );
            }
        }
    }
}
