//! The alignment on a set made by hand, where every outcome follows from the rule by hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{numbers, words, write};
use mmrest_data::align::{AlignConfig, AlignReport, Aligner, Collapse};
use mmrest_data::csd::{self, ComputationalSequence, Entry, Features};
use mmrest_data::{DataError, Result};
use serde_json::json;

/// Words, voice and labels of these ids: `vidA` (rows out of order, of no length, over borders), `vidB` (no voice), `vidBX`
/// (begins like it; its voice is elsewhere), `alone` (words only).
struct Toy(tempfile::TempDir);

impl Toy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            ([1.0, 2.0], "b"),
            ([0.0, 1.0], "a"),
            ([2.0, 2.0], "zero"),
            ([2.0, 2.5], "c"),
            ([2.5, 2.5 + 9e-6], "nearly"),
        ];
        let word = |word| words(&[([0.0, 1.0], word)]);
        let all = [
            ("alone", word("w")),
            ("vidA", words(&rows)),
            ("vidB", word("x")),
            ("vidBX", word("y")),
        ];
        write(folder.path(), "words.csd", &all);
        let later: [([f64; 2], &[f32]); 4] = [
            ([2.0 - 2e-5, 2.3], &[4.0, 40.0]),
            ([1.4, 2.0 + 5e-6], &[3.0, f32::NAN]),
            ([0.6, 1.4], &[2.0, 20.0]),
            ([2.4, 2.4], &[5.0, f32::NEG_INFINITY]),
        ];
        let voice = [
            ("vidA[0]", numbers(&later)),
            ("vidA[1]", numbers(&[([0.0, 0.6], &[1.0, 10.0])])),
            ("vidBX", numbers(&[([5.0, 6.0], &[7.0, 70.0])])),
        ];
        write(folder.path(), "voice.csd", &voice);
        let labels = [
            (
                "vidA",
                numbers(&[([0.0, 1.5], &[1.0]), ([1.5, 2.5], &[-1.0])]),
            ),
            ("vidB", numbers(&[([0.0, 1.0], &[0.0])])),
            ("vidBX", numbers(&[([0.0, 0.5], &[2.0])])),
        ];
        write(folder.path(), "labels.csd", &labels);
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self, names: &[&str]) -> Vec<PathBuf> {
        names
            .iter()
            .map(|name| self.path(&format!("{name}.csd")))
            .collect()
    }

    /// Aligns these sequences; writes them, and reads them back.
    fn align(&self, names: &[&str], config: AlignConfig) -> Result<(AlignReport, Outcome)> {
        let out = self.path("aligned");
        let written = Aligner::open(&self.files(names), config)?.write(&out, true)?;
        println!("{}", written.report);
        let read = |file: &PathBuf| {
            let sequence = ComputationalSequence::open(file).unwrap();
            let ids = sequence.ids().iter();
            let entries = ids.map(|id| (id.clone(), sequence.read(id).unwrap()));
            (sequence.root().to_owned(), entries.collect())
        };
        let outcome = written.files.iter().map(read).collect();
        Ok((written.report, Outcome(outcome)))
    }
}

/// Entries by sequence and key.
struct Outcome(BTreeMap<String, BTreeMap<String, Entry>>);

impl Outcome {
    fn keys(&self, root: &str) -> Vec<&str> {
        self.0[root].keys().map(String::as_str).collect()
    }

    fn times(&self, root: &str, key: &str) -> &[[f64; 2]] {
        &self.0[root][key].intervals
    }

    fn values(&self, root: &str, key: &str) -> &[f32] {
        match &self.0[root][key].features {
            Features::Numeric { values, .. } => values,
            Features::Text(words) => panic!("{words:?}"),
        }
    }

    fn words(&self, key: &str) -> &[String] {
        match &self.0["words"][key].features {
            Features::Text(words) => words,
            Features::Numeric { values, .. } => panic!("{values:?}"),
        }
    }
}

fn summed() -> AlignConfig {
    AlignConfig {
        collapse: vec![Collapse::Mean, Collapse::Max],
        ..AlignConfig::to("words")
    }
}

