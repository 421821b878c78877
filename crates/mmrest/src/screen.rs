//! Prints lines on standard output and error, folded to the terminal's width, or keeps them until a dashboard that fills the
//! terminal is closed; and tables whose columns fit.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use console::{Term, measure_text_width};

use crate::project::program;

/// The width of what is written to no terminal.
const WIDTH: usize = 80;
/// Nothing is folded narrower than this.
const NARROWEST: usize = 20;

/// The program's terminal. Log, signals and display write to it, whichever thread they are on.
static SCREEN: Mutex<Screen> = Mutex::new(Screen { held: None });

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// The text that waits, if something else fills the terminal.
struct Screen {
    held: Option<Vec<(Stream, Vec<u8>)>>,
}

impl Screen {
    fn write(&mut self, stream: Stream, text: &[u8], print: impl FnOnce(Stream, &[u8])) {
        match &mut self.held {
            Some(held) => held.push((stream, text.to_vec())),
            None => print(stream, text),
        }
    }

    fn hold(&mut self) -> bool {
        let begins = self.held.is_none();
        self.held.get_or_insert_default();
        begins
    }

    fn release(&mut self, mut print: impl FnMut(Stream, &[u8])) {
        for (stream, text) in self.held.take().into_iter().flatten() {
            print(stream, &text);
        }
    }
}

/// Errors are ignored: a run goes on when nobody reads its output.
fn print(stream: Stream, text: &[u8]) {
    let _ = match stream {
        Stream::Out => io::stdout().write_all(text),
        Stream::Err => io::stderr().write_all(text),
    };
}

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps lines from now on, and says whether that is new.
pub(crate) fn hold() -> bool {
    screen().hold()
}

/// Whether lines are kept.
pub(crate) fn is_held() -> bool {
    screen().held.is_some()
}

/// Prints the lines that were kept, and no longer keeps any.
pub(crate) fn release() {
    screen().release(print);
}

/// The columns of standard output: of the terminal, or 80 of a file or pipe.
pub(crate) fn width() -> usize {
    columns(&Term::stdout()).unwrap_or(WIDTH)
}

/// The columns of a terminal; none of a file or pipe.
fn columns(term: &Term) -> Option<usize> {
    let (_, columns) = term.size_checked()?;
    Some(usize::from(columns).max(NARROWEST))
}

/// As many of the parts, the first at least, as fit on one line of standard error, where bars are drawn.
pub(crate) fn bar_line(parts: &[String]) -> String {
    fitting(parts, columns(&Term::stderr()).unwrap_or(WIDTH) - 1)
}

/// As many of the parts, the first at least, as fit into a width with commas between them.
fn fitting(parts: &[String], width: usize) -> String {
    let mut line = parts.first().cloned().unwrap_or_default();
    for part in parts.iter().skip(1).filter(|part| !part.is_empty()) {
        if measure_text_width(&line) + 2 + measure_text_width(part) <= width {
            line += &format!(", {part}");
        }
    }
    line
}

/// Prints text on standard output, folded.
pub(crate) fn out(text: &str) {
    let text = harmless(text);
    let folded = fold(&text, width());
    screen().write(Stream::Out, format!("{folded}\n").as_bytes(), print);
}

/// Prints a line on standard output as it is: JSON, a command to paste.
pub(crate) fn out_whole(line: &str) {
    screen().write(Stream::Out, format!("{line}\n").as_bytes(), print);
}

/// Prints what a command was asked for on standard output, folded.
///
/// # Errors
///
/// It cannot be written.
pub(crate) fn result(text: &str) -> Result<()> {
    let text = harmless(text.trim_end_matches('\n'));
    let folded = fold(&text, width());
    writeln!(io::stdout(), "{folded}").context("cannot write the output")
}

/// Prints text on standard error, folded on a terminal; elsewhere a message stays a line, which can be searched for.
pub(crate) fn err(text: &str) {
    let text = shortened_lines(harmless(text));
    let folded = match columns(&Term::stderr()) {
        Some(width) => fold(&text, width),
        None => text,
    };
    screen().write(Stream::Err, format!("{folded}\n").as_bytes(), print);
}

/// Prints a warning on standard error.
pub(crate) fn warning(text: &str) {
    err(&format!("{} {text}", emphasised("warning:", 33)));
}

