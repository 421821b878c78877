//! `mmrest eval`: evaluates the model of a run; and `mmrest conformance`: computes golden numbers.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mmrest_learner::run::{Accepted, EvaluatedSplit, RunFolder, evaluate_run};
use mmrest_learner::{conformance, open_device};

use crate::arguments::{ConformanceArguments, EvalArguments};
use crate::{logging, project};

/// `mmrest eval`.
pub(crate) fn run(arguments: &EvalArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let changed: &[String] = if arguments.accept_changed_data {
        &["data".into()]
    } else {
        &[]
    };
    let evaluated = evaluate_run(
        &RunFolder::new(&arguments.run),
        arguments.split,
        arguments.data.as_deref(),
        &project::root_of_run(&arguments.run)?,
        &device,
        &Accepted::parse(changed)?,
    )?;
    print(&evaluated, arguments.json).context("cannot write the output")?;
    Ok(ExitCode::SUCCESS)
}

fn print(evaluated: &EvaluatedSplit, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&evaluated.figures)?)?;
        return Ok(());
    }
    let segments = evaluated.labels.len();
    writeln!(out, "{} split of {segments} segments", evaluated.split)?;
    for (name, value) in evaluated.figures.named() {
        writeln!(out, "{name:<10}{value}")?;
    }
    Ok(())
}

/// `mmrest conformance`.
pub(crate) fn run_conformance(arguments: &ConformanceArguments) -> Result<ExitCode> {
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
