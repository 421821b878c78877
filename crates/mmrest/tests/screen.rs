//! What the commands print fits the terminal: in terminals of several widths (by util-linux's `script`) and in pipes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::{Command, Stdio};

use common::{Fixture, stdout, workspace};

/// Whether a program can be run in a terminal here.
fn has_script() -> bool {
    let made = Command::new("script")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let there = made.is_ok_and(|status| status.success());
    if !there {
        println!("skipped: util-linux's script is not installed");
    }
    there
}

/// The command as a shell takes it.
fn shell(words: &[&str]) -> String {
    let all = [env!("CARGO_BIN_EXE_mmrest")]
        .into_iter()
        .chain(words.iter().copied());
    shlex::try_join(all).unwrap()
}

/// Runs `mmrest` in a terminal of some columns; returns what a reader sees in the end, and whether the program succeeded.
fn terminal(columns: usize, words: &[&str], environment: &[(&str, &str)]) -> (String, bool) {
    let command = format!("stty cols {columns} rows 40; {}", shell(words));
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &command, "/dev/null"]);
    script
        .current_dir(workspace())
        .stdin(Stdio::null())
        .env("TERM", "xterm-256color");
    script
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("RAYON_NUM_THREADS", "1");
    let output = script.envs(environment.iter().copied()).output().unwrap();
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.success(),
    )
}

/// Without what moves the cursor or sets colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.by_ref().find(|l| l.is_ascii_alphabetic());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// The lines as they stand in the end: what follows the last return to the line's start.
fn lines(text: &str) -> Vec<String> {
    let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    lines
        .map(|line| plain(line.rsplit('\r').next().unwrap_or_default()))
        .collect()
}

/// Every line fits, what is drawn over too, but for words that are longer than the terminal is wide, such as paths, and
/// lines of a configuration, which are to be pasted.
fn fits(text: &str, columns: usize, what: &str) {
    for line in text.split(['\n', '\r']).map(plain) {
        let whole = line.split_whitespace().count() <= 1 || line.contains(" = ");
        let width = line.trim_end().chars().count();
        assert!(
            width <= columns || whole,
            "{what} in {columns} columns, {width}: {line}"
        );
    }
}

/// What everybody runs on a small sample, in order; the first makes the run.
fn commands(fixture: &Fixture, width: usize) -> Vec<Vec<String>> {
    let name = |name: &str| fixture.arg(&format!("{name}-{width}"));
    let words = |line: &[&str]| -> Vec<String> { line.iter().map(ToString::to_string).collect() };
    let data = [
        "--data",
        &fixture.arg("sample"),
        "--bert",
        &fixture.arg("sample/bert"),
    ]
    .map(String::from);
    let cache = format!("data.cache={:?}", fixture.path("cache"));
    let small = common::SMALL.iter().copied().chain([cache.as_str()]);
    let small: Vec<String> = small
        .flat_map(|set| ["--set".to_owned(), set.to_owned()])
        .collect();
    std::fs::write(
        fixture.path("in.jsonl"),
        "{\"text\": \"a wonderful film\"}\n{\"text\": 1}\n",
    )
    .unwrap();
    let study = "title = \"Two\"\nreference = \"full\"\nbase = { train.epochs = 1 }\n[[variant]]\nname = \"full\"\n[[variant]]\nname = \"a-variant-with-quite-a-long-name-of-its-own\"\nset = { model.mmrest.bias = false }\n";
    std::fs::write(fixture.path("study.toml"), study).unwrap();
    let mut train = words(&["train", "sample", "--epochs", "2", "--out", &name("run")]);
    train.extend(data.iter().chain(&small).cloned());
    let mut ablate = words(&[
        "ablate",
        "sample",
        "--study",
        &fixture.arg("study.toml"),
        "--seeds",
        "1",
    ]);
    ablate.extend(
        words(&["--out", &name("study")])
            .iter()
            .chain(&data)
            .chain(&small)
            .cloned(),
    );
    vec![
        train.clone(),
        words(&["eval", &name("run")]),
        words(&[
            "predict",
            &name("run"),
            &fixture.arg("in.jsonl"),
            "--output",
            &name("scores.jsonl"),
        ]),
        words(&["report", &name("run")]),
        ablate,
        words(&["data", "inspect", &fixture.arg("sample")]),
        words(&["data", "verify", "mosi", &fixture.arg("sample")]),
        words(&["data", "sample", "--out", &name("other")]),
        // Errors: a run that is there, data that are not, a name that is none.
        train,
        words(&[
            "train",
            "mosi",
            "--data",
            &name("nowhere"),
            "--out",
            &name("none"),
        ]),
        words(&["train", "mossi"]),
        words(&["ablate", "sample", "--study", "ablate", "--seeds", "0"]),
        words(&["predict", &name("run"), &fixture.arg("sample/folds.json")]),
    ]
}

