//! Shows a training run: a progress bar, lines, or JSON; and notes it in the log.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mmrest_learner::Figures;
use mmrest_learner::run::MetricsFile;
use mmrest_learner::train::{EpochRow, Observer};
use serde_json::json;

use crate::project::near;
use crate::screen;

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A progress bar, and a line per epoch.
    Terminal,
    /// A line per epoch.
    Lines,
    /// A JSON object per line: the folder, notes, epochs, metrics.
    Json,
    /// Nothing.
    Quiet,
}

impl Style {
    /// The style that the options and the terminal ask for.
    pub(crate) fn choose(quiet: bool, json: bool) -> Self {
        match (quiet, json, std::io::stderr().is_terminal()) {
            (true, _, _) => Self::Quiet,
            (_, true, _) => Self::Json,
            (_, _, true) => Self::Terminal,
            _ => Self::Lines,
        }
    }
}

/// Shows a run, and writes it to the log.
pub(crate) struct Display {
    style: Style,
    bar: ProgressBar,
    epochs: Mutex<Pace>,
    /// Fills the terminal from the first batch until it is dropped.
    dashboard: Mutex<Option<Box<dyn Observer>>>,
}

/// How long epochs take.
struct Pace {
    last: Instant,
    epoch_time: Option<Duration>,
}

impl Display {
    /// Shows a run in a style, and its training in a dashboard, if there is one.
    pub(crate) fn new(style: Style, dashboard: Option<Box<dyn Observer>>) -> Self {
        let bar = match style {
            Style::Terminal => ProgressBar::new(0),
            _ => ProgressBar::hidden(),
        };
        Self {
            style,
            bar,
            epochs: Mutex::new(Pace {
                last: Instant::now(),
                epoch_time: None,
            }),
            dashboard: Mutex::new(dashboard),
        }
    }

    fn dashboard(&self) -> MutexGuard<'_, Option<Box<dyn Observer>>> {
        let dashboard = self.dashboard.lock();
        dashboard.unwrap_or_else(PoisonError::into_inner)
    }

    /// Restores the terminal, and prints what was not printed because of the dashboard.
    fn close_dashboard(&self) {
        let dashboard = self.dashboard().take();
        drop(dashboard);
        screen::release();
    }

    /// Prints above the bar, where one is shown.
    fn above_bar(&self, print: impl FnOnce()) {
        if screen::is_held() {
            print();
        } else {
            self.bar.suspend(print);
        }
    }

    /// Prints a line above the bar, or by itself.
    pub(crate) fn line(&self, text: &str) {
        match self.style {
            Style::Terminal | Style::Lines => self.above_bar(|| screen::out(text)),
            Style::Json | Style::Quiet => {}
        }
    }

    /// Shows the run's folder, before anything else.
    pub(crate) fn run(&self, folder: &Path) {
        match self.style {
            Style::Json => print_json(&json!({ "run": folder.to_string_lossy() })),
            _ => self.line(&format!("run {}", near(folder))),
        }
    }

    /// Sets the template of the bar.
    fn shape(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    /// Shows the metrics at the end.
    pub(crate) fn finished(&self, metrics: &MetricsFile) {
        self.clear();
        match self.style {
            Style::Json => print_json(metrics),
            _ => self.line(&final_table(metrics)),
        }
    }

    /// Removes the bar or the dashboard.
    pub(crate) fn clear(&self) {
        self.close_dashboard();
        self.bar.finish_and_clear();
    }

    fn time_left(&self, epoch: usize, epochs: usize) -> Option<Duration> {
        let pace = self.epochs.lock().ok()?;
        let left = u32::try_from(epochs.saturating_sub(epoch)).ok()?;
        pace.epoch_time.map(|time| time * left)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.close_dashboard();
    }
}

impl Observer for Display {
    fn stage(&self, name: &str) {
        tracing::info!(stage = name);
        if let Some(dashboard) = &*self.dashboard() {
            dashboard.stage(name);
        }
        if screen::is_held() {
            return;
        }
        self.shape("{msg} ...");
        self.bar.set_message(name.to_string());
    }

    fn batch(&self, epoch: usize, epochs: usize, done: usize, total: usize, loss: f64) {
        if let Some(dashboard) = &*self.dashboard() {
            if screen::hold() {
                self.bar.finish_and_clear();
            }
            dashboard.batch(epoch, epochs, done, total, loss);
            return;
        }
        if self.style != Style::Terminal {
            return;
        }
        let left = match self.time_left(epoch - 1, epochs) {
            Some(left) => format!(", at most {} left", clock(left)),
            None => String::new(),
        };
        self.shape("{msg} {wide_bar} {pos}/{len}");
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar
            .set_message(format!("epoch {epoch}/{epochs}, loss {loss:.3}{left}"));
    }

    fn epoch(&self, row: &EpochRow, epochs: usize) {
        if let Ok(mut pace) = self.epochs.lock() {
            pace.epoch_time = Some(pace.last.elapsed());
            pace.last = Instant::now();
        }
        if let Some(dashboard) = &*self.dashboard() {
            dashboard.epoch(row, epochs);
        }
        tracing::info!(
            epoch = row.epoch,
            loss = row.loss,
            valid_mae = row.valid.mae(),
            selected = row.selected
        );
        match self.style {
            Style::Json => print_json(row),
            _ => self.line(&epoch_line(row, epochs)),
        }
    }

    fn note(&self, message: &str) {
        tracing::info!(note = message);
        match self.style {
            Style::Json => print_json(&json!({ "note": message })),
            _ => self.line(message),
        }
    }

