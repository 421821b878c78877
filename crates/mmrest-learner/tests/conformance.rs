//! The golden numbers of `tests/golden`, computed by the program's own code from a folder to a folder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "conformance/active_loss.rs"]
mod active_loss;
#[path = "conformance/refusals.rs"]
mod refusals;
#[path = "conformance/support.rs"]
mod support;
#[path = "conformance/systems.rs"]
mod systems;

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;
use support::{
    assert_close, assert_figures, assert_golden, bert, files, golden, is_result, json, read, run,
};

fn assert_clusters(out: &Path, file: &str) {
    let (found, expected) = (read(&out.join(file)), read(&golden().join(file)));
    for name in ["centers", "labels", "inertia"] {
        assert_eq!(found[name].shape, expected[name].shape, "{file} {name}");
        assert_eq!(found[name].dtype, expected[name].dtype, "{file} {name}");
    }
    let (points, dim) = (&expected["points"].values, expected["points"].shape[1]);
    let centers = &found["centers"].values;
    let squared = |(point, label): (&[f64], &f64)| -> f64 {
        let center = &centers[*label as usize * dim..][..dim];
        point.iter().zip(center).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let labelled = points.chunks_exact(dim).zip(&found["labels"].values);
    let (inertia, own) = (
        found["inertia"].values[0],
        labelled.map(squared).sum::<f64>(),
    );
    let ratio = inertia / expected["inertia"].values[0];
    println!("{file}: inertia {inertia}, {ratio} of scikit-learn's");
    assert!(ratio < 1.01, "{file}");
    assert!(
        (inertia - own).abs() < 1e-4 * own,
        "{file}: {inertia} is not {own}"
    );
}

#[test]
fn results_are_the_golden_ones() {
    let bert = bert();
    let out = run(&golden(), bert.as_deref());
    for prefix in ["mmc_", "psd_adam", "model_step"] {
        files(prefix)
            .iter()
            .for_each(|file| assert_golden(out.path(), file));
    }
    files("kmeans_")
        .iter()
        .for_each(|file| assert_clusters(out.path(), file));
    assert_figures(out.path());
    if bert.is_some() {
        assert_golden(out.path(), "bert.safetensors");
    }
}

/// Copies the golden folder without anything that is a result.
fn copy_inputs(to: &Path) {
    for file in files("") {
        let bytes = std::fs::read(golden().join(&file)).unwrap();
        let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
        tensors.retain(|(name, _)| !is_result(&file, name));
        if !tensors.is_empty() {
            let bytes = safetensors::serialize(tensors, None).unwrap();
            std::fs::write(to.join(file), bytes).unwrap();
        }
    }
    let write = |name: &str, value: &Value| {
        std::fs::write(to.join(name), serde_json::to_vec(value).unwrap()).unwrap();
    };
    write("bert.json", &json(&golden().join("bert.json")));
    let mut cases = json(&golden().join("metrics.json"));
    for case in cases.as_array_mut().unwrap() {
        case.as_object_mut().unwrap().remove("metrics").unwrap();
    }
    write("metrics.json", &cases);
    let mut meta = json(&golden().join("meta.json"));
    for entry in meta.as_object_mut().unwrap().values_mut() {
        strip_results(entry);
    }
    write("meta.json", &meta);
}

fn strip_results(entry: &mut Value) {
    match entry {
        Value::Array(entries) => entries.iter_mut().for_each(strip_results),
        Value::Object(values) => values.retain(|name, _| {
            let result = ["loss", "inertia", "cluster_sizes"].contains(&name.as_str());
            !result && !name.ends_with("_over_n")
        }),
        _ => {}
    }
}

#[test]
fn inputs_without_expected_results_are_enough() {
    let input = tempfile::tempdir().unwrap();
    copy_inputs(input.path());
    assert!(!input.path().join("bert.safetensors").exists());
    let bert = bert();
    let (whole, stripped) = (
        run(&golden(), bert.as_deref()),
        run(input.path(), bert.as_deref()),
    );
    let metrics = |out: &tempfile::TempDir| json(&out.path().join("metrics.json"));
    assert_eq!(metrics(&whole), metrics(&stripped));
    let mut compared = 0;
    for entry in std::fs::read_dir(whole.path()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !file.ends_with(".safetensors") {
            continue;
        }
        let (a, b) = (
            read(&whole.path().join(&file)),
            read(&stripped.path().join(&file)),
        );
        assert_eq!(a.len(), b.len(), "{file}");
        for (name, a) in &a {
            assert_close(&format!("{file} {name}"), &b[name], a, 1e-6);
        }
        compared += 1;
    }
    assert_eq!(compared, 10 + usize::from(bert.is_some()));
}
