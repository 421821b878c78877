//! A study in Markdown: `summary.md`.

use super::summary::Summary;
use super::tables::{Part, about, parts};

/// The whole file.
pub(crate) fn markdown(summary: &Summary) -> String {
    let mut paragraphs = vec![
        format!("# {}", summary.title),
        about(summary),
        summary.note.clone(),
    ];
    for part in parts(summary) {
        let lines: Vec<String> = part.lines.iter().map(|line| format!("- {line}")).collect();
        let (title, table) = (format!("## {}", part.title), table(&part));
        paragraphs.extend([title, part.lead, table, lines.join("\n"), part.note]);
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n\n") + "\n"
}

/// A part's table; nothing without rows.
fn table(part: &Part) -> String {
    if part.rows.is_empty() {
        return String::new();
    }
    let line = |cells: &Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule = format!("|{}", "---|".repeat(part.header.len()));
    let mut lines = vec![line(&part.header), rule];
    lines.extend(part.rows.iter().map(line));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_columns_apart() {
        let words = |words: [&str; 2]| words.map(String::from).to_vec();
        let part = Part {
            header: words(["x", "y"]),
            rows: vec![words(["a|b", "1"])],
            ..Part::default()
        };
        assert_eq!(table(&part), "| x | y |\n|---|---|\n| a\\|b | 1 |");
        assert_eq!(table(&Part::default()), "");
    }
}
