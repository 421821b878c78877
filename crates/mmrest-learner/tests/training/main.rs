//! A run from its first file to its last, and the promises about it: resuming, repeating, evaluating.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixture;
mod forms;
mod intervals;
mod predicting;
mod schedules;
mod sentences;

use std::sync::Arc;

use mmrest_data::Split;
use mmrest_encoders::BertConfig;
use mmrest_learner::run::{Accepted, Outcome, evaluate_run, train};
use mmrest_learner::{Backend, open_device};

use fixture::*;

#[test]
fn a_run_writes_all_its_files_and_learns() {
    let _turn = turn();
    let fixture = Fixture::new();
    let metrics = fixture.train("run", &["train.epochs=12", "train.batch_size=8"]);
    let folder = fixture.run_folder("run");
    for file in [
        folder.config(),
        folder.record(),
        folder.epochs(),
        folder.metrics(),
        folder.predictions(),
        folder.model().join("weights.safetensors"),
        folder.model().join("state.json"),
        folder.model().join("features.json"),
        folder.model().join("bert/vocab.txt"),
    ] {
        assert!(file.exists(), "{}", file.display());
    }
    let rows = epochs_without_times(&folder);
    assert_eq!(rows.len(), 12);
    let first: f64 = rows[0][1].parse().unwrap();
    let last: f64 = rows[11][1].parse().unwrap();
    assert!(last < 0.8 * first, "loss {first} -> {last}");
    assert!(metrics.selected_epoch >= 1 && metrics.valid.mae().is_finite());
    let record: serde_json::Value = serde_json::from_str(&read(folder.record())).unwrap();
    assert_eq!(record["data_files"].as_array().unwrap().len(), 5);
    assert_eq!(record["seed"], 1);
    let predictions = read(folder.predictions());
    assert_eq!(
        predictions.lines().next().unwrap(),
        "id,split,label,prediction,score,bias,cluster,second_cluster,polarity,lower,upper"
    );
    assert_eq!(predictions.lines().count(), 1 + 120);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let _turn = turn();
    let fixture = Fixture::new();
    for (name, seed) in [("a", "seed=3"), ("b", "seed=3"), ("c", "seed=4")] {
        fixture.train(name, &["train.epochs=2", seed]);
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| fixture.run_folder(name));
    assert_same_run(&a, &b);
    assert!(read(a.predictions()) != read(c.predictions()));
}

/// The presets of MMRest.
const PRESETS: [&str; 4] = [
    "preset=kernel",
    "preset=paper",
    "preset=official",
    "preset=ordinal",
];

#[test]
fn a_stopped_run_resumes_to_the_very_same_end() {
    let _turn = turn();
    let fixture = Fixture::new();
    for preset in PRESETS {
        let whole = format!("whole-{preset}");
        fixture.train(&whole, &[preset]);
        for stop in [0, 1, 3] {
            let name = format!("stopped-{stop}-{preset}");
            let mut options = fixture.options(&name);
            options.observer = Arc::new(StopAfter {
                epoch: stop,
                interrupter: options.interrupter.clone(),
            });
            let outcome = train(&fixture.config(&[preset]), &options).unwrap();
            assert!(matches!(outcome, Outcome::Interrupted { epochs } if epochs == stop));
            let mut options = fixture.options(&name);
            options.resume = true;
            finished(train(&fixture.config(&[preset]), &options));
            assert_same_run(&fixture.run_folder(&whole), &fixture.run_folder(&name));
        }
    }
}

#[test]
fn recording_the_test_split_changes_nothing_else() {
    let _turn = turn();
    let fixture = Fixture::new();
    for preset in PRESETS {
        let [plain, recorded, stopped] = ["plain", "recorded", "stopped"]
            .map(|name| fixture.run_folder(&format!("{name}-{preset}")));
        let set = [preset, "train.record_test=true"];
        fixture.train(&format!("plain-{preset}"), &[preset]);
        let metrics = fixture.train(&format!("recorded-{preset}"), &set);
        assert!(read(plain.predictions()) == read(recorded.predictions()));
        assert_eq!(read(plain.metrics()), read(recorded.metrics()));
        let but_test = |folder| epoch_columns(folder, |name| !name.starts_with("test_"));
        assert_eq!(but_test(&plain), but_test(&recorded));
        let mae = epoch_columns(&recorded, |name| name == "test_mae");
        assert_eq!(mae[0], ["test_mae"]);
        let selected: f64 = mae[metrics.selected_epoch][0].parse().unwrap();
        assert_eq!(selected, metrics.test.mae());

        let mut options = fixture.options(&format!("stopped-{preset}"));
        options.observer = Arc::new(StopAfter {
            epoch: 2,
            interrupter: options.interrupter.clone(),
        });
        train(&fixture.config(&set), &options).unwrap();
        let mut options = fixture.options(&format!("stopped-{preset}"));
        options.resume = true;
        finished(train(&fixture.config(&set), &options));
        assert_same_run(&recorded, &stopped);
    }
}

