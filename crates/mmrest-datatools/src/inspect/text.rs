//! Writes inspections and comparisons as text, whose tables fit into the width that they are formatted with (`{:60}`), by
//! default [`WIDTH`] columns.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::{
    Comparison, FileKind, Finding, Inspection, Intervals, Labels, Level, Membership, Sequence,
    Values,
};
use mmrest_data::Split;
use mmrest_data::text::{count, few, number, size};

/// Arrays and metadata listed at most.
const LISTED: usize = 24;

/// The columns that text takes if no width is given.
const WIDTH: usize = 80;

/// The most letters of a value of metadata.
const LONGEST_VALUE: usize = 90;

/// Where the text behind a label begins.
const INDENT: usize = 12;

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
            let value = told(value).replace(char::is_control, " ");
            line(f, label, &format!("{key}: {}", cut(&value)))?;
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
        let names = ["", "min", "5%", "25%", "50%", "75%", "95%", "max"];
        let mut rows = vec![names.map(str::to_owned).to_vec()];
        let known = spreads
            .into_iter()
            .filter_map(|(name, spread)| Some((name, spread?)));
        rows.extend(known.map(|(name, spread)| row(name, spread.all().map(number))));
        table(f, rows, 8)
    }
}

/// A row of a table: its name and its cells.
fn row(name: &str, cells: impl IntoIterator<Item = String>) -> Vec<String> {
    let cells = cells.into_iter();
    [name.to_owned()].into_iter().chain(cells).collect()
}

/// Writes rows behind the labels, with cells at least `least` columns wide; where there is no room with cells as narrow as
/// they may be, then further to the left, then with columns as rows.
fn table(f: &mut Formatter<'_>, rows: Vec<Vec<String>>, least: usize) -> fmt::Result {
    let turned = turned(&rows);
    let ways = [
        (INDENT, &rows, 9, least),
        (INDENT, &rows, 0, 0),
        (4, &rows, 0, 0),
        (INDENT, &turned, 0, 0),
        (4, &turned, 0, 0),
    ];
    let width = f.width().unwrap_or(WIDTH);
    let written = ways.map(|(indent, rows, names, least)| laid_out(rows, indent, names, least));
    let fits = |lines: &&Vec<String>| lines.iter().all(|line| line.chars().count() <= width);
    let [.., last] = &written;
    for line in written.iter().find(fits).unwrap_or(last) {
        writeln!(f, "{line}")?;
    }
    Ok(())
}

/// Rows in aligned columns: names at the left, numbers at the right.
fn laid_out(rows: &[Vec<String>], indent: usize, names: usize, least: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| match column {
            0 => widest(0).max(names),
            _ => (widest(column) + 2).max(least),
        })
        .collect();
    let line = |row: &Vec<String>| {
        let mut line = " ".repeat(indent);
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line += &match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            };
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Columns as rows.
fn turned(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let column = |at: usize| {
        let cells = rows.iter().map(|row| row.get(at).cloned());
        cells.map(Option::unwrap_or_default).collect()
    };
    (0..columns).map(column).collect()
}

/// The words at the beginning of a text that is too long to be shown.
fn cut(text: &str) -> Cow<'_, str> {
    let Some((end, _)) = text.char_indices().nth(LONGEST_VALUE) else {
        return text.into();
    };
    let kept = &text[..end];
    let kept = kept.rsplit_once(' ').map_or(kept, |(words, _)| words);
    format!("{kept} ...").into()
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
    let wide = labels.bins.iter().any(|bin| bin.class.len() > 6);
    let classes = labels.bins.iter().map(|bin| bin.class.to_string());
    let mut rows = vec![row("class", classes)];
    for split in &splits {
        let counts = labels.bins.iter().map(|bin| {
            let count = bin.by_split.get(split).copied().unwrap_or(0);
            count.to_string()
        });
        rows.push(row(split.name(), counts));
    }
    let counts = labels.bins.iter().map(|bin| bin.count.to_string());
    rows.push(row("all", counts));
    table(f, rows, if wide { 13 } else { 7 })
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
            writeln!(f, "together")?;
            self.fmt_files(f)?;
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

impl Comparison {
    /// A row per file; in two lines where there is no room for one.
    fn fmt_files(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = self.files.iter().map(|file| file.name.chars().count());
        let names = names.max().unwrap_or(0).max(4);
        let header = ["videos", "lacking", "ids", "width"].map(str::to_owned);
        let cells = self.files.iter().map(|file| {
            let widths: Vec<String> = file.widths.values().map(ToString::to_string).collect();
            let style = file.style.map_or("", |style| style.example());
            let counts = [file.videos, file.lacking].map(|count| count.to_string());
            let [videos, lacking] = counts;
            [videos, lacking, style.to_owned(), widths.join(", ")]
        });
        let cells: Vec<[String; 4]> = cells.collect();
        let widest = |column: usize| {
            let all = cells.iter().chain([&header]);
            all.map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let width = f.width().unwrap_or(WIDTH);
        let spacious = [7, 7, 9, 5];
        let narrow = [0, 1, 2, 3].map(widest);
        let taken = |widths: [usize; 4]| 2 + names + widths.iter().map(|of| of + 2).sum::<usize>();
        let in_two = taken(narrow) > width;
        let widths = if taken(spacious) > width {
            narrow
        } else {
            spacious
        };
        let [videos, lacking, ids, _] = widths;
        let named = self.files.iter().map(|file| file.name.as_str());
        for (name, row) in [("file", &header)].into_iter().chain(named.zip(&cells)) {
            let [of_videos, of_lacking, style, of_widths] = row;
            let cells =
                format!("{of_videos:>videos$}  {of_lacking:>lacking$}  {style:ids$}  {of_widths}");
            let line = match in_two {
                true => format!("  {name}\n    {cells}"),
                false => format!("  {name:names$}  {cells}"),
            };
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn line(f: &mut Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    writeln!(f, "{}", format!("  {label:9} {text}").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table in a width.
    struct Table(Vec<Vec<String>>);

    impl Display for Table {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            table(f, self.0.clone(), 7)
        }
    }

    #[test]
    fn tables_fit_and_lose_nothing() {
        let names = ["-3", "-2", "-1", "0", "+1", "+2", "+3"].map(str::to_owned);
        let counts = [27, 83, 124, 145, 117, 71, 33].map(|count: usize| count.to_string());
        let table = Table(vec![
            row("class", names.clone()),
            row("all", counts.clone()),
        ]);
        for (width, first) in [
            (80, "            class         -3     -2"),
            (60, "            class  -3  -2"),
            (30, "            class  all"),
            (12, "    class  all"),
        ] {
            let text = format!("{table:width$}");
            assert!(text.starts_with(first), "{width}\n{text}");
            assert!(
                text.lines().all(|line| line.len() <= width.max(14)),
                "{text}"
            );
            assert!(names.iter().chain(&counts).all(|cell| text.contains(cell)));
        }
    }

    #[test]
    fn long_values_end_with_a_whole_word() {
        assert_eq!(cut("short"), "short");
        let long = "word ".repeat(30);
        let shown = cut(&long);
        assert!(shown.ends_with("word ...") && shown.len() < 95, "{shown}");
    }
}
