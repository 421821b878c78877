//! `mmrest data`.

mod align;
mod extract;
mod fetch;
mod import;
mod inspect;
pub(crate) mod missing;
mod sample;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use sample::ensure_sample;

/// What can be done with data.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Look at a file or folder of data: what it is, what it holds, what of it can be used.
    Inspect(inspect::InspectArguments),
    /// Check a data set against what is known of it.
    Verify(verify::VerifyArguments),
    /// Align computational sequences, as the CMU-MultimodalSDK does.
    Align(align::AlignArguments),
    /// Turn recordings and their transcripts into computational sequences.
    Extract(extract::ExtractArguments),
    /// Turn a pickle of a processed release into a packed set.
    Import(import::ImportArguments),
    /// Download a public data set, or a BERT.
    Fetch(fetch::FetchArguments),
    /// Write the built-in sample data set.
    Sample(sample::SampleArguments),
}

/// `mmrest data`.
pub(crate) fn run(command: &DataCommand) -> Result<ExitCode> {
    match command {
        DataCommand::Inspect(arguments) => inspect::run(arguments),
        DataCommand::Verify(arguments) => verify::run(arguments),
        DataCommand::Align(arguments) => align::run(arguments),
        DataCommand::Extract(arguments) => extract::run(arguments),
        DataCommand::Import(arguments) => import::run(arguments),
        DataCommand::Fetch(arguments) => fetch::run(arguments),
        DataCommand::Sample(arguments) => sample::run(arguments),
    }
}
