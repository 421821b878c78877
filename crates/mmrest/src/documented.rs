//! Tests that the program's parser accepts the commands in the documentation.

#[path = "../tests/documented/mod.rs"]
mod commands;

use clap::Parser;
use clap::error::ErrorKind;

use crate::arguments::Arguments;

/// The commands that xtask implements itself, from its dispatch.
fn own_commands() -> Vec<String> {
    let main = commands::workspace().join("xtask/src/main.rs");
    let text = std::fs::read_to_string(main).unwrap();
    let arms = text
        .lines()
        .filter(|line| line.trim_start().starts_with("Some(\""));
    let names = arms.flat_map(|line| line.split('"').skip(1).step_by(2));
    names.map(String::from).collect()
}

/// Replaces a placeholder for numbers by numbers.
fn with_numbers(word: &str) -> String {
    match word {
        "N" => "1".into(),
        "N,N" => "1,2".into(),
        _ => word.into(),
    }
}

/// What is wrong with the words of a command. In running text a part of a command is enough, and a name in capitals is a
/// placeholder.
fn fault(words: &[String], whole: bool) -> Option<String> {
    let stands_for = |word: &String| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
    let named = !whole && words.iter().any(stands_for);
    let words = words.iter().map(|word| with_numbers(word));
    let error = Arguments::try_parse_from(std::iter::once("mmrest".into()).chain(words)).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidSubcommand
            if named =>
        {
            None
        }
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if !whole =>
        {
            None
        }
        _ => Some(error.to_string()),
    }
}

#[test]
fn the_program_takes_every_command_of_the_documentation() {
    let own = own_commands();
    assert!(own.iter().any(|name| name == "bench"), "{own:?}");
    let mut checked = 0;
    let mut faults = Vec::new();
    for command in commands::commands() {
        let Some(first) = command.words.first() else {
            continue;
        };
        if own.contains(first) {
            continue;
        }
        checked += 1;
        if let Some(fault) = fault(&command.words, command.whole) {
            faults.push(format!("{}: {:?}: {fault}", command.place, command.words));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked > 50, "{checked}");
}

#[test]
fn a_command_that_is_none_is_noticed() {
    let page = "Try `cargo xtask train` or:\n\n```sh\ncargo xtask train sample --sed 2   # no such option\n\
        echo '{\"a b\": 1}' | mmrest predict RUN \\\n  --input - > out\n\
        curl -d '{\n\"text\": 1}' here && MMREST_LOG=debug bin/mmrest train mosi 2>told\n```\n";
    let found = commands::commands_of("page", page);
    let words: Vec<Vec<&str>> = found
        .iter()
        .map(|command| command.words.iter().map(String::as_str).collect())
        .collect();
    assert_eq!(
        words,
        [
            vec!["train"],
            vec!["train", "sample", "--sed", "2"],
            vec!["predict", "RUN", "--input", "-"],
            vec!["train", "mosi"]
        ]
    );
    assert_eq!(found[2].input.as_deref(), Some("{\"a b\": 1}\n"));
    let faults: Vec<bool> = found
        .iter()
        .map(|command| fault(&command.words, command.whole).is_some())
        .collect();
    assert_eq!(faults, [false, true, false, false]);
}
