//! The part of a text encoder that a run does not train. It is not in checkpoints, and stands in one file for all runs that
//! share it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::{Bool, Int, Tensor};
use mmrest_encoders::Bert;
use mmrest_models::SentimentModel;

use crate::digests;
use crate::error::LearnerError;
use crate::files;

/// The file of the untrained part in a model folder.
pub(crate) const FILE: &str = "encoder.safetensors";

/// Which parameters of a model are the untrained part of its text encoder: the embeddings and the lower layers. A pooler is
/// the model's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Untrained {
    /// The path of the encoder in the model; empty for an encoder alone.
    pub text: &'static str,
    /// How many layers are not trained; with none, the embeddings are trained too.
    pub lower_layers: usize,
}

impl Untrained {
    /// The untrained part of a model's text encoder.
    pub(crate) fn of_model<M: SentimentModel>(lower_layers: usize) -> Self {
        Self {
            text: M::TEXT_PATH,
            lower_layers,
        }
    }

    /// The untrained part of a text encoder, by paths within it.
    pub(crate) fn of_encoder(lower_layers: usize) -> Self {
        Self {
            text: "",
            lower_layers,
        }
    }

    /// Whether the parameter at this path belongs to it.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let within = match self.text {
            "" => Some(path),
            text => path
                .strip_prefix(text)
                .and_then(|path| path.strip_prefix('.')),
        };
        let Some(within) = within.filter(|_| self.lower_layers > 0) else {
            return false;
        };
        match within.strip_prefix("layers.") {
            Some(layer) => {
                let layer = layer.split('.').next().and_then(|layer| layer.parse().ok());
                layer.is_some_and(|layer: usize| layer < self.lower_layers)
            }
            None => !within.starts_with("pooler."),
        }
    }

    /// The paths of a module's parameters outside of it.
    pub(crate) fn trained_paths<M: Module>(&self, module: &M) -> Vec<String> {
        let trained = parameters(module).into_iter();
        let trained = trained.filter(|(path, _)| !self.holds(path));
        trained.map(|(path, _)| path).collect()
    }

    /// A module's parameters outside of it.
    pub(crate) fn trained<M: Module>(&self, module: &M) -> ParamGroup {
        let trained = parameters(module).into_iter();
        let trained = trained.filter(|(path, _)| !self.holds(path));
        ParamGroup::from_ids(trained.map(|(_, id)| id).collect())
    }

    /// The module with no gradients for what belongs to it.
    pub(crate) fn freeze<M: Module>(self, module: M) -> M {
        module.map(&mut Freeze {
            untrained: self,
            path: Vec::new(),
        })
    }

    /// An encoder's untrained part as a safetensors file, its tensors by their paths in the encoder.
    fn file(&self, encoder: &Bert) -> Result<Vec<u8>, LearnerError> {
        let own = parameters(encoder).into_iter().map(|(path, _)| path);
        let own: Vec<String> = own.filter(|path| self.holds(path)).collect();
        let internal = |error: String| LearnerError::Internal(error);
        let mut store = store(SafetensorsStore::from_bytes(None), own);
        encoder
            .save_into(&mut store)
            .map_err(|e| internal(e.to_string()))?;
        store.get_bytes().map_err(|e| internal(e.to_string()))
    }

    /// An encoder with what [`share`] wrote.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or does not hold the whole of it.
    pub(crate) fn read(&self, mut encoder: Bert, path: &Path) -> Result<Bert, LearnerError> {
        let missing = read_weights(&mut encoder, path)?;
        match missing.into_iter().find(|name| self.holds(name)) {
            None => Ok(encoder),
            Some(name) => Err(LearnerError::format(
                path,
                format!("does not fit the model: {name} is missing"),
            )),
        }
    }
}

/// The shared file of an encoder's untrained part below `cache`, which is made, or made anew where it is not what the
/// encoder holds. `fingerprint` tells encoders apart.
///
/// # Errors
///
/// The folder cannot be read or written.
pub(crate) fn share(
    encoder: &Bert,
    lower_layers: usize,
    fingerprint: &str,
    cache: &Path,
) -> Result<PathBuf, LearnerError> {
    let key = digests::sha256(format!("{fingerprint}-{lower_layers}").as_bytes());
    let shared = cache.join(format!("encoder-{}.safetensors", &key[..32]));
    let bytes = Untrained::of_encoder(lower_layers).file(encoder)?;
    if !holds_bytes(&shared, &bytes) {
        files::write(&shared, &bytes)?;
    }
    Ok(shared)
}