/// Prints the error that ends the program on standard error.
pub(crate) fn error(text: &str) {
    err(&format!("{} {text}", emphasised("error:", 31)));
}

/// Prints why the arguments are wrong on standard error.
pub(crate) fn wrong_arguments(error: &clap::Error) {
    let told = error.render();
    let told = match colours() {
        true => told.ansi().to_string(),
        false => told.to_string(),
    };
    err(told.trim_end());
}

/// Whether standard error takes colours: a terminal that can, and no `NO_COLOR`.
pub(crate) fn colours() -> bool {
    console::colors_enabled_stderr()
}

/// A word in bold and a colour of ANSI's, where standard error takes colours.
fn emphasised(word: &str, colour: u8) -> String {
    if colours() {
        format!("\x1b[1;{colour}m{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

/// Text whose control characters are shown instead of obeyed, but for colours and ends of lines: names in files of strangers
/// may hold whatever moves a cursor or renames a window.
fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(obeyed) {
        shown += &rest[..at];
        rest = &rest[at..];
        let kept = colour(rest);
        match rest.chars().next() {
            Some(letter) if kept == 0 => {
                shown.extend(letter.escape_default());
                rest = &rest[letter.len_utf8()..];
            }
            _ => {
                shown += &rest[..kept];
                rest = &rest[kept..];
            }
        }
    }
    Cow::Owned(shown + rest)
}

/// The length of the sequence that sets a colour or none, at a text's beginning; 0 where there is none.
fn colour(text: &str) -> usize {
    let Some(numbers) = text.strip_prefix("\x1b[") else {
        return 0;
    };
    let end = numbers.find(|letter: char| !letter.is_ascii_digit() && letter != ';');
    end.filter(|&end| numbers[end..].starts_with('m'))
        .map_or(0, |end| 2 + end + 1)
}

/// Text of whose lines none is so long that nobody reads it: of those the beginning and the end.
fn shortened_lines(text: Cow<'_, str>) -> Cow<'_, str> {
    const LONGEST: usize = 10_000;
    if text.lines().all(|line| line.len() <= LONGEST) {
        return text;
    }
    let short = |line: &str| {
        if line.len() <= LONGEST {
            return line.to_owned();
        }
        let (start, end) = (
            line.floor_char_boundary(8000),
            line.ceil_char_boundary(line.len() - 1000),
        );
        format!("{} ... {}", &line[..start], &line[end..])
    };
    let lines: Vec<String> = text.split('\n').map(short).collect();
    Cow::Owned(lines.join("\n"))
}

/// Text whose lines are at most `width` columns wide, but for words that are longer. Lines go on below the text of a label,
/// or with two more spaces; a command goes on as a shell takes it, a comment as a comment.
fn fold(text: &str, width: usize) -> Cow<'_, str> {
    if text.lines().all(|line| measure_text_width(line) <= width) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| fold_line(line, width))
        .collect();
    Cow::Owned(lines.join("\n"))
}

fn fold_line(line: &str, width: usize) -> String {
    if measure_text_width(line) <= width {
        return line.to_owned();
    }
    let command = line.starts_with("  ") && line.trim_start().starts_with(program());
    let (room, joint) = if command {
        (width - 2, " \\")
    } else {
        (width, "")
    };
    let indent = match line.strip_prefix("# ") {
        Some(_) => "# ".to_owned(),
        None => " ".repeat(hanging(line, width)),
    };
    let mut folded = String::new();
    let mut used = 0;
    for piece in pieces(line, command) {
        let wide = measure_text_width(piece);
        if used > 0 && used + wide > room {
            let kept = folded.trim_end().len();
            folded.truncate(kept);
            let piece = piece.trim_start();
            // A long word begins further to the left, where it fits.
            let spare = width.saturating_sub(measure_text_width(piece));
            let indent = match indent.starts_with('#') {
                true => &indent,
                false => &indent[..indent.len().min(spare)],
            };
            folded += &format!("{joint}\n{indent}{piece}");
            used = indent.len() + measure_text_width(piece);
        } else {
            folded += piece;
            used += wide;
        }
    }
    folded
}

/// Words with the spaces before them; of a command, its options with their values. What is between quotes stays together.
fn pieces(line: &str, command: bool) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut quoted, mut blank) = (0, false, true);
    for (at, letter) in line.char_indices() {
        quoted ^= command && letter == '\'';
        let breaks = letter == ' ' && !blank && !quoted;
        if breaks && (!command || line[at..].starts_with(" --")) {
            pieces.push(&line[start..at]);
            start = at;
        }
        blank = letter == ' ';
    }
    pieces.push(&line[start..]);
    pieces
}

