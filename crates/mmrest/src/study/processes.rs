//! Trains each run of a study in a child process, so that a crash or a lack of memory cannot end the study.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use mmrest_learner::Backend;
use serde::Deserialize;

use super::progress::Progress;
use super::runs::{Ended, Run, State};

/// The time between two checks whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The exit code of a run that was interrupted.
const INTERRUPTED: i32 = 130;

/// How a run is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// What runs compute on: each has one of these devices.
    pub(crate) backend: Backend,
    pub(crate) devices: Vec<usize>,
    /// The threads per run, where runs share the processor.
    pub(crate) threads: Option<usize>,
    /// The epoch after which a run pauses; by default it goes on to its end.
    pub(crate) until: Option<usize>,
}

impl Launch {
    /// The device of one of several places in which runs go on at a time.
    pub(crate) fn device(&self, place: usize) -> usize {
        let count = self.devices.len().max(1);
        self.devices.get(place % count).copied().unwrap_or(0)
    }
}

/// The processes that are running.
#[derive(Default)]
pub(crate) struct Children(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    stopping: bool,
    next: u64,
    running: BTreeMap<u64, Child>,
}

/// The part of an epoch's line that is read.
#[derive(Deserialize)]
struct EpochLine {
    epoch: usize,
}

impl Children {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all were asked to stop.
    pub(crate) fn stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Interrupts all processes as Ctrl-C does, and lets no other begin. They keep their last epoch.
    pub(crate) fn stop(&self) {
        let mut registry = self.lock();
        registry.stopping = true;
        registry.running.values_mut().for_each(interrupt);
    }

    /// Trains a run from its start, or from where it was, to its end, or until it has done as many epochs as `launch` says;
    /// on a device; calls `epoch` after each epoch.
    pub(crate) fn run(
        &self,
        run: &Run,
        resume: bool,
        launch: &Launch,
        device: usize,
        epoch: impl Fn(usize),
    ) -> Result<Ended> {
        let mut command = command(run, resume, launch, device)?;
        let mut reached = false;
        let (id, mut child_out, child_err) = {
            let mut registry = self.lock();
            if registry.stopping {
                return Ok(Ended::Interrupted);
            }
            let mut child = command.spawn().context("cannot start a run")?;
            let pipes = (child.stdout.take(), child.stderr.take());
            registry.next += 1;
            let id = registry.next;
            registry.running.insert(id, child);
            (id, pipes.0, pipes.1)
        };
        let errors = std::thread::scope(|scope| {
            let errors = scope.spawn(|| everything(child_err));
            for line in child_out
                .iter_mut()
                .flat_map(|out| BufReader::new(out).lines())
            {
                let line = line.unwrap_or_default();
                if let Ok(row) = serde_json::from_str::<EpochLine>(&line) {
                    epoch(row.epoch);
                    reached = launch.until.is_some_and(|until| row.epoch >= until);
                }
            }
            errors.join().unwrap_or_default()
        });
        let status = self.wait(id)?;
        let code = status.and_then(|status| status.code());
        if reached && code == Some(INTERRUPTED) {
            return Ok(Ended::Paused);
        }
        Ok(ended(status, &errors, self.stopping()))
    }

    /// Waits for a process without blocking [`stop`](Self::stop).
    fn wait(&self, id: u64) -> Result<Option<ExitStatus>> {
        loop {
            let mut registry = self.lock();
            let Some(child) = registry.running.get_mut(&id) else {
                return Ok(None);
            };
            if let Some(status) = child.try_wait().context("cannot wait for a run")? {
                registry.running.remove(&id);
                return Ok(Some(status));
            }
            drop(registry);
            std::thread::sleep(LOOK);
        }
    }
}

/// The command `mmrest train` of a run, in a separate process group, so that Ctrl-C reaches it only through this program.
fn command(run: &Run, resume: bool, launch: &Launch, device: usize) -> Result<Command> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let mut command = Command::new(program);
    command
        .arg("train")
        .arg(run.config_file())
        .arg("--out")
        .arg(run.folder.path())
        .args(resume.then_some("--resume"))
        .args(["--json", "--of-study"])
        .args(["--backend", &launch.backend.to_string()])
        .args(["--device", &device.to_string()])
        .args(launch.until.map(|epoch| format!("--until={epoch}")))
        // Held until the run has ended: one whose study is killed ends with it.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(threads) = launch.threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

fn everything(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        let _ = from.read_to_end(&mut bytes); // what came before an error is all there is
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(unix)]
fn interrupt(child: &mut Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(id), Signal::SIGINT); // one that has ended cannot be told
    }
}

