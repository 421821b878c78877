//! The runs of a study: where each is stored, how far it has come, and what a finished run contains.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mmrest_data::{Fold, Split, files};
use mmrest_learner::run::{MetricsFile, RunFolder, RunRecord, first_difference};
use mmrest_learner::{Config, FigureSet};
use serde::Deserialize;

use super::plan::Variant;
use crate::report::run::{read_json, read_rows};

/// One variant with one seed; in a cross-validation, one fold of it.
#[derive(Clone, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) variant: &'a Variant,
    pub(crate) seed: u64,
    pub(crate) fold: Option<Fold>,
    pub(crate) folder: RunFolder,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no folder.
    New,
    /// It was stopped, or failed on the way.
    Begun,
    /// Its metrics are written.
    Finished,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    /// It wrote its metrics.
    Finished,
    /// It was asked to stop.
    Interrupted,
    /// It has done the epochs of its round; a later round goes on with it.
    Paused,
    /// Why it failed, in a sentence.
    Failed(String),
}

impl<'a> Run<'a> {
    /// The run of a variant with a seed, in a study's folder.
    fn new(out: &Path, variant: &'a Variant, seed: u64, fold: Option<Fold>) -> Self {
        let mut folder = out.join(&variant.name).join(format!("seed-{seed}"));
        if let Some(fold) = fold {
            folder.push(format!("fold-{}", fold.number));
        }
        Self {
            variant,
            seed,
            fold,
            folder: RunFolder::new(folder),
        }
    }

    /// What it is called: `full seed 1`, `full seed 1 fold 2`.
    pub(crate) fn name(&self) -> String {
        named(
            &self.variant.name,
            self.seed,
            self.fold.map(|fold| fold.number),
        )
    }

    /// Its complete configuration.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config {
            seed: self.seed,
            ..self.variant.config.clone()
        };
        if self.fold.is_some() {
            config.data.fold = self.fold;
            config.train.record_test = false;
        }
        config
    }

    /// The configuration file of its process.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().with_extension("toml")
    }

    /// The validation error of each epoch so far; none where nothing can be read.
    pub(crate) fn valid_by_epoch(&self) -> Vec<f64> {
        let epochs = epochs(&self.folder.epochs()).unwrap_or_default();
        let mae = |epoch: &Epoch| epoch.get("valid_mae").copied().unwrap_or(f64::NAN);
        epochs.iter().map(mae).collect()
    }

    /// Writes the configuration file.
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

/// What a run is called in messages.
pub(crate) fn named(variant: &str, seed: u64, fold: Option<usize>) -> String {
    let fold = fold.map_or(String::new(), |fold| format!(" fold {fold}"));
    format!("{variant} seed {seed}{fold}")
}

/// How often each variant is trained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeats {
    /// Seeds, from 1.
    pub(crate) seeds: u64,
    /// Folds of the cross-validation, where there is one.
    pub(crate) folds: Option<usize>,
}

impl Repeats {
    /// The runs of a variant with a seed: one, or one per fold.
    pub(crate) fn of_seed<'a>(&self, out: &Path, variant: &'a Variant, seed: u64) -> Vec<Run<'a>> {
        match self.folds {
            None => vec![Run::new(out, variant, seed, None)],
            Some(of) => (1..=of)
                .map(|number| {
                    let fold = Fold {
                        number,
                        of,
                        keep_test: false,
                    };
                    Run::new(out, variant, seed, Some(fold))
                })
                .collect(),
        }
    }

    /// The runs of some variants, seed by seed, so that a study that is stopped has something of every variant.
    pub(crate) fn runs<'a>(&self, out: &Path, variants: &[&'a Variant]) -> Vec<Run<'a>> {
        let seeds = 1..=self.seeds;
        seeds
            .flat_map(|seed| {
                variants
                    .iter()
                    .flat_map(move |variant| self.of_seed(out, variant, seed))
            })
            .collect()
    }

    /// Runs per variant.
    pub(crate) fn per_variant(&self) -> usize {
        usize::try_from(self.seeds).unwrap_or(usize::MAX) * self.folds.unwrap_or(1)
    }
}

/// Label and prediction of a split's segments, by id.
pub(crate) type Segments = BTreeMap<String, (f32, f32)>;

/// A finished run.
#[derive(Clone, Debug)]
pub(crate) struct RunResult {
    pub(crate) metrics: MetricsFile,
    pub(crate) record: RunRecord,
    pub(crate) train_segments: usize,
    pub(crate) valid: Segments,
    pub(crate) test: Segments,
    /// One per epoch.
    pub(crate) epochs: Vec<Epoch>,
}

