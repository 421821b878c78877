//! Scores segments with a model and writes one JSON line, or one row of a table, per segment.

use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::files::NewFile;
use mmrest_data::text::count;
use mmrest_data::{Modality, Segment};
use mmrest_learner::{
    Embeddings, Explanation, FAR, Interpretation, Interpreter, Prediction, Predictor, is_finite,
};

use super::embeddings::EmbeddingsFile;
use super::pulse::Pulse;
use crate::arguments::ScoreFormat as Format;
use crate::lines::{Scored, Spoken, not_finite};
use crate::numbers::{lasting, rate};
use crate::player::Player;

/// Where a segment comes from.
pub(super) struct Place {
    /// For messages: the line of a file, or the segment's id.
    pub(super) at: String,
    /// The stretch of a recording that it is.
    pub(super) spoken: Option<Spoken>,
}

impl From<String> for Place {
    fn from(at: String) -> Self {
        Self { at, spoken: None }
    }
}

/// Scores segments, a window at a time, into an output.
pub(super) struct Scorer {
    predictor: Predictor,
    interpreter: Interpreter,
    output: Output,
    /// The number of neighbours per explanation; `None` without explanations.
    neighbours: Option<usize>,
    /// Where representations are written, if anywhere.
    pub(super) embeddings: Option<EmbeddingsFile>,
    /// When the first segment arrived.
    began: Option<Instant>,
    scored: usize,
    /// The number of skipped lines.
    pub(super) skipped: usize,
    /// Whether the first line that cannot be scored ends the work.
    pub(super) strict: bool,
    /// What ended the work early.
    pub(super) stopped: Option<anyhow::Error>,
    /// Skipped lines that no message was printed of.
    untold: usize,
    /// Whether there was a segment yet.
    accepted: bool,
    /// Values of features that were NaN or infinite.
    non_finite: usize,
    /// Segments with features unlike any of training.
    beyond_training: usize,
    warned: bool,
    pub(super) pulse: Pulse,
}

/// Messages about skipped lines before any that is a segment: what begins so is probably no data.
const MOST_MESSAGES: usize = 20;

impl Scorer {
    /// The most segments of a window: enough for batches of similar length, and few enough to hold in memory.
    pub(super) const WINDOW: usize = 512;

    /// A scorer that writes to `output`; with `neighbours`, scores are explained with that many training segments.
    pub(super) fn new(
        (predictor, interpreter): (Predictor, Interpreter),
        output: Output,
        neighbours: Option<usize>,
        strict: bool,
        pulse: Pulse,
    ) -> Self {
        Self {
            interpreter,
            pulse,
            strict,
            stopped: None,
            untold: 0,
            accepted: false,
            non_finite: 0,
            beyond_training: 0,
            predictor,
            output,
            neighbours,
            embeddings: None,
            began: None,
            scored: 0,
            skipped: 0,
            warned: false,
        }
    }

