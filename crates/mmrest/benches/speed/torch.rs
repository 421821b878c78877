//! A process that does a work when told to: Python's as the other side, or this program with a device of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;

/// The other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// The same work written in PyTorch.
    Torch,
    /// The training code of MMSA, the field's toolkit, on the models that it has.
    Mmsa,
}

/// What a peer needs: packages, how Python imports them, its virtual environment and its script.
struct Needs {
    packages: &'static str,
    imports: &'static str,
    environment: &'static str,
    script: &'static str,
}

impl Peer {
    /// What a work needs, or several (by no name).
    fn needs(self, work: &str) -> Needs {
        match self {
            Self::Torch if work == "sims33" => Needs {
                packages: "librosa numpy",
                imports: "librosa, numpy",
                environment: "target/torch",
                script: "benches/torch/sound.py",
            },
            Self::Torch => Needs {
                packages: "torch transformers tokenizers scikit-learn librosa numpy",
                imports: "torch, transformers, tokenizers, sklearn, librosa, numpy",
                environment: "target/torch",
                script: "benches/torch/speed.py",
            },
            // MMSA does not work with later versions of transformers.
            Self::Mmsa => Needs {
                packages: "MMSA transformers==4.38.2",
                imports: "MMSA",
                environment: "target/mmsa",
                script: "benches/torch/mmsa.py",
            },
        }
    }
}

/// A running side of a comparison.
pub(crate) struct Torch {
    name: String,
    child: Child,
    /// None at the end.
    to: Option<ChildStdin>,
    lines: Receiver<std::io::Result<String>>,
    /// How long an answer may take.
    patience: Duration,
}

/// How long an answer may take where nobody says.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long it may take to end once its input has ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// The interpreter to use for a work, or for several (by no name), or how to get one.
pub(crate) fn interpreter(
    peer: Peer,
    work: &str,
    given: Option<&Path>,
    root: &Path,
) -> Result<PathBuf, String> {
    interpreter_with(peer.needs(work), given, root)
}

/// The same for a device's table, which needs less.
pub(crate) fn device_interpreter(given: Option<&Path>, root: &Path) -> Result<PathBuf, String> {
    let needs = Needs {
        packages: "torch transformers",
        imports: "torch, transformers",
        ..Peer::Torch.needs("")
    };
    interpreter_with(needs, given, root)
}

fn interpreter_with(needs: Needs, given: Option<&Path>, root: &Path) -> Result<PathBuf, String> {
    let Needs {
        packages,
        imports,
        environment,
        ..
    } = needs;
    let environment = root.join(environment);
    let python = given.map_or_else(|| environment.join("bin/python"), Path::to_path_buf);
    let works = Command::new(&python)
        .args(["-c", &format!("import {imports}")])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if works {
        return Ok(python);
    }
    let environment = environment.display();
    Err(format!(
        "{} has not all of {packages}: give another by --python FILE, or make the environment (3 to 6 GB) with\n  \
         python3 -m venv {environment} && {environment}/bin/pip install {packages}",
        python.display()
    ))
}

impl Torch {
    /// Starts the work of that name and waits until it is set up.
    pub(crate) fn start<A: AsRef<OsStr>>(
        peer: Peer,
        python: &Path,
        work: &str,
        threads: usize,
        more: &[A],
    ) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(peer.needs(work).script);
        let mut command = Command::new(python);
        command
            .arg(script)
            .args([work, &threads.to_string()])
            .args(more);
        Self::run(&mut command, work, PATIENCE)
    }

    /// Starts a process that speaks as benches/torch/speed.py does, and waits until its work is set up.
    pub(crate) fn run(
        command: &mut Command,
        work: &str,
        patience: Duration,
    ) -> Result<Self, String> {
        let program = Path::new(command.get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("cannot talk to {name}"));
        };
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut torch = Self {
            name,
            child,
            to: Some(to),
            lines,
            patience,
        };
        match torch.line()?.as_str() {
            "ready" => Ok(torch),
            other => Err(format!(
                "{} says {other:?} of {work} instead of \"ready\"",
                torch.name
            )),
        }
    }

    /// Limits how long every answer from now on may take.
    pub(crate) fn limit(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// One round: its seconds.
    pub(crate) fn round(&mut self) -> Result<f64, String> {
        self.ask("go")
    }

    /// Most memory it held at one time, in MiB.
    pub(crate) fn memory(&mut self) -> Result<f64, String> {
        self.ask("memory")
    }

    /// What it computes on.
    pub(crate) fn device(&mut self) -> Result<String, String> {
        self.tell("device")?;
        self.line()
    }

    /// What it says once, after it was ready.
    pub(crate) fn answer(&mut self) -> Result<String, String> {
        self.line()
    }

    fn ask(&mut self, what: &str) -> Result<f64, String> {
        self.tell(what)?;
        let line = self.line()?;
        line.parse()
            .map_err(|_| format!("{} says {line:?} instead of a number", self.name))
    }

    fn tell(&mut self, what: &str) -> Result<(), String> {
        let to = self.to.as_mut();
        to.map_or(Ok(()), |to| {
            writeln!(to, "{what}").and_then(|()| to.flush())
        })
        .map_err(|error| format!("cannot talk to {}: {error}", self.name))
    }

    fn line(&mut self) -> Result<String, String> {
        match self.lines.recv_timeout(self.patience) {
            Ok(Ok(line)) => Ok(line.trim().to_owned()),
            Ok(Err(error)) => Err(format!("cannot talk to {}: {error}", self.name)),
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "{} did not answer within {:.0} s",
                self.name,
                self.patience.as_secs_f64()
            )),
            Err(RecvTimeoutError::Disconnected) => Err(format!(
                "{} has ended early; its own message stands above",
                self.name
            )),
        }
    }
}

impl Drop for Torch {
    /// The end of its input lets it end its own processes; one that goes on is killed.
    fn drop(&mut self) {
        drop(self.to.take());
        let began = Instant::now();
        while began.elapsed() < FAREWELL && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
