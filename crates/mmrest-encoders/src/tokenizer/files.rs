//! What a Hugging Face directory says of its tokenizer, in up to five files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rust_tokenizers::vocab::BertVocab;
use serde::{Deserialize, Deserializer, Serialize};

use crate::EncoderError;
use crate::files::{read_json, read_text};

/// How far ids may go beyond the number of tokens: no file makes a larger table than its own size accounts for.
const MOST_HOLES: usize = 1024;

/// Files that may name added tokens.
const CONFIG: &str = "tokenizer_config.json";
const LEGACY: &str = "added_tokens.json";
const FAST: &str = "tokenizer.json";

/// Vocabulary and options of a tokenizer.
pub(super) struct Definition {
    /// The file with the vocabulary.
    pub(super) path: PathBuf,
    /// The tokens in the order of their ids; empty where an id has none.
    pub(super) lines: Vec<String>,
    pub(super) config: TokenizerConfig,
}

impl Definition {
    pub(super) fn of_vocab(path: &Path, options: TokenizerOptions) -> Result<Self, EncoderError> {
        let hint = "a BERT directory has its WordPiece vocabulary there, one token per line";
        let text = read_text(path, hint)?;
        Ok(Self {
            path: path.into(),
            lines: text.lines().map(|line| line.trim().to_owned()).collect(),
            config: TokenizerConfig {
                options,
                ..TokenizerConfig::default()
            },
        })
    }

    pub(super) fn of_dir(dir: &Path) -> Result<Self, EncoderError> {
        let json_path = dir.join(FAST);
        let fast: Option<TokenizerJson> = read_json(&json_path)?;
        let own: Option<StoredConfig> = read_json(&dir.join(CONFIG))?;
        let own = own.unwrap_or_default();
        let normalizer = fast.as_ref().and_then(|fast| fast.normalizer.clone());
        let options = own.options(normalizer.unwrap_or_default());
        let vocab = dir.join("vocab.txt");
        let mut definition = match &fast {
            Some(fast) if !vocab.is_file() => fast.definition(&json_path)?,
            _ => Self::of_vocab(&vocab, options)?,
        };
        let map: Option<SpecialNames> = read_json(&dir.join("special_tokens_map.json"))?;
        let names = own.special.or(map.unwrap_or_default());
        let model: Option<ModelType> = read_json(&dir.join("config.json"))?;
        let defaults = match model {
            Some(ModelType { model_type }) if model_type == "mpnet" => SpecialNames::mpnet(),
            _ => SpecialNames::bert(),
        };
        let config = &mut definition.config;
        (config.options, config.special) = (options, names.or(defaults));
        let own = own.added_tokens_decoder.into_iter();
        let own = own.map(|(id, token)| (id, (token, CONFIG)));
        let mut added: BTreeMap<u32, (AddedToken, &str)> = own.collect();
        let legacy: Option<BTreeMap<String, u32>> = read_json(&dir.join(LEGACY))?;
        let specials: Vec<String> = config.special_names().map(str::to_owned).to_vec();
        for (content, id) in legacy.unwrap_or_default() {
            let token = AddedToken {
                normalized: !specials.contains(&content),
                content,
                single_word: false,
            };
            added.entry(id).or_insert((token, LEGACY));
        }
        for NumberedToken { id, token } in fast.into_iter().flat_map(|fast| fast.added_tokens) {
            added.entry(id).or_insert((token, FAST));
        }
        definition.add(added, dir)?;
        Ok(definition)
    }

