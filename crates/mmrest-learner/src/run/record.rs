//! `run.json`: what ran, on what, when.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use mmrest_data::{DataReport, SourceFile};
use serde::{Deserialize, Serialize};

use super::changes::{Change, DATA};
use super::folder::RunFolder;
use crate::device::{Adapter, Backend, Precision};
use crate::error::LearnerError;
use crate::files;

/// What ran, on what, when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of mmrest.
    pub version: String,
    /// Commit of the project, if any, `-dirty` where files differ from it.
    pub git_commit: Option<String>,
    /// Every data file with its SHA-256.
    pub data_files: Vec<SourceFile>,
    /// SHA-256 of the weights the text encoder started from, or that it started from scratch.
    pub text_encoder: Option<String>,
    /// The file of weights that the run began with, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<SourceFile>,
    /// What was met while the data were read.
    pub data_report: serde_json::Value,
    /// What it ran on.
    #[serde(flatten)]
    pub computer: Computer,
    /// The seed.
    pub seed: u64,
    /// When training began, seconds since 1970; kept over resumptions.
    pub started: f64,
    /// When, and by what, the run was taken up again.
    pub resumptions: Vec<Resumption>,
    /// When it was finished.
    pub finished: Option<f64>,
    /// Most memory the program held at one time, where the system tells (Linux).
    pub peak_memory_mib: Option<f64>,
}

/// When, and by what, a run was taken up again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resumption {
    /// When, seconds since 1970.
    pub time: f64,
    /// Version of mmrest.
    pub version: String,
    /// Commit of the project, if any.
    pub git_commit: Option<String>,
    /// What was another than before, and was meant to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What it ran on from then.
    #[serde(flatten)]
    pub computer: Computer,
}

/// What a run computes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computer {
    /// The backend.
    pub backend: Backend,
    /// The devices' numbers.
    #[serde(default)]
    pub devices: Vec<usize>,
    /// The devices by name; none for the CPU.
    #[serde(default)]
    pub adapters: Vec<Adapter>,
    /// In what matrix products are computed.
    #[serde(default)]
    pub precision: Precision,
}

impl RunRecord {
    /// The record of a run that begins now. `root` is the project's.
    pub(crate) fn begin(
        data_files: Vec<SourceFile>,
        report: &DataReport,
        computer: Computer,
        seed: u64,
        root: &Path,
    ) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            git_commit: git_commit(root),
            data_files,
            text_encoder: None,
            initial_weights: None,
            data_report: serde_json::to_value(report).unwrap_or_default(),
            computer,
            seed,
            started: now(),
            resumptions: Vec::new(),
            finished: None,
            peak_memory_mib: None,
        }
    }

    /// The record of a run; none where there is none, as beside a model that was copied alone.
    ///
    /// # Errors
    ///
    /// It is damaged.
    pub fn of(folder: &RunFolder) -> Result<Option<Self>, LearnerError> {
        let path = folder.record();
        path.exists().then(|| files::read_json(&path)).transpose()
    }

    /// Goes on with the record of the run's first start: this start becomes a resumption. The data are this start's: the
    /// same, or others that were meant.
    pub(crate) fn resumption(&mut self, first: Self, changes: Vec<Change>) {
        let mut resumptions = first.resumptions;
        resumptions.push(Resumption {
            time: self.started,
            version: std::mem::replace(&mut self.version, first.version),
            git_commit: std::mem::replace(&mut self.git_commit, first.git_commit),
            changes,
            computer: std::mem::replace(&mut self.computer, first.computer),
        });
        self.resumptions = resumptions;
        self.started = first.started;
        self.initial_weights = first.initial_weights;
        self.peak_memory_mib = first.peak_memory_mib;
    }

    /// Notes how much memory the program held at most, over all its starts.
    pub(crate) fn note_peak_memory(&mut self) {
        let now = peak_memory_mib();
        self.peak_memory_mib = match (self.peak_memory_mib, now) {
            (Some(before), Some(now)) => Some(before.max(now)),
            (before, now) => now.or(before),
        };
    }

    /// The first data file that is not what it was, or that was there and is not any more.
    pub(crate) fn changed_file<'a>(&'a self, files: &'a [SourceFile]) -> Option<&'a SourceFile> {
        let among = |files: &[SourceFile], file: &SourceFile| {
            files.iter().any(|other| other.sha256 == file.sha256)
        };
        let new = files.iter().find(|file| !among(&self.data_files, file));
        new.or_else(|| self.data_files.iter().find(|file| !among(files, file)))
    }

    /// What the data files were, and are.
    pub(crate) fn data_change(&self, now: &Self) -> Change {
        let json = |files: &[SourceFile]| serde_json::to_value(files).unwrap_or_default();
        Change {
            key: DATA.into(),
            from: json(&self.data_files),
            to: json(&now.data_files),
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

/// The commit that is checked out at `root`, with `-dirty` behind it where files differ; none without git or a repository.
fn git_commit(root: &Path) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=40",
            "--exclude=*",
        ])
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    let commit = commit.trim();
    (output.status.success() && !commit.is_empty()).then(|| commit.to_string())
}

/// Most memory this process held at one time, in MiB.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
