//! Writes inspections and comparisons as text.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::{
    Comparison, FileKind, Finding, Inspection, Intervals, Labels, Level, Membership, Percentiles,
    Sequence, Values,
};
use mmrest_data::Split;
use mmrest_data::text::{count, few, number, size};

/// Arrays and metadata listed at most.
const LISTED: usize = 24;

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (kind, bytes) = (self.kind.name(), size(self.bytes));
        writeln!(f, "{}: {kind}, {bytes}", self.path.display())?;
        match self.usable.key {
            Some(key) => line(f, "used as", &format!("{key}: {}", self.usable.why))?,
            None => line(f, "not used", &self.usable.why)?,
        }
        if let Some(root) = &self.root {
            line(f, "root", root)?;
        }
        self.fmt_metadata(f)?;
        if let Some(ids) = &self.ids {
            let style = ids.style().map_or("", |style| style.example());
            let first = few(&ids.all, 4);
            line(
                f,
                "ids",
                &format!(
                    "{} as {style}, of {}: {first}",
                    ids.count,
                    count(ids.videos, "video")
                ),
            )?;
        }
        if !self.splits.is_empty() {
            let splits = Split::ALL.iter().filter_map(|split| {
                let here = self.splits.get(split)?;
                Some(format!("{here} {split}"))
            });
            line(f, "splits", &splits.collect::<Vec<_>>().join(", "))?;
        }
        for membership in &self.folds {
            line(f, "folds", &folds(membership))?;
        }
        self.fmt_stored(f)?;
        for sequence in &self.sequences {
            sequence.fmt_text(f)?;
        }
        if let Some(labels) = &self.labels {
            fmt_labels(labels, f)?;
        }
        fmt_findings(&self.findings, f)
    }
}

impl Inspection {
    fn fmt_metadata(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let told = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) if items.len() > 8 => few(items, 4),
            other => other.to_string(),
        };
        // A BERT's configuration has dozens of keys; these say what model it is.
        let shape = [
            "model_type",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "vocab_size",
            "max_position_embeddings",
            "parameters",
        ];
        let mentioned = |key: &str| self.kind != FileKind::Bert || shape.contains(&key);
        let useless =
            |value: &Value| matches!(value, Value::Null) || value == "" || value == "null";
        let entries = self.metadata.iter();
        let entries: Vec<_> = entries
            .filter(|(key, value)| mentioned(key) && !useless(value))
            .collect();
        for (index, (key, value)) in entries.iter().enumerate().take(LISTED) {
            let label = if index == 0 { "metadata" } else { "" };
            let value: String = told(value).chars().take(90).collect();
            let value = value.replace(char::is_control, " ");
            line(f, label, &format!("{key}: {value}"))?;
        }
        Ok(())
    }

    fn fmt_stored(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.stored.is_empty() || matches!(self.kind, FileKind::Table) {
            return Ok(());
        }
        let width = |of: fn(&super::Stored) -> usize| {
            self.stored.iter().take(LISTED).map(of).max().unwrap_or(0)
        };
        let (names, shapes) = (width(|s| s.name.len()), width(|s| s.shape.len()));
        for (index, stored) in self.stored.iter().enumerate().take(LISTED) {
            let label = if index == 0 { "stored" } else { "" };
            let times = match stored.arrays {
                1 => String::new(),
                arrays => format!("  x {arrays}"),
            };
            let (name, shape, dtype) = (&stored.name, &stored.shape, &stored.dtype);
            line(
                f,
                label,
                &format!("{name:names$}  {shape:shapes$}  {dtype}{times}"),
            )?;
        }
        if self.stored.len() > LISTED {
            let more = self.stored.len() - LISTED;
            line(f, "", &format!("... and {more} more"))?;
        }
        Ok(())
    }
}

impl Sequence {
    fn fmt_text(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (rows, entries) = (count(self.rows, "row"), count(self.entries, "entry"));
        let mut text = format!("{rows} in {entries}, width {}", self.width);
        if let Some(words) = &self.words {
            text = format!("{rows} in {entries}, {} different", words.distinct);
            if words.distinct == 0 {
                text = format!("{rows} in {entries}");
            }
            if words.pauses > 0 {
                text += &format!(", {}", count(words.pauses, "pause"));
            }
            if words.empty > 0 {
                text += &format!(", {} empty", words.empty);
            }
        }
        line(f, &self.name, &text)?;
        self.fmt_spread(f)?;
        if let Some(intervals) = &self.intervals {
            line(f, "time", &covered(intervals))?;
        }
        match &self.values {
            Some(values) => fmt_values(values, f),
            None => Ok(()),
        }
    }

    fn fmt_spread(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let unit = if self.name == "text" {
            "words"
        } else {
            "frames"
        };
        let spreads = [
            (unit, self.frames),
            ("seconds", self.seconds),
            ("frames/s", self.rate),
        ];
        if spreads.iter().all(|(_, spread)| spread.is_none()) {
            return Ok(());
        }
        let names = ["min", "5%", "25%", "50%", "75%", "95%", "max"];
        let names: String = names.iter().map(|name| format!("{name:>8}")).collect();
        line(f, "", &format!("{:9}{names}", ""))?;
        for (name, spread) in spreads {
            if let Some(spread) = spread {
                line(f, "", &format!("{name:9}{}", cells(&spread)))?;
            }
        }
        Ok(())
    }
}

