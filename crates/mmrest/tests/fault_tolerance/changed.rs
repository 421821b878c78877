//! A run is resumed with another configuration or other data only if the change is accepted explicitly.

use crate::common::{Fixture, fail_with};
use crate::succeed;

#[test]
fn a_changed_key_is_refused_unless_it_is_named() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let longer = ["--epochs", "2", "--resume"];
    let set = [
        "--set",
        "train.patience=7",
        "--set",
        "train.learning_rate=0.002",
    ];
    let resume = |more: &[&str]| fixture.train("run", &[&longer[..], &set, more].concat());
    let told = fail_with(&mut resume(&[]));
    assert!(
        told.contains("learning_rate = 0.001' there")
            && told.contains("--accept-changed train.learning_rate"),
        "{told}"
    );
    let told = fail_with(&mut resume(&["--accept-changed", "train.learning_rate"]));
    assert!(told.contains("--accept-changed train.patience"), "{told}");
    assert_eq!(fixture.epochs("run", "epoch"), [1.0]);

    succeed(&mut resume(&[
        "--accept-changed",
        "train.learning_rate,train.patience",
    ]));
    assert_eq!(fixture.epochs("run", "learning_rate"), [0.001, 0.002]);
    let record = fixture.json("run/run.json");
    let changes = &record["resumptions"][0]["changes"];
    assert_eq!(changes[0]["key"], "train.epochs");
    assert_eq!(changes[1]["key"], "train.learning_rate");
    assert_eq!(changes[1]["from"], 0.001);
    assert_eq!(changes[2]["to"], 7);
    // From now on they are the run's own.
    succeed(&mut fixture.train("run", &[&["--epochs", "3", "--resume"], &set[..]].concat()));
}

#[test]
fn what_a_checkpoint_cannot_follow_is_refused_however_it_is_named() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    for (key, value) in [
        ("model.mmrest.hidden", "32"),
        ("model.mmrest.clusters.clusters", "5"),
        ("seed", "9"),
        ("text.max_tokens", "20"),
        ("data.modalities", "[\"text\"]"),
    ] {
        let set = format!("{key}={value}");
        let resume = ["--resume", "--set", &set];
        let told = fail_with(&mut fixture.train("run", &resume));
        assert!(!told.contains("--accept-changed"), "{told}");
        let accepted = [&resume[..], &["--accept-changed", key]].concat();
        let told = fail_with(&mut fixture.train("run", &accepted));
        assert!(told.contains(&format!("another {key},")), "{told}");
    }
    let unknown = ["--resume", "--accept-changed", "train.patince"];
    let told = fail_with(&mut fixture.train("run", &unknown));
    assert!(told.contains("'train.patince' is not a key"), "{told}");
}

#[test]
fn a_kind_is_no_change_and_what_a_checkpoint_lacks_leaves_the_run_as_it_is() {
    let fixture = Fixture::small();
    let off = "model.mmrest.bias_at_evaluation=false";
    let preset = ["--set", "preset=kernel"];
    let begin = ["--epochs", "1", "--set", off];
    succeed(&mut fixture.train("run", &[&preset[..], &begin].concat()));
    let files = || ["run.json", "config.toml"].map(|file| fixture.read(&format!("run/{file}")));
    let before = files();
    let resume = |set: &[&str], key: &str| {
        let more = ["--epochs", "2", "--resume", "--accept-changed", key];
        let set = set.iter().flat_map(|set| ["--set", set]);
        let set: Vec<&str> = preset.into_iter().chain(more).chain(set).collect();
        fixture.train("run", &set)
    };
    let kind = "model.mmrest.projection.kind";
    let other = format!("{kind}=expectation");
    let told = fail_with(&mut resume(&[off, &other], kind));
    assert!(told.contains(&format!("another {kind},")), "{told}");
    // A checkpoint of a run without the kernel's bias has no segments to make one of.
    let key = "model.mmrest.bias_at_evaluation";
    let on = format!("{key}=true");
    let told = fail_with(&mut resume(&[&on], key));
    assert!(told.contains("holds no segments"), "{told}");
    assert_eq!(files(), before);
    succeed(&mut fixture.train("run", &[&preset[..], &["--resume", "--set", off]].concat()));
}

