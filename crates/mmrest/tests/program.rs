//! The program as its users start it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use common::{
    Fixture, fail, interrupt, json_lines, program, stderr, stdout, succeed, succeed_with, workspace,
};

#[test]
fn a_run_is_trained_evaluated_and_used() {
    let trained = Fixture::new();
    let again = trained.arg("again");
    let files = succeed(&["data", "sample", "--out", &again]);
    assert_eq!(files.lines().count(), 8);
    let printed = stdout(&succeed_with(&mut trained.train("run", &["--epochs", "2"])));
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.iter().filter(|l| l.contains("/2 ")).count(), 2);
    assert!(printed.contains("600 segments of 60 videos"));
    let metrics = trained.json("run/metrics.json");
    assert_eq!(metrics["selection"], "valid_mae");
    assert!(json_lines(&trained.read("run/log.jsonl")).len() > 3);
    is_not_begun_again(&trained);
    evaluates(&trained, &metrics);
    predicts_lines(&trained);
    predicts_a_folder(&trained);
    predicts_a_packed_set(&trained);
    predicts_into_a_file(&trained);
    a_closed_pipe_is_no_error(&trained);
}

/// A second run into the folder is refused before it is announced, and the run's own log stays as it is.
fn is_not_begun_again(trained: &Fixture) {
    let log = trained.read("run/log.jsonl");
    let output = trained.train("run", &[]).output().unwrap();
    let told = stderr(&output);
    assert!(told.contains("already holds a run: add --resume"), "{told}");
    assert_eq!(stdout(&output), "");
    assert_eq!(trained.read("run/log.jsonl"), log);
}

/// `eval` gives metrics identical to those that the run wrote.
fn evaluates(trained: &Fixture, metrics: &serde_json::Value) {
    let run = trained.arg("run");
    for split in ["valid", "test"] {
        let printed = succeed(&["eval", &run, "--split", split, "--json"]);
        let mut figures: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let intervals = figures.as_object_mut().unwrap().remove("intervals");
        assert_eq!(figures, metrics[split]);
        let of_run = Some(&metrics["intervals"]).filter(|_| split == "test");
        assert_eq!(intervals.as_ref(), of_run);
    }
    let intervals = &metrics["intervals"];
    assert_eq!(intervals["confidence"], 0.9);
    assert!((0.5..=1.0).contains(&intervals["coverage"].as_f64().unwrap()));
    let table = succeed(&["eval", &run]);
    let mae = format!("{:.3}", metrics["test"]["mae"].as_f64().unwrap());
    assert!(table.contains(&mae), "{mae} is not in\n{table}");
}

fn predict(trained: &Fixture, input: &str) -> Output {
    predict_with(trained, &[], input)
}

fn predict_with(trained: &Fixture, options: &[&str], input: &str) -> Output {
    let mut child = program()
        .args(["predict", &trained.arg("run"), "--input", "-"])
        .args(options)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn predicts_lines(trained: &Fixture) {
    let input = "{\"id\": \"b\", \"text\": \"it was wonderful\"}\n\n{\"id\": \"a\", \"audio\": [[0,1,0,1,0,1,0,1,0,1]]}\n{}\n";
    let output = predict(trained, input);
    assert!(output.status.success());
    let scored = json_lines(&stdout(&output));
    let ids: Vec<&str> = scored.iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["b", "a", "4"]);
    for line in &scored {
        let part = |name: &str| line[name].as_f64().unwrap();
        assert!((part("score") + part("bias") - part("prediction")).abs() < 1e-6);
        assert_eq!(line["clusters"].as_array().unwrap().len(), 2);
        let sentiment = line["clusters"][0]["sentiment"].as_i64().unwrap();
        assert!((-3..=3).contains(&sentiment));
        let bounds = [0, 1].map(|n| line["interval"][n].as_f64().unwrap());
        assert!(
            -3.0 <= bounds[0] && bounds[0] < bounds[1] && bounds[1] <= 3.0,
            "{line}"
        );
        let named = match part("prediction") {
            y if y <= -0.5 => "negative",
            y if y >= 0.5 => "positive",
            _ => "neutral",
        };
        assert_eq!(line["label"], named);
    }
    let width = |line: &serde_json::Value| {
        line["interval"][1].as_f64().unwrap() - line["interval"][0].as_f64().unwrap()
    };
    let sure = predict_with(trained, &["--confidence", "0.5"], input);
    let sure = json_lines(&stdout(&sure));
    for (wide, narrow) in scored.iter().zip(&sure) {
        assert!(width(narrow) < width(wide), "{narrow} {wide}");
    }
    let told = stderr(&predict_with(trained, &["--confidence", "0.9999"], input));
    assert!(
        told.contains("too few for intervals at a confidence of 0.9999, which needs 9999"),
        "{told}"
    );
}