/// Whether a file holds these bytes; not where it cannot be read.
fn holds_bytes(path: &Path, mut bytes: &[u8]) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return bytes.is_empty(),
            Ok(count) if bytes.starts_with(&chunk[..count]) => bytes = &bytes[count..],
            _ => return false,
        }
    }
}

/// Writes the weights of a module at these paths.
///
/// # Errors
///
/// The file cannot be written.
pub(crate) fn write_weights<M: Module>(
    module: &M,
    paths: Vec<String>,
    path: &Path,
) -> Result<(), LearnerError> {
    module
        .save_into(&mut store(SafetensorsStore::from_file(path), paths))
        .map_err(|e| LearnerError::format(path, format!("cannot be written: {e}")))
}

/// A store of the tensors at these paths.
fn store(store: SafetensorsStore, paths: Vec<String>) -> SafetensorsStore {
    // Of more entries than one, the order in the file would be another each time.
    store
        .with_full_paths(paths)
        .clear_metadata()
        .metadata("producer", "burn")
}

/// Reads weights into a module; gives the paths of those that the file lacks.
///
/// # Errors
///
/// The file cannot be read, or a tensor does not fit.
pub(crate) fn read_weights<M: Module>(
    module: &mut M,
    path: &Path,
) -> Result<Vec<String>, LearnerError> {
    let mut store = SafetensorsStore::from_file(path).allow_partial(true);
    let result = module
        .load_from(&mut store)
        .map_err(|e| LearnerError::format(path, format!("cannot be read as weights: {e}")))?;
    if result.is_success() {
        Ok(result.missing.into_iter().map(|(name, _)| name).collect())
    } else {
        Err(LearnerError::format(
            path,
            format!("does not fit the model: {:?}", result.errors),
        ))
    }
}

/// The paths and numbers of a module's parameters.
fn parameters<M: Module>(module: &M) -> Vec<(String, ParamId)> {
    let mut found = Parameters::default();
    module.visit(&mut found);
    found.all
}

#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    all: Vec<(String, ParamId)>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.all.push((self.path.join("."), param.id));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.all.push((self.path.join("."), param.id));
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.all.push((self.path.join("."), param.id));
    }
}

struct Freeze {
    untrained: Untrained,
    path: Vec<String>,
}

impl ModuleMapper for Freeze {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.untrained.holds(&self.path.join(".")) {
            param.set_require_grad(false)
        } else {
            param
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::to_host;
    use burn::tensor::Device;
    use mmrest_encoders::{BertConfig, PackedTokens};

    fn encoder() -> Bert {
        BertConfig::small(20, 16, 3, 2, 32).init(&Device::flex())
    }

    #[test]
    fn embeddings_and_lower_layers_belong_to_it_and_a_pooler_does_not() {
        let untrained = Untrained {
            text: "text.bert",
            lower_layers: 2,
        };
        for (path, held) in [
            ("text.bert.embeddings.word.weight", true),
            ("text.bert.layers.1.output.weight", true),
            ("text.bert.layers.2.output.weight", false),
            ("text.bert.layers.10.output.weight", false),
            ("text.bert.pooler.weight", false),
            ("text.bertha.layers.0.weight", false),
            ("fusion.weight", false),
        ] {
            assert_eq!(untrained.holds(path), held, "{path}");
        }
        let all_trained = Untrained {
            lower_layers: 0,
            ..untrained
        };
        assert!(!all_trained.holds("text.bert.embeddings.word.weight"));
    }

    #[test]
    fn the_untrained_part_is_shared_and_made_anew_where_it_is_damaged() {
        let cache = tempfile::tempdir().unwrap();
        let bert = encoder();
        let path = share(&bert, 2, "an encoder", cache.path()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let tokens = PackedTokens::from_sequences(&[vec![2, 7, 8, 3]]);
        let states =
            |bert: &Bert| to_host(bert.layers(bert.embed(&tokens), &tokens.offsets, 0..2)).unwrap();
        let part = Untrained::of_encoder(2);
        let other = encoder();
        assert_ne!(states(&other), states(&bert));
        assert_eq!(states(&part.read(other, &path).unwrap()), states(&bert));
        for damaged in [&whole[1..], b"", &[&whole[..], b"x"].concat()] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(share(&bert, 2, "an encoder", cache.path()).unwrap(), path);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        let fewer = share(&bert, 1, "an encoder", cache.path()).unwrap();
        assert_ne!(fewer, path);
        let error = part.read(encoder(), &fewer).unwrap_err().to_string();
        assert!(
            error.contains("layers.1") && error.contains("is missing"),
            "{error}"
        );
    }
}
