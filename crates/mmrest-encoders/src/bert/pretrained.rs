//! The weights of a Hugging Face directory, by their names.
//!
//! burn-store reads the weights; names are brought to one spelling, every tensor the configuration calls for is looked up
//! and its shape compared before anything is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Param;
use burn::nn::{LayerNorm, Linear, LinearConfig};
use burn::prelude::*;
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge};
use mmrest_kernels::host::{self, ReadError};
use mmrest_kernels::vector::transpose;

use super::{Bert, BertConfig};
use crate::EncoderError;
use crate::files::{check_pointer, weights_files};

/// The largest magnitude of a weight. The square of a larger number is infinite in single precision, and with it every
/// norm and variance that it enters: only damage makes such weights.
pub const LARGEST_WEIGHT: f32 = 1e19;

/// One spelling for every variant: without `bert.` or `mpnet.` (and the `module.` of data-parallel training), `gamma` and
/// `beta` of a LayerNorm as `weight` and `bias`.
fn canonical(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let prefix = ["bert.", "mpnet."];
    let bare = prefix.iter().find_map(|prefix| name.strip_prefix(prefix));
    let name = bare.unwrap_or(name);
    match name.rsplit_once('.') {
        Some((norm, "gamma")) => format!("{norm}.weight"),
        Some((norm, "beta")) => format!("{norm}.bias"),
        _ => name.to_owned(),
    }
}

/// How an architecture calls the parts of a layer.
struct Names {
    query: &'static str,
    key: &'static str,
    value: &'static str,
    output: &'static str,
    norm: &'static str,
}

/// The names of a BERT's attention, below `encoder.layer.N.attention.`.
const BERT: Names = Names {
    query: "self.query",
    key: "self.key",
    value: "self.value",
    output: "output.dense",
    norm: "output.LayerNorm",
};

/// The names of an MPNet's attention.
const MPNET: Names = Names {
    query: "attn.q",
    key: "attn.k",
    value: "attn.v",
    output: "attn.o",
    norm: "LayerNorm",
};

impl Names {
    fn of(config: &BertConfig) -> &'static Self {
        if config.is_mpnet() { &MPNET } else { &BERT }
    }
}

const WORDS: &str = "embeddings.word_embeddings";
const POSITIONS: &str = "embeddings.position_embeddings";
const TOKEN_TYPES: &str = "embeddings.token_type_embeddings";
const RELATIVE: &str = "encoder.relative_attention_bias";

/// Every tensor of an encoder of this configuration and its shape, PyTorch's way round.
fn expected_shapes(config: &BertConfig) -> BTreeMap<String, Vec<usize>> {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let names = Names::of(config);
    let mut shapes = BTreeMap::new();
    let tables = [
        (WORDS, config.vocab_size, hidden),
        (POSITIONS, config.max_position_embeddings, hidden),
        (TOKEN_TYPES, config.token_types(), hidden),
        (RELATIVE, config.buckets(), config.num_attention_heads),
    ];
    for (name, rows, width) in tables {
        if rows > 0 {
            shapes.insert(format!("{name}.weight"), vec![rows, width]);
        }
    }
    let mut both = |name: String, weight: &[usize]| {
        shapes.insert(format!("{name}.weight"), weight.to_vec());
        shapes.insert(format!("{name}.bias"), weight[..1].to_vec());
    };
    both("embeddings.LayerNorm".into(), &[hidden]);
    for layer in 0..config.num_hidden_layers {
        let at = format!("encoder.layer.{layer}");
        for part in [names.query, names.key, names.value, names.output] {
            both(format!("{at}.attention.{part}"), &[hidden, hidden]);
        }
        both(format!("{at}.attention.{}", names.norm), &[hidden]);
        both(format!("{at}.intermediate.dense"), &[wide, hidden]);
        both(format!("{at}.output.dense"), &[hidden, wide]);
        both(format!("{at}.output.LayerNorm"), &[hidden]);
    }
    shapes
}

