//! `mmrest data inspect` and `mmrest data verify` as their users start them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mmrest"))
        .current_dir(workspace())
        .stdin(Stdio::null())
        .args(arguments)
        .output()
        .unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The folder of the sample, written anew.
fn sample() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("sample");
    let data = data.to_str().unwrap().to_owned();
    succeed(&["data", "sample", "--out", &data]);
    (folder, data)
}

/// The section that the inspector writes loads the data it was written for.
#[test]
fn the_configuration_it_writes_trains() {
    let (folder, data) = sample();
    let text = succeed(&["data", "inspect", &data]);
    let config = text
        .split("# a configuration that trains on these files:\n")
        .nth(1)
        .unwrap();
    let config = config.split("\n\n").next().unwrap();
    let parsed: toml::Table = toml::from_str(config).unwrap();
    let section = parsed["data"].clone();
    let section: mmrest_data::DataConfig = section.try_into().unwrap();
    let loaded = mmrest_data::load(&section, folder.path()).unwrap();
    assert_eq!(loaded.segments().count(), 600);
    assert!(text.contains("1 label outside -3 to 3"), "{text}");
    assert!(text.contains("marked ! above"), "{text}");
}

#[test]
fn everything_is_in_the_json_and_the_picture() {
    let (folder, data) = sample();
    let svg = folder.path().join("picture.svg");
    let printed = succeed(&[
        "data",
        "inspect",
        &data,
        "--json",
        "--plot",
        svg.to_str().unwrap(),
    ]);
    let all: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let files = all["files"].as_array().unwrap();
    assert_eq!(files.len(), 6);
    let labels = files.iter().find(|f| f["usable"]["role"] == "labels");
    assert_eq!(labels.unwrap()["labels"]["count"], 600);
    assert_eq!(all["together"]["in_all"], 60);
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg"));

    let five = succeed(&["data", "inspect", &data, "--label-range", "-1,1"]);
    assert!(five.contains("(-0.1, 0.1]") && five.contains("label_range = [-1.0, 1.0]"));
    assert_eq!(
        run(&["data", "inspect", &data, "--label-range", "0,5"])
            .status
            .code(),
        Some(2)
    );
    let nowhere = run(&["data", "inspect", &format!("{data}/nowhere")]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("nowhere"));
}

#[test]
fn what_is_not_as_known_is_exit_code_1() {
    let (_folder, data) = sample();
    let output = run(&["data", "verify", "mosi", &data]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("differs            label sequence"), "{text}");
    let output = run(&["data", "verify", "imdb", &data]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mosei-mmsa"));

    let real = workspace().join("../shared/data/mosi");
    if !real.is_dir() {
        println!("skipped: no {}", real.display());
        return;
    }
    let text = succeed(&[
        "data",
        "verify",
        "mosi-words",
        real.to_str().unwrap(),
        "--json",
    ]);
    let checks: serde_json::Value = serde_json::from_str(&text).unwrap();
    let checks = checks["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["outcome"] != "differs"));
}

#[test]
fn what_cannot_be_looked_at_is_one_sentence() {
    let (folder, data) = sample();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::create_dir(path("other")).unwrap();
    std::fs::write(path("other/notes.bin"), "hello").unwrap();
    let labels = format!("{data}/SAMPLE_Labels.csd");
    for (arguments, said) in [
        (vec![labels.clone(), labels.clone()], "is given twice"),
        (vec![data, labels], "is given twice"),
        (vec![path("empty")], "there is no file in this folder"),
        (
            vec![path("other")],
            "no file in this folder is of a kind that this program reads: notes.bin",
        ),
        (
            vec![path("nowhere")],
            "nowhere: there is no such file or folder",
        ),
    ] {
        let all = ["data", "inspect"].into_iter();
        let all: Vec<&str> = all.chain(arguments.iter().map(String::as_str)).collect();
        let output = run(&all);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains(said), "{errors}");
        assert!(output.stdout.is_empty());
    }
}

/// A safetensors file of zeros, but for one value of one tensor.
fn weights(path: &Path, tensors: &[(String, Vec<usize>)], odd: Option<(&str, f32)>) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        let mut values = vec![0.0_f32; shape.iter().product()];
        if let Some((_, value)) = odd.filter(|(of, _)| of == name) {
            values[1] = value;
        }
        data.extend(values.into_iter().flat_map(f32::to_le_bytes));
        let about = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), about);
    }
    let header = serde_json::Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length[..], header.as_bytes(), &data].concat()).unwrap();
}

