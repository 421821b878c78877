//! `mmrest data align`.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use mmrest_data::DataError;
use mmrest_datatools::align::{AlignConfig, Aligner, Collapse, Written};
use serde_json::json;

use crate::{interrupt, screen};

/// `mmrest data align`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct AlignArguments {
    /// The sequence the others are aligned to, by its root name.
    #[arg(long, value_name = "NAME")]
    pub(crate) reference: String,
    /// What the rows of a reference interval become: mean, max, min or first. Given several times, the results stand side
    /// by side along the feature axis [default: they stay as they are].
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) collapse: Vec<Collapse>,
    /// Fill what a sequence lacks of the reference's keys with zeros.
    #[arg(long)]
    pub(crate) impute: bool,
    /// Then align the result to this sequence, without collapsing; it takes no part before.
    #[arg(long, value_name = "NAME")]
    pub(crate) then: Option<String>,
    /// Keep only keys that every sequence has.
    #[arg(long)]
    pub(crate) hard_unify: bool,
    /// At last put the rows of each id together again; implies --hard-unify.
    #[arg(long)]
    pub(crate) revert: bool,
    /// The folder the aligned sequences go to, each under the name of its root, NAME.csd.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Overwrite files that are there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The sequences.
    #[arg(value_name = "FILE.csd", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// `mmrest data align`.
pub(crate) fn run(arguments: &AlignArguments) -> Result<ExitCode> {
    let config = AlignConfig {
        reference: arguments.reference.clone(),
        collapse: arguments.collapse.clone(),
        impute: arguments.impute,
        then: arguments.then.clone(),
        hard_unify: arguments.hard_unify,
        revert: arguments.revert,
    };
    let go_on = interrupt::watched();
    let aligner = Aligner::open(&arguments.files, config)?;
    let written = aligner.write(&arguments.out, arguments.force, &mut |_| go_on());
    let written = match written {
        Err(DataError::Io { path, source }) if source.kind() == ErrorKind::AlreadyExists => bail!(
            "{} is there already; give --force to overwrite it, or another folder",
            path.display()
        ),
        other => other?,
    };
    print(&written, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

fn print(written: &Written, json: bool) -> Result<()> {
    if json {
        let files: Vec<&Path> = written.files.iter().map(PathBuf::as_path).collect();
        let all = json!({ "report": written.report, "files": files });
        return writeln!(std::io::stdout(), "{all:#}").context("cannot write the output");
    }
    let files = written.files.iter().map(|file| file.display().to_string());
    let lines = [written.report.to_string()].into_iter().chain(files);
    screen::result(&lines.collect::<Vec<_>>().join("\n"))
}
