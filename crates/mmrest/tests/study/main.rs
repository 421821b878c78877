//! Studies that are run, stopped, continued, that fail or are changed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod parts;
mod search;
mod slurm;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{Fixture, interrupt, program, stderr as errors, stdout as out, wait_for_checkpoint};
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
set = { model.mmrest.bias = false }
"#;

/// A small sample and a study of it, in a folder of their own.
struct Study(Fixture);

impl Study {
    fn new(study: &str) -> Self {
        let own = Self(Fixture::small());
        own.write(study);
        own
    }

    fn write(&self, study: &str) {
        std::fs::write(self.path("study.toml"), study).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let arg = |name| self.0.arg(name);
        let mut command = program();
        command
            .args(["ablate", "sample", "--study", &arg("study.toml")])
            .args(["--data", &arg("sample"), "--bert", &arg("sample/bert")])
            .args(["--out", &arg("out")])
            .args(["--set", &format!("data.cache={:?}", self.path("cache"))])
            .args(more);
        command
    }

    fn run(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    fn read(&self, name: &str) -> String {
        self.0.read(&format!("out/{name}"))
    }

    fn summary(&self) -> Value {
        self.0.json("out/summary.json")
    }
}

#[test]
fn a_study_that_is_stopped_goes_on_where_it_was() {
    let study = Study::new(VARIANTS);
    // Long enough that the second run does not end before the interrupt comes, on a busy machine too.
    let long = VARIANTS.replace("train.epochs = 2", "train.epochs = 30, train.patience = 50");
    study.write(&long);
    let mut child = study.command(&[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.contains("run") && first.contains("valid mae"),
        "{first}"
    );
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.starts_with("* full seed 1 "),
        "the best so far: {first}"
    );
    interrupt(&child);
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{}", errors(&stopped));
    assert!(errors(&stopped).contains("the same command goes on"));
    let summary = study.summary();
    assert_eq!(summary["runs"]["finished"], 1);
    assert_eq!(summary["variants"][1]["comparison"], Value::Null);
    let kept = study.read("full/seed-1/run.json");

    let whole = study.run(&["--jobs", "2"]);
    assert!(whole.status.success(), "{}", errors(&whole));
    assert!(
        out(&whole).contains("1 of 4 runs are finished already"),
        "{}",
        out(&whole)
    );
    assert_eq!(out(&whole).matches(" seed ").count(), 3);
    assert!(out(&whole).contains(" 4/4 "), "{}", out(&whole));
    assert!(out(&whole).lines().all(|line| line.len() <= 80));
    assert_eq!(
        study.read("full/seed-1/run.json"),
        kept,
        "a finished run is kept"
    );
    summary_is_whole(&study);

    let again = study.run(&["--quiet"]);
    assert!(again.status.success() && out(&again).is_empty() && errors(&again).is_empty());
    assert_eq!(study.read("full/seed-1/run.json"), kept);
}

/// Every part of the summary is there and agrees with what the runs wrote.
fn summary_is_whole(study: &Study) {
    let summary = study.summary();
    assert_eq!(summary["runs"]["finished"], 4);
    for (index, name) in ["full", "no-bias"].into_iter().enumerate() {
        let variant = &summary["variants"][index];
        assert_eq!(variant["name"], name);
        assert_eq!(variant["seeds"], serde_json::json!([1, 2]));
        let mut mean = 0.0;
        for seed in [1, 2] {
            let metrics = study.read(&format!("{name}/seed-{seed}/metrics.json"));
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
    assert!(tested["p"].is_null() && tested["p_holm"].is_null());
    assert_eq!(
        summary["variants"][1]["comparison"]["untested"],
        "2 seeds, a test needs at least 3"
    );
    let cost = &summary["variants"][0]["cost"];
    assert_eq!(
        cost["own_parameters"].as_u64().unwrap()
            + cost["parameters"]["text_encoder"].as_u64().unwrap(),
        cost["parameters"]["total"].as_u64().unwrap()
    );
    let csv = study.read("summary.csv");
    let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(csv.as_bytes())
        .records()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 2);
    let markdown = study.read("summary.md");
    for part in [
        "without bias",
        "not honest",
        "No p for",
        "p (Holm)",
        "±",
        "videos",
    ] {
        assert!(markdown.contains(part), "{part} is not in\n{markdown}");
    }
    let page = study.read("report.html");
    assert!(page.contains("first run: The shared space"), "{page}");
    for part in ["without bias", "not honest", "acc7 by variant"] {
        assert!(page.contains(part), "{part} is not on the page");
    }
    assert!(study.path("out/pictures/variants-mae.svg").exists());
    let table = study.read("table.md");
    assert!(
        table.starts_with("| Method | Acc-2 ↑ | F1 ↑ | Acc-5 ↑ | Acc-7 ↑ | MAE ↓ | Corr ↑ |"),
        "{table}"
    );
    assert!(
        table.lines().count() == 6 && table.contains("**"),
        "{table}"
    );
    let latex = study.read("table.tex");
    assert!(
        latex.contains("without bias & ") && latex.contains("\\toprule"),
        "{latex}"
    );
}

#[test]
fn a_run_that_fails_does_not_keep_the_others() {
    let failing = VARIANTS.replace("model.mmrest.bias = false", "text.max_tokens = 100000");
    let study = Study::new(&failing);
    let output = study.run(&["--seeds", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("error: 1 of 2 runs failed"),
        "{}",
        errors(&output)
    );
    assert!(
        out(&output).contains("no-bias seed 1 failed: "),
        "{}",
        out(&output)
    );
    let summary = study.summary();
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
    assert!(study.read("summary.md").contains("- no-bias seed 1 failed"));
}

/// The processes that train below a folder.
fn training_below(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.contains(" train ") && line.contains(folder)).then_some(line)
    });
    lines.collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_study_that_is_killed_takes_its_runs_with_it_and_can_be_started_at_once() {
    let study = Study::new(VARIANTS);
    let long = VARIANTS.replace(
        "train.epochs = 2",
        "train.epochs = 3000, train.patience = 3000",
    );
    study.write(&long);
    let mut child = study.command(&["--jobs", "2"]).spawn().unwrap();
    wait_for_checkpoint(&study.path("out/full/seed-1"), &mut child);
    assert!(!training_below(&study.path("out")).is_empty());
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    // Once with the runs that are about to end.
    let refused = study.run(&["--set", "train.batch_size=8"]);
    assert!(errors(&refused).contains("--fresh"), "{}", errors(&refused));
    let began = std::time::Instant::now();
    while !training_below(&study.path("out")).is_empty() {
        assert!(
            began.elapsed() < std::time::Duration::from_secs(20),
            "a run goes on alone"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    study.write(&VARIANTS.replace("train.epochs = 2", "train.epochs = 1"));
    let whole = study.run(&["--fresh", "--seeds", "1"]);
    assert!(whole.status.success(), "{}", errors(&whole));
}

#[test]
fn a_study_whose_data_are_missing_fails_before_its_runs() {
    let study = Study::new(VARIANTS);
    for (gone, said) in [
        ("sample/bert/vocab.txt", "vocab.txt"),
        ("sample/SAMPLE_Labels.csd", "SAMPLE_Labels.csd"),
    ] {
        let file = study.path(gone);
        let kept = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let output = study.run(&[]);
        assert_eq!(output.status.code(), Some(1));
        let said_now = errors(&output);
        assert!(
            said_now.contains(said) && !said_now.contains("runs failed"),
            "{said_now}"
        );
        assert!(!study.path("out/full").exists() && !study.path("out/summary.md").exists());
        std::fs::write(&file, kept).unwrap();
    }
}

#[test]
fn a_study_that_was_changed_is_refused_or_begun_afresh() {
    let study = Study::new(VARIANTS);
    let only = ["--only", "no-bias", "--seeds", "1", "--epochs", "1"];
    assert!(study.run(&only).status.success());
    study.write(&VARIANTS.replace(
        "model.mmrest.bias = false",
        "model.mmrest.bias = false, model.mmrest.dropout = 0.4",
    ));
    let refused = study.run(&only);
    assert_eq!(refused.status.code(), Some(1));
    let said = errors(&refused);
    assert!(
        said.contains("model.mmrest.dropout = 0.1") && said.contains("--fresh"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let plan = study.run(&[&only[..], &["--fresh", "--plan"]].concat());
    assert!(plan.status.success(), "{}", errors(&plan));
    let plan = common::json_lines(&out(&plan));
    let changed = plan
        .iter()
        .find(|line| line["variant"] == "no-bias")
        .unwrap();
    assert_eq!(changed["state"], "new");
    let command = changed["command"].as_str().unwrap();
    assert!(command.contains(" --fresh --task "), "{command}");
    let options = ["--fresh", "--slurm", "--gpus", "1"];
    let jobs = study.run(&[&only[..], &options].concat());
    assert!(jobs.status.success(), "{}", errors(&jobs));
    assert!(out(&jobs).contains("compute on the CPU"), "{}", out(&jobs));
    let array = study.read("slurm/array.sh");
    assert!(array.contains(" --fresh --task "), "{array}");
    assert!(!study.read("slurm/collect.sh").contains("--fresh"));
    let fresh = study.run(&[&only[..], &["--fresh"]].concat());
    assert!(fresh.status.success(), "{}", errors(&fresh));
    assert!(
        study
            .read("no-bias/seed-1/config.toml")
            .contains("dropout = 0.4")
    );
    assert!(
        !study.path("out/full").exists(),
        "--only leaves the others out"
    );
    let of = |summary: Value| -> Vec<String> {
        let variants = summary["variants"].as_array().unwrap().clone();
        variants
            .iter()
            .map(|v| v["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(of(study.summary()), ["no-bias"]);
    let other = study.run(&["--only", "full", "--seeds", "1", "--epochs", "1"]);
    assert!(other.status.success(), "{}", errors(&other));
    assert_eq!(
        of(study.summary()),
        ["full"],
        "what was not asked for is not listed"
    );
    let all = study.run(&["--collect", "--seeds", "1", "--epochs", "1"]);
    assert!(all.status.success(), "{}", errors(&all));
    assert_eq!(of(study.summary()), ["full", "no-bias"]);
}

/// The CPU has one device, so a run on another one fails and names it: that stands in for a machine with several.
#[test]
fn runs_at_a_time_have_different_devices() {
    let study = Study::new(VARIANTS);
    let one = ["--epochs", "1", "--seeds", "1", "--jobs", "2"];
    let both = study.run(&[&one[..], &["--devices", "0,1"]].concat());
    assert_eq!(both.status.code(), Some(1), "{}", errors(&both));
    let said = out(&both);
    let failed: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(" failed: "))
        .collect();
    assert_eq!(failed.len(), 1, "{said}");
    assert!(
        said.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("found device 1"),
        "{said}"
    );
    assert_eq!(study.summary()["runs"]["finished"], 1);
    // By default a run at a time for each device.
    let same = study.run(&[&one[..4], &["--devices", "0,0"]].concat());
    assert!(same.status.success(), "{}", errors(&same));
}

#[test]
fn png_is_refused_before_anything_is_trained_where_it_cannot_be_made() {
    if cfg!(feature = "png") {
        println!("skipped: this program makes PNG");
        return;
    }
    let study = Study::new(VARIANTS);
    let output = study.run(&["--png"]);
    assert_eq!(output.status.code(), Some(1));
    let said = errors(&output);
    assert!(
        said.contains("without the feature 'png'") && said.contains("cargo xtask"),
        "{said}"
    );
    assert!(!study.path("out").exists());
}

#[test]
fn a_study_tells_programs_what_happens() {
    let study = Study::new(VARIANTS);
    let events = |more: &[&str]| -> Vec<Value> {
        let output = study.run(&[&["--seeds", "1", "--json"], more].concat());
        assert!(output.status.success(), "{}", errors(&output));
        let lines = out(&output);
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    };
    let whole = events(&[]);
    for variant in ["full", "no-bias"] {
        let of: Vec<&Value> = whole
            .iter()
            .filter(|event| event["variant"] == variant)
            .collect();
        let kinds: Vec<&str> = of
            .iter()
            .map(|event| event["event"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["run started", "epoch", "epoch", "run finished"]);
        assert!(
            of.iter()
                .all(|event| event["seed"] == 1 && event["fold"] == Value::Null)
        );
        assert_eq!((&of[2]["epoch"], &of[2]["epochs"]), (&2.into(), &2.into()));
        assert!(of[3]["valid"]["mae"].is_f64() && of[3]["test"]["mae"].is_f64());
    }
    let last = whole.last().unwrap();
    assert_eq!(
        (&last["event"], &last["summary"]),
        (&"summary".into(), &study.summary())
    );
    assert!(PathBuf::from(last["report"].as_str().unwrap()).is_file());

    let again = events(&["--task", "1"]);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["note"], "no-bias seed 1 is finished already");
}
