//! What is refused, and that nothing is left of it.

use std::path::Path;

use mmrest_data::DataError;
use mmrest_datatools::align::{AlignConfig, Aligner, Collapse};

use crate::common::{numbers, words, write};
use crate::toy::{Toy, summed};

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
    let error = aligner
        .write(&out, false, &mut |_| true)
        .unwrap_err()
        .to_string();
    assert!(error.contains("voice.csd: it is there already"), "{error}");
    assert_eq!(names_in(&out), ["voice.csd"]);
    aligner.write(&out, true, &mut |_| true).unwrap();
    assert_eq!(names_in(&out), ["voice.csd", "words.csd"]);
    let error = aligner
        .write(toy.0.path(), true, &mut |_| true)
        .unwrap_err();
    assert!(
        matches!(error, DataError::Align(_)) && error.to_string().contains("is one of the inputs"),
        "{error}"
    );
}

#[test]
fn aligning_that_is_stopped_leaves_nothing() {
    let toy = Toy::new();
    let aligner = Aligner::open(&toy.files(&["words", "voice"]), summed()).unwrap();
    let out = toy.path("out");
    let mut entries = 0;
    let stopped = aligner.write(&out, false, &mut |made| {
        entries = made;
        made < 2
    });
    assert!(matches!(stopped, Err(DataError::Stopped)), "{stopped:?}");
    assert_eq!(entries, 2);
    assert!(!out.exists());
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
