//! Small valid configurations, encoders and runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::train::Interrupter;
use mmrest_datatools::sample::{self, SampleConfig};
use mmrest_learner::config::parse_override;
use mmrest_learner::run::{RunFolder, RunOptions, train};
use mmrest_learner::train::Silent;
use mmrest_learner::{Backend, Config};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nwell\n##made\nfilm\n漢\n";

/// Configurations: each preset, and all keys written out.
#[must_use]
pub fn config() -> Vec<Vec<u8>> {
    let whole = Config::default().to_toml().expect("a configuration");
    let sample = include_str!("../../../../configs/sample.toml");
    let ordinal = "preset = \"ordinal\" # comment\nseed = 7\n[data]\nmodalities = [\"text\", \"audio\"]\n\
                   dir = 'a\\b'\n[text]\nmax_tokens = 50\n[model.mmrest.clusters]\ntemperature = 1.5e-1\n";
    let official = "preset = \"official\"\n[train]\nepochs = 3\n[bins]\nedges = [-0.5, 0.5]\n\
                    labels = [-1, 0, 1]\n[data]\nlabel_range = [-1.0, 1.0]\n\
                    columns = { video = \"v\", clip = \"c\" }\n";
    [&whole, sample, ordinal, official]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

/// What `predict` takes: a segment a line.
#[must_use]
pub fn lines() -> Vec<Vec<u8>> {
    [
        r#"{"id": "a", "text": "a well made film", "vision": [[0.5, -1.0e0], [1, 2]], "audio": [[0.25, 1.0, -3]]}"#,
        r#"{"text": "plain"}"#,
        r#"{"id": null, "text": "\u00e9\n", "audio": [], "vision": null}"#,
    ]
    .map(|line| line.as_bytes().to_vec())
    .into()
}

/// Writes a BERT directory of a few hundred numbers.
///
/// # Panics
///
/// Where the folder cannot be written.
pub fn bert(folder: &Path) {
    let (hidden, wide, vocabulary) = (4, 6, VOCABULARY.lines().count());
    let config = json!({
        "model_type": "bert", "vocab_size": vocabulary, "hidden_size": hidden,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": wide,
        "hidden_act": "gelu", "max_position_embeddings": 8, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1,
    });
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    for (table, rows) in [("word", vocabulary), ("position", 8), ("token_type", 2)] {
        let name = format!("embeddings.{table}_embeddings.weight");
        shapes.push((name, vec![rows, hidden]));
    }
    let mut both = |name: &str, weight: &[usize]| {
        shapes.push((format!("{name}.weight"), weight.to_vec()));
        shapes.push((format!("{name}.bias"), weight[..1].to_vec()));
    };
    both("embeddings.LayerNorm", &[hidden]);
    for part in ["self.query", "self.key", "self.value", "output.dense"] {
        both(
            &format!("encoder.layer.0.attention.{part}"),
            &[hidden, hidden],
        );
    }
    both("encoder.layer.0.attention.output.LayerNorm", &[hidden]);
    both("encoder.layer.0.intermediate.dense", &[wide, hidden]);
    both("encoder.layer.0.output.dense", &[hidden, wide]);
    both("encoder.layer.0.output.LayerNorm", &[hidden]);
    let values: Vec<Vec<u8>> = shapes
        .iter()
        .map(|(_, shape)| {
            let count = shape.iter().product::<usize>();
            let values = (0..count).map(|at| at as f32 / count as f32 - 0.5);
            values.flat_map(f32::to_le_bytes).collect()
        })
        .collect();
    let views = shapes.iter().zip(&values).map(|((name, shape), values)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), values);
        (name.clone(), view.expect("a tensor"))
    });
    let weights = safetensors::serialize(views, None).expect("weights");
    std::fs::create_dir_all(folder).expect("a folder");
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("a file");
    write("config.json", config.to_string().as_bytes());
    write("vocab.txt", VOCABULARY.as_bytes());
    write(
        "tokenizer_config.json",
        br#"{"do_lower_case": true, "strip_accents": null}"#,
    );
    write("model.safetensors", &weights);
}

/// Writes a BERT directory whose weights PyTorch wrote: made-up numbers, by
/// `crates/mmrest-encoders/tests/fixtures/make_tiny_bert.py`.
///
/// # Panics
///
/// Where the folder cannot be written.
pub fn pytorch(folder: &Path) {
    let config = json!({
        "model_type": "bert", "vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 10,
    });
    let made = "../../crates/mmrest-encoders/tests/fixtures/tiny-bert/pytorch_model.bin";
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join(made);
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::copy(made, folder.join("pytorch_model.bin")).expect("a file");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("config.json", &config.to_string());
    write("vocab.txt", VOCABULARY);
}

/// A run of one epoch of a model of some hundred numbers.
#[derive(Debug)]
pub struct Run {
    folder: RunFolder,
}

impl Run {
    /// Trains it, below `scratch`, by preset `paper` or `kernel`.
    ///
    /// # Panics
    ///
    /// When the run fails.
    #[must_use]
    pub fn train(scratch: &Path, preset: &str) -> Self {
        drop(std::fs::remove_dir_all(scratch));
        let size = SampleConfig {
            videos: 3,
            segments_per_video: 2,
            ..SampleConfig::default()
        };
        sample::write(&size, &scratch.join("data/sample")).expect("a sample");
        bert(&scratch.join("data/sample/bert"));
        let preset = format!("preset={preset}");
        let clusters = (preset == "preset=paper").then_some("model.mmrest.clusters.clusters=2");
        let set = [
            &*preset,
            "train.epochs=1",
            "train.batch_size=4",
            "model.mmrest.representation=4",
            "model.mmrest.channels=2",
            "model.mmrest.joint=3",
            "model.mmrest.hidden=4",
            "text.max_tokens=8",
            "data.max_frames=4",
            "report.geometry=false",
        ];
        let set = set.into_iter().chain(clusters);
        let set: Vec<_> = set.map(|key| parse_override(key).expect("a key")).collect();
        let text = include_str!("../../../../configs/sample.toml");
        let config = Config::parse(text, &set).expect("a configuration");
        let folder = RunFolder::new(scratch.join("run"));
        let options = RunOptions {
            folder: folder.clone(),
            resume: false,
            backend: Backend::Cpu,
            devices: vec![0],
            root: scratch.to_path_buf(),
            init: None,
            observer: Arc::new(Silent),
            interrupter: Interrupter::new(),
        };
        train(&config, &options).expect("a run");
        Self { folder }
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }
}