#[test]
fn rows_go_where_the_rule_puts_them() {
    let toy = Toy::new();
    let (report, found) = toy
        .align(&["words", "voice"], AlignConfig::to("words"))
        .unwrap();
    assert_eq!(
        found.keys("words"),
        ["vidA[0]", "vidA[1]", "vidA[3]", "vidBX[0]"]
    );
    assert_eq!(
        found.words("vidA[0]"),
        ["b"],
        "rows of the reference count as they are stored"
    );
    assert_eq!(
        found.words("vidA[3]"),
        ["c"],
        "rows of no length are counted, not kept"
    );
    assert_eq!(found.keys("voice"), ["vidA[0]", "vidA[1]", "vidA[3]"]);
    assert_eq!(
        found.values("voice", "vidA[0]"),
        [2.0, 20.0, 3.0, 0.0, 4.0, 40.0]
    );
    let cut = [[1.0, 1.4], [1.4, 2.0], [2.0 - 2e-5, 2.0]];
    assert_eq!(found.times("voice", "vidA[0]"), cut);
    assert_eq!(found.values("voice", "vidA[1]"), [1.0, 10.0, 2.0, 20.0]);
    assert_eq!(found.times("voice", "vidA[1]"), [[0.0, 0.6], [0.6, 1.0]]);
    // The row that ends 5e-6 after 2 only touches; the one that begins 2e-5 before it is in both.
    assert_eq!(found.values("voice", "vidA[3]"), [4.0, 40.0]);
    assert_eq!(found.times("voice", "vidA[3]"), [[2.0, 2.3]]);

    assert_eq!(report.videos, 2);
    let [words, voice] = &report.sequences[..] else {
        panic!("{report}")
    };
    assert_eq!((words.entries_read, words.entries, words.rows), (4, 4, 4));
    assert_eq!((words.no_length, words.non_finite), (2, 0));
    assert_eq!(words.dropped.first, ["alone", "vidB"]);
    assert_eq!((voice.entries_read, voice.entries, voice.rows), (3, 3, 6));
    assert_eq!(
        (voice.no_length, voice.non_finite, voice.dropped.count),
        (1, 2, 0)
    );
    assert_eq!(voice.missing.first, ["vidBX[0]"]);
    let told = report.to_string();
    assert!(told.contains("2 shared ids, aligned to words\n"), "{told}");
    assert!(told.contains("voice: 3 entries in, 3 out, 6 rows; keys without rows: 1 (vidBX[0]); non-finite values set to 0: 2; rows of no length left out: 1"), "{told}");
}

#[test]
fn rows_become_one() {
    let toy = Toy::new();
    let (_, found) = toy.align(&["words", "voice"], summed()).unwrap();
    assert_eq!(found.values("voice", "vidA[0]"), [3.0, 20.0, 4.0, 40.0]);
    assert_eq!(found.times("voice", "vidA[0]"), [[1.0, 2.0]]);
    assert_eq!(found.values("voice", "vidA[1]"), [1.5, 15.0, 2.0, 20.0]);
    assert_eq!(found.values("voice", "vidA[3]"), [4.0, 40.0, 4.0, 40.0]);
    assert_eq!(found.times("voice", "vidA[3]"), [[2.0, 2.3]]);
    assert_eq!(found.words("vidA[0]"), ["b"]);
    let config = AlignConfig {
        collapse: vec![Collapse::First, Collapse::Min],
        ..AlignConfig::to("labels")
    };
    let (_, found) = toy.align(&["labels", "voice"], config).unwrap();
    assert_eq!(
        found.values("voice", "vidA[1]"),
        [3.0, 0.0, 3.0, 0.0],
        "3 and 4, the first and the least"
    );
    assert_eq!(
        found.values("labels", "vidA[1]"),
        [-1.0, -1.0],
        "the reference as well"
    );
}

#[test]
fn what_is_missing_is_filled_or_taken_away() {
    let toy = Toy::new();
    let imputed = AlignConfig {
        impute: true,
        ..summed()
    };
    let (report, found) = toy.align(&["words", "voice"], imputed).unwrap();
    assert_eq!(found.values("voice", "vidBX[0]"), [0.0; 4]);
    assert_eq!(found.times("voice", "vidBX[0]"), [[0.0, 1.0]]);
    assert_eq!(report.sequences[1].imputed, 1);
    let unified = AlignConfig {
        hard_unify: true,
        ..summed()
    };
    let (report, found) = toy.align(&["words", "voice"], unified).unwrap();
    assert_eq!(found.keys("words"), ["vidA[0]", "vidA[1]", "vidA[3]"]);
    assert_eq!(found.keys("words"), found.keys("voice"));
    assert_eq!(report.sequences[0].removed, 1);

    // A word that nobody said is empty, not the number 0.
    let times = [([0.0, 1.0], &[1.0][..]), ([50.0, 51.0], &[2.0][..])];
    write(toy.0.path(), "times.csd", &[("vidA", numbers(&times))]);
    let config = AlignConfig {
        impute: true,
        ..AlignConfig::to("times")
    };
    let (_, found) = toy.align(&["times", "words"], config).unwrap();
    assert_eq!(found.words("vidA[0]"), ["a"]);
    assert_eq!(found.words("vidA[1]"), [""]);
    assert_eq!(found.times("words", "vidA[1]"), [[50.0, 51.0]]);
}

