//! What a Hugging Face BERT directory holds: `config.json`, and the weights by their names.
//!
//! burn-store reads the weights file; names are brought to one spelling, every tensor the configuration calls for is looked
//! up and its shape compared before anything is built.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::prelude::*;
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge};
use mmrest_kernels::vector::transpose;
use serde::{Deserialize, Serialize};

use super::{Activation, Bert, BertLayer, SelfAttention};
use crate::EncoderError;

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
    /// Kind of model; only `bert` is one.
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
    /// Number of token types; this crate uses type 0 only.
    pub type_vocab_size: usize,
    /// Standard deviation of weights that start from scratch.
    pub initializer_range: f64,
    /// Epsilon of layer normalisation.
    pub layer_norm_eps: f64,
    /// Only `absolute` is known.
    pub position_embedding_type: String,
    /// A decoder (causal attention) is refused.
    pub is_decoder: bool,
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
        }
    }
}

impl BertConfig {
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

    /// Reads and checks `config.json` of a BERT directory.
    ///
    /// # Errors
    ///
    /// A missing or unreadable file, invalid JSON, or a model this crate does not have ([`check`](Self::check)).
    pub fn from_dir(dir: &Path) -> Result<Self, EncoderError> {
        let path = dir.join("config.json");
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => EncoderError::MissingFile {
                path: path.clone(),
                hint: "a BERT directory has its configuration there".into(),
            },
            _ => EncoderError::Io {
                path: path.clone(),
                source,
            },
        })?;
        let config: Self = serde_json::from_str(&text).map_err(|source| EncoderError::Json {
            path: path.clone(),
            source,
        })?;
        config.check(&path.display().to_string())?;
        Ok(config)
    }

    /// Reads and checks a configuration from the text of a `config.json`.
    ///
    /// # Errors
    ///
    /// As [`from_dir`](Self::from_dir).
    pub fn from_json(text: &str) -> Result<Self, EncoderError> {
        let config: Self = serde_json::from_str(text).map_err(|source| EncoderError::Json {
            path: "config.json".into(),
            source,
        })?;
        config.check("config.json")?;
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
        if self.model_type != "bert" {
            return refuse("model_type", format!("{:?}", self.model_type), "\"bert\"");
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

/// One spelling for every variant: without `bert.` (and the `module.` of data-parallel training), `gamma` and `beta`
/// of a LayerNorm as `weight` and `bias`.
fn canonical(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.strip_prefix("bert.").unwrap_or(name);
    match name.rsplit_once('.') {
        Some((norm, "gamma")) => format!("{norm}.weight"),
        Some((norm, "beta")) => format!("{norm}.bias"),
        _ => name.to_owned(),
    }
}

/// Every tensor of a BERT of this configuration and its shape, PyTorch's way round.
fn expected_shapes(config: &BertConfig) -> BTreeMap<String, Vec<usize>> {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let mut shapes = BTreeMap::new();
    let mut expect = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
    expect(
        "embeddings.word_embeddings.weight".into(),
        &[config.vocab_size, hidden],
    );
    expect(
        "embeddings.position_embeddings.weight".into(),
        &[config.max_position_embeddings, hidden],
    );
    expect(
        "embeddings.token_type_embeddings.weight".into(),
        &[config.type_vocab_size, hidden],
    );
    let mut both = |name: String, weight: &[usize]| {
        expect(format!("{name}.weight"), weight);
        expect(format!("{name}.bias"), &weight[..1]);
    };
    both("embeddings.LayerNorm".into(), &[hidden]);
    for layer in 0..config.num_hidden_layers {
        let at = format!("encoder.layer.{layer}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            both(format!("{at}.attention.{part}"), &[hidden, hidden]);
        }
        both(format!("{at}.attention.output.LayerNorm"), &[hidden]);
        both(format!("{at}.intermediate.dense"), &[wide, hidden]);
        both(format!("{at}.output.dense"), &[hidden, wide]);
        both(format!("{at}.output.LayerNorm"), &[hidden]);
    }
    shapes
}

const SAFETENSORS: &str = "model.safetensors";
const PYTORCH: &str = "pytorch_model.bin";

/// Whether a directory has weights to load: `model.safetensors` or `pytorch_model.bin`.
///
/// One with `config.json` and `vocab.txt` only can still start from scratch, by [`BertConfig::init`].
///
/// ```
/// assert!(!mmrest_encoders::has_weights("no/such/folder".as_ref()));
/// ```
pub fn has_weights(dir: &Path) -> bool {
    weights_file(dir).is_some()
}

fn weights_file(dir: &Path) -> Option<PathBuf> {
    [SAFETENSORS, PYTORCH]
        .map(|name| dir.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

/// A BERT of the configuration with the directory's weights.
pub(super) fn load(config: &BertConfig, dir: &Path, device: &Device) -> Result<Bert, EncoderError> {
    let path = weights_file(dir).ok_or_else(|| EncoderError::MissingFile {
        path: dir.join(SAFETENSORS),
        hint: format!(
            "nor is there a {PYTORCH}; a directory without weights can only start from scratch"
        ),
    })?;
    let checkpoint = Checkpoint::open(path)?;
    checkpoint.check(config)?;
    let mut bert = config.init(device);
    checkpoint.fill(&mut bert, device)?;
    Ok(bert)
}

/// The tensors of a weights file, by their name in one spelling: no prefix, normalisations with weight and bias.
struct Checkpoint {
    path: PathBuf,
    tensors: BTreeMap<String, StoredTensor>,
}

impl Checkpoint {
    fn open(path: PathBuf) -> Result<Self, EncoderError> {
        let tensors = if path
            .extension()
            .is_some_and(|extension| extension == "safetensors")
        {
            read(SafetensorsStore::from_file(&path))
        } else {
            read(PytorchStore::from_file(&path).map_indices_contiguous(false))
        };
        match tensors {
            Ok(tensors) => Ok(Self { path, tensors }),
            Err(message) => Err(EncoderError::Weights { path, message }),
        }
    }

    /// Compares the names and shapes of the file with those the configuration calls for.
    fn check(&self, config: &BertConfig) -> Result<(), EncoderError> {
        self.check_depth(config)?;
        let expected = expected_shapes(config);
        let missing: Vec<_> = expected
            .keys()
            .filter(|name| !self.tensors.contains_key(*name))
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(EncoderError::MissingTensors {
                path: self.path.clone(),
                names: missing,
            });
        }
        for (name, shape) in &expected {
            let tensor = &self.tensors[name];
            if tensor.shape.as_slice() != shape.as_slice() {
                return Err(EncoderError::TensorShape {
                    path: self.path.clone(),
                    name: tensor.name.clone(),
                    found: tensor.shape.to_vec(),
                    expected: shape.clone(),
                });
            }
        }
        let extra =
            |name: &&String| name.starts_with("encoder.layer.") && !expected.contains_key(*name);
        let extra = self.tensors.keys().filter(extra).count();
        if extra > 0 {
            let path = self.path.display();
            tracing::warn!(%path, extra, "the file has layer tensors that config.json does not call for; unused");
        }
        Ok(())
    }

    /// Refuses a number of layers that the file cannot have, before their tensors are listed.
    fn check_depth(&self, config: &BertConfig) -> Result<(), EncoderError> {
        let (asked, tensors) = (config.num_hidden_layers, self.tensors.len());
        if asked <= tensors {
            return Ok(());
        }
        Err(EncoderError::Config {
            origin: self
                .path
                .with_file_name("config.json")
                .display()
                .to_string(),
            key: "num_hidden_layers",
            found: asked.to_string(),
            expected: format!(
                "no more than the {tensors} tensors of {}",
                self.path.display()
            ),
        })
    }

    fn fill(&self, bert: &mut Bert, device: &Device) -> Result<(), EncoderError> {
        let source = Source {
            checkpoint: self,
            device,
        };
        let embeddings = &mut bert.embeddings;
        source.embedding("embeddings.word_embeddings", &mut embeddings.word)?;
        source.embedding("embeddings.position_embeddings", &mut embeddings.position)?;
        source.embedding(
            "embeddings.token_type_embeddings",
            &mut embeddings.token_type,
        )?;
        source.norm("embeddings.LayerNorm", &mut embeddings.norm)?;
        for (index, layer) in bert.layers.iter_mut().enumerate() {
            source.layer(&format!("encoder.layer.{index}"), layer)?;
        }
        Ok(())
    }
}

/// Hands a checkpoint's tensors to the modules of a device.
struct Source<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
}

impl Source<'_> {
    fn layer(&self, at: &str, layer: &mut BertLayer) -> Result<(), EncoderError> {
        self.attention(&format!("{at}.attention"), &mut layer.attention)?;
        self.norm(
            &format!("{at}.attention.output.LayerNorm"),
            &mut layer.attention_norm,
        )?;
        self.linear(&format!("{at}.intermediate.dense"), &mut layer.intermediate)?;
        self.linear(&format!("{at}.output.dense"), &mut layer.output)?;
        self.norm(&format!("{at}.output.LayerNorm"), &mut layer.output_norm)
    }

    fn attention(&self, at: &str, attention: &mut SelfAttention) -> Result<(), EncoderError> {
        self.linear(&format!("{at}.self.query"), &mut attention.query)?;
        self.linear(&format!("{at}.self.key"), &mut attention.key)?;
        self.linear(&format!("{at}.self.value"), &mut attention.value)?;
        self.linear(&format!("{at}.output.dense"), &mut attention.output)
    }

    fn embedding(&self, at: &str, embedding: &mut Embedding) -> Result<(), EncoderError> {
        embedding.weight = self.param(&format!("{at}.weight"), |data| data)?;
        Ok(())
    }

    /// PyTorch keeps the weight as `[output, input]`.
    fn linear(&self, at: &str, linear: &mut Linear) -> Result<(), EncoderError> {
        linear.weight = self.param(&format!("{at}.weight"), |(values, shape)| {
            (
                transpose(&values, shape[0], shape[1]),
                vec![shape[1], shape[0]],
            )
        })?;
        linear.bias = Some(self.param(&format!("{at}.bias"), |data| data)?);
        Ok(())
    }

    fn norm(&self, at: &str, norm: &mut LayerNorm) -> Result<(), EncoderError> {
        norm.gamma = self.param(&format!("{at}.weight"), |data| data)?;
        norm.beta = Some(self.param(&format!("{at}.bias"), |data| data)?);
        Ok(())
    }

    fn param<const D: usize>(
        &self,
        name: &str,
        arrange: impl FnOnce((Vec<f32>, Vec<usize>)) -> (Vec<f32>, Vec<usize>),
    ) -> Result<Param<Tensor<D>>, EncoderError> {
        let path = || self.checkpoint.path.clone();
        let stored = self.checkpoint.tensors.get(name);
        let stored = stored.ok_or_else(|| EncoderError::MissingTensors {
            path: path(),
            names: vec![name.to_owned()],
        })?;
        let invalid = |message: String| EncoderError::TensorData {
            path: path(),
            name: stored.name.clone(),
            message,
        };
        if !stored.dtype.is_float() {
            return Err(invalid(format!(
                "it holds {:?}, not floating-point numbers",
                stored.dtype
            )));
        }
        let data = bridge::to_data(stored).map_err(|error| invalid(error.to_string()))?;
        let values = data
            .convert::<f32>()
            .try_to_vec()
            .map_err(|error| invalid(format!("{error:?}")))?;
        let (values, shape) = arrange((values, stored.shape.to_vec()));
        Ok(Param::from_data(
            TensorData::new(values, shape),
            self.device,
        ))
    }
}

/// All tensors of a store under their canonical names.
fn read(mut store: impl ModuleStore) -> Result<BTreeMap<String, StoredTensor>, String> {
    let tensors = store.get_all_tensors().map_err(|error| error.to_string())?;
    Ok(tensors
        .iter()
        .map(|(name, tensor)| (canonical(name), tensor.clone()))
        .collect())
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
            (r#"{"model_type": "roberta"}"#, ["model_type", "roberta"]),
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

    #[test]
    fn all_spellings_are_one() {
        for name in [
            "encoder.layer.0.output.LayerNorm.weight",
            "bert.encoder.layer.0.output.LayerNorm.gamma",
            "module.bert.encoder.layer.0.output.LayerNorm.weight",
        ] {
            assert_eq!(canonical(name), "encoder.layer.0.output.LayerNorm.weight");
        }
        assert_eq!(canonical("cls.predictions.bias"), "cls.predictions.bias");
    }

    #[test]
    fn a_bert_has_five_tensors_and_sixteen_a_layer() {
        let shapes = expected_shapes(&BertConfig::default());
        assert_eq!(shapes.len(), 5 + 12 * 16);
        let parameters: usize = shapes
            .values()
            .map(|shape| shape.iter().product::<usize>())
            .sum();
        assert_eq!(parameters, 108_891_648); // bert-base-uncased without its pooler
    }
}
