//! JSON lines scored as they come: in windows, within which the like are computed together.

use std::io::Read;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use mmrest_data::Segment;

use super::reader::{Line, Lines, Next};
use super::scorer::Scorer;
use crate::interrupt::say;
use crate::lines::parse_line;

/// How long a window that has a line waits for another before it is scored.
const IDLE: Duration = Duration::from_millis(10);
/// How long lines that come one by one are gathered, at most.
const GATHER: Duration = Duration::from_millis(250);
/// Between two looks at an input that gives nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lines that are scored together.
#[derive(Default)]
struct Window {
    segments: Vec<Segment>,
    /// Bytes of the lines they were.
    bytes: usize,
    since: Option<Instant>,
}

/// Scores the lines of `input`, called `name`, in their order. A line that cannot be scored is said to be so, with its number
/// and the reason, and passed over. Returned is why the input was not read to its end, after the lines before that are scored:
/// it cannot be read, or with `strict` a line cannot be scored.
pub(super) fn score_lines(
    scorer: &mut Scorer,
    input: impl Read + Send + 'static,
    name: &str,
    strict: bool,
) -> Result<Option<anyhow::Error>> {
    let lines = Lines::of(input);
    let mut window = Window::default();
    loop {
        let patience = match window.since {
            Some(_) => IDLE,
            None => PATIENCE,
        };
        match lines.next(patience) {
            Next::Line(line) => {
                scorer.begin();
                if let ControlFlow::Break((number, reason)) = window.take(scorer, line) {
                    let told = format!("{name}, line {number}: {reason}");
                    if strict {
                        window.score(scorer, &lines)?;
                        return Ok(Some(anyhow!(told)));
                    }
                    say(&format!("skipped: {told}"));
                    scorer.skipped += 1;
                }
                if window.is_full() || window.is_old() && lines.starved() {
                    window.score(scorer, &lines)?;
                }
            }
            Next::Idle => window.score(scorer, &lines)?,
            Next::End(end) => {
                window.score(scorer, &lines)?;
                let end = end.with_context(|| format!("cannot read {name}"));
                return Ok(end.err());
            }
        }
    }
}

impl Window {
    /// Takes a line in, or breaks with its number and why it cannot be scored.
    fn take(&mut self, scorer: &Scorer, line: Line) -> ControlFlow<(usize, String)> {
        self.bytes += line.bytes;
        self.since.get_or_insert_with(Instant::now);
        let segment = line.text.and_then(|text| parse_line(&text, line.number));
        let checked = segment.and_then(|segment| scorer.check(&segment).map(|()| segment));
        match checked {
            Ok(segment) => {
                self.segments.push(segment);
                ControlFlow::Continue(())
            }
            Err(reason) => ControlFlow::Break((line.number, reason)),
        }
    }

    fn is_full(&self) -> bool {
        self.segments.len() >= Scorer::WINDOW
    }

    fn is_old(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= GATHER)
    }

    /// Scores what is there and begins anew.
    fn score(&mut self, scorer: &mut Scorer, lines: &Lines) -> Result<()> {
        scorer.score(&self.segments)?;
        self.segments.clear();
        lines.give_back(self.bytes);
        (self.bytes, self.since) = (0, None);
        Ok(())
    }
}
