//! Segments in, lines out, and what is told of it at the end.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use mmrest_data::{Modality, Segment};
use mmrest_learner::Predictor;

use super::output::Output;
use crate::lines::Scored;

/// Scores segments, a window at a time, into an output.
pub(super) struct Scorer {
    predictor: Predictor,
    output: Output,
    /// How many neighbours explain a score, where scores are explained.
    neighbours: Option<usize>,
    /// Since the first segment was there.
    began: Option<Instant>,
    scored: usize,
    /// Lines passed over.
    pub(super) skipped: usize,
    warned: bool,
}

impl Scorer {
    /// The most segments of a window: enough for batches of similar length, little enough to hold.
    pub(super) const WINDOW: usize = 512;

    /// Scores by `predictor` into `output`; `neighbours`: explained, with so many of them.
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

    /// The first segment is there.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// Why a segment cannot be scored, if it cannot.
    pub(super) fn check(&self, segment: &Segment) -> Result<(), String> {
        self.predictor.check(segment)
    }

    /// Scores segments and writes their lines, in their order, to where they can be read.
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
        self.output.flush().context("cannot write the output")
    }

    /// Says once that the model fills in what training has not shown it.
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

    /// All is scored: keeps the output, and says how much it was and how fast.
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

    /// Keeps what was scored before something went wrong.
    pub(super) fn keep(self) -> Result<()> {
        self.output.keep()
    }
}

fn write_line(output: &mut Output, scored: &Scored<'_>) -> Result<()> {
    serde_json::to_writer(&mut *output, scored)
        .map_err(std::io::Error::from)
        .and_then(|()| output.write_all(b"\n"))
        .context("cannot write the output")
}

/// What was done.
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
