//! Shows how far `predict` has come, and how fast, in a line of the terminal that is redrawn while batches are computed.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use mmrest_learner::Predictor;

use crate::interrupt::say;
use crate::numbers::{clock, rate, thousands};
use crate::screen;

/// The time between two drawings.
const REDRAW: Duration = Duration::from_millis(250);

/// The line, where standard error is a terminal and the scores do not go to the screen.
pub(super) struct Pulse {
    bar: ProgressBar,
    counts: Arc<Counts>,
}

/// What the line tells; it is drawn by a thread of its own.
#[derive(Default)]
struct Counts {
    /// Segments that the model has computed.
    computed: Arc<AtomicUsize>,
    /// When the first one arrived.
    began: OnceLock<Instant>,
    /// Segments that were read, and the bytes of the input they were read from.
    read: AtomicU64,
    read_bytes: AtomicU64,
    whole: Mutex<Whole>,
}

/// What is known of the whole input.
#[derive(Clone, Debug, Default)]
enum Whole {
    #[default]
    Unknown,
    /// Bytes of a file.
    Bytes(u64),
    /// Segments of a recording, which takes about as long to read as to score.
    Segments(u64),
    /// One of several recordings.
    Recording(String),
}

impl Pulse {
    /// `output`: where the scores go, if to a file. `bytes`: the size of the input, where that is known.
    pub(super) fn new(
        predictor: &Predictor,
        quiet: bool,
        output: Option<&Path>,
        bytes: Option<u64>,
    ) -> Self {
        let counts = Arc::new(Counts {
            computed: predictor.computed(),
            whole: Mutex::new(bytes.map_or(Whole::Unknown, Whole::Bytes)),
            ..Counts::default()
        });
        let scores_on_screen = output.is_none() && io::stdout().is_terminal();
        let shown = !quiet && !scores_on_screen && io::stderr().is_terminal();
        let bar = if shown {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{told}") {
            let counts = Arc::clone(&counts);
            let told = move |_: &ProgressState, line: &mut dyn Write| {
                // Writing into a string cannot fail.
                let _ = line.write_str(&screen::bar_line(&counts.told()));
            };
            bar.set_style(style.with_key("told", told));
        }
        Self { bar, counts }
    }

    /// The first segment arrives.
    pub(super) fn begin(&self) {
        if self.counts.began.set(Instant::now()).is_ok() && !self.bar.is_hidden() {
            self.bar.enable_steady_tick(REDRAW);
        }
    }

    /// A recording begins, one of several where it has a name, else of so many segments.
    pub(super) fn recording(&self, name: Option<String>, segments: usize) {
        let whole = match name {
            Some(name) => Whole::Recording(name),
            None => Whole::Segments(segments as u64),
        };
        *self.counts.whole() = whole;
    }

    /// Segments are read, from so many bytes of the input where that counts.
    pub(super) fn read(&self, segments: usize, bytes: usize) {
        let add = |to: &AtomicU64, number: usize| to.fetch_add(number as u64, Ordering::Relaxed);
        add(&self.counts.read, segments);
        add(&self.counts.read_bytes, bytes);
    }

    /// Prints a line above this one.
    pub(super) fn say(&self, line: &str) {
        self.suspend(|| say(line));
    }

    /// Takes the line away while something is printed.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Removes the line.
    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

impl Counts {
    fn whole(&self) -> std::sync::MutexGuard<'_, Whole> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> [String; 4] {
        let seconds = self.began.get().map(|began| began.elapsed().as_secs_f64());
        let computed = self.computed.load(Ordering::Relaxed);
        let [read, read_bytes] =
            [&self.read, &self.read_bytes].map(|number| number.load(Ordering::Relaxed));
        let whole = self.whole().clone();
        whole.told(computed, [read, read_bytes], seconds.unwrap_or(0.0))
    }
}

impl Whole {
    /// `12,345 segments`, `180 a second`, `34 %`, `about 1:20 left`; empty where it is not known.
    fn told(&self, computed: usize, [read, read_bytes]: [u64; 2], seconds: f64) -> [String; 4] {
        let share = match *self {
            // Those that are read but not computed stand for their part of the bytes.
            Self::Bytes(bytes) if read > 0 && bytes > 0 => {
                computed as f64 / read as f64 * read_bytes as f64 / bytes as f64
            }
            Self::Segments(segments) if segments > 0 => {
                (read + computed as u64) as f64 / (2 * segments) as f64
            }
            _ => 0.0,
        };
        let share = Some(share.min(1.0)).filter(|share| *share > 0.0);
        let left = share
            .and_then(|share| Duration::try_from_secs_f64(seconds * (1.0 - share) / share).ok());
        let done = thousands(computed);
        let done = match *self {
            Self::Segments(segments) => {
                let segments = thousands(usize::try_from(segments).unwrap_or(usize::MAX));
                format!("{done} of {segments} segments")
            }
            _ if computed == 1 => "1 segment".to_owned(),
            _ => format!("{done} segments"),
        };
        let percent = match self {
            Self::Recording(name) => name.clone(),
            _ => share.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
        };
        let rate = (computed > 0).then(|| rate(computed, seconds));
        let left = left.map(|left| format!("about {} left", clock(left)));
        [
            done,
            rate.unwrap_or_default(),
            percent,
            left.unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_rate_and_time_left_where_the_size_is_known() {
        let told = |whole: Whole, computed, read, seconds| whole.told(computed, read, seconds);
        assert_eq!(
            told(Whole::Unknown, 12_345, [12_500, 0], 100.0),
            ["12,345 segments", "123 a second", "", ""]
        );
        // Half of a window of 1,000 that was read from half of the file.
        assert_eq!(
            told(Whole::Bytes(100), 500, [1000, 50], 10.0),
            ["500 segments", "50 a second", "25 %", "about 0:30 left"]
        );
        assert_eq!(
            told(Whole::Segments(1800), 0, [900, 0], 10.0),
            ["0 of 1,800 segments", "", "25 %", "about 0:30 left"]
        );
        assert_eq!(
            told(Whole::Recording("a, 2 of 5".into()), 10, [0, 0], 1.0),
            ["10 segments", "10 a second", "a, 2 of 5", ""]
        );
        assert_eq!(told(Whole::Bytes(0), 0, [0, 0], 0.0)[2..], ["", ""]);
    }
}
