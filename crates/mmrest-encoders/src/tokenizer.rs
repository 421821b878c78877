//! WordPiece: a sentence to the token ids a BERT or an MPNet was trained on, identical to Hugging Face's.
//!
//! Splitting and normalising (white space, punctuation, accents, Chinese characters) are those of `rust_tokenizers`;
//! the greedy longest-match over the vocabulary is here, finding special and added tokens in a text in `whole.rs`. What a
//! directory says of its tokenizer is read in `files.rs`.

mod files;
mod whole;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use rust_tokenizers::tokenizer::{BaseTokenizer, Tokenizer as _};
use rust_tokenizers::vocab::BertVocab;
use rust_tokenizers::{Mask, Token, TokenRef};

use self::files::Definition;
pub use self::files::{AddedToken, TokenizerConfig, TokenizerOptions};
use self::whole::{Piece, WholeTokens};
use crate::EncoderError;

/// A word of more characters than this is unknown, as in every BERT.
const LONGEST_WORD: usize = 100;

/// The WordPiece tokenizer of a Hugging Face directory. Cheap to clone; usable from several threads.
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
    config: TokenizerConfig,
    lines: Vec<String>,
    /// Tokens that start a word.
    starts: HashMap<String, u32>,
    /// Tokens that continue one, without their `##`.
    continuations: HashMap<String, u32>,
    /// Special and added tokens: found in a text as they stand.
    whole: WholeTokens,
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
            .field("config", &self.inner.config)
            .finish()
    }
}

impl Tokenizer {
    /// The tokenizer of a Hugging Face directory. The vocabulary is `vocab.txt`, or `tokenizer.json`'s where there is no
    /// such file; options, special and added tokens are those of `tokenizer_config.json`, `special_tokens_map.json`,
    /// `added_tokens.json` and `tokenizer.json`, the first of them that says something.
    ///
    /// # Errors
    ///
    /// A missing or unreadable file, one that is not JSON, a tokenizer that is no WordPiece, a vocabulary without the
    /// special tokens of its model.
    pub fn from_dir(dir: &Path) -> Result<Self, EncoderError> {
        Self::build(Definition::of_dir(dir)?)
    }

    /// A tokenizer over a BERT's vocabulary file: one token per line, the first has id 0.
    ///
    /// # Errors
    ///
    /// As [`from_dir`](Self::from_dir).
    pub fn from_vocab(path: &Path, options: TokenizerOptions) -> Result<Self, EncoderError> {
        Self::build(Definition::of_vocab(path, options)?)
    }

