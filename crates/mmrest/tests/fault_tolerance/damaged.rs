//! Damaged checkpoints and models are detected.

use std::path::Path;

use crate::common::{Fixture, fail_with, unseal};
use crate::succeed;

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

fn truncate(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() / 3]).unwrap();
}

fn remove(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("whole", &["--epochs", "3"]));
    succeed(&mut fixture.train("begun", &["--epochs", "2"]));
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 7] = [
        ("model.bpk", flip),
        ("optimizer.bpk", truncate),
        ("scheduler.bpk", remove),
        ("progress.json", flip),
        ("SHA256SUMS", truncate),
        ("SHA256SUMS", remove),
        ("model.bpk", remove),
    ];
    for (number, (file, damage)) in damages.into_iter().enumerate() {
        let run = format!("run-{number}");
        copy(&fixture.path("begun"), &fixture.path(&run));
        damage(&fixture.path(&run).join("checkpoints/epoch-0002").join(file));
        let warned = succeed(&mut fixture.train(&run, &["--epochs", "3", "--resume"]));
        let named = warned.lines().find(|line| {
            line.contains("epoch-0002") && line.contains("trying the checkpoint before")
        });
        assert!(
            named.is_some_and(|line| line.contains(file)),
            "{file}: {warned}"
        );
        assert!(
            fixture
                .read(&format!("{run}/log.jsonl"))
                .contains("epoch-0002")
        );
        assert!(fixture.results(&run) == fixture.results("whole"), "{file}");
    }
}

#[test]
fn where_no_checkpoint_is_whole_one_sentence_says_so() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("run", &["--epochs", "3"]));
    for epoch in [2, 3] {
        flip(&fixture.path(&format!("run/checkpoints/epoch-000{epoch}/optimizer.bpk")));
    }
    let told = fail_with(&mut fixture.train("run", &["--epochs", "4", "--resume"]));
    for part in [
        "epoch-0003",
        "epoch-0002",
        "optimizer.bpk",
        "start a new run",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(fixture.path("run/metrics.json").exists());
}

#[test]
fn a_damaged_model_is_refused_by_the_name_of_the_file() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let run = fixture.path("run");
    let eval = || {
        let mut command = fixture.program();
        command.arg("eval").arg(&run).arg("--json");
        command
    };
    for file in [
        "weights.safetensors",
        "state.json",
        "bert/vocab.txt",
        "config.toml",
        "calibration.safetensors",
        "neighbours.safetensors",
    ] {
        let path = run.join("model").join(file);
        let good = std::fs::read(&path).unwrap();
        flip(&path);
        assert!(fail_with(&mut eval()).contains(&format!("{file}: is damaged")));
        remove(&path);
        if file == "neighbours.safetensors" {
            succeed(&mut eval()); // a model may be passed on without
        } else {
            let missing = format!("lists \"{file}\", which is missing");
            assert!(fail_with(&mut eval()).contains(&missing));
        }
        std::fs::write(&path, good).unwrap();
    }
    succeed(&mut eval());
    // The card is for people: edited or removed, the model is the same.
    let card = run.join("model/README.md");
    std::fs::write(&card, "# My model\n").unwrap();
    let mut predict = fixture.program();
    predict
        .arg("predict")
        .arg(&run)
        .arg(fixture.path("text.jsonl"));
    std::fs::write(
        fixture.path("text.jsonl"),
        r#"{"text": "a wonderful film"}"#,
    )
    .unwrap();
    for said in [succeed(&mut eval()), succeed(&mut predict)] {
        assert!(
            !said.contains("README") && !said.contains("older"),
            "{said}"
        );
    }
    remove(&card);
    succeed(&mut eval());
    // The list itself: gone, shortened, edited.
    let list = run.join("model/SHA256SUMS");
    let whole = std::fs::read_to_string(&list).unwrap();
    let (_, shortened) = whole.split_once('\n').unwrap();
    for text in [shortened, &whole.replacen('a', "b", 1)] {
        std::fs::write(&list, text).unwrap();
        assert!(fail_with(&mut eval()).contains("SHA256SUMS: is damaged"));
    }
    remove(&list);
    assert!(fail_with(&mut eval()).contains("SHA256SUMS: is missing"));
    // And the file that says which there are: another epoch is no other model.
    std::fs::write(&list, &whole).unwrap();
    let stamp = run.join("model/model.json");
    let text = std::fs::read_to_string(&stamp).unwrap();
    std::fs::write(&stamp, text.replace("\"epoch\": 1", "\"epoch\": 2")).unwrap();
    assert!(fail_with(&mut eval()).contains("model.json: is damaged"));
    // A folder from before there were digests is read with a note.
    std::fs::write(&stamp, text).unwrap();
    let whole = std::fs::read(&list).unwrap();
    unseal(&run.join("model"));
    std::fs::write(&list, whole).unwrap();
    assert!(succeed(&mut eval()).contains("none of its files is missing cannot be checked"));
    remove(&list);
    assert!(succeed(&mut eval()).contains("no SHA256SUMS"));
}

