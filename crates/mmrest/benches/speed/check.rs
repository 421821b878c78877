//! `cargo xtask bench gpu-check --backend cuda --against torch --out FOLDER`: does a device compute what the CPU does,
//! how fast is it beside PyTorch on the same device, and how much memory does it take? One table, written line by line,
//! within a time. `cargo xtask bench --backend cuda` measures some of its lines alone.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mmrest_learner::{Backend, Precision};
use serde_json::json;

use crate::agree::{self, COLUMNS, Epoch};
use crate::baseline::Calibration;
use crate::device::{DEVICE_WORKS, DeviceWork, On};
use crate::table::seconds;
use crate::timing::{Samples, measure_timed};
use crate::torch::Torch;

/// The name of the check among the works.
pub(crate) const GPU_CHECK: &str = "gpu-check";

/// How far the sample's first epoch may be from the CPU's in f32.
const TOLERANCE: f64 = 1e-5;

/// What is asked for.
pub(crate) struct Check<'a> {
    pub(crate) backend: Backend,
    pub(crate) index: usize,
    pub(crate) quick: bool,
    /// The lines to measure; all where there are none.
    pub(crate) names: &'a [String],
    /// In what to compute; all that the backend can where there are none.
    pub(crate) precisions: &'a [Precision],
    /// The other side's interpreter.
    pub(crate) python: Option<&'a Path>,
    /// Where the table, the numbers and the facts are written.
    pub(crate) out: Option<&'a Path>,
    /// After which no line is begun any more, and none goes on.
    pub(crate) limit: Duration,
    pub(crate) json: bool,
}

/// What was found out.
#[derive(Default)]
struct Report {
    facts: Vec<(&'static str, String)>,
    agreement: Vec<(Precision, Result<Vec<Epoch>, String>)>,
    expected: Vec<Epoch>,
    lines: Vec<Line>,
}

/// A work in one precision.
struct Line {
    work: DeviceWork,
    precision: Precision,
    ours: Result<Measured, String>,
    theirs: Option<Result<Measured, String>>,
}

struct Measured {
    samples: Samples,
    memory: f64,
}

/// Measures, prints and writes; whether everything worked and the device agrees with the CPU.
pub(crate) fn run(check: &Check<'_>) -> Result<bool, String> {
    let start = Instant::now();
    let left = || check.limit.saturating_sub(start.elapsed());
    let whole = check.names.iter().any(|name| name == GPU_CHECK);
    let works: Vec<DeviceWork> = match check.names {
        [] => DEVICE_WORKS.to_vec(),
        _ if whole => DEVICE_WORKS.to_vec(),
        names => names
            .iter()
            .map(|name| DeviceWork::find(name))
            .collect::<Result<_, _>>()?,
    };
    let precisions = check.precisions();
    let on = |precision| On {
        backend: check.backend,
        index: check.index,
        precision,
        quick: check.quick,
    };
    // In a process of its own: a device keeps its precision, and a driver that fails takes only that one along.
    let script = Script::new(check.python)?;
    let mut report = Report {
        facts: facts(check),
        ..Report::default()
    };
    let mut out = Out::new(check)?;
    if whole {
        let reference = agree::reference(&on(Precision::F32));
        eprintln!("the sample on the CPU ...");
        report.expected = agree::epochs_on(&reference, left())?;
        for &precision in &precisions {
            eprintln!("the sample in {precision} ...");
            let found = agree::epochs_on(&on(precision), left());
            report.agreement.push((precision, found));
            out.write(&report)?;
        }
    }
    for work in works {
        for &precision in &precisions {
            if left() < Duration::from_secs(10) {
                eprintln!("no time left for {} in {precision}", work.name);
                continue;
            }
            eprintln!("{} in {precision} ...", work.name);
            let line = line(work, &on(precision), script.as_ref(), &mut report, left);
            report.lines.push(line);
            out.write(&report)?;
        }
    }
    print!(
        "{}",
        if check.json {
            report.json()?
        } else {
            report.text()
        }
    );
    Ok(report.is_good())
}

impl Check<'_> {
    fn precisions(&self) -> Vec<Precision> {
        match (self.precisions, self.backend) {
            ([], Backend::Cuda) => vec![Precision::F32, Precision::Tf32, Precision::Bf16],
            ([], _) => vec![Precision::F32],
            (named, _) => named.to_vec(),
        }
    }
}

