//! `mmrest report`: makes a report of one run, or compares several.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::Split;
use mmrest_data::prepare;
use mmrest_learner::Config;
use mmrest_learner::run::{RunFolder, check_data};

use crate::arguments::ReportArguments;
use crate::report::{Page, Run, Scale, compare, lacks_split, predictions_alone, report};
use crate::{logging, project};

/// `mmrest report`.
pub(crate) fn run(arguments: &ReportArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    check_png(arguments.png)?;
    let (mut runs, mut pages) = (Vec::new(), Vec::new());
    for folder in &arguments.runs {
        let run = read_run(folder, arguments.data.as_deref(), arguments.split)?;
        pages.push(report(&run)?);
        runs.push(run);
    }
    let (page, folder) = match (&runs[..], pages.pop()) {
        ([run], Some(page)) => (page, run.folder.join("report")),
        (runs, last) => {
            pages.extend(last);
            (compare(runs, &pages)?, side_by_side(runs)?)
        }
    };
    let folder = arguments.out.clone().unwrap_or(folder);
    write(&page, &folder, arguments.png)
}

/// Refuses `--png` in a program that was built without it.
pub(super) fn check_png(wanted: bool) -> Result<()> {
    if wanted && !cfg!(feature = "png") {
        bail!(crate::failure::feature_absent("png", "--png"));
    }
    Ok(())
}

fn write(page: &Page, folder: &Path, png: bool) -> Result<ExitCode> {
    use std::io::Write;
    let path = page.write(folder, png)?;
    writeln!(std::io::stdout(), "{}", path.display()).context("cannot write the output")?;
    Ok(ExitCode::SUCCESS)
}

/// `runs/reports/A+B` below the project's root.
fn side_by_side(runs: &[Run]) -> Result<PathBuf> {
    let names: Vec<String> = runs.iter().map(|run| run.name.replace('/', "-")).collect();
    let first = runs.first().map_or(Path::new("."), |run| &run.folder);
    let mut name = names.join("+");
    // File systems take names of 255 bytes.
    if name.len() > 200 {
        name = format!(
            "{}-runs-from-{}",
            runs.len(),
            names.first().map_or("", |n| n)
        );
    }
    let root = project::root_of_run(first)?;
    Ok(root.join("runs").join("reports").join(name))
}

/// Reads a run, with its texts if its data (or those in `data`) are available.
pub(super) fn read_run(folder: &Path, data: Option<&Path>, split: Split) -> Result<Run> {
    let mut config = RunFolder::new(folder).read_config()?;
    let mut split = split;
    if split == Split::Test && lacks_split(folder, split.name())? {
        split = Split::Valid;
        tracing::warn!(
            "{}: the data have no test segment: the validation split is shown",
            folder.display()
        );
    }
    let mut run = Run::read(folder, split.name(), scale(&config)?)?;
    if let Some(data) = data {
        config.data.dir = data.to_path_buf();
    }
    match texts(folder, &config, &project::root_of_run(folder)?, split) {
        Ok(texts) => run.texts = texts,
        // A report can be made anywhere; the page says what it lacks.
        Err(error) => tracing::warn!("texts are left out: {}", crate::failure::sentence(&error)),
    }
    Ok(run)
}

/// The predictions of the test splits of several folds, in pictures.
pub(super) fn predictions_of(folds: &[&Path]) -> Result<Page> {
    let mut all: Option<Run> = None;
    for folder in folds {
        let run = Run::read(
            folder,
            Split::Test.name(),
            scale(&RunFolder::new(*folder).read_config()?)?,
        )?;
        match &mut all {
            Some(all) => all.predictions.extend(run.predictions),
            None => all = Some(run),
        }
    }
    let all = all.context("there is no fold")?;
    predictions_alone(&all)
}

fn scale(config: &Config) -> Result<Scale> {
    let [low, high] = config.data.label_range.map(f64::from);
    Ok(Scale {
        range: (low, high),
        labels: config.bins.labels.clone(),
        bins: config.bins.bins()?,
    })
}

/// The texts of a split, by segment.
fn texts(
    run: &Path,
    config: &Config,
    root: &Path,
    split: Split,
) -> Result<BTreeMap<String, String>> {
    let prepared = prepare(&config.data, root, &mut |_| true)?;
    // In the library's words: there is no option to go on all the same.
    check_data(&RunFolder::new(run), &prepared.files).map_err(|error| anyhow!("{error}"))?;
    let set = prepared.set;
    let rows = set.rows(split).iter();
    Ok(rows
        .map(|&row| (set.id(row).to_owned(), set.text(row).to_owned()))
        .collect())
}
