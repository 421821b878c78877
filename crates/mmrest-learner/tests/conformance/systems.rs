//! The comparison systems against numbers measured on their published code, training loops included.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{Stored, read, run, workspace};

/// The folder of the measured numbers: all of them where they are, or those in the repository.
fn measured() -> PathBuf {
    let all = workspace().join("../shared/golden/baselines");
    if all.is_dir() {
        return all;
    }
    let some = workspace().join("tests/golden/baselines");
    println!(
        "skipped: {} is not there; {} is",
        all.display(),
        some.display()
    );
    some
}

/// What a file's metadata say of its cases.
fn cases(path: &std::path::Path) -> BTreeMap<String, Value> {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let cases = header.metadata().iter().flatten();
    let json =
        |(name, json): (&String, &String)| (name.clone(), serde_json::from_str(json).unwrap());
    cases.map(json).collect()
}

/// A measured result and what is computed of it, ready to be compared.
struct Pair<'a> {
    file: &'a str,
    name: &'a str,
    found: Vec<f64>,
    expected: Vec<f64>,
    /// Absolute bound, where rounding alone makes the numbers.
    noise: bool,
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

/// Whether weights after training.
fn is_trained(name: &str) -> bool {
    name.starts_with("epoch")
        || ["t/w1/", "t/w2/", "t/w3/"]
            .iter()
            .any(|at| name.starts_with(at))
}

fn is_gradient(name: &str) -> bool {
    ["grad_w/", "grad_in/", "grad."]
        .iter()
        .any(|part| name.contains(part))
}

/// Whether a measured tensor is a result, and one that is computed here.
fn is_result(file: &str, name: &str) -> bool {
    let kinds = ["/out/", "/loss/", "/after_"];
    let result = kinds.iter().any(|kind| name.contains(kind))
        || ["output.", "loss.", "stage"]
            .iter()
            .any(|kind| name.starts_with(kind))
        || is_gradient(name)
        || is_trained(name)
        || file == "schedules";
    // Counters; constants of the published TFN; layers that MISA never uses; the text encoder behind the measured states;
    // what DMD computes for its log alone, and its layer that is never used. Of sums the sum is compared.
    let left_out = [
        "num_batches_tracked",
        "output_range",
        "output_shift",
        "sp_discriminator",
        "tlayer_norm",
        "bertmodel.",
        "t/w1/bert.",
        "t/w2/bert.",
        "t/w1/text_model.",
        "t/w2/text_model.",
        "proj_s_",
        "proj_cosine",
    ];
    let parts = |whole: &str| {
        ["_l", "_v", "_a"]
            .iter()
            .any(|m| name.contains(&format!("loss.{whole}{m}")))
    };
    let logged = ["cycle", "ort", "recon"].iter().any(|whole| parts(whole))
        || name.starts_with("loss.task_");
    let kept = match file {
        "mag_bert" | "self_mm" => !left_out[..5].iter().any(|part| name.contains(part)),
        _ => !left_out.iter().any(|part| name.contains(part)),
    };
    let summands = ["loss/cmd_", "loss/diff_p", "loss.entropy_"];
    let summand = summands.iter().any(|part| name.contains(part));
    result && kept && !summand && !(file.starts_with("dmd") && logged)
}

/// Gradients that are zero but for rounding, and after training what such gradients have done.
fn is_noise(file: &str, name: &str) -> bool {
    let ends: &[&str] = match file.trim_end_matches(|c: char| c == '_' || c.is_numeric()) {
        "almt" | "deva" => &["norm_k.bias"],
        "dmd" => &["W_edge.bias", "W_logit.bias", "W_repr.bias"],
        "mag_bert" => &["attention.self.key.bias"],
        _ => &[],
    };
    (is_gradient(name) || is_trained(name)) && ends.iter().any(|end| name.ends_with(end))
}