fn predicts_a_folder(trained: &Fixture) {
    let (run, data, out) = (
        trained.arg("run"),
        trained.arg("sample"),
        trained.arg("scores.jsonl"),
    );
    succeed(&["predict", &run, "--input", &data, "--output", &out]);
    assert_scores_as_evaluated(trained, &out);
}

/// The same data as a packed set; and other files, which are refused.
fn predicts_a_packed_set(trained: &Fixture) {
    let (run, set, out) = (
        trained.arg("run"),
        trained.arg("sample.h5"),
        trained.arg("packed.jsonl"),
    );
    let config = trained.path("run/config.toml");
    let config = mmrest_learner::Config::load(&config, &[]).unwrap().data;
    let source = mmrest_data::open(&config, &workspace()).unwrap();
    let about = mmrest_data::packed::About::default();
    mmrest_data::packed::pack(source.as_ref(), true, about, Path::new(&set), &mut |_| true)
        .unwrap();
    succeed(&["predict", &run, "--input", &set, "--output", &out]);
    assert_scores_as_evaluated(trained, &out);
    let sequence = trained.arg("sample/SAMPLE_Vision.csd");
    let errors = fail(&["predict", &run, "--input", &sequence]);
    assert!(errors.contains("give the folder it is in"), "{errors}");
    let pickles = workspace().join("crates/mmrest-data/tests/pickles/sims.pkl");
    let errors = fail(&["predict", &run, "--input", pickles.to_str().unwrap()]);
    assert!(errors.contains("vision has 2 features a frame"), "{errors}");
}

/// Every segment has the same score as in the run's own table.
fn assert_scores_as_evaluated(trained: &Fixture, scores: &str) {
    let text = std::fs::read_to_string(scores).unwrap();
    assert_eq!(text.lines().count(), 600);
    let csv = trained.read("run/predictions.csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let known: std::collections::BTreeMap<String, f64> = reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            (record[0].to_string(), record[3].parse().unwrap())
        })
        .collect();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let (id, prediction) = (&line["id"], line["prediction"].as_f64().unwrap());
        assert!(
            (known[id.as_str().unwrap()] - prediction).abs() < 1e-4,
            "{id}"
        );
    }
}

/// A file of scores appears when it is complete; before that an older one stays.
fn predicts_into_a_file(trained: &Fixture) {
    let (run, input, out) = (trained.arg("run"), trained.arg("in"), trained.arg("out"));
    let good = "{\"text\": \"fine\"}\n";
    std::fs::write(&out, "older").unwrap();
    fail(&["predict", &run, "--input", &input, "--output", &out]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "older");
    std::fs::write(&input, good).unwrap();
    assert!(fail(&["predict", &run, "--input", &input, "--output", &input]).contains("input"));
    assert_eq!(std::fs::read_to_string(&input).unwrap(), good);
    std::fs::write(&input, format!("{good}{good}{{\"sound\": 1}}\n")).unwrap();
    let strict = ["predict", &run, "--strict", "--input", &input, "--output"];
    let errors = fail(&[&strict[..], &[&out]].concat());
    assert!(errors.contains("line 3"), "{errors}");
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 2);
    let names = std::fs::read_dir(trained.path("")).unwrap();
    let left = names.map(|entry| entry.unwrap().file_name());
    assert!(
        !left
            .into_iter()
            .any(|n| n.to_string_lossy().starts_with(".tmp"))
    );
    #[cfg(unix)]
    succeed(&[
        "predict",
        &run,
        "--input",
        &trained.arg("sample"),
        "--output",
        "/dev/null",
    ]);
}

