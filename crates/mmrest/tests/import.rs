//! `mmrest data import` as its users start it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output};

fn import(arguments: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
    command.args(["data", "import"]).args(arguments);
    command.output().unwrap()
}

#[test]
fn a_release_becomes_a_packed_set_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let pickles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mmrest-data/tests/pickles");
    let out = folder.path().join("sims.h5");
    let output = import(&[
        &pickles.join("sims.pkl"),
        "--label-range".as_ref(),
        "-0.5,0.5".as_ref(),
        "--out".as_ref(),
        &out,
    ]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.contains("4 segments") && printed.contains("2 labels were clamped"),
        "{printed}"
    );
    assert_eq!(printed.lines().last(), out.to_str());
    assert!(out.is_file());
}

#[test]
fn a_pickle_that_would_run_something_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.pkl");
    std::fs::write(&path, b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").unwrap();
    let out = folder.path().join("bad.h5");
    let output = import(&[&path, "--out".as_ref(), &out]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("byte 2: asks for os.system"), "{errors}");
    assert!(!out.exists());
}