    /// Gives added tokens their places in the vocabulary, and keeps those that the special ones do not imply.
    fn add(
        &mut self,
        added: BTreeMap<u32, (AddedToken, &str)>,
        dir: &Path,
    ) -> Result<(), EncoderError> {
        let most = self.lines.len() + added.len() + MOST_HOLES;
        for (id, (token, file)) in added {
            let invalid = |message: String| EncoderError::InvalidVocabulary {
                path: dir.join(file),
                message,
            };
            let place = id as usize;
            match self.lines.get_mut(place) {
                Some(line) if line.is_empty() => line.clone_from(&token.content),
                Some(line) if *line != token.content => {
                    let message = format!(
                        "token {id} is {line:?} in the vocabulary and {:?} among the added tokens",
                        token.content
                    );
                    return Err(invalid(message));
                }
                Some(_) => {}
                None if place < most => {
                    self.lines.resize(place, String::new());
                    self.lines.push(token.content.clone());
                }
                None => {
                    let (content, lines) = (token.content, self.lines.len());
                    let message = format!(
                        "the added token {content:?} has id {id}, where the vocabulary has {lines} tokens"
                    );
                    return Err(invalid(message));
                }
            }
            let names = self.config.special_names();
            let implied = !token.normalized && names.contains(&token.content.as_str());
            if !implied {
                self.config.added_tokens_decoder.insert(id, token);
            }
        }
        Ok(())
    }
}

/// What a tokenizer works with beside its vocabulary: as JSON, a `tokenizer_config.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenizerConfig {
    /// How a text is normalised.
    #[serde(flatten)]
    pub options: TokenizerOptions,
    #[serde(flatten)]
    special: SpecialNames,
    /// Further tokens that are found in a text as they stand, by their id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub added_tokens_decoder: BTreeMap<u32, AddedToken>,
}

impl TokenizerConfig {
    /// The names of the special tokens: padding, unknown, start, end, mask.
    pub fn special_names(&self) -> [&str; 5] {
        let SpecialNames {
            pad,
            unknown,
            start,
            end,
            mask,
        } = &self.special;
        let named = [
            (pad, "[PAD]"),
            (unknown, "[UNK]"),
            (start, "[CLS]"),
            (end, "[SEP]"),
            (mask, "[MASK]"),
        ];
        named.map(|(name, default)| name.as_deref().unwrap_or(default))
    }
}

/// A token that is found in a text as it stands, and is never cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedToken {
    /// The token.
    pub content: String,
    /// Whether it is looked for in the lower-cased text, where text is lower-cased.
    #[serde(default)]
    pub normalized: bool,
    /// Whether it must not touch a letter or a digit.
    #[serde(default)]
    pub single_word: bool,
}

impl AddedToken {
    /// A token that is looked for as it is written.
    pub(super) fn special(content: &str) -> Self {
        Self {
            content: content.into(),
            normalized: false,
            single_word: false,
        }
    }
}

/// The names of the special tokens, where they are not BERT's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct SpecialNames {
    #[serde(rename = "pad_token", deserialize_with = "name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pad: Option<String>,
    #[serde(rename = "unk_token", deserialize_with = "name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    #[serde(rename = "cls_token", deserialize_with = "name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(rename = "sep_token", deserialize_with = "name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    #[serde(rename = "mask_token", deserialize_with = "name")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
}

impl SpecialNames {
    fn bert() -> Self {
        Self::default()
    }

    fn mpnet() -> Self {
        let name = |name: &str| Some(name.to_owned());
        Self {
            pad: name("<pad>"),
            unknown: name("[UNK]"),
            start: name("<s>"),
            end: name("</s>"),
            mask: name("<mask>"),
        }
    }

    /// These names, and the others where these are silent; BERT's own are not said.
    fn or(self, other: Self) -> Self {
        let said = |name: Option<String>, other: Option<String>, own: &str| {
            name.or(other).filter(|name| name != own)
        };
        Self {
            pad: said(self.pad, other.pad, "[PAD]"),
            unknown: said(self.unknown, other.unknown, "[UNK]"),
            start: said(self.start, other.start, "[CLS]"),
            end: said(self.end, other.end, "[SEP]"),
            mask: said(self.mask, other.mask, "[MASK]"),
        }
    }
}

