//! What the tests share: golden files, how they are read, and how numbers are compared.
#![allow(unreachable_pub, reason = "a module of one test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mmrest_learner::conformance;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    crates.parent().unwrap().to_path_buf()
}

pub fn golden() -> PathBuf {
    workspace().join("tests/golden")
}

/// A directory with the BERT that `bert.json` is about, if there is one here.
pub fn bert() -> Option<PathBuf> {
    let default = || workspace().join("data/bert/minilm");
    let dir = std::env::var_os("MMREST_BERT").map_or_else(default, PathBuf::from);
    let found = dir.join("config.json").is_file();
    if !found {
        println!("skipped: no BERT at {} (set MMREST_BERT)", dir.display());
    }
    found.then_some(dir)
}

pub fn run(input: &Path, bert: Option<&Path>) -> tempfile::TempDir {
    run_on(input, bert, &Device::flex())
}

pub fn run_on(input: &Path, bert: Option<&Path>, device: &Device) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    for line in conformance::run(input, bert, out.path(), device).unwrap() {
        println!("{line}");
    }
    out
}

/// A tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

pub fn read(path: &Path) -> BTreeMap<String, Stored> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |view: TensorView<'_>| {
        let values = match view.dtype() {
            Dtype::F32 => words(view.data(), |word| f32::from_le_bytes(word).into()),
            Dtype::F64 => words(view.data(), f64::from_le_bytes),
            Dtype::I32 => words(view.data(), |word| i32::from_le_bytes(word).into()),
            Dtype::I64 => words(view.data(), |word| i64::from_le_bytes(word) as f64),
            other => panic!("{other:?}"),
        };
        Stored {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            values,
        }
    };
    let tensors = file.tensors().into_iter();
    tensors.map(|(name, view)| (name, stored(view))).collect()
}

pub fn words<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks().0.iter().map(|word| read(*word)).collect()
}

/// Whether a golden file's tensor is a result, which inputs may lack.
pub fn is_result(file: &str, tensor: &str) -> bool {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| tensor.starts_with(prefix));
    match file
        .split('.')
        .next()
        .unwrap()
        .trim_end_matches(char::is_numeric)
    {
        "mmc_" => begins(&["loss", "grad_"]),
        "psd_adam" => !begins(&["grads_"]),
        "model_step" => begins(&["clus_", "preds_", "bias_mean", "loss", "grad"]),
        "kmeans_" => tensor != "points",
        "bert" => true,
        other => panic!("{other}"),
    }
}

pub fn is_exact(found: &Stored) -> bool {
    found.dtype == Dtype::I64
}

/// Asserts equal types and shapes, and values equal up to `tolerance` times the largest expected one.
#[track_caller]
pub fn assert_close(what: &str, found: &Stored, expected: &Stored, tolerance: f64) {
    assert_eq!(found.dtype, expected.dtype, "{what}");
    assert_eq!(found.shape, expected.shape, "{what}");
    if is_exact(found) {
        assert_eq!(found.values, expected.values, "{what}");
        return;
    }
    assert!(found.values.iter().all(|value| value.is_finite()), "{what}");
    let largest = expected
        .values
        .iter()
        .fold(0.0_f64, |most, value| most.max(value.abs()));
    let pairs = found.values.iter().zip(&expected.values);
    let difference = pairs.fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    println!("{what}: {:e}", difference / largest.max(1e-12));
    assert!(
        difference <= tolerance * largest.max(1e-12),
        "{what}: off by {difference:e}, largest {largest:e}"
    );
}

/// The safetensors files of the golden folder whose name starts so.
pub fn files(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(golden()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let wanted = |name: &String| name.starts_with(prefix) && name.ends_with(".safetensors");
    let mut names: Vec<String> = names.filter(wanted).collect();
    names.sort();
    assert!(!names.is_empty(), "{prefix}");
    names
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Compares every result of a file with the golden one.
pub fn assert_golden(out: &Path, file: &str) {
    let (found, mut expected) = (read(&out.join(file)), read(&golden().join(file)));
    expected.retain(|name, _| is_result(file, name));
    let names = |tensors: &BTreeMap<String, Stored>| tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "{file}");
    for (name, expected) in &expected {
        let tolerance = if name.starts_with("grad") { 1e-3 } else { 1e-4 };
        assert_close(&format!("{file} {name}"), &found[name], expected, tolerance);
    }
}

/// Compares every figure of every case with the golden one.
pub fn assert_figures(out: &Path) {
    let found = json(&out.join("metrics.json"));
    let expected = json(&golden().join("metrics.json"));
    let (found, expected) = (found.as_array().unwrap(), expected.as_array().unwrap());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found["preds"], expected["preds"]);
        assert_eq!(found["truth"], expected["truth"]);
        let figures = expected["metrics"].as_object().unwrap();
        assert_eq!(found["metrics"].as_object().unwrap().len(), figures.len());
        for (name, expected) in figures {
            let value = found["metrics"][name].as_f64().unwrap();
            let tolerance = if ["mae", "corr"].contains(&name.as_str()) {
                1e-6
            } else {
                1e-12
            };
            let difference = (value - expected.as_f64().unwrap()).abs();
            assert!(difference <= tolerance, "{name}: {value} for {expected}");
        }
    }
}
