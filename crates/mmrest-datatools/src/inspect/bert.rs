//! Inspects directories of a text encoder, and weights.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::weights::{self, Header, MODEL_TYPES, end};

use super::{FileKind, Finding, Inspection, Options, Role, Stored, Usable};

/// Looks at vocabulary, shape and weights of a directory.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    let folder = inspection.path.clone();
    inspection.bytes = size_of(&folder);
    let config = read_config(inspection, &folder);
    check_vocabulary(inspection, &folder, config.get("vocab_size"));
    check_model_type(inspection, config.get("model_type"));
    inspection.metadata = config;
    let weights = weights::files(&folder);
    let mut parameters = 0;
    for path in weights.iter().filter(|path| has_header(path)) {
        parameters += list_tensors(inspection, path);
    }
    note_parameters(inspection, parameters);
    let loaded = options.text_encoder.map_or(Ok(()), |load| load(&folder));
    if let Err(reason) = loaded
        && inspection.findings.is_empty()
    {
        let at = format!("{}/", folder.display());
        let found = reason.strip_prefix(&at).unwrap_or(&reason);
        inspection.find(Finding::problem(
            "text_encoder",
            found,
            "the loader refuses it: change the directory, or take another model",
        ));
    }
    let complete = inspection.findings.is_empty();
    let name = inspection.metadata.get("model_type");
    let name = match name.and_then(Value::as_str) {
        Some("mpnet") => "an MPNet",
        _ => "a BERT",
    };
    let file = weights.first().and_then(|path| path.file_name());
    inspection.usable = match (file, &weights[..]) {
        _ if !complete => Usable::no("it cannot be loaded, as said below"),
        (Some(file), [_]) => {
            let why = format!("{name} with weights ({})", file.to_string_lossy());
            Usable::yes(Role::TextEncoder, why)
        }
        (Some(_), shards) => {
            let why = format!("{name} with weights in {} files", shards.len());
            Usable::yes(Role::TextEncoder, why)
        }
        (None, _) => Usable::yes(
            Role::TextEncoder,
            "vocabulary and shape without weights: with text.from_scratch = true",
        ),
    };
}

fn note_parameters(inspection: &mut Inspection, parameters: u64) {
    if parameters > 0 {
        let parameters = Value::from(parameters);
        let metadata = &mut inspection.metadata;
        metadata.insert("parameters".to_owned(), parameters);
    }
}

/// Whether a file of weights says what it holds before its values.
fn has_header(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "safetensors")
}

/// Lists the tensors of one file of weights.
pub(super) fn inspect_weights(inspection: &mut Inspection) {
    let path = inspection.path.clone();
    inspection.usable =
        Usable::no("weights are used by the directory they are in, with config.json and vocab.txt");
    let parameters = list_tensors(inspection, &path);
    note_parameters(inspection, parameters);
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    files
        .filter(|about| about.is_file())
        .map(|about| about.len())
        .sum()
}

fn read_config(inspection: &mut Inspection, folder: &Path) -> BTreeMap<String, Value> {
    let read = std::fs::read(folder.join("config.json")).map_err(|error| error.to_string());
    let read = read.and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()));
    match read {
        Ok(config) => config,
        Err(error) => {
            inspection.find(Finding::problem(
                "bert_config",
                format!("config.json cannot be read: {error}"),
                "take config.json from where the model came from",
            ));
            BTreeMap::new()
        }
    }
}

fn check_model_type(inspection: &mut Inspection, found: Option<&Value>) {
    let found = found.and_then(Value::as_str).unwrap_or("bert");
    if !MODEL_TYPES.contains(&found) {
        let known = MODEL_TYPES.map(|name| format!("{name:?}")).join(" and ");
        inspection.find(Finding::problem(
            "model_type",
            format!("config.json: `model_type` is {found:?}; {known} can be read"),
            "take a model of one of these kinds",
        ));
    }
}

fn check_vocabulary(inspection: &mut Inspection, folder: &Path, size: Option<&Value>) {
    let (name, tokens) = match vocabulary(folder) {
        Ok(found) => found,
        Err(error) => {
            return inspection.find(Finding::problem(
                "bert_vocabulary",
                format!("vocab.txt cannot be read: {error}"),
                "take vocab.txt from where the model came from",
            ));
        }
    };
    match size.and_then(Value::as_u64) {
        Some(size) if tokens as u64 > size => inspection.find(Finding::problem(
            "bert_vocabulary",
            format!("{name} has {tokens} tokens, config.json says {size}"),
            "they belong to different models: take both from one",
        )),
        _ => inspection.stored.push(Stored {
            name: name.to_owned(),
            shape: format!("[{tokens}]"),
            dtype: "text".to_owned(),
            arrays: 1,
        }),
    }
}

/// The file with the vocabulary, and how many tokens it has.
fn vocabulary(folder: &Path) -> std::io::Result<(&'static str, usize)> {
    let lines = File::open(folder.join("vocab.txt"));
    let fast = match &lines {
        Err(_) => std::fs::read(folder.join("tokenizer.json")).ok(),
        Ok(_) => None,
    };
    let fast = fast.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    if let Some(vocab) = fast
        .as_ref()
        .and_then(|fast| fast["model"]["vocab"].as_object())
    {
        return Ok(("tokenizer.json", vocab.len()));
    }
    let lines = BufReader::new(lines?).split(b'\n');
    Ok(("vocab.txt", lines.map_while(Result::ok).count()))
}

/// Lists the tensors of a safetensors file, whose lengths are checked against the file's; gives their parameters.
fn list_tensors(inspection: &mut Inspection, path: &Path) -> u64 {
    match tensors(path) {
        Ok(tensors) => {
            let parameters = tensors.iter().map(|tensor| tensor.1).sum();
            inspection
                .stored
                .extend(tensors.into_iter().map(|tensor| tensor.0));
            parameters
        }
        Err(reason) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let usable = inspection.usable.clone();
            let (reason, advice) = match FileKind::of(path) {
                Ok(FileKind::LfsPointer) => (
                    "a Git LFS pointer to the file, not the file".to_owned(),
                    "run 'git lfs pull' where it was cloned, or download the file",
                ),
                _ => (reason, super::hdf5::AGAIN),
            };
            inspection.unreadable(format!("{name}: {reason}"), advice);
            if inspection.kind == FileKind::Weights {
                inspection.usable = usable;
            }
            0
        }
    }
}

fn tensors(path: &Path) -> Result<Vec<(Stored, u64)>, String> {
    let Header { tensors, data } = Header::read(path)?;
    let mut found = Vec::new();
    for (name, tensor) in tensors {
        let end = end(&tensor).unwrap_or(u64::MAX);
        if end > data {
            return Err(format!(
                "the file breaks off before the end of {name}: {data} bytes of data, {end} are needed"
            ));
        }
        let shape = tensor["shape"].as_array().cloned().unwrap_or_default();
        let count = shape.iter().filter_map(Value::as_u64);
        let count = count.fold(1, u64::saturating_mul);
        let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let stored = Stored {
            name,
            shape: format!("[{}]", shape.join(", ")),
            dtype: tensor["dtype"].as_str().unwrap_or("?").to_owned(),
            arrays: 1,
        };
        found.push((stored, count));
    }
    Ok(found)
}
