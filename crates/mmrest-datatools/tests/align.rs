//! The alignment on a set made by hand, where every outcome follows from the rule by hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "align/refused.rs"]
mod refused;
#[path = "align/toy.rs"]
mod toy;

#[path = "../../mmrest-data/tests/common/mod.rs"]
mod common;

use common::{numbers, write};
use mmrest_data::csd::{self, ComputationalSequence};
use mmrest_datatools::align::{AlignConfig, Aligner, Collapse};
use serde_json::json;
use toy::{Toy, summed};

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
        .write(&toy.path("out"), false, &mut |_| true)
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
