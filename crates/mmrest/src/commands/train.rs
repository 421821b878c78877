//! `mmrest train`.

use std::path::{Path, absolute};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use burn::train::Interrupter;
use mmrest_learner::Config;
use mmrest_learner::config::parse_override;
use mmrest_learner::run::{Outcome, RunFolder, RunOptions, default_folder, train};

use super::data::ensure_sample;
use crate::arguments::TrainArguments;
use crate::display::{Display, Style};
use crate::logging;
use crate::project::{ConfigFile, find_config};

/// Exit code of an interrupted run, as shells know it.
const INTERRUPTED: u8 = 130;

/// `mmrest train`.
pub(crate) fn run(arguments: &TrainArguments) -> Result<ExitCode> {
    let file = find_config(&arguments.config)?;
    let config = resolve(&file, arguments)?;
    let folder = match &arguments.out {
        Some(out) => RunFolder::new(out),
        None => default_folder(&file.root, &file.name, config.seed),
    };
    let display = Arc::new(Display::new(Style::choose(arguments.quiet, arguments.json)));
    if file.name == "sample" && arguments.data.is_none() {
        let data = file.root.join(&config.data.dir);
        if ensure_sample(&data)? {
            display.line(&format!("wrote the built-in sample to {}", data.display()));
        }
    }
    logging::to_file(&folder.log())?;
    let interrupter = Interrupter::new();
    stop_on_interrupt(&interrupter)?;
    let options = RunOptions {
        folder: folder.clone(),
        resume: arguments.resume,
        backend: arguments.device.backend,
        device: arguments.device.device,
        root: file.root.clone(),
        observer: display.clone(),
        interrupter,
    };
    display.line(&format!("run {}", folder.path().display()));
    let outcome = train(&config, &options).inspect_err(|error| {
        display.clear();
        tracing::error!(target: logging::OUTCOME, %error);
        remove_if_nothing_began(&folder);
    })?;
    match outcome {
        Outcome::Finished(metrics) => {
            display.finished(&metrics);
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted { epochs } => {
            display.clear();
            eprintln!("{}", how_to_resume(arguments, folder.path(), epochs));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// A run that failed before it began leaves no folder behind.
fn remove_if_nothing_began(folder: &RunFolder) {
    if !folder.exists() {
        let _ = std::fs::remove_file(folder.log());
        let _ = std::fs::remove_dir(folder.path());
    }
}

/// The configuration that file and options make.
fn resolve(file: &ConfigFile, arguments: &TrainArguments) -> Result<Config> {
    let mut overrides = Vec::new();
    for set in &arguments.set {
        overrides.push(parse_override(set).map_err(|message| anyhow!(message))?);
    }
    let mut path = |key: &str, value: &Option<std::path::PathBuf>| -> Result<()> {
        if let Some(value) = value {
            let value = absolute(value).with_context(|| format!("{}", value.display()))?;
            let value = toml::Value::String(value.to_string_lossy().into_owned());
            overrides.push((key.to_string(), value));
        }
        Ok(())
    };
    path("data.dir", &arguments.data)?;
    path("text.bert", &arguments.bert)?;
    let mut number = |key: &str, value: Option<u64>| -> Result<()> {
        if let Some(value) = value {
            let value = i64::try_from(value).with_context(|| format!("{key} is too large"))?;
            overrides.push((key.to_string(), toml::Value::Integer(value)));
        }
        Ok(())
    };
    number("seed", arguments.seed)?;
    number("train.epochs", arguments.epochs.map(|epochs| epochs as u64))?;
    Ok(Config::load(&file.path, &overrides)?)
}

/// The first Ctrl-C stops at the next batch, the second at once.
fn stop_on_interrupt(interrupter: &Interrupter) -> Result<()> {
    let interrupter = interrupter.clone();
    ctrlc::set_handler(move || {
        if interrupter.should_stop() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("stopping after this batch; once more to stop at once");
        interrupter.stop(Some("interrupted"));
    })
    .context("cannot listen for Ctrl-C")
}

/// The command that goes on with an interrupted run.
fn how_to_resume(arguments: &TrainArguments, folder: &Path, epochs: usize) -> String {
    let mut command = vec!["cargo xtask train".to_string(), arguments.config.clone()];
    let mut option = |name: &str, value: Option<String>| {
        command.extend(value.map(|value| format!("{name} {}", quoted(&value))));
    };
    let shown = |path: &std::path::PathBuf| path.display().to_string();
    option("--data", arguments.data.as_ref().map(shown));
    option("--bert", arguments.bert.as_ref().map(shown));
    option("--seed", arguments.seed.map(|n| n.to_string()));
    option("--epochs", arguments.epochs.map(|n| n.to_string()));
    for set in &arguments.set {
        option("--set", Some(set.clone()));
    }
    let backend = arguments.device.backend.to_string();
    option("--backend", (backend != "cpu").then_some(backend));
    option("--out", Some(folder.display().to_string()));
    format!(
        "interrupted; {epochs} epoch(s) are kept. Go on with:\n  {} --resume",
        command.join(" ")
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("a/b-1.x"), "a/b-1.x");
        assert_eq!(
            quoted("data.modalities=[\"text\"]"),
            "'data.modalities=[\"text\"]'"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