/// An encoder of the configuration with the directory's weights.
pub(super) fn load(config: &BertConfig, dir: &Path, device: &Device) -> Result<Bert, EncoderError> {
    let checkpoint = Checkpoint::open(weights_files(dir)?)?;
    checkpoint.check(config)?;
    let mut bert = config.init(device);
    checkpoint.fill(&mut bert, config, device)?;
    Ok(bert)
}

/// The tensors of the weights, by their name in one spelling: no prefix, normalisations with weight and bias.
struct Checkpoint {
    files: Vec<PathBuf>,
    tensors: BTreeMap<String, Stored>,
}

/// A tensor, and the file it is in.
struct Stored {
    file: usize,
    tensor: StoredTensor,
}

impl Checkpoint {
    fn open(files: Vec<PathBuf>) -> Result<Self, EncoderError> {
        let mut tensors = BTreeMap::new();
        for (file, path) in files.iter().enumerate() {
            check_pointer(path)?;
            let of_file = read(path).map_err(|message| EncoderError::Weights {
                path: path.clone(),
                message,
            })?;
            let stored = |(name, tensor)| (name, Stored { file, tensor });
            tensors.extend(of_file.into_iter().map(stored));
        }
        Ok(Self { files, tensors })
    }

    /// The file to name where it is about the weights as a whole.
    fn path(&self) -> PathBuf {
        match &self.files[..] {
            [only] => only.clone(),
            all => all
                .first()
                .and_then(|file| file.parent())
                .map(Path::to_path_buf)
                .unwrap_or_default(),
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
                path: self.path(),
                names: missing,
            });
        }
        for (name, shape) in &expected {
            let Stored { file, tensor } = &self.tensors[name];
            if tensor.shape.as_slice() != shape.as_slice() {
                return Err(EncoderError::TensorShape {
                    path: self.files[*file].clone(),
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
            let path = self.path();
            tracing::warn!(
                "{}: {extra} tensors of layers that config.json does not call for are not used",
                path.display()
            );
        }
        Ok(())
    }

    /// Refuses a number of layers that the file cannot have, before their tensors are listed.
    fn check_depth(&self, config: &BertConfig) -> Result<(), EncoderError> {
        let (asked, tensors) = (config.num_hidden_layers, self.tensors.len());
        if asked <= tensors {
            return Ok(());
        }
        let path = self.path();
        let config = self
            .files
            .first()
            .map(|file| file.with_file_name("config.json"));
        Err(EncoderError::Config {
            origin: config.unwrap_or_default().display().to_string(),
            key: "num_hidden_layers",
            found: asked.to_string(),
            expected: format!("no more than the {tensors} tensors of {}", path.display()),
        })
    }

    fn fill(
        &self,
        bert: &mut Bert,
        config: &BertConfig,
        device: &Device,
    ) -> Result<(), EncoderError> {
        let mut source = Source {
            checkpoint: self,
            device,
        };
        walk(bert, Names::of(config), &mut source)?;
        let hidden = config.hidden_size;
        let shape = |name: &str| {
            self.tensors
                .get(name)
                .map(|stored| stored.tensor.shape.to_vec())
        };
        let shapes = [shape("pooler.dense.weight"), shape("pooler.dense.bias")];
        if shapes == [Some(vec![hidden, hidden]), Some(vec![hidden])] {
            let mut pooler = LinearConfig::new(hidden, hidden).init(device);
            source.linear("pooler.dense", &mut pooler)?;
            let bias = pooler.bias.map(|bias| bias.val().into_data());
            bert.pooler = bias.map(|bias| Arc::new([pooler.weight.val().into_data(), bias]));
        }
        Ok(())
    }
}

/// Comes by every module of an encoder, with its name in a Hugging Face directory.
trait Walk {
    type Error;

    fn table(&mut self, at: &str, table: &mut Param<Tensor<2>>) -> Result<(), Self::Error>;
    fn linear(&mut self, at: &str, linear: &mut Linear) -> Result<(), Self::Error>;
    fn norm(&mut self, at: &str, norm: &mut LayerNorm) -> Result<(), Self::Error>;
}

fn walk<W: Walk>(bert: &mut Bert, names: &Names, walk: &mut W) -> Result<(), W::Error> {
    let embeddings = &mut bert.embeddings;
    walk.table(WORDS, &mut embeddings.word.weight)?;
    walk.table(POSITIONS, &mut embeddings.position.weight)?;
    if let Some(token_type) = &mut embeddings.token_type {
        walk.table(TOKEN_TYPES, &mut token_type.weight)?;
    }
    if let Some(relative) = &mut bert.relative {
        walk.table(RELATIVE, &mut relative.table)?;
    }
    walk.norm("embeddings.LayerNorm", &mut embeddings.norm)?;
    for (index, layer) in bert.layers.iter_mut().enumerate() {
        let at = format!("encoder.layer.{index}");
        let attention = &mut layer.attention;
        let part = |part: &str| format!("{at}.attention.{part}");
        walk.linear(&part(names.query), &mut attention.query)?;
        walk.linear(&part(names.key), &mut attention.key)?;
        walk.linear(&part(names.value), &mut attention.value)?;
        walk.linear(&part(names.output), &mut attention.output)?;
        walk.norm(&part(names.norm), &mut layer.attention_norm)?;
        walk.linear(&format!("{at}.intermediate.dense"), &mut layer.intermediate)?;
        walk.linear(&format!("{at}.output.dense"), &mut layer.output)?;
        walk.norm(&format!("{at}.output.LayerNorm"), &mut layer.output_norm)?;
    }
    Ok(())
}

/// Hands a checkpoint's tensors to the modules of a device.
struct Source<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
}

