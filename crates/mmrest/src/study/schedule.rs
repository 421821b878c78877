//! Has the runs done, some at a time, whatever becomes of the others.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};

use super::child::{Children, Ended, Launch};
use super::progress::Progress;
use super::runs::{Run, State};

/// A run that failed, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) variant: String,
    pub(crate) seed: u64,
    pub(crate) error: String,
}

/// Does the runs that are not finished, `jobs` at a time, and returns those that failed. An error is one that would meet
/// every run.
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
    let worker = || -> Result<()> {
        while !children.stopping() {
            let Some((run, state)) = lock(&queue).pop_front() else {
                break;
            };
            run.write_config()?;
            progress.begin(run);
            let resume = *state == State::Begun;
            let ended = children.run(run, resume, launch, |epoch| progress.epoch(run, epoch))?;
            progress.end(run, &ended);
            if let Ended::Failed(error) = ended {
                lock(&failures).push(Failure {
                    variant: run.variant.name.clone(),
                    seed: run.seed,
                    error,
                });
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
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
