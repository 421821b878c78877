//! `mmrest eval`: evaluates the model of a run; and `mmrest conformance`: computes golden numbers.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mmrest_learner::run::{Accepted, EvaluatedSplit, RunFolder, evaluate_run};
use mmrest_learner::{Figures, IntervalCoverage, conformance, open_device};
use serde::Serialize;

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
    let intervals = evaluated.interval_coverage();
    if json {
        let printed = Printed {
            figures: &evaluated.figures,
            intervals,
        };
        writeln!(out, "{}", serde_json::to_string(&printed)?)?;
        return Ok(());
    }
    let segments = evaluated.labels.len();
    writeln!(out, "{} split of {segments} segments", evaluated.split)?;
    for (name, value) in evaluated.figures.named() {
        writeln!(out, "{name:<10}{value}")?;
    }
    if let Some(intervals) = intervals {
        let percent = 100.0 * intervals.confidence;
        writeln!(
            out,
            "{:.1} % of the labels lie in the intervals at {percent} %, mean width {:.3}",
            100.0 * intervals.coverage,
            intervals.width
        )?;
    }
    Ok(())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    intervals: Option<IntervalCoverage>,
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