/// PyTorch's side, as a file that Python can run: the program may have been built elsewhere.
struct Script<'a> {
    python: &'a Path,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl<'a> Script<'a> {
    fn new(python: Option<&'a Path>) -> Result<Option<Self>, String> {
        let Some(python) = python else {
            return Ok(None);
        };
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("device.py");
        std::fs::write(&path, include_str!("../torch/device.py"))
            .map_err(|error| error.to_string())?;
        Ok(Some(Self {
            python,
            path,
            _folder: folder,
        }))
    }
}

/// What the machine says of itself.
fn facts(check: &Check<'_>) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("mmrest", env!("CARGO_PKG_VERSION").to_owned()),
        ("processor", Calibration::measure().to_string()),
    ];
    let said = std::process::Command::new("nvidia-smi")
        .args([
            "--query-gpu=name,driver_version,memory.total,memory.used",
            "--format=csv,noheader",
        ])
        .output();
    if let Ok(said) = said
        && let Some(line) = String::from_utf8_lossy(&said.stdout)
            .lines()
            .nth(check.index)
        && check.backend != Backend::Cpu
    {
        facts.push(("nvidia-smi", line.trim().to_owned()));
    }
    facts
}

/// One work, both sides in turn.
fn line(
    work: DeviceWork,
    on: &On,
    script: Option<&Script<'_>>,
    report: &mut Report,
    left: impl Fn() -> Duration,
) -> Line {
    let mut ours = on.start(&work, left());
    if let Ok(ours) = &mut ours
        && let Ok(device) = ours.device()
    {
        report.note("device", device);
    }
    // One after the other: each has the device's memory to itself.
    let ours = ours.and_then(|mut side| measured(&mut side, &work, &left));
    let theirs = script.map(|script| {
        let mut side = on.start_torch(&work, (script.python, &script.path), left())?;
        report.note("PyTorch", side.device()?);
        measured(&mut side, &work, &left)
    });
    Line {
        work,
        precision: on.precision,
        ours,
        theirs,
    }
}

fn measured(
    side: &mut Torch,
    work: &DeviceWork,
    left: &impl Fn() -> Duration,
) -> Result<Measured, String> {
    let mut timed = || {
        side.limit(left());
        side.round()
    };
    let (samples, _) = measure_timed(&mut timed, None, work.rounds)?;
    let memory = side.memory()?;
    Ok(Measured { samples, memory })
}

impl Report {
    /// A fact that every line tells again.
    fn note(&mut self, name: &'static str, value: String) {
        if !self.facts.iter().any(|(known, _)| *known == name) {
            self.facts.push((name, value));
        }
    }

    /// The first epoch's difference in f32, where the sample was trained.
    fn exact(&self) -> Option<f64> {
        let (_, found) = self
            .agreement
            .iter()
            .find(|(precision, _)| *precision == Precision::F32)?;
        let found = found.as_ref().ok()?;
        Some(agree::difference(found.first()?, self.expected.first()?))
    }

    fn is_good(&self) -> bool {
        let worked = self.lines.iter().all(|line| line.ours.is_ok());
        let agrees = self.agreement.iter().all(|(_, found)| found.is_ok());
        worked
            && agrees
            && self
                .exact()
                .is_none_or(|difference| difference <= TOLERANCE)
    }

