//! Every variant of a Hugging Face BERT directory gives the same model, and what is wrong with one is named.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use common::tiny::{self, CONFIG, Naive, write_safetensors};
use common::{relative, values};
use mmrest_encoders::{Bert, PackedTokens, has_weights, weights_files};

type Function = fn(f64) -> f64;
type Named = (String, Vec<usize>, Vec<f32>);

fn batch() -> PackedTokens {
    PackedTokens::from_sequences(&[
        vec![2u32, 5, 6, 7, 3],
        vec![2, 3],
        vec![2, 11, 0, 1, 1, 4, 8, 9, 10, 3],
    ])
}

fn load(dir: &Path) -> Result<Bert, String> {
    Bert::load_dir(dir, &Device::flex())
        .map(|(bert, _)| bert)
        .map_err(|error| error.to_string())
}

/// The model of a directory has to be the tiny one.
fn assert_tiny(dir: &Path) {
    let bert = load(dir).unwrap();
    let naive = Naive::new(tiny::tensors(), 2, tiny::gelu);
    let batch = batch();
    let rows = batch
        .offsets
        .windows(2)
        .flat_map(|bounds| naive.forward(&batch.ids[bounds[0]..bounds[1]]));
    let expected: Vec<f32> = rows.flatten().map(|v| v as f32).collect();
    let error = relative(&values(bert.forward(&batch)), &expected);
    assert!(error < 1e-5, "{}: {error:e}", dir.display());
}

/// How far a directory's model is from the naive one on one sequence, relative to the largest value.
fn error_against(naive: &Naive, dir: &Path) -> f64 {
    let expected: Vec<f32> = naive
        .forward(&[2, 5, 3])
        .into_iter()
        .flatten()
        .map(|v| v as f32)
        .collect();
    let found = load(dir)
        .unwrap()
        .forward(&PackedTokens::from_sequences(&[[2, 5, 3]]));
    relative(&values(found), &expected)
}

fn directory(tensors: &[Named]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), CONFIG).unwrap();
    write_safetensors(&dir.path().join("model.safetensors"), tensors);
    dir
}

fn renamed(rename: impl Fn(&str) -> String) -> Vec<Named> {
    tiny::tensors()
        .into_iter()
        .map(|(name, shape, values)| (rename(&name), shape, values))
        .collect()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
        .join("pytorch_model.bin")
}

#[test]
fn safetensors_with_and_without_prefix() {
    assert_tiny(directory(&tiny::tensors()).path());
    assert_tiny(directory(&renamed(|name| format!("bert.{name}"))).path());
}

#[test]
fn gamma_and_beta_of_old_checkpoints() {
    let old = |name: &str| match name.split_once("LayerNorm.") {
        Some((at, "weight")) => format!("bert.{at}LayerNorm.gamma"),
        Some((at, _)) => format!("bert.{at}LayerNorm.beta"),
        None => format!("bert.{name}"),
    };
    assert_tiny(directory(&renamed(old)).path());
}

#[test]
fn poolers_and_heads_are_ignored() {
    let mut tensors = tiny::tensors();
    tensors.push(("pooler.dense.weight".into(), vec![8, 8], vec![0.0; 64]));
    tensors.push((
        "cls.predictions.decoder.weight".into(),
        vec![12, 8],
        vec![0.0; 96],
    ));
    tensors.push(("embeddings.position_ids".into(), vec![1, 10], vec![0.0; 10]));
    assert_tiny(directory(&tensors).path());
}

#[test]
fn pytorch_files_new_and_old() {
    for name in ["tiny-bert", "tiny-bert-legacy"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), CONFIG).unwrap();
        fs::copy(fixture(name), dir.path().join("pytorch_model.bin")).unwrap();
        assert_tiny(dir.path());
    }
}

/// Writes the tiny BERT in two files and the index that names them.
fn sharded() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), CONFIG).unwrap();
    let tensors = tiny::tensors();
    let (first, second) = tensors.split_at(7);
    let mut map = serde_json::Map::new();
    for (name, shard) in [
        ("model-00001-of-00002.safetensors", first),
        ("model-00002-of-00002.safetensors", second),
    ] {
        write_safetensors(&dir.path().join(name), shard);
        map.extend(
            shard
                .iter()
                .map(|(tensor, ..)| (tensor.clone(), name.into())),
        );
    }
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(
        dir.path().join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
    dir
}

#[test]
fn weights_in_shards_are_one_model() {
    let dir = sharded();
    assert!(has_weights(dir.path()));
    assert_eq!(weights_files(dir.path()).unwrap().len(), 2);
    assert_tiny(dir.path());

    fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    let message = load(dir.path()).unwrap_err();
    assert!(
        message.contains("model-00002-of-00002.safetensors: no such file")
            && message.contains("index.json names it"),
        "{message}"
    );
    let index = dir.path().join("model.safetensors.index.json");
    for (text, word) in [
        (
            r#"{"weight_map": {"a": "../b.safetensors"}}"#,
            "no file of this directory",
        ),
        (r#"{"weight_map": {}}"#, "names no file"),
        ("{}", "weight_map"),
    ] {
        fs::write(&index, text).unwrap();
        let message = load(dir.path()).unwrap_err();
        assert!(
            message.contains("index.json") && message.contains(word),
            "{message}"
        );
    }
}

#[test]
fn values_that_no_weight_has_are_refused_with_the_tensors_name() {
    for value in [f32::NAN, f32::INFINITY, -1e38] {
        let mut tensors = tiny::tensors();
        let name = "encoder.layer.0.attention.self.query.weight";
        let place = tensors.iter().position(|(of, ..)| of == name).unwrap();
        tensors[place].2[5] = value;
        let message = load(directory(&tensors).path()).unwrap_err();
        assert!(
            message.contains(&format!("model.safetensors: tensor `{name}`"))
                && message.contains("(1 of 64)"),
            "{message}"
        );
    }
}

#[test]
fn git_lfs_pointers_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 90868376\n";
    for name in ["model.safetensors", "pytorch_model.bin", "config.json"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), CONFIG).unwrap();
        fs::write(dir.path().join(name), pointer).unwrap();
        let message = load(dir.path()).unwrap_err();
        assert!(
            message.contains(&format!("{name}: is a Git LFS pointer"))
                && message.contains("git lfs pull"),
            "{message}"
        );
    }
}

