//! Golden numbers: computes what a folder of reference inputs asks for, under the reference's file and tensor names, so
//! that any tool can compare.
//!
//! | input | what is computed |
//! |---|---|
//! | `meta.json` | nothing: parameters of the others |
//! | `mmc_<n>.safetensors` | L_MMC and its gradients |
//! | `psd_adam.safetensors` | the metrics after each projected optimiser step |
//! | `model_step.safetensors` | forward, losses and every gradient of one training step after the text encoder |
//! | `kmeans_<n>.safetensors` | centres, labels and inertia |
//! | `metrics.json` | the nine figures of each case |
//! | `bert.json` | token ids and first tokens' hidden states of its sentences |

mod bert;
mod figures;
mod kmeans;
mod mmc;
mod model_step;
mod psd_adam;
mod tensors;
mod weights;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::de::DeserializeOwned;

use crate::error::LearnerError;
use crate::files;

/// Reads every input that is in `input` and writes this program's results into `out`; says in a line a file what was
/// written, and what was skipped for which reason.
///
/// `bert` is the directory of the text encoder that `bert.json` is about; without it, that part is skipped. `device` is
/// one without autodiff: gradients are computed on its autodiff counterpart.
///
/// ```
/// use burn::tensor::Device;
/// use mmrest_learner::conformance;
///
/// let (input, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// let case = r#"[{"preds": [1.0, -2.0], "truth": [1.5, -2.0]}]"#;
/// std::fs::write(input.path().join("metrics.json"), case)?;
///
/// let report = conformance::run(input.path(), None, out.path(), &Device::flex())?;
/// assert!(report.contains(&"metrics.json: written".to_owned()));
/// let text = std::fs::read_to_string(out.path().join("metrics.json"))?;
/// assert!(text.contains("\"mae\": 0.25"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// `input` cannot be read or is `out`; otherwise, after everything that can be written has been, the first file that
/// could not be read, lacks a tensor or a parameter, holds one of the wrong shape or value, or could not be written.
pub fn run(
    input: &Path,
    bert: Option<&Path>,
    out: &Path,
    device: &Device,
) -> Result<Vec<String>, LearnerError> {
    refuse_same_folder(input, out)?;
    let names = names(input)?;
    let folders = Folders { input, out };
    let mut report = Report::default();
    report.family(&names, "mmc_", |name, _| mmc::run(&folders, name, device));
    report.single(&names, psd_adam::FILE, || psd_adam::run(&folders, device));
    report.single(&names, model_step::FILE, || {
        model_step::run(&folders, device)
    });
    report.family(&names, "kmeans_", |name, case| {
        kmeans::run(&folders, name, case)
    });
    report.single(&names, figures::FILE, || figures::run(&folders));
    match bert {
        Some(bert) => report.single(&names, bert::INPUT, || bert::run(&folders, bert, device)),
        None => report.skipped(bert::OUTPUT, "no directory of a text encoder was given"),
    }
    report.finish()
}

/// Where inputs are read and results are written.
struct Folders<'a> {
    input: &'a Path,
    out: &'a Path,
}

impl Folders<'_> {
    /// An entry of `meta.json`: the parameters of a file.
    fn parameters<T: DeserializeOwned>(&self, entry: &str) -> Result<T, LearnerError> {
        let path = self.input.join("meta.json");
        let mut meta: serde_json::Value = files::read_json(&path)?;
        let found = meta.get_mut(entry).map(serde_json::Value::take);
        let value = found
            .ok_or_else(|| LearnerError::format(&path, format!("there is no entry '{entry}'")))?;
        serde_json::from_value(value)
            .map_err(|e| LearnerError::format(&path, format!("entry '{entry}': {e}")))
    }
}

/// What became of each file.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    failure: Option<LearnerError>,
}

impl Report {
    /// Works on one input, if it is there. `work` returns the name of the file it wrote.
    fn single(
        &mut self,
        names: &[String],
        name: &str,
        work: impl FnOnce() -> Result<PathBuf, LearnerError>,
    ) {
        if names.iter().any(|found| found == name) {
            self.done(work())
        } else {
            self.skipped(name, "the input folder does not have it")
        }
    }

    /// Works on every input `<prefix><number>.safetensors`, in the order of the numbers.
    fn family(
        &mut self,
        names: &[String],
        prefix: &str,
        work: impl Fn(&str, usize) -> Result<PathBuf, LearnerError>,
    ) {
        let number = |name: &str| -> Option<usize> {
            let digits = name.strip_prefix(prefix)?.strip_suffix(".safetensors")?;
            digits.parse().ok()
        };
        let mut cases: Vec<(usize, &String)> = names
            .iter()
            .filter_map(|name| Some((number(name)?, name)))
            .collect();
        cases.sort_unstable();
        if cases.is_empty() {
            let name = format!("{prefix}<n>.safetensors");
            self.skipped(&name, "the input folder has none");
        }
        for (case, name) in cases {
            self.done(work(name, case));
        }
    }

    fn done(&mut self, result: Result<PathBuf, LearnerError>) {
        match result {
            Ok(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                self.lines.push(format!("{}: written", name.display()));
            }
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }

    fn skipped(&mut self, name: &str, reason: &str) {
        self.lines.push(format!("{name}: skipped, {reason}"));
    }

    fn finish(self) -> Result<Vec<String>, LearnerError> {
        self.failure.map_or(Ok(self.lines), Err)
    }
}

/// Results have the names of their inputs and would replace them.
fn refuse_same_folder(input: &Path, out: &Path) -> Result<(), LearnerError> {
    match (input.canonicalize(), out.canonicalize()) {
        (Ok(input), Ok(out)) if input == out => Err(LearnerError::format(
            &out,
            "results would replace the inputs; choose another folder to write to",
        )),
        _ => Ok(()),
    }
}

/// The names of a folder's entries.
fn names(folder: &Path) -> Result<Vec<String>, LearnerError> {
    let wrong = |e| LearnerError::io("read", folder, e);
    let entries = std::fs::read_dir(folder).map_err(wrong)?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        Ok(entry
            .map_err(wrong)?
            .file_name()
            .to_string_lossy()
            .into_owned())
    };
    entries.map(name).collect()
}