fn cells(spread: &Percentiles) -> String {
    let cells = spread.all();
    cells
        .iter()
        .map(|&cell| format!("{:>8}", number(cell)))
        .collect()
}

fn covered(intervals: &Intervals) -> String {
    format!("{} s in intervals", number(intervals.seconds))
}

fn fmt_values(values: &Values, f: &mut Formatter<'_>) -> fmt::Result {
    let ends = |of: fn(&super::Column) -> Option<f32>| values.columns.iter().filter_map(of);
    let least = ends(|column| column.min).reduce(f32::min);
    let greatest = ends(|column| column.max).reduce(f32::max);
    if let (Some(least), Some(greatest)) = (least, greatest) {
        let range = format!("{} to {}", number(least.into()), number(greatest.into()));
        line(f, "values", &range)?;
    }
    Ok(())
}

fn fmt_labels(labels: &Labels, f: &mut Formatter<'_>) -> fmt::Result {
    let (least, greatest) = (labels.min.unwrap_or(0.0), labels.max.unwrap_or(0.0));
    let mean = number(labels.mean);
    line(
        f,
        "labels",
        &format!("{} from {least} to {greatest}, mean {mean}", labels.count),
    )?;
    let splits: Vec<Split> = Split::ALL
        .into_iter()
        .filter(|split| {
            labels
                .bins
                .iter()
                .any(|bin| bin.by_split.contains_key(split))
        })
        .collect();
    let classes = labels.bins.iter().map(|bin| format!("{:>13}", bin.class));
    let wide = labels.bins.iter().any(|bin| bin.class.len() > 6);
    let cell = |text: String| {
        if wide {
            format!("{text:>13}")
        } else {
            format!("{text:>7}")
        }
    };
    let header: String = if wide {
        classes.collect()
    } else {
        labels
            .bins
            .iter()
            .map(|bin| format!("{:>7}", bin.class))
            .collect()
    };
    line(f, "", &format!("{:9}{header}", "class"))?;
    for split in &splits {
        let counts = labels.bins.iter().map(|bin| {
            let count = bin.by_split.get(split).copied().unwrap_or(0);
            cell(count.to_string())
        });
        line(
            f,
            "",
            &format!("{:9}{}", split.name(), counts.collect::<String>()),
        )?;
    }
    let counts = labels.bins.iter().map(|bin| cell(bin.count.to_string()));
    line(f, "", &format!("{:9}{}", "all", counts.collect::<String>()))
}

fn folds(membership: &Membership) -> String {
    let parts = Split::ALL.iter().map(|split| {
        let here = membership.here.get(split).copied().unwrap_or(0);
        let expected = membership.expected.get(split).copied().unwrap_or(0);
        format!("{here} of {expected} {split}")
    });
    let parts: Vec<String> = parts.collect();
    let mut text = format!("{}: {} videos", membership.name, parts.join(", "));
    if !membership.in_none.is_empty() {
        text += &format!(", {} in none", membership.in_none.len());
    }
    text
}

fn fmt_findings(findings: &[Finding], f: &mut Formatter<'_>) -> fmt::Result {
    for level in [Level::Problem, Level::Note] {
        for finding in findings.iter().filter(|finding| finding.level == level) {
            let mark = if level == Level::Problem { "!" } else { "-" };
            write!(f, "  {mark} {}", finding.found)?;
            if !finding.advice.is_empty() {
                write!(f, "\n      {}", finding.advice)?;
            }
            writeln!(f)?;
        }
    }
    Ok(())
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.files.len() > 1 {
            let names = self.files.iter().map(|file| file.name.chars().count());
            let names = names.max().unwrap_or(0);
            writeln!(f, "together")?;
            writeln!(
                f,
                "  {:names$}  {:>7}  {:>7}  {:9}  width",
                "file", "videos", "lacking", "ids"
            )?;
            for file in &self.files {
                let style = file.style.map_or("", |style| style.example());
                let widths: Vec<String> = file.widths.values().map(ToString::to_string).collect();
                let row = format!(
                    "  {:names$}  {:>7}  {:>7}  {style:9}  {}",
                    file.name,
                    file.videos,
                    file.lacking,
                    widths.join(", ")
                );
                writeln!(f, "{}", row.trim_end())?;
            }
            writeln!(
                f,
                "  {} in all files, {} in some",
                count(self.in_all, "video"),
                self.in_some.len()
            )?;
        }
        fmt_findings(&self.findings, f)?;
        if let Some(config) = &self.config {
            writeln!(
                f,
                "\n# a configuration that trains on these files:\n{config}"
            )?;
        }
        Ok(())
    }
}

fn line(f: &mut Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    writeln!(f, "{}", format!("  {label:9} {text}").trim_end())
}