/// The column in which a line goes on: that of the text after a label, which two spaces set apart; else two more than it
/// begins with.
fn hanging(line: &str, width: usize) -> usize {
    let leading = line.len() - line.trim_start().len();
    let after_label = line[leading..].find("  ").map(|gap| {
        let rest = &line[leading + gap..];
        leading + gap + rest.len() - rest.trim_start().len()
    });
    let column = after_label.map(|at| measure_text_width(&line[..at]));
    match column {
        Some(column) if 3 * column <= width => column,
        _ => (leading + 2).min(width / 2),
    }
}

/// A table that is printed row by row, with the columns that fit.
#[derive(Clone, Debug)]
pub(crate) struct Columns(Vec<(Column, bool)>);

/// A column: its title, its width, and how soon it is left out where there is no room.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    title: String,
    width: usize,
    /// The least rank stays longest; 0 always.
    rank: u8,
}

impl Column {
    /// The rank of a column that has cells but is not shown.
    pub(crate) const NEVER: u8 = u8::MAX;

    /// A column as wide as its title, or as `least`.
    pub(crate) fn new(title: impl Into<String>, least: usize, rank: u8) -> Self {
        let title = title.into();
        Self {
            width: measure_text_width(&title).max(least),
            title,
            rank,
        }
    }
}

impl Columns {
    /// As many of the columns as fit into a width.
    pub(crate) fn fit(columns: Vec<Column>, width: usize) -> Self {
        let kept = |column: &Column| column.rank != Column::NEVER;
        let mut columns: Vec<(Column, bool)> = columns
            .into_iter()
            .map(|c| (kept(&c), c))
            .map(|(kept, c)| (c, kept))
            .collect();
        loop {
            let kept = || columns.iter().filter(|(_, kept)| *kept);
            let taken: usize = kept().map(|(column, _)| column.width + 2).sum();
            let least = kept().map(|(column, _)| column.rank).max().unwrap_or(0);
            if taken <= width || least == 0 {
                return Self(columns);
            }
            let last = columns
                .iter()
                .rposition(|(c, kept)| *kept && c.rank == least);
            if let Some(last) = last {
                columns[last].1 = false;
            }
        }
    }

    /// The line of titles, after `mark` spaces for a mark.
    pub(crate) fn header(&self) -> String {
        self.line(" ", |column, _| &column.title)
    }

    /// A row: a mark, and the cells of all columns.
    pub(crate) fn row(&self, mark: &str, cells: &[String]) -> String {
        self.line(mark, |_, index| cells.get(index).map_or("", String::as_str))
    }

    fn line<'a>(&'a self, mark: &str, cell: impl Fn(&'a Column, usize) -> &'a str) -> String {
        let mut line = String::new();
        for (index, (column, kept)) in self.0.iter().enumerate() {
            if *kept {
                let cell = cell(column, index);
                let room = column.width.saturating_sub(measure_text_width(cell));
                // The first column, of names, begins at the left.
                line += &match index {
                    0 => format!("{mark} {cell}{}", " ".repeat(room)),
                    _ => format!("  {}{cell}", " ".repeat(room)),
                };
            }
        }
        line.trim_end().to_owned()
    }
}