/// Nobody reads what is printed, as behind `| head`.
fn a_closed_pipe_is_no_error(trained: &Fixture) {
    let (run, sample) = (trained.arg("run"), trained.arg("sample"));
    let again = trained.arg("again");
    for arguments in [
        vec!["eval", &run],
        vec!["eval", &run, "--json"],
        vec!["predict", &run, "--input", &sample],
        vec!["data", "sample", "--out", &again],
    ] {
        let mut child = program().args(&arguments).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let errors = stderr(&output);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    }
}

#[test]
fn what_is_wrong_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    assert!(fail(&["train", "no-such-config"]).contains("mosi-words"));
    assert!(fail(&["train", "sample", "--set", "model.mmrest.eta=1"]).contains("eta"));
    let sample = folder.path().join("sample");
    let sample = sample.to_str().unwrap();
    succeed(&["data", "sample", "--out", sample]);
    let bert = format!("{sample}/bert");
    let without_data = |config| {
        let scratch = ["--bert", &bert, "--set", "text.from_scratch=true"];
        let arguments = ["train", config, "--data", nowhere, "--out", nowhere];
        fail(&[&arguments[..], &scratch].concat())
    };
    let missing = without_data("mosi");
    for part in ["CMU_MOSI_COVAREP.csd", "http://", nowhere] {
        assert!(missing.contains(part), "{missing}");
    }
    assert!(
        !Path::new(nowhere).exists(),
        "a run that did not begin left a folder"
    );
    let words = without_data("mosi-words");
    assert!(
        words.contains("github.com/thuiar/MMSA") && words.contains("--data"),
        "{words}"
    );
    let no_bert = fail(&[
        "train", "sample", "--data", sample, "--bert", nowhere, "--out", nowhere,
    ]);
    assert!(
        no_bert.contains("by --bert DIR; 'cargo xtask data fetch bert'"),
        "{no_bert}"
    );
    let minilm = format!("{nowhere}/minilm");
    let no_minilm = fail(&[
        "train", "sample", "--data", sample, "--bert", &minilm, "--out", nowhere,
    ]);
    let fetch = format!("data fetch bert:sentence-transformers/all-MiniLM-L6-v2 --out {minilm}");
    assert!(no_minilm.contains(&fetch), "{no_minilm}");
    assert!(fail(&["eval", nowhere]).contains(nowhere));
    assert!(fail(&["predict", nowhere, "--input", "-"]).contains(nowhere));
    #[cfg(not(feature = "cuda"))]
    assert!(fail(&["eval", nowhere, "--backend", "cuda"]).contains("cuda"));
}

#[test]
fn a_dashboard_that_cannot_be_shown_is_one_error_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let error = fail(&["train", "sample", "--tui", "--out", run.to_str().unwrap()]);
    if cfg!(feature = "tui") {
        assert!(error.contains("--tui needs a terminal"), "{error}");
    } else {
        assert!(error.contains("without the feature 'tui'"), "{error}");
        assert!(
            error.contains("'cargo xtask' builds one with it where --tui is given"),
            "{error}"
        );
    }
    assert!(!run.exists());
    for other in ["--json", "--quiet"] {
        let output = program()
            .args(["train", "sample", "--tui", other])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{other}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done_and_says_how_to_go_on() {
    let trained = Fixture::new();
    let run = trained.arg("run");
    let options = ["--epochs", "10", "--seed", "5", "--log", "tensorboard"];
    let mut train = trained.train("run", &options);
    let mut child = train.spawn().unwrap();
    common::wait_for_checkpoint(&trained.path("run"), &mut child);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(errors.contains("--log tensorboard --out"), "{errors}");
    assert!(errors.contains("--resume"), "{errors}");
    let printed = succeed(&["train", "sample", "--out", &run, "--resume", "--json"]);
    let objects = json_lines(&printed);
    assert_eq!(objects[0], serde_json::json!({ "run": run }));
    assert!(objects[1]["note"].is_string(), "{printed}");
    assert!(objects.last().unwrap()["test"].is_object(), "{printed}");
    let epochs = trained.read("run/epochs.csv");
    assert_eq!(epochs.lines().count(), 1 + 10);
}
