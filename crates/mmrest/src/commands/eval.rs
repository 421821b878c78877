//! `mmrest eval`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use mmrest_learner::open_device;
use mmrest_learner::run::{RunFolder, evaluate_run};

use crate::arguments::EvalArguments;
use crate::{logging, project};

/// `mmrest eval`.
pub(crate) fn run(arguments: &EvalArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let evaluated = evaluate_run(
        &RunFolder::new(&arguments.run),
        arguments.split,
        arguments.data.as_deref(),
        &project::root(&here),
        &device,
    )?;
    match arguments.json {
        true => println!("{}", serde_json::to_string(&evaluated.figures)?),
        false => {
            println!(
                "{} split of {} segments",
                evaluated.split,
                evaluated.labels.len()
            );
            for (name, value) in evaluated.figures.named() {
                println!("{name:<10}{value}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