#[test]
fn first_the_words_then_the_labels() {
    let toy = Toy::new();
    let all = ["words", "voice", "labels"];
    let config = AlignConfig {
        impute: true,
        then: Some("labels".into()),
        ..summed()
    };
    let (report, found) = toy.align(&all, config.clone()).unwrap();
    assert_eq!(found.words("vidA[0]"), ["a", "b"]);
    assert_eq!(found.words("vidA[1]"), ["b", "c"]);
    assert_eq!(found.times("words", "vidA[1]"), [[1.5, 2.0], [2.0, 2.5]]);
    let rows = [1.5, 15.0, 2.0, 20.0, 3.0, 20.0, 4.0, 40.0];
    assert_eq!(found.values("voice", "vidA[0]"), rows);
    assert_eq!(found.times("voice", "vidA[0]"), [[0.0, 1.0], [1.0, 1.5]]);
    assert_eq!(found.values("voice", "vidBX[0]"), [0.0; 4]);
    assert_eq!(found.times("voice", "vidBX[0]"), [[0.0, 0.5]]);
    assert_eq!(found.values("labels", "vidA[1]"), [-1.0]);
    assert_eq!(report.lost.count, 0);

    let (_, found) = toy
        .align(
            &all,
            AlignConfig {
                revert: true,
                ..config.clone()
            },
        )
        .unwrap();
    assert_eq!(found.keys("words"), ["vidA", "vidBX"]);
    assert_eq!(found.words("vidA"), ["a", "b", "b", "c"]);
    assert_eq!(found.values("labels", "vidA"), [1.0, -1.0]);

    let (report, found) = toy
        .align(
            &all,
            AlignConfig {
                impute: false,
                ..config
            },
        )
        .unwrap();
    assert_eq!(found.keys("labels"), ["vidA[0]", "vidA[1]"]);
    assert_eq!(
        report.lost.first,
        ["vidBX"],
        "its voice is nowhere near its words"
    );
}

