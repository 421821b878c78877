//! `mmrest train`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;
use std::sync::{Arc, Weak};

use anyhow::{Context, Result, anyhow, bail};
use burn::train::Interrupter;
use mmrest_data::text::count;
use mmrest_learner::config::parse_override;
use mmrest_learner::run::{
    Accepted, FolderLock, Outcome, RunFolder, RunOptions, RunRecord, default_folder, train_locked,
};
#[cfg(feature = "tui")]
use mmrest_learner::train::Dashboard;
use mmrest_learner::train::Observer;
use mmrest_learner::{Backend, Config, LearnerError, SavedModel, open_device};

use super::data::ensure_sample;
use crate::arguments::{Log, TrainArguments};
use crate::display::{Display, Style};
use crate::interrupt::{self, say};
use crate::project::{ConfigFile, find_config, find_run, near, program, quoted};
use crate::report::run::read_json;
use crate::shipped::ensure_folds;
use crate::tensorboard::EventLog;
use crate::{failure, logging};

/// `mmrest train`.
pub(crate) fn run(arguments: &TrainArguments) -> Result<ExitCode> {
    check_tui(arguments.tui)?;
    if arguments.of_study {
        interrupt::end_with_parent()?;
    }
    let file = find_config(&arguments.config)?;
    let accepted = Accepted::parse(&arguments.accept_changed)?;
    let out = match &arguments.out {
        Some(out) if arguments.resume => Some(RunFolder::new(find_run(out)?)),
        out => out.as_ref().map(RunFolder::new),
    };
    let own = out.as_ref().filter(|run| arguments.resume && run.exists());
    let config = resolve(&file, own, arguments)?;
    let wants_sample = wants_sample(&file, own.is_some(), &config)?;
    let folder = out.unwrap_or_else(|| default_folder(&file.root, &file.name, config.seed));
    let lock = folder.lock()?;
    if !arguments.resume && folder.exists() {
        return Err(LearnerError::RunExists(folder.path().to_path_buf()).into());
    }
    if arguments.resume && accepted == Accepted::default() && is_finished(&folder, &config) {
        let style = Style::choose(arguments.quiet, arguments.json);
        let display = Display::new(style, None);
        display.note(&format!(
            "{} is finished: more --epochs go on with it",
            near(folder.path())
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = run_in(
        arguments,
        &file,
        &config,
        wants_sample,
        &accepted,
        &lock,
        &folder,
    );
    if outcome.is_err() {
        remove_if_nothing_began(&folder, &lock);
    }
    outcome
}

/// Rejects `--tui` in a program that was built without it, and where there is no terminal.
fn check_tui(wanted: bool) -> Result<()> {
    if !wanted {
        return Ok(());
    }
    if !cfg!(feature = "tui") {
        bail!(failure::feature_absent("tui", "--tui"));
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        bail!(
            "--tui needs a terminal as standard input and output: run it in one, or leave --tui out"
        );
    }
    Ok(())
}

/// The dashboard of `--tui`.
#[cfg(feature = "tui")]
fn dashboard(wanted: bool, interrupter: &Interrupter) -> Option<Box<dyn Observer>> {
    wanted.then(|| Box::new(Dashboard::new(interrupter.clone())) as Box<dyn Observer>)
}

#[cfg(not(feature = "tui"))]
fn dashboard(_: bool, _: &Interrupter) -> Option<Box<dyn Observer>> {
    None
}

/// Whether a folder holds the finished run of this very configuration, complete as this version writes it: there is nothing
/// to go on with, and nothing to restore.
fn is_finished(folder: &RunFolder, config: &Config) -> bool {
    let record: Option<RunRecord> = read_json(&folder.record()).ok();
    let finished = record.is_some_and(|record| {
        record.finished.is_some() && record.version == env!("CARGO_PKG_VERSION")
    });
    let whole = || {
        let device = open_device(Backend::Cpu, 0).ok()?;
        SavedModel::load(&folder.model(), &device).ok()
    };
    finished
        && folder.metrics().exists()
        && folder.predictions().exists()
        && folder.read_config().is_ok_and(|own| own == *config)
        && whole().is_some()
}

/// Trains in a folder that is this program's.
fn run_in(
    arguments: &TrainArguments,
    file: &ConfigFile,
    config: &Config,
    wants_sample: bool,
    accepted: &Accepted,
    lock: &FolderLock,
    folder: &RunFolder,
) -> Result<ExitCode> {
    let interrupter = Interrupter::new();
    let mut display = Display::new(
        Style::choose(arguments.quiet, arguments.json),
        dashboard(arguments.tui, &interrupter),
    );
    if let Some(epoch) = arguments.until {
        display = display.until(epoch, interrupter.clone());
    }
    let display = Arc::new(display);
    let data = config.data.folder(&file.root);
    let made = wants_sample && ensure_sample(&data)?;
    let folds = ensure_folds(&config.data, &file.root)?;
    logging::to_file(&folder.log())?;
    let resume = how_to_resume(arguments, folder.path());
    let shown = Arc::downgrade(&display);
    stop_on_interrupt(&interrupter, shown, folder, lock, &resume);
    let options = RunOptions {
        folder: folder.clone(),
        resume: arguments.resume,
        init: arguments.init.clone(),
        backend: arguments.device.backend,
        devices: arguments.devices(),
        root: file.root.clone(),
        observer: match arguments.log {
            Some(Log::Tensorboard) => {
                let events = folder.path().join("tensorboard");
                Arc::new(EventLog::new(display.clone(), events))
            }
            None => display.clone(),
        },
        interrupter,
    };
    display.run(folder.path());
    if made {
        display.note(&format!("wrote the built-in sample to {}", near(&data)));
    }
    if let Some(folds) = folds {
        display.note(&format!("wrote the standard folds to {}", near(&folds)));
    }
    let outcome = train_locked(config, &options, accepted, lock).map_err(|error| {
        let error = anyhow::Error::from(error);
        display.clear();
        tracing::error!(target: logging::OUTCOME, error = failure::sentence(&error));
        error
    })?;
    match outcome {
        Outcome::Finished(metrics) => {
            if arguments.of_study {
                folder.remove_checkpoints()?;
            }
            display.finished(&metrics);
            let folder = quoted(&near(folder.path()));
            display.line(&format!(
                "Pictures and cases: {} report {folder}",
                program()
            ));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted { epochs } => {
            display.clear();
            let kept = if epochs == 1 { "is" } else { "are" };
            let what = format!("interrupted; {} {kept} kept.", count(epochs, "epoch"));
            say_interrupted(folder, lock, &what, &resume);
            Ok(interrupt::code())
        }
    }
}

/// Whether the built-in sample is what is to be trained on: by the project's own configuration, unchanged in that, anew.
pub(crate) fn wants_sample(file: &ConfigFile, resume: bool, config: &Config) -> Result<bool> {
    if resume || !file.is_own("sample") {
        return Ok(false);
    }
    Ok(file.load(&[])?.data.dir == config.data.dir)
}

/// A run that failed before it began leaves no folder behind.
fn remove_if_nothing_began(folder: &RunFolder, lock: &FolderLock) {
    if !folder.exists() {
        let _ = std::fs::remove_file(folder.log());
        lock.remove();
        let _ = std::fs::remove_dir(folder.path());
    }
}

/// The configuration that file and options make; a resumed run's file is its own.
fn resolve(
    file: &ConfigFile,
    resumed: Option<&RunFolder>,
    arguments: &TrainArguments,
) -> Result<Config> {
    let overrides = overrides(
        &arguments.set,
        [
            ("data.dir", &arguments.data),
            ("text.bert", &arguments.bert),
        ],
        [
            ("seed", arguments.seed),
            ("train.epochs", arguments.epochs.map(|epochs| epochs as u64)),
        ],
    )?;
    match resumed {
        Some(run) => Ok(Config::load_to_resume(&run.config(), &overrides)?),
        None => file.load(&overrides),
    }
}

/// What `--set` and options that stand for keys come to; later ones win.
pub(crate) fn overrides(
    set: &[String],
    paths: [(&str, &Option<PathBuf>); 2],
    numbers: [(&str, Option<u64>); 2],
) -> Result<Vec<(String, toml::Value)>> {
    let mut overrides = Vec::new();
    for set in set {
        overrides.push(parse_override(set).map_err(|message| anyhow!(message))?);
    }
    for (key, path) in paths {
        if let Some(path) = path {
            let path = absolute(path).with_context(|| format!("{}", path.display()))?;
            let Some(text) = path.to_str() else {
                bail!(
                    "{} (for {key}) is not UTF-8, and a configuration can hold no other: rename the folder, or give a link to it",
                    path.display()
                );
            };
            let value = toml::Value::String(text.to_owned());
            overrides.push((key.to_string(), value));
        }
    }
    for (key, number) in numbers {
        if let Some(number) = number {
            let number = i64::try_from(number).with_context(|| format!("{key} is too large"))?;
            overrides.push((key.to_string(), toml::Value::Integer(number)));
        }
    }
    Ok(overrides)
}

/// The first Ctrl-C stops at the next batch, the second at once.
fn stop_on_interrupt(
    interrupter: &Interrupter,
    display: Weak<Display>,
    folder: &RunFolder,
    lock: &FolderLock,
    resume: &str,
) {
    let (interrupter, folder, lock) = (interrupter.clone(), folder.clone(), lock.clone());
    let resume = resume.to_string();
    interrupt::gently(
        move || {
            say("stopping; once more to stop at once");
            interrupter.stop(Some("interrupted"));
        },
        move || {
            if let Some(display) = display.upgrade() {
                display.clear();
            }
            say_interrupted(&folder, &lock, "interrupted.", &resume);
        },
    );
}

/// The last words of an interrupted run: what happened, and how to go on where there is something to go on with.
fn say_interrupted(folder: &RunFolder, lock: &FolderLock, what: &str, resume: &str) {
    if folder.exists() {
        say(&format!("{what} {resume}"))
    } else {
        say("interrupted before the run began")
    }
    remove_if_nothing_began(folder, lock);
}

/// The command that goes on with an interrupted run: its folder knows the rest.
fn how_to_resume(arguments: &TrainArguments, folder: &Path) -> String {
    let mut command = format!("{} train {}", program(), quoted(&arguments.config));
    let (backend, devices) = (arguments.device.backend, arguments.devices());
    if backend != Backend::default() || devices.len() > 1 {
        let devices: Vec<String> = devices.iter().map(usize::to_string).collect();
        command += &format!(" --backend {backend} --devices {}", devices.join(","));
    }
    if let Some(Log::Tensorboard) = arguments.log {
        command += " --log tensorboard";
    }
    format!(
        "Go on with:\n  {command} --out {} --resume",
        quoted(&near(folder))
    )
}
