//! `mmrest predict`.

mod output;
mod sets;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::Segment;
use mmrest_learner::run::RunFolder;
use mmrest_learner::{Predictor, open_device};

use self::output::{Output, refuse_the_input};
use self::sets::{as_set, score_set};
use crate::arguments::PredictArguments;
use crate::lines::{Scored, parse_line};
use crate::logging;

/// Segments read before they are scored.
const CHUNK: usize = 256;

/// `mmrest predict`.
pub(crate) fn run(arguments: &PredictArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let (input, output) = (arguments.input.as_path(), arguments.output.as_deref());
    refuse_the_input(input, output)?;
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let predictor = Predictor::load(&RunFolder::new(&arguments.run).model(), &device)?;
    if let Some(config) = as_set(&predictor.bundle().config.data, input)? {
        let mut output = Output::open(output)?;
        score_set(&predictor, &config, &mut output)?;
        output.keep()?;
        return Ok(ExitCode::SUCCESS);
    }
    if input.is_dir() {
        let segments = read_folder(&predictor, input)?;
        let mut output = Output::open(output)?;
        for chunk in segments.chunks(CHUNK) {
            score(&predictor, chunk, &mut output)?;
        }
        output.keep()?;
        return Ok(ExitCode::SUCCESS);
    }
    let (lines, name) = open_lines(input)?;
    let mut output = Output::open(output)?;
    let bad = score_lines(&predictor, lines, &name, &mut output)?;
    output.keep()?;
    match bad {
        Some(message) => bail!(message),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// The segments of a folder, all of which can be scored.
fn read_folder(predictor: &Predictor, folder: &Path) -> Result<Vec<Segment>> {
    let segments = mmrest_data::load_unlabelled(&predictor.bundle().config.data, folder)?;
    for segment in &segments {
        let checked = predictor.check(segment);
        checked.map_err(|m| anyhow!("{}, {}: {m}", folder.display(), segment.id))?;
    }
    Ok(segments)
}

/// A file of lines or standard input, and what to call it.
fn open_lines(input: &Path) -> Result<(Box<dyn BufRead>, String)> {
    if input == Path::new("-") {
        let lines = Box::new(std::io::stdin().lock());
        return Ok((lines, "standard input".to_string()));
    }
    let name = input.display().to_string();
    let file = File::open(input).with_context(|| format!("cannot read {name}"))?;
    Ok((Box::new(BufReader::new(file)), name))
}

/// Scores JSON lines as they come, a chunk at a time, in their order; a line that cannot be scored ends it, after those
/// before it, and is returned as a sentence.
fn score_lines(
    predictor: &Predictor,
    input: impl BufRead,
    name: &str,
    output: &mut Output,
) -> Result<Option<String>> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut bad = None;
    for (number, line) in (1..).zip(input.lines()) {
        let segment = match line {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => parse_line(&line, number),
            Err(error) => Err(error.to_string()),
        };
        match segment.and_then(|segment| predictor.check(&segment).map(|()| segment)) {
            Ok(segment) => chunk.push(segment),
            Err(message) => {
                bad = Some(format!("{name}, line {number}: {message}"));
                break;
            }
        }
        if chunk.len() == CHUNK {
            score(predictor, &chunk, output)?;
            chunk.clear();
        }
    }
    score(predictor, &chunk, output)?;
    Ok(bad)
}

fn score(predictor: &Predictor, segments: &[Segment], output: &mut Output) -> Result<()> {
    for (segment, prediction) in segments.iter().zip(predictor.predict(segments)?) {
        let line = serde_json::to_string(&Scored::new(&segment.id, &prediction))?;
        writeln!(output, "{line}").context("cannot write the output")?;
    }
    Ok(())
}
