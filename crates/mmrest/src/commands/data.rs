//! `mmrest data`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mmrest_data::sample::{self, SampleConfig};

use crate::arguments::SampleArguments;

/// `mmrest data sample`.
pub(crate) fn sample(arguments: &SampleArguments) -> Result<ExitCode> {
    let mut config = SampleConfig::default();
    if let Some(seed) = arguments.seed {
        config.seed = seed;
    }
    for file in sample::write(&config, &arguments.out)? {
        println!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the built-in sample unless it is there.
pub(crate) fn ensure_sample(folder: &Path) -> Result<bool> {
    if folder.join("bert/vocab.txt").exists() {
        return Ok(false);
    }
    sample::write(&SampleConfig::default(), folder)
        .with_context(|| format!("cannot write the sample to {}", folder.display()))?;
    Ok(true)
}
