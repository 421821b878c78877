//! The log: JSON lines in the run's folder, warnings on standard error.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::prelude::*;

use crate::screen;

/// The target of messages that the program prints itself and the log should also have.
pub(crate) const OUTCOME: &str = "outcome";

/// The target of a server's requests.
pub(crate) const ACCESS: &str = "access";

/// Appends what the program reports to `file`, and sends warnings to standard error. `MMREST_LOG` sets the file's filter
/// (default `info,burn_train=warn,burn_core=warn`, in tracing's syntax).
pub(crate) fn to_file(file: &Path) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let json = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(Mutex::new(Log::new(log, file)))
        .with_filter(filter()?);
    tracing_subscriber::registry()
        .with(json)
        .with(Warnings.with_filter(told()))
        .try_init()
        .context("cannot start the log")
}

/// Sends what a server reports, including its requests, to standard error. `MMREST_LOG` sets the filter (default as
/// [`to_file`]'s; `access=off` in it leaves the requests out). `json`: an object per line.
pub(crate) fn served(json: bool) -> Result<()> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().with_filter(filter()?).boxed()
    } else {
        let lines = lines.with_ansi(screen::colours());
        lines.with_filter(filter()?).boxed()
    };
    tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .context("cannot start the log")
}

/// The filter that `MMREST_LOG` sets.
fn filter() -> Result<EnvFilter> {
    EnvFilter::try_from_env("MMREST_LOG")
        .or_else(|_| EnvFilter::try_new("info,burn_train=warn,burn_core=warn"))
        .context("the log's filter")
}

/// A log file. If it cannot be written any more, that is reported once, and the work goes on without it.
struct Log {
    file: File,
    path: PathBuf,
    lost: bool,
}

impl Log {
    fn new(file: File, path: &Path) -> Self {
        Self {
            file,
            path: path.to_path_buf(),
            lost: false,
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.lost
            && let Err(error) = self.file.write_all(line)
        {
            self.lost = true;
            let path = self.path.display();
            screen::warning(&format!(
                "cannot write {path}: {error}; the run goes on without a log"
            ));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends warnings to standard error, and keeps no log.
pub(crate) fn to_stderr() -> Result<()> {
    tracing_subscriber::registry()
        .with(Warnings.with_filter(told()))
        .try_init()
        .context("cannot start the log")
}

/// What is told at once: warnings, but for what the program prints itself.
fn told() -> FilterFn {
    FilterFn::new(|event| *event.level() <= Level::WARN && event.target() != OUTCOME)
}

/// Prints warnings on standard error, a sentence each.
struct Warnings;

impl<S: Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        screen::warning(&sentence.text());
    }
}

/// An event in words: its message, and in brackets what else it holds.
#[derive(Default)]
struct Sentence {
    message: String,
    rest: String,
}

impl Sentence {
    fn text(&self) -> String {
        match (self.message.as_str(), self.rest.as_str()) {
            (message, "") => message.to_owned(),
            ("", rest) => rest.to_owned(),
            (message, rest) => format!("{message} ({rest})"),
        }
    }
}

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            let comma = if self.rest.is_empty() { "" } else { ", " };
            write!(self.rest, "{comma}{} {value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
