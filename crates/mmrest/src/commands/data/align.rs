//! `mmrest data align`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// `mmrest data align`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct AlignArguments {
    /// The file.
    pub(crate) path: PathBuf,
}

/// `mmrest data align`.
pub(crate) fn run(arguments: &AlignArguments) -> Result<ExitCode> {
    bail!("{}", arguments.path.display())
}
