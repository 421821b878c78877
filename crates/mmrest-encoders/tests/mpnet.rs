//! MPNet: against plain loops, and against numbers measured with transformers on all-mpnet-base-v2.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use common::tiny::{self, MPNET_CONFIG, Naive, Rows, write_safetensors};
use common::{relative, values};
use mmrest_encoders::{Bert, BertConfig, PackedTokens, Pooling, Tokenizer};
use mmrest_testing::{Golden, golden};

/// The tiny MPNet's directory.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), MPNET_CONFIG).unwrap();
    let weights = dir.path().join("model.safetensors");
    write_safetensors(&weights, &tiny::mpnet_tensors());
    dir
}

/// Ten tokens: distances in buckets of their own, and beyond.
fn batch() -> PackedTokens {
    PackedTokens::from_sequences(&[
        vec![0u32, 5, 6, 7, 2],
        vec![0, 2],
        vec![0, 11, 3, 4, 5, 6, 8, 9, 10, 2],
    ])
}

/// States of the tiny MPNet after each layer, in plain loops: of each text.
fn naive() -> Vec<Vec<Rows>> {
    let naive = Naive::new(tiny::mpnet_tensors(), 2, tiny::gelu);
    let batch = batch();
    let texts = batch.offsets.windows(2);
    texts
        .map(|bounds| naive.states(&batch.ids[bounds[0]..bounds[1]]))
        .collect()
}

fn single(rows: impl IntoIterator<Item = Vec<f64>>) -> Vec<f32> {
    rows.into_iter().flatten().map(|v| v as f32).collect()
}

fn mean(rows: &Rows) -> Vec<f64> {
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
    let width = rows[0].len();
    (0..width)
        .map(|column| sum(column) / rows.len() as f64)
        .collect()
}

/// The tiny MPNet, whose texts are pooled so.
fn pooled(pooling: &str, device: &Device) -> Bert {
    let dir = directory();
    let mut config = BertConfig::from_dir(dir.path()).unwrap();
    config.pooling = pooling.parse().unwrap();
    Bert::load(&config, dir.path(), device).unwrap()
}

#[test]
fn a_small_mpnet_computes_what_plain_loops_do() {
    let dir = directory();
    let (mpnet, config) = Bert::load_dir(dir.path(), &Device::flex()).unwrap();
    assert_eq!((config.max_tokens(), mpnet.max_tokens()), (10, 10));
    let found = values(mpnet.forward(&batch()));
    let expected = naive().into_iter().flat_map(|states| states[2].clone());
    let error = relative(&found, &single(expected));
    assert!(error < 1e-5, "{error:e}");
    let too_long = PackedTokens::from_sequences(&[vec![0u32; 11]]);
    assert!(mpnet.check(&too_long).is_err());
}

#[test]
fn texts_are_pooled_as_asked_wherever_the_frozen_layers_end() {
    let batch = batch();
    let expected = |pooling: &str| {
        let of_text = |states: Vec<Rows>| {
            let part = |part: &str| match part {
                "first" => states[2][0].clone(),
                "mean" => mean(&states[2]),
                layer => mean(&states[layer[6..].parse::<usize>().unwrap()]),
            };
            pooling.split('+').flat_map(part).collect::<Vec<f64>>()
        };
        single(naive().into_iter().map(of_text))
    };
    for pooling in [
        "first",
        "mean",
        "mean+layer:1",
        "layer:0+first+layer:1",
        "layer:2",
        "layer:1+layer:0",
    ] {
        let bert = pooled(pooling, &Device::flex());
        let all = values(bert.pooled(&batch));
        let error = relative(&all, &expected(pooling));
        assert!(error < 1e-5, "{pooling}: {error:e}");
        for lower in 0..=2 {
            let (states, below) = bert.pooled_below(bert.embed(&batch), &batch.offsets, lower);
            let parts = bert.pooling().parts_below(lower, 2);
            assert_eq!(
                below.as_ref().map(|below| below.dims()[1]),
                (parts > 0).then_some(parts * 8)
            );
            let split = values(bert.pooled_from(states, &batch.offsets, lower, below));
            assert!(
                relative(&split, &all) < 1e-6,
                "{pooling} from layer {lower}"
            );
        }
    }
    assert!("mean+layer:3".parse::<Pooling>().unwrap().check(2).is_err());
}

