//! `mmrest eval`: evaluates the model of a run; `mmrest calibrate`: calibrates its intervals; and `mmrest conformance`:
//! computes golden numbers.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use burn::train::Interrupter;
use mmrest_data::text::count;
use mmrest_learner::run::{
    Accepted, EvaluatedSplit, RunFolder, RunOptions, calibrate, evaluate_run,
};
use mmrest_learner::{Figures, IntervalCoverage, conformance, open_device};
use serde::Serialize;

use crate::arguments::{CalibrateArguments, ConformanceArguments, EvalArguments};
use crate::display::{Display, Style, figures_table, interval_line};
use crate::interrupt::{self, say};
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

/// `mmrest calibrate`.
pub(crate) fn run_calibrate(arguments: &CalibrateArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let interrupter = Interrupter::new();
    let display = Arc::new(Display::new(
        Style::choose(arguments.quiet, arguments.json),
        None,
    ));
    let stop = interrupter.clone();
    interrupt::gently(
        move || {
            say("stopping; once more to stop at once");
            stop.stop(Some("interrupted"));
        },
        || say("interrupted"),
    );
    let options = RunOptions {
        backend: arguments.device.backend,
        devices: vec![arguments.device.device],
        observer: display.clone(),
        interrupter,
        ..RunOptions::new(
            RunFolder::new(&arguments.run),
            project::root_of_run(&arguments.run)?,
        )
    };
    let metrics = calibrate(&options, arguments.parts);
    display.clear();
    let Some(metrics) = metrics? else {
        say("interrupted; the same command goes on");
        return Ok(interrupt::code());
    };
    if arguments.json {
        let text = serde_json::to_string(&metrics)?;
        writeln!(std::io::stdout(), "{text}").context("cannot write the output")?;
    } else if let Some(intervals) = &metrics.intervals {
        display.line(&interval_line(intervals));
    }
    Ok(ExitCode::SUCCESS)
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
