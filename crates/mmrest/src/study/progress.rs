//! Shows a study while it runs: a table with a row per run, and the time left.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mmrest_learner::Figures;
use serde_json::{Value, json};

use super::runs::{Ended, Run, RunResult, State, read_times};
use crate::display::{Style, print_json};
use crate::numbers::{NONE, clock, heading, in_table, in_text};
use crate::screen::{self, Column, Columns, shortened};

/// Shows a running study.
pub(crate) struct Progress {
    bar: ProgressBar,
    style: Style,
    show_test: bool,
    jobs: usize,
    /// The table, and the width of its names.
    table: (Columns, usize),
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
    /// The lowest validation error.
    best: Option<f64>,
    /// Whether the table's header is printed.
    headed: bool,
}

impl Progress {
    /// The progress of a study's runs; those that are finished already are counted.
    /// `show_test`: whether the test split is shown, which it is not while a search goes by validation.
    pub(crate) fn new(runs: &[(Run, State)], jobs: usize, style: Style, show_test: bool) -> Self {
        let bar = match style {
            Style::Terminal => ProgressBar::new(runs.len() as u64),
            _ => ProgressBar::hidden(),
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
            headed: false,
        };
        for (run, _) in runs.iter().filter(|(_, state)| *state == State::Finished) {
            known.done += 1;
            known.seconds.extend(read_times(&run.folder));
            if let Ok(result) = RunResult::read(run) {
                known.consider(&result);
            }
        }
        Self {
            bar,
            style,
            show_test,
            jobs,
            table: table(runs, show_test, screen::width()),
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
        self.event(run, "run started", json!({ "folder": run.folder.path() }));
        let mut known = self.lock();
        known.running.insert(run.name(), Instant::now());
        self.show(&known, &run.name());
    }

    /// A run has done an epoch.
    pub(crate) fn epoch(&self, run: &Run, epoch: usize) {
        let most = run.variant.config.train.epochs;
        self.event(run, "epoch", json!({ "epoch": epoch, "epochs": most }));
        self.show(
            &self.lock(),
            &format!("{} epoch {epoch}/{most}", run.name()),
        );
    }

    /// A run has ended.
    pub(crate) fn end(&self, run: &Run, ended: &Ended) {
        if self.style == Style::Json {
            let (event, more) = self.outcome(run, ended);
            self.event(run, event, more);
        }
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
                self.row(
                    &mut known,
                    run,
                    " ",
                    &[Some(("mae", mae)), None, None, None],
                    [NONE, "paused"],
                );
            }
            Ended::Failed(error) => {
                known.failed += 1;
                self.line(&format!("{} failed: {error}", run.name()));
            }
            Ended::Finished => {
                known.done += 1;
                known.seconds.extend(took.map(|took| took.as_secs_f64()));
                if let Ok(result) = RunResult::read(run) {
                    let mark = if known.consider(&result) { "*" } else { " " };
                    let metrics = &result.metrics;
                    let figures = [&metrics.valid, &metrics.test].map(told);
                    let took = clock(took.unwrap_or_default());
                    let epoch = metrics.selected_epoch.to_string();
                    self.row(&mut known, run, mark, &figures.concat(), [&epoch, &took]);
                }
            }
        }
        self.show(&known, "");
    }

    /// What a run came to, as an event.
    fn outcome(&self, run: &Run, ended: &Ended) -> (&'static str, Value) {
        match ended {
            Ended::Interrupted => ("run interrupted", json!({})),
            Ended::Paused => (
                "run paused",
                json!({ "epochs": run.valid_by_epoch().len() }),
            ),
            Ended::Failed(error) => ("run failed", json!({ "error": error })),
            Ended::Finished => ("run finished", self.finished(run)),
        }
    }

    /// The metrics of a finished run, of its test split where that is shown.
    fn finished(&self, run: &Run) -> Value {
        let Ok(result) = RunResult::read(run) else {
            return json!({});
        };
        let metrics = result.metrics;
        let test = self.show_test.then_some(metrics.test);
        json!({ "selected_epoch": metrics.selected_epoch, "valid": metrics.valid, "test": test })
    }

    /// Prints what happened to a run as a JSON line, where that is asked for.
    pub(crate) fn event(&self, run: &Run, event: &str, more: Value) {
        if self.style != Style::Json {
            return;
        }
        let mut line = json!({
            "event": event,
            "variant": run.variant.name,
            "seed": run.seed,
            "fold": run.fold.map(|fold| fold.number),
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        print_json(&line);
    }

    /// Prints the row of a run; before the first row the header.
    fn row(
        &self,
        known: &mut Known,
        run: &Run,
        mark: &str,
        figures: &[Option<(&str, f64)>],
        [epoch, took]: [&str; 2],
    ) {
        let (columns, names) = &self.table;
        if !std::mem::replace(&mut known.headed, true) {
            self.line(&columns.header());
        }
        let figure = |figure: &Option<(&str, f64)>| {
            figure.map_or(NONE.into(), |(name, value)| in_table(name, value))
        };
        let mut cells = vec![
            shortened(&run.name(), *names),
            format!("{}/{}", known.done + known.failed, known.total),
        ];
        cells.extend(figures.iter().map(figure));
        let left = known.left(self.jobs).map_or(NONE.into(), clock);
        cells.extend([epoch.to_owned(), took.to_owned(), left]);
        self.line(&columns.row(mark, &cells));
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, known: &Known, now: &str) {
        self.bar.set_position(known.done as u64);
        let [runs, failed, left, best] = known.told(self.jobs);
        let parts = [runs, failed, left, now.to_owned(), best];
        self.bar.set_message(screen::bar_line(&parts));
    }

    /// Prints a line on standard output, above the bar.
    pub(crate) fn line(&self, text: &str) {
        if matches!(self.style, Style::Terminal | Style::Lines) {
            self.bar.suspend(|| screen::out(text));
        }
    }
}

impl Known {
    /// Keeps a run's validation error as the best one, and says whether it is.
    fn consider(&mut self, result: &RunResult) -> bool {
        let mae = result.metrics.valid.mae();
        let best = mae.is_finite() && self.best.is_none_or(|best| mae < best);
        if best {
            self.best = Some(mae);
        }
        best
    }

    /// `3 of 10 runs`, `1 failed`, `about 1:23 left`, `best valid mae 0.7123`; empty where there is nothing to say.
    fn told(&self, jobs: usize) -> [String; 4] {
        let failed = (self.failed > 0).then(|| format!("{} failed", self.failed));
        let left = self.left(jobs);
        let left = left.map(|left| format!("about {} left", clock(left)));
        let best = self
            .best
            .map(|best| format!("best valid mae {}", in_text(best)));
        [
            format!("{} of {} runs", self.done, self.total),
            failed.unwrap_or_default(),
            left.unwrap_or_default(),
            best.unwrap_or_default(),
        ]
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

/// Error and finest accuracy of a split.
fn told(figures: &Figures) -> [Option<(&str, f64)>; 2] {
    [Some(("mae", figures.mae())), Some(figures.finest())]
}

/// The columns of the table for a width, and the width of names in it. `show_test`: whether the test split has columns.
fn table(runs: &[(Run, State)], show_test: bool, width: usize) -> (Columns, usize) {
    let first = runs.first().map(|(run, _)| run.variant.config.figures);
    let (finest, _) = Figures::of(first.unwrap_or_default(), &[], &[]).finest();
    let longest = runs.iter().map(|(run, _)| run.name().chars().count()).max();
    // At least the error fits beside the names.
    let names = longest.unwrap_or(0).min(width.saturating_sub(13)).max(4);
    let total = runs.len().to_string().len();
    let test = if show_test {
        [3, 6]
    } else {
        [Column::NEVER; 2]
    };
    let columns = vec![
        Column::new("run", names, 0),
        Column::new("done", 2 * total + 1, 4),
        Column::new("valid mae", 0, 1),
        Column::new(heading(finest), 0, 2),
        Column::new("test mae", 0, test[0]),
        Column::new(heading(finest), 0, test[1]),
        Column::new("epoch", 0, 8),
        Column::new("time", 6, 7),
        Column::new("left", 7, 5),
    ];
    (Columns::fit(columns, width), names)
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
            headed: false,
        };
        let told = ["4 of 10 runs", "1 failed", "about 5:00 left", ""];
        assert_eq!(known.told(1), told);
        assert_eq!(known.told(2)[2], "about 2:30 left");
        known.best = Some(0.5);
        (known.done, known.failed) = (10, 0);
        let told = ["10 of 10 runs", "", "", "best valid mae 0.5000"];
        assert_eq!(known.told(2), told);
    }
}
