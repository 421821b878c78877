//! A power cut at any moment: what training and studies write is recorded, call by call; after every prefix of the calls the
//! disk is made as a cut would leave it, and the same command must come to the results of one that was never cut.
//!
//! `MMREST_POWER_CUTS=all` tries every state there is, instead of a sample.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod disk;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Fixture, succeed_with, workspace};
use disk::{Disk, Lasts, hash, records, write};

/// States that are tried, unless all are asked for.
const TRIED: usize = 24;

/// The library that records, compiled; none, with a note, without a C compiler or where nothing is loaded from the folder.
fn recorder(folder: &Path) -> Option<PathBuf> {
    let source = workspace().join("crates/mmrest/tests/power_cut/recorder.c");
    let library = folder.join("recorder.so");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library);
    let status = cc.arg(source).args(["-ldl", "-lpthread"]).status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: no C compiler");
        return None;
    }
    // Where the folder for temporary files is on a file system of no programs, it is not loaded, with a warning.
    let tried = Command::new("true").env("LD_PRELOAD", &library).output();
    if tried.is_ok_and(|tried| tried.stderr.is_empty()) {
        return Some(library);
    }
    println!("skipped: no library is loaded from {}", folder.display());
    None
}

/// A command that works in the fixture's folder `work`, which is replaced by what a cut leaves of it.
struct Work<'a> {
    fixture: &'a Fixture,
    command: &'a dyn Fn() -> Command,
    /// What it has to come to.
    results: &'a dyn Fn() -> Vec<String>,
}

impl Work<'_> {
    /// Records the command and repeats it after cuts.
    fn survives(&self) {
        let Some(library) = recorder(&self.fixture.path("")) else {
            return;
        };
        std::fs::create_dir(self.fixture.path("work")).unwrap();
        let root = self.fixture.path("work").canonicalize().unwrap();
        let log = self.fixture.path("log");
        let mut command = (self.command)();
        command.env("LD_PRELOAD", library);
        command
            .env("POWER_CUT_ROOT", &root)
            .env("POWER_CUT_LOG", &log);
        succeed_with(&mut command);
        let expected = (self.results)();
        let records = records(&std::fs::read(log).unwrap());
        self.is_whole(&root, &records);
        let states = self.states(&root, &records);
        let all = std::env::var("MMREST_POWER_CUTS").is_ok_and(|all| all == "all");
        let tried = if all {
            states.len()
        } else {
            TRIED.min(states.len())
        };
        println!(
            "{} calls, {} states, {tried} tried",
            records.len(),
            states.len()
        );
        assert!(
            records.len() > 100 && states.len() > 50,
            "hardly anything was recorded"
        );
        for number in 0..tried {
            let (cut, lasts) = states[number * states.len() / tried];
            let mut disk = Disk::new(&root);
            records[..cut].iter().for_each(|record| disk.replay(record));
            std::fs::remove_dir_all(&root).unwrap();
            write(&disk.left(lasts), &root);
            let output = (self.command)().output().unwrap();
            let said = common::stderr(&output);
            let around = &records[cut.saturating_sub(6)..cut];
            assert!(
                output.status.success(),
                "{cut}, {lasts:?}: {said} {around:?}"
            );
            let last = &records[cut - 1];
            assert!((self.results)() == expected, "{cut}, {lasts:?}: {last:?}");
        }
    }

    /// What all records make is what is there: no call was missed.
    fn is_whole(&self, root: &Path, records: &[disk::Record]) {
        let mut disk = Disk::new(root);
        records.iter().for_each(|record| disk.replay(record));
        let left = disk.left(Lasts::All);
        let there = common::below(root);
        assert_eq!(left.len(), there.len() + 1, "{there:?}");
        for path in there {
            let content = left[path.strip_prefix(root).unwrap()];
            let own = path.is_file().then(|| std::fs::read(&path).unwrap());
            assert!(content == own.as_deref(), "{}", path.display());
        }
    }

    /// After how many calls, and with what lasting, the disk is in another state than ever before.
    fn states(&self, root: &Path, records: &[disk::Record]) -> Vec<(usize, Lasts)> {
        let mut disk = Disk::new(root);
        let mut seen = HashSet::new();
        let mut states = Vec::new();
        for (number, record) in records.iter().enumerate() {
            disk.replay(record);
            for lasts in [Lasts::Synced, Lasts::Names, Lasts::All] {
                if seen.insert(hash(&disk.left(lasts))) {
                    states.push((number + 1, lasts));
                }
            }
        }
        states
    }
}

/// Packed set, checkpoints, models and what a run ends with.
#[test]
fn a_run_that_is_cut_anywhere_ends_as_one_that_was_not() {
    let fixture = Fixture::small();
    let command = || {
        let begun = ["run.lock", "config.toml", "checkpoints"];
        let begun = begun
            .iter()
            .any(|name| fixture.path("work/run").join(name).exists());
        let cache = format!("data.cache={:?}", fixture.path("work/cache"));
        let more = ["--epochs", "2", "--set", &cache, "--resume"];
        fixture.train("work/run", &more[..4 + usize::from(begun)])
    };
    Work {
        fixture: &fixture,
        command: &command,
        results: &|| fixture.results("work/run").to_vec(),
    }
    .survives();
}

/// A study: its runs, and its summary in every format.
#[test]
fn a_study_that_is_cut_anywhere_has_the_summary_of_one_that_was_not() {
    let fixture = Fixture::small();
    let study = "title = \"Two\"\nreference = \"full\"\nseeds = 1\nbase = { train.epochs = 1 }\n\
        [[variant]]\nname = \"full\"\n[[variant]]\nname = \"no-bias\"\nset = { model.mmrest.bias = false }\n";
    std::fs::write(fixture.path("study.toml"), study).unwrap();
    let command = || {
        let mut command = fixture.program();
        command
            .args([
                "ablate",
                "sample",
                "--quiet",
                "--study",
                &fixture.arg("study.toml"),
            ])
            .args([
                "--data",
                &fixture.arg("sample"),
                "--bert",
                &fixture.arg("sample/bert"),
            ])
            .args(["--out", &fixture.arg("work/out")])
            .args(["--set", &format!("data.cache={:?}", fixture.path("cache"))]);
        for set in common::SMALL {
            command.args(["--set", set]);
        }
        command
    };
    let results = || {
        // Times differ from run to run.
        let summary = fixture.json("work/out/summary.json");
        let variants = summary["variants"].as_array().unwrap();
        let test = variants.iter().map(|variant| variant["test"].to_string());
        test.collect()
    };
    Work {
        fixture: &fixture,
        command: &command,
        results: &results,
    }
    .survives();
}
