//! The program as its users start it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
    command.current_dir(workspace()).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn fail(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
    errors
}

/// The sample, and a run on it of two epochs.
struct Trained {
    folder: tempfile::TempDir,
    printed: String,
}

impl Trained {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("sample");
        let files = succeed(&["data", "sample", "--out", data.to_str().unwrap()]);
        assert_eq!(files.lines().count(), 8);
        let mut trained = Self {
            folder,
            printed: String::new(),
        };
        let run = trained.path("run");
        let arguments = trained.arguments(&["--epochs", "2", "--out", &run]);
        trained.printed = succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        trained
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_string()
    }

    /// `train sample` on this folder's data, with more arguments.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let bert = self.path("sample/bert");
        let data = self.path("sample");
        let first = ["train", "sample", "--data", &data, "--bert", &bert];
        first.iter().chain(more).map(|s| (*s).to_string()).collect()
    }

    fn json(&self, name: &str) -> serde_json::Value {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn a_run_is_trained_evaluated_and_used() {
    let trained = Trained::new();
    let lines: Vec<&str> = trained.printed.lines().collect();
    assert_eq!(lines.iter().filter(|l| l.starts_with("epoch ")).count(), 2);
    assert!(trained.printed.contains("600 segments of 60 videos"));
    let metrics = trained.json("run/metrics.json");
    assert_eq!(metrics["selection"], "valid_mae");
    let log = std::fs::read_to_string(trained.path("run/log.jsonl")).unwrap();
    assert!(log.lines().count() > 3);
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    evaluates(&trained, &metrics);
    predicts_lines(&trained);
    predicts_a_folder(&trained);
    predicts_a_packed_set(&trained);
    predicts_into_a_file(&trained);
    a_closed_pipe_is_no_error(&trained);
}

/// The same figures as the run wrote, to the last digit.
fn evaluates(trained: &Trained, metrics: &serde_json::Value) {
    let run = trained.path("run");
    for split in ["valid", "test"] {
        let printed = succeed(&["eval", &run, "--split", split, "--json"]);
        let figures: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(figures, metrics[split]);
    }
    let table = succeed(&["eval", &run]);
    let mae = metrics["test"]["mae"].to_string();
    assert!(table.contains(&mae), "{mae} is not in\n{table}");
}

fn predict(trained: &Trained, input: &str) -> Output {
    let mut child = program()
        .args(["predict", &trained.path("run"), "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn predicts_lines(trained: &Trained) {
    let input = "{\"id\": \"b\", \"text\": \"it was wonderful\"}\n\n{\"id\": \"a\", \"audio\": [[0,1,0,1,0,1,0,1,0,1]]}\n{}\n";
    let output = predict(trained, input);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let scored: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let ids: Vec<&str> = scored.iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["b", "a", "4"]);
    for line in &scored {
        let part = |name: &str| line[name].as_f64().unwrap();
        assert!((part("score") + part("bias") - part("prediction")).abs() < 1e-6);
        assert_eq!(line["clusters"].as_array().unwrap().len(), 2);
        let sentiment = line["clusters"][0]["sentiment"].as_i64().unwrap();
        assert!((-3..=3).contains(&sentiment));
    }
}

fn predicts_a_folder(trained: &Trained) {
    let (run, data, out) = (
        trained.path("run"),
        trained.path("sample"),
        trained.path("scores.jsonl"),
    );
    succeed(&["predict", &run, "--input", &data, "--output", &out]);
    assert_scores_as_evaluated(trained, &out);
}

/// The same data as a packed set, and what such files are refused for.
fn predicts_a_packed_set(trained: &Trained) {
    let (run, set, out) = (
        trained.path("run"),
        trained.path("sample.h5"),
        trained.path("packed.jsonl"),
    );
    let config = trained.folder.path().join("run/config.toml");
    let config = mmrest_learner::Config::load(&config, &[]).unwrap().data;
    let source = mmrest_data::open(&config, &workspace()).unwrap();
    let about = mmrest_data::packed::About::default();
    mmrest_data::packed::pack(source.as_ref(), true, about, Path::new(&set), &mut |_| true)
        .unwrap();
    succeed(&["predict", &run, "--input", &set, "--output", &out]);
    assert_scores_as_evaluated(trained, &out);
    let sequence = trained.path("sample/SAMPLE_Vision.csd");
    let errors = fail(&["predict", &run, "--input", &sequence]);
    assert!(errors.contains("give the folder it is in"), "{errors}");
    let pickles = workspace().join("crates/mmrest-data/tests/pickles/sims.pkl");
    let errors = fail(&["predict", &run, "--input", pickles.to_str().unwrap()]);
    assert!(errors.contains("vision has 2 features a frame"), "{errors}");
}

/// Every segment is scored as the run's own table has it.
fn assert_scores_as_evaluated(trained: &Trained, scores: &str) {
    let text = std::fs::read_to_string(scores).unwrap();
    assert_eq!(text.lines().count(), 600);
    let csv = std::fs::read_to_string(trained.path("run/predictions.csv")).unwrap();
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

/// A file of scores takes its place when all is scored; before that an older one stays.
fn predicts_into_a_file(trained: &Trained) {
    let (run, input, out) = (trained.path("run"), trained.path("in"), trained.path("out"));
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
    let names = std::fs::read_dir(trained.folder.path()).unwrap();
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
        &trained.path("sample"),
        "--output",
        "/dev/null",
    ]);
}

/// Nobody reads what is printed, as behind `| head`.
fn a_closed_pipe_is_no_error(trained: &Trained) {
    let (run, sample) = (trained.path("run"), trained.path("sample"));
    let again = trained.path("again");
    for arguments in [
        vec!["eval", &run],
        vec!["eval", &run, "--json"],
        vec!["predict", &run, "--input", &sample],
        vec!["data", "sample", "--out", &again],
    ] {
        let mut child = program()
            .args(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
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
    assert!(fail(&["train", "sample", "--set", "loss.eta=1"]).contains("loss.eta"));
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
        words.contains("no public address") && words.contains("--data"),
        "{words}"
    );
    let no_bert = fail(&[
        "train", "sample", "--data", sample, "--bert", nowhere, "--out", nowhere,
    ]);
    assert!(no_bert.contains("by --bert DIR; README.md"), "{no_bert}");
    assert!(fail(&["eval", nowhere]).contains(nowhere));
    assert!(fail(&["predict", nowhere, "--input", "-"]).contains(nowhere));
    #[cfg(not(feature = "cuda"))]
    assert!(fail(&["eval", nowhere, "--backend", "cuda"]).contains("cuda"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("sample");
    succeed(&["data", "sample", "--out", data.to_str().unwrap()]);
    let trained = Trained {
        folder,
        printed: String::new(),
    };
    let run = trained.path("run");
    let child = program()
        .args(trained.arguments(&["--epochs", "3", "--seed", "5", "--out", &run]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let first = Path::new(&run).join("checkpoints/epoch-0001");
    let patience = std::time::Instant::now();
    while !first.exists() {
        assert!(
            patience.elapsed().as_secs() < 300,
            "no checkpoint in five minutes"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(errors.contains("--resume"), "{errors}");
    let printed = succeed(&["train", "sample", "--out", &run, "--resume", "--json"]);
    let objects: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects[0], serde_json::json!({ "run": run }));
    assert!(objects[1]["note"].is_string(), "{printed}");
    assert!(objects.last().unwrap()["test"].is_object(), "{printed}");
    let epochs = std::fs::read_to_string(trained.path("run/epochs.csv")).unwrap();
    assert_eq!(epochs.lines().count(), 1 + 3);
}
