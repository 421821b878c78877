//! Runs the commands of the documentation that work on the built-in sample.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod documented;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use common::{program_in, stderr, workspace};
use documented::{Documented, commands};

/// A project with the sample and a run on it.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let project = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["configs", "data/folds"] {
            let target = project.folder.path().join(folder);
            std::fs::create_dir_all(&target).unwrap();
            for entry in std::fs::read_dir(workspace().join(folder)).unwrap() {
                let from = entry.unwrap().path();
                std::fs::copy(&from, target.join(from.file_name().unwrap())).unwrap();
            }
        }
        let train = [
            "train",
            "sample",
            "--epochs",
            "1",
            "--out",
            "runs/of-the-pages",
        ];
        let output = project.run(&train.map(String::from), None);
        assert!(output.status.success(), "{}", stderr(&output));
        project
    }

    fn run(&self, words: &[String], input: Option<&str>) -> Output {
        let mut child = program_in(self.folder.path())
            .args(words)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Whoever takes no input has closed it.
        let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// The words as they are run here: with the run that exists, files for patterns, and one epoch of training.
    fn words(&self, command: &Documented, number: usize) -> Vec<String> {
        let mut words = Vec::new();
        for word in &command.words {
            match word.strip_suffix("*.csd") {
                Some(folder) => words.extend(self.sequences(Path::new(folder))),
                None if is_run(word) => words.push("runs/of-the-pages".into()),
                None => words.push(word.clone()),
            }
        }
        let has = |words: &[String], option: &str| words.iter().any(|word| word == option);
        if words[0] == "train" {
            if !has(&words, "--epochs") {
                words.extend(["--epochs", "1"].map(String::from));
            }
            if !has(&words, "--out") {
                words.extend(["--out".into(), format!("runs/{number}")]);
            }
        }
        words
    }

    fn sequences(&self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join(folder)).unwrap();
        let names = entries.map(|entry| folder.join(entry.unwrap().file_name()));
        let mut names: Vec<PathBuf> = names
            .filter(|name| name.extension().is_some_and(|of| of == "csd"))
            .collect();
        names.sort();
        names
            .iter()
            .map(|name| name.to_str().unwrap().into())
            .collect()
    }

    /// Whether a command needs nothing but the sample and a run on it, and ends by itself.
    fn has_all_for(&self, command: &Documented) -> bool {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let on_sample = words
            .iter()
            .any(|word| *word == "sample" || is_run(word) || word.starts_with("data/sample"));
        let ends = !["serve", "help", "test", "lint", "bench", "doctor"].contains(&words[0]);
        // A path that is none here, or a word that stands for one.
        let stands_for =
            |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
        let absent = |word: &str| {
            let of_run = is_run(word) || word == "-" || word.ends_with("*.csd");
            !of_run && !self.folder.path().join(word).exists()
        };
        let inputs = words
            .windows(2)
            .filter(|pair| ["--input", "--data", "--bert"].contains(&pair[0]));
        let without = inputs.into_iter().any(|pair| absent(pair[1]));
        let resumes = words.contains(&"--resume");
        command.whole && on_sample && ends && !without && !resumes && !words.iter().any(stands_for)
    }
}

/// Whether a word stands for the run that `train sample` has made.
fn is_run(word: &str) -> bool {
    word == "$run" || word.starts_with("runs/sample/")
}

#[test]
fn commands_on_the_sample_run() {
    let project = Project::new();
    let mut ran = Vec::new();
    for (number, command) in commands().iter().enumerate() {
        if command.words.is_empty() || !project.has_all_for(command) {
            continue;
        }
        let words = project.words(command, number);
        if ran.contains(&words) {
            continue;
        }
        let output = project.run(&words, command.input.as_deref());
        assert!(
            output.status.success(),
            "{}: {words:?}: {}",
            command.place,
            stderr(&output)
        );
        ran.push(words);
    }
    let of = |name: &str| ran.iter().any(|words| words.join(" ").starts_with(name));
    for name in [
        "train",
        "eval",
        "predict",
        "report",
        "data inspect",
        "data align",
    ] {
        assert!(of(name), "no page runs {name} on the sample: {ran:?}");
    }
}
