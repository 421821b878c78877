//! `mmrest data import`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// `mmrest data import`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file.
    pub(crate) path: PathBuf,
}

/// `mmrest data import`.
pub(crate) fn run(arguments: &ImportArguments) -> Result<ExitCode> {
    bail!("{}", arguments.path.display())
}
