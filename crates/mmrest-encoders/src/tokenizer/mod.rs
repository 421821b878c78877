//! WordPiece: a sentence to the token ids a BERT was trained on, identical to Hugging Face's `BertTokenizer`.
//!
//! Splitting and normalising (white space, punctuation, accents, Chinese characters, special tokens) are those of
//! `rust_tokenizers`; the greedy longest-match over the vocabulary is here.

mod options;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use rust_tokenizers::tokenizer::{BaseTokenizer, Tokenizer as _};
use rust_tokenizers::vocab::{BertVocab, Vocab as _};
use rust_tokenizers::{Mask, Token, TokenRef};

pub use options::TokenizerOptions;

use crate::EncoderError;

/// Tokens every BERT vocabulary has, with a meaning of their own also when they are typed in a text.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// A word of more characters than this is unknown, as in every BERT.
const LONGEST_WORD: usize = 100;

/// The WordPiece tokenizer of a BERT directory. Cheap to clone; usable from several threads.
///
/// ```
/// use mmrest_encoders::{Tokenizer, TokenizerOptions};
///
/// # let dir = tempfile::tempdir()?;
/// # let vocab = dir.path().join("vocab.txt");
/// std::fs::write(&vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfilm\n##s\n!\n")?;
/// let tokenizer = Tokenizer::from_vocab(&vocab, TokenizerOptions::default())?;
/// let ids = tokenizer.encode("Films!", 50);
/// assert_eq!(ids, [2, 5, 6, 7, 3]);                       // [CLS] film ##s ! [SEP]
/// assert_eq!(tokenizer.encode("Films!", 3), [2, 5, 3]);   // cut, [SEP] kept
/// assert_eq!(tokenizer.pad(&ids, 7), (vec![2, 5, 6, 7, 3, 0, 0], vec![1, 1, 1, 1, 1, 0, 0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    splitter: BaseTokenizer<BertVocab>,
    options: TokenizerOptions,
    lines: Vec<String>,
    /// Tokens that start a word.
    starts: HashMap<String, u32>,
    /// Tokens that continue one, without their `##`.
    continuations: HashMap<String, u32>,
    special: SpecialIds,
}

#[derive(Clone, Copy)]
struct SpecialIds {
    pad: u32,
    unknown: u32,
    start: u32,
    end: u32,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("options", &self.inner.options)
            .finish()
    }
}

impl Tokenizer {
    /// The tokenizer of a Hugging Face BERT directory: `vocab.txt`, and `tokenizer_config.json` where there is one.
    ///
    /// # Errors
    ///
    /// A missing or unreadable file, a configuration that is not JSON, a vocabulary without BERT's special tokens.
    pub fn from_dir(dir: &Path) -> Result<Self, EncoderError> {
        let options = TokenizerOptions::from_dir(dir)?;
        Self::from_vocab(&dir.join("vocab.txt"), options)
    }

    /// A tokenizer over a vocabulary file: one token a line, the first has id 0.
    ///
    /// # Errors
    ///
    /// As [`from_dir`](Self::from_dir).
    pub fn from_vocab(path: &Path, options: TokenizerOptions) -> Result<Self, EncoderError> {
        let lines = read_vocab(path)?;
        let (mut starts, mut continuations) = (HashMap::new(), HashMap::new());
        for (id, token) in (0u32..).zip(&lines) {
            match token.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => continuations.insert(rest.to_owned(), id),
                _ => starts.insert(token.clone(), id),
            };
        }
        let special = special_ids(path, &starts)?;
        let vocab =
            BertVocab::from_file(path).map_err(|error| EncoderError::InvalidVocabulary {
                path: path.into(),
                message: error.to_string(),
            })?;
        let splitter =
            BaseTokenizer::from_existing_vocab(vocab, options.lowercase, options.strips_accents());
        let inner = Inner {
            splitter,
            options,
            lines,
            starts,
            continuations,
            special,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Token ids of a text: `[CLS] ... [SEP]`, at most `max_tokens` with both (never fewer than these two).
    ///
    /// Special tokens written in the text, such as `[MASK]`, are those tokens.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        let SpecialIds { start, end, .. } = self.inner.special;
        let room = max_tokens.saturating_sub(2);
        let mut ids = vec![start];
        for word in self.words(text) {
            if ids.len() > room {
                break;
            }
            self.push_pieces(&word, &mut ids);
        }
        ids.truncate(room + 1);
        ids.push(end);
        ids
    }

