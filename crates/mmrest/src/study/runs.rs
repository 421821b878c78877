//! The runs of a study: where each is, and how far it has come.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mmrest_data::files;
use mmrest_learner::Config;
use mmrest_learner::run::{RunFolder, first_difference};

use super::plan::Variant;

/// One variant with one seed.
#[derive(Clone, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) variant: &'a Variant,
    pub(crate) seed: u64,
    pub(crate) folder: RunFolder,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is there.
    New,
    /// It was stopped, or failed on the way.
    Begun,
    /// Its figures are there.
    Finished,
}

impl<'a> Run<'a> {
    /// The run of a variant with a seed, in a study's folder.
    pub(crate) fn new(out: &Path, variant: &'a Variant, seed: u64) -> Self {
        let folder = out.join(&variant.name).join(format!("seed-{seed}"));
        Self {
            variant,
            seed,
            folder: RunFolder::new(folder),
        }
    }

    /// Its whole configuration.
    pub(crate) fn config(&self) -> Config {
        Config {
            seed: self.seed,
            ..self.variant.config.clone()
        }
    }

    /// The file that its process is started with.
    pub(crate) fn config_file(&self) -> PathBuf {
        let folder = self.folder.path();
        folder.with_file_name(format!("seed-{}.toml", self.seed))
    }

    /// Writes that file.
    pub(crate) fn write_config(&self) -> Result<()> {
        let path = self.config_file();
        let text = self.config().to_toml()?;
        files::write(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// How far it has come; an error where the folder holds a run of another configuration.
    pub(crate) fn state(&self) -> Result<State> {
        if !self.folder.exists() {
            return Ok(State::New);
        }
        let (stored, now) = (self.folder.read_config()?, self.config());
        if stored != now {
            bail!(
                "{} is of another configuration than the study has now ({}): choose another --out, or add --fresh to \
                 throw such runs away and run them again",
                self.folder.path().display(),
                first_difference(&stored, &now)
            );
        }
        Ok(if self.folder.metrics().exists() {
            State::Finished
        } else {
            State::Begun
        })
    }

    /// Removes the run's folder.
    pub(crate) fn remove(&self) -> Result<()> {
        let path = self.folder.path();
        std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))
    }
}

/// The runs of some variants, seed by seed, so that a study that is stopped has something of every variant.
pub(crate) fn of<'a>(out: &Path, variants: &[&'a Variant], seeds: u64) -> Vec<Run<'a>> {
    let seeds = 1..=seeds;
    let of_seed = |seed| {
        variants
            .iter()
            .map(move |variant| Run::new(out, variant, seed))
    };
    seeds.flat_map(of_seed).collect()
}
