//! Damaged checkpoints and models are detected.

use std::path::Path;

use crate::common::{Fixture, fail_with};
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
    let damages: [(&str, Damage); 6] = [
        ("model.bpk", flip),
        ("optimizer.bpk", truncate),
        ("scheduler.bpk", remove),
        ("progress.json", flip),
        ("SHA256SUMS", truncate),
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
    ] {
        let path = run.join("model").join(file);
        let good = std::fs::read(&path).unwrap();
        flip(&path);
        assert!(fail_with(&mut eval()).contains(&format!("{file}: is damaged")));
        remove(&path);
        assert!(fail_with(&mut eval()).contains(&format!("lists \"{file}\", which is missing")));
        std::fs::write(&path, good).unwrap();
    }
    succeed(&mut eval());
    // A folder from before there were digests.
    remove(&run.join("model/SHA256SUMS"));
    succeed(&mut eval());
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