#[test]
fn another_model_is_refused_with_the_list_of_what_is_read() {
    let dir = directory(&tiny::tensors());
    let config = CONFIG.replace("\"bert\"", "\"distilbert\"");
    fs::write(dir.path().join("config.json"), config).unwrap();
    let message = load(dir.path()).unwrap_err();
    assert!(
        message.contains("\"distilbert\"") && message.contains("\"bert\" or \"mpnet\""),
        "{message}"
    );
}

#[test]
fn half_precision_is_widened() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), CONFIG).unwrap();
    let tensors = tiny::tensors();
    // bfloat16 is the upper half of an f32.
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| {
            values
                .iter()
                .flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.clone(), bytes)
                .unwrap();
        (name.clone(), view)
    });
    fs::write(
        dir.path().join("model.safetensors"),
        safetensors::serialize(views, None).unwrap(),
    )
    .unwrap();

    let cut = tiny::tensors().into_iter().map(|(name, shape, values)| {
        (
            name,
            shape,
            values
                .into_iter()
                .map(|v| f32::from_bits(v.to_bits() & 0xFFFF_0000))
                .collect(),
        )
    });
    let naive = Naive::new(cut.collect(), 2, tiny::gelu);
    assert!(error_against(&naive, dir.path()) < 1e-5);
}

#[test]
fn activations_are_those_the_config_names() {
    let expect = [
        ("gelu_new", tiny::gelu_tanh as Function),
        ("gelu_pytorch_tanh", tiny::gelu_tanh),
        ("relu", tiny::relu),
    ];
    for (name, activation) in expect {
        let dir = directory(&tiny::tensors());
        let config = CONFIG.replace("\"gelu\"", &format!("\"{name}\""));
        fs::write(dir.path().join("config.json"), config).unwrap();
        let naive = Naive::new(tiny::tensors(), 2, activation);
        let error = error_against(&naive, dir.path());
        assert!(error < 1e-5, "{name} {error:e}");
    }
}

#[test]
fn every_missing_tensor_is_named_at_once() {
    let mut tensors = tiny::tensors();
    tensors.retain(|(name, ..)| {
        !name.contains("layer.1.attention.self.key") && !name.contains("word_embeddings")
    });
    let message = load(directory(&tensors).path()).unwrap_err();
    for word in [
        "model.safetensors",
        "3 tensors",
        "encoder.layer.1.attention.self.key.weight",
        "encoder.layer.1.attention.self.key.bias",
        "embeddings.word_embeddings.weight",
    ] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_shape_that_is_not_the_configs_is_named() {
    let dir = directory(&tiny::tensors());
    fs::write(
        dir.path().join("config.json"),
        CONFIG.replace("\"vocab_size\": 12", "\"vocab_size\": 13"),
    )
    .unwrap();
    let message = load(dir.path()).unwrap_err();
    assert!(
        message.contains("word_embeddings")
            && message.contains("[12, 8]")
            && message.contains("[13, 8]"),
        "{message}"
    );
}

#[test]
fn numbers_that_are_not_floats_are_refused() {
    let tensors = tiny::tensors();
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let dtype = if name.contains("word") {
            safetensors::Dtype::I32
        } else {
            safetensors::Dtype::F32
        };
        (
            name.clone(),
            safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap(),
        )
    });
    let dir = directory(&[]);
    fs::write(
        dir.path().join("model.safetensors"),
        safetensors::serialize(views, None).unwrap(),
    )
    .unwrap();
    let message = load(dir.path()).unwrap_err();
    assert!(
        message.contains("word_embeddings") && message.contains("I32"),
        "{message}"
    );
}

#[test]
fn damaged_files_are_errors() {
    let whole = directory(&tiny::tensors());
    let safetensors = fs::read(whole.path().join("model.safetensors")).unwrap();
    let zipped = fs::read(fixture("tiny-bert")).unwrap();
    let legacy = fs::read(fixture("tiny-bert-legacy")).unwrap();
    for (name, bytes) in [
        ("model.safetensors", safetensors),
        ("pytorch_model.bin", zipped),
        ("pytorch_model.bin", legacy),
    ] {
        for keep in [0, 1, 9, 100, bytes.len() / 2, bytes.len() - 5] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("config.json"), CONFIG).unwrap();
            fs::write(dir.path().join(name), &bytes[..keep]).unwrap();
            let message = load(dir.path()).map(|_| ()).unwrap_err();
            assert!(message.contains(name), "{keep} bytes: {message}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), CONFIG).unwrap();
        fs::write(dir.path().join(name), "<html>404 not found</html>").unwrap();
        assert!(load(dir.path()).is_err());
    }
}

#[test]
fn a_directory_without_weights_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let message = load(dir.path()).unwrap_err();
    assert!(message.contains("config.json"), "{message}");
    fs::write(dir.path().join("config.json"), CONFIG).unwrap();
    assert!(!has_weights(dir.path()));
    let message = load(dir.path()).unwrap_err();
    assert!(
        message.contains("model.safetensors") && message.contains("pytorch_model.bin"),
        "{message}"
    );
    write_safetensors(&dir.path().join("model.safetensors"), &tiny::tensors());
    assert!(has_weights(dir.path()));
}