#[test]
fn resuming_refuses_another_configuration_and_starting_refuses_a_used_folder() {
    let _turn = turn();
    let fixture = Fixture::new();
    fixture.train("run", &["train.epochs=1"]);
    let again = train(&fixture.config(&[]), &fixture.options("run")).unwrap_err();
    assert!(again.to_string().contains("resume it"), "{again}");
    let mut options = fixture.options("run");
    options.resume = true;
    let other = train(&fixture.config(&["model.mmrest.loss.margin=9"]), &options).unwrap_err();
    assert!(other.to_string().contains("margin"), "{other}");
    let folds = fixture.folder.path().join("data/sample/folds.json");
    let mut text = read(folds.clone());
    text.push('\n');
    std::fs::write(&folds, text).unwrap();
    let changed = train(&fixture.config(&["train.epochs=2"]), &options).unwrap_err();
    assert!(changed.to_string().contains("SHA-256"), "{changed}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let _turn = turn();
    let fixture = Fixture::new();
    fixture.train("whole", &["train.epochs=4"]);
    fixture.train("run", &["train.epochs=3"]);
    let folder = fixture.run_folder("run");
    let newest = folder.checkpoints().join("epoch-0003/optimizer.bpk");
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let mut options = fixture.options("run");
    options.resume = true;
    finished(train(&fixture.config(&["train.epochs=4"]), &options));
    assert_same_run(&fixture.run_folder("whole"), &folder);
    let less = train(&fixture.config(&["train.epochs=2"]), &options).unwrap_err();
    assert!(less.to_string().contains("4 epochs"), "{less}");
}

#[test]
fn the_cache_knows_the_encoder_by_weights_and_configuration() {
    let _turn = turn();
    let fixture = Fixture::new();
    let set = ["train.epochs=1", "text.freeze=true"];
    fixture.train("four-heads", &set);
    let config = fixture.folder.path().join("data/sample/bert/config.json");
    let text = read(config.clone());
    let fewer = text.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 2");
    assert_ne!(text, fewer);
    std::fs::write(config, fewer).unwrap();
    fixture.train("two-heads", &set);
    let [four, two] =
        ["four-heads", "two-heads"].map(|n| read(fixture.run_folder(n).predictions()));
    assert!(four != two);
    let cached = std::fs::read_dir(fixture.folder.path().join("runs/cache")).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let names: Vec<String> = cached
        .map(|e| name(e).to_string_lossy().into_owned())
        .collect();
    let of_text = names.iter().filter(|name| name.starts_with("text-"));
    // Three splits, and the text that a segment without text gets.
    assert_eq!(of_text.count(), 2 * 4, "{names:?}");
    let packed = names.iter().filter(|name| name.starts_with("data-"));
    assert_eq!(packed.count(), 1, "the same data, packed once: {names:?}");
}

#[test]
fn a_start_that_fails_does_not_take_the_folder() {
    let _turn = turn();
    let fixture = Fixture::new();
    let wrong = train(
        &fixture.config(&["text.bert=nowhere"]),
        &fixture.options("run"),
    )
    .unwrap_err();
    assert!(wrong.to_string().contains("nowhere"), "{wrong}");
    fixture.train("run", &["train.epochs=1"]);
}

#[test]
fn evaluation_repeats_the_figures_to_the_last_digit() {
    let _turn = turn();
    let fixture = Fixture::new();
    let device = open_device(Backend::Cpu, 0).unwrap();
    for set in [
        &[][..],
        &["preset=official"],
        &["preset=ordinal"],
        &["preset=kernel"],
        &["text.train_layers=1"],
        &["text.freeze=true"],
        &["data.modalities=[\"audio\"]"],
    ] {
        let name = format!("run-{}", set.join("-"));
        let mut all = vec!["train.epochs=2"];
        all.extend(set);
        let metrics = fixture.train(&name, &all);
        for (split, figures) in [(Split::Valid, metrics.valid), (Split::Test, metrics.test)] {
            let folder = fixture.run_folder(&name);
            let again = evaluate_run(
                &folder,
                split,
                None,
                fixture.folder.path(),
                &device,
                &Accepted::default(),
            )
            .unwrap();
            assert_eq!(format!("{:?}", again.figures), format!("{figures:?}"));
            assert!(again.predictions.iter().all(|p| p.near.len() == 2));
        }
    }
}

#[test]
fn the_text_encoders_dropout_is_its_own_unless_the_configuration_names_another() {
    let _turn = turn();
    let fixture = Fixture::new();
    let predictions = |name: &str, set: &[&str]| {
        fixture.train(name, &[&["train.epochs=2"], set].concat());
        read(fixture.run_folder(name).predictions())
    };
    let own = predictions("own", &[]);
    // The sample's encoder has 0.1.
    assert!(own == predictions("same", &["text.dropout=0.1"]));
    assert!(own != predictions("none", &["text.dropout=0"]));
    let kept = BertConfig::from_dir(&fixture.run_folder("none").model().join("bert")).unwrap();
    assert_eq!(
        (kept.hidden_dropout_prob, kept.attention_probs_dropout_prob),
        (0.0, 0.0)
    );
    // Untrained layers have none.
    let frozen = predictions("frozen", &["text.freeze=true"]);
    assert!(frozen == predictions("frozen-none", &["text.freeze=true", "text.dropout=0"]));
}
