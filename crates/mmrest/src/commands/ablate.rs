//! `mmrest ablate`: trains variants of a configuration and compares them.

mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mmrest_data::{Split, files};
use mmrest_learner::run::{FolderLock, check_files};
use mmrest_learner::{Config, Figures};
use serde_json::json;

use super::data::ensure_sample;
use super::report::{check_png, predictions_of, read_run};
use super::train::{overrides, wants_sample};
use crate::arguments::AblateArguments;
use crate::display::{Style, print_json};
use crate::interrupt::{self, say};
use crate::logging;
use crate::numbers::in_text;
use crate::project::{ConfigFile, find_config, find_study, near, program, quoted};
use crate::report::{Page, report};
use crate::screen;
use crate::shipped::ensure_folds;
use crate::study::base::read_study;
use crate::study::file;
use crate::study::plan::{Overrides, Plan, Variant};
use crate::study::processes::{Children, Failure, Launch, work};
use crate::study::progress::Progress;
use crate::study::report::write_report;
use crate::study::runs::{Repeats, Run, SeedResult, State};
use crate::study::search::{Search, Standing};
use crate::study::summary::{Names, Results, SearchSummary, Studied, Summary};
use crate::study::{csv, paper, tables};

/// The number of seeds per variant, if neither the command line nor the study gives one.
const SEEDS: usize = 5;

/// How long a study waits for what is left of one that was killed: runs end with their study, but not in the same moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// A study as the command line asks for it.
struct Study<'a> {
    arguments: &'a AblateArguments,
    config: ConfigFile,
    names: Names,
    plan: Plan,
    /// What every variant sets.
    below: Overrides,
    out: PathBuf,
    repeats: Repeats,
}

/// `mmrest ablate`.
pub(crate) fn run(arguments: &AblateArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    check_png(arguments.png)?;
    let study = Study::read(arguments)?;
    if let Some(index) = arguments.task {
        return study.task(index);
    }
    if arguments.plan {
        return study.print_plan();
    }
    if arguments.slurm {
        return study.slurm();
    }
    let _alone = FolderLock::take_within(&study.out, "study.lock", PATIENCE)?;
    let training = if arguments.collect {
        Training::default()
    } else {
        study.train()?
    };
    let summary = study.summarise(&training)?;
    let page = study.write(&summary)?;
    match study.style() {
        Style::Quiet => {}
        Style::Json => {
            print_json(&json!({ "event": "summary", "report": page, "summary": summary }))
        }
        Style::Terminal | Style::Lines => {
            say(&format!("wrote {}", near(&page)));
            told_best(&summary);
        }
    }
    if training.stopped {
        say("interrupted; the same command goes on");
        return Ok(interrupt::code());
    }
    match training.failures.len() {
        0 => Ok(ExitCode::SUCCESS),
        failed => bail!(
            "{failed} of {} runs failed: {} says why, and the same command tries them again{}",
            training.runs,
            study.out.join("summary.md").display(),
            match summary.search {
                Some(_) => format!(". {}", tables::CANNOT_RUN),
                None => String::new(),
            }
        ),
    }
}

/// What a search has come to, last on the screen.
fn told_best(summary: &Summary) {
    let Some(search) = &summary.search else {
        return;
    };
    let found = search.best.as_ref().and_then(|best| summary.variant(best));
    if let Some((best, mae)) = found.and_then(|best| Some((best, best.valid.get("mae")?))) {
        let so_far = if search.closed { "" } else { " so far" };
        say(&format!(
            "best by validation{so_far}: {}, mae {}, train it with:\n  {}",
            best.name,
            in_text(mae.mean),
            search.command.as_deref().unwrap_or_default()
        ));
    }
}

/// What training a study's runs came to.
#[derive(Default)]
struct Training {
    runs: usize,
    failures: Vec<Failure>,
    stopped: bool,
}

impl Training {
    fn failed(&self, run: &Run) -> bool {
        self.failures.iter().any(|failed| {
            let fold = run.fold.map(|fold| fold.number);
            (failed.variant.as_str(), failed.seed, failed.fold)
                == (run.variant.name.as_str(), run.seed, fold)
        })
    }
}

