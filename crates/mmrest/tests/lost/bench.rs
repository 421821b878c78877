//! A small sample, and the program started on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mmrest_datatools::sample::{self, SampleConfig};

/// Options that make a run of the sample a matter of a second.
const SMALL: [&str; 6] = [
    "model.representation=16",
    "model.channels=8",
    "model.joint=32",
    "model.hidden=16",
    "clusters.restarts=2",
    "train.batch_size=16",
];

pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = SampleConfig {
            videos: 12,
            ..SampleConfig::default()
        };
        sample::write(&config, &folder.path().join("sample")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `train sample` on this folder's data.
    pub(crate) fn train(&self, out: &str, more: &[&str]) -> Command {
        let mut command = self.program();
        command
            .args(["train", "sample", "--data"])
            .arg(self.path("sample"))
            .arg("--bert")
            .arg(self.path("sample/bert"))
            .arg("--out")
            .arg(self.path(out))
            .args(SMALL.iter().flat_map(|set| ["--set", set]))
            .args(["--set", &self.cache()])
            .args(more);
        command
    }

    /// `train` on a configuration of this folder.
    pub(crate) fn train_own(&self, config: &str, out: &str, more: &[&str]) -> Command {
        let mut command = self.program();
        command
            .arg("train")
            .arg(self.path(config))
            .arg("--out")
            .arg(self.path(out))
            .args(SMALL.iter().flat_map(|set| ["--set", set]))
            .args(["--set", &self.cache()])
            .args(more);
        command
    }

    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .env("RAYON_NUM_THREADS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn cache(&self) -> String {
        format!("data.cache={:?}", self.path("cache"))
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Both files that a run ends in.
    pub(crate) fn results(&self, run: &str) -> [String; 2] {
        ["predictions.csv", "metrics.json"].map(|file| self.read(&format!("{run}/{file}")))
    }

    /// One column of `epochs.csv`.
    pub(crate) fn epochs(&self, run: &str, column: &str) -> Vec<f64> {
        let text = self.read(&format!("{run}/epochs.csv"));
        let mut lines = text.lines();
        let names = lines.next().unwrap().split(',');
        let at = names.into_iter().position(|name| name == column).unwrap();
        lines
            .map(|line| line.split(',').nth(at).unwrap().parse().unwrap())
            .collect()
    }
}

/// Standard error of a run to the end.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = errors(&output);
    assert!(output.status.success(), "{command:?}: {errors}");
    errors
}

/// The one sentence of a run that ends with exit code 1.
pub(crate) fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {errors}");
    let told: Vec<&str> = errors
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .collect();
    assert_eq!(told.len(), 1, "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    told[0].to_string()
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file and folder below a folder.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(below(&entry.path()));
        }
    }
    found
}

/// Numbers that are the same in every run of a test.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
