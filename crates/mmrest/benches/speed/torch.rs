//! The other side: a Python process that does the same work when told to.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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

/// A running comparison.
pub(crate) struct Torch {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// The interpreter to use for a work, or for several (by no name), or how to get one.
pub(crate) fn interpreter(
    peer: Peer,
    work: &str,
    given: Option<&Path>,
    root: &Path,
) -> Result<PathBuf, String> {
    let Needs {
        packages,
        imports,
        environment,
        ..
    } = peer.needs(work);
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
        let mut child = Command::new(python)
            .arg(script)
            .args([work, &threads.to_string()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("cannot talk to Python".to_owned());
        };
        let mut torch = Self {
            child,
            to,
            from: BufReader::new(from),
        };
        match torch.line()?.as_str() {
            "ready" => Ok(torch),
            other => Err(format!(
                "Python says {other:?} of {work} instead of \"ready\""
            )),
        }
    }

    /// One round: its seconds.
    pub(crate) fn round(&mut self) -> Result<f64, String> {
        self.ask("go")
    }

    /// Most memory it held at one time, in MiB.
    pub(crate) fn memory(&mut self) -> Result<f64, String> {
        self.ask("memory")
    }

    fn ask(&mut self, what: &str) -> Result<f64, String> {
        writeln!(self.to, "{what}")
            .and_then(|()| self.to.flush())
            .map_err(|error| format!("cannot talk to Python: {error}"))?;
        let line = self.line()?;
        line.parse()
            .map_err(|_| format!("Python says {line:?} instead of a number"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) => Err("Python has ended early; its own message stands above".to_owned()),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(format!("cannot talk to Python: {error}")),
        }
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
