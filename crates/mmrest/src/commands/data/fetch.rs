//! `mmrest data fetch`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// `mmrest data fetch`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// The file.
    pub(crate) path: PathBuf,
}

/// `mmrest data fetch`.
pub(crate) fn run(arguments: &FetchArguments) -> Result<ExitCode> {
    bail!("{}", arguments.path.display())
}
