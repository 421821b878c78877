//! A model folder for other programs: an ONNX graph, and the text encoder as `transformers` reads it.

use std::path::Path;

use burn::tensor::Device;
use mmrest_data::{FeatureStats, Modality};
use mmrest_models::{GraphFrames, GraphInputs, ModelConfig};
use mmrest_onnx::{Dim, Element, Graph, Value};
use serde_json::json;

use crate::digests;
use crate::error::LearnerError;
use crate::files;
use crate::saved_model::SavedModel;
use crate::tensor_file::TensorFile;

const BATCH: Dim = Dim::Named("batch");
const FLOAT: Element = Element::Float;
const INT: Element = Element::Int64;

/// A saved model as the bytes of an ONNX file (opset 17). Inputs, outputs and metadata are docs/src/export.md's.
///
/// Frames are taken as they are stored: values that are not finite, standardisation and padding are the graph's work.
///
/// # Errors
///
/// The folder has no model or a damaged one; the model has no graph ([`LearnerError::NoGraph`]), or one that is too large
/// for a file.
pub fn onnx(model_folder: &Path, device: &Device) -> Result<Vec<u8>, LearnerError> {
    let (saved, model) = SavedModel::load(model_folder, device)?;
    let (known, name) = (ModelConfig::with_graph(), saved.config.model.name());
    if !known.contains(&name) {
        return Err(LearnerError::NoGraph { model: name, known });
    }
    let mut graph = Graph::new(name);
    let inputs = inputs(&saved, &mut graph);
    let outputs = model.graph(&inputs, &mut graph)?;
    for (name, value) in [
        ("prediction", &outputs.prediction),
        ("score", &outputs.score),
        ("bias", &outputs.bias),
    ] {
        graph.output(name, value, FLOAT, &[BATCH]);
    }
    for (name, value, width) in &outputs.representations {
        graph.output(name, value, FLOAT, &[BATCH, Dim::Fixed(*width)]);
    }
    for (key, value) in metadata(&saved, model_folder)? {
        graph.metadata(key, value);
    }
    graph.encode().map_err(|error| {
        let told = format!("{error}: export its text encoder alone");
        LearnerError::format(model_folder, told)
    })
}

/// The inputs of the graph, and what becomes of frames before the model takes them.
fn inputs(saved: &SavedModel, graph: &mut Graph) -> GraphInputs {
    let text = saved.text.is_some().then(|| {
        ["input_ids", "attention_mask"]
            .map(|name| graph.input(name, INT, &[BATCH, Dim::Named("tokens")]))
    });
    let features = &saved.features;
    let mut frames = |modality: Modality, time, width: usize, stats: &Option<FeatureStats>| {
        let name = modality.name();
        (width > 0).then(|| {
            let shape = [BATCH, Dim::Named(time), Dim::Fixed(width)];
            let frames: Value = graph.input(name, FLOAT, &shape);
            let lengths = graph.input(&format!("{name}_lengths"), INT, &[BATCH]);
            let stats = stats.as_ref().map(|of| (&of.mean[..], &of.scale[..]));
            GraphFrames::prepared(graph, &frames, &lengths, stats)
        })
    };
    let widths = features.widths;
    let vision = frames(
        Modality::Vision,
        "vision_frames",
        widths.vision,
        &features.vision,
    );
    let audio = frames(
        Modality::Audio,
        "audio_frames",
        widths.audio,
        &features.audio,
    );
    GraphInputs {
        text,
        vision,
        audio,
    }
}

/// What whoever prepares inputs must know, by key.
fn metadata(
    saved: &SavedModel,
    model_folder: &Path,
) -> Result<Vec<(&'static str, String)>, LearnerError> {
    let config = &saved.config;
    let internal = |error: serde_json::Error| LearnerError::Internal(error.to_string());
    let frames = json!({
        "max_frames": config.data.max_frames,
        "shorten": config.data.shorten,
        "drop_zero_frames": config.sequence.drop_zero_frames,
        "frames": config.data.frames,
        "in_the_graph": ["NaN and infinite values become 0", "standardisation", "padding"],
    });
    let mut metadata = vec![
        ("model", config.model.name().to_owned()),
        ("preset", config.preset.clone()),
        ("modalities", json!(config.data.modalities).to_string()),
        ("label_range", json!(config.data.label_range).to_string()),
        ("labels", json!(config.bins.labels).to_string()),
        ("frames", frames.to_string()),
    ];
    if let Some(text) = &saved.text {
        let tokenizer = &text.tokenizer;
        let options = serde_json::to_string(tokenizer.config()).map_err(internal)?;
        metadata.extend([
            ("max_tokens", config.text.max_tokens.to_string()),
            ("vocabulary", tokenizer.vocabulary().join("\n")),
            ("tokenizer_config", options),
        ]);
    }
    let list = model_folder.join(digests::LIST);
    if list.exists() {
        let sums = std::fs::read_to_string(&list);
        metadata.push((
            "sha256sums",
            sums.map_err(|error| LearnerError::io("read", &list, error))?,
        ));
    }
    Ok(metadata)
}

/// Writes the text encoder of a saved model to a folder in Hugging Face's layout: `model.safetensors` by the names of
/// PyTorch, `config.json`, `vocab.txt` and `tokenizer_config.json`. A folder that is there is replaced.
///
/// # Errors
///
/// The folder has no model or a damaged one, or one without text; the target cannot be written.
pub fn text_encoder(
    model_folder: &Path,
    target: &Path,
    device: &Device,
) -> Result<(), LearnerError> {
    let (saved, model) = SavedModel::load(model_folder, device)?;
    let (Some(bert), Some(text)) = (model.text_encoder(), &saved.text) else {
        let told = "has no text encoder to export: text is not among its modalities";
        return Err(LearnerError::format(model_folder, told));
    };
    let growing = &files::beside(target, ".growing");
    files::empty_folder(growing)?;
    let mut weights = TensorFile::default();
    // transformers asks for it.
    weights.metadata.insert("format".into(), "pt".into());
    for tensor in bert.named_tensors()? {
        weights.add_floats(&tensor.name, &tensor.shape, tensor.values);
    }
    weights.write(&growing.join("model.safetensors"))?;
    text.write(growing)?;
    files::replace_folder(growing, target)
}