#[test]
fn changed_data_are_refused_unless_they_are_named() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let folds = fixture.path("sample/folds.json");
    let text = std::fs::read_to_string(&folds).unwrap();
    std::fs::write(&folds, format!("{text}\n")).unwrap();
    let longer = ["--epochs", "2", "--resume"];
    let told = fail_with(&mut fixture.train("run", &longer));
    assert!(
        told.contains("folds.json") && told.contains("--accept-changed data"),
        "{told}"
    );
    succeed(&mut fixture.train(
        "run",
        &[&longer[..], &["--accept-changed", "data"]].concat(),
    ));
    let record = fixture.json("run/run.json");
    let change = &record["resumptions"][0]["changes"][1];
    assert_eq!(change["key"], "data");
    let digests = |of: &serde_json::Value| {
        let files = of.as_array().unwrap().iter();
        files.map(|file| file["sha256"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(digests(&change["to"]), digests(&record["data_files"]));
    assert_ne!(digests(&change["from"]), digests(&change["to"]));
    // From now on they are the run's own.
    succeed(&mut fixture.train("run", &["--epochs", "3", "--resume"]));

    // The text encoder is part of what was trained.
    let config = fixture.path("sample/bert/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let other = text.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 2");
    assert_ne!(text, other);
    std::fs::write(&config, other).unwrap();
    let accepted = [
        "--epochs",
        "4",
        "--resume",
        "--accept-changed",
        "data,text.bert",
    ];
    assert!(fail_with(&mut fixture.train("run", &accepted)).contains("another text encoder"));
}

#[test]
fn a_model_is_asked_about_other_data_only_if_that_is_accepted() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let command = |name: &str, more: &[&str]| {
        let mut command = fixture.program();
        command.arg(name).arg(fixture.path("run")).args(more);
        command
    };
    let sample = fixture.arg("sample");
    let [eval, predict]: [(&str, Vec<&str>); 2] =
        [("eval", vec![]), ("predict", vec!["--input", &sample])];
    succeed(&mut command(eval.0, &eval.1));
    succeed(&mut command(predict.0, &predict.1));
    // A copy is no other data.
    std::fs::create_dir(fixture.path("copy")).unwrap();
    let folder = std::fs::read_dir(fixture.path("sample")).unwrap().flatten();
    let files: Vec<_> = folder
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    for file in &files {
        std::fs::copy(file, fixture.path("copy").join(file.file_name().unwrap())).unwrap();
    }
    let copy = fixture.arg("copy");
    succeed(&mut command("eval", &["--data", &copy]));

    let changed = |folder: &str| {
        let labels = files
            .iter()
            .find(|file| file.to_string_lossy().contains("abel"))
            .unwrap();
        let path = fixture.path(folder).join(labels.file_name().unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.push(0);
        std::fs::write(path, bytes).unwrap();
    };
    changed("copy");
    let told = fail_with(&mut command("eval", &["--data", &copy]));
    assert!(
        told.contains("copy") && told.contains("--accept-changed-data"),
        "{told}"
    );
    succeed(&mut command(
        "eval",
        &["--data", &copy, "--accept-changed-data"],
    ));
    // New data are none of the run's, however like them they are.
    succeed(&mut command("predict", &["--input", &copy]));

    changed("sample");
    for (name, more) in [eval, predict] {
        let told = fail_with(&mut command(name, &more));
        assert!(
            told.contains("sample") && told.contains("--accept-changed-data"),
            "{told}"
        );
        succeed(&mut command(
            name,
            &[&more[..], &["--accept-changed-data"]].concat(),
        ));
    }
    // Texts that may not be what was scored are no examples.
    let warned = succeed(&mut command("report", &[]));
    assert!(warned.contains("texts are left out"), "{warned}");
}
