//! A study in parts: folds of a cross-validation, and single runs by their number, as a cluster's scheduler starts them.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{fail_with, json_lines, stderr as errors, stdout as out};
use crate::{Study, VARIANTS};

/// Rows of `predictions.csv` by id: split and prediction.
fn predictions(study: &Study, run: &str) -> BTreeMap<String, (String, String)> {
    let text = study.read(&format!("{run}/predictions.csv"));
    let rows = text.lines().skip(1);
    let cells = rows.map(|row| row.split(',').collect::<Vec<_>>());
    cells
        .map(|cells| (cells[0].into(), (cells[1].into(), cells[3].into())))
        .collect()
}

#[test]
fn folds_test_every_segment_once_by_a_model_that_has_not_seen_its_video() {
    let study = Study::new(VARIANTS);
    let folds = [
        "--folds", "3", "--epochs", "1", "--seeds", "1", "--jobs", "2",
    ];
    let begun = study.run(&[&folds[..], &["--only", "full"]].concat());
    assert!(begun.status.success(), "{}", errors(&begun));
    let whole = study.run(&folds);
    assert!(whole.status.success(), "{}", errors(&whole));
    assert!(
        out(&whole).contains("3 of 6 runs are finished already"),
        "{}",
        out(&whole)
    );
    assert!(
        out(&whole).contains("no-bias seed 1 fold 3"),
        "{}",
        out(&whole)
    );

    let mut tested: BTreeMap<String, f64> = BTreeMap::new();
    let mut videos: BTreeMap<String, String> = BTreeMap::new();
    for fold in 1..=3 {
        for (id, (split, value)) in predictions(&study, &format!("full/seed-1/fold-{fold}")) {
            let video = id.split('[').next().unwrap().to_owned();
            let known = videos
                .entry(format!("{fold} {video}"))
                .or_insert(split.clone());
            assert_eq!(*known, split, "a video is whole: {id}");
            if split == "test" {
                assert!(tested.insert(id, value.parse().unwrap()).is_none());
            }
        }
    }
    let all = predictions(&study, "full/seed-1/fold-1").len();
    assert_eq!(tested.len(), all);
    let summary = study.summary();
    assert_eq!(summary["runs"]["folds"], 3);
    assert_eq!(summary["runs"]["finished"], 6);
    let variant = &summary["variants"][0];
    assert_eq!(variant["selected_epochs"].as_array().unwrap().len(), 3);
    assert_eq!(variant["seeds"], serde_json::json!([1]));
    let comparison = &summary["variants"][1]["comparison"];
    assert_eq!(comparison["segments"].as_u64().unwrap() as usize, all);
    assert_eq!(comparison["groups"], 12);
    // The error over all segments, from the folds' own files.
    let mut errors = 0.0;
    for fold in 1..=3 {
        let text = study.read(&format!("full/seed-1/fold-{fold}/predictions.csv"));
        for row in text.lines().skip(1) {
            let cells: Vec<&str> = row.split(',').collect();
            if cells[1] == "test" {
                errors +=
                    (cells[2].parse::<f64>().unwrap() - cells[3].parse::<f64>().unwrap()).abs();
            }
        }
    }
    let mae = variant["test"]["mae"]["mean"].as_f64().unwrap();
    assert!((mae - errors / all as f64).abs() < 1e-6, "{mae}");
    let markdown = study.read("summary.md");
    assert!(markdown.contains("All segments, 3 folds by video"));
    assert!(markdown.contains("minus reference, over all segments"));
    assert!(
        study
            .read("report.html")
            .contains("full, seed 1, all folds: Predictions")
    );
}

/// A summary without what differs from machine to machine, and between one and two runs at a time.
pub(super) fn comparable(study: &Study) -> Value {
    let mut summary = study.summary();
    for variant in summary["variants"].as_array_mut().unwrap() {
        let cost = variant["cost"].as_object_mut().unwrap();
        for key in ["seconds_per_step", "training_seconds", "peak_memory_mib"] {
            cost.remove(key);
        }
    }
    summary
}

#[test]
fn runs_that_are_started_one_by_one_come_to_the_same_summary() {
    let study = Study::new(VARIANTS);
    let whole = study.run(&["--jobs", "2"]);
    assert!(whole.status.success(), "{}", errors(&whole));
    let expected = comparable(&study);
    std::fs::remove_dir_all(study.path("out")).unwrap();

    let plan = json_lines(&out(&study.run(&["--plan"])));
    assert_eq!(plan.len(), 4);
    let names: Vec<String> = plan
        .iter()
        .map(|line| {
            format!(
                "{} {} {} {}",
                line["index"], line["variant"], line["seed"], line["state"]
            )
        })
        .collect();
    assert_eq!(names[1], "1 \"no-bias\" 1 \"new\"");
    let shell = |line: &Value| {
        let mut command = Command::new("bash");
        command.args(["-c", line["command"].as_str().unwrap()]);
        command
            .env("RAYON_NUM_THREADS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    // Stopped as a scheduler stops it.
    let many = "base = { train.epochs = 50, train.patience = 60 }";
    let long = Study::new(&VARIANTS.replace("base = { train.epochs = 2 }", many));
    let first = json_lines(&out(&long.run(&["--plan"]))).remove(0);
    let mut command = first["command"].as_str().unwrap().to_owned();
    command = command.replace(" && ", " && exec ");
    let mut child = Command::new("bash")
        .args(["-c", &command])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    assert_eq!(line, "full seed 1 epoch 1/50");
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(long.path("out/full/seed-1/config.toml").exists());
    assert!(!long.path("out/full/seed-1/metrics.json").exists());

    for line in &plan {
        let done = shell(line).output().unwrap();
        assert!(done.status.success(), "{}", errors(&done));
    }
    let again = shell(&plan[2]).output().unwrap();
    assert!(
        out(&again).contains("full seed 2 is finished already"),
        "{}",
        out(&again)
    );
    let beyond = fail_with(&mut study.command(&["--task", "4"]));
    assert!(beyond.contains("runs 0 to 3"), "{beyond}");
    assert!(!study.path("out/summary.json").exists());
    let collected = study.run(&["--collect"]);
    assert!(collected.status.success(), "{}", errors(&collected));
    assert_eq!(comparable(&study), expected);
}