    /// Starts the clock at the first segment.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
        self.pulse.begin();
    }

    /// Checks that a segment can be scored; the error says why not.
    pub(super) fn check(&mut self, segment: &Segment) -> Result<(), String> {
        self.accepted = true;
        self.predictor.check(segment)
    }

    /// Reports that what is at `place` cannot be scored; with `strict` that ends the work.
    pub(super) fn skip(&mut self, place: &str, reason: &str) {
        let told = format!("{place}: {reason}");
        if self.strict {
            self.stopped.get_or_insert(anyhow!(told));
            return;
        }
        self.skipped += 1;
        if self.accepted || self.skipped <= MOST_MESSAGES {
            self.pulse.say(&format!("skipped: {told}"));
        } else {
            self.untold += 1;
        }
    }

    /// Scores segments and writes their lines in order; `places` say where each of them is. One whose score is not a finite
    /// number is skipped.
    pub(super) fn score(&mut self, segments: &[Segment], places: &[Place]) -> Result<()> {
        if segments.is_empty() || self.stopped.is_some() {
            return Ok(());
        }
        self.begin();
        let missing = segments
            .iter()
            .map(|segment| self.predictor.missing(segment));
        let missing: Vec<Vec<Modality>> = missing.collect();
        self.warn_once(&missing);
        let embedded = match &self.embeddings {
            Some(_) => Some(self.predictor.embed(segments)?),
            None => None,
        };
        let predictions = self.scores(segments, embedded.as_ref())?;
        let each = segments.iter().zip(places).zip(&missing).zip(&predictions);
        for (row, (((segment, place), missing), score)) in each.enumerate() {
            if !score.is_finite() {
                self.skip(&place.at, &not_finite(segment));
                if self.stopped.is_some() {
                    break;
                }
                continue;
            }
            let frames = [&segment.vision, &segment.audio];
            let values = frames.iter().flat_map(|frames| &frames.values);
            self.non_finite += values.filter(|value| !value.is_finite()).count();
            let beyond = self.predictor.beyond_training(segment);
            self.beyond_training += usize::from(!beyond.is_empty());
            let meaning = self.interpreter.of(score.prediction().prediction, missing);
            let line = score.line(&segment.id, meaning).missing(missing);
            let line = line.spoken(place.spoken.as_ref());
            self.output.line(&line.beyond_training(&beyond))?;
            self.scored += 1;
            if let (Some(file), Some(embedded)) = (&mut self.embeddings, &embedded) {
                file.push(&segment.id, embedded, row)?;
            }
        }
        let flushed = self.output.flush();
        flushed.with_context(|| self.output.cannot_write())
    }

    /// The scores of segments, explained where that is asked for and there is something to explain; those that are not
    /// are taken from `embedded`, where it is there.
    fn scores(&self, segments: &[Segment], embedded: Option<&Embeddings>) -> Result<Vec<Score>> {
        let plain = || -> Result<Vec<Score>> {
            let predictions = match embedded {
                Some(embedded) => embedded.predictions.clone(),
                None => self.predictor.predict(segments)?,
            };
            Ok(predictions.into_iter().map(Score::Plain).collect())
        };
        let Some(neighbours) = self.neighbours else {
            return plain();
        };
        let error = match self.predictor.explain(segments, neighbours) {
            Ok(explained) => return Ok(explained.into_iter().map(Score::Explained).collect()),
            Err(error) => error,
        };
        // Nothing is near to what is not finite: the others are explained without it.
        let mut scores = plain()?;
        let finite: Vec<usize> = (0..scores.len())
            .filter(|&n| scores[n].is_finite())
            .collect();
        if finite.len() == segments.len() {
            return Err(error.into());
        }
        let kept: Vec<Segment> = finite
            .iter()
            .map(|&place| segments[place].clone())
            .collect();
        let explained = self.predictor.explain(&kept, neighbours)?;
        for (place, explanation) in finite.into_iter().zip(explained) {
            scores[place] = Score::Explained(explanation);
        }
        Ok(scores)
    }

    /// Warns once that the model was not trained on segments that lack a modality.
    fn warn_once(&mut self, missing: &[Vec<Modality>]) {
        let first = missing.iter().find(|missing| !missing.is_empty());
        let Some(first) = first.filter(|_| !self.warned && !self.predictor.knows_missing()) else {
            return;
        };
        self.warned = true;
        let names: Vec<&str> = first.iter().map(|modality| modality.name()).collect();
        self.pulse.suspend(|| tracing::warn!(
            "a segment has no {}, and the model was trained without train.modality_dropout: it has hardly seen segments \
             that lack a modality (\"missing\" in the output), and scores them less surely",
            names.join(" and no ")
        ));
    }

    /// Finishes the output, and returns the number of segments and the time.
    pub(super) fn finish(mut self) -> Result<Summary> {
        self.pulse.done();
        keep_embeddings(&mut self.embeddings)?;
        self.output.keep()?;
        Ok(Summary {
            untold: self.untold,
            non_finite: self.non_finite,
            beyond_training: self.beyond_training,
            scored: self.scored,
            skipped: self.skipped,
            seconds: self
                .began
                .map_or(0.0, |began| began.elapsed().as_secs_f64()),
        })
    }

    /// Keeps the scores that were written before an error.
    pub(super) fn keep(mut self) -> Result<()> {
        self.pulse.done();
        keep_embeddings(&mut self.embeddings)?;
        self.output.keep()
    }
}

fn keep_embeddings(file: &mut Option<EmbeddingsFile>) -> Result<()> {
    file.take().map_or(Ok(()), EmbeddingsFile::keep)
}

/// A score, with its explanation where that is asked for.
enum Score {
    Plain(Prediction),
    Explained(Explanation),
}

impl Score {
    fn is_finite(&self) -> bool {
        match self {
            Self::Plain(prediction) => is_finite(prediction),
            Self::Explained(explained) => {
                let numbers = [explained.base, explained.contributions.total()];
                is_finite(&explained.prediction) && numbers.into_iter().all(f32::is_finite)
            }
        }
    }

    fn prediction(&self) -> &Prediction {
        match self {
            Self::Plain(prediction) => prediction,
            Self::Explained(explanation) => &explanation.prediction,
        }
    }

    fn line<'a>(&'a self, id: &'a str, meaning: Interpretation) -> Scored<'a> {
        match self {
            Self::Plain(prediction) => Scored::new(id, prediction, meaning),
            Self::Explained(explanation) => Scored::explained(id, explanation, meaning),
        }
    }
}

