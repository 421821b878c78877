//! What was measured, for people and for programs.

use std::fmt::Write;

use serde_json::json;

use crate::baseline::Calibration;
use crate::timing::Samples;

/// One line of the table.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// What of the other side's time it may take at most.
    pub(crate) goal: f64,
    pub(crate) ours: Samples,
    pub(crate) theirs: Option<Samples>,
    /// Most memory the other side held, in MiB.
    pub(crate) memory: Option<f64>,
}

impl Line {
    /// Our median over the other side's.
    fn ratio(&self) -> Option<f64> {
        let theirs = self.theirs.as_ref()?;
        Some(self.ours.median() / theirs.median())
    }
}

/// The table as people read it.
pub(crate) fn text(lines: &[Line], calibration: &Calibration) -> String {
    let mut text = format!("{calibration}\n\n");
    let against = lines.iter().any(|line| line.theirs.is_some());
    let _ = write!(
        text,
        "{:14} {:>11} {:>7} {:>7}",
        "", "median", "spread", "rounds"
    );
    if against {
        let _ = write!(text, " {:>11} {:>7} {:>6}", "other side", "ratio", "goal");
    }
    text.push('\n');
    for line in lines {
        let _ = write!(
            text,
            "{:14} {:>11} {:>6.0}% {:>7}",
            line.name,
            seconds(line.ours.median()),
            100.0 * line.ours.spread(),
            line.ours.0.len(),
        );
        if let (Some(theirs), Some(ratio)) = (&line.theirs, line.ratio()) {
            let mark = if ratio <= line.goal { "" } else { " !" };
            let _ = write!(
                text,
                " {:>11} {ratio:>7.2} {:>6.2}{mark}",
                seconds(theirs.median()),
                line.goal,
            );
        }
        text.push('\n');
    }
    text.push('\n');
    for line in lines {
        let _ = writeln!(text, "{:14} {}", line.name, line.what);
    }
    text
}

fn seconds(value: f64) -> String {
    match value {
        value if value >= 1.0 => format!("{value:.2} s"),
        value if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
        value => format!("{:.1} us", value * 1e6),
    }
}

/// The same, with every sample.
pub(crate) fn json(lines: &[Line], calibration: &Calibration) -> Result<String, String> {
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
                "other_peak_memory_mib": line.memory,
            })
        })
        .collect();
    let whole = json!({"calibration": calibration, "lines": lines});
    serde_json::to_string_pretty(&whole).map_err(|error| error.to_string())
}
