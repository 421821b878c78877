//! Shows a training run: a progress bar, lines, or JSON; and notes it in the log.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use burn::train::Interrupter;
use indicatif::{ProgressBar, ProgressStyle};
use mmrest_learner::run::{MetricsFile, RunFolder};
use mmrest_learner::train::{EpochRow, Observer};
use mmrest_learner::{Figures, IntervalCoverage};
use serde_json::json;

use crate::numbers::{NONE, clock, heading, in_table, in_text, lasting, thousands};
use crate::project::near;
use crate::screen::{self, Column, Columns};

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A progress bar, and a table with a row per epoch.
    Terminal,
    /// The table.
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
    /// The folder of a run that has not begun yet, which is announced when it does.
    pending: Mutex<Option<PathBuf>>,
    table: Mutex<Option<EpochTable>>,
    /// Fills the terminal from the first batch until it is dropped.
    dashboard: Mutex<Option<Box<dyn Observer>>>,
    /// The epoch after which the run is stopped.
    last: Option<(usize, Interrupter)>,
}

/// How long epochs take.
#[derive(Default)]
struct Pace {
    /// When the current epoch began; none before the first batch.
    since: Option<Instant>,
    /// The time of each epoch since the program started.
    epochs: Vec<Duration>,
}

impl Pace {
    /// A batch is done: before the first one, data were read and texts encoded, which no other epoch does.
    fn batch(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// An epoch is done.
    fn epoch(&mut self) {
        let began = self.since.replace(Instant::now());
        self.epochs.extend(began.map(|began| began.elapsed()));
    }

    /// The time that so many epochs take: that of the median epoch each, without the first where there are others, for it
    /// also fills caches.
    fn of(&self, epochs: usize) -> Option<Duration> {
        let mut usual = self.epochs.get(1..).unwrap_or_default().to_vec();
        if usual.is_empty() {
            usual = self.epochs.clone();
        }
        usual.sort_unstable();
        let median = usual.get(usual.len() / 2)?;
        Some(*median * u32::try_from(epochs).ok()?)
    }
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
            epochs: Mutex::default(),
            pending: Mutex::new(None),
            table: Mutex::new(None),
            dashboard: Mutex::new(dashboard),
            last: None,
        }
    }

    /// Stops the run once that epoch is done, which is kept.
    pub(crate) fn until(mut self, epoch: usize, interrupter: Interrupter) -> Self {
        self.last = Some((epoch, interrupter));
        self
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

    /// Shows the run's folder as soon as the run has begun: one that fails before leaves none behind.
    pub(crate) fn run(&self, folder: &Path) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_path_buf());
        self.announce();
    }

    fn announce(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = pending.take_if(|folder| RunFolder::new(&*folder).exists());
        let Some(folder) = begun else { return };
        match self.style {
            Style::Json => print_json(&json!({ "run": folder.to_string_lossy() })),
            _ => self.line(&format!("run {}", near(&folder))),
        }
    }

    /// Shows an epoch in the table, below its header.
    fn epoch_row(&self, row: &EpochRow, epochs: usize) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // On a terminal the bar shows the time left.
        let left = (self.style == Style::Lines).then(|| self.time_left(row.epoch, epochs));
        let table = table.get_or_insert_with(|| {
            let table = EpochTable::new(row, epochs, left.is_some(), screen::width());
            self.line(&table.columns.header());
            table
        });
        self.line(&table.row(row, epochs, left));
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
        pace.of(epochs.saturating_sub(epoch))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.close_dashboard();
    }
}

impl Observer for Display {
    fn stage(&self, name: &str) {
        self.announce();
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
        if let Ok(mut pace) = self.epochs.lock() {
            pace.batch();
        }
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
        let left = self.time_left(epoch - 1, epochs);
        let left = left.map(|left| format!("at most {} left", clock(left)));
        self.shape("{msg} {wide_bar}");
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(screen::bar_line(&[
            format!("epoch {epoch}/{epochs}"),
            left.unwrap_or_default(),
            format!("{done}/{total}"),
            format!("loss {}", in_text(loss)),
        ]));
    }

