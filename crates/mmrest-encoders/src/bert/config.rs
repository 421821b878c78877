//! `config.json` of a Hugging Face directory: which encoder it is, and its sizes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Activation;
use crate::files::read_text;
use crate::{EncoderError, Pooling};

/// MPNet's `model_type`.
const MPNET: &str = "mpnet";
/// Buckets of MPNet's relative attention bias, where `config.json` does not say.
const MPNET_BUCKETS: usize = 32;

/// The shape of a BERT, in the names of Hugging Face's `config.json`. Unknown keys are ignored; absent ones have the
/// values of `bert-base-uncased`, as in `transformers`.
///
/// ```
/// use mmrest_encoders::BertConfig;
///
/// let config = BertConfig::from_json(r#"{"model_type": "bert", "hidden_size": 384, "use_cache": true}"#)?;
/// assert_eq!((config.hidden_size, config.num_hidden_layers), (384, 12));
/// # Ok::<(), mmrest_encoders::EncoderError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Kind of model: one of [`BertConfig::MODEL_TYPES`].
    pub model_type: String,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Size of a token's representation, H.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads; they divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Size of the feed-forward layer.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layer: `gelu`, `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast` or `relu`.
    pub hidden_act: String,
    /// Dropout after embeddings, attention and feed-forward, in training.
    pub hidden_dropout_prob: f64,
    /// Dropout on attention probabilities, in training.
    pub attention_probs_dropout_prob: f64,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Number of token types; this crate uses type 0 only. MPNet has none.
    pub type_vocab_size: usize,
    /// Standard deviation of weights that start from scratch.
    pub initializer_range: f64,
    /// Epsilon of layer normalisation.
    pub layer_norm_eps: f64,
    /// Only `absolute` is known.
    pub position_embedding_type: String,
    /// A decoder (causal attention) is refused.
    pub is_decoder: bool,
    /// Buckets of MPNet's relative attention bias; a BERT has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_attention_num_buckets: Option<usize>,
    /// What stands for a text: no part of `config.json`, but of how the encoder is used.
    #[serde(skip)]
    pub pooling: Pooling,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            model_type: "bert".into(),
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            position_embedding_type: "absolute".into(),
            is_decoder: false,
            relative_attention_num_buckets: None,
            pooling: Pooling::default(),
        }
    }
}

impl BertConfig {
    /// The kinds of model that can be read, as `model_type` names them.
    pub const MODEL_TYPES: [&str; 2] = ["bert", MPNET];

    /// A BERT of the given shape; everything else as in `bert-base-uncased`.
    pub fn small(
        vocab: usize,
        hidden: usize,
        layers: usize,
        heads: usize,
        intermediate: usize,
    ) -> Self {
        Self {
            vocab_size: vocab,
            hidden_size: hidden,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: intermediate,
            ..Self::default()
        }
    }

    /// This shape as an MPNet: a relative attention bias of 32 buckets, positions from 2, no token types.
    #[must_use]
    pub fn as_mpnet(self) -> Self {
        Self {
            model_type: MPNET.into(),
            relative_attention_num_buckets: Some(MPNET_BUCKETS),
            ..self
        }
    }

    /// Whether this is an MPNet.
    pub fn is_mpnet(&self) -> bool {
        self.model_type == MPNET
    }

    /// The position of a text's first token: MPNet leaves two for padding.
    pub(super) fn first_position(&self) -> usize {
        if self.is_mpnet() { 2 } else { 0 }
    }

    /// Buckets of the relative attention bias; 0 without one.
    pub fn buckets(&self) -> usize {
        let buckets = self.relative_attention_num_buckets;
        buckets.filter(|_| self.is_mpnet()).unwrap_or(0)
    }

    /// Rows of the table of token types: none in an MPNet.
    pub fn token_types(&self) -> usize {
        if self.is_mpnet() {
            0
        } else {
            self.type_vocab_size
        }
    }

