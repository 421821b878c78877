//! `export --onnx`: onnxruntime computes what `predict` does.

use std::path::Path;

use burn::tensor::{Device, TensorData};
use mmrest_encoders::{BertConfig, PackedTokens, Tokenizer};
use mmrest_models::ModelConfig;
use mmrest_onnx::{Dim, Element, Graph};
use serde_json::{Value, json};

use crate::common::{Fixture, fail_with, stdout, succeed_with};
use crate::python::{has, script};

/// Of outputs, as the issue of exporting is judged.
const TOLERANCE: f64 = 1e-4;

/// Segments of different lengths; some lack a modality.
fn segments(vision: usize, audio: usize) -> Vec<Value> {
    let frames = |count: usize, width: usize, salt: usize| -> Vec<Vec<f64>> {
        let value = |row: usize, column: usize| ((row * 31 + column * 7 + salt) as f64).sin();
        (0..count)
            .map(|row| (0..width).map(|column| value(row, column)).collect())
            .collect()
    };
    let texts = [
        "a wonderful film",
        "the plot was awful and the music far too loud for me",
        "",
        "fine",
    ];
    let counts = [(3, 7), (11, 1), (5, 0), (0, 4)];
    texts
        .iter()
        .zip(counts)
        .enumerate()
        .map(|(at, (text, (of_vision, of_audio)))| {
            json!({
                "id": format!("segment {at} ü"),
                "text": text,
                "vision": frames(of_vision, vision, at),
                "audio": frames(of_audio, audio, at + 50),
            })
        })
        .collect()
}

/// Trains, exports, predicts, and gives the largest difference.
fn difference(fixture: &Fixture, out: &str, set: &[&str]) -> f64 {
    let set = set.iter().flat_map(|set| ["--set", set]);
    let train: Vec<&str> = ["--quiet", "--epochs", "2"]
        .into_iter()
        .chain(set)
        .collect();
    succeed_with(&mut fixture.train(out, &train));
    let run = fixture.arg(out);
    let [model, lines, inputs, arrays] = ["model.onnx", "lines.jsonl", "inputs.json", "arrays.npz"]
        .map(|name| fixture.arg(&format!("{out}/{name}")));
    let told = succeed_with(fixture.program().args(["export", &run, "--onnx", &model]));
    assert_eq!(stdout(&told).trim(), model);

    let features = fixture.json(&format!("{out}/model/features.json"));
    let width = |modality: &str| features["widths"][modality].as_u64().unwrap() as usize;
    let mut segments = segments(width("vision"), width("audio"));
    let text: String = segments.iter().map(|of| format!("{of}\n")).collect();
    std::fs::write(&lines, text).unwrap();
    let predict = ["predict", &run, "--input", &lines, "--embeddings", &arrays];
    succeed_with(fixture.program().args(predict));

    let folder = fixture.path(&format!("{out}/model/bert"));
    if folder.exists() {
        let tokenizer = Tokenizer::from_dir(&folder).unwrap();
        for segment in &mut segments {
            let ids = tokenizer.encode(segment["text"].as_str().unwrap(), 50);
            segment["ids"] = json!(ids);
        }
    }
    std::fs::write(&inputs, serde_json::to_vec(&segments).unwrap()).unwrap();
    let compare = include_str!("compare.py");
    let printed = script(Path::new("."), compare, &[&model, &inputs, &arrays]);
    printed.trim().parse().unwrap()
}

#[test]
fn onnxruntime_computes_what_predict_does() {
    if !has(&["onnxruntime", "numpy"], "ONNX graphs of models") {
        return;
    }
    let fixture = Fixture::small();
    for (out, set) in [
        ("paper", &["text.pooling=mean+layer:1"][..]),
        ("kernel", &["preset=kernel"]),
        (
            "gated",
            &[
                "preset=kernel",
                "model.mmrest.fusion=gated",
                "model.mmrest.projection.centers=0.3",
            ],
        ),
        ("ordinal", &["preset=ordinal"]),
        (
            "signed",
            &[
                "model.mmrest.projection.kind=length",
                "model.mmrest.projection.signed=true",
                "data.modalities=[\"text\",\"audio\"]",
            ],
        ),
        ("no-text", &["data.modalities=[\"vision\",\"audio\"]"]),
        ("no-bias", &["model.mmrest.bias=false", "text.freeze=true"]),
        ("self-mm", &["model.name=self-mm"]),
        (
            "self-mm-text",
            &["model.name=self-mm", "data.modalities=[\"text\"]"],
        ),
    ] {
        let largest = difference(&fixture, out, set);
        eprintln!("{out}: {largest}");
        assert!(largest < TOLERANCE, "{out}: {largest}");
    }
}

