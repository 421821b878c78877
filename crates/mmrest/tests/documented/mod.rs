//! The commands that the documentation gives: `cargo xtask ...` and `mmrest ...` in blocks of shell and in running text.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of each test")]

use std::path::{Path, PathBuf};

/// A command as a page gives it.
#[derive(Debug, Clone)]
pub struct Documented {
    /// The page, and the line that the command's block or paragraph begins on.
    pub place: String,
    /// What follows `cargo xtask` or `mmrest`.
    pub words: Vec<String>,
    /// What is piped into it by an `echo` or a `printf`.
    pub input: Option<String>,
    /// Whether it stands in a block of shell, whole; in running text it may be a part of one.
    pub whole: bool,
}

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page of the project.
fn pages() -> Vec<PathBuf> {
    let root = workspace();
    let mut folders = vec![
        root.clone(),
        root.join("docs/src"),
        root.join("data"),
        root.join(".github"),
    ];
    folders.push(root.join(".github/ISSUE_TEMPLATE"));
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        folders.push(entry.unwrap().path());
    }
    let mut pages: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|of| of == "md"))
        .collect();
    pages.sort();
    pages
}

/// Every command of every page.
pub fn commands() -> Vec<Documented> {
    let root = workspace();
    pages()
        .into_iter()
        .flat_map(|page| {
            let text = std::fs::read_to_string(&page).unwrap();
            let name = page.strip_prefix(&root).unwrap().display().to_string();
            commands_of(&name, &text)
        })
        .collect()
}

/// Every command of one page.
pub fn commands_of(name: &str, text: &str) -> Vec<Documented> {
    let mut found = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        let before = text
            .find(part)
            .map_or(0, |at| text[..at].matches('\n').count());
        let place = format!("{name}:{}", before + 1);
        match (index % 2 == 1, part.split_once('\n')) {
            (true, Some(("sh" | "bash" | "console", block))) => {
                found.extend(of_block(&place, block))
            }
            (false, _) => found.extend(of_prose(&place, part)),
            _ => {}
        }
    }
    found
}

/// The commands of a block of shell.
fn of_block(place: &str, block: &str) -> Vec<Documented> {
    let lines = block.replace("\\\n", " ");
    lines
        .lines()
        .flat_map(|line| of_line(place, line))
        .collect()
}

fn of_line(place: &str, line: &str) -> Vec<Documented> {
    let words = shlex::split(line).unwrap_or_else(|| panic!("{place}: no shell: {line}"));
    let mut found = Vec::new();
    let mut piped = None;
    let simple = words.split_inclusive(|word| ["|", "&&", "||", ";", "&"].contains(&word.as_str()));
    for simple in simple {
        let operator = simple.last().map(String::as_str);
        let command: Vec<String> = simple
            .iter()
            .take_while(|word| !["|", "&&", "||", ";", "&", ">", "<"].contains(&word.as_str()))
            .cloned()
            .collect();
        if let Some(words) = ours(&command) {
            found.push(Documented {
                place: place.to_owned(),
                words: words.to_vec(),
                input: piped.take(),
                whole: true,
            });
        }
        piped = match (operator, command.first().map(String::as_str)) {
            (Some("|"), Some("echo" | "printf")) => Some(command[1..].join(" ") + "\n"),
            _ => None,
        };
    }
    found
}

/// The words after `cargo xtask` or `mmrest`.
fn ours(command: &[String]) -> Option<&[String]> {
    match command {
        [cargo, xtask, words @ ..] if cargo == "cargo" && xtask == "xtask" => Some(words),
        [mmrest, words @ ..] if mmrest == "mmrest" => Some(words),
        _ => None,
    }
}

/// The commands in running text, between backticks. What stands for something else (`<command>`, `...`) is none.
fn of_prose(place: &str, text: &str) -> Vec<Documented> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter(|span| !span.contains(['<', '[', '{', '…']) && !span.contains("..."))
        .filter_map(|span| {
            let command = shlex::split(&span.replace('\n', " "))?;
            let words = ours(&command)?;
            Some(Documented {
                place: place.to_owned(),
                words: words.to_vec(),
                input: None,
                whole: false,
            })
        })
        .collect()
}
