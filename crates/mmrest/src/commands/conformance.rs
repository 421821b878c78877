//! `mmrest conformance`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mmrest_learner::{conformance, open_device};

use crate::arguments::ConformanceArguments;
use crate::logging;

/// `mmrest conformance`.
pub(crate) fn run(arguments: &ConformanceArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let report = conformance::run(
        &arguments.input,
        arguments.bert.as_deref(),
        &arguments.out,
        &device,
    )?;
    let mut out = std::io::stdout().lock();
    for line in report {
        writeln!(out, "{line}").context("cannot write the output")?;
    }
    Ok(ExitCode::SUCCESS)
}