#[test]
fn what_a_checkpoint_or_a_model_was_written_without_is_not_read() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("whole", &["--epochs", "2"]));
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let run = fixture.path("run");
    // No such file could be read.
    let plant = |file: &str| {
        let path = run.join(file);
        assert!(!path.exists(), "{file}");
        std::fs::write(path, "{").unwrap();
    };
    plant("checkpoints/epoch-0001/ema.safetensors");
    let said = succeed(&mut fixture.train("run", &["--epochs", "2", "--resume"]));
    assert!(said.contains("ema.safetensors: not read"), "{said}");
    assert!(fixture.results("run") == fixture.results("whole"));
    let eval = || {
        let mut command = fixture.program();
        command.arg("eval").arg(&run).arg("--json");
        command
    };
    for file in ["extraction.json", "encoder.safetensors"] {
        plant(&format!("model/{file}"));
        let said = succeed(&mut eval());
        assert!(said.contains(&format!("{file}: not read")), "{said}");
    }
    // What would change the tokens of every text.
    plant("model/bert/added_tokens.json");
    let told = fail_with(&mut eval());
    for part in ["added_tokens.json", "written without it: remove it"] {
        assert!(told.contains(part), "{told}");
    }
}

/// Flips a bit in each of many numbers in the middle of a file.
fn flip_numbers(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 8 * 4;
    for at in (middle..middle + 4000).step_by(4) {
        bytes[at + 3] ^= 1;
    }
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_packed_set_is_made_again_or_refused_where_it_is_the_source() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("whole", &["--epochs", "1"]));
    let cache = std::fs::read_dir(fixture.path("cache")).unwrap().flatten();
    let mut sets = cache.map(|entry| entry.path());
    let set = sets
        .find(|path| path.extension().is_some_and(|end| end == "h5"))
        .unwrap();
    let inspect = |set: &Path| {
        let mut command = fixture.program();
        command.args(["data", "inspect", "--check"]).arg(set);
        command
    };
    succeed(&mut inspect(&set));
    let whole = std::fs::read(&set).unwrap();
    flip_numbers(&set);
    assert!(fail_with(&mut inspect(&set)).contains("damaged: data-"));
    let mut eval = fixture.program();
    eval.arg("eval").arg(fixture.path("whole"));
    let warned = succeed(&mut eval);
    assert!(
        warned.contains("a packed set is damaged and made again"),
        "{warned}"
    );
    assert!(std::fs::read(&set).unwrap() == whole);
    flip_numbers(&set);
    let warned = succeed(&mut fixture.train("again", &["--epochs", "1"]));
    assert!(warned.contains("made again"), "{warned}");
    assert!(fixture.results("again") == fixture.results("whole"));

    // As the source it is all there is.
    let own = fixture.path("sample/set.h5");
    std::fs::write(&own, &whole).unwrap();
    let set = [
        "--epochs",
        "1",
        "--set",
        "data.kind=packed",
        "--set",
        "data.file=set.h5",
    ];
    succeed(&mut fixture.train("packed", &set));
    flip_numbers(&own);
    let told = fail_with(&mut fixture.train("refused", &set));
    assert!(told.contains("set.h5: packed set: /"), "{told}");
    let mut predict = fixture.program();
    predict
        .arg("predict")
        .arg(fixture.path("whole"))
        .arg("--input")
        .arg(&own);
    assert!(fail_with(&mut predict).contains("set.h5: packed set: /"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        if path.is_dir() {
            copy(&path, &target)
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}
