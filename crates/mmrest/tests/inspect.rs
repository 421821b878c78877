//! `mmrest data inspect` and `mmrest data verify` as their users start them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mmrest"))
        .current_dir(workspace())
        .stdin(Stdio::null())
        .args(arguments)
        .output()
        .unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The folder of the sample, written anew.
fn sample() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("sample");
    let data = data.to_str().unwrap().to_owned();
    succeed(&["data", "sample", "--out", &data]);
    (folder, data)
}

/// The section that the inspector writes loads the data it was written for.
#[test]
fn the_configuration_it_writes_trains() {
    let (folder, data) = sample();
    let text = succeed(&["data", "inspect", &data]);
    let config = text
        .split("# a configuration that trains on these files:\n")
        .nth(1)
        .unwrap();
    let config = config.split("\n\n").next().unwrap();
    let parsed: toml::Table = toml::from_str(config).unwrap();
    let section = parsed["data"].clone();
    let section: mmrest_data::DataConfig = section.try_into().unwrap();
    let loaded = mmrest_data::load(&section, folder.path()).unwrap();
    assert_eq!(loaded.segments().count(), 600);
    assert!(text.contains("1 label outside -3 to 3"), "{text}");
    assert!(text.contains("marked ! above"), "{text}");
}

#[test]
fn everything_is_in_the_json_and_the_picture() {
    let (folder, data) = sample();
    let svg = folder.path().join("picture.svg");
    let printed = succeed(&[
        "data",
        "inspect",
        &data,
        "--json",
        "--plot",
        svg.to_str().unwrap(),
    ]);
    let all: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let files = all["files"].as_array().unwrap();
    assert_eq!(files.len(), 6);
    let labels = files.iter().find(|f| f["usable"]["role"] == "labels");
    assert_eq!(labels.unwrap()["labels"]["count"], 600);
    assert_eq!(all["together"]["in_all"], 60);
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg"));

    let five = succeed(&["data", "inspect", &data, "--label-range", "-1,1"]);
    assert!(five.contains("(-0.1, 0.1]") && five.contains("label_range = [-1.0, 1.0]"));
    assert_eq!(
        run(&["data", "inspect", &data, "--label-range", "0,5"])
            .status
            .code(),
        Some(2)
    );
    let nowhere = run(&["data", "inspect", &format!("{data}/nowhere")]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("nowhere"));
}

#[test]
fn what_is_not_as_known_is_exit_code_1() {
    let (_folder, data) = sample();
    let output = run(&["data", "verify", "mosi", &data]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("differs            label sequence"), "{text}");
    let output = run(&["data", "verify", "imdb", &data]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mosei-mmsa"));

    let real = workspace().join("../shared/data/mosi");
    if !real.is_dir() {
        println!("skipped: no {}", real.display());
        return;
    }
    let text = succeed(&[
        "data",
        "verify",
        "mosi-words",
        real.to_str().unwrap(),
        "--json",
    ]);
    let checks: serde_json::Value = serde_json::from_str(&text).unwrap();
    let checks = checks["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["outcome"] != "differs"));
}

#[test]
fn what_cannot_be_looked_at_is_one_sentence() {
    let (folder, data) = sample();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::create_dir(path("other")).unwrap();
    std::fs::write(path("other/notes.bin"), "hello").unwrap();
    let labels = format!("{data}/SAMPLE_Labels.csd");
    for (arguments, said) in [
        (vec![labels.clone(), labels.clone()], "is given twice"),
        (vec![data, labels], "is given twice"),
        (vec![path("empty")], "there is no file in this folder"),
        (
            vec![path("other")],
            "no file in this folder is of a kind that this program reads: notes.bin",
        ),
        (
            vec![path("nowhere")],
            "nowhere: there is no such file or folder",
        ),
    ] {
        let all = ["data", "inspect"].into_iter();
        let all: Vec<&str> = all.chain(arguments.iter().map(String::as_str)).collect();
        let output = run(&all);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains(said), "{errors}");
        assert!(output.stdout.is_empty());
    }
}
