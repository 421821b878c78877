//! `mmrest data align` as its users start it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use mmrest_data::csd::{self, ComputationalSequence, Entry, Features};

fn align(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
    command.current_dir(folder).stdin(Stdio::null());
    command
        .args(["data", "align"])
        .args(arguments)
        .output()
        .unwrap()
}

fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = align(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = align(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
    errors
}

/// Two words, four frames of the voice (one value is no number) and one label.
fn write(folder: &Path) {
    let numbers = |intervals: &[[f64; 2]], values: &[f32]| Entry {
        intervals: intervals.to_vec(),
        features: Features::Numeric {
            values: values.to_vec(),
            width: 1,
        },
    };
    let words = Entry {
        intervals: vec![[0.0, 0.5], [0.5, 1.0]],
        features: Features::Text(vec!["good".into(), "film".into()]),
    };
    let quarters = [[0.0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1.0]];
    let voice = numbers(&quarters, &[1.0, 3.0, f32::NAN, 8.0]);
    let labels = numbers(&[[0.0, 1.0]], &[2.0]);
    for (name, entry) in [("words", words), ("voice", voice), ("labels", labels)] {
        let metadata = csd::metadata(name, "made by a test");
        csd::write(
            &folder.join(format!("{name}.csd")),
            name,
            &metadata,
            [("video", entry)],
        )
        .unwrap();
    }
}

const FILES: [&str; 3] = ["words.csd", "voice.csd", "labels.csd"];

#[test]
fn words_then_labels() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let options = [
        "--reference",
        "words",
        "--collapse",
        "mean",
        "--collapse",
        "max",
        "--then",
        "labels",
    ];
    let mut arguments = [&options[..], &["--hard-unify", "--out", "aligned"], &FILES].concat();
    let printed = succeed(folder.path(), &arguments);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines[0],
        "1 shared ids, aligned to words (mean, max), then to labels"
    );
    assert_eq!(
        lines[2],
        "voice: 1 entries in, 1 out, 2 rows; non-finite values set to 0: 1"
    );
    assert_eq!(
        lines[4..],
        [
            "aligned/words.csd",
            "aligned/voice.csd",
            "aligned/labels.csd"
        ]
    );
    let voice = ComputationalSequence::open(&folder.path().join("aligned/voice.csd")).unwrap();
    assert_eq!(
        (voice.root(), voice.ids()),
        ("voice", &["video[0]".to_owned()][..])
    );
    let expected = Entry {
        intervals: vec![[0.0, 0.5], [0.5, 1.0]],
        features: Features::Numeric {
            values: vec![2.0, 3.0, 4.0, 8.0],
            width: 2,
        },
    };
    assert_eq!(voice.read("video[0]").unwrap(), expected);

    let error = fail(folder.path(), &arguments);
    assert!(
        error.contains("aligned/words.csd is there already; give --force"),
        "{error}"
    );
    arguments.extend(["--force", "--revert", "--json"]);
    let printed = succeed(folder.path(), &arguments);
    let told: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(told["files"][1], "aligned/voice.csd");
    assert_eq!(told["report"]["sequences"][1]["non_finite"], 1);
    let voice = ComputationalSequence::open(&folder.path().join("aligned/voice.csd")).unwrap();
    assert_eq!(voice.read("video").unwrap(), expected);
}

#[test]
fn a_wrong_name_or_function_is_told_with_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let arguments = |options: &[&'static str]| [options, &["--out", "aligned"], &FILES].concat();
    let error = fail(folder.path(), &arguments(&["--reference", "word"]));
    assert!(
        error.contains("\"word\"; there are words, voice, labels"),
        "{error}"
    );
    assert!(!folder.path().join("aligned").exists());
    let output = align(
        folder.path(),
        &arguments(&["--reference", "words", "--collapse", "sum"]),
    );
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("none of mean, max, min, first"), "{error}");
}
