//! The program outside a checkout of the project, as after `cargo install`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::process::Output;

use common::{program_in, stderr, stdout};

fn mmrest(folder: &Path, arguments: &[&str]) -> Output {
    program_in(folder).args(arguments).output().unwrap()
}

#[test]
fn the_sample_is_trained_on_in_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    let output = mmrest(folder.path(), &["train", "sample", "--epochs", "1"]);
    let printed = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        printed.contains("wrote the built-in sample to"),
        "{printed}"
    );
    let report = printed.lines().last().unwrap();
    assert!(report.contains(": mmrest report "), "{report}");
    assert!(!printed.contains("cargo xtask"), "{printed}");
    assert!(
        folder
            .path()
            .join("data/sample/SAMPLE_Labels.csd")
            .is_file()
    );
    let run = report.rsplit(' ').next().unwrap();
    let output = mmrest(folder.path(), &["eval", run, "--split", "valid"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn configurations_and_folds_are_the_programs_own() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = ["--set", "text.from_scratch=true", "--out", "run"];
    let output = mmrest(folder.path(), &[&["train", "mosi"][..], &scratch].concat());
    assert_eq!(output.status.code(), Some(1));
    let errors = stderr(&output);
    assert!(errors.contains("CMU_MOSI_COVAREP.csd"), "{errors}");
    assert!(errors.contains("mmrest data fetch mosi"), "{errors}");
    assert!(!errors.contains("cargo xtask"), "{errors}");
    assert!(!errors.contains("folds"), "{errors}");
    let folds = std::fs::read_to_string(folder.path().join("data/folds/mosi.json")).unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/folds/mosi.json");
    assert_eq!(folds, std::fs::read_to_string(own).unwrap());
    let unknown = mmrest(folder.path(), &["train", "no-such"]);
    assert!(stderr(&unknown).contains("mosi-words"));
    let study = mmrest(
        folder.path(),
        &["ablate", "no-such", "--study", "sensitivity"],
    );
    assert!(stderr(&study).contains("no configuration 'no-such'"));
}

#[test]
fn completions_and_manual_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = mmrest(folder.path(), &["completions", "bash"]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("complete -F _mmrest"));
    let wrong = mmrest(folder.path(), &["completions", "cmd"]);
    assert_eq!(wrong.status.code(), Some(2));
    let output = mmrest(folder.path(), &["man", "--out", "man/man1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for path in stdout(&output).lines() {
        assert!(folder.path().join(path).is_file(), "{path}");
    }
    let page = std::fs::read_to_string(folder.path().join("man/man1/mmrest-predict.1")).unwrap();
    assert!(page.contains("\\-\\-explain"));
}
