//! Weights of a Hugging Face BERT directory.
//!
//! burn-store reads the files; names are brought to one spelling, every tensor the configuration calls for is looked up
//! and its shape compared before anything is built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::prelude::*;
use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge};

use super::names::{canonical, expected_shapes};
use super::{Bert, BertConfig, BertLayer, SelfAttention};
use crate::EncoderError;

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

/// `[rows, columns]` to `[columns, rows]`, by blocks that fit the cache.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut transposed = vec![0.0; values.len()];
    for row in (0..rows).step_by(BLOCK) {
        for column in (0..columns).step_by(BLOCK) {
            for r in row..rows.min(row + BLOCK) {
                for c in column..columns.min(column + BLOCK) {
                    transposed[c * rows + r] = values[r * columns + c];
                }
            }
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_value() {
        let (rows, columns) = (37, 65);
        let values: Vec<f32> = (0..rows * columns).map(|v| v as f32).collect();
        let transposed = transpose(&values, rows, columns);
        for r in 0..rows {
            for c in 0..columns {
                assert_eq!(transposed[c * rows + r], values[r * columns + c]);
            }
        }
    }
}