    /// The tables in Markdown.
    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.facts {
            let _ = writeln!(text, "- {name}: {value}");
        }
        if !self.expected.is_empty() {
            let _ = writeln!(
                text,
                "\nThe sample without dropout, compared with the CPU ({}):\n\n| precision | first epoch | last epoch | seconds of an epoch |\n|---|---|---|---|",
                COLUMNS.join(", ")
            );
            for (precision, found) in &self.agreement {
                match found {
                    Ok(found) => {
                        let pairs = found.iter().zip(&self.expected);
                        let differences: Vec<f64> =
                            pairs.map(|(a, b)| agree::difference(a, b)).collect();
                        let first = differences.first().copied().unwrap_or(f64::NAN);
                        let last = differences.last().copied().unwrap_or(f64::NAN);
                        let best = found.iter().map(|epoch| epoch.seconds);
                        let best = best.fold(f64::INFINITY, f64::min);
                        let mark = match precision {
                            Precision::F32 if first <= TOLERANCE => " (within 1e-5)",
                            Precision::F32 => " (NOT within 1e-5)",
                            _ => "",
                        };
                        let _ = writeln!(
                            text,
                            "| {precision} | {first:.1e}{mark} | {last:.1e} | {best:.2} |"
                        );
                    }
                    Err(error) => {
                        let _ = writeln!(text, "| {precision} | {} | | |", one_cell(error));
                    }
                }
            }
        }
        if !self.lines.is_empty() {
            text.push_str("\n| bench | precision | mmrest | PyTorch | ratio | goal | memory, MiB | PyTorch's |\n|---|---|---|---|---|---|---|---|\n");
        }
        for line in &self.lines {
            let time = |side: &Result<Measured, String>| match side {
                Ok(side) => seconds(side.samples.median()),
                Err(error) => one_cell(error),
            };
            let memory = |side: &Result<Measured, String>| match side {
                Ok(side) => format!("{:.0}", side.memory),
                Err(_) => String::new(),
            };
            let (theirs, of_theirs) = match &line.theirs {
                Some(theirs) => (time(theirs), memory(theirs)),
                None => Default::default(),
            };
            let ratio = line
                .ratio()
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {theirs} | {ratio} | {:.2} | {} | {of_theirs} |",
                line.work.name,
                line.precision,
                time(&line.ours),
                line.work.goal,
                memory(&line.ours),
            );
        }
        text.push('\n');
        let mut told: Vec<&str> = Vec::new();
        for line in &self.lines {
            if !told.contains(&line.work.name) {
                told.push(line.work.name);
                let _ = writeln!(text, "- `{}`: {}", line.work.name, line.work.what);
            }
        }
        text
    }

    /// Every number.
    fn json(&self) -> Result<String, String> {
        let side = |side: &Result<Measured, String>| match side {
            Ok(side) => json!({
                "median_seconds": side.samples.median(),
                "seconds": side.samples.0,
                "memory_mib": side.memory,
            }),
            Err(error) => json!({ "error": error }),
        };
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "name": line.work.name,
                    "what": line.work.what,
                    "precision": line.precision,
                    "goal": line.work.goal,
                    "ours": side(&line.ours),
                    "other": line.theirs.as_ref().map(side),
                    "ratio": line.ratio(),
                })
            })
            .collect();
        let agreement: Vec<_> = self
            .agreement
            .iter()
            .map(|(precision, found)| match found {
                Ok(epochs) => json!({ "precision": precision, "epochs": epochs }),
                Err(error) => json!({ "precision": precision, "error": error }),
            })
            .collect();
        let facts: serde_json::Map<String, serde_json::Value> = self
            .facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        let whole = json!({
            "facts": facts,
            "columns": COLUMNS,
            "cpu": self.expected,
            "sample": agreement,
            "lines": lines,
        });
        serde_json::to_string_pretty(&whole).map_err(|error| error.to_string())
    }
}

impl Line {
    /// Our median over the other side's.
    fn ratio(&self) -> Option<f64> {
        let ours = self.ours.as_ref().ok()?.samples.median();
        let theirs = self.theirs.as_ref()?.as_ref().ok()?.samples.median();
        Some(ours / theirs)
    }
}

/// A message in a cell of a table.
fn one_cell(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.replace('|', "/").chars().take(160).collect()
}

/// The folder that keeps what is known so far: a machine may be taken away at any time.
struct Out<'a>(Option<&'a Path>);

impl<'a> Out<'a> {
    fn new(check: &Check<'a>) -> Result<Self, String> {
        if let Some(folder) = check.out {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(Self(check.out))
    }

    fn write(&mut self, report: &Report) -> Result<(), String> {
        let Some(folder) = self.0 else {
            return Ok(());
        };
        for (name, text) in [("check.md", report.text()), ("check.json", report.json()?)] {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}