impl Walk for Source<'_> {
    type Error = EncoderError;

    fn table(&mut self, at: &str, table: &mut Param<Tensor<2>>) -> Result<(), EncoderError> {
        *table = self.param(&format!("{at}.weight"), |data| data)?;
        Ok(())
    }

    /// PyTorch keeps the weight as `[output, input]`.
    fn linear(&mut self, at: &str, linear: &mut Linear) -> Result<(), EncoderError> {
        linear.weight = self.param(&format!("{at}.weight"), |(values, shape)| {
            (
                transpose(&values, shape[0], shape[1]),
                vec![shape[1], shape[0]],
            )
        })?;
        linear.bias = Some(self.param(&format!("{at}.bias"), |data| data)?);
        Ok(())
    }

    fn norm(&mut self, at: &str, norm: &mut LayerNorm) -> Result<(), EncoderError> {
        norm.gamma = self.param(&format!("{at}.weight"), |data| data)?;
        norm.beta = Some(self.param(&format!("{at}.bias"), |data| data)?);
        Ok(())
    }
}

impl Source<'_> {
    fn param<const D: usize>(
        &self,
        name: &str,
        arrange: impl FnOnce((Vec<f32>, Vec<usize>)) -> (Vec<f32>, Vec<usize>),
    ) -> Result<Param<Tensor<D>>, EncoderError> {
        let stored = self.checkpoint.tensors.get(name);
        let Stored { file, tensor } = stored.ok_or_else(|| EncoderError::MissingTensors {
            path: self.checkpoint.path(),
            names: vec![name.to_owned()],
        })?;
        let stored = tensor;
        let invalid = |message: String| EncoderError::TensorData {
            path: self.checkpoint.files[*file].clone(),
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
        let values: Vec<f32> = data
            .convert::<f32>()
            .try_to_vec()
            .map_err(|error| invalid(format!("{error:?}")))?;
        let usable = |value: &&f32| value.abs() <= LARGEST_WEIGHT;
        let unusable = values.len() - values.iter().filter(usable).count();
        if unusable > 0 {
            return Err(invalid(format!(
                "holds values that are NaN, infinite or beyond {LARGEST_WEIGHT:e} ({unusable} of {}): the file is \
                 damaged, or was saved from a training that failed",
                values.len()
            )));
        }
        let (values, shape) = arrange((values, stored.shape.to_vec()));
        Ok(Param::from_data(
            TensorData::new(values, shape),
            self.device,
        ))
    }
}

/// A tensor of an encoder, as PyTorch has it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name in a Hugging Face checkpoint, without the architecture's prefix.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: Vec<f32>,
}

