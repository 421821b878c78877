//! What the tests of the program share: starting it, reading its output, and a folder with the built-in sample.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of each test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mmrest_datatools::sample::{self, SampleConfig};
use serde_json::Value;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// The program, started in the workspace, without input.
pub fn program() -> Command {
    program_in(&workspace())
}

/// The program, started in a folder, without input.
pub fn program_in(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `mmrest` with these arguments to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Runs `mmrest` with these arguments, which must succeed, and returns its standard output.
pub fn succeed(arguments: &[&str]) -> String {
    stdout(&succeed_with(program().args(arguments)))
}

/// Runs `mmrest` with these arguments, which must fail with one error, and returns the error.
pub fn fail(arguments: &[&str]) -> String {
    fail_with(program().args(arguments))
}

/// Runs a command that must succeed.
pub fn succeed_with(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let errors = stderr(&output);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}

/// Runs a command that must end with exit code 1 and one error, and returns the error, from its first line to the end.
pub fn fail_with(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    let lines: Vec<&str> = errors.lines().collect();
    let starts = |place: &usize| lines[*place].starts_with("error: ");
    let errors_at: Vec<usize> = (0..lines.len()).filter(starts).collect();
    assert_eq!(errors_at.len(), 1, "{errors}");
    lines[errors_at[0]..].join("\n")
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every line of a text as JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Presses Ctrl-C.
#[cfg(unix)]
pub fn interrupt(child: &Child) {
    send(child, nix::sys::signal::Signal::SIGINT);
}

/// Sends a signal, at once: a program of its own for that may come too late.
#[cfg(unix)]
pub fn send(child: &Child, signal: nix::sys::signal::Signal) {
    let pid = i32::try_from(child.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// Lets this process, and those that it starts, open as many files as the system allows: many have a limit of 1,024, which a
/// thousand connections reach.
#[cfg(unix)]
pub fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Some systems have no limit, and yet refuse to be asked for none.
    let wanted = hard.min(1 << 16);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
}

/// Waits until a run that `child` trains has a checkpoint, of whatever epoch: only the newest are kept.
pub fn wait_for_checkpoint(run: &Path, child: &mut Child) {
    let began = Instant::now();
    let there = || {
        let entries = std::fs::read_dir(run.join("checkpoints"));
        let mut entries = entries.into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_string_lossy().starts_with("epoch-"))
    };
    while !there() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(began.elapsed() < Duration::from_secs(300), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The most memory that a process has held so far, in bytes, where the system tells.
pub fn peak_memory(child: &Child) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib << 10)
}

/// Every file and folder below a folder.
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(below(&entry.path()));
        }
    }
    found
}

/// Makes a model folder one of an older version: without a list of its files, and without a word of one.
pub fn unseal(model: &std::path::Path) {
    std::fs::remove_file(model.join("SHA256SUMS")).unwrap();
    let stamp = model.join("model.json");
    let text = std::fs::read_to_string(&stamp).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["files", "sha256sums", "seal"] {
        assert!(json.as_object_mut().unwrap().remove(key).is_some());
    }
    std::fs::write(stamp, json.to_string()).unwrap();
}

/// Options that make training on the small sample a matter of a second.
pub const SMALL: [&str; 6] = [
    "model.mmrest.representation=16",
    "model.mmrest.channels=8",
    "model.mmrest.joint=32",
    "model.mmrest.hidden=16",
    "model.mmrest.clusters.restarts=2",
    "train.batch_size=16",
];

/// A temporary folder with the built-in sample in `sample/`.
pub struct Fixture {
    folder: tempfile::TempDir,
    small: bool,
}

impl Fixture {
    /// With the sample as `mmrest data sample` writes it.
    pub fn new() -> Self {
        Self::of(SampleConfig::default(), false)
    }

    /// With a fifth of the sample, on which small models are trained by one thread.
    pub fn small() -> Self {
        let config = SampleConfig {
            videos: 12,
            ..SampleConfig::default()
        };
        Self::of(config, true)
    }

    fn of(config: SampleConfig, small: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        sample::write(&config, &folder.path().join("sample")).unwrap();
        Self { folder, small }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in the folder, as an argument of the program.
    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The text of a file in the folder.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// A JSON file in the folder.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// `mmrest train sample` on this folder's data, into a folder beside them: MMRest by preset `paper`, whose figures the
    /// tests know, unless `more` says otherwise.
    pub fn train(&self, out: &str, more: &[&str]) -> Command {
        let bert = self.arg("sample/bert");
        let data = ["sample", "--data", &self.arg("sample"), "--bert", &bert];
        let other = more
            .iter()
            .any(|set| set.starts_with("model.name=") || set.starts_with("preset="));
        let paper = ["--set", "preset=paper"];
        let paper = if other { &[][..] } else { &paper };
        self.train_with(&data, out, &[paper, more].concat())
    }

    /// `mmrest train` on a configuration in this folder.
    pub fn train_own(&self, config: &str, out: &str, more: &[&str]) -> Command {
        self.train_with(&[&self.arg(config)], out, more)
    }

    fn train_with(&self, config: &[&str], out: &str, more: &[&str]) -> Command {
        let mut command = self.program();
        command.arg("train").args(config);
        command.args(["--out", &self.arg(out)]);
        if self.small {
            let cache = format!("data.cache={:?}", self.path("cache"));
            let options = SMALL.into_iter().chain([cache.as_str()]);
            command.args(options.flat_map(|set| ["--set", set]));
        }
        command.args(more);
        command
    }

    /// The program, with one thread where the models are small.
    pub fn program(&self) -> Command {
        let mut command = program();
        if self.small {
            command.env("RAYON_NUM_THREADS", "1");
        }
        command
    }

    /// The contents of both files that a run ends with.
    pub fn results(&self, run: &str) -> [String; 2] {
        ["predictions.csv", "metrics.json"].map(|file| self.read(&format!("{run}/{file}")))
    }

    /// One column of `epochs.csv`.
    pub fn epochs(&self, run: &str, column: &str) -> Vec<f64> {
        let text = self.read(&format!("{run}/epochs.csv"));
        let mut lines = text.lines();
        let names = lines.next().unwrap().split(',');
        let at = names.into_iter().position(|name| name == column).unwrap();
        lines
            .map(|line| line.split(',').nth(at).unwrap().parse().unwrap())
            .collect()
    }
}
