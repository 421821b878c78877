//! `mmrest predict`.

mod lines;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::Segment;
use mmrest_learner::run::RunFolder;
use mmrest_learner::{Predictor, open_device};

use self::lines::{Scored, parse_line};
use crate::arguments::PredictArguments;
use crate::logging;

/// Segments read before they are scored.
const CHUNK: usize = 256;

/// `mmrest predict`.
pub(crate) fn run(arguments: &PredictArguments) -> Result<ExitCode> {
    logging::to_stderr()?;
    let device = open_device(arguments.device.backend, arguments.device.device)?;
    let predictor = Predictor::load(&RunFolder::new(&arguments.run).model(), &device)?;
    let mut output = open_output(arguments.output.as_deref())?;
    let input = arguments.input.as_path();
    if input == Path::new("-") {
        score_lines(
            &predictor,
            std::io::stdin().lock(),
            "standard input",
            &mut output,
        )?;
    } else if input.is_dir() {
        let segments = mmrest_data::load_unlabelled(&predictor.bundle().config.data, input)?;
        for segment in &segments {
            let checked = predictor.check(segment);
            checked.map_err(|m| anyhow!("{}, {}: {m}", input.display(), segment.id))?;
        }
        for chunk in segments.chunks(CHUNK) {
            score(&predictor, chunk, &mut output)?;
        }
    } else {
        let file = File::open(input).with_context(|| format!("cannot read {}", input.display()))?;
        let name = input.display().to_string();
        score_lines(&predictor, BufReader::new(file), &name, &mut output)?;
    }
    output.flush().context("cannot write the output")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether an error is that nobody reads the output any more, as in `predict ... | head`: the end, not a failure.
pub(crate) fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn open_output(path: Option<&Path>) -> Result<Box<dyn Write>> {
    Ok(match path {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        )),
        None => Box::new(std::io::stdout().lock()),
    })
}

/// Scores JSON lines as they come, a chunk at a time, in their order; a line that cannot be scored ends it, after those before it.
fn score_lines(
    predictor: &Predictor,
    input: impl BufRead,
    name: &str,
    output: &mut dyn Write,
) -> Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    for (index, line) in input.lines().enumerate() {
        let place = || format!("{name}, line {}", index + 1);
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        let segment = parse_line(&line, index + 1)
            .and_then(|segment| predictor.check(&segment).map(|()| segment));
        match segment {
            Ok(segment) => chunk.push(segment),
            Err(message) => {
                score(predictor, &chunk, output)?;
                output.flush().context("cannot write the output")?;
                bail!("{}: {message}", place());
            }
        }
        if chunk.len() == CHUNK {
            score(predictor, &chunk, output)?;
            chunk.clear();
        }
    }
    score(predictor, &chunk, output)
}

fn score(predictor: &Predictor, segments: &[Segment], output: &mut dyn Write) -> Result<()> {
    for (segment, prediction) in segments.iter().zip(predictor.predict(segments)?) {
        let line = serde_json::to_string(&Scored::new(&segment.id, &prediction))?;
        writeln!(output, "{line}").context("cannot write the output")?;
    }
    Ok(())
}
