//! `mmrest data verify`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use mmrest_datatools::verify::{self, Known};

use crate::{project, screen, shipped};

/// `mmrest data verify`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// mosi, mosi-words, mosei, mosi-mmsa, mosei-mmsa or sims.
    #[arg(value_name = "NAME", value_parser = Known::from_name)]
    pub(crate) name: Known,
    /// Its folder.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print the checks as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmrest data verify`: exit code 1 when anything differs from what is known.
pub(crate) fn run(arguments: &VerifyArguments) -> Result<ExitCode> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let name = arguments.name.folds();
    let mut known = shipped::folds(&project::root(&here)).into_iter();
    let folds = known.find(|(known, _)| Some(*known) == name);
    let folds = folds.map(|(_, folds)| folds).transpose()?;
    let verification = verify::verify(arguments.name, &arguments.dir, folds.as_ref())?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&verification)?;
        writeln!(std::io::stdout(), "{text}").context("cannot write the output")?;
    } else {
        screen::result(&verification.to_string())?;
    }
    Ok(if verification.as_known() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