#[test]
fn an_aligned_reference_keeps_its_numbers() {
    let toy = Toy::new();
    let label = |start: f64, value: f32| numbers(&[([start, start + 1.0], &[value])]);
    let labels = [("vidA[10]", label(1.0, 2.0)), ("vidA[2]", label(0.0, 1.0))];
    write(toy.0.path(), "pieces.csd", &labels);
    let files = toy.files(&["pieces", "voice"]);
    let mut keys = Vec::new();
    let aligner = Aligner::open(&files, AlignConfig::to("pieces")).unwrap();
    assert_eq!(aligner.videos(), ["vidA"]);
    aligner
        .visit(&mut |aligned| {
            keys.push(format!("{} {}", aligned.root, aligned.key));
            Ok(())
        })
        .unwrap();
    let expected = [
        "pieces vidA[2]",
        "pieces vidA[10]",
        "voice vidA[2]",
        "voice vidA[10]",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn metadata_is_carried_over() {
    let toy = Toy::new();
    let mut metadata = csd::metadata("face", "faces");
    metadata.insert("creator".into(), json!("somebody"));
    metadata.insert("md5".into(), json!("of the old file"));
    metadata.insert("root name".into(), json!("otherwise"));
    metadata.insert("dimension names".into(), json!(["smile"]));
    let entry = numbers(&[([0.0, 1.0], &[1.0])]);
    csd::write(&toy.path("face.csd"), "face", &metadata, [("vidA", entry)]).unwrap();
    let files = toy.files(&["words", "face"]);
    let config = AlignConfig {
        hard_unify: true,
        ..summed()
    };
    let written = Aligner::open(&files, config)
        .unwrap()
        .write(&toy.path("out"), false)
        .unwrap();
    let face = ComputationalSequence::open(&written.files[1]).unwrap();
    let found = face.metadata();
    assert_eq!(found["creator"], "somebody");
    assert_eq!(found["md5"], json!(null));
    assert_eq!(found["root name"], "face");
    assert_eq!(found["dimension names"], json!(["mean smile", "max smile"]));
    assert_ne!(found["uuid"], metadata["uuid"]);
    assert_eq!(found["alignment"]["reference"], "words");
    assert_eq!(found["alignment"]["collapse"], json!(["mean", "max"]));
    assert!(
        found["alignment"]["creator"]
            .as_str()
            .unwrap()
            .starts_with("mmrest-data ")
    );
}

fn refused(toy: &Toy, names: &[&str], config: AlignConfig) -> String {
    let error = toy
        .align(names, config)
        .map(|(report, _)| report)
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\n') && !error.ends_with('.'), "{error}");
    let out = toy.path("aligned");
    assert!(
        !out.exists() || out.read_dir().unwrap().next().is_none(),
        "{error}"
    );
    error.replace(&*toy.0.path().to_string_lossy(), "DIR")
}

#[test]
fn what_cannot_be_aligned_is_refused_in_a_sentence() {
    let toy = Toy::new();
    let other_name = toy.path("copy.csd");
    std::fs::copy(toy.path("words.csd"), &other_name).unwrap();
    write(
        toy.0.path(),
        "stranger.csd",
        &[("nobody", words(&[([0.0, 1.0], "z")]))],
    );
    write(
        toy.0.path(),
        "none.csd",
        &[("vidA", numbers(&[([1.0, 1.0], &[1.0])]))],
    );
    write(
        toy.0.path(),
        "far.csd",
        &[("vidA", numbers(&[([90.0, 99.0], &[1.0])]))],
    );
    let widths = [
        ("vidA", numbers(&[([0.0, 1.0], &[1.0])])),
        ("vidBX", numbers(&[([0.0, 1.0], &[1.0, 2.0])])),
    ];
    write(toy.0.path(), "widths.csd", &widths);
    let twice = [(
        "vidA[0]",
        numbers(&[([0.0, 1.0], &[1.0]), ([1.0, 2.0], &[1.0])]),
    )];
    write(toy.0.path(), "twice.csd", &twice);
    let same = [
        ("vidA", numbers(&[([0.0, 1.0], &[1.0])])),
        ("vidA[0]", numbers(&[([0.0, 1.0], &[1.0])])),
    ];
    write(toy.0.path(), "same.csd", &same);

    let to = |name: &str| AlignConfig::to(name);
    let then = |name: &str| AlignConfig {
        then: Some(name.into()),
        ..to("words")
    };
    let averaged = |name: &str| AlignConfig {
        collapse: vec![Collapse::Mean],
        ..to(name)
    };
    for (names, config, expected) in [
        (&[][..], to("words"), "cannot align: no file is given"),
        (
            &["words", "voice"],
            to("speech"),
            "cannot align: no sequence has the root name \"speech\"; there are words, voice",
        ),
        (
            &["words", "voice"],
            then("label"),
            "cannot align: no sequence has the root name \"label\"; there are words, voice",
        ),
        (
            &["words", "voice"],
            then("words"),
            "cannot align: \"words\" is both the first and the second reference",
        ),
        (
            &["words", "voice", "words"],
            to("words"),
            "cannot align: DIR/words.csd is given twice",
        ),
        (
            &["words", "copy"],
            to("words"),
            "cannot align: DIR/words.csd and DIR/copy.csd both have the root name \"words\", and only one can be written under it",
        ),
        (
            &["words", "stranger"],
            to("words"),
            "cannot align: no id is in every sequence: words begins with \"alone\", stranger begins with \"nobody\"",
        ),
        (
            &["none", "words"],
            to("none"),
            "cannot align: the reference \"none\" has no rows left that the other sequences share",
        ),
        (
            &["words", "far"],
            to("words"),
            "cannot align: no row of \"far\" lies in any interval of the reference; are its times in seconds, and its ids the same videos?",
        ),
        (
            &["words", "widths"],
            to("words"),
            "DIR/widths.csd: entry \"vidBX\": its rows are 2 numbers each, those of the entries before are 1 numbers",
        ),
        (
            &["labels", "words"],
            averaged("labels"),
            "DIR/words.csd: entry \"vidA[0]\": 2 rows of text have no mean; make this sequence the reference, or collapse with \"first\" alone",
        ),
        (
            &["twice", "words"],
            to("twice"),
            "DIR/twice.csd: entry \"vidA[0]\": 2 rows; an aligned sequence can be the reference only if each of its entries is one row",
        ),
        (
            &["same", "words"],
            to("same"),
            "DIR/same.csd: \"vidA[0]\" occurs twice",
        ),
    ] {
        assert_eq!(refused(&toy, names, config), expected);
    }
}

#[test]
fn files_that_are_there_stay() {
    let toy = Toy::new();
    let aligner = Aligner::open(&toy.files(&["words", "voice"]), summed()).unwrap();
    let out = toy.path("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("voice.csd"), "mine").unwrap();
    let error = aligner.write(&out, false).unwrap_err().to_string();
    assert!(
        error.contains("voice.csd is there already; give --force"),
        "{error}"
    );
    assert_eq!(names_in(&out), ["voice.csd"]);
    aligner.write(&out, true).unwrap();
    assert_eq!(names_in(&out), ["voice.csd", "words.csd"]);
    let error = aligner.write(toy.0.path(), true).unwrap_err();
    assert!(
        matches!(error, DataError::Align(_)) && error.to_string().contains("is one of the inputs"),
        "{error}"
    );
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