    /// Goes to the log, which also sends it to standard error.
    fn warning(&self, message: &str) {
        match &*self.dashboard() {
            Some(dashboard) => self.above_bar(|| dashboard.warning(message)),
            None => self.above_bar(|| tracing::warn!("{message}")),
        }
        if self.style == Style::Json {
            print_json(&json!({ "warning": message }));
        }
    }
}

fn print_json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        screen::out(&text);
    }
}

/// `1:02:03` or `2:03`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn epoch_line(row: &EpochRow, epochs: usize) -> String {
    let digits = epochs.to_string().len();
    let (finest, accuracy) = row.valid.finest();
    let parts = match &row.losses[..] {
        // Of many, the first and the last, which sums up the others.
        [(first, of_first), _, _, .., (last, of_last)] if row.losses.len() > 4 => {
            format!("{first} {of_first:.4}, {last} {of_last:.3}")
        }
        parts => {
            let parts = parts
                .iter()
                .map(|(name, value)| format!("{name} {value:.4}"));
            parts.collect::<Vec<_>>().join(", ")
        }
    };
    let clusters = row.of_model("clusters");
    let clusters = clusters.map_or(String::new(), |clusters| format!("{clusters} clusters  "));
    format!(
        "epoch {:>digits$}/{epochs}  loss {:.4} ({parts})  valid mae {:.4} corr {:.4} {finest} {accuracy:.4}  {clusters}{:.1} s{}",
        row.epoch,
        row.loss,
        row.valid.mae(),
        row.valid.corr(),
        row.train_seconds,
        if row.selected { "  *" } else { "" }
    )
}

/// The metrics of several splits side by side.
fn figures_table(columns: &[(&str, &Figures)]) -> String {
    let header: String = columns
        .iter()
        .map(|(name, _)| format!("{name:>10}"))
        .collect();
    let mut lines = vec![format!("{:<10}{header}", "")];
    let names = columns.first().map(|(_, figures)| figures.set().names());
    for name in names.into_iter().flatten() {
        let values: String = columns
            .iter()
            .map(|(_, figures)| match figures.get(name) {
                Some(value) if value.is_finite() => format!("{value:>10.4}"),
                _ => format!("{:>10}", "-"),
            })
            .collect();
        lines.push(format!("{name:<10}{values}"));
    }
    lines.join("\n")
}

fn final_table(metrics: &MetricsFile) -> String {
    let parameters = &metrics.parameters;
    let parts = parameters.parts.iter();
    let parts: String = parts
        .map(|(name, count)| format!(", {count} {name}"))
        .collect();
    let method = method_lines(metrics);
    format!(
        "\nselected epoch {}\n{}\nparameters: {} ({} text encoder, {} rest{parts}){method}",
        metrics.selected_epoch,
        figures_table(&[("valid", &metrics.valid), ("test", &metrics.test)]),
        parameters.total,
        parameters.text_encoder,
        parameters.rest,
    )
}

/// What the method did; nothing where the run says nothing of it.
fn method_lines(metrics: &MetricsFile) -> String {
    let method = &metrics.method;
    let parts = method.active.iter();
    let parts = parts.map(|part| format!("{} {:.0} %", part.part, 100.0 * part.share));
    let parts: Vec<String> = parts.collect();
    let mut lines = Vec::new();
    if !parts.is_empty() {
        lines.push(format!("not 0 in steps: {}", parts.join(", ")));
    }
    if let Some(moved) = &method.metrics_moved {
        lines.push(format!(
            "metrics moved from the identity: global {:.4}, local {:.4}",
            moved.global, moved.local
        ));
    }
    if let Some(without) = &method.valid_without_bias {
        let told = |figures: &Figures| {
            let (finest, accuracy) = figures.finest();
            format!("mae {:.4} {finest} {accuracy:.4}", figures.mae())
        };
        lines.push(format!(
            "bias on valid: {} with it, {} without",
            told(&metrics.valid),
            told(without)
        ));
    }
    if let Some(intervals) = &metrics.intervals {
        lines.push(format!(
            "intervals at {} %: {:.1} % of the test labels inside, mean width {:.3}",
            100.0 * intervals.confidence,
            100.0 * intervals.coverage,
            intervals.width
        ));
    }
    lines.into_iter().map(|line| format!("\n{line}")).collect()
}

#[cfg(test)]
mod tests {
    use mmrest_learner::FigureSet;

    use super::*;

    #[test]
    fn times_read_as_clocks() {
        assert_eq!(clock(Duration::from_secs(123)), "2:03");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn an_epoch_shows_the_finest_accuracy_of_its_set() {
        for (set, shown) in [
            (FigureSet::Mosi, "acc7 1.0000"),
            (FigureSet::Sims, "acc5 0.5000"),
        ] {
            let row = EpochRow {
                active: Vec::new(),
                epoch: 3,
                train_seconds: 1.0,
                loss: 0.5,
                losses: vec![("task".into(), 0.4), ("mmc".into(), 0.3)],
                valid: Figures::of(set, &[0.9, -0.3], &[0.6, -0.4]),
                test: None,
                learning_rates: vec![(String::new(), 1e-4)],
                gradient_norms: vec![(String::new(), 1.0)],
                skipped_steps: 0,
                model: vec![("clusters".into(), 5.0)],
                selected: true,
            };
            let line = epoch_line(&row, 10);
            assert!(line.contains(shown), "{line}");
        }
    }

    #[test]
    fn a_table_has_a_row_a_figure() {
        for (set, rows) in [(FigureSet::Mosi, 9), (FigureSet::Sims, 6)] {
            let figures = Figures::of(set, &[1.0, -0.5], &[1.0, -1.0]);
            let table = figures_table(&[("valid", &figures), ("test", &figures)]);
            assert_eq!(table.lines().count(), 1 + rows);
            assert!(table.contains("mae           0.2500    0.2500"), "{table}");
        }
    }
}