/// A name cut to `width` columns; its end, which tells seeds and values apart, stays.
pub(crate) fn shortened(name: &str, width: usize) -> String {
    let letters = name.chars().count();
    if letters <= width {
        return name.to_owned();
    }
    let end: String = name.chars().skip(letters + 1 - width.max(1)).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_lines_are_printed_later_in_their_order() {
        let mut printed = Vec::new();
        let mut screen = Screen { held: None };
        screen.write(Stream::Out, b"1", |stream, text| {
            printed.push((stream, text.to_vec()));
        });
        assert_eq!(printed, [(Stream::Out, b"1".to_vec())]);
        assert!(screen.hold());
        for (stream, text) in [(Stream::Err, b"2"), (Stream::Out, b"3")] {
            screen.write(stream, text, |_, _| panic!("printed at once"));
            assert!(!screen.hold(), "held already");
        }
        screen.release(|stream, text| printed.push((stream, text.to_vec())));
        let kept = [(Stream::Err, b"2".to_vec()), (Stream::Out, b"3".to_vec())];
        assert_eq!(printed[1..], kept);
        screen.release(|_, _| panic!("printed twice"));
        assert!(screen.held.is_none());
    }

    #[test]
    fn long_lines_go_on_below_and_words_stay_whole() {
        let folded = |text: &str, width| fold(text, width).into_owned();
        assert_eq!(folded("short\nlines", 20), "short\nlines");
        assert_eq!(
            folded("a sentence of several words", 20),
            "a sentence of\n  several words"
        );
        assert_eq!(
            folded("- one two three four five", 20),
            "- one two three four\n  five"
        );
        let label = "  ids    one two three four";
        assert_eq!(folded(label, 24), "  ids    one two three\n    four");
        assert_eq!(folded(label, 27 - 1), "  ids    one two three\n    four");
        assert_eq!(
            folded(&format!("{label} five six"), 30),
            "  ids    one two three four\n         five six"
        );
        let path = "/a/very/long/path/that/is/one/word";
        assert_eq!(folded(&format!("see {path}"), 20), format!("see\n{path}"));
        assert_eq!(folded(&format!("see {path}"), 35), format!("see\n {path}"));
        assert_eq!(
            folded("# a configuration that trains", 20),
            "# a configuration\n# that trains"
        );
    }

    #[test]
    fn a_bar_shows_the_parts_that_fit() {
        let parts = ["epoch 2/50", "at most 1:02:03 left", "", "9/99"].map(String::from);
        assert_eq!(
            fitting(&parts, 79),
            "epoch 2/50, at most 1:02:03 left, 9/99"
        );
        assert_eq!(fitting(&parts, 20), "epoch 2/50, 9/99");
        assert_eq!(fitting(&parts, 5), "epoch 2/50");
    }

    #[test]
    fn control_characters_are_shown_and_colours_kept() {
        let text = "\x1b[1;31merror:\x1b[0m a\tb\n\x1b]0;title\x07 \x1b[2J\u{9b}31m\r";
        let shown = "\x1b[1;31merror:\x1b[0m a\tb\n\\u{1b}]0;title\\u{7} \\u{1b}[2J\\u{9b}31m\\r";
        assert_eq!(harmless(text), shown);
        assert!(matches!(harmless("a: ü\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_of_a_megabyte_keeps_its_beginning_and_its_end() {
        let line = format!("a.csv: {} is no number\nb", "ü".repeat(1 << 20));
        let short = shortened_lines(line.into());
        assert!(
            short.len() < 10_000 && short.starts_with("a.csv: ü"),
            "{}",
            short.len()
        );
        assert!(short.ends_with("ü is no number\nb"));
    }

    #[test]
    fn a_command_goes_on_as_a_shell_takes_it() {
        let command = format!(
            "  {} train mosi --set a=1 --set 'b=[\"x  y\", \"z\"]' --out runs/a",
            program()
        );
        let folded = fold(&command, 40);
        let joined: String = folded
            .replace(" \\\n", "")
            .split("    ")
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(joined, command.replace("    ", " "), "{folded}");
        for line in folded.lines() {
            assert!(line.len() <= 40, "{line}");
        }
        assert!(
            folded
                .lines()
                .rev()
                .skip(1)
                .all(|line| line.ends_with(" \\")),
            "{folded}"
        );
    }

    #[test]
    fn a_table_keeps_the_columns_that_matter_most() {
        let columns = || {
            let all = [
                ("name", 6, 0),
                ("mae", 6, 1),
                ("part", 6, 3),
                ("time", 6, 2),
            ];
            all.map(|(title, width, rank)| Column::new(title, width, rank))
                .to_vec()
        };
        let cells: Vec<String> = ["a", "0.712", "1", "0:02"].map(String::from).to_vec();
        let all = Columns::fit(columns(), 80);
        assert_eq!(all.header(), "  name       mae    part    time");
        assert_eq!(all.row("*", &cells), "* a        0.712       1    0:02");
        assert_eq!(
            Columns::fit(columns(), 24).row(" ", &cells),
            "  a        0.712    0:02"
        );
        assert_eq!(Columns::fit(columns(), 5).header(), "  name");
        assert_eq!(shortened("margin=1.0 seed 1", 9), "…0 seed 1");
    }
}
