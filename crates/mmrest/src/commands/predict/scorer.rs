//! Scores segments with a model and writes one JSON line per segment.

use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use mmrest_data::files::NewFile;
use mmrest_data::{Modality, Segment};
use mmrest_learner::Predictor;

use crate::lines::Scored;

/// Scores segments, a window at a time, into an output.
pub(super) struct Scorer {
    predictor: Predictor,
    output: Output,
    /// The number of neighbours per explanation; `None` without explanations.
    neighbours: Option<usize>,
    /// When the first segment arrived.
    began: Option<Instant>,
    scored: usize,
    /// The number of skipped lines.
    pub(super) skipped: usize,
    warned: bool,
}

impl Scorer {
    /// The most segments of a window: enough for batches of similar length, and few enough to hold in memory.
    pub(super) const WINDOW: usize = 512;

    /// A scorer that writes to `output`; with `neighbours`, scores are explained with that many training segments.
    pub(super) fn new(predictor: Predictor, output: Output, neighbours: Option<usize>) -> Self {
        Self {
            predictor,
            output,
            neighbours,
            began: None,
            scored: 0,
            skipped: 0,
            warned: false,
        }
    }

    /// Starts the clock at the first segment.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// Checks that a segment can be scored; the error says why not.
    pub(super) fn check(&self, segment: &Segment) -> Result<(), String> {
        self.predictor.check(segment)
    }

    /// Scores segments and writes their lines in order.
    pub(super) fn score(&mut self, segments: &[Segment]) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        self.begin();
        let missing = segments
            .iter()
            .map(|segment| self.predictor.missing(segment));
        let missing: Vec<Vec<Modality>> = missing.collect();
        self.warn_once(&missing);
        let each = segments.iter().zip(&missing);
        match self.neighbours {
            None => {
                let predictions = self.predictor.predict(segments)?;
                for ((segment, missing), prediction) in each.zip(&predictions) {
                    let scored = Scored::new(&segment.id, prediction);
                    write_line(&mut self.output, &scored.missing(missing))?;
                }
            }
            Some(neighbours) => {
                let explanations = self.predictor.explain(segments, neighbours)?;
                for ((segment, missing), explanation) in each.zip(&explanations) {
                    let scored = Scored::explained(&segment.id, explanation);
                    write_line(&mut self.output, &scored.missing(missing))?;
                }
            }
        }
        self.scored += segments.len();
        let flushed = self.output.flush();
        flushed.with_context(|| self.output.cannot_write())
    }

    /// Warns once that the model was not trained on segments that lack a modality.
    fn warn_once(&mut self, missing: &[Vec<Modality>]) {
        let first = missing.iter().find(|missing| !missing.is_empty());
        let Some(first) = first.filter(|_| !self.warned && !self.predictor.knows_missing()) else {
            return;
        };
        self.warned = true;
        let names: Vec<&str> = first.iter().map(|modality| modality.name()).collect();
        tracing::warn!(
            "a segment has no {}, and the model was trained without train.modality_dropout: it has hardly seen segments \
             that lack a modality (\"missing\" in the output), and scores them less surely",
            names.join(" and no ")
        );
    }

    /// Finishes the output, and returns the number of segments and the time.
    pub(super) fn finish(self) -> Result<Summary> {
        self.output.keep()?;
        Ok(Summary {
            scored: self.scored,
            skipped: self.skipped,
            seconds: self
                .began
                .map_or(0.0, |began| began.elapsed().as_secs_f64()),
        })
    }

    /// Keeps the scores that were written before an error.
    pub(super) fn keep(self) -> Result<()> {
        self.output.keep()
    }
}

fn write_line(output: &mut Output, scored: &Scored<'_>) -> Result<()> {
    serde_json::to_writer(&mut *output, scored)
        .map_err(std::io::Error::from)
        .and_then(|()| output.write_all(b"\n"))
        .with_context(|| output.cannot_write())
}

/// How much was scored, and how fast.
#[derive(Debug)]
pub(super) struct Summary {
    scored: usize,
    pub(super) skipped: usize,
    seconds: f64,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scored, skipped) = (self.scored, self.skipped);
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        write!(f, "{} in {:.1} s", counted(scored, "segment"), self.seconds)?;
        if scored > 0 && self.seconds > 0.0 {
            let rate = scored as f64 / self.seconds;
            let digits = usize::from(rate < 10.0);
            write!(f, ", {rate:.digits$} a second")?;
        }
        if skipped > 0 {
            write!(f, "; {} skipped", counted(skipped, "line"))?;
        }
        Ok(())
    }
}

/// Where scores are written: standard output, or a file that appears when it is complete.
pub(super) enum Output {
    /// Standard output.
    Stdout(BufWriter<StdoutLock<'static>>),
    /// A device or a pipe, which is written directly.
    Device { path: PathBuf, out: BufWriter<File> },
    /// A temporary file, which replaces the output file at the end.
    Draft { file: NewFile, out: BufWriter<File> },
}

impl Output {
    /// Opens `path`, or standard output without one. An existing file stays as it is until [`Output::keep`].
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout().lock())));
        };
        let Ok(there) = path.metadata() else {
            return Self::draft(NewFile::create(path)?);
        };
        if !there.is_file() {
            let file = File::options().write(true).open(path);
            let file = file.with_context(|| cannot_write(path))?;
            return Ok(Self::Device {
                path: path.to_path_buf(),
                out: BufWriter::new(file),
            });
        }
        let own = path.canonicalize(); // a link stays a link
        let file = NewFile::create(&own.with_context(|| cannot_write(path))?)?;
        let permitted = file.file().set_permissions(there.permissions());
        permitted.with_context(|| cannot_write(path))?;
        Self::draft(file)
    }

    fn draft(file: NewFile) -> Result<Self> {
        let out = file.writer()?;
        Ok(Self::Draft { file, out })
    }

    /// What an error of writing is about.
    fn cannot_write(&self) -> String {
        match self {
            Self::Stdout(_) => "cannot write the output".to_owned(),
            Self::Device { path, .. } => cannot_write(path),
            Self::Draft { file, .. } => cannot_write(file.path()),
        }
    }

    /// Finishes writing; a temporary file replaces the output file.
    pub(super) fn keep(mut self) -> Result<()> {
        let flushed = self.flush();
        flushed.with_context(|| self.cannot_write())?;
        if let Self::Draft { file, .. } = self {
            file.keep()?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Device { out, .. } => out.write(bytes),
            Self::Draft { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Device { out, .. } => out.flush(),
            Self::Draft { out, .. } => out.flush(),
        }
    }
}

/// Refuses an output that is the input file, which would be lost.
pub(super) fn refuse_the_input(input: &Path, output: Option<&Path>) -> Result<()> {
    let input = if input == Path::new("-") {
        Path::new("/dev/stdin") // leads to the file where one is redirected
    } else {
        input
    };
    let file = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let output = output.and_then(file);
    if output.is_some() && output == file(input) {
        bail!(
            "--output {} is the input: give another file",
            output.unwrap_or_default().display()
        );
    }
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_in_a_line() {
        let said = |scored, skipped, seconds| {
            let summary = Summary {
                scored,
                skipped,
                seconds,
            };
            summary.to_string()
        };
        assert_eq!(said(300, 0, 2.0), "300 segments in 2.0 s, 150 a second");
        assert_eq!(
            said(1, 1, 0.5),
            "1 segment in 0.5 s, 2.0 a second; 1 line skipped"
        );
        assert_eq!(said(0, 2, 0.0), "0 segments in 0.0 s; 2 lines skipped");
    }
}
