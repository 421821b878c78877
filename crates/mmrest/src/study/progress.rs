//! Shows a study while it runs: a line per run, and the time left.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mmrest_learner::Figures;

use super::runs::{Ended, Run, RunResult, State, read_times};
use crate::display::clock;
use crate::interrupt::say;

/// Shows a running study.
pub(crate) struct Progress {
    bar: ProgressBar,
    quiet: bool,
    jobs: usize,
    /// Whether lines of runs say what came out on the test split.
    show_test: bool,
    known: Mutex<Known>,
}

struct Known {
    total: usize,
    done: usize,
    failed: usize,
    /// The seconds that complete runs took.
    seconds: Vec<f64>,
    /// When each running run began.
    running: BTreeMap<String, Instant>,
    /// The lowest validation error, and the text about its run.
    best: Option<(f64, String)>,
}

impl Progress {
    /// The progress of a study's runs; those that are finished already are counted.
    /// `show_test`: whether the test split is shown, which it is not while a search goes by validation.
    pub(crate) fn new(runs: &[(Run, State)], jobs: usize, quiet: bool, show_test: bool) -> Self {
        let bar = if !quiet && std::io::stderr().is_terminal() {
            ProgressBar::new(runs.len() as u64)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar}") {
            bar.set_style(style);
        }
        let mut known = Known {
            total: runs.len(),
            done: 0,
            failed: 0,
            seconds: Vec::new(),
            running: BTreeMap::new(),
            best: None,
        };
        for (run, _) in runs.iter().filter(|(_, state)| *state == State::Finished) {
            known.done += 1;
            known.seconds.extend(read_times(&run.folder));
            if let Ok(result) = RunResult::read(run) {
                known.consider(run, &result);
            }
        }
        Self {
            bar,
            quiet,
            jobs,
            show_test,
            known: Mutex::new(known),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints how many runs are finished already.
    pub(crate) fn start(&self) {
        let known = self.lock();
        if known.done > 0 {
            self.line(&format!(
                "{} of {} runs are finished already",
                known.done, known.total
            ));
        }
        self.show(&known, "");
    }

    /// A run begins.
    pub(crate) fn begin(&self, run: &Run) {
        let mut known = self.lock();
        known.running.insert(run.name(), Instant::now());
        self.show(&known, &run.name());
    }

    /// A run has done an epoch.
    pub(crate) fn epoch(&self, run: &Run, epoch: usize) {
        let most = run.variant.config.train.epochs;
        self.show(
            &self.lock(),
            &format!("{} epoch {epoch}/{most}", run.name()),
        );
    }

    /// A run has ended.
    pub(crate) fn end(&self, run: &Run, ended: &Ended) {
        let mut known = self.lock();
        let took = known
            .running
            .remove(&run.name())
            .map(|since| since.elapsed());
        match ended {
            Ended::Interrupted => return,
            Ended::Paused => {
                known.done += 1;
                let mae = run.valid_by_epoch().into_iter().fold(f64::NAN, f64::min);
                self.line(&format!("{:<24}  valid mae {mae:.4}  paused", run.name()));
            }
            Ended::Failed(error) => {
                known.failed += 1;
                self.line(&format!("{}  failed: {error}", run.name()));
            }
            Ended::Finished => {
                known.done += 1;
                known.seconds.extend(took.map(|took| took.as_secs_f64()));
                if let Ok(result) = RunResult::read(run) {
                    let took = took.unwrap_or_default();
                    self.line(&line(run, &result, took, self.show_test));
                    known.consider(run, &result);
                }
            }
        }
        if self.bar.is_hidden() && !self.quiet {
            say(&known.told(self.jobs));
        }
        self.show(&known, "");
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, known: &Known, now: &str) {
        self.bar.set_position(known.done as u64);
        let told = known.told(self.jobs);
        self.bar.set_message(match now {
            "" => told,
            now => format!("{told}; {now}"),
        });
    }

    /// Prints a line on standard output, above the bar.
    pub(crate) fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| {
                let _ = writeln!(std::io::stdout(), "{text}"); // a study goes on where nobody reads it
            });
        }
    }
}

impl Known {
    /// Keeps a run as the best one, if it is.
    fn consider(&mut self, run: &Run, result: &RunResult) {
        let mae = result.metrics.valid.mae();
        if self.best.as_ref().is_none_or(|(best, _)| mae < *best) {
            self.best = Some((mae, format!("{}: valid mae {mae:.4}", run.name())));
        }
    }

    /// `3 of 10 runs, about 1:23 left, best so far full seed 2: valid mae 0.7123`.
    fn told(&self, jobs: usize) -> String {
        let mut told = format!("{} of {} runs", self.done, self.total);
        if self.failed > 0 {
            told += &format!(", {} failed", self.failed);
        }
        if let Some(left) = self.left(jobs) {
            told += &format!(", about {} left", clock(left));
        }
        if let Some((_, best)) = &self.best {
            told += &format!(", best so far {best}");
        }
        told
    }

    /// The time left, estimated from the runs so far.
    fn left(&self, jobs: usize) -> Option<Duration> {
        let left = self.total.saturating_sub(self.done + self.failed);
        if self.seconds.is_empty() || left == 0 {
            return None;
        }
        let mean = self.seconds.iter().sum::<f64>() / self.seconds.len() as f64;
        let running = self.running.values();
        let done: f64 = running
            .map(|since| since.elapsed().as_secs_f64().min(mean))
            .sum();
        let at_once = jobs.min(left) as f64;
        Duration::try_from_secs_f64((mean * left as f64 - done) / at_once).ok()
    }
}

fn line(run: &Run, result: &RunResult, took: Duration, show_test: bool) -> String {
    let told = |figures: &Figures| {
        let (finest, accuracy) = figures.finest();
        format!("mae {:.4} {finest} {accuracy:.4}", figures.mae())
    };
    let test = show_test.then(|| format!("  test {}", told(&result.metrics.test)));
    format!(
        "{:<24}  valid {}{}  epoch {}  {}",
        run.name(),
        told(&result.metrics.valid),
        test.unwrap_or_default(),
        result.metrics.selected_epoch,
        clock(took)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_shared_by_the_jobs() {
        let mut known = Known {
            total: 10,
            done: 4,
            failed: 1,
            seconds: vec![50.0, 70.0],
            running: BTreeMap::new(),
            best: None,
        };
        assert_eq!(known.told(1), "4 of 10 runs, 1 failed, about 5:00 left");
        assert_eq!(known.told(2), "4 of 10 runs, 1 failed, about 2:30 left");
        known.best = Some((0.5, "a seed 1: valid mae 0.5000".into()));
        (known.done, known.failed) = (10, 0);
        assert_eq!(
            known.told(2),
            "10 of 10 runs, best so far a seed 1: valid mae 0.5000"
        );
    }
}
