//! How a text is normalised: `tokenizer_config.json` of a BERT directory.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::EncoderError;

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
