//! A trained run, and the program that serves it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

#[cfg(unix)]
use crate::common::raise_open_files;
use crate::common::{Fixture, program, succeed_with};

static TRAINED: LazyLock<Fixture> = LazyLock::new(|| {
    let trained = Fixture::new();
    train(&trained, "run", &["--epochs", "2"]);
    trained
});

/// A run of two epochs on the sample, which all tests here use.
pub(crate) fn trained() -> &'static Fixture {
    &TRAINED
}

/// Trains on the sample.
pub(crate) fn train(fixture: &Fixture, run: &str, options: &[&str]) {
    succeed_with(fixture.train(run, options).arg("--quiet"));
}

/// A server, stopped when it is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) base: String,
    pub(crate) agent: Agent,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self::of(&trained().arg("run"), arguments)
    }

    /// Serves another run.
    pub(crate) fn of(run: &str, arguments: &[&str]) -> Self {
        #[cfg(unix)]
        raise_open_files();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut child = program()
            .args(["serve", run, "--port", "0"])
            .args(arguments)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut first).unwrap();
        let base = first.trim().strip_prefix("listening on ");
        let base = base.unwrap_or_else(|| panic!("{first}\n{}", read(&log)));
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .proxy(None)
            // One that waits for its next request may be closed at any time.
            .max_idle_connections(0)
            .build();
        Self {
            child,
            base: base.to_string(),
            agent: agent.into(),
            log,
            _folder: folder,
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut response = self
            .agent
            .get(format!("{}{path}", self.base))
            .call()
            .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    }

    pub(crate) fn model(&self) -> Value {
        serde_json::from_str(&self.get("/v1/model").1).unwrap()
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &str) -> (u16, String) {
        let request = self.agent.post(format!("{}{path}", self.base));
        let mut response = request.content_type(kind).send(body).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&format!("{name} ")));
        value
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .unwrap()
    }

    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
