//! The log: JSON lines in the run's folder, warnings on standard error.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::prelude::*;

use crate::interrupt::say;
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
        .with(warnings())
        .try_init()
        .context("cannot start the log")
}

/// Sends what a server reports, including its requests, to standard error. `MMREST_LOG` sets the filter (default as
/// [`to_file`]'s; `access=off` in it leaves the requests out).
pub(crate) fn served() -> Result<()> {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_filter(filter()?);
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
            say(&format!(
                "warning: cannot write {path}: {error}; the run goes on without a log"
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
        .with(warnings())
        .try_init()
        .context("cannot start the log")
}

fn warnings<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| screen::Stderr)
        .with_filter(FilterFn::new(|event| {
            *event.level() <= Level::WARN && event.target() != OUTCOME
        }))
}
