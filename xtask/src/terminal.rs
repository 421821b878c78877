//! Prints tables folded to the terminal's width, or to 80 columns where there is no terminal.

use textwrap::{Options, WordSplitter, fill, termwidth};

/// Prints text on standard output.
pub(crate) fn print(text: &str) {
    print!("{}", folded(text, termwidth()));
}

/// Text whose lines are at most `width` columns wide, but for longer words. A line goes on below the text behind its label,
/// which two spaces set apart, or with two more spaces than it begins with; a last column goes below as a whole.
fn folded(text: &str, width: usize) -> String {
    text.lines().map(|line| folded_line(line, width)).collect()
}

fn folded_line(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return format!("{line}\n");
    }
    let leading = line.len() - line.trim_start().len();
    let columns = columns(line);
    let label = columns.iter().rev().find(|&&at| 2 * at <= width);
    let hanging = label.copied().unwrap_or(leading + 2);
    let last = columns.last().copied().filter(|&at| at > hanging);
    let (first, last) = line.split_at(last.unwrap_or(line.len()));
    let indent = " ".repeat(hanging);
    let folded = |text: &str, initial: &str| {
        let options = Options::new(width)
            .initial_indent(initial)
            .subsequent_indent(&indent)
            .break_words(false)
            .word_splitter(WordSplitter::NoHyphenation);
        fill(text, options) + "\n"
    };
    let mut lines = folded(first.trim_end(), "");
    if !last.is_empty() {
        lines += &folded(last, &indent);
    }
    lines
}

/// Where the columns of a line begin that two spaces set apart, but for the first.
fn columns(line: &str) -> Vec<usize> {
    let bytes = line.as_bytes();
    let begins = |&at: &usize| at > 2 && bytes[at] != b' ' && bytes[at - 2..at] == *b"  ";
    let all = (0..bytes.len()).filter(begins);
    all.filter(|&at| !line[..at].trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_below_their_text() {
        assert_eq!(folded("short\n", 20), "short\n");
        assert_eq!(
            folded("ok  cores   2                  training uses all\n", 32),
            "ok  cores   2\n            training uses all\n"
        );
        assert_eq!(
            folded("  test  every test and doctest\n", 24),
            "  test  every test and\n        doctest\n"
        );
        assert_eq!(folded("see /a/long/path\n", 10), "see\n  /a/long/path\n");
    }
}
