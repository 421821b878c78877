//! Reads and writes weights by the names and layouts of a published PyTorch state dict.
//!
//! A module here differs from its published counterpart in three ways, all of which are undone on the way: burn stores a
//! linear layer's matrix transposed, as does [`mmrest_encoders::Lstm`]; norms call their parameters gamma and beta; and
//! the layers of the text encoder are named otherwise ([`PARTS`]). What remains are names of a model's own fields, which
//! the model lists ([`SentimentModel::PUBLISHED_NAMES`](crate::SentimentModel::PUBLISHED_NAMES)).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use mmrest_kernels::host;

use crate::error::{ConfigError, ModelError};

/// Shape, in PyTorch's layout, and values, row-major.
pub type PublishedTensor = (Vec<usize>, Vec<f32>);

/// Names of parts by the module that holds them: module, field here, published name.
const PARTS: &[(&str, &str, &str)] = &[
    ("LayerNorm", "gamma", "weight"),
    ("LayerNorm", "beta", "bias"),
    ("Lstm", "weight_ih", "weight_ih_l0"),
    ("Lstm", "weight_hh", "weight_hh_l0"),
    ("Lstm", "bias_ih", "bias_ih_l0"),
    ("Lstm", "bias_hh", "bias_hh_l0"),
    ("Bert", "layers", "encoder.layer"),
    ("Embeddings", "word", "word_embeddings"),
    ("Embeddings", "position", "position_embeddings"),
    ("Embeddings", "token_type", "token_type_embeddings"),
    ("Embeddings", "norm", "LayerNorm"),
    ("SelfAttention", "query", "self.query"),
    ("SelfAttention", "key", "self.key"),
    ("SelfAttention", "value", "self.value"),
    ("SelfAttention", "output", "output.dense"),
    ("BertLayer", "attention_norm", "attention.output.LayerNorm"),
    ("BertLayer", "intermediate", "intermediate.dense"),
    ("BertLayer", "output", "output.dense"),
    ("BertLayer", "output_norm", "output.LayerNorm"),
];

/// Every parameter of a module by its published name. `renames` are replacements in the name, made in their order;
/// one that begins with `^` is made at the beginning only.
///
/// # Errors
///
/// The device cannot be read.
pub fn published_weights<M: Module>(
    module: &M,
    renames: &'static [(&'static str, &'static str)],
) -> Result<Vec<(String, PublishedTensor)>, ModelError> {
    collect(module, renames, None)
}

/// The gradient of every parameter that has one, by the parameter's published name and in its layout.
///
/// # Errors
///
/// The device cannot be read.
pub fn published_gradients<M: Module>(
    module: &M,
    renames: &'static [(&'static str, &'static str)],
    gradients: &Gradients,
) -> Result<Vec<(String, PublishedTensor)>, ModelError> {
    collect(module, renames, Some(gradients))
}

fn collect<M: Module>(
    module: &M,
    renames: &'static [(&'static str, &'static str)],
    gradients: Option<&Gradients>,
) -> Result<Vec<(String, PublishedTensor)>, ModelError> {
    let mut reader = Reader {
        place: Place::new(renames),
        gradients,
        read: Ok(Vec::new()),
    };
    module.visit(&mut reader);
    reader.read
}

/// Gives every parameter of a module the values that `find` has for its published name. The text encoder, and each part
/// whose names begin with one of `apart`, stays as it is where there is nothing of it, as in a system that was trained on
/// the encoder's output.
///
/// # Errors
///
/// `find` has none for a parameter, or values of another shape: all such parameters in one sentence.
pub fn load_published<M: Module>(
    module: M,
    renames: &'static [(&'static str, &'static str)],
    apart: &'static [&'static str],
    find: &dyn Fn(&str) -> Option<PublishedTensor>,
) -> Result<M, ModelError> {
    let mut writer = Writer {
        place: Place::new(renames),
        apart,
        find,
        refused: Vec::new(),
        parts: vec![Part::default(); 1 + apart.len()],
    };
    let module = module.map(&mut writer);
    let mut refused = writer.refused;
    let incomplete = writer.parts.into_iter().filter(|part| part.found);
    refused.extend(incomplete.flat_map(|part| part.missing));
    if refused.is_empty() {
        return Ok(module);
    }
    Err(ModelError::Config(ConfigError(format!(
        "the weights do not fit the model: {}",
        refused.join(", ")
    ))))
}