    /// [`encode`](Self::encode) for many texts, in parallel; results in the order of the texts.
    pub fn encode_all<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        max_tokens: usize,
    ) -> Vec<Vec<u32>> {
        texts
            .par_iter()
            .map(|text| self.encode(text.as_ref(), max_tokens))
            .collect()
    }

    /// Ids brought to exactly `to` tokens with `[PAD]`, and their mask: 1 for a token, 0 for padding.
    ///
    /// A longer sequence is cut; its last token, `[SEP]`, stays the last.
    pub fn pad(&self, ids: &[u32], to: usize) -> (Vec<u32>, Vec<u32>) {
        let mut padded = ids[..ids.len().min(to)].to_vec();
        if let (true, Some(last), Some(end)) = (ids.len() > to, padded.last_mut(), ids.last()) {
            *last = *end;
        }
        let mut mask = vec![1; padded.len()];
        padded.resize(to, self.inner.special.pad);
        mask.resize(to, 0);
        (padded, mask)
    }

    /// Number of tokens in the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.inner.lines.len()
    }

    /// The vocabulary, in the order of the ids.
    pub fn vocabulary(&self) -> &[String] {
        &self.inner.lines
    }

    /// The options the tokenizer works with; as JSON they are a `tokenizer_config.json`.
    pub fn options(&self) -> TokenizerOptions {
        self.inner.options
    }

    /// Whether text is lower-cased.
    pub fn lowercase(&self) -> bool {
        self.inner.options.lowercase
    }

    /// Writes the vocabulary as a `vocab.txt`.
    ///
    /// # Errors
    ///
    /// [`EncoderError::Io`] when the file cannot be written.
    pub fn write_vocab(&self, path: &Path) -> Result<(), EncoderError> {
        let mut text = self.inner.lines.join("\n");
        text.push('\n');
        fs::write(path, text).map_err(|source| EncoderError::Io {
            path: path.into(),
            source,
        })
    }

    /// The normalised words of a text, special tokens marked as such.
    fn words(&self, text: &str) -> Vec<Token> {
        // The line and paragraph separators are white space to BERT, and are not to the splitter.
        let text = text.replace(['\u{2028}', '\u{2029}'], " ");
        let offsets: Vec<u32> = (0u32..).zip(text.chars()).map(|(index, _)| index).collect();
        let words = self
            .inner
            .splitter
            .tokenize_to_tokens(TokenRef::new(&text, &offsets));
        if self.inner.options.tokenize_chinese_chars {
            words
        } else {
            join_chinese(words)
        }
    }

    /// Appends the pieces of one word: the longest token that starts it, then the longest that continues, ...
    fn push_pieces(&self, word: &Token, ids: &mut Vec<u32>) {
        let inner = &*self.inner;
        let before = ids.len();
        let mut rest = word.text.as_str();
        if rest.chars().count() > LONGEST_WORD {
            return ids.push(inner.special.unknown);
        }
        while !rest.is_empty() {
            let table = if ids.len() == before {
                &inner.starts
            } else {
                &inner.continuations
            };
            let Some((length, id)) = longest_prefix(rest, table) else {
                ids.truncate(before);
                return ids.push(inner.special.unknown);
            };
            ids.push(id);
            rest = &rest[length..];
        }
    }
}

/// The longest prefix of `text` that is in the table: its bytes, its id.
fn longest_prefix(text: &str, table: &HashMap<String, u32>) -> Option<(usize, u32)> {
    let ends = text.char_indices().rev().map(|(at, c)| at + c.len_utf8());
    ends.into_iter()
        .find_map(|end| table.get(&text[..end]).map(|id| (end, *id)))
}

/// Undoes the splitter's cuts around Chinese characters: pieces that touch each other in the text are one word again.
fn join_chinese(words: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(words.len());
    for word in words {
        let touches = |last: &Token| {
            let plain = |mask| matches!(mask, Mask::None | Mask::CJK);
            plain(last.mask) && plain(word.mask) && last.offset.end == word.offset.begin
        };
        match joined.last_mut().filter(|last| touches(last)) {
            Some(last) => {
                last.text.push_str(&word.text);
                last.offset.end = word.offset.end;
            }
            None => joined.push(word),
        }
    }
    joined
}

fn read_vocab(path: &Path) -> Result<Vec<String>, EncoderError> {
    let text = fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => EncoderError::MissingFile {
            path: PathBuf::from(path),
            hint: "a BERT directory has its WordPiece vocabulary there, one token a line".into(),
        },
        _ => EncoderError::Io {
            path: path.into(),
            source,
        },
    })?;
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

fn special_ids(path: &Path, starts: &HashMap<String, u32>) -> Result<SpecialIds, EncoderError> {
    let missing: Vec<_> = SPECIAL
        .into_iter()
        .filter(|token| !starts.contains_key(*token))
        .collect();
    match SPECIAL.map(|token| starts.get(token).copied()) {
        [Some(pad), Some(unknown), Some(start), Some(end), Some(_)] => Ok(SpecialIds {
            pad,
            unknown,
            start,
            end,
        }),
        _ => Err(EncoderError::Vocabulary {
            path: path.into(),
            missing,
        }),
    }
}

#[cfg(test)]
mod tests;