/// How much was scored, and how fast.
#[derive(Debug)]
pub(super) struct Summary {
    /// Skipped lines that no message was printed of.
    untold: usize,
    non_finite: usize,
    beyond_training: usize,
    scored: usize,
    pub(super) skipped: usize,
    seconds: f64,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scored, skipped) = (self.scored, self.skipped);
        write!(
            f,
            "{} in {}",
            count(scored, "segment"),
            lasting(self.seconds)
        )?;
        if scored > 0 && self.seconds > 0.0 {
            write!(f, ", {}", rate(scored, self.seconds))?;
        }
        if skipped > 0 {
            write!(f, "; {} skipped", count(skipped, "line"))?;
        }
        if self.untold > 0 {
            let untold = self.untold;
            write!(
                f,
                ", {untold} of them without a message here (--strict stops at the first)"
            )?;
        }
        if self.non_finite > 0 {
            let values = count(self.non_finite, "value");
            write!(f, "\n{values} of features NaN or infinite, taken as 0")?;
        }
        if self.beyond_training > 0 {
            let segments = count(self.beyond_training, "segment");
            write!(
                f,
                "\n{segments} with features more than {FAR} standard deviations from those of training (\"beyond_training\" in \
                 the output): the scores are guesses"
            )?;
        }
        Ok(())
    }
}

/// Where and how scores are written.
pub(super) struct Output {
    to: Destination,
    format: Format,
    /// Whether the segments are stretches of recordings.
    spoken: bool,
    /// Whether scores are explained.
    explained: bool,
    /// Lines that were written.
    written: usize,
    /// A page, and its segments, which are written at the end.
    page: Option<(Player, Vec<String>)>,
}

impl Output {
    /// Opens `path`, or standard output without one.
    pub(super) fn open(
        path: Option<&Path>,
        format: Format,
        spoken: bool,
        explained: bool,
    ) -> Result<Self> {
        Ok(Self {
            to: Destination::open(path)?,
            format,
            spoken,
            explained,
            written: 0,
            page: None,
        })
    }

    /// The same, for a page.
    pub(super) fn page(self, player: Option<Player>) -> Self {
        Self {
            page: player.map(|player| (player, Vec::new())),
            ..self
        }
    }

    fn line(&mut self, scored: &Scored<'_>) -> Result<()> {
        let begun = self.header();
        self.written += 1;
        let written = begun.and_then(|()| match self.format {
            Format::Csv => self.row(&scored.cells()),
            Format::Srt => self.to.write_all(scored.subtitle(self.written).as_bytes()),
            Format::Html => {
                let line = serde_json::to_string(scored)?;
                if let Some((_, lines)) = &mut self.page {
                    lines.push(line);
                }
                Ok(())
            }
            Format::Jsonl => serde_json::to_writer(&mut self.to, scored)
                .map_err(io::Error::from)
                .and_then(|()| self.to.write_all(b"\n")),
        });
        written.with_context(|| self.cannot_write())
    }

    /// What an error of writing is about.
    fn cannot_write(&self) -> String {
        self.to.cannot_write()
    }

    /// Writes the columns of a table, before anything else.
    fn header(&mut self) -> io::Result<()> {
        if self.format != Format::Csv || self.written > 0 {
            return Ok(());
        }
        self.row(&Scored::columns(self.spoken, self.explained))
    }

    fn row(&mut self, cells: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut self.to);
        writer.write_record(cells).map_err(io::Error::from)?;
        writer.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Finishes writing; a temporary file replaces the output file.
    fn keep(mut self) -> Result<()> {
        let mut written = self.header();
        if let Some((player, lines)) = &self.page {
            let page = player.html(lines)?;
            written = written.and_then(|()| self.to.write_all(page.as_bytes()));
        }
        written.with_context(|| self.cannot_write())?;
        self.to.keep()
    }
}

/// Where scores are written: standard output, or a file that appears when it is complete.
enum Destination {
    /// Standard output.
    Stdout(BufWriter<StdoutLock<'static>>),
    /// A device or a pipe, which is written directly.
    Device { path: PathBuf, out: BufWriter<File> },
    /// A temporary file, which replaces the output file at the end.
    Draft { file: NewFile, out: BufWriter<File> },
}

impl Destination {
    /// Opens `path`, or standard output without one. An existing file stays as it is until [`Destination::keep`].
    fn open(path: Option<&Path>) -> Result<Self> {
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
    fn keep(mut self) -> Result<()> {
        let flushed = self.flush();
        flushed.with_context(|| self.cannot_write())?;
        if let Self::Draft { file, .. } = self {
            file.keep()?;
        }
        Ok(())
    }
}

impl Write for Destination {
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
pub(super) fn refuse_the_input(input: &Path, option: &str, output: Option<&Path>) -> Result<()> {
    let input = if input == Path::new("-") {
        Path::new("/dev/stdin") // leads to the file where one is redirected
    } else {
        input
    };
    let file = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let output = output.and_then(file);
    if output.is_some() && output == file(input) {
        bail!(
            "{option} {} is the input: give another file",
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
                untold: 0,
                non_finite: 0,
                beyond_training: 0,
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
