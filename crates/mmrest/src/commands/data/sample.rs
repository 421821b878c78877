//! `mmrest data sample`.

mod like;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use mmrest_datatools::sample::{self, ACOUSTIC, FOLDS, LABELS, SampleConfig, VISION, WORDS};

/// `mmrest data sample`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct SampleArguments {
    /// Where the data set goes.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of the generator [default: the built-in sample's].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    like: like::LikeArguments,
}

/// The sample's files in the order they are written in: with the last one there, all are.
const FILES: [&str; 8] = [
    WORDS,
    VISION,
    ACOUSTIC,
    LABELS,
    FOLDS,
    "bert/vocab.txt",
    "bert/config.json",
    LAST,
];
const LAST: &str = "bert/tokenizer_config.json";

/// How the names of files that were being written begin.
const DRAFT: &str = ".tmp";

/// `mmrest data sample`.
pub(crate) fn run(arguments: &SampleArguments) -> Result<ExitCode> {
    if arguments.like.wanted() {
        return list(&like::write(arguments)?);
    }
    let mut config = SampleConfig::default();
    if let Some(seed) = arguments.seed {
        config.seed = seed;
    }
    list(&sample::write(&config, &arguments.out)?)
}

/// Prints what was written.
fn list(files: &[PathBuf]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for file in files {
        writeln!(out, "{}", file.display()).context("cannot write the output")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the built-in sample unless it is there, and says whether it did. One that was being written when something
/// stopped it is written again; a folder with anything else in it is refused.
pub(crate) fn ensure_sample(folder: &Path) -> Result<bool> {
    if folder.join(LAST).is_file() {
        return Ok(false);
    }
    if let Some(other) = other_file(folder, Path::new(""))? {
        bail!(
            "{} is no folder for the built-in sample: it holds {}, which is none of its files. Write the sample to another \
             one, 'mmrest data sample --out DIR', and give that: --data DIR --bert DIR/bert",
            folder.display(),
            other.display()
        );
    }
    sample::write(&SampleConfig::default(), folder)
        .with_context(|| format!("cannot write the sample to {}", folder.display()))?;
    Ok(true)
}

/// Something below `folder` that the sample does not have, with its path from there; looks only into `below`, a part of it.
fn other_file(folder: &Path, below: &Path) -> Result<Option<PathBuf>> {
    let here = folder.join(below);
    if !here.exists() {
        return Ok(None);
    }
    let entries =
        std::fs::read_dir(&here).with_context(|| format!("cannot read {}", here.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", here.display()))?;
        let name = below.join(entry.file_name());
        if name == Path::new(sample::BERT) && entry.path().is_dir() {
            if let Some(other) = other_file(folder, &name)? {
                return Ok(Some(other));
            }
            continue;
        }
        let known = FILES.iter().any(|file| Path::new(file) == name);
        if !known && !entry.file_name().to_string_lossy().starts_with(DRAFT) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_those_of_the_sample_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let config = SampleConfig {
            videos: 3,
            ..SampleConfig::default()
        };
        let written = sample::write(&config, folder.path()).unwrap();
        assert_eq!(written, FILES.map(|file| folder.path().join(file)));
        assert!(!ensure_sample(folder.path()).unwrap(), "it is whole");
    }

    #[test]
    fn half_a_sample_is_written_again_and_another_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let sample = folder.path().join("sample");
        std::fs::create_dir_all(sample.join("bert/.tmpA1b2")).unwrap();
        std::fs::write(sample.join(WORDS), "half").unwrap();
        std::fs::write(sample.join("bert/vocab.txt"), "half").unwrap();
        assert!(ensure_sample(&sample).unwrap());
        assert!(sample.join(LAST).is_file());
        for name in ["mine.csd", "bert/model.safetensors"] {
            let mine = folder.path().join("mine");
            std::fs::create_dir_all(mine.join("bert")).unwrap();
            std::fs::write(mine.join(name), "mine").unwrap();
            let error = ensure_sample(&mine).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(!mine.join(WORDS).exists());
            std::fs::remove_dir_all(&mine).unwrap();
        }
    }
}