    fn epoch(&self, row: &EpochRow, epochs: usize) {
        self.announce();
        if let Ok(mut pace) = self.epochs.lock() {
            pace.epoch();
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
            _ => self.epoch_row(row, epochs),
        }
        if let Some((last, interrupter)) = &self.last
            && row.epoch >= *last
        {
            interrupter.stop(None);
        }
    }

    fn note(&self, message: &str) {
        tracing::info!(note = message);
        self.announce();
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

/// Prints a JSON line.
pub(crate) fn print_json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        screen::out_whole(&text);
    }
}

/// The table of epochs: its columns are chosen at its first row.
struct EpochTable {
    columns: Columns,
    /// The parts of the loss that may have a column.
    parts: Vec<String>,
}

impl EpochTable {
    fn new(row: &EpochRow, epochs: usize, left: bool, width: usize) -> Self {
        let digits = epochs.to_string().len();
        let (finest, _) = row.valid.finest();
        let parts: Vec<String> = row.losses.iter().map(|(name, _)| name.clone()).collect();
        let mut columns = vec![
            Column::new("epoch", 2 * digits + 1, 0),
            Column::new("loss", 6, 3),
        ];
        columns.extend(parts.iter().map(|name| Column::new(name, 6, 7)));
        columns.extend([
            Column::new("valid mae", 0, 1),
            Column::new("corr", 6, 2),
            Column::new(heading(finest), 0, 1),
            Column::new("time", 5, 4),
        ]);
        columns.extend(left.then(|| Column::new("left <", 7, 5)));
        columns.extend(
            row.of_model("clusters")
                .map(|_| Column::new("clusters", 0, 6)),
        );
        Self {
            columns: Columns::fit(columns, width),
            parts,
        }
    }

    fn row(&self, row: &EpochRow, epochs: usize, left: Option<Option<Duration>>) -> String {
        let digits = epochs.to_string().len();
        let (finest, accuracy) = row.valid.finest();
        let part = |name: &String| {
            let found = row.losses.iter().find(|(known, _)| known == name);
            in_table("loss", found.map_or(f64::NAN, |&(_, value)| value))
        };
        let mut cells = vec![
            format!("{:>digits$}/{epochs}", row.epoch),
            in_table("loss", row.loss),
        ];
        cells.extend(self.parts.iter().map(part));
        cells.extend([
            in_table("mae", row.valid.mae()),
            in_table("corr", row.valid.corr()),
            in_table(finest, accuracy),
            lasting(row.train_seconds),
        ]);
        cells.extend(left.map(|left| left.map_or(NONE.into(), clock)));
        cells.extend(
            row.of_model("clusters")
                .map(|clusters| clusters.to_string()),
        );
        self.columns
            .row(if row.selected { "*" } else { " " }, &cells)
    }
}

/// The metrics of several splits side by side.
pub(crate) fn figures_table(columns: &[(&str, &Figures)]) -> String {
    let header: String = columns
        .iter()
        .map(|(name, _)| format!("{name:>8}"))
        .collect();
    let mut lines = vec![format!("{:<11}{header}", "")];
    let names = columns.first().map(|(_, figures)| figures.set().names());
    for name in names.into_iter().flatten() {
        let values: String = columns
            .iter()
            .map(|(_, figures)| {
                let value = figures.get(name).unwrap_or(f64::NAN);
                format!("{:>8}", in_table(name, value))
            })
            .collect();
        lines.push(format!("{:<11}{values}", heading(name)));
    }
    lines.join("\n")
}

/// How many labels lie in their intervals.
pub(crate) fn interval_line(intervals: &IntervalCoverage) -> String {
    format!(
        "intervals at {} %: {:.1} % of the test labels inside, mean width {}",
        100.0 * intervals.confidence,
        100.0 * intervals.coverage,
        in_text(intervals.width)
    )
}