/// What a variant came to with one seed: one run, or all folds of a cross-validation, over which every segment was
/// validated and tested once.
#[derive(Clone, Debug)]
pub(crate) struct SeedResult {
    pub(crate) seed: u64,
    pub(crate) runs: Vec<RunResult>,
    pub(crate) valid: Segments,
    pub(crate) test: Segments,
}

impl SeedResult {
    /// Reads the runs of a seed; nothing until all are finished.
    ///
    /// # Errors
    ///
    /// A file of a finished run cannot be read.
    pub(crate) fn read(seed: u64, runs: &[Run]) -> Result<Option<Self>> {
        let finished = |run: &Run| matches!(run.state(), Ok(State::Finished));
        if !runs.iter().all(finished) {
            return Ok(None);
        }
        let runs: Vec<RunResult> = runs.iter().map(RunResult::read).collect::<Result<_>>()?;
        let all = |of: fn(&RunResult) -> &Segments| -> Segments {
            let segments = runs.iter().flat_map(of);
            segments.map(|(id, &values)| (id.clone(), values)).collect()
        };
        let (valid, test) = (all(|run| &run.valid), all(|run| &run.test));
        Ok(Some(Self {
            seed,
            valid,
            test,
            runs,
        }))
    }

    /// The metrics of the test split at the epoch with the lowest test MAE; nothing for folds, which do not record it.
    pub(crate) fn chosen_on_test(&self, set: FigureSet) -> Option<Vec<f64>> {
        match &self.runs[..] {
            [run] => run.chosen_on_test(set),
            _ => None,
        }
    }
}

/// The values of an epoch, by column of `epochs.csv`.
pub(crate) type Epoch = BTreeMap<String, f64>;

/// The columns of `predictions.csv` that are read.
#[derive(Deserialize)]
struct PredictionRow {
    id: String,
    split: String,
    label: f32,
    prediction: f32,
}

impl RunResult {
    /// Reads the files of a finished run.
    pub(crate) fn read(run: &Run) -> Result<Self> {
        let folder = &run.folder;
        let rows: Vec<PredictionRow> = read_rows(&folder.predictions())?;
        let of = |split: Split| {
            let rows = rows
                .iter()
                .filter(move |row| row.split == split.to_string());
            rows.map(|row| (row.id.clone(), (row.label, row.prediction)))
        };
        Ok(Self {
            metrics: read_json(&folder.metrics())?,
            record: read_json(&folder.record())?,
            train_segments: of(Split::Train).count(),
            valid: of(Split::Valid).collect(),
            test: of(Split::Test).collect(),
            epochs: epochs(&folder.epochs())?,
        })
    }

    /// The metrics of the test split at the epoch with the lowest test MAE, in the set's order; `None` where no epoch has
    /// one.
    fn chosen_on_test(&self, set: FigureSet) -> Option<Vec<f64>> {
        let mae = |epoch: &&Epoch| epoch.get("test_mae").copied().unwrap_or(f64::NAN);
        let known = self.epochs.iter().filter(|epoch| !mae(epoch).is_nan());
        let best = known.min_by(|a, b| mae(a).total_cmp(&mae(b)))?;
        let figure = |name| {
            best.get(&format!("test_{name}"))
                .copied()
                .unwrap_or(f64::NAN)
        };
        Some(set.names().map(figure).collect())
    }
}

/// The seconds that a run took, unless it was stopped and resumed.
pub(crate) fn read_times(folder: &RunFolder) -> Option<f64> {
    let record: RunRecord = read_json(&folder.record()).ok()?;
    let took = record.finished? - record.started;
    record.resumptions.is_empty().then_some(took)
}

/// Rows of numbers; other cells, such as `true`, are left out.
fn epochs(path: &Path) -> Result<Vec<Epoch>> {
    let rows: Vec<BTreeMap<String, String>> = read_rows(path)?;
    let numbers = |row: BTreeMap<String, String>| {
        let cells = row.into_iter();
        cells
            .filter_map(|(name, cell)| Some((name, cell.parse().ok()?)))
            .collect()
    };
    let epochs: Vec<Epoch> = rows.into_iter().map(numbers).collect();
    if epochs.is_empty() {
        bail!("{} has no epoch", path.display())
    } else {
        Ok(epochs)
    }
}
