//! `mmrest predict`: scores new data with the model of a run.

mod embeddings;
mod pieces;
mod pulse;
mod scorer;
mod sets;
mod stream;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mmrest_data::DataConfig;
use mmrest_data::text::count;
use mmrest_learner::run::{RunFolder, check_own_files};
use mmrest_learner::{Interpreter, NoInterval, Predictor, open_device};
use mmrest_media::{Recording, RecordingInputs};

use self::embeddings::EmbeddingsFile;
use self::pulse::Pulse;
use self::scorer::{Output, Place, Scorer, refuse_the_input};
use self::sets::{Gather, as_set};
use self::stream::score_lines;
use crate::arguments::{PredictArguments, ScoreFormat};
use crate::failure::{sentence, was_asked_for};
use crate::interrupt::say;
use crate::lines::Spoken;
use crate::logging;
use crate::player::{PlayedMedia, Player};
use crate::project::root_of_run;
use crate::recording::{self, Job};

/// The exit code if lines were skipped that could not be scored.
const SKIPPED: u8 = 3;

/// `mmrest predict`.
pub(crate) fn run(arguments: &PredictArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let format = arguments.format()?;
    let (scorer, failed) = match &arguments.transcript {
        Some(transcript) => score_recordings(arguments, transcript, format)?,
        None => (score_input(arguments, format)?, 0),
    };
    let mut scorer = scorer;
    if let Some(error) = scorer.stopped.take() {
        scorer.keep()?;
        return Err(error);
    }
    let summary = scorer.finish()?;
    if !arguments.quiet {
        say(&summary.to_string());
    }
    Ok(match summary.skipped + failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SKIPPED),
    })
}

/// What scores segments into an output. `bytes`: the size of the input, where that is known.
fn scorer(
    arguments: &PredictArguments,
    predictor: Predictor,
    format: ScoreFormat,
    bytes: Option<u64>,
) -> Result<Scorer> {
    let spoken = arguments.transcript.is_some();
    let output = arguments.output.as_deref();
    let pulse = Pulse::new(&predictor, arguments.quiet, output, bytes);
    let player = match format {
        ScoreFormat::Html => Some(player(arguments, &predictor)?),
        _ => None,
    };
    let output = Output::open(output, format, spoken, arguments.explain)?.page(player);
    let neighbours = arguments.explain.then_some(arguments.neighbours);
    let interpreter = interpreter(&predictor, arguments.confidence)?;
    let model = (predictor, interpreter);
    let mut scorer = Scorer::new(model, output, neighbours, arguments.strict, pulse);
    if let Some(path) = &arguments.embeddings {
        scorer.embeddings = Some(EmbeddingsFile::create(path)?);
    }
    Ok(scorer)
}

/// The page of a recording.
fn player(arguments: &PredictArguments, predictor: &Predictor) -> Result<Player> {
    let media = arguments.media.first();
    let of = media.or(arguments.transcript.as_ref());
    let name = of.and_then(|path| path.file_name()).unwrap_or_default();
    let config = &predictor.saved_model().config;
    let run = arguments.run.canonicalize().unwrap_or_default();
    let played = media.map(|media| PlayedMedia::of(media, arguments.output.as_deref()));
    Ok(Player {
        title: name.to_string_lossy().into_owned(),
        note: format!(
            "Sentiment by {} (run “{}”), mmrest {}.",
            config.model.name(),
            run.file_name().unwrap_or_default().display(),
            env!("CARGO_PKG_VERSION")
        ),
        range: config.data.label_range,
        confidence: arguments.confidence,
        media: played.transpose()?,
    })
}

/// Scores lines or a set.
fn score_input(arguments: &PredictArguments, format: ScoreFormat) -> Result<Scorer> {
    let (input, output) = (arguments.input()?, arguments.output.as_deref());
    refuse_the_input(input, "--output", output)?;
    refuse_the_input(input, "--embeddings", arguments.embeddings.as_deref())?;
    let predictor = load(arguments)?;
    let config = predictor.saved_model().config.data.clone();
    let set = as_set(&config, input)?;
    if !arguments.accept_changed_data {
        let files = read_of(set.as_ref(), input);
        let root = root_of_run(&arguments.run)?;
        check_own_files(&RunFolder::new(&arguments.run), &files, &root)?;
    }
    if let Some((config, folder)) = &set {
        recording::check_folder(&predictor, &arguments.run, config, folder)?;
    }
    let folder = set.as_ref().map(|(_, folder)| folder.as_path());
    let predictor = with_sentences(predictor, folder, arguments)?;
    match set {
        Some((config, folder)) => {
            let mut scorer = scorer(arguments, predictor, format, None)?;
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
            Ok(scorer)
        }
        None => {
            let (lines, name) = open_lines(input)?;
            let size = input.metadata().ok().filter(std::fs::Metadata::is_file);
            let size = size.map(|file| file.len());
            let mut scorer = scorer(arguments, predictor, format, size)?;
            score_lines(&mut scorer, lines, &name)?;
            Ok(scorer)
        }
    }
}