/// A token's name: itself, or an object with its content.
fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Name {
        Plain(String),
        Token { content: String },
    }
    Ok(Option::<Name>::deserialize(from)?.map(|name| match name {
        Name::Plain(content) | Name::Token { content } => content,
    }))
}

/// What is read of a `tokenizer_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredConfig {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    #[serde(flatten)]
    special: SpecialNames,
    added_tokens_decoder: BTreeMap<u32, AddedToken>,
}

impl StoredConfig {
    /// Its options, and a normaliser's where it is silent.
    fn options(&self, normalizer: Normalizer) -> TokenizerOptions {
        let default = TokenizerOptions::default();
        let lowercase = self.do_lower_case.or(normalizer.lowercase);
        let chinese = self
            .tokenize_chinese_chars
            .or(normalizer.handle_chinese_chars);
        TokenizerOptions {
            lowercase: lowercase.unwrap_or(default.lowercase),
            strip_accents: self.strip_accents.or(normalizer.strip_accents),
            tokenize_chinese_chars: chinese.unwrap_or(default.tokenize_chinese_chars),
        }
    }
}

/// What is read of a `config.json`.
#[derive(Deserialize)]
struct ModelType {
    #[serde(default)]
    model_type: String,
}

/// What is read of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<NumberedToken>,
    normalizer: Option<Normalizer>,
    model: WordPiece,
}

#[derive(Deserialize)]
struct NumberedToken {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Normalizer {
    lowercase: Option<bool>,
    strip_accents: Option<bool>,
    handle_chinese_chars: Option<bool>,
}

/// The model of a `tokenizer.json`; another kind than WordPiece has its vocabulary in another form.
#[derive(Deserialize)]
struct WordPiece {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    vocab: serde_json::Value,
}

impl TokenizerJson {
    /// The vocabulary alone.
    fn definition(&self, path: &Path) -> Result<Definition, EncoderError> {
        let invalid = |message: String| EncoderError::InvalidVocabulary {
            path: path.into(),
            message,
        };
        let kind = self.model.kind.as_deref().unwrap_or("WordPiece");
        if kind != "WordPiece" {
            let message = format!("it holds a {kind} tokenizer; BERT and MPNet have WordPiece");
            return Err(invalid(message));
        }
        let prefix = self.model.continuing_subword_prefix.as_deref();
        if let Some(other) = prefix.filter(|prefix| *prefix != "##") {
            let message =
                format!("pieces that continue a word begin with {other:?}, not with \"##\"");
            return Err(invalid(message));
        }
        let vocab: HashMap<String, u32> = serde_json::from_value(self.model.vocab.clone())
            .map_err(|error| {
                invalid(format!(
                    "model.vocab is no table of tokens and ids: {error}"
                ))
            })?;
        let mut lines = Vec::new();
        let (tokens, most) = (
            vocab.len(),
            vocab.len() + self.added_tokens.len() + MOST_HOLES,
        );
        for (token, id) in vocab {
            let place = id as usize;
            if place >= most {
                let message =
                    format!("the token {token:?} has id {id}, where there are {tokens} tokens");
                return Err(invalid(message));
            }
            if place >= lines.len() {
                lines.resize(place + 1, String::new());
            }
            lines[place] = token;
        }
        Ok(Definition {
            path: path.into(),
            lines,
            config: TokenizerConfig::default(),
        })
    }
}

/// The splitter's vocabulary: it searches texts for special tokens, of which there are none for it.
pub(super) fn no_vocabulary() -> Result<BertVocab, serde_json::Error> {
    Ok(BertVocab {
        values: HashMap::new(),
        indices: HashMap::new(),
        special_token_map: serde_json::from_str(r#"{"unk_token": ""}"#)?,
        special_values: HashMap::new(),
        special_indices: HashMap::new(),
    })
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

    /// Whether accents are removed, the unset value resolved.
    pub fn strips_accents(&self) -> bool {
        self.strip_accents.unwrap_or(self.lowercase)
    }
}
