//! `mmrest ablate`: trains variants of a configuration and compares them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::{Split, files};
use mmrest_learner::Config;
use mmrest_learner::run::{FolderLock, check_files};

use super::data::ensure_sample;
use super::report::{check_png, read_run};
use super::train::{overrides, wants_sample};
use crate::arguments::AblateArguments;
use crate::interrupt::{self, say};
use crate::logging;
use crate::project::{ConfigFile, find_config, find_study, near};
use crate::report::report;
use crate::shipped::ensure_folds;
use crate::study::file::StudyFile;
use crate::study::plan::Plan;
use crate::study::processes::{Children, Failure, Launch, work};
use crate::study::progress::Progress;
use crate::study::report::write_report;
use crate::study::runs::{Run, RunResult, State, runs_of};
use crate::study::summary::{Gate, Names, Results, Summary};
use crate::study::{csv, tables};

/// The number of seeds per variant, if neither the command line nor the study gives one.
const SEEDS: usize = 5;

/// How long a study waits for what is left of one that was killed: runs end with their study, but not in the same moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// `mmrest ablate`.
pub(crate) fn run(arguments: &AblateArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    check_png(arguments.png)?;
    let config = find_config(&arguments.config)?;
    let study_file = find_study(&arguments.study)?;
    let study = StudyFile::parse(&study_file.text()?)
        .map_err(|error| anyhow!("{}: {error}", study_file.shown()))?;
    let common = overrides(
        &arguments.set,
        [
            ("data.dir", &arguments.data),
            ("text.bert", &arguments.bert),
        ],
        [
            ("seed", None),
            ("train.epochs", arguments.epochs.map(|epochs| epochs as u64)),
        ],
    )?;
    let plan = Plan::make(&study, &config, &common)?;
    let seeds = arguments.seeds.or(study.seeds).unwrap_or(SEEDS) as u64;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| default_out(&config, &study_file));
    let _alone = FolderLock::take_within(&out, "study.lock", PATIENCE)?;
    let chosen = plan.chosen(&arguments.only)?;
    let listed = runs_of(&out, &chosen, seeds);
    let listed = with_states(listed, arguments.fresh)?;
    make_sample(&config, &plan)?;
    check_inputs(&listed, &config.root)?;
    let names = Names {
        title: study.title.clone(),
        note: study.note.clone(),
        study: study_file.name.clone(),
        config: config.name.clone(),
    };
    let (failures, stopped) = train_all(arguments, &plan, &listed)?;
    let (summary, reference) = summarise(names, &plan, &out, seeds, &failures)?;
    let page = write(&summary, reference.as_deref(), &out, arguments.png)?;
    if !arguments.quiet {
        say(&format!("wrote {}", near(&page)));
    }
    if stopped {
        say("interrupted; the same command goes on");
        return Ok(interrupt::code());
    }
    match failures.len() {
        0 => Ok(ExitCode::SUCCESS),
        failed => bail!(
            "{failed} of {} runs failed: {} says why, and the same command tries them again",
            listed.len(),
            out.join("summary.md").display()
        ),
    }
}

/// `runs/studies/<study>-<config>`.
fn default_out(config: &ConfigFile, study: &ConfigFile) -> PathBuf {
    let name = format!("{}-{}", study.name, config.name);
    config.root.join("runs").join("studies").join(name)
}

/// The runs with their states; with `fresh`, runs of another configuration are removed.
fn with_states(runs: Vec<Run>, fresh: bool) -> Result<Vec<(Run, State)>> {
    let mut listed = Vec::with_capacity(runs.len());
    for run in runs {
        run.folder.wait_until_free(PATIENCE)?;
        let state = match run.state() {
            Err(_) if fresh => {
                run.remove()?;
                State::New
            }
            state => state?,
        };
        listed.push((run, state));
    }
    Ok(listed)
}

/// Writes the built-in sample if the study uses it.
fn make_sample(config: &ConfigFile, plan: &Plan) -> Result<()> {
    if let Some(variant) = plan.variants.first()
        && wants_sample(config, false, &variant.config)?
    {
        ensure_sample(&variant.config.data.folder(&config.root))?;
    }
    Ok(())
}

/// Checks that what the remaining runs read is there: without it each would fail, one after another.
fn check_inputs(listed: &[(Run, State)], root: &Path) -> Result<()> {
    let left = listed.iter().filter(|(_, state)| *state != State::Finished);
    let mut checked: Vec<&Config> = Vec::new();
    for config in left.map(|(run, _)| &run.variant.config) {
        let same = |other: &&Config| (&other.data, &other.text) == (&config.data, &config.text);
        if checked.iter().any(same) {
            continue;
        }
        ensure_folds(&config.data, root)?;
        check_files(config, root)?;
        checked.push(config);
    }
    Ok(())
}

/// Trains the remaining runs; returns those that failed, and whether the study was stopped.
fn train_all(
    arguments: &AblateArguments,
    plan: &Plan,
    listed: &[(Run, State)],
) -> Result<(Vec<Failure>, bool)> {
    let jobs = arguments.jobs.clamp(1, listed.len().max(1));
    let children = Arc::new(Children::default());
    let [first, second] = [Arc::clone(&children), Arc::clone(&children)];
    interrupt::gently(
        move || {
            say("stopping; once more to stop at once");
            first.stop();
        },
        move || {
            second.stop(); // a run's own second time
            say("interrupted");
        },
    );
    let progress = Progress::new(listed, jobs, arguments.quiet);
    let left_out = plan.skipped.iter().filter(|_| arguments.only.is_empty());
    for skipped in left_out {
        progress.line(&format!("{} is left out: {}", skipped.name, skipped.reason));
    }
    progress.start();
    let launch = Launch {
        options: arguments.device.options(),
        threads: (jobs > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none()).then(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores / jobs).max(1)
        }),
    };
    let failures = work(listed, jobs, &launch, &children, &progress);
    progress.clear();
    Ok((failures?, children.stopping()))
}

/// Compares all finished runs in the study's folder, not only those of this start. Also returns the folder of the first finished
/// run of the reference.
fn summarise(
    names: Names,
    plan: &Plan,
    out: &Path,
    seeds: u64,
    failures: &[Failure],
) -> Result<(Summary, Option<PathBuf>)> {
    let mut results = Results::new();
    let mut of_reference = None;
    for variant in &plan.variants {
        for run in runs_of(out, &[variant], seeds) {
            if matches!(run.state(), Ok(State::Finished)) {
                let result = RunResult::read(&run)?;
                results
                    .entry(variant.name.clone())
                    .or_default()
                    .push(result);
                if variant.name == plan.reference {
                    of_reference.get_or_insert(run.folder);
                }
            }
        }
    }
    let gates = Gate::beside(of_reference.as_ref());
    let summary = Summary::of(names, plan, seeds, &results, failures, gates);
    let reference = of_reference.map(|folder| folder.path().to_path_buf());
    Ok((summary, reference))
}

/// Writes the summary in all formats.
fn write(summary: &Summary, reference: Option<&Path>, out: &Path, png: bool) -> Result<PathBuf> {
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        files::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut json = serde_json::to_string_pretty(summary).context("cannot write the summary")?;
    json.push('\n');
    write("summary.json", json.as_bytes())?;
    write("summary.csv", &csv::csv(summary)?)?;
    write("summary.md", tables::markdown(summary).as_bytes())?;
    let run = reference.map(|folder| report(&read_run(folder, None, Split::Test)?));
    write_report(summary, run.transpose()?, out, png).context("cannot write the report")
}
