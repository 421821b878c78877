//! Configurations, BERT directories, model folders, checkpoints.

use std::path::Path;
use std::sync::OnceLock;

use mmrest_mutation::mutator::Form;
use mmrest_mutation::read::{self, CONFIG};
use mmrest_mutation::seed::{self, Run};
use mmrest_mutation::trial::{Subject, Trial};

use crate::{anywhere, form, scratch, subjects, valid};

/// The one run of these tests.
pub(crate) fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| Run::train(&scratch().join("valid/run"), "paper"))
}

/// A line or a key.
fn at_a_key(_: &Path, refusal: &str) -> bool {
    let (_, said) = refusal.rsplit_once(CONFIG).unwrap_or_default();
    ["line ", "UTF-8", "recursion limit", "there is no key "]
        .iter()
        .any(|word| said.contains(word))
        || said.split([' ', ':', '`', '\'']).any(|word| {
            word.contains('.')
                || ["seed", "preset", "mmc", "bias", "metric", "figures"].contains(&word)
        })
}

#[test]
fn configurations() {
    Trial {
        kind: "config",
        subjects: vec![Subject::new(CONFIG, Form::Text, seed::config())],
        beside: vec![],
        read: &read::config,
        place: at_a_key,
    }
    .run(&scratch());
}

#[test]
fn bert_directories() {
    let folder = valid("bert");
    seed::bert(&folder);
    Trial {
        kind: "bert",
        subjects: subjects(&folder, &seed::files(&folder), form),
        beside: vec![],
        read: &read::bert,
        place: anywhere,
    }
    .run(&scratch());
}

/// burn's own reader of PyTorch's files.
#[test]
fn weights_of_pytorch() {
    let folder = valid("pytorch");
    seed::pytorch(&folder);
    let (weights, beside): (Vec<_>, Vec<_>) = seed::files(&folder)
        .into_iter()
        .partition(|path| path.extension().is_some_and(|e| e == "bin"));
    Trial {
        kind: "pytorch",
        subjects: subjects(&folder, &weights, |_| Form::Bytes),
        beside: subjects(&folder, &beside, form),
        read: &read::bert,
        place: anywhere,
    }
    .run(&scratch());
}

fn damage_model(kind: &'static str, run: &Run) {
    let folder = run.path().join("model");
    Trial {
        kind,
        subjects: subjects(&folder, &seed::files(&folder), form),
        beside: vec![],
        read: &read::model,
        place: anywhere,
    }
    .run(&scratch());
}

#[test]
fn model_folders() {
    damage_model("model", run());
}

/// Those keep the segments that predictions are made of.
#[test]
fn model_folders_of_a_kernel() {
    let run = Run::train(&scratch().join("valid/kernel-run"), "kernel");
    damage_model("kernel", &run);
}

/// Everything of the run below a folder of its own.
fn below(folder: &Path, name: &str) -> Vec<Subject> {
    let files = seed::files(&folder.join(name));
    let files: Vec<_> = files
        .iter()
        .map(|path| Path::new(name).join(path))
        .collect();
    subjects(folder, &files, form)
}

#[test]
fn checkpoints() {
    let folder = run().path();
    Trial {
        kind: "checkpoint",
        subjects: below(&folder, "checkpoints"),
        beside: below(&folder, "model"),
        read: &read::checkpoint,
        place: anywhere,
    }
    .run(&scratch());
}
