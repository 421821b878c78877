//! Runs the examples of the library crates, and compares them with the READMEs.
//!
//! `cargo test` builds the examples of every crate it tests. Where only this test is built they may be missing: those
//! are skipped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::workspace;

/// Every example: its crate's folder, and its name.
fn examples() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(workspace().join("crates")).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(entries) = std::fs::read_dir(folder.join("examples")) else {
            continue;
        };
        for entry in entries {
            let name = entry.unwrap().path();
            let name = name.file_stem().unwrap().to_str().unwrap().to_owned();
            found.push((folder.clone(), name));
        }
    }
    found.sort();
    found
}

/// What an example prints, run in an empty folder; none where it is not built.
fn printed(name: &str) -> Option<String> {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent()?.parent()?.join("examples").join(name);
    let built = built.with_extension(std::env::consts::EXE_EXTENSION);
    if !built.is_file() {
        println!(
            "skipped: {name} (no {}; `cargo test` builds it)",
            built.display()
        );
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(built)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The last number of the line that begins so.
fn figure(printed: &str, start: &str) -> f64 {
    let line = printed
        .lines()
        .find(|line| line.trim_start().starts_with(start));
    let line = line.unwrap_or_else(|| panic!("no {start:?} in\n{printed}"));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn every_library_crate_has_an_example_that_its_readme_shows() {
    let examples = examples();
    let mut libraries = 0;
    for folder in std::fs::read_dir(workspace().join("crates")).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.join("src/lib.rs").is_file() {
            continue;
        }
        libraries += 1;
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let own: Vec<_> = examples.iter().filter(|(of, _)| *of == folder).collect();
        assert!(!own.is_empty(), "{} has no example", folder.display());
        for (_, name) in own {
            let command = format!("cargo run --release --example {name}");
            assert!(
                readme.contains(&command),
                "{}: no {command:?}",
                folder.display()
            );
        }
    }
    assert_eq!(libraries, 10);
}

#[test]
fn every_example_runs() {
    for (_, name) in examples() {
        if let Some(printed) = printed(&name) {
            assert!(printed.lines().count() > 1, "{name} prints nothing");
        }
    }
}

#[test]
fn a_learned_metric_has_better_neighbours() {
    let Some(printed) = printed("learn_metric") else {
        return;
    };
    let before = figure(&printed, "Euclidean distance");
    let after = figure(&printed, "learned distance");
    assert!(before < 0.7 && after > 0.9, "{printed}");
}

#[test]
fn sequences_are_averaged_over_words() {
    let Some(printed) = printed("align_sequences") else {
        return;
    };
    let expected = [
        "what  pitch 220.0, energy 0.60",
        "dull  pitch 105.0, energy 0.20",
    ];
    for line in expected {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn own_data_are_trained_on_in_under_forty_lines() {
    let source = workspace()
        .join("crates")
        .join("mmrest-learner/examples/train_your_data.rs");
    let lines = std::fs::read_to_string(source).unwrap().lines().count();
    assert!(lines < 40, "{lines} lines");
    let Some(printed) = printed("train_your_data") else {
        return;
    };
    assert!(printed.starts_with("run "), "{printed}");
    let predictions = printed.lines().filter(|line| line.starts_with("segment "));
    let predictions: Vec<Vec<&str>> = predictions.map(|line| line.split(',').collect()).collect();
    assert_eq!(predictions.len(), 160);
    let off =
        |row: &Vec<&str>| (row[2].parse::<f64>().unwrap() - row[3].parse::<f64>().unwrap()).abs();
    let mean = predictions.iter().map(off).sum::<f64>() / 160.0;
    assert!(
        mean < 1.0,
        "labels run from -3 to 3; the predictions are {mean} off"
    );
}