/// The tensors of a BERT of one layer, 12 tokens, 8 positions and 4 numbers a state.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    for (table, rows) in [("word", 12), ("position", 8), ("token_type", 2)] {
        tensors.push((
            format!("embeddings.{table}_embeddings.weight"),
            vec![rows, 4],
        ));
    }
    let layer = "encoder.layer.0";
    for (name, shape) in [
        ("embeddings.LayerNorm".to_owned(), vec![4]),
        (format!("{layer}.attention.self.query"), vec![4, 4]),
        (format!("{layer}.attention.self.key"), vec![4, 4]),
        (format!("{layer}.attention.self.value"), vec![4, 4]),
        (format!("{layer}.attention.output.dense"), vec![4, 4]),
        (format!("{layer}.attention.output.LayerNorm"), vec![4]),
        (format!("{layer}.intermediate.dense"), vec![6, 4]),
        (format!("{layer}.output.dense"), vec![4, 6]),
        (format!("{layer}.output.LayerNorm"), vec![4]),
    ] {
        tensors.push((format!("{name}.bias"), shape[..1].to_vec()));
        tensors.push((format!("{name}.weight"), shape));
    }
    tensors
}

const BERT: &str = r#"{"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 6, "max_position_embeddings": 8, "vocab_size": 12}"#;

/// What the inspector says of a text encoder is what training does with it, whatever Hugging Face's tools have written.
#[test]
fn a_text_encoder_is_judged_by_its_loader() {
    let vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"];
    let ids: serde_json::Map<_, _> = vocab
        .iter()
        .zip(0..)
        .map(|(t, id)| ((*t).into(), id.into()))
        .collect();
    let fast = serde_json::json!({"model": {"type": "WordPiece", "vocab": ids}}).to_string();
    let query = "encoder.layer.0.attention.self.query.weight";
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n";
    let whole = |folder: &Path| weights(&folder.join("model.safetensors"), &tensors(), None);
    let shards = |folder: &Path| {
        let tensors = tensors();
        let (first, second) = tensors.split_at(9);
        let mut map = serde_json::Map::new();
        for (name, part) in [("a.safetensors", first), ("b.safetensors", second)] {
            weights(&folder.join(name), part, None);
            map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), name.into())));
        }
        let index = serde_json::json!({ "weight_map": map }).to_string();
        std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    };
    let broken = |value: f32| {
        move |folder: &Path| {
            weights(
                &folder.join("model.safetensors"),
                &tensors(),
                Some((query, value)),
            )
        }
    };
    let lfs = |folder: &Path| std::fs::write(folder.join("model.safetensors"), pointer).unwrap();
    let distil = BERT.replace("\"bert\"", "\"distilbert\"");
    type Write<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, &str, Write<'_>, bool, &[&str]); 7] = [
        (
            BERT,
            "vocab.txt",
            &whole,
            true,
            &["a BERT with weights (model.safetensors)"],
        ),
        (
            BERT,
            "vocab.txt",
            &shards,
            true,
            &["a BERT with weights in 2 files"],
        ),
        (
            BERT,
            "tokenizer.json",
            &whole,
            true,
            &["tokenizer.json", "a BERT with weights"],
        ),
        (
            &distil,
            "vocab.txt",
            &whole,
            false,
            &["\"distilbert\"", "\"bert\" and \"mpnet\" can be read"],
        ),
        (
            BERT,
            "vocab.txt",
            &broken(f32::NAN),
            false,
            &["model.safetensors", query, "NaN"],
        ),
        (
            BERT,
            "vocab.txt",
            &broken(f32::INFINITY),
            false,
            &[query, "NaN"],
        ),
        (
            BERT,
            "vocab.txt",
            &lfs,
            false,
            &["a Git LFS pointer", "git lfs pull"],
        ),
    ];
    for (config, vocabulary, write, good, said) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let text = if vocabulary == "vocab.txt" {
            vocab.join("\n")
        } else {
            fast.clone()
        };
        std::fs::write(folder.path().join(vocabulary), text).unwrap();
        write(folder.path());
        let text = succeed(&["data", "inspect", folder.path().to_str().unwrap()]);
        assert!(said.iter().all(|said| text.contains(said)), "{text}");
        assert_eq!(text.contains("no problems"), good, "{text}");
        assert_eq!(text.contains("  used as "), good, "{text}");
    }
}