/// Where in a module a visit is.
struct Place {
    /// Module and field of each level.
    path: Vec<(String, String)>,
    renames: &'static [(&'static str, &'static str)],
}

impl Place {
    fn new(renames: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            path: Vec::new(),
            renames,
        }
    }

    fn enter(&mut self, field: &str, container: &str) {
        let module = container.strip_prefix("Struct:").unwrap_or(container);
        self.path.push((module.into(), field.into()));
    }

    fn name(&self) -> String {
        let part = |(module, field): &(String, String)| {
            let mut known = PARTS.iter();
            let known = known.find(|(of, here, _)| of == module && here == field);
            known.map_or(field.clone(), |(_, _, published)| (*published).into())
        };
        // PyTorch's LSTM marks the direction at the end of a name, and an attention has no module for its in-projection.
        let direction = |(module, _): &&(String, String)| module != "BiLstm";
        let parts = self.path.iter().filter(direction).map(part);
        let mut name = parts.collect::<Vec<_>>().join(".");
        name = name.replace("in_proj.", "in_proj_");
        if self
            .path
            .iter()
            .any(|(module, field)| module == "BiLstm" && field == "backward")
        {
            name.push_str("_reverse");
        }
        let renames = self.renames.iter();
        renames.fold(name, |name, (here, published)| {
            let Some(start) = here.strip_prefix('^') else {
                return name.replace(here, published);
            };
            match name.strip_prefix(start) {
                Some(rest) => format!("{published}{rest}"),
                None => name,
            }
        })
    }

    fn in_text_encoder(&self) -> bool {
        self.path.iter().any(|(module, _)| module == "Bert")
    }

    fn transposed(&self, dims: usize) -> bool {
        let module = self.path.last().map(|(module, _)| module.as_str());
        dims == 2 && matches!(module, Some("Linear" | "Lstm"))
    }
}

struct Reader<'a> {
    place: Place,
    gradients: Option<&'a Gradients>,
    read: Result<Vec<(String, PublishedTensor)>, ModelError>,
}

impl ModuleVisitor for Reader<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Ok(read) = &mut self.read else { return };
        let tensor = match self.gradients {
            None => Some(param.val()),
            Some(gradients) => param.val().grad(gradients),
        };
        let Some(mut tensor) = tensor else { return };
        if self.place.transposed(D) {
            tensor = tensor.swap_dims(0, 1);
        }
        let shape = tensor.dims().to_vec();
        match host::read("weights", tensor) {
            Ok(values) => read.push((self.place.name(), (shape, values))),
            Err(error) => self.read = Err(error.into()),
        }
    }
}

struct Writer<'a> {
    place: Place,
    apart: &'static [&'static str],
    find: &'a dyn Fn(&str) -> Option<PublishedTensor>,
    refused: Vec<String>,
    /// The text encoder, then those of `apart`.
    parts: Vec<Part>,
}

/// A part that may be absent as a whole.
#[derive(Clone, Default)]
struct Part {
    /// Whether there is a parameter of it.
    found: bool,
    /// Those that there are not.
    missing: Vec<String>,
}

