//! `mmrest data inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// `mmrest data inspect`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The file.
    pub(crate) path: PathBuf,
}

/// `mmrest data inspect`.
pub(crate) fn run(arguments: &InspectArguments) -> Result<ExitCode> {
    bail!("{}", arguments.path.display())
}