#[test]
fn every_line_fits_terminals_of_several_widths() {
    if !has_script() {
        return;
    }
    let fixture = Fixture::small();
    for columns in [40, 60, 80, 200] {
        for words in commands(&fixture, columns) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let (text, _) = terminal(columns, &words, &[]);
            assert!(!text.trim().is_empty(), "{words:?}");
            fits(&text, columns, &words.join(" "));
            if words.first() == Some(&"train")
                && words.contains(&"--epochs")
                && text.contains("epoch")
            {
                let header = lines(&text)
                    .into_iter()
                    .find(|line| line.contains("valid mae"));
                let wide = header.is_none_or(|header| header.contains("mmc") == (columns > 80));
                assert!(wide, "parts of the loss where there is room: {text}");
            }
        }
    }
}

#[test]
fn help_fits_a_terminal_of_eighty_columns() {
    if !has_script() {
        return;
    }
    let commands = [
        "train",
        "ablate",
        "eval",
        "predict",
        "serve",
        "report",
        "conformance",
        "data",
        "completions",
        "man",
    ];
    let data = [
        "fetch", "inspect", "verify", "align", "import", "extract", "sample",
    ]
    .map(|name| ["data", name]);
    let all = commands
        .iter()
        .map(|name| vec![*name])
        .chain(data.iter().map(|words| words.to_vec()));
    for mut words in all {
        words.push("--help");
        let (text, _) = terminal(80, &words, &[]);
        assert!(text.contains("Usage"), "{text}");
        // clap does not fold the line of usage.
        let folded: Vec<&str> = text
            .lines()
            .filter(|line| !plain(line).starts_with("Usage"))
            .collect();
        fits(&folded.join("\n"), 80, &words.join(" "));
    }
}

#[test]
fn what_goes_into_a_file_has_eighty_columns_and_no_colours() {
    let fixture = Fixture::small();
    for words in commands(&fixture, 0) {
        let mut command = fixture.program();
        let output = command
            .args(&words)
            .env("CLICOLOR_FORCE", "0")
            .output()
            .unwrap();
        fits(&stdout(&output), 80, &words.join(" "));
        let errors = common::stderr(&output);
        assert!(
            !stdout(&output).contains('\u{1b}') && !errors.contains('\u{1b}'),
            "{errors}"
        );
        // Messages stay lines, which can be searched for.
        let messages = errors
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count();
        assert!(messages <= 1, "{errors}");
    }
}

#[test]
fn colours_are_only_for_terminals_that_are_not_asked_to_do_without() {
    if !has_script() {
        return;
    }
    let wrong = ["eval", "no-such-run"];
    let coloured = |environment: &[(&str, &str)]| {
        let (text, succeeded) = terminal(80, &wrong, environment);
        assert!(!succeeded && plain(&text).contains("error: "), "{text}");
        text.contains("\u{1b}[1;31m")
    };
    assert!(coloured(&[]));
    assert!(!coloured(&[("NO_COLOR", "1")]));
    assert!(!coloured(&[("TERM", "dumb")]));
}

#[test]
fn a_command_that_fails_announces_no_folder_that_it_deletes() {
    let fixture = Fixture::small();
    for json in [None, Some("--json")] {
        // After the data are read, and before the run begins.
        let init = fixture.arg("no-weights.safetensors");
        let output = fixture
            .train("none", &["--init", &init])
            .args(json)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(stdout(&output).contains("segments"), "{}", stdout(&output));
        assert!(!stdout(&output).contains("none"), "{}", stdout(&output));
        assert!(!fixture.path("none").exists());
    }
}
