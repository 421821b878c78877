//! A run that version 0.1.0 wrote, with its keys and its model folder, is still read by every command that reads runs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use common::{Fixture, json_lines, stderr, stdout, succeed_with, workspace};

/// The run, on the sample that it was trained on, in a folder of its own.
fn old_run() -> (Fixture, PathBuf) {
    let fixture = Fixture::new();
    let stored = workspace().join("crates/mmrest/tests/fixtures/run-0.1.0");
    let run = fixture.path("old");
    copy(&stored, &run);
    (fixture, run)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The predictions that the old program wrote, by id.
fn predictions(run: &Path) -> BTreeMap<String, f64> {
    let mut rows = csv::Reader::from_path(run.join("predictions.csv")).unwrap();
    let rows = rows.deserialize::<BTreeMap<String, String>>();
    rows.map(|row| {
        let row = row.unwrap();
        (row["id"].clone(), row["prediction"].parse().unwrap())
    })
    .collect()
}

#[test]
fn eval_and_predict_give_what_the_old_program_wrote() {
    let (fixture, run) = old_run();
    let metrics = fixture.json("old/metrics.json");
    let mut eval = fixture.program();
    let eval = eval
        .arg("eval")
        .arg(&run)
        .arg("--data")
        .arg(fixture.path("sample"));
    // The sample's files name the version that wrote them.
    let eval = eval.args(["--split", "test", "--json", "--accept-changed-data"]);
    let told: Value =
        serde_json::from_str(stdout(&succeed_with(eval)).lines().last().unwrap()).unwrap();
    let mae = |value: &Value| value["mae"].as_f64().unwrap();
    let (expected, found) = (mae(&metrics["test"]), mae(&told));
    assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");

    let mut predict = fixture.program();
    let predict = predict.arg("predict").arg(&run).arg("--input");
    let predict = predict.arg(fixture.path("sample"));
    let output = succeed_with(predict);
    let told = stderr(&output);
    assert_eq!(
        told.matches("has no calibration.safetensors").count(),
        1,
        "{told}"
    );
    let scored = json_lines(&stdout(&output));
    let expected = predictions(&run);
    assert!(scored.len() > 100);
    for line in scored {
        let id = line["id"].as_str().unwrap();
        assert!(
            line["interval"].is_null() && line["label"].is_string(),
            "{line}"
        );
        let found = line["prediction"].as_f64().unwrap();
        let expected = expected[id];
        assert!(
            (found - expected).abs() < 1e-4,
            "{id}: {found} is not {expected}"
        );
    }
}

#[test]
fn report_draws_an_old_run() {
    let (fixture, run) = old_run();
    let mut report = fixture.program();
    succeed_with(report.arg("report").arg(&run));
    let page = fixture.read("old/report/report.html");
    assert!(
        page.contains("<svg") && page.contains("selected"),
        "{}",
        page.len()
    );
}