#[cfg(not(unix))]
fn interrupt(child: &mut Child) {
    let _ = child.kill(); // its checkpoints are whole at any moment
}

/// How a run ended, from its exit code and its standard error.
fn ended(status: Option<ExitStatus>, errors: &str, stopping: bool) -> Ended {
    let code = status.and_then(|status| status.code());
    // The last error, which may go on for lines.
    let lines: Vec<&str> = errors.lines().map(str::trim).collect();
    let mut parts = lines.rsplitn(2, |line| line.starts_with("error: "));
    let goes_on = parts.next().unwrap_or_default();
    let first = lines[..lines.len() - goes_on.len()].last();
    let first = first.and_then(|line| line.strip_prefix("error: "));
    let said = first.map(|first| [&[first], goes_on].concat().join(" ").trim_end().to_owned());
    match (code, said) {
        (Some(0), _) => Ended::Finished,
        _ if stopping => Ended::Interrupted,
        (Some(INTERRUPTED), _) => Ended::Failed("it was interrupted".into()),
        (_, Some(said)) => Ended::Failed(said),
        (Some(code), None) => Ended::Failed(match errors.lines().rfind(|line| !line.is_empty()) {
            Some(last) => format!("exit code {code}: {last}"),
            None => format!("exit code {code}"),
        }),
        (None, None) => Ended::Failed(match status {
            Some(status) => format!("the system ended it ({status}), perhaps for lack of memory"),
            None => "it was lost".into(),
        }),
    }
}

/// A run that failed, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) variant: String,
    pub(crate) seed: u64,
    pub(crate) fold: Option<usize>,
    pub(crate) error: String,
}

/// Trains the runs that are not finished, `jobs` at a time, and returns those that failed. An error is one that every run
/// would have.
pub(crate) fn work(
    runs: &[(Run, State)],
    jobs: usize,
    launch: &Launch,
    children: &Children,
    progress: &Progress,
) -> Result<Vec<Failure>> {
    let left = runs.iter().filter(|(_, state)| *state != State::Finished);
    let queue: Mutex<VecDeque<&(Run, State)>> = Mutex::new(left.collect());
    let failures = Mutex::new(Vec::new());
    let worker = |place: usize| -> Result<()> {
        let device = launch.device(place);
        while !children.stopping() {
            let Some((run, state)) = lock(&queue).pop_front() else {
                break;
            };
            run.write_config()?;
            progress.begin(run);
            let resume = *state == State::Begun;
            let epoch = |epoch| progress.epoch(run, epoch);
            let ended = children.run(run, resume, launch, device, epoch)?;
            progress.end(run, &ended);
            if let Ended::Failed(error) = ended {
                lock(&failures).push(Failure {
                    variant: run.variant.name.clone(),
                    seed: run.seed,
                    fold: run.fold.map(|fold| fold.number),
                    error,
                });
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let worker = &worker;
        let workers = (0..jobs).map(|place| scope.spawn(move || worker(place)));
        let workers: Vec<_> = workers.collect();
        let broken = || anyhow!("internal error: the watcher of a run panicked; please report it");
        let mut outcomes = workers.into_iter().map(|worker| worker.join());
        outcomes.try_for_each(|outcome| outcome.unwrap_or_else(|_| Err(broken())))
    })?;
    Ok(failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn runs_at_a_time_are_spread_over_the_devices() {
        let launch = |devices: &[usize]| Launch {
            backend: Backend::Cpu,
            devices: devices.to_vec(),
            threads: None,
            until: None,
        };
        let places = |devices: &[usize]| [0, 1, 2].map(|place| launch(devices).device(place));
        assert_eq!(places(&[3]), [3, 3, 3]);
        assert_eq!(places(&[1, 3]), [1, 3, 1]);
    }

    #[test]
    fn a_failure_is_told_with_all_its_lines() {
        let failed = |errors: &str| match ended(Some(ExitStatus::from_raw(1 << 8)), errors, false) {
            Ended::Failed(why) => why,
            _ => panic!("exit code 1 is a failure"),
        };
        let several = "warning: odd\nerror: 2 data files not found:\n  /a/b.csd\n  /a/c.csd\n";
        assert_eq!(failed(several), "2 data files not found: /a/b.csd /a/c.csd");
        assert_eq!(failed("error: one\nerror: two\n"), "two");
        assert_eq!(failed("lost\n\n"), "exit code 1: lost");
        assert_eq!(failed(""), "exit code 1");
    }
}