    /// The longest text the model has positions for, in tokens.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position())
    }

    /// How many numbers stand for a text: those of the [`pooling`](Self::pooling).
    pub fn text_width(&self) -> usize {
        self.pooling.width(self.hidden_size)
    }

    /// Reads and checks `config.json` of a BERT directory.
    ///
    /// # Errors
    ///
    /// A missing or unreadable file, invalid JSON, or a model this crate does not have ([`check`](Self::check)).
    pub fn from_dir(dir: &Path) -> Result<Self, EncoderError> {
        let path = dir.join("config.json");
        let text = read_text(&path, "a BERT directory has its configuration there")?;
        Self::parse(&text, &path)
    }

    /// Reads and checks a configuration from the text of a `config.json`.
    ///
    /// # Errors
    ///
    /// As [`from_dir`](Self::from_dir).
    pub fn from_json(text: &str) -> Result<Self, EncoderError> {
        Self::parse(text, Path::new("config.json"))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, EncoderError> {
        let json = |source| EncoderError::Json {
            path: path.into(),
            source,
        };
        let mut config: Self = serde_json::from_str(text).map_err(json)?;
        if config.is_mpnet() {
            let buckets = &mut config.relative_attention_num_buckets;
            buckets.get_or_insert(MPNET_BUCKETS);
        }
        config.check(&path.display().to_string())?;
        Ok(config)
    }

    /// Checks that this is a BERT encoder that can be built; `origin` (a path, a section) is named in the error.
    ///
    /// # Errors
    ///
    /// [`EncoderError::Config`] naming the first key that is wrong, its value and what it may be.
    pub fn check(&self, origin: &str) -> Result<(), EncoderError> {
        let refuse = |key, found: String, expected: &str| {
            Err(EncoderError::Config {
                origin: origin.into(),
                key,
                found,
                expected: expected.into(),
            })
        };
        if !Self::MODEL_TYPES.contains(&self.model_type.as_str()) {
            let known = Self::MODEL_TYPES.map(|name| format!("{name:?}"));
            let expected = format!("{}: what can be read as a text encoder", known.join(" or "));
            return refuse("model_type", format!("{:?}", self.model_type), &expected);
        }
        if Activation::from_name(&self.hidden_act).is_none() {
            let known = "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast or relu";
            return refuse("hidden_act", format!("{:?}", self.hidden_act), known);
        }
        if self.position_embedding_type != "absolute" {
            return refuse(
                "position_embedding_type",
                format!("{:?}", self.position_embedding_type),
                "\"absolute\"",
            );
        }
        if self.is_decoder {
            return refuse("is_decoder", "true".into(), "false: an encoder");
        }
        if let Some((key, _)) = self.sizes().into_iter().find(|(_, size)| *size == 0) {
            return refuse(key, "0".into(), "at least 1");
        }
        if self.is_mpnet() {
            let buckets = self.buckets();
            // Half of them for each direction, half of these for distances one by one.
            if buckets < 4 {
                let (key, found) = ("relative_attention_num_buckets", buckets.to_string());
                return refuse(key, found, "at least 4");
            }
            if self.max_tokens() == 0 {
                let found = self.max_position_embeddings.to_string();
                return refuse("max_position_embeddings", found, "at least 3");
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a divisor of hidden_size, {}", self.hidden_size);
            return refuse(
                "num_attention_heads",
                self.num_attention_heads.to_string(),
                &expected,
            );
        }
        let rates = [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            (
                "attention_probs_dropout_prob",
                self.attention_probs_dropout_prob,
            ),
        ];
        if let Some((key, rate)) = rates
            .into_iter()
            .find(|(_, rate)| !(0.0..1.0).contains(rate))
        {
            return refuse(key, rate.to_string(), "a probability in [0, 1)");
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps.is_finite()) {
            return refuse(
                "layer_norm_eps",
                self.layer_norm_eps.to_string(),
                "a positive number",
            );
        }
        if !(self.initializer_range >= 0.0 && self.initializer_range.is_finite()) {
            return refuse(
                "initializer_range",
                self.initializer_range.to_string(),
                "a number not below 0",
            );
        }
        Ok(())
    }

    fn sizes(&self) -> [(&'static str, usize); 7] {
        [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ]
    }

    /// The activation of the feed-forward layer; the exact GELU for a name [`check`](Self::check) would refuse.
    pub(super) fn activation(&self) -> Activation {
        Activation::from_name(&self.hidden_act).unwrap_or(Activation::Gelu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        BertConfig::from_json(json).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_bert_is_refused_by_name() {
        for (json, words) in [
            (
                r#"{"model_type": "roberta"}"#,
                ["\"roberta\"", "\"bert\" or \"mpnet\""],
            ),
            (
                r#"{"model_type": "mpnet", "relative_attention_num_buckets": 3}"#,
                ["relative_attention_num_buckets", "at least 4"],
            ),
            (
                r#"{"model_type": "mpnet", "max_position_embeddings": 2}"#,
                ["max_position_embeddings", "at least 3"],
            ),
            (r#"{"hidden_act": "swish"}"#, ["hidden_act", "swish"]),
            (
                r#"{"position_embedding_type": "relative_key"}"#,
                ["position_embedding_type", "absolute"],
            ),
            (
                r#"{"num_attention_heads": 7}"#,
                ["num_attention_heads", "768"],
            ),
            (
                r#"{"num_attention_heads": 0}"#,
                ["num_attention_heads", "at least 1"],
            ),
            (
                r#"{"hidden_dropout_prob": 1.0}"#,
                ["hidden_dropout_prob", "[0, 1)"],
            ),
            (r#"{"is_decoder": true}"#, ["is_decoder", "encoder"]),
            (r#"{"hidden_size": -3}"#, ["config.json", "-3"]),
        ] {
            let message = refused(json);
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }

    #[test]
    fn a_config_survives_its_own_json() {
        let config = BertConfig::small(100, 32, 2, 4, 64);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(BertConfig::from_json(&text).unwrap(), config);
    }
}
