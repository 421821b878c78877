//! WordPiece: a sentence to the token ids a BERT was trained on, identical to Hugging Face's `BertTokenizer`.
//!
//! Splitting and normalising (white space, punctuation, accents, Chinese characters, special tokens) are those of
//! `rust_tokenizers`; the greedy longest-match over the vocabulary is here.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use rust_tokenizers::tokenizer::{BaseTokenizer, Tokenizer as _};
use rust_tokenizers::vocab::{BertVocab, Vocab as _};
use rust_tokenizers::{Mask, Token, TokenRef};
use serde::{Deserialize, Serialize};

use crate::EncoderError;

/// Tokens that every BERT vocabulary has. They keep their meaning when they are typed in a text.
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

    /// A tokenizer over a vocabulary file: one token per line, the first has id 0.
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

    /// Token ids of words, as [`encode`](Self::encode) gives them for the words with spaces between, and the word that each
    /// token belongs to; none for `[CLS]` and `[SEP]`.
    ///
    /// ```
    /// # use mmrest_encoders::{Tokenizer, TokenizerOptions};
    /// # let dir = tempfile::tempdir()?;
    /// # let vocab = dir.path().join("vocab.txt");
    /// # std::fs::write(&vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfilm\n##s\n!\n")?;
    /// # let tokenizer = Tokenizer::from_vocab(&vocab, TokenizerOptions::default())?;
    /// let (ids, words) = tokenizer.encode_words(&["Films!", "film"], 50);
    /// assert_eq!(ids, [2, 5, 6, 7, 5, 3]);
    /// assert_eq!(words, [None, Some(0), Some(0), Some(0), Some(1), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode_words<S: AsRef<str>>(
        &self,
        words: &[S],
        max_tokens: usize,
    ) -> (Vec<u32>, Vec<Option<usize>>) {
        let room = max_tokens.saturating_sub(2);
        let (mut ids, mut places) = (self.encode("", 2), vec![None]);
        let end = ids.pop();
        for (place, word) in words.iter().enumerate() {
            if ids.len() > room {
                break;
            }
            let pieces = self.encode(word.as_ref(), usize::MAX);
            ids.extend_from_slice(&pieces[1..pieces.len() - 1]);
            places.resize(ids.len(), Some(place));
        }
        ids.truncate(room + 1);
        places.truncate(room + 1);
        ids.extend(end);
        places.push(None);
        (ids, places)
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
            hint: "a BERT directory has its WordPiece vocabulary there, one token per line".into(),
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

/// How a text is normalised before its words are looked up: `tokenizer_config.json` of a BERT directory.
///
/// ```
/// use mmrest_encoders::TokenizerOptions;
///
/// assert!(TokenizerOptions::default().lowercase);
/// let cased = TokenizerOptions::from_json(r#"{"do_lower_case": false, "tokenizer_class": "BertTokenizer"}"#)?;
/// assert!(!cased.lowercase && !cased.strips_accents());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenizerOptions {
    /// Whether text is lower-cased (`do_lower_case`); BERT's default is yes.
    #[serde(rename = "do_lower_case")]
    pub lowercase: bool,
    /// Whether accents are removed; without a value, they are where text is lower-cased.
    pub strip_accents: Option<bool>,
    /// Whether each Chinese character is a word of its own.
    pub tokenize_chinese_chars: bool,
}

impl Default for TokenizerOptions {
    fn default() -> Self {
        Self {
            lowercase: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
        }
    }
}

