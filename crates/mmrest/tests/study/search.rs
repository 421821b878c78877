//! Searches: judged by validation, and silent about the test split until they are closed.

use serde_json::Value;

use crate::common::{stderr as errors, stdout as out};
use crate::{Study, VARIANTS};

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_search_leads_with_validation_and_hides_the_test_split_until_it_is_closed() {
    let search = r#"
[[search]]
method = "grid"
space = { model.mmrest.gamma = [0.3, 0.6] }
"#;
    let study = Study::new(&format!("{VARIANTS}{search}"));
    let some = study.run(&["--seeds", "1", "--only", "full,gamma=0.3"]);
    assert!(some.status.success(), "{}", errors(&some));
    let other = study.run(&["--seeds", "1", "--only", "full", "--collect"]);
    assert!(other.status.success(), "{}", errors(&other));
    assert!(!out(&some).contains("test"), "{}", out(&some));
    std::fs::remove_dir_all(study.path("out/gamma=0.3/seed-1")).unwrap();
    let open = study.run(&["--seeds", "1", "--collect"]);
    assert!(open.status.success(), "{}", errors(&open));
    assert!(
        errors(&open).contains("best by validation so far: full"),
        "{}",
        errors(&open)
    );
    let summary = study.summary();
    assert_eq!(summary["search"]["closed"], false);
    for variant in summary["variants"].as_array().unwrap() {
        assert!(variant["test"]["mae"]["mean"].is_null(), "{variant}");
        assert!(variant["comparison"].is_null());
    }
    let markdown = study.read("summary.md");
    assert!(
        markdown.contains("The search goes on") && !markdown.contains("Test split"),
        "{markdown}"
    );
    assert!(!study.read("summary.csv").contains("test_mae"));
    assert!(!study.read("report.html").contains("Test split"));

    let whole = study.run(&["--seeds", "1", "--jobs", "2"]);
    assert!(whole.status.success(), "{}", errors(&whole));
    assert!(!out(&whole).contains("  test "), "{}", out(&whole));
    let summary = study.summary();
    assert_eq!(summary["search"]["closed"], true);
    let best = text(&summary["search"]["best"]);
    let command = text(&summary["search"]["command"]);
    assert!(
        command.contains("train sample") && command.contains("--set train.epochs=2"),
        "{command}"
    );
    let mut least = f64::INFINITY;
    let mut lowest = "";
    for variant in summary["variants"].as_array().unwrap() {
        let name = text(&variant["name"]);
        let mae = variant["valid"]["mae"]["mean"].as_f64().unwrap();
        if mae < least {
            (least, lowest) = (mae, name);
        }
        let told = variant["test"]["mae"]["mean"].is_number();
        assert_eq!(told, name == best || name == "full", "{name}");
    }
    assert_eq!(lowest, best);
    assert!(errors(&whole).contains(&format!("best by validation: {best}, mae {least:.4}")));
    let markdown = study.read("summary.md");
    let at = |part: &str| {
        markdown
            .find(part)
            .unwrap_or_else(|| panic!("{part}: {markdown}"))
    };
    assert!(at("Validation split") < at("Test split"));
}

#[test]
fn a_point_that_cannot_run_keeps_a_search_open_until_it_is_skipped() {
    let search = |skip: &str| {
        let variants = "title = \"One\"\nreference = \"full\"\nseeds = 1\nbase = { train.epochs = 1 }\n\
                        [[variant]]\nname = \"full\"\n";
        format!(
            "{variants}[[search]]\nmethod = \"grid\"\n{skip}space = {{ text.max_tokens = [20, 100000] }}\n"
        )
    };
    let study = Study::new(&search(""));
    for _ in 0..2 {
        let failed = study.run(&[]);
        assert_eq!(failed.status.code(), Some(1));
        let said = errors(&failed);
        assert!(said.contains("1 of") && said.contains("`skip`"), "{said}");
        assert_eq!(study.summary()["search"]["closed"], false);
        let markdown = study.read("summary.md");
        assert!(markdown.contains("`skip`"), "{markdown}");
        assert!(!markdown.contains("Test split"), "{markdown}");
    }
    study.write(&search("skip = [\"max_tokens=9\"]\n"));
    let unknown = crate::common::fail_with(&mut study.command(&[]));
    assert!(unknown.contains("no point 'max_tokens=9'"), "{unknown}");
    study.write(&search("skip = [\"max_tokens=100000\"]\n"));
    let whole = study.run(&[]);
    assert!(whole.status.success(), "{}", errors(&whole));
    assert_eq!(study.summary()["search"]["closed"], true);
    let markdown = study.read("summary.md");
    let skipped = "max_tokens=100000 was left out: its [[search]] skips it.";
    assert!(
        markdown.contains(skipped) && markdown.contains("Test split"),
        "{markdown}"
    );
}

#[test]
fn a_search_over_folds_says_that_its_winner_is_tested_where_it_was_chosen() {
    let search = "[[search]]\nmethod = \"grid\"\nspace = { model.mmrest.gamma = [0.3] }\n";
    let study = Study::new(&format!("{VARIANTS}{search}"));
    let folds = [
        "--folds", "3", "--seeds", "1", "--epochs", "1", "--jobs", "2",
    ];
    let open = study.run(&[&folds[..], &["--only", "full"]].concat());
    assert!(open.status.success(), "{}", errors(&open));
    let table = study.read("table.md");
    assert!(
        table.contains("each as validation of one of 3 folds")
            && !table.contains("cross-validation"),
        "{table}"
    );
    let closed = study.run(&folds);
    assert!(closed.status.success(), "{}", errors(&closed));
    for file in ["summary.md", "table.md", "report.html"] {
        let text = study.read(file);
        assert!(text.contains("on these same segments"), "{file}: {text}");
    }
    assert!(study.read("table.md").contains("3-fold cross-validation"));
}

#[test]
fn a_halving_stops_what_falls_behind_and_goes_on_with_the_best() {
    let study = r#"
title = "Halving"
reference = "full"
seeds = 1
base = { train.epochs = 4 }
[[variant]]
name = "full"
[[search]]
method = "halving"
samples = 4
epochs = 1
factor = 2
space = { train.learning_rate = { low = 1e-5, high = 1e-2, log = true } }
"#;
    let study = Study::new(study);
    let whole = study.run(&[]);
    assert!(whole.status.success(), "{}", errors(&whole));
    let said = out(&whole);
    for line in [
        "halving: 4 points to epoch 1",
        "halving: 2 points to epoch 2",
        "halving: 1 points to the end",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let summary = study.summary();
    assert_eq!(summary["search"]["closed"], true, "{}", summary["search"]);
    let dropped = summary["search"]["dropped"].as_array().unwrap();
    assert_eq!(dropped.len(), 3);
    let mut epochs: Vec<usize> = Vec::new();
    for variant in summary["variants"].as_array().unwrap() {
        let name = text(&variant["name"]);
        epochs.push(
            study
                .read(&format!("{name}/seed-1/epochs.csv"))
                .lines()
                .count()
                - 1,
        );
    }
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 1, 2, 4, 4]);
    let again = study.run(&[]);
    assert!(
        again.status.success() && !out(&again).contains("halving"),
        "{}",
        out(&again)
    );
}
