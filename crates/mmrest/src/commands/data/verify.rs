//! `mmrest data verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// `mmrest data verify`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The file.
    pub(crate) path: PathBuf,
}

/// `mmrest data verify`.
pub(crate) fn run(arguments: &VerifyArguments) -> Result<ExitCode> {
    bail!("{}", arguments.path.display())
}
