//! What was measured, for people and for programs.

use std::fmt::Write;

use serde_json::json;
use textwrap::{Options, WordSplitter, fill, termwidth};

use crate::baseline::Calibration;
use crate::timing::Samples;

/// Ours and the other side's most memory in MiB, where they were measured.
type Memory = Option<(f64, Option<f64>)>;

/// What of the other side's memory training may hold at most.
const MEMORY_GOAL: f64 = 0.7;

/// One line of the table.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// What of the other side's time it may take at most.
    pub(crate) goal: f64,
    pub(crate) ours: Samples,
    pub(crate) theirs: Option<Samples>,
    /// What the machine did about then.
    pub(crate) calibration: Calibration,
}

impl Line {
    /// Our median over the other side's.
    fn ratio(&self) -> Option<f64> {
        let theirs = self.theirs.as_ref()?;
        Some(self.ours.median() / theirs.median())
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, seconds(self.ours.median()))?;
        match (&self.theirs, self.ratio()) {
            (Some(theirs), Some(ratio)) => {
                write!(f, ", other side {}: {ratio:.2}", seconds(theirs.median()))
            }
            _ => Ok(()),
        }
    }
}

/// A model with the most memory that its training steps hold, ours and the other side's, in MiB.
type ModelMemory = (&'static str, f64, Option<f64>);

/// The columns that take all that there is to say of a line; half of them, without spread and rounds.
const WIDE: usize = 71;
const HALF: usize = 56;

/// The table as people read it, with the columns that fit into the terminal.
pub(crate) fn text(
    lines: &[Line],
    calibration: &Calibration,
    memory: Memory,
    models: &[ModelMemory],
) -> String {
    let width = termwidth();
    let mut text = folded(&calibration.to_string(), "  ", width) + "\n";
    text += &times(lines, width);
    let models = models
        .iter()
        .map(|&(name, ours, theirs)| (name, ours, theirs));
    let memory = memory.map(|(ours, theirs)| ("memory", ours, theirs));
    for (row, (name, ours, theirs)) in memory.into_iter().chain(models).enumerate() {
        if row == 0 && name != "memory" {
            text.push_str("\nmost memory\n");
        }
        let _ = write!(text, "{name:14} {ours:>7.0} MiB {:15}", "");
        if let Some(theirs) = theirs {
            let ratio = ours / theirs;
            let mark = if ratio <= MEMORY_GOAL { "" } else { " !" };
            let _ = write!(
                text,
                " {theirs:>7.0} MiB {ratio:>7.2} {MEMORY_GOAL:>6.2}{mark}"
            );
        }
        text.push('\n');
    }
    text.push('\n');
    for line in lines {
        let about = format!("{:14} {}", line.name, line.what);
        text += &folded(&about, &" ".repeat(15), width);
    }
    text
}

/// A row per line; the header first.
fn times(lines: &[Line], width: usize) -> String {
    let against = lines.iter().any(|line| line.theirs.is_some());
    let (wide, half) = (width >= WIDE, width >= HALF);
    let mut text = format!("{:14} {:>11}", "", "median");
    let mut more = |shown: bool, cells: std::fmt::Arguments<'_>| {
        if shown {
            let _ = text.write_fmt(cells);
        }
    };
    more(
        wide || !against,
        format_args!(" {:>7} {:>7}", "spread", "rounds"),
    );
    more(against && half, format_args!(" {:>11}", "other side"));
    more(against, format_args!(" {:>7}", "ratio"));
    more(against && half, format_args!(" {:>6}", "goal"));
    more(true, format_args!("\n"));
    for line in lines {
        let median = seconds(line.ours.median());
        more(true, format_args!("{:14} {median:>11}", line.name));
        let (spread, rounds) = (100.0 * line.ours.spread(), line.ours.0.len());
        more(
            wide || !against,
            format_args!(" {spread:>6.0}% {rounds:>7}"),
        );
        if let (Some(theirs), Some(ratio)) = (&line.theirs, line.ratio()) {
            let mark = if ratio <= line.goal { "" } else { " !" };
            more(half, format_args!(" {:>11}", seconds(theirs.median())));
            more(true, format_args!(" {ratio:>7.2}"));
            more(half, format_args!(" {:>6.2}", line.goal));
            more(true, format_args!("{mark}"));
        }
        more(true, format_args!("\n"));
    }
    text
}

/// Text that goes on below itself, and ends the line.
fn folded(text: &str, indent: &str, width: usize) -> String {
    let options = Options::new(width)
        .subsequent_indent(indent)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation);
    fill(text, options) + "\n"
}

/// Seconds in a unit that fits.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        value if value >= 1.0 => format!("{value:.2} s"),
        value if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
        value => format!("{:.1} us", value * 1e6),
    }
}

/// The same, with every sample.
pub(crate) fn json(
    lines: &[Line],
    calibration: &Calibration,
    memory: Memory,
    models: &[ModelMemory],
) -> Result<String, String> {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "name": line.name,
                "what": line.what,
                "goal": line.goal,
                "median_seconds": line.ours.median(),
                "seconds": line.ours.0,
                "other_median_seconds": line.theirs.as_ref().map(Samples::median),
                "other_seconds": line.theirs.as_ref().map(|theirs| &theirs.0),
                "ratio": line.ratio(),
            })
        })
        .collect();
    let whole = json!({
        "calibration": calibration,
        "lines": lines,
        "peak_memory_mib": memory.map(|(ours, _)| ours),
        "other_peak_memory_mib": memory.and_then(|(_, theirs)| theirs),
        "models_peak_memory_mib": models,
    });
    serde_json::to_string_pretty(&whole).map_err(|error| error.to_string())
}
