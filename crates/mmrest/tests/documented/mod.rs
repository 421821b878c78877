//! Finds the commands in the documentation: `cargo xtask ...` and `mmrest ...` in shell blocks and in running text.
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

/// The commands of a block of shell. A quoted text may go on over several lines.
fn of_block(place: &str, block: &str) -> Vec<Documented> {
    let mut found = Vec::new();
    let mut begun = String::new();
    for line in block.replace("\\\n", " ").lines() {
        begun.push_str(line);
        match shlex::split(&begun) {
            Some(words) => {
                found.extend(of_line(place, &words));
                begun.clear();
            }
            None => begun.push('\n'),
        }
    }
    assert!(
        begun.is_empty(),
        "{place}: a quote is never closed: {begun}"
    );
    found
}

fn of_line(place: &str, words: &[String]) -> Vec<Documented> {
    let mut found = Vec::new();
    let mut piped = None;
    let simple = words.split_inclusive(|word| ["|", "&&", "||", ";", "&"].contains(&word.as_str()));
    for simple in simple {
        let operator = simple.last().map(String::as_str);
        let command: Vec<String> = simple
            .iter()
            .take_while(|word| !["|", "&&", "||", ";", "&", "<"].contains(&word.as_str()))
            .take_while(|word| ![">", "2>", "&>"].iter().any(|of| word.starts_with(of)))
            .skip_while(|word| is_assignment(word))
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

/// Whether a word sets a variable of the environment.
fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    })
}

/// The words after `cargo xtask` or `mmrest`.
fn ours(command: &[String]) -> Option<&[String]> {
    match command {
        [cargo, xtask, words @ ..] if cargo == "cargo" && xtask == "xtask" => Some(words),
        [mmrest, words @ ..] if mmrest == "mmrest" || mmrest.ends_with("/mmrest") => Some(words),
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
