//! `mmrest export`: the model of a run for other programs.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mmrest_data::files;
use mmrest_learner::run::RunFolder;
use mmrest_learner::{Backend, export, open_device};

use crate::arguments::ExportArguments;
use crate::logging;

/// `mmrest export`: writes what is asked for and prints the paths.
pub(crate) fn run(arguments: &ExportArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let device = open_device(Backend::Cpu, 0)?;
    let model = RunFolder::new(&arguments.run).model();
    let mut out = std::io::stdout().lock();
    let mut say =
        |path: &Path| writeln!(out, "{}", path.display()).context("cannot write the output");
    if let Some(path) = &arguments.onnx {
        let bytes = export::onnx(&model, &device)?;
        let written = files::write(path, &bytes);
        written.with_context(|| format!("cannot write {}", path.display()))?;
        say(path)?;
    }
    if let Some(folder) = &arguments.safetensors {
        check_target(folder, &model)?;
        export::text_encoder(&model, folder, &device)?;
        say(folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a folder that holds anything but a text encoder: it would be lost.
fn check_target(folder: &Path, model: &Path) -> Result<()> {
    const OWN: [&str; 4] = [
        "config.json",
        "model.safetensors",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    let whole = |path: &Path| path.canonicalize().ok();
    if whole(folder).is_some() && whole(folder) == whole(model) {
        bail!(
            "--safetensors {} is the model itself: give another folder",
            folder.display()
        );
    }
    if folder.is_file() {
        bail!(
            "--safetensors {} is a file: give a folder",
            folder.display()
        );
    }
    let Ok(entries) = folder.read_dir() else {
        return Ok(());
    };
    let other = entries
        .flatten()
        .map(|entry| entry.file_name())
        .find(|name| !OWN.iter().any(|own| name == own));
    match other {
        None => Ok(()),
        Some(name) => bail!(
            "--safetensors {} holds {}, which is no part of a text encoder: give another folder",
            folder.display(),
            name.display()
        ),
    }
}
