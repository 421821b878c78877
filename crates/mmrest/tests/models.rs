//! Every model does what the harness gives MMRest: training, resuming to the bit, evaluation, prediction with explanations,
//! reports, studies and serving.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::Command;

use mmrest_learner::config::ModelConfig;

use common::{Fixture, fail_with, json_lines, stdout, succeed_with};

/// Trains a model on the small sample.
fn train(fixture: &Fixture, model: &str, out: &str, more: &[&str]) -> Command {
    let name = format!("model.name={model}");
    let mut command = fixture.train(
        out,
        &["--quiet", "--set", &name, "--set", "train.batch_size=16"],
    );
    command.args(more);
    command
}

#[test]
fn every_model_is_trained_resumed_and_used() {
    let fixture = Fixture::small();
    for model in ModelConfig::NAMES {
        let [whole, parts] = ["whole", "parts"].map(|what| format!("{model}-{what}"));
        succeed_with(&mut train(&fixture, model, &whole, &["--epochs", "4"]));
        succeed_with(&mut train(&fixture, model, &parts, &["--epochs", "2"]));
        succeed_with(&mut train(
            &fixture,
            model,
            &parts,
            &["--epochs", "4", "--resume"],
        ));
        assert!(
            fixture.results(&whole) == fixture.results(&parts),
            "{model}"
        );

        let run = fixture.arg(&whole);
        let eval = succeed_with(fixture.program().args(["eval", &run, "--json"]));
        assert!(stdout(&eval).contains("mae"), "{model}");

        let input = fixture.path("lines.jsonl");
        std::fs::write(&input, "{\"id\": \"a\", \"text\": \"a wonderful film\"}\n").unwrap();
        let input = input.to_str().unwrap();
        let predict = ["predict", &run, "--input", input, "--explain"];
        let line = json_lines(&stdout(&succeed_with(fixture.program().args(predict)))).remove(0);
        let number = |value: &serde_json::Value| value.as_f64().unwrap();
        let explained = &line["explanation"];
        let sum = number(&explained["base"]) + number(&explained["contributions"]["text"]);
        assert!(
            (number(&line["prediction"]) - sum).abs() < 1e-4,
            "{model}: {line}"
        );
        let bounds = [0, 1].map(|bound| number(&line["interval"][bound]));
        assert!(bounds[0] < bounds[1], "{model}: {line}");
        let coverage = &fixture.json(&format!("{whole}/metrics.json"))["intervals"]["coverage"];
        assert!(number(coverage) > 0.5, "{model}: {coverage}");

        succeed_with(fixture.program().args(["report", &run]));
        let page = fixture.read(&format!("{whole}/report/report.html"));
        let losses = ModelConfig::default_of(model).unwrap().losses();
        for loss in losses {
            assert!(page.contains(loss), "{model}: no curve of {loss}");
        }
        let space = fixture.path(&format!("{whole}/geometry")).exists();
        assert_eq!(page.contains("The shared space"), space, "{model}");
    }
}

#[test]
fn several_devices_are_refused_before_the_run() {
    let fixture = Fixture::small();
    let told = fail_with(&mut train(
        &fixture,
        "self-mm",
        "run",
        &["--devices", "0,0"],
    ));
    assert!(told.contains("self-mm trains on one device"), "{told}");
    assert!(!fixture.path("run/config.toml").exists());
}

#[test]
fn models_are_compared_in_a_study() {
    let fixture = Fixture::small();
    let variant = |model: &&str| {
        format!("[[variant]]\nname = \"{model}\"\nset = {{ model.name = \"{model}\" }}\n")
    };
    let variants: String = ModelConfig::NAMES.iter().map(variant).collect();
    let study = format!(
        "title = \"Models\"\nreference = \"{}\"\nseeds = 2\n{variants}",
        ModelConfig::NAMES[0]
    );
    std::fs::write(fixture.path("study.toml"), study).unwrap();
    let [study, out, data] = ["study.toml", "study", "sample"].map(|name| fixture.arg(name));
    let bert = fixture.arg("sample/bert");
    let mut ablate = fixture.program();
    ablate.args([
        "ablate", "sample", "--study", &study, "--out", &out, "--data", &data,
    ]);
    ablate.args(["--bert", &bert, "--set", "train.epochs=1"]);
    succeed_with(&mut ablate);
    let summary = fixture.json("study/summary.json").to_string();
    for model in ModelConfig::NAMES {
        assert!(summary.contains(model), "{model}");
    }
}