    fn build(definition: Definition) -> Result<Self, EncoderError> {
        let Definition {
            path,
            lines,
            config,
        } = definition;
        let (mut starts, mut continuations) = (HashMap::new(), HashMap::new());
        for (id, token) in (0u32..).zip(&lines) {
            match token.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => continuations.insert(rest.to_owned(), id),
                _ => starts.insert(token.clone(), id),
            };
        }
        let special = special_ids(&path, &config, &starts)?;
        let mut whole = WholeTokens::new(config.options.lowercase);
        for name in config.special_names() {
            if let Some(id) = starts.get(name) {
                whole.insert(&AddedToken::special(name), *id);
            }
        }
        for (id, token) in &config.added_tokens_decoder {
            whole.insert(token, *id);
        }
        let vocabulary =
            files::no_vocabulary().map_err(|error| EncoderError::InvalidVocabulary {
                path: path.clone(),
                message: error.to_string(),
            })?;
        let options = config.options;
        let splitter = BaseTokenizer::from_existing_vocab(
            vocabulary,
            options.lowercase,
            options.strips_accents(),
        );
        let inner = Inner {
            splitter,
            config,
            lines,
            starts,
            continuations,
            whole,
            special,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Token ids of a text: `[CLS] ... [SEP]` (`<s> ... </s>` of an MPNet), at most `max_tokens` with both (never fewer
    /// than these two).
    ///
    /// Special and added tokens written in the text, such as `[MASK]`, are those tokens.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        let SpecialIds { start, end, .. } = self.inner.special;
        let room = max_tokens.saturating_sub(2);
        let mut ids = vec![start];
        for piece in self.inner.whole.split(text) {
            match piece {
                Piece::Token(id) => ids.push(id),
                Piece::Text(text) => self.push_words(&text, room, &mut ids),
            }
            if ids.len() > room {
                break;
            }
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

    /// What the tokenizer works with beside its vocabulary; as JSON it is a `tokenizer_config.json`.
    pub fn config(&self) -> &TokenizerConfig {
        &self.inner.config
    }

    /// Whether text is lower-cased.
    pub fn lowercase(&self) -> bool {
        self.inner.config.options.lowercase
    }

    /// Writes the vocabulary as a `vocab.txt`.
    ///
    /// # Errors
    ///
    /// [`EncoderError::Io`] when the file cannot be written.
    pub fn write_vocab(&self, path: &Path) -> Result<(), EncoderError> {
        let mut text = self.inner.lines.join("\n");
        text.push('\n');
        std::fs::write(path, text).map_err(|source| EncoderError::Io {
            path: path.into(),
            source,
        })
    }

    /// Appends the pieces of the words of a text without special tokens, until there are more than `room`.
    fn push_words(&self, text: &str, room: usize, ids: &mut Vec<u32>) {
        // The line and paragraph separators are white space to BERT, and are not to the splitter.
        let text = text.replace(['\u{2028}', '\u{2029}'], " ");
        let offsets: Vec<u32> = (0u32..).zip(text.chars()).map(|(index, _)| index).collect();
        let mut words = self
            .inner
            .splitter
            .tokenize_to_tokens(TokenRef::new(&text, &offsets));
        if !self.inner.config.options.tokenize_chinese_chars {
            words = join_chinese(words);
        }
        for word in words {
            if ids.len() > room {
                return;
            }
            self.push_pieces(&word, ids);
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

/// The ids of the special tokens of a model, or the names of those that its vocabulary lacks.
fn special_ids(
    path: &Path,
    config: &TokenizerConfig,
    starts: &HashMap<String, u32>,
) -> Result<SpecialIds, EncoderError> {
    let names = config.special_names();
    let missing = names.iter().filter(|name| !starts.contains_key(**name));
    let missing: Vec<String> = missing.map(|name| (*name).to_owned()).collect();
    match names.map(|name| starts.get(name).copied()) {
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
mod tests {
    use proptest::prelude::*;

    use std::fs;

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
        let mut config = first.config().clone();
        config.options.lowercase = false;
        let json = serde_json::to_string(&config).unwrap();
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

    /// A directory's files, read as a tokenizer.
    fn of_files(files: &[(&str, &str)]) -> Result<Tokenizer, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Tokenizer::from_dir(dir.path()).map_err(|error| error.to_string())
    }

    /// A `tokenizer.json` with the vocabulary of these tests.
    fn tokenizer_json(kind: &str, added: &str) -> String {
        let vocab: HashMap<&str, usize> = VOCAB.lines().zip(0..).collect();
        let vocab = serde_json::to_string(&vocab).unwrap();
        let normalizer = r#"{"type": "BertNormalizer", "lowercase": false, "strip_accents": null}"#;
        format!(
            r###"{{"added_tokens": [{added}], "normalizer": {normalizer},
                "model": {{"type": "{kind}", "continuing_subword_prefix": "##", "vocab": {vocab}}}}}"###
        )
    }

    #[test]
    fn a_tokenizer_json_alone_is_enough() {
        let json = tokenizer_json("WordPiece", "");
        let alone = of_files(&[("tokenizer.json", &json)]).unwrap();
        assert_eq!(
            alone.vocabulary(),
            tokenizer(TokenizerOptions::default()).vocabulary()
        );
        assert_eq!(tokens(&alone, "Film film"), ["Film", "film"]);
        let config = r#"{"do_lower_case": true}"#;
        let lower = of_files(&[("tokenizer.json", &json), ("tokenizer_config.json", config)]);
        assert_eq!(tokens(&lower.unwrap(), "Film film"), ["film", "film"]);

        for (json, word) in [
            (tokenizer_json("BPE", ""), "a BPE tokenizer"),
            (json.replace("\"##\"", "\"@@\""), "\"@@\""),
            (json.replace("\"vocab\"", "\"words\""), "model.vocab"),
            (json.replace("\"[SEP]\"", "\"[END]\""), "lacks [SEP]"),
        ] {
            let message = of_files(&[("tokenizer.json", &json)]).unwrap_err();
            assert!(
                message.contains("tokenizer.json") && message.contains(word),
                "{message}"
            );
        }
    }

    #[test]
    fn added_tokens_are_one_token_and_survive_being_written() {
        let next = VOCAB.lines().count();
        let sighs = next + 1;
        let old = format!(r#"{{"[laughs]": {next}, "[sighs]": {sighs}}}"#);
        let decoder = format!(
            r#"{{"added_tokens_decoder": {{"{next}": {{"content": "[laughs]", "normalized": false, "special": true}},
                "{sighs}": {{"content": "[sighs]", "normalized": false}}}}}}"#
        );
        let fast = format!(
            r#"{{"id": {next}, "content": "[laughs]", "normalized": false}}, {{"id": {sighs}, "content": "[sighs]"}}"#
        );
        let fast = tokenizer_json("WordPiece", &fast)
            .replace("\"lowercase\": false", "\"lowercase\": true");
        for (name, text) in [
            ("added_tokens.json", &old),
            ("tokenizer_config.json", &decoder),
            ("tokenizer.json", &fast),
        ] {
            let read = of_files(&[("vocab.txt", VOCAB), (name, text)]).unwrap();
            let json = serde_json::to_string(read.config()).unwrap();
            let vocab = read.vocabulary().join("\n");
            let again = of_files(&[("vocab.txt", &vocab), ("tokenizer_config.json", &json)]);
            for tokenizer in [read, again.unwrap()] {
                assert_eq!(tokenizer.vocab_size(), next + 2, "{name}");
                assert_eq!(
                    tokens(&tokenizer, "[laughs] film![laughs]film[sighs]"),
                    ["[laughs]", "film", "!", "[laughs]", "film", "[sighs]"],
                    "{name}"
                );
            }
        }
        let single = decoder.replace(
            "\"normalized\": false",
            "\"single_word\": true, \"normalized\": true",
        );
        let single = of_files(&[("vocab.txt", VOCAB), ("tokenizer_config.json", &single)]).unwrap();
        assert_eq!(tokens(&single, "[LAUGHS] film"), ["[laughs]", "film"]);
        assert_eq!(tokens(&single, "film[laughs]")[0], "film");
        assert_ne!(tokens(&single, "film[laughs]"), ["film", "[laughs]"]);

        for (text, word) in [
            (r#"{"[laughs]": 5}"#, "token 5 is \"the\""),
            (r#"{"[laughs]": 4000000000}"#, "has id 4000000000"),
        ] {
            let message =
                of_files(&[("vocab.txt", VOCAB), ("added_tokens.json", text)]).unwrap_err();
            assert!(
                message.contains("added_tokens.json") && message.contains(word),
                "{message}"
            );
        }
        let far = r#"{"added_tokens_decoder": {"16777215": {"content": "[far]"}}}"#;
        let files = [("vocab.txt", VOCAB), ("tokenizer_config.json", far)];
        let message = of_files(&files).unwrap_err();
        assert!(
            message.contains("tokenizer_config.json") && message.contains("has id 16777215"),
            "{message}"
        );
    }

    #[test]
    fn special_tokens_may_have_other_names() {
        let vocab = format!("<s>\n<pad>\n</s>\n{VOCAB}<mask>\n");
        let mpnet = r#"{"model_type": "mpnet"}"#;
        let named = r#"{"cls_token": "<s>", "pad_token": {"content": "<pad>"}, "sep_token": "</s>", "mask_token": "<mask>", "unk_token": "[UNK]"}"#;
        for (name, text) in [
            ("config.json", mpnet),
            ("tokenizer_config.json", named),
            ("special_tokens_map.json", named),
        ] {
            let read = of_files(&[("vocab.txt", &vocab), (name, text)]).unwrap();
            let json = serde_json::to_string(read.config()).unwrap();
            let again = of_files(&[("vocab.txt", &vocab), ("tokenizer_config.json", &json)]);
            for tokenizer in [read, again.unwrap()] {
                assert_eq!(
                    tokenizer.encode("film <mask>nothing", 9),
                    [0, 9, 21, 4, 2],
                    "{name}"
                );
                assert_eq!(tokenizer.pad(&[0, 2], 3).0, [0, 2, 1]);
                assert_eq!(
                    tokens(&tokenizer, "[CLS]").len(),
                    3,
                    "{name}: no special token here"
                );
            }
        }
        let message = of_files(&[("vocab.txt", VOCAB), ("config.json", mpnet)]).unwrap_err();
        assert!(
            message.contains("lacks <pad>, <s>, </s>, <mask>"),
            "{message}"
        );
    }
}