impl Bert {
    /// The encoder's tensors by the names of a Hugging Face checkpoint: what [`load_dir`](Self::load_dir) reads, and
    /// `transformers` too. The pooler is no part of it.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn named_tensors(&self) -> Result<Vec<NamedTensor>, ReadError> {
        let names = if self.relative.is_some() {
            &MPNET
        } else {
            &BERT
        };
        let mut collected = Collect(Vec::new());
        walk(&mut self.clone(), names, &mut collected)?;
        Ok(collected.0)
    }
}

/// Collects the tensors of an encoder.
struct Collect(Vec<NamedTensor>);

impl Collect {
    fn push(&mut self, name: String, shape: &[usize], values: Vec<f32>) {
        let shape = shape.to_vec();
        self.0.push(NamedTensor {
            name,
            shape,
            values,
        });
    }

    fn vector(&mut self, name: String, vector: &Param<Tensor<1>>) -> Result<(), ReadError> {
        let values = host::read("weights", vector.val())?;
        self.push(name, &[values.len()], values);
        Ok(())
    }
}

impl Walk for Collect {
    type Error = ReadError;

    fn table(&mut self, at: &str, table: &mut Param<Tensor<2>>) -> Result<(), ReadError> {
        let shape = table.dims();
        let values = host::read("weights", table.val())?;
        self.push(format!("{at}.weight"), &shape, values);
        Ok(())
    }

    fn linear(&mut self, at: &str, linear: &mut Linear) -> Result<(), ReadError> {
        let [inputs, outputs] = linear.weight.dims();
        let values = host::read("weights", linear.weight.val())?;
        let values = transpose(&values, inputs, outputs);
        self.push(format!("{at}.weight"), &[outputs, inputs], values);
        match &linear.bias {
            Some(bias) => self.vector(format!("{at}.bias"), bias),
            None => Ok(()),
        }
    }

    fn norm(&mut self, at: &str, norm: &mut LayerNorm) -> Result<(), ReadError> {
        self.vector(format!("{at}.weight"), &norm.gamma)?;
        match &norm.beta {
            Some(beta) => self.vector(format!("{at}.bias"), beta),
            None => Ok(()),
        }
    }
}

/// All tensors of a file under their canonical names.
fn read(path: &Path) -> Result<BTreeMap<String, StoredTensor>, String> {
    fn all(mut store: impl ModuleStore) -> Result<BTreeMap<String, StoredTensor>, String> {
        let tensors = store.get_all_tensors().map_err(|error| error.to_string())?;
        let tensors = tensors.iter();
        Ok(tensors
            .map(|(name, tensor)| (canonical(name), tensor.clone()))
            .collect())
    }
    if path.extension().is_some_and(|kind| kind == "safetensors") {
        all(SafetensorsStore::from_file(path))
    } else {
        all(PytorchStore::from_file(path).map_indices_contiguous(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_gives_the_tensors_that_a_checkpoint_must_have() {
        let bert = BertConfig::small(30, 12, 2, 3, 20);
        for config in [bert.clone(), bert.as_mpnet()] {
            let tensors = config.init(&Device::flex()).named_tensors().unwrap();
            let shapes = tensors.iter().map(|of| (of.name.clone(), of.shape.clone()));
            assert_eq!(shapes.collect::<BTreeMap<_, _>>(), expected_shapes(&config));
            for tensor in tensors {
                assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
            }
        }
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
        let mpnet = "encoder.relative_attention_bias.weight";
        assert_eq!(canonical(&format!("mpnet.{mpnet}")), mpnet);
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

    #[test]
    fn an_mpnet_has_a_bias_for_all_layers_and_no_token_types() {
        let mut config = BertConfig::default().as_mpnet();
        (config.vocab_size, config.max_position_embeddings) = (30_527, 514);
        let shapes = expected_shapes(&config);
        assert_eq!(shapes.len(), 5 + 12 * 16);
        assert_eq!(shapes["encoder.relative_attention_bias.weight"], [32, 12]);
        let sizes = shapes.values().map(|shape| shape.iter().product::<usize>());
        assert_eq!(sizes.sum::<usize>(), 108_895_872); // microsoft/mpnet-base without its pooler
    }
}
