//! Ctrl-C ends every command with exit code 130 and leaves no unfinished file.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use common::{below, program, stderr};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Generates data that are large enough to be interrupted while they are processed.
fn made(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    let child = sample("2000", &data);
    assert!(child.wait_with_output().unwrap().status.success());
    data
}

fn sample(segments: &str, out: &Path) -> Child {
    let like = ["data", "sample", "--like", "mosei", "--config"];
    start(&[&like[..], &["--segments", segments, "--out", text(out)]].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn start(arguments: &[&str]) -> Child {
    program().args(arguments).spawn().unwrap()
}

/// What is hidden or unfinished in a folder, and in the folders in it.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let mut found = below(folder);
    found.retain(|path| {
        let parts = path.strip_prefix(folder).unwrap().iter();
        parts
            .into_iter()
            .any(|part| part.to_string_lossy().starts_with('.'))
    });
    found
}

/// Waits until something is being written in `folder`, presses Ctrl-C `times` times, and returns standard error.
fn press(child: Child, folder: &Path, times: usize) -> String {
    let begun = Instant::now();
    while unfinished(folder).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "nothing is written"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    for press in 0..times {
        if press > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        // One that has ended already cannot be told again.
        let _ = kill(pid, Signal::SIGINT);
    }
    let output = child.wait_with_output().unwrap();
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert_eq!(unfinished(folder), [] as [PathBuf; 0], "{errors}");
    assert!(errors.contains("interrupted"), "{errors}");
    errors
}

#[test]
fn data_that_are_being_made_are_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let child = sample("20000", folder.path());
    let errors = press(child, folder.path(), 1);
    assert!(errors.contains("once more to stop at once"), "{errors}");
    assert!(!folder.path().join("folds.json").exists());
}

#[test]
fn aligning_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = made(folder.path());
    let files =
        ["CMU_MOSEI_TimestampedWords.csd", "CMU_MOSEI_COVAREP.csd"].map(|file| data.join(file));
    for times in [1, 2] {
        let out = folder.path().join("aligned");
        let align = ["data", "align", "--reference", "words", "--out", text(&out)];
        let child = start(&[&align[..], &[text(&files[0]), text(&files[1])]].concat());
        press(child, &out, times);
        assert!(!out.join("words.csd").exists());
        let _ = std::fs::remove_dir(&out); // at once leaves the empty folder
    }
}

#[test]
fn packing_before_training_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = made(folder.path());
    let (run, cache) = (folder.path().join("run"), folder.path().join("cache"));
    let config = data.join("config.toml");
    let kept = format!("data.cache={cache:?}");
    for times in [1, 2] {
        let train = ["train", text(&config), "--set", &kept, "--out", text(&run)];
        press(start(&train), &cache, times);
        let left = std::fs::read_dir(&cache).into_iter().flatten().flatten();
        let sets = left.filter(|entry| entry.path().extension().is_some_and(|end| end == "h5"));
        assert_eq!(sets.count(), 0);
        assert!(!run.exists(), "a run that did not begin has no folder");
    }
}