fn final_table(metrics: &MetricsFile) -> String {
    let parameters = &metrics.parameters;
    let parts = parameters.parts.iter();
    let parts: String = parts
        .map(|(name, count)| format!(", {} {name}", thousands(*count)))
        .collect();
    let method = method_lines(metrics);
    format!(
        "\nselected epoch {}\n{}\nparameters: {} ({} text encoder, {} rest{parts}){method}",
        metrics.selected_epoch,
        figures_table(&[("valid", &metrics.valid), ("test", &metrics.test)]),
        thousands(parameters.total),
        thousands(parameters.text_encoder),
        thousands(parameters.rest),
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
            "metrics moved from the identity: global {}, local {}",
            in_text(moved.global),
            in_text(moved.local)
        ));
    }
    if let Some(without) = &method.valid_without_bias {
        let told = |figures: &Figures| {
            let (finest, accuracy) = figures.finest();
            let (mae, accuracy) = (in_text(figures.mae()), in_text(accuracy));
            format!("mae {mae} {finest} {accuracy}")
        };
        lines.push(format!(
            "bias on valid{}: {} with it, {} without",
            method
                .gamma
                .map_or(String::new(), |gamma| format!(", gamma {gamma}")),
            told(&metrics.valid),
            told(without)
        ));
    }
    if let Some(intervals) = &metrics.intervals {
        lines.push(interval_line(intervals));
    }
    lines.into_iter().map(|line| format!("\n{line}")).collect()
}

#[cfg(test)]
mod tests {
    use mmrest_learner::FigureSet;

    use super::*;

    fn row(set: FigureSet) -> EpochRow {
        EpochRow {
            active: Vec::new(),
            epoch: 3,
            train_seconds: 1.0,
            loss: 0.5,
            losses: vec![("task".into(), 0.4), ("mmc".into(), 0.3)],
            valid: Figures::of(set, &[0.9, -0.3], &[0.6, -0.4]),
            test: None,
            learning_rates: vec![(String::new(), 1e-4)],
            gradient_norms: vec![(String::new(), 1.0)],
            batches: 4,
            skipped_steps: 0,
            model: vec![("clusters".into(), 5.0)],
            selected: true,
        }
    }

    #[test]
    fn the_time_left_is_not_that_of_the_first_epoch() {
        let of = |seconds: &[u64]| {
            let epochs = seconds.iter().copied().map(Duration::from_secs);
            let pace = Pace {
                since: None,
                epochs: epochs.collect(),
            };
            pace.of(10)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[20]), Some(Duration::from_secs(200)));
        assert_eq!(of(&[20, 2]), Some(Duration::from_secs(20)));
        assert_eq!(of(&[20, 2, 9, 3]), Some(Duration::from_secs(30)));
    }

    #[test]
    fn an_epoch_shows_the_finest_accuracy_of_its_set() {
        for (set, header, shown) in [
            (FigureSet::Mosi, "acc7 %", "100.0"),
            (FigureSet::Sims, "acc5 %", " 50.0"),
        ] {
            let row = row(set);
            let table = EpochTable::new(&row, 10, true, 80);
            let line = table.row(&row, 10, Some(None));
            assert!(table.columns.header().contains(header));
            assert!(
                line.starts_with("*  3/10") && line.contains(shown),
                "{line}"
            );
        }
    }

    #[test]
    fn epochs_fit_any_terminal() {
        let row = row(FigureSet::Mosi);
        for (width, parts) in [
            (200, true),
            (80, false),
            (60, false),
            (40, false),
            (20, false),
        ] {
            let left = Some(Some(Duration::from_secs(70)));
            let table = EpochTable::new(&row, 50, true, width);
            let (header, line) = (table.columns.header(), table.row(&row, 50, left));
            assert!(
                header.len() <= width && line.len() <= width,
                "{header}\n{line}"
            );
            assert_eq!(header.contains("mmc"), parts, "{header}");
            assert!(header.contains("valid mae"), "{header}");
        }
    }

    #[test]
    fn a_table_has_a_row_a_figure() {
        for (set, rows) in [(FigureSet::Mosi, 9), (FigureSet::Sims, 6)] {
            let figures = Figures::of(set, &[1.0, -0.5], &[1.0, -1.0]);
            let table = figures_table(&[("valid", &figures), ("test", &figures)]);
            assert_eq!(table.lines().count(), 1 + rows);
            assert!(table.contains("mae           0.250   0.250"), "{table}");
        }
    }
}
