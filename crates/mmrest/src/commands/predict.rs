//! `mmrest predict`: scores new data with the model of a run.

mod pieces;
mod scorer;
mod sets;
mod stream;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use mmrest_data::DataConfig;
use mmrest_learner::run::{RunFolder, check_own_files};
use mmrest_learner::{Interpreter, NoInterval, Predictor, open_device};

use self::scorer::{Output, Scorer, refuse_the_input};
use self::sets::{Gather, as_set};
use self::stream::score_lines;
use crate::arguments::PredictArguments;
use crate::interrupt::say;
use crate::logging;
use crate::project::root_of_run;

/// The exit code if lines were skipped that could not be scored.
const SKIPPED: u8 = 3;

/// `mmrest predict`.
pub(crate) fn run(arguments: &PredictArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let (input, output) = (arguments.input()?, arguments.output.as_deref());
    refuse_the_input(input, output)?;
    let predictor = load(arguments)?;
    let config = predictor.saved_model().config.data.clone();
    let set = as_set(&config, input)?;
    if !arguments.accept_changed_data {
        let files = read_of(set.as_ref(), input);
        let root = root_of_run(&arguments.run)?;
        check_own_files(&RunFolder::new(&arguments.run), &files, &root)?;
    }
    let neighbours = arguments.explain.then_some(arguments.neighbours);
    let interpreter = interpreter(&predictor, arguments.confidence)?;
    let open = |predictor| {
        let output = Output::open(output, arguments.explain)?;
        let model = (predictor, interpreter);
        Ok::<_, anyhow::Error>(Scorer::new(model, output, neighbours, arguments.strict))
    };
    let mut scorer = match set {
        Some((config, folder)) => {
            let mut scorer = open(predictor)?;
            let mut gather = Gather::new(&mut scorer);
            let visited = mmrest_data::visit_unlabelled(&config, &folder, &mut |segment| {
                gather.take(segment)
            });
            let finished = gather.finish(visited);
            if input.is_dir() {
                finished.with_context(|| input.display().to_string())?;
            } else {
                finished?;
            }
            scorer
        }
        None => {
            let (lines, name) = open_lines(input)?;
            let mut scorer = open(predictor)?;
            score_lines(&mut scorer, lines, &name)?;
            scorer
        }
    };
    if let Some(error) = scorer.stopped.take() {
        scorer.keep()?;
        return Err(error);
    }
    let summary = scorer.finish()?;
    if !arguments.quiet {
        say(&summary.to_string());
    }
    Ok(match summary.skipped {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SKIPPED),
    })
}

/// The files that are scored: the input itself, or those in a folder that go by the names of the model's data.
fn read_of(set: Option<&(DataConfig, PathBuf)>, input: &Path) -> Vec<PathBuf> {
    match set {
        Some((config, folder)) => config.files_in(folder),
        None => vec![input.to_path_buf()],
    }
}

/// Loads the model, on request with its training segments for explanations.
fn load(arguments: &PredictArguments) -> Result<Predictor> {
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let folder = RunFolder::new(&arguments.run).model();
    let predictor = Predictor::load(&folder, &device)?;
    if !arguments.explain || arguments.neighbours == 0 || !predictor.has_shared_space() {
        return Ok(predictor);
    }
    let predictor = predictor.with_neighbours()?;
    if !predictor.has_neighbours() {
        tracing::warn!(
            "{} has no neighbours.safetensors, since an older mmrest trained it or the run has not ended: explanations \
             have contributions but no neighbours; 'train' with --out and --resume writes the file",
            folder.display()
        );
    }
    Ok(predictor)
}

/// What tells the meaning of a model's scores; says so where it has no intervals.
pub(crate) fn interpreter(predictor: &Predictor, confidence: f64) -> Result<Interpreter> {
    let interpreter = predictor.interpreter(confidence)?;
    match interpreter.no_interval() {
        None => {}
        Some(reason @ NoInterval::NotCalibrated) => {
            tracing::warn!("{reason}; 'train' with --out and --resume writes the file");
        }
        Some(reason) => tracing::warn!("{reason} (--confidence)"),
    }
    Ok(interpreter)
}

/// Opens a file of lines or standard input; returns it with its name.
fn open_lines(input: &Path) -> Result<(Box<dyn Read + Send>, String)> {
    if input == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), "standard input".to_string()));
    }
    let name = input.display().to_string();
    let file = File::open(input).with_context(|| format!("cannot read {name}"))?;
    Ok((Box::new(file), name))
}