impl Pair<'_> {
    /// Sets what cannot be compared to what was measured.
    fn align(&mut self, measured: &BTreeMap<String, Stored>, about: &BTreeMap<String, Value>) {
        let (case, what) = self.name.split_once('/').unwrap_or(("", self.name));
        // Of the fusion of ALMT and DEVA one row reaches the prediction.
        if self.name == "output.fusion" && self.expected.len() > self.found.len() {
            let shape = &measured[self.name].shape;
            if let [count, rows, width] = shape[..] {
                let first = |row: usize| self.expected[row * rows * width..][..width].to_vec();
                self.expected = (0..count).flat_map(first).collect();
            }
        }
        // States of padding tokens.
        if self.file == "mag_bert"
            && ["out/embedding", "out/gated", "out/last_hidden"].contains(&what)
        {
            let mask = &measured[&format!("{case}/in/mask")].values;
            let width = self.expected.len() / mask.len();
            for (token, &real) in mask.iter().enumerate() {
                if real == 0.0 {
                    self.expected[token * width..][..width].fill(0.0);
                }
            }
        }
        // What is packed has no padding that could have a gradient.
        if what == "grad_in/text"
            && about
                .get(case)
                .is_some_and(|case| case["positions"] == true)
        {
            let lengths = about[case]["text_lengths"].as_array().unwrap();
            let of_row = self.expected.len() / lengths.len();
            let width = measured[self.name].shape[2];
            for (row, length) in lengths.iter().enumerate() {
                let own = length.as_u64().unwrap() as usize * width;
                self.expected[row * of_row..][own..of_row].fill(0.0);
            }
        }
        // The middle third of an attention's in-projection bias is the keys'.
        if self.name.ends_with("in_proj_bias") && (is_gradient(self.name) || is_trained(self.name))
        {
            let keys = self.found.len() / 3..2 * self.found.len() / 3;
            if is_gradient(self.name) {
                assert!(largest(&self.found[keys.clone()]) < 1e-6, "{}", self.name);
            }
            self.found[keys.clone()].copy_from_slice(&self.expected[keys]);
        }
    }

    /// Compares as the pages of the measured numbers ask for; the difference relative to the largest value.
    fn compare(&self, about: &BTreeMap<String, Value>) -> Result<f64, String> {
        let Self {
            file,
            name,
            found,
            expected,
            ..
        } = self;
        let same = found.len() == expected.len() && found.iter().all(|value| value.is_finite());
        if !same || (self.noise && largest(found) >= 1e-6) {
            return Err(format!(
                "{file} {name}: another size, not finite, or no rounding"
            ));
        }
        if self.noise {
            return Ok(0.0);
        }
        let differences: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let (most, difference) = (largest(expected), largest(&differences));
        let (relative, absolute) = if file.starts_with("mcl_mcf") && is_gradient(name) {
            (1e-3, 1e-8)
        } else if name.ends_with("valid_loss_rounded") {
            (0.0, 1.01e-4)
        } else if about.is_empty() {
            (1e-4, 1e-6)
        } else {
            (5e-5, 0.0)
        };
        let mut allowed = relative * most + absolute;
        if let Some(moved) = self.moved(about) {
            // What the page asks for, and what single precision can tell apart.
            allowed = allowed.min(1e-4 * moved + 2.0 * f64::from(f32::EPSILON) * most);
        }
        if difference <= allowed {
            return Ok(difference / most.max(1e-12));
        }
        Err(format!("{file} {name}: {difference:e} > {allowed:e}"))
    }

    /// How far an optimiser of the loop `t` can have moved a weight: its rate times its steps.
    fn moved(&self, about: &BTreeMap<String, Value>) -> Option<f64> {
        let (epoch, name) = self.name.strip_prefix("t/w")?.split_once('/')?;
        let config = &about["t"]["config"];
        let rate = |key: &str| config[key].as_f64();
        let group = name.split('_').next()?;
        let rate = rate("learning_rate").or_else(|| match group {
            "text" => rate("learning_rate_bert"),
            "audio" | "video" => rate(&format!("learning_rate_{group}")),
            _ => rate("learning_rate_other"),
        });
        let every = config["update_epochs"].as_f64().unwrap_or(1.0);
        Some(rate? * epoch.parse::<f64>().ok()? * (5.0 / every).floor())
    }
}

#[test]
fn comparison_systems_are_the_published_ones() {
    let folder = measured();
    let out = run(&folder, None);
    let (mut files, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(out.path()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let measured_file = folder.join(path.file_name().unwrap());
        let (found, measured) = (read(&path), read(&measured_file));
        let about = cases(&measured_file);
        let mut worst: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, stored) in &found {
            let Some(expected) = measured.get(name) else {
                // All weights are computed after every epoch; of MAG-BERT's and DMD's loops some were measured.
                let unmeasured = file == "dmd_steps"
                    || name.starts_with("t/w1/")
                    || (is_gradient(name) && largest(&stored.values) == 0.0);
                if !unmeasured {
                    wrong.push(format!("{file} {name}: none was measured"));
                }
                continue;
            };
            let noise = is_noise(&file, name);
            if noise && is_trained(name) {
                continue;
            }
            let mut pair = Pair {
                file: &file,
                name,
                found: stored.values.clone(),
                expected: expected.values.clone(),
                noise,
            };
            pair.align(&measured, &about);
            let group = if is_trained(name) {
                "weights after training"
            } else if is_gradient(name) {
                "gradients"
            } else {
                "outputs, losses, states"
            };
            let group = worst.entry(group).or_default();
            match pair.compare(&about) {
                Ok(difference) => *group = group.max(difference),
                Err(message) => wrong.push(message),
            }
        }
        println!(
            "{file}: {} tensors, largest relative differences {worst:?}",
            found.len()
        );
        let missing = measured.keys().filter(|name| !found.contains_key(*name));
        let missing = missing.filter(|name| is_result(&file, name));
        wrong.extend(missing.map(|name| format!("{file} {name}: is not computed")));
        files += 1;
    }
    let expected = if folder.ends_with("shared/golden/baselines") {
        20
    } else {
        1
    };
    assert_eq!(files, expected);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