#[test]
fn a_model_without_a_graph_is_refused_with_the_names_of_those_that_have_one() {
    let fixture = Fixture::small();
    let train = ["--quiet", "--epochs", "1", "--set", "model.name=tfn"];
    succeed_with(&mut fixture.train("run", &train));
    let (run, file) = (fixture.arg("run"), fixture.arg("m.onnx"));
    let told = fail_with(fixture.program().args(["export", &run, "--onnx", &file]));
    assert_eq!(
        told,
        "error: tfn has no ONNX graph; these models have one: mmrest, self-mm"
    );
    assert_eq!(ModelConfig::with_graph(), ["mmrest", "self-mm"]);
    assert!(!Path::new(&file).exists());
}

/// BERT and MPNet with every pooling, on random weights that are large enough for mistakes to show.
#[test]
fn onnxruntime_computes_the_states_of_text_encoders() {
    if !has(&["onnxruntime", "numpy"], "ONNX graphs of text encoders") {
        return;
    }
    let device = Device::flex();
    device.seed(3);
    let folder = tempfile::tempdir().unwrap();
    let mut base = BertConfig::small(40, 24, 3, 4, 48);
    base.initializer_range = 0.3;
    base.max_position_embeddings = 200;
    let texts: [&[u32]; 4] = [
        &[2, 9, 14, 3],
        &[2, 3],
        &[2, 5, 6, 7, 8, 39, 11, 3],
        &[2; 170],
    ];
    let batch = PackedTokens::from_sequences(&texts);
    for config in [base.clone(), base.as_mpnet()] {
        for (act, pooling) in [
            ("gelu", "first"),
            ("gelu_new", "mean"),
            ("relu", "first+mean+layer:0+layer:2"),
        ] {
            let mut config = config.clone();
            config.hidden_act = act.into();
            config.pooling = pooling.parse().unwrap();
            let bert = config.init(&device);
            let expected: TensorData = bert.pooled(&batch).into_data();
            let expected: Vec<f32> = expected.try_to_vec().unwrap();

            let mut graph = Graph::new("bert");
            let shape = [Dim::Named("batch"), Dim::Named("tokens")];
            let ids = graph.input("ids", Element::Int64, &shape);
            let mask = graph.input("mask", Element::Int64, &shape);
            let pooled = bert.graph(&mut graph, &ids, &mask).unwrap();
            let shape = [Dim::Named("batch"), Dim::Fixed(config.text_width())];
            graph.output("pooled", &pooled, Element::Float, &shape);
            let file = folder.path().join("bert.onnx");
            std::fs::write(&file, graph.encode().unwrap()).unwrap();

            let run = "import json, sys, numpy as np, onnxruntime\n\
                texts, expected = json.loads(sys.stdin.read())\n\
                longest = max(map(len, texts))\n\
                ids = np.array([t + [0] * (longest - len(t)) for t in texts], dtype=np.int64)\n\
                mask = np.array([[1] * len(t) + [0] * (longest - len(t)) for t in texts], dtype=np.int64)\n\
                session = onnxruntime.InferenceSession('bert.onnx')\n\
                (pooled,) = session.run(None, {'ids': ids, 'mask': mask})\n\
                print(float(np.abs(pooled - np.array(expected).reshape(pooled.shape)).max()))\n";
            let input = serde_json::to_string(&(texts, expected)).unwrap();
            let run = run.replace(
                "json.loads(sys.stdin.read())",
                "json.load(open('texts.json'))",
            );
            std::fs::write(folder.path().join("texts.json"), input).unwrap();
            let largest: f64 = script(folder.path(), &run, &[]).trim().parse().unwrap();
            let name = &config.model_type;
            assert!(largest < TOLERANCE, "{name}, {pooling}, {act}: {largest}");
        }
    }
}
