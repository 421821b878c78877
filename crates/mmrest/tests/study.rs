//! Studies as their users start them: run, stopped, continued, failing, changed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mmrest_datatools::sample::{self, SampleConfig};
use serde_json::Value;

const VARIANTS: &str = r#"
title = "Two"
reference = "full"
seeds = 2
base = { train.epochs = 2 }
[[variant]]
name = "full"
[[variant]]
name = "no-bias"
title = "without bias"
set = { bias = false }
"#;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A small sample and a study of it, in a folder of their own.
    fn new(study: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = SampleConfig {
            videos: 12,
            ..SampleConfig::default()
        };
        sample::write(&config, &folder.path().join("sample")).unwrap();
        let bench = Self { folder };
        bench.write(study);
        bench
    }

    fn write(&self, study: &str) {
        std::fs::write(self.path("study.toml"), study).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mmrest"));
        let cache = self.path("cache");
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .args(["ablate", "sample", "--study"])
            .arg(self.path("study.toml"))
            .arg("--data")
            .arg(self.path("sample"))
            .arg("--bert")
            .arg(self.path("sample/bert"))
            .arg("--out")
            .arg(self.path("out"))
            .args(["--set", &format!("data.cache={cache:?}")])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    fn read(&self, name: &str) -> String {
        let path = self.path("out").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn summary(&self) -> Value {
        serde_json::from_str(&self.read("summary.json")).unwrap()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_study_that_is_stopped_goes_on_where_it_was() {
    let bench = Bench::new(VARIANTS);
    let long = VARIANTS.replace("train.epochs = 2", "train.epochs = 12, train.patience = 50");
    bench.write(&long);
    let mut child = bench.command(&[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.starts_with("full seed 1") && first.contains("valid mae"),
        "{first}"
    );
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{}", errors(&stopped));
    assert!(errors(&stopped).contains("the same command goes on"));
    let summary = bench.summary();
    assert_eq!(summary["runs"]["finished"], 1);
    assert_eq!(summary["variants"][1]["comparison"], Value::Null);
    let kept = bench.read("full/seed-1/run.json");

    let whole = bench.run(&["--jobs", "2"]);
    assert!(whole.status.success(), "{}", errors(&whole));
    assert!(
        out(&whole).contains("1 of 4 runs are finished already"),
        "{}",
        out(&whole)
    );
    assert_eq!(out(&whole).matches("valid mae").count(), 3);
    assert!(
        errors(&whole).contains("4 of 4 runs, best so far"),
        "{}",
        errors(&whole)
    );
    assert_eq!(
        bench.read("full/seed-1/run.json"),
        kept,
        "a finished run is kept"
    );
    summary_is_whole(&bench);

    let again = bench.run(&["--quiet"]);
    assert!(again.status.success() && out(&again).is_empty() && errors(&again).is_empty());
    assert_eq!(bench.read("full/seed-1/run.json"), kept);
}

/// Every part of the summary is there and agrees with what the runs wrote.
fn summary_is_whole(bench: &Bench) {
    let summary = bench.summary();
    assert_eq!(summary["runs"]["finished"], 4);
    for (index, name) in ["full", "no-bias"].into_iter().enumerate() {
        let variant = &summary["variants"][index];
        assert_eq!(variant["name"], name);
        assert_eq!(variant["seeds"], serde_json::json!([1, 2]));
        let mut mean = 0.0;
        for seed in [1, 2] {
            let metrics = bench.read(&format!("{name}/seed-{seed}/metrics.json"));
            let metrics: Value = serde_json::from_str(&metrics).unwrap();
            let mae = metrics["test"]["mae"].as_f64().unwrap();
            let value = variant["test"]["mae"]["values"][seed - 1].as_f64().unwrap();
            assert!((value - mae).abs() < 1e-12, "{value}, the run says {mae}");
            let chosen = variant["test_chosen"]["mae"]["values"][seed - 1]
                .as_f64()
                .unwrap();
            assert!(
                chosen <= mae,
                "chosen on test: {chosen}, by validation: {mae}"
            );
            mean += mae / 2.0;
        }
        let mae = &variant["test"]["mae"];
        let part = |name: &str| mae[name].as_f64().unwrap();
        assert!((part("mean") - mean).abs() < 1e-12);
        assert!(part("low") < mean && mean < part("high") && part("sd") > 0.0);
        assert!(variant["cost"]["seconds_per_step"].as_f64().unwrap() > 0.0);
        assert!(variant["cost"]["parameters"]["rest"].as_u64().unwrap() > 0);
    }
    let tested = &summary["variants"][1]["comparison"]["absolute_error"];
    let difference = tested["difference"].as_f64().unwrap();
    let mean = |index: usize| {
        summary["variants"][index]["test"]["mae"]["mean"]
            .as_f64()
            .unwrap()
    };
    assert!((difference - (mean(1) - mean(0))).abs() < 1e-6);
    assert!(tested["p"].as_f64().unwrap() > 0.0 && tested["p_holm"] == tested["p"]);
    assert_eq!(summary["mag_bert"][0]["parameters"], 1_222_656);
    let csv = bench.read("summary.csv");
    let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(csv.as_bytes())
        .records()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 2);
    let markdown = bench.read("summary.md");
    for part in ["without bias", "not honest", "1,351,680", "p (Holm)", "±"] {
        assert!(markdown.contains(part), "{part} is not in\n{markdown}");
    }
    let page = bench.read("report.html");
    assert!(page.contains("first run: The shared space"), "{page}");
    for part in ["without bias", "not honest", "1,351,680", "acc7 by variant"] {
        assert!(page.contains(part), "{part} is not on the page");
    }
    assert!(bench.path("out/pictures/variants-mae.svg").exists());
}

#[test]
fn a_run_that_fails_does_not_keep_the_others() {
    let failing = VARIANTS.replace("bias = false", "text.max_tokens = 100000");
    let bench = Bench::new(&failing);
    let output = bench.run(&["--seeds", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("error: 1 of 2 runs failed"),
        "{}",
        errors(&output)
    );
    assert!(
        out(&output).contains("no-bias seed 1  failed: "),
        "{}",
        out(&output)
    );
    let summary = bench.summary();
    assert_eq!(summary["runs"]["finished"], 1);
    let failed = &summary["failed"][0];
    assert_eq!(
        (&failed["variant"], &failed["seed"]),
        (&"no-bias".into(), &1.into())
    );
    assert!(
        failed["error"].as_str().unwrap().contains("max_tokens"),
        "{failed}"
    );
    assert!(bench.read("summary.md").contains("- no-bias seed 1 failed"));
}

#[test]
fn a_study_that_was_changed_is_refused_or_begun_afresh() {
    let bench = Bench::new(VARIANTS);
    let only = ["--only", "no-bias", "--seeds", "1", "--epochs", "1"];
    assert!(bench.run(&only).status.success());
    bench.write(&VARIANTS.replace("bias = false", "bias = false, loss.margin = 9.0"));
    let refused = bench.run(&only);
    assert_eq!(refused.status.code(), Some(1));
    let said = errors(&refused);
    assert!(
        said.contains("loss.margin = 3.0") && said.contains("--fresh"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let fresh = bench.run(&[&only[..], &["--fresh"]].concat());
    assert!(fresh.status.success(), "{}", errors(&fresh));
    assert!(
        bench
            .read("no-bias/seed-1/config.toml")
            .contains("margin = 9.0")
    );
    assert!(
        !bench.path("out/full").exists(),
        "--only leaves the others out"
    );
}

#[test]
fn png_is_refused_before_anything_is_trained_where_it_cannot_be_made() {
    if cfg!(feature = "png") {
        println!("skipped: this program makes PNG");
        return;
    }
    let bench = Bench::new(VARIANTS);
    let output = bench.run(&["--png"]);
    assert_eq!(output.status.code(), Some(1));
    let said = errors(&output);
    assert!(
        said.contains("built without PNG") && said.contains("mmrest/png"),
        "{said}"
    );
    assert!(!bench.path("out").exists());
}
