//! `mmrest eval`: evaluates the model of a run; and `mmrest conformance`: computes golden numbers.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mmrest_data::text::count;
use mmrest_learner::run::{Accepted, EvaluatedSplit, RunFolder, evaluate_run};
use mmrest_learner::{Figures, IntervalCoverage, conformance, open_device};
use serde::Serialize;

use crate::arguments::{ConformanceArguments, EvalArguments};
use crate::display::{figures_table, interval_line};
use crate::{logging, project, screen};

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
    print(&evaluated, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

fn print(evaluated: &EvaluatedSplit, json: bool) -> Result<()> {
    let intervals = evaluated.interval_coverage();
    if json {
        let printed = Printed {
            figures: &evaluated.figures,
            intervals,
        };
        let text = serde_json::to_string(&printed)?;
        return writeln!(std::io::stdout(), "{text}").context("cannot write the output");
    }
    let split = evaluated.split.name();
    let segments = count(evaluated.labels.len(), "segment");
    let table = figures_table(&[(split, &evaluated.figures)]);
    let intervals = intervals.map(|intervals| format!("\n{}", interval_line(&intervals)));
    let intervals = intervals.unwrap_or_default();
    screen::result(&format!("{split} split of {segments}\n{table}{intervals}"))
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
    screen::result(&report.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}
