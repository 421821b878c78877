//! A step in which both hinges of L_MMC are active, which the published step's are not: its L_MMC is |M0|^2 / N alone.
//!
//! The model's step has to agree with the loss of its own rows, which the golden `mmc_<n>` files vouch for.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use crate::support::{Stored, assert_close, golden, read, run};

/// Weight of L_MMC where it counts.
const ETA: f64 = 0.5;

fn write(path: &Path, tensors: &BTreeMap<&str, Stored>) {
    let bytes = |tensor: &Stored| -> Vec<u8> {
        let values = tensor.values.iter();
        match tensor.dtype {
            Dtype::F32 => values.flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            Dtype::I64 => values.flat_map(|&v| (v as i64).to_le_bytes()).collect(),
            other => panic!("{other:?}"),
        }
    };
    let encoded: Vec<Vec<u8>> = tensors.values().map(bytes).collect();
    let views = tensors.iter().zip(&encoded).map(|((name, tensor), bytes)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), bytes).unwrap();
        (*name, view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn stored(dtype: Dtype, shape: &[usize], values: Vec<f64>) -> Stored {
    let shape = shape.to_vec();
    Stored {
        dtype,
        shape,
        values,
    }
}

/// The rows of C: text, vision, audio.
fn rows(step: &BTreeMap<String, Stored>) -> Vec<f64> {
    let names = ["clus_text", "clus_visual", "clus_acoustic"];
    names
        .iter()
        .flat_map(|name| step[*name].values.clone())
        .collect()
}

fn nearest(row: &[f64], centers: &[f64]) -> f64 {
    let squared =
        |center: &[f64]| -> f64 { row.iter().zip(center).map(|(a, b)| (a - b).powi(2)).sum() };
    let centers = centers.chunks_exact(row.len()).map(squared).enumerate();
    centers.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0 as f64
}

/// The published step around other centres: every tenth of its rows, so that cells have several rows each.
fn step_inputs() -> BTreeMap<String, Stored> {
    let mut step = read(&golden().join("model_step.safetensors"));
    let dim = step["clus_text"].shape[1];
    let rows = rows(&step);
    let centers = rows
        .chunks_exact(dim)
        .step_by(10)
        .take(7)
        .flatten()
        .copied();
    step.insert(
        "centers".into(),
        stored(Dtype::F32, &[7, dim], centers.collect()),
    );
    step.retain(|name, _| !name.starts_with("loss"));
    step
}

/// The rows of a step, under its clusters and metrics, as the input of L_MMC.
fn loss_inputs<'a>(
    inputs: &BTreeMap<String, Stored>,
    found: &BTreeMap<String, Stored>,
) -> BTreeMap<&'a str, Stored> {
    let (features, dim) = (rows(found), inputs["centers"].shape[1]);
    let count = features.len() / dim;
    let cell = |row: &[f64]| nearest(row, &inputs["centers"].values);
    let assignment = features.chunks_exact(dim).map(cell).collect();
    let labels = inputs["labels"].values.repeat(3);
    let mut tensors = BTreeMap::from([
        ("assignment", stored(Dtype::I64, &[count], assignment)),
        ("labels", stored(Dtype::F32, &[count], labels)),
        ("features", stored(Dtype::F32, &[count, dim], features)),
    ]);
    for name in ["centers", "center_bins", "m0", "delta_m"] {
        tensors.insert(name, inputs[name].clone());
    }
    tensors
}

/// `a + factor * b`, of `a`'s type and shape.
fn sum(a: &Stored, factor: f64, b: &[f64]) -> Stored {
    assert_eq!(a.values.len(), b.len());
    let values = a.values.iter().zip(b).map(|(a, b)| a + factor * b);
    stored(a.dtype, &a.shape, values.collect())
}

#[test]
fn a_step_with_active_hinges_has_the_loss_and_gradients_of_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (input, meta) = (folder.path(), folder.path().join("meta.json"));
    let loss =
        |v1: f64, v2: f64| json!({"beta": 0.02, "v1": v1, "v2": v2, "xi": 20000.0, "alpha": 3.0});
    let parameters = |eta: f64| {
        let mut step = loss(0.7, 0.9);
        step["gamma"] = json!(0.05);
        step["eta"] = json!(eta);
        let entries = json!({
            "model_step": step,
            "mmc_0": loss(0.7, 0.9),
            "mmc_1": loss(0.0, 0.0),
            "mmc_2": loss(0.7, 0.0),
        });
        std::fs::write(&meta, entries.to_string()).unwrap();
    };
    let inputs = step_inputs();
    let named = inputs
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.clone()));
    write(&input.join("model_step.safetensors"), &named.collect());
    let step = || read(&run(input, None).path().join("model_step.safetensors"));
    parameters(0.0);
    let task = step();
    parameters(ETA);
    let whole = step();

    for case in 0..3 {
        let name = format!("mmc_{case}.safetensors");
        write(&input.join(name), &loss_inputs(&inputs, &whole));
    }
    let out = run(input, None);
    let mmc = |case: usize| read(&out.path().join(format!("mmc_{case}.safetensors")));
    let (mmc, intra, both) = (mmc(0), mmc(1)["loss"].values[0], mmc(2)["loss"].values[0]);
    println!(
        "intra {intra}, with inter {both}, L_MMC {}",
        mmc["loss"].values[0]
    );
    assert!(intra > 1.0 && both > 1.01 * intra && mmc["loss"].values[0] > both);

    assert_close("loss_mmc", &whole["loss_mmc"], &mmc["loss"], 1e-5);
    let total = sum(&whole["loss_task"], ETA, &mmc["loss"].values);
    assert_close("loss", &whole["loss"], &total, 1e-5);
    for name in ["grad_m0", "grad_delta_m"] {
        let expected = sum(&task[name], ETA, &mmc[name].values);
        assert_close(name, &whole[name], &expected, 1e-4);
    }
    // The last bias before the shared space sums the gradients of its modality's rows.
    let (dim, per_row) = (inputs["centers"].shape[1], &mmc["grad_features"].values);
    let layers = ["clus_text", "visual_enc.linear_1", "acoustic_enc.linear_1"];
    for (layer, rows) in layers.iter().zip(per_row.chunks_exact(per_row.len() / 3)) {
        let column = |at: usize| rows.iter().skip(at).step_by(dim).sum::<f64>();
        let columns: Vec<f64> = (0..dim).map(column).collect();
        let name = format!("grad.{layer}.bias");
        let expected = sum(&task[&name], ETA, &columns);
        assert_close(&name, &whole[&name], &expected, 1e-4);
    }
}