/// Scores recordings, and counts those that could not be.
fn score_recordings(
    arguments: &PredictArguments,
    transcript: &Path,
    format: ScoreFormat,
) -> Result<(Scorer, usize)> {
    let jobs = Job::of(&arguments.media, transcript)?;
    let table = arguments.cut.table()?;
    for job in &jobs {
        for input in job.media.iter().chain([&job.transcript]) {
            refuse_the_input(input, "--output", arguments.output.as_deref())?;
            refuse_the_input(input, "--embeddings", arguments.embeddings.as_deref())?;
        }
    }
    let predictor = with_sentences(load(arguments)?, None, arguments)?;
    let inputs = recording::inputs(&predictor, &arguments.run)?;
    check_tables(arguments, &inputs)?;
    let mut scorer = scorer(arguments, predictor, format, None)?;
    let alone = jobs.len() == 1;
    let mut failed = 0;
    for (number, job) in jobs.iter().enumerate() {
        let name = (!alone).then(|| format!("{}, {} of {}", job.id, number + 1, jobs.len()));
        let scored = arguments.cut.with(table.as_ref(), job, alone, |recording| {
            score_recording(&mut scorer, &inputs, &job.id, recording, name)
        });
        match scored {
            Ok(notes) => notes
                .iter()
                .for_each(|note| scorer.pulse.say(&format!("{}: {note}", job.id))),
            Err(error) if alone || arguments.strict || was_asked_for(&error) => {
                scorer.stopped.get_or_insert(error);
            }
            Err(error) => {
                let told = format!("skipped: {}: {}", job.id, sentence(&error));
                scorer.pulse.say(&told);
                failed += 1;
            }
        }
        if scorer.stopped.is_some() {
            break;
        }
    }
    if failed == jobs.len() {
        bail!("none of {} could be scored", count(failed, "recording"));
    }
    Ok((scorer, failed))
}

/// Refuses tables of features that the model does not take.
fn check_tables(arguments: &PredictArguments, inputs: &RecordingInputs) -> Result<()> {
    let taken = inputs.config();
    let tables = [
        (
            "--vision",
            arguments.cut.vision.is_some(),
            taken.vision.is_some(),
        ),
        (
            "--audio-table",
            arguments.cut.audio_table.is_some(),
            taken.audio_table.is_some(),
        ),
    ];
    for (option, given, taken) in tables {
        if given && !taken {
            bail!("{option}: the model was trained without features of such tables; leave it out");
        }
    }
    Ok(())
}

/// Scores one recording as it is read, and says what of it was left out or is odd. `name`: that of one among several.
fn score_recording(
    scorer: &mut Scorer,
    inputs: &RecordingInputs,
    id: &str,
    recording: &Recording<'_>,
    name: Option<String>,
) -> Result<Vec<String>> {
    let mut segments = inputs.segments(id, recording)?;
    scorer.pulse.recording(name, segments.len());
    scorer.begin();
    let mut gather = Gather::new(scorer);
    let mut failed = None;
    let mut visited = Ok(());
    for recorded in segments.by_ref() {
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        let place = Place {
            at: recorded.segment.id.clone(),
            spoken: Some(Spoken {
                start: recorded.start,
                end: recorded.end,
                text: recorded.text,
            }),
        };
        visited = gather.take_at(recorded.segment, place);
        if visited.is_err() {
            break;
        }
    }
    gather.finish(visited)?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(segments.finish()?),
    }
}

/// Reads the further sentences about the segments of a folder, where the model takes any.
fn with_sentences(
    predictor: Predictor,
    folder: Option<&Path>,
    arguments: &PredictArguments,
) -> Result<Predictor> {
    let Some(expected) = predictor.sentences_file(folder.unwrap_or(Path::new(""))) else {
        return Ok(predictor);
    };
    match folder {
        Some(folder) if expected.is_file() => {
            let root = root_of_run(&arguments.run)?;
            Ok(predictor.with_sentences(folder, &root)?)
        }
        _ => {
            tracing::warn!(
                "no {}, from which the model was given sentences about each segment (data.sentences): their place stays empty",
                expected.display()
            );
            Ok(predictor)
        }
    }
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