impl TokenizerOptions {
    /// Reads the options from the text of a `tokenizer_config.json`; its other keys do not matter.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or an option is not of its type.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Reads `tokenizer_config.json` of a BERT directory; one without that file has the defaults.
    ///
    /// # Errors
    ///
    /// [`EncoderError::Io`] or [`EncoderError::Json`].
    pub fn from_dir(dir: &Path) -> Result<Self, EncoderError> {
        let path = dir.join("tokenizer_config.json");
        match fs::read_to_string(&path) {
            Ok(text) => {
                Self::from_json(&text).map_err(|source| EncoderError::Json { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(EncoderError::Io { path, source }),
        }
    }

    /// Whether accents are removed, the unset value resolved.
    pub fn strips_accents(&self) -> bool {
        self.strip_accents.unwrap_or(self.lowercase)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nfilm\n##s\n##本\n日\n本\n!\nFilm\ncafe\ncafé\n[\n]\nmask\n";

    fn tokenizer(options: TokenizerOptions) -> Tokenizer {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.txt");
        fs::write(&path, VOCAB).unwrap();
        Tokenizer::from_vocab(&path, options).unwrap()
    }

    fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let ids = tokenizer.encode(text, 512);
        ids[1..ids.len() - 1]
            .iter()
            .map(|id| tokenizer.vocabulary()[*id as usize].clone())
            .collect()
    }

    #[test]
    fn options_decide_case_accents_and_chinese() {
        let default = TokenizerOptions::default();
        let uncased = tokenizer(default);
        assert_eq!(
            tokens(&uncased, "The Films, CAFÉ!"),
            ["the", "film", "##s", "[UNK]", "cafe", "!"]
        );
        assert_eq!(tokens(&uncased, "日本"), ["日", "本"]);

        let cased = tokenizer(TokenizerOptions {
            lowercase: false,
            ..default
        });
        assert_eq!(tokens(&cased, "Film film café"), ["Film", "film", "café"]);
        let stripped = tokenizer(TokenizerOptions {
            lowercase: false,
            strip_accents: Some(true),
            ..default
        });
        assert_eq!(tokens(&stripped, "café"), ["cafe"]);
        let kept = tokenizer(TokenizerOptions {
            strip_accents: Some(false),
            ..default
        });
        assert_eq!(tokens(&kept, "Café"), ["café"]);

        let joined = tokenizer(TokenizerOptions {
            tokenize_chinese_chars: false,
            ..default
        });
        assert_eq!(
            tokens(&joined, "日本 日!本 film日"),
            ["日", "##本", "日", "!", "本", "[UNK]"]
        );
    }

    #[test]
    fn special_tokens_in_the_text_are_themselves() {
        let tokenizer = tokenizer(TokenizerOptions::default());
        assert_eq!(
            tokens(&tokenizer, "film[MASK]film [SEP]"),
            ["film", "[MASK]", "film", "[SEP]"]
        );
        assert_eq!(tokens(&tokenizer, "[mask]"), ["[", "mask", "]"]);
    }

    #[test]
    fn line_and_paragraph_separators_are_space() {
        let tokenizer = tokenizer(TokenizerOptions::default());
        assert_eq!(
            tokens(&tokenizer, "the\u{2028}film\u{2029}film"),
            ["the", "film", "film"]
        );
    }

    #[test]
    fn cutting_and_padding_keep_the_separator() {
        let tokenizer = tokenizer(TokenizerOptions::default());
        assert_eq!(tokenizer.encode("the film films", 4), [2, 5, 6, 3]);
        assert_eq!(tokenizer.encode("the film", 4), [2, 5, 6, 3]);
        assert_eq!(tokenizer.encode("the film", 0), [2, 3]);
        assert_eq!(tokenizer.encode("", 9), [2, 3]);
        let ids = tokenizer.encode("the film", 9);
        assert_eq!(
            tokenizer.pad(&ids, 6),
            (vec![2, 5, 6, 3, 0, 0], vec![1, 1, 1, 1, 0, 0])
        );
        assert_eq!(tokenizer.pad(&ids, 3), (vec![2, 5, 3], vec![1, 1, 1]));
        assert_eq!(tokenizer.pad(&ids, 0), (vec![], vec![]));
        assert_eq!(tokenizer.pad(&[], 2), (vec![0, 0], vec![0, 0]));
    }

    #[test]
    fn a_word_of_more_than_a_hundred_characters_is_unknown() {
        let tokenizer = tokenizer(TokenizerOptions::default());
        let word = |times: usize| format!("film{}", "s".repeat(times));
        assert_eq!(tokens(&tokenizer, &word(96)).len(), 97);
        assert_eq!(tokens(&tokenizer, &word(97)), ["[UNK]"]);
    }

    #[test]
    fn a_vocabulary_survives_being_written() {
        let first = tokenizer(TokenizerOptions::default());
        let dir = tempfile::tempdir().unwrap();
        first.write_vocab(&dir.path().join("vocab.txt")).unwrap();
        let json = serde_json::to_string(&TokenizerOptions {
            lowercase: false,
            ..first.options()
        })
        .unwrap();
        fs::write(dir.path().join("tokenizer_config.json"), json).unwrap();
        let second = Tokenizer::from_dir(dir.path()).unwrap();
        assert_eq!(second.vocabulary(), first.vocabulary());
        assert!(!second.lowercase() && first.lowercase());
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains("vocab.txt") && message.contains("no such file"),
            "{message}"
        );

        fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[MASK]\nfilm\n").unwrap();
        let message = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains("[CLS], [SEP]") && !message.contains("[PAD]"),
            "{message}"
        );

        fs::write(
            dir.path().join("tokenizer_config.json"),
            "{\"do_lower_case\": 3}",
        )
        .unwrap();
        let message = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
        assert!(message.contains("tokenizer_config.json"), "{message}");
    }

    proptest! {
        #[test]
        fn pieces_are_those_of_rust_tokenizers(text in "([ a-cA-C!é日本#\\[\\]]|film|films|cafe|the|mask|\\[MASK\\]){0,20}") {
            use rust_tokenizers::tokenizer::BertTokenizer;
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("vocab.txt");
            fs::write(&path, VOCAB).unwrap();
            let expected = BertTokenizer::from_file(&path, true, true).unwrap().tokenize(&text);
            prop_assert_eq!(tokens(&tokenizer(TokenizerOptions::default()), &text), expected);
        }

        #[test]
        fn no_text_can_break_it(text in any::<String>(), max_tokens in 0usize..40) {
            for chinese in [true, false] {
                let options = TokenizerOptions { tokenize_chinese_chars: chinese, ..Default::default() };
                let tokenizer = tokenizer(options);
                let ids = tokenizer.encode(&text, max_tokens);
                prop_assert!(ids.len() >= 2 && ids.len() <= max_tokens.max(2));
                prop_assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3));
                prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
            }
        }
    }
}