impl Writer<'_> {
    /// The part that a parameter belongs to, where it may be absent.
    fn part(&mut self, name: &str) -> Option<&mut Part> {
        let apart = |start: &&str| name.starts_with(*start);
        let place = if self.place.in_text_encoder() {
            Some(0)
        } else {
            self.apart.iter().position(apart).map(|place| 1 + place)
        };
        self.parts.get_mut(place?)
    }
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.place.name();
        let transposed = self.place.transposed(D);
        let mut expected = param.val().dims();
        if transposed {
            expected.swap(0, 1);
        }
        let Some((shape, values)) = (self.find)(&name) else {
            let told = format!("{name} is missing");
            match self.part(&name) {
                Some(part) => part.missing.push(told),
                None => self.refused.push(told),
            }
            return param;
        };
        if let Some(part) = self.part(&name) {
            part.found = true;
        }
        if shape != expected {
            let refused = format!("{name} is {shape:?}, not {expected:?}");
            self.refused.push(refused);
            return param;
        }
        param.map(|old| {
            let tracked = old.is_require_grad();
            let mut new = Tensor::from_data(TensorData::new(values, shape), &old.device());
            if transposed {
                // Laid out anew: a transposed view would be copied by every product.
                let data = new.swap_dims(0, 1).into_data();
                new = Tensor::from_data(data, &old.device());
            }
            new.set_require_grad(tracked)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use mmrest_encoders::{Bert, BertConfig, LstmConfig};

    use super::*;

    #[test]
    fn a_text_encoder_has_the_names_and_shapes_of_hugging_face() {
        let bert = BertConfig::small(30, 8, 1, 2, 16).init(&Device::flex());
        let weights = published_weights(&bert, &[("encoder.", "bert.encoder.")]).unwrap();
        let shape = |name: &str| {
            let mut weights = weights.iter();
            let found = weights.find(|(own, _)| own == name);
            found.map(|(_, (shape, _))| shape.clone()).unwrap()
        };
        assert_eq!(weights.len(), 5 + 16);
        assert_eq!(shape("embeddings.word_embeddings.weight"), [30, 8]);
        assert_eq!(shape("embeddings.LayerNorm.weight"), [8]);
        assert_eq!(
            shape("bert.encoder.layer.0.intermediate.dense.weight"),
            [16, 8]
        );
        assert_eq!(shape("bert.encoder.layer.0.attention.self.key.bias"), [8]);
        assert_eq!(
            shape("bert.encoder.layer.0.attention.output.LayerNorm.bias"),
            [8]
        );
    }

    #[test]
    fn weights_go_out_and_in_again() {
        let device = Device::flex();
        let config = LstmConfig::new(3, 2);
        let [from, to] = [0; 2].map(|_| config.init(&device));
        let all = published_weights(&from, &[]).unwrap();
        assert_eq!(all[0].0, "weight_ih_l0");
        assert_eq!(all[0].1.0, [8, 3]);
        let find = |name: &str| {
            let found = all.iter().find(|(own, _)| own == name);
            found.map(|(_, tensor)| tensor.clone())
        };
        let to = load_published(to, &[], &[], &find).unwrap();
        assert_eq!(published_weights(&to, &[]).unwrap(), all);
        let wide = LstmConfig::new(4, 2).init(&device);
        let error = load_published(wide.clone(), &[], &[], &find)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("weight_ih_l0 is [8, 3], not [8, 4]"),
            "{error}"
        );
        let bert: Bert = BertConfig::small(30, 8, 1, 2, 16).init(&device);
        // Without any weight of it a text encoder keeps its own; with some, all are needed.
        let own = published_weights(&bert, &[]).unwrap();
        let kept = load_published(bert.clone(), &[], &[], &find).unwrap();
        assert_eq!(published_weights(&kept, &[]).unwrap(), own);
        let first = |name: &str| (name == own[0].0).then(|| own[0].1.clone());
        let error = load_published(bert, &[], &[], &first)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("{} is missing", own[1].0)),
            "{error}"
        );
        // So does a part that may be absent.
        let config = LstmConfig::new(3, 2);
        let own = config.init(&device);
        let none = |_: &str| None;
        let kept = load_published(own.clone(), &[], &["weight_", "bias_"], &none).unwrap();
        let [kept, before] = [kept, own].map(|lstm| published_weights(&lstm, &[]).unwrap());
        assert_eq!(kept, before);
        let half = |name: &str| find(name).filter(|_| !name.contains("_hh"));
        let error = load_published(config.init(&device), &[], &["weight_"], &half)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("weight_hh_l0 is missing") && error.contains("bias_hh_l0 is missing"),
            "{error}"
        );
    }
}