/// The names of the parameters that have a gradient.
struct Reached<'a> {
    gradients: &'a burn::tensor::Gradients,
    path: Vec<String>,
    names: Vec<String>,
}

impl ModuleVisitor for Reached<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.grad(self.gradients).is_some() {
            self.names.push(self.path.join("."));
        }
    }
}

#[test]
fn the_shared_bias_learns_with_all_layers_and_stays_with_frozen_ones() {
    let device = Device::flex().autodiff();
    let (bert, batch) = (pooled("mean+layer:1", &device), batch());
    let reached = |output: Tensor<2>| {
        let gradients = output.powi_scalar(3).sum().backward();
        let mut reached = Reached {
            gradients: &gradients,
            path: Vec::new(),
            names: Vec::new(),
        };
        bert.visit(&mut reached);
        reached.names
    };
    let all = reached(bert.pooled(&batch));
    assert!(all.iter().any(|name| name == "relative.table"), "{all:?}");
    let fixed = bert.valid();
    let (states, below) = fixed.pooled_below(fixed.embed(&batch), &batch.offsets, 1);
    assert!(
        below.is_none(),
        "the states after layer 1 are there themselves"
    );
    let top = reached(bert.pooled_from(Tensor::from_inner(states), &batch.offsets, 1, None));
    assert!(
        !top.is_empty() && top.iter().all(|name| name.starts_with("layers.1.")),
        "{top:?}"
    );
}

/// The directory of all-mpnet-base-v2, if it is here.
fn mpnet_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("MMREST_MPNET").map_or_else(
        || mmrest_testing::workspace().join("data/bert/mpnet"),
        PathBuf::from,
    );
    let found = dir.join("model.safetensors").is_file();
    if !found {
        println!(
            "skipped: no all-mpnet-base-v2 at {} (set MMREST_MPNET)",
            dir.display()
        );
    }
    found.then_some(dir)
}

/// The sentences that were measured.
fn sentences() -> Vec<String> {
    let bytes = fs::read(golden("mpnet/states.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let about = header.metadata().as_ref().unwrap();
    serde_json::from_str(&about["texts"]).unwrap()
}

fn packed_as_measured(dir: &Path) -> PackedTokens {
    let tokenizer = Tokenizer::from_dir(dir).unwrap();
    PackedTokens::from_sequences(&tokenizer.encode_all(&sentences(), 50))
}

#[test]
fn the_published_mpnet_gives_the_states_that_transformers_gives() {
    let Some(dir) = mpnet_dir() else { return };
    let expected = Golden::open("mpnet/states.safetensors");
    let batch = packed_as_measured(&dir);
    let ids: Vec<usize> = batch.ids.iter().map(|&id| id as usize).collect();
    assert_eq!(ids, expected.indices("ids"));
    assert_eq!(batch.offsets, expected.indices("offsets"));
    let (mpnet, config) = Bert::load_dir(&dir, &Device::flex()).unwrap();
    assert_eq!((config.num_hidden_layers, config.max_tokens()), (12, 512));
    mpnet.check(&batch).unwrap();
    let first = mpnet.embed(&batch);
    let middle = mpnet.layers(first.clone(), &batch.offsets, 0..6);
    let last = mpnet.layers(middle.clone(), &batch.offsets, 6..12);
    for (name, states) in [
        ("hidden_first", first),
        ("hidden_mid", middle),
        ("hidden_last", last),
    ] {
        let error = relative(&values(states), &expected.f32s(name));
        println!("{name}: relative difference {error:e}");
        assert!(error < 1e-5, "{name} {error:e}");
    }
}

#[test]
fn the_published_tokenizer_is_the_same_from_any_of_its_files() {
    let Some(dir) = mpnet_dir() else { return };
    let whole = packed_as_measured(&dir);
    for names in [
        &["vocab.txt", "config.json"][..],
        &["tokenizer.json", "config.json"],
    ] {
        let few = tempfile::tempdir().unwrap();
        for name in names {
            fs::copy(dir.join(name), few.path().join(name)).unwrap();
        }
        assert_eq!(packed_as_measured(few.path()), whole, "{names:?}");
    }
    let tokenizer = Tokenizer::from_dir(&dir).unwrap();
    let ids = tokenizer.encode("a <mask> [CLS]", 20);
    // [CLS] is a special token of BERT's, not of MPNet's: four pieces here.
    assert_eq!((ids[0], ids[1], ids[2], ids.len()), (0, 1041, 30_526, 8));
}
