//! What is absent is skipped, what is damaged is refused, by name.

use burn::tensor::Device;
use mmrest_learner::conformance;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use std::path::Path;

use crate::support::{assert_figures, assert_golden, golden};

#[test]
fn absent_inputs_are_skipped_by_name() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lines = conformance::run(input.path(), None, out.path(), &Device::flex()).unwrap();
    assert_eq!(lines.len(), 7);
    assert!(
        lines.iter().all(|line| line.contains("skipped")),
        "{lines:?}"
    );
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

/// A folder with one golden file that lacks a tensor or holds one of another shape, and `meta.json`.
fn damaged(file: &str, tensor: &str, shape: Option<Vec<usize>>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(golden().join(file)).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let at = tensors.iter().position(|(name, _)| name == tensor).unwrap();
    let (name, view) = tensors.remove(at);
    if let Some(shape) = shape {
        let view = TensorView::new(view.dtype(), shape, view.data()).unwrap();
        tensors.push((name, view));
    }
    let bytes = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(folder.path().join(file), bytes).unwrap();
    std::fs::copy(golden().join("meta.json"), folder.path().join("meta.json")).unwrap();
    folder
}

fn refusal(input: &Path) -> String {
    let out = tempfile::tempdir().unwrap();
    let result = conformance::run(input, None, out.path(), &Device::flex());
    result.unwrap_err().to_string()
}

#[test]
fn damaged_inputs_are_refused_by_file_and_tensor() {
    let cases = [
        ("mmc_1.safetensors", "m0", None),
        ("mmc_1.safetensors", "m0", Some(vec![8, 32])),
        ("mmc_1.safetensors", "features", Some(vec![960])),
        ("mmc_1.safetensors", "centers", Some(vec![10, 8])),
        ("mmc_1.safetensors", "delta_m", Some(vec![1, 16, 80])),
        ("psd_adam.safetensors", "grads_m0", None),
        ("psd_adam.safetensors", "grads_m0", Some(vec![24, 20, 24])),
        ("model_step.safetensors", "param.conv_res.weight", None),
        (
            "model_step.safetensors",
            "param.conv_res.weight",
            Some(vec![200, 512]),
        ),
        ("model_step.safetensors", "visual", Some(vec![24, 40, 20])),
        ("model_step.safetensors", "visual_lengths", None),
        (
            "model_step.safetensors",
            "param.visual_enc.rnn.weight_ih_l0",
            Some(vec![20, 256]),
        ),
        ("kmeans_0.safetensors", "points", Some(vec![192 * 64])),
    ];
    for (file, tensor, shape) in cases {
        let message = refusal(damaged(file, tensor, shape).path());
        println!("{message}");
        assert!(
            message.contains(file) && message.contains(tensor),
            "{message}"
        );
    }
}

#[test]
fn unusable_parameters_and_lists_are_refused() {
    let folder = damaged("mmc_1.safetensors", "grad_m0", None);
    let meta = folder.path().join("meta.json");
    std::fs::write(&meta, r#"{"mmc_1": {"beta": 0.01}}"#).unwrap();
    let message = refusal(folder.path());
    assert!(
        message.contains("meta.json") && message.contains("v1"),
        "{message}"
    );
    std::fs::write(&meta, "{}").unwrap();
    assert!(refusal(folder.path()).contains("'mmc_1'"));
    std::fs::remove_file(&meta).unwrap();
    assert!(refusal(folder.path()).contains("meta.json"));

    let folder = tempfile::tempdir().unwrap();
    let case = r#"[{"preds": [1.0], "truth": []}]"#;
    std::fs::write(folder.path().join("metrics.json"), case).unwrap();
    let message = refusal(folder.path());
    assert!(
        message.contains("case 0 has 1 predictions for 0 truths"),
        "{message}"
    );
    let same = conformance::run(folder.path(), None, folder.path(), &Device::flex());
    assert!(same.unwrap_err().to_string().contains("another folder"));
    assert!(refusal(&folder.path().join("absent")).contains("absent"));
}

#[test]
fn one_bad_file_does_not_keep_the_others_from_being_written() {
    let folder = damaged("mmc_1.safetensors", "m0", None);
    let copy = |name: &str| std::fs::copy(golden().join(name), folder.path().join(name)).unwrap();
    copy("mmc_2.safetensors");
    copy("metrics.json");
    let out = tempfile::tempdir().unwrap();
    let result = conformance::run(folder.path(), None, out.path(), &Device::flex());
    assert!(result.unwrap_err().to_string().contains("'m0' is missing"));
    assert_golden(out.path(), "mmc_2.safetensors");
    assert_figures(out.path());
}
