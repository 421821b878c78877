//! Inspects directories of a BERT, and weights.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::weights::{self, Header, end};

use super::{FileKind, Finding, Inspection, Role, Stored, Usable};

/// Looks at vocabulary, shape and weights of a directory.
pub(super) fn inspect(inspection: &mut Inspection) {
    let folder = inspection.path.clone();
    inspection.bytes = size_of(&folder);
    let config = read_config(inspection, &folder);
    check_vocabulary(inspection, &folder, config.get("vocab_size"));
    inspection.metadata = config;
    let weights = weights::NAMES
        .into_iter()
        .find(|name| folder.join(name).is_file());
    let complete = inspection.findings.is_empty();
    inspection.usable = match weights {
        _ if !complete => Usable::no("a file is missing or damaged, as said below"),
        Some(name) => Usable::yes(Role::TextEncoder, format!("a BERT with weights ({name})")),
        None => Usable::yes(
            Role::TextEncoder,
            "vocabulary and shape without weights: with text.from_scratch = true",
        ),
    };
    if let Some(name) = weights.filter(|name| name.ends_with(".safetensors")) {
        let path = folder.join(name);
        list_tensors(inspection, &path);
    }
}

/// Lists the tensors of one file of weights.
pub(super) fn inspect_weights(inspection: &mut Inspection) {
    let path = inspection.path.clone();
    inspection.usable =
        Usable::no("weights are used by the directory they are in, with config.json and vocab.txt");
    list_tensors(inspection, &path);
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

fn check_vocabulary(inspection: &mut Inspection, folder: &Path, size: Option<&Value>) {
    let lines = File::open(folder.join("vocab.txt")).map(|file| {
        BufReader::new(file)
            .split(b'\n')
            .map_while(Result::ok)
            .count()
    });
    match (lines, size.and_then(Value::as_u64)) {
        (Err(error), _) => inspection.find(Finding::problem(
            "bert_vocabulary",
            format!("vocab.txt cannot be read: {error}"),
            "take vocab.txt from where the model came from",
        )),
        (Ok(lines), Some(size)) if lines as u64 > size => inspection.find(Finding::problem(
            "bert_vocabulary",
            format!("vocab.txt has {lines} tokens, config.json says {size}"),
            "they belong to different models: take both from one",
        )),
        (Ok(lines), _) => inspection.stored.push(Stored {
            name: "vocab.txt".to_owned(),
            shape: format!("[{lines}]"),
            dtype: "text".to_owned(),
            arrays: 1,
        }),
    }
}

/// The tensors of a safetensors file by type and kind of name; lengths are checked against the file's.
fn list_tensors(inspection: &mut Inspection, path: &Path) {
    match tensors(path) {
        Ok(tensors) => {
            let parameters: u64 = tensors.iter().map(|tensor| tensor.1).sum();
            inspection
                .stored
                .extend(tensors.into_iter().map(|tensor| tensor.0));
            let parameters = Value::from(parameters);
            inspection
                .metadata
                .insert("parameters".to_owned(), parameters);
        }
        Err(reason) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let usable = inspection.usable.clone();
            inspection.unreadable(format!("{name}: {reason}"), super::hdf5::AGAIN);
            if inspection.kind == FileKind::Weights {
                inspection.usable = usable;
            }
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
