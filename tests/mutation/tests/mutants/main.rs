//! Ten thousand damaged inputs of every kind: none makes a reader panic, hang, or take the machine's memory, and every
//! refusal names file and place. An input is named by its kind and its number, and is the same on every machine.
//!
//! `MMREST_MUTATIONS=1000000 cargo xtask test --test mutants` searches longer; `MMREST_REASONS=1 .. -- --nocapture` shows
//! what was refused, and why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod data;
mod media;
mod model;
mod regressions;

use std::path::{Path, PathBuf};

use mmrest_mutation::memory::Counted;
use mmrest_mutation::mutator::Form;
use mmrest_mutation::trial::Subject;

#[global_allocator]
static COUNTED: Counted = Counted;

/// Where the tests' files are.
fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Where valid inputs are made.
fn valid(kind: &str) -> PathBuf {
    let folder = scratch().join("valid").join(kind);
    drop(std::fs::remove_dir_all(&folder));
    folder
}

/// The files of a folder, each to be damaged.
fn subjects(folder: &Path, files: &[PathBuf], form: impl Fn(&Path) -> Form) -> Vec<Subject> {
    let subject = |path: &PathBuf| {
        let bytes = std::fs::read(folder.join(path)).unwrap();
        Subject::new(path, form(path), vec![bytes])
    };
    files.iter().map(subject).collect()
}

/// What is known of a file by its name.
fn form(path: &Path) -> Form {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Form::Safetensors,
        Some("bpk") => Form::Record,
        Some("csd" | "h5") => Form::Hdf5,
        _ => Form::Text,
    }
}

/// For files in which a place has no name.
fn anywhere(_: &Path, _: &str) -> bool {
    true
}