impl<'a> Study<'a> {
    fn read(arguments: &'a AblateArguments) -> Result<Self> {
        let config = find_config(&arguments.config)?;
        let study_file = find_study(&arguments.study)?;
        let study = read_study(&study_file)?;
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
        let mut below = file::overrides(&study.base);
        below.extend(common);
        Ok(Self {
            arguments,
            names: Names {
                title: study.title.clone(),
                note: study.note.clone(),
                study: study_file.name.clone(),
                config: config.name.clone(),
            },
            plan,
            below,
            out: match &arguments.out {
                Some(out) => out.clone(),
                None => default_out(&config, &study_file, arguments.folds),
            },
            repeats: Repeats {
                seeds: arguments.seeds.or(study.seeds).unwrap_or(SEEDS) as u64,
                folds: arguments.folds,
            },
            config,
        })
    }

    fn chosen(&self) -> Result<Vec<&Variant>> {
        self.plan.chosen(&self.arguments.only)
    }

    /// Trains the remaining runs.
    fn train(&self) -> Result<Training> {
        let chosen = self.chosen()?;
        let all = self.repeats.runs(&self.out, &chosen);
        let all = with_states(all, self.arguments.fresh)?;
        make_sample(&self.config, &self.plan)?;
        check_inputs(&all, &self.config.root)?;
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
        let mut training = Training {
            runs: all.len(),
            ..Training::default()
        };
        if self.arguments.only.is_empty() {
            for skipped in &self.plan.skipped {
                self.note(&format!("{} is left out: {}", skipped.name, skipped.reason));
            }
        }
        let halvings = self
            .plan
            .searches
            .iter()
            .filter(|search| search.halving.is_some());
        let halved: BTreeSet<&String> =
            halvings.clone().flat_map(|search| &search.points).collect();
        let (later, now): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(run, _)| halved.contains(&run.variant.name));
        if !now.is_empty() {
            training.failures = self.work(&now, None, &children)?;
        }
        let later: Vec<Run> = later.into_iter().map(|(run, _)| run).collect();
        for search in halvings {
            while let Some(standing) = self.standing(search, &later, &training) {
                let in_round = |run: &&Run| {
                    standing.left.contains(&run.variant.name)
                        && !matches!(run.state(), Ok(State::Finished))
                        && standing
                            .until
                            .is_none_or(|until| run.valid_by_epoch().len() < until)
                };
                let round: Vec<Run> = later.iter().filter(in_round).cloned().collect();
                if standing.reached || round.is_empty() || children.stopping() {
                    break;
                }
                let points = standing.left.len();
                self.note(&match standing.until {
                    Some(until) => format!("halving: {points} points to epoch {until}"),
                    None => format!("halving: {points} points to the end"),
                });
                let round = with_states(round, false)?;
                let failures = self.work(&round, standing.until, &children)?;
                training.failures.extend(failures);
            }
        }
        training.stopped = children.stopping();
        Ok(training)
    }

    /// Trains some runs, until an epoch where one is given.
    fn work(
        &self,
        runs: &[(Run, State)],
        until: Option<usize>,
        children: &Children,
    ) -> Result<Vec<Failure>> {
        let devices = self.arguments.devices().len();
        let jobs = self.arguments.jobs.unwrap_or(devices);
        let jobs = jobs.clamp(1, runs.len().max(1));
        let show_test = self.plan.searches.is_empty();
        let progress = Progress::new(runs, jobs, self.style(), show_test);
        progress.start();
        let failures = work(runs, jobs, &self.launch(jobs, until), children, &progress);
        progress.clear();
        failures
    }

    fn launch(&self, jobs: usize, until: Option<usize>) -> Launch {
        Launch {
            backend: self.arguments.device.backend,
            devices: self.arguments.devices(),
            threads: (jobs > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none()).then(|| {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                (cores / jobs).max(1)
            }),
            until,
        }
    }

    /// How far a halving has come; nothing for another search.
    fn standing(&self, search: &Search, runs: &[Run], training: &Training) -> Option<Standing> {
        let halving = search.halving?;
        let mut errors: BTreeMap<String, Vec<(Vec<f64>, bool)>> = BTreeMap::new();
        let mut epochs = 1;
        for point in &search.points {
            let own: Vec<&Run> = runs
                .iter()
                .filter(|run| run.variant.name == *point)
                .collect();
            if own.iter().any(|run| training.failed(run)) {
                continue;
            }
            let of = |run: &&Run| {
                let finished = matches!(run.state(), Ok(State::Finished));
                (run.valid_by_epoch(), finished)
            };
            errors.insert(point.clone(), own.iter().map(of).collect());
            let most = own.iter().map(|run| run.variant.config.train.epochs);
            epochs = most.max().unwrap_or(epochs).max(epochs);
        }
        Some(halving.standing(&search.points, epochs, &errors))
    }

    /// Compares all finished runs in the study's folder, not only those of this start.
    fn summarise(&self, training: &Training) -> Result<Summary> {
        let mut results = Results::new();
        for variant in &self.plan.variants {
            for seed in 1..=self.repeats.seeds {
                let runs = self.repeats.of_seed(&self.out, variant, seed);
                if let Some(result) = SeedResult::read(seed, &runs)? {
                    let known: &mut Vec<SeedResult> =
                        results.entry(variant.name.clone()).or_default();
                    known.push(result);
                }
            }
        }
        let chosen = self.chosen()?;
        let search = self.search(&chosen, &results, training);
        let studied = Studied {
            names: self.names.clone(),
            plan: &self.plan,
            chosen: chosen.iter().map(|variant| variant.name.as_str()).collect(),
            repeats: self.repeats,
            resample: self.arguments.resample,
            search,
        };
        Ok(Summary::of(studied, &results, &training.failures))
    }

    /// What the study's searches have come to.
    fn search(
        &self,
        chosen: &[&Variant],
        results: &Results,
        training: &Training,
    ) -> Option<SearchSummary> {
        if self.plan.searches.is_empty() {
            return None;
        }
        // --only does not make a search smaller than it is.
        let points: BTreeSet<&String> = self.plan.searches.iter().flat_map(|s| &s.points).collect();
        let all = self.plan.variants.iter();
        let asked = |variant: &&Variant| chosen.iter().any(|chosen| chosen.name == variant.name);
        let all = all.filter(|variant| asked(variant) || points.contains(&variant.name));
        let runs = self.repeats.runs(&self.out, &all.collect::<Vec<_>>());
        // A point whose run failed is not done: the same command tries it again.
        let failed = |point: &String| {
            let mut own = runs.iter().filter(|run| run.variant.name == *point);
            own.any(|run| training.failed(run))
        };
        let mut dropped = Vec::new();
        let mut rounds_done = true;
        for search in &self.plan.searches {
            let Some(standing) = self.standing(search, &runs, training) else {
                continue;
            };
            if standing.until.is_none() {
                let out = |point: &&String| !standing.left.contains(point) && !failed(point);
                dropped.extend(search.points.iter().filter(out).cloned());
            } else {
                rounds_done = false;
            }
        }
        let done = |run: &Run| {
            dropped.contains(&run.variant.name) || matches!(run.state(), Ok(State::Finished))
        };
        let seeds = usize::try_from(self.repeats.seeds).unwrap_or(usize::MAX);
        let complete = chosen.iter().filter_map(|variant| {
            let of_seeds = results.get(&variant.name)?;
            let errors = of_seeds.iter().map(|seed| {
                let (labels, predictions): (Vec<f32>, Vec<f32>) =
                    seed.valid.values().copied().unzip();
                Figures::of(variant.config.figures, &predictions, &labels).mae()
            });
            let mean = errors.sum::<f64>() / of_seeds.len() as f64;
            (of_seeds.len() == seeds && mean.is_finite()).then_some((*variant, mean))
        });
        let best = complete.min_by(|a, b| a.1.total_cmp(&b.1));
        Some(SearchSummary {
            closed: rounds_done && runs.iter().all(done),
            best: best.map(|(variant, _)| variant.name.clone()),
            command: best.map(|(variant, _)| self.train_command(variant)),
            dropped,
        })
    }

    /// The command that trains a variant.
    fn train_command(&self, variant: &Variant) -> String {
        let mut set = self.below.clone();
        set.extend(variant.set.iter().cloned());
        let own = self.config.load(&set).ok();
        if own.is_some_and(|own: Config| own.train.selection != variant.config.train.selection) {
            set.push(("train.selection".into(), "valid_mae".into()));
        }
        let mut latest: Overrides = Vec::new();
        for (key, value) in set {
            latest.retain(|(known, _)| *known != key);
            latest.push((key, value));
        }
        let mut command = format!("{} train {}", program(), quoted(&self.arguments.config));
        for (key, value) in latest {
            command += &format!(" --set {}", quoted(&format!("{key}={value}")));
        }
        command
    }

    /// Writes the summary in all formats; returns the page's path.
    fn write(&self, summary: &Summary) -> Result<PathBuf> {
        let write = |name: &str, bytes: &[u8]| {
            let path = self.out.join(name);
            files::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
        };
        let mut json = serde_json::to_string_pretty(summary).context("cannot write the summary")?;
        json.push('\n');
        write("summary.json", json.as_bytes())?;
        write("summary.csv", &csv::csv(summary)?)?;
        write("summary.md", tables::markdown(summary).as_bytes())?;
        write("table.md", paper::markdown(summary).as_bytes())?;
        write("table.tex", paper::latex(summary).as_bytes())?;
        let mut pages = Vec::new();
        if summary.shows_test() {
            pages.extend(self.reference_page()?);
        }
        write_report(summary, pages, &self.out, self.arguments.png)
            .context("cannot write the report")
    }

    /// The page of the reference's first finished run; of a cross-validation its predictions over all folds.
    fn reference_page(&self) -> Result<Option<(String, Page)>> {
        let name = &self.plan.reference;
        let Some(reference) = self
            .plan
            .variants
            .iter()
            .find(|variant| variant.name == *name)
        else {
            return Ok(None);
        };
        let finished = |run: &Run| matches!(run.state(), Ok(State::Finished));
        for seed in 1..=self.repeats.seeds {
            let runs = self.repeats.of_seed(&self.out, reference, seed);
            if !runs.iter().all(finished) {
                continue;
            }
            let folders: Vec<&Path> = runs.iter().map(|run| run.folder.path()).collect();
            return Ok(Some(match &folders[..] {
                [run] => {
                    let page = report(&read_run(run, None, Split::Test)?)?;
                    (format!("{name}, first run: "), page)
                }
                folds => {
                    let title = format!("{name}, seed {seed}, all folds: ");
                    (title, predictions_of(folds)?)
                }
            }));
        }
        Ok(None)
    }

    /// How the study is shown.
    fn style(&self) -> Style {
        Style::choose(self.arguments.quiet, self.arguments.json)
    }

    /// Prints a line for people.
    fn say(&self, text: &str) {
        if matches!(self.style(), Style::Terminal | Style::Lines) {
            screen::out(text);
        }
    }

    /// Prints a line for people, and as JSON for programs.
    fn note(&self, text: &str) {
        match self.style() {
            Style::Json => print_json(&json!({ "event": "note", "note": text })),
            _ => self.say(text),
        }
    }
}

/// `runs/studies/<study>-<config>`, of folds `runs/studies/<study>-<config>-<k>-folds`.
fn default_out(config: &ConfigFile, study: &ConfigFile, folds: Option<usize>) -> PathBuf {
    let folds = folds.map_or(String::new(), |folds| format!("-{folds}-folds"));
    let name = format!("{}-{}{folds}", study.name, config.name);
    config.root.join("runs").join("studies").join(name)
}

/// The runs with their states; with `fresh`, runs of another configuration are removed.
fn with_states(runs: Vec<Run<'_>>, fresh: bool) -> Result<Vec<(Run<'_>, State)>> {
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
fn check_inputs(listed: &[(Run<'_>, State)], root: &Path) -> Result<()> {
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
