//! How downloads are shown: a bar on a terminal, a line now and then elsewhere, JSON for programs.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use mmrest_data::DataError;
use mmrest_datatools::fetch::{Fetched, Progress, Source, Target};
use serde_json::json;

use crate::screen;

/// Time between two lines where there is no terminal.
const PACE: Duration = Duration::from_secs(10);

/// The bar, in indicatif's terms.
const KNOWN: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
const UNKNOWN: &str = "{msg} {spinner} {bytes} {bytes_per_sec}";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Terminal,
    Lines,
    Json,
}

/// The file that is being downloaded.
#[derive(Debug)]
struct Current {
    name: String,
    total: Option<u64>,
    start: u64,
    begun: Instant,
    told: Instant,
}

/// Shows downloads.
#[derive(Debug)]
pub(super) struct Show {
    style: Style,
    bar: ProgressBar,
    current: RefCell<Option<Current>>,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        let style = match (json, std::io::stderr().is_terminal()) {
            (true, _) => Style::Json,
            (_, true) => Style::Terminal,
            _ => Style::Lines,
        };
        let bar = match style {
            Style::Terminal => ProgressBar::new(0),
            _ => ProgressBar::hidden(),
        };
        let current = RefCell::new(None);
        Self {
            style,
            bar,
            current,
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
        self.bar.reset();
        self.current.replace(None);
    }

    /// A file that is whole.
    pub(super) fn fetched(&self, file: &Fetched) -> Result<()> {
        if self.style == Style::Json {
            return print(&json_line(file));
        }
        let how = match file.source {
            Source::Present => "is there",
            Source::Server => "fetched",
            Source::Cache => "copied from the Hugging Face cache",
        };
        let bytes = HumanBytes(file.bytes);
        screen::result(&format!(
            "{}: {how}, {bytes}, SHA-256 {}",
            file.path.display(),
            file.sha256
        ))
    }

    /// A BERT that was there.
    pub(super) fn present(&self, folder: &Path) -> Result<()> {
        match self.style {
            Style::Json => {
                let path = folder.to_string_lossy();
                print(&json!({ "path": path, "source": Source::Present }).to_string())
            }
            _ => screen::result(&format!("{}: is there", folder.display())),
        }
    }

    /// A file that could not be fetched.
    pub(super) fn failed(&self, target: &Target, error: &DataError) -> Result<()> {
        match self.style {
            Style::Json => {
                let path = target.path.to_string_lossy();
                let error = error.to_string();
                print(&json!({ "path": path, "url": target.url, "error": error }).to_string())
            }
            _ => screen::result(&format!("{}: not fetched", target.path.display())),
        }
    }

    /// Something to know.
    pub(super) fn note(&self, text: &str) -> Result<()> {
        match self.style {
            Style::Json => print(&json!({ "note": text }).to_string()),
            _ => screen::result(text),
        }
    }

    /// A passing word, which is no result: beside the bar, or on standard error.
    fn word(&self, text: &str) {
        match self.style {
            Style::Terminal | Style::Lines => self.bar.suspend(|| screen::err(text)),
            Style::Json => {}
        }
    }

    fn shape(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}

impl Progress for Show {
    fn begin(&self, name: &str, position: u64, total: Option<u64>) {
        let now = Instant::now();
        self.shape(if total.is_some() { KNOWN } else { UNKNOWN });
        self.bar.set_message(name.to_owned());
        self.bar.set_length(total.unwrap_or(0));
        self.bar.set_position(position);
        self.bar.reset_eta();
        if position > 0 {
            self.word(&format!("{name}: going on from {}", HumanBytes(position)));
        }
        self.current.replace(Some(Current {
            name: name.to_owned(),
            total,
            start: position,
            begun: now,
            told: now,
        }));
    }

    fn advance(&self, position: u64) {
        self.bar.set_position(position);
        if self.style != Style::Lines {
            return;
        }
        if let Some(current) = self.current.borrow_mut().as_mut()
            && current.told.elapsed() >= PACE
        {
            current.told = Instant::now();
            let line = current.line(position, current.begun.elapsed());
            screen::err(&line);
        }
    }

    fn retry(&self, reason: &str, failures: u32, wait: Duration) {
        let wait = wait.as_secs_f64();
        self.word(&format!(
            "{reason}; trying again in {wait:.1} s (after failure {failures})"
        ));
    }

    fn check(&self, name: &str) {
        self.shape("{msg}");
        self.bar.set_message(format!("{name}: checking"));
    }
}

impl Current {
    /// How far it is, how fast, and how long it will take at that rate.
    fn line(&self, position: u64, time: Duration) -> String {
        let arrived = position.saturating_sub(self.start);
        #[allow(clippy::cast_precision_loss)]
        let rate = arrived as f64 / time.as_secs_f64().max(1e-3);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let per_second = HumanBytes(rate as u64);
        let name = &self.name;
        let position_told = HumanBytes(position);
        let Some(total) = self.total else {
            return format!("{name}: {position_told}, {per_second}/s");
        };
        #[allow(clippy::cast_precision_loss)]
        let left = total.saturating_sub(position) as f64 / rate.max(1e-3);
        let left = match Duration::try_from_secs_f64(left) {
            Ok(left) => HumanDuration(left).to_string(),
            Err(_) => "ages".to_owned(),
        };
        let total = HumanBytes(total);
        format!("{name}: {position_told} of {total}, {per_second}/s, {left} left")
    }
}

/// A path need not be text, JSON must.
fn json_line(file: &Fetched) -> String {
    json!({
        "path": file.path.to_string_lossy(),
        "url": file.url,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "source": file.source,
    })
    .to_string()
}

/// A line of JSON on standard output.
pub(super) fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write the output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let now = Instant::now();
        let mut current = Current {
            name: "a.csd".to_owned(),
            total: Some(4 << 20),
            start: 1 << 20,
            begun: now,
            told: now,
        };
        let time = Duration::from_secs(2);
        assert_eq!(
            current.line(3 << 20, time),
            "a.csd: 3.00 MiB of 4.00 MiB, 1.00 MiB/s, 1 second left"
        );
        current.total = None;
        assert_eq!(current.line(3 << 20, time), "a.csd: 3.00 MiB, 1.00 MiB/s");
    }
}
