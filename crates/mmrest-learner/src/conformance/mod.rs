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
//! | `tfn`, `lmf`, `mult`, `mult_more`, `misa`, `self_mm`, `mag_bert` | every case of that comparison system, and its published training loop |
//! | `dmd_<n>`, `mcl_mcf_<n>`, `mmim_<n>`, `almt_<n>`, `deva_<n>` | one case: outputs, losses, every gradient |
//! | `dmd_steps`, `mmim_steps_none`, `schedules` | weights after training; learning rates by epoch |
//!
//! Files of comparison systems are safetensors with the names of the published state dicts; that none is there is said once.

mod learned_metrics;
mod mag_bert;
mod mmsa;
mod model_step;
mod others;
mod published;
mod self_mm;
mod tensors;
mod weights;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use mmrest_encoders::{Bert, PackedTokens, Tokenizer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::tensors::Results;
use crate::error::{LearnerError, to_host};
use crate::figures::{FigureSet, Figures};
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
    report.family(&names, "mmc_", |name, _| {
        learned_metrics::mmc(&folders, name, device)
    });
    report.single(&names, learned_metrics::PSD_ADAM, || {
        learned_metrics::psd_adam(&folders, device)
    });
    report.single(&names, model_step::FILE, || {
        model_step::run(&folders, device)
    });
    report.family(&names, "kmeans_", |name, case| {
        learned_metrics::kmeans(&folders, name, case)
    });
    report.single(&names, METRICS, || figures(&folders));
    systems(&mut report, &folders, &names, device);
    match bert {
        Some(bert) => report.single(&names, SENTENCES, || self::bert(&folders, bert, device)),
        None => report.skipped(STATES, "no directory of a text encoder was given"),
    }
    report.finish()
}

/// The comparison systems that there are inputs for.
fn systems(report: &mut Report, folders: &Folders<'_>, names: &[String], device: &Device) {
    type One = fn(&Folders<'_>, &Device) -> Result<PathBuf, LearnerError>;
    type Numbered = fn(&Folders<'_>, &str, usize, &Device) -> Result<PathBuf, LearnerError>;
    let before = report.lines.len();
    let files: [(&str, One); 9] = [
        ("tfn.safetensors", mmsa::tfn),
        ("lmf.safetensors", mmsa::lmf),
        (mmsa::MULT[0], |f, d| mmsa::mult(f, mmsa::MULT[0], d)),
        (mmsa::MULT[1], |f, d| mmsa::mult(f, mmsa::MULT[1], d)),
        ("misa.safetensors", mmsa::misa),
        ("self_mm.safetensors", self_mm::self_mm),
        ("mag_bert.safetensors", mag_bert::mag_bert),
        (others::DMD_STEPS, others::dmd_steps),
        (others::MMIM_STEPS, others::mmim_steps),
    ];
    for (name, work) in files {
        if names.iter().any(|found| found == name) {
            report.done(work(folders, device));
        }
    }
    let numbered: [(&str, Numbered); 5] = [
        ("dmd_", others::dmd),
        ("mcl_mcf_", others::mcl_mcf),
        ("mmim_", others::mmim),
        ("almt_", others::almt),
        ("deva_", others::deva),
    ];
    for (prefix, work) in numbered {
        for (number, name) in numbers(names, prefix) {
            report.done(work(folders, name, number, device));
        }
    }
    if names.iter().any(|found| found == others::SCHEDULES) {
        report.done(others::schedules(folders));
    }
    if report.lines.len() == before && report.failure.is_none() {
        report.skipped("comparison systems", "the input folder has no file of one");
    }
}

/// The names `<prefix><number>.safetensors`, in the order of the numbers.
fn numbers<'a>(names: &'a [String], prefix: &str) -> Vec<(usize, &'a String)> {
    let number = |name: &str| -> Option<usize> {
        let digits = name.strip_prefix(prefix)?.strip_suffix(".safetensors")?;
        digits.parse().ok()
    };
    let found = names.iter().filter_map(|name| Some((number(name)?, name)));
    let mut cases: Vec<(usize, &String)> = found.collect();
    cases.sort_unstable();
    cases
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
        let cases = numbers(names, prefix);
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

/// The file of sentences for the text encoder.
const SENTENCES: &str = "bert.json";
/// What becomes of them.
const STATES: &str = "bert.safetensors";

/// Tokens that a sentence is cut and padded to.
const TOKENS: usize = 50;
/// Sentences that go through the encoder at once.
const BATCH: usize = 64;

/// Sentences through the tokenizer and the text encoder: writes `input_ids` and `attention_mask`, `[sentences, 50]`, and
/// `first_token`, `[sentences, hidden]`.
fn bert(folders: &Folders<'_>, dir: &Path, device: &Device) -> Result<PathBuf, LearnerError> {
    let path = folders.input.join(SENTENCES);
    let sentences: Vec<String> = files::read_json(&path)?;
    let tokenizer = Tokenizer::from_dir(dir)?;
    let (bert, _) = Bert::load_dir(dir, device)?;
    let encoded = tokenizer.encode_all(&sentences, TOKENS);

    let (mut ids, mut mask, mut states) = (Vec::new(), Vec::new(), Vec::new());
    for tokens in &encoded {
        let (padded, ones) = tokenizer.pad(tokens, TOKENS);
        ids.extend(padded.into_iter().map(i64::from));
        mask.extend(ones.into_iter().map(i64::from));
    }
    for batch in encoded.chunks(BATCH) {
        let batch = PackedTokens::from_sequences(batch);
        bert.check(&batch)?;
        states.extend(to_host(bert.forward_first(&batch))?);
    }

    let count = sentences.len();
    let mut results = Results::default();
    results.integers("input_ids", &[count, TOKENS], ids);
    results.integers("attention_mask", &[count, TOKENS], mask);
    results.floats("first_token", &[count, bert.hidden_size()], &states);
    results.write(folders, STATES)
}

/// The file of predictions to judge.
const METRICS: &str = "metrics.json";

/// Predictions, truths, and whatever else the input says about them.
#[derive(Deserialize, Serialize)]
struct Case {
    preds: Vec<f64>,
    truth: Vec<f64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The nine figures of given predictions: writes each case with `metrics`, by the figures' names; an undefined figure is
/// null.
fn figures(folders: &Folders<'_>) -> Result<PathBuf, LearnerError> {
    let path = folders.input.join(METRICS);
    let mut cases: Vec<Case> = files::read_json(&path)?;
    for (index, case) in cases.iter_mut().enumerate() {
        let (predicted, known) = (case.preds.len(), case.truth.len());
        if predicted != known {
            let message = format!("case {index} has {predicted} predictions for {known} truths");
            return Err(LearnerError::format(&path, message));
        }
        case.rest.insert("metrics".into(), figures_of(case));
    }
    let path = folders.out.join(METRICS);
    files::write_json(&path, &cases)?;
    Ok(path)
}

fn figures_of(case: &Case) -> Value {
    let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|&v| v as f32).collect() };
    let figures = Figures::of(FigureSet::Mosi, &single(&case.preds), &single(&case.truth));
    let named = figures.named();
    Value::Object(
        named
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
    )
}
