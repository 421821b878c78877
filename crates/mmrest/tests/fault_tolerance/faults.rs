//! Errors of the system: no space, no permission, a folder that vanishes; and a second program on the same run.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use mmrest_learner::run::{FolderLock, RunFolder};

use crate::common::{
    Fixture, below, fail_with, program_in, stderr, stdout, succeed_with, wait_for_checkpoint,
};
use crate::succeed;

/// The same command, with files limited to `blocks` blocks of 512 bytes. What is written beyond is an error, or a signal
/// that ends a program which does not expect it.
fn limited(command: &Command, blocks: usize) -> Command {
    let script = format!("ulimit -f {blocks}; exec \"$@\"");
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &script, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(command.get_current_dir().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    limited
}

#[test]
fn without_space_the_last_checkpoint_is_kept_and_one_sentence_is_said() {
    let fixture = Fixture::small();
    let told = fail_with(&mut limited(&fixture.train("new", &["--epochs", "1"]), 40));
    assert!(
        told.contains("too large") && told.contains("cache"),
        "{told}"
    );
    assert!(
        !fixture.path("new").exists(),
        "a run that did not begin has a folder"
    );
    succeed(&mut fixture.train("whole", &["--epochs", "3"]));
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let before = below(&fixture.path("run/checkpoints"));
    for blocks in [40, 100] {
        let more = fixture.train("run", &["--epochs", "3", "--resume"]);
        let told = fail_with(&mut limited(&more, blocks));
        assert!(
            told.contains("too large") && told.contains("run/"),
            "{told}"
        );
        let after = below(&fixture.path("run/checkpoints"));
        assert!(before.iter().all(|path| after.contains(path)), "{after:?}");
    }
    succeed(&mut fixture.train("run", &["--epochs", "3", "--resume"]));
    assert!(fixture.results("run") == fixture.results("whole"));
    // Whatever is written is named.
    let scores = fixture.path("scores.jsonl");
    let mut predict = fixture.program();
    predict
        .arg("predict")
        .arg(fixture.path("run"))
        .arg("--input")
        .arg(fixture.path("sample"));
    let told = fail_with(&mut limited(predict.arg("--output").arg(&scores), 10));
    assert!(
        told.contains("scores.jsonl") && told.contains("too large"),
        "{told}"
    );
    assert!(!scores.exists());
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_at_first_and_a_warning_later() {
    let fixture = Fixture::small();
    std::fs::create_dir_all(fixture.path("folder/log.jsonl")).unwrap();
    let told = fail_with(&mut fixture.train("folder", &["--epochs", "1"]));
    assert!(told.contains("log.jsonl"), "{told}");
    if !std::path::Path::new("/dev/full").exists() {
        println!("skipped: there is no /dev/full");
        return;
    }
    std::fs::create_dir(fixture.path("full")).unwrap();
    symlink("/dev/full", fixture.path("full/log.jsonl")).unwrap();
    let warned = succeed(&mut fixture.train("full", &["--epochs", "1"]));
    assert_eq!(
        warned.matches("warning: cannot write").count(),
        1,
        "{warned}"
    );
    assert!(fixture.path("full/metrics.json").exists());
}

#[test]
fn a_folder_that_cannot_be_made_or_written_is_named() {
    let fixture = Fixture::small();
    std::fs::write(fixture.path("file"), "mine").unwrap();
    let told = fail_with(&mut fixture.train("file/run", &["--epochs", "1"]));
    assert!(told.contains("file"), "{told}");
    assert_eq!(fixture.read("file"), "mine");

    let closed = fixture.path("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = fixture.train("closed/run", &["--epochs", "1"]);
    if std::fs::write(closed.join("x"), "").is_ok() {
        // Who may do everything becomes somebody who may not.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(fixture.path(""), open).unwrap();
        std::fs::remove_file(closed.join("x")).unwrap();
        command.uid(65534).gid(65534);
    }
    match command.output() {
        Ok(output) => {
            let errors = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{errors}");
            assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
            assert!(
                errors.contains("closed") && errors.contains("denied"),
                "{errors}"
            );
        }
        Err(error) => println!("skipped: the program cannot be started by nobody: {error}"),
    }
}

/// A run of many epochs, once its first checkpoint is there.
fn long(fixture: &Fixture, out: &str) -> Child {
    let child = fixture.train(out, &["--epochs", "400", "--set", "train.patience=400"]);
    let mut child = { child }.spawn().unwrap();
    wait_for_checkpoint(&fixture.path(out), &mut child);
    child
}

#[test]
fn a_folder_that_vanishes_ends_the_run_and_what_was_in_it_is_whole() {
    let fixture = Fixture::small();
    let child = long(&fixture, "run");
    std::fs::rename(fixture.path("run"), fixture.path("away")).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
    let kept = std::fs::read_dir(fixture.path("away/checkpoints")).unwrap();
    let newest = kept
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_prefix("epoch-")?.parse::<usize>().ok()
        })
        .max();
    let two_more = (newest.unwrap() + 2).to_string();
    let patience = "train.patience=400";
    let more = ["--set", patience, "--epochs", &two_more];
    succeed(&mut fixture.train("whole", &more));
    succeed(&mut fixture.train("away", &[&more[..], &["--resume"]].concat()));
    assert!(fixture.results("away") == fixture.results("whole"));
}

#[test]
fn a_second_program_on_the_same_run_is_refused() {
    let fixture = Fixture::small();
    let mut child = long(&fixture, "run");
    let log = fixture.path("run/log.jsonl");
    for more in [&["--resume"][..], &[]] {
        let told = fail_with(&mut fixture.train("run", more));
        assert!(told.contains("another program"), "{told}");
    }
    assert!(log.exists() && child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    // The system has let go of the lock.
    let lock = RunFolder::new(fixture.path("run")).lock().unwrap();
    drop(lock);

    // One that has not begun yet is left alone too.
    let lock = RunFolder::new(fixture.path("new")).lock().unwrap();
    std::fs::write(fixture.path("new/log.jsonl"), "its own").unwrap();
    let told = fail_with(&mut fixture.train("new", &[]));
    assert!(told.contains("new is being worked on"), "{told}");
    assert_eq!(fixture.read("new/log.jsonl"), "its own");
    drop(lock);
}

#[test]
fn a_second_study_in_the_same_folder_is_refused() {
    let fixture = Fixture::small();
    let _lock = FolderLock::take(&fixture.path("study"), "study.lock").unwrap();
    let mut ablate = fixture.program();
    ablate
        .args(["ablate", "sample", "--out"])
        .arg(fixture.path("study"));
    let told = fail_with(&mut ablate);
    assert!(told.contains("study is being worked on"), "{told}");
}

#[test]
fn resuming_begins_where_no_run_is_and_leaves_a_finished_one_as_it_is() {
    let fixture = Fixture::small();
    let resume = ["--epochs", "1", "--resume"];
    succeed(&mut fixture.train("new", &resume));
    let results = fixture.results("new");
    let record = fixture.read("new/run.json");
    let said = succeed_with(&mut fixture.train("new", &resume));
    assert!(
        stdout(&said).contains("new is finished"),
        "{}",
        stdout(&said)
    );
    assert_eq!(fixture.results("new"), results);
    assert_eq!(fixture.read("new/run.json"), record);
    succeed(&mut fixture.train("new", &["--epochs", "2", "--resume"]));
    assert_eq!(fixture.epochs("new", "epoch"), [1.0, 2.0]);
}

#[test]
fn latest_is_the_run_that_began_last() {
    let fixture = Fixture::small();
    std::fs::create_dir(fixture.path("configs")).unwrap();
    let here = fixture.path("");
    let eval = || {
        let mut eval = program_in(&here);
        eval.args(["eval", "latest", "--json"]);
        eval
    };
    let none = eval().output().unwrap();
    assert!(!none.status.success() && stderr(&none).contains("there is no run under"));
    for (run, seed) in [("runs/b/first", "1"), ("runs/second", "2")] {
        succeed(&mut fixture.train(run, &["--epochs", "1", "--seed", seed]));
    }
    let told: serde_json::Value =
        serde_json::from_str(&stdout(&succeed_with(&mut eval()))).unwrap();
    let metrics = fixture.json("runs/second/metrics.json");
    let mae = |metrics: &serde_json::Value| metrics["mae"].as_f64().unwrap();
    assert!((mae(&told) - mae(&metrics["test"])).abs() < 1e-9, "{told}");
}

#[test]
fn what_a_killed_packing_left_is_cleared_by_the_next_and_a_living_one_s_is_not() {
    let fixture = Fixture::small();
    let cache = fixture.path("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join(".tmpDeadXX.tmp"), "half a set").unwrap();
    let living = mmrest_data::files::NewFile::create(&cache.join("other")).unwrap();
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let names = |cache: &std::path::Path| {
        let entries = std::fs::read_dir(cache).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with(".tmp"))
            .collect::<Vec<_>>()
    };
    let left = names(&cache);
    assert!(left.len() == 1 && left[0] != ".tmpDeadXX.tmp", "{left:?}");
    living.keep().unwrap();
    assert!(names(&cache).is_empty());
}
