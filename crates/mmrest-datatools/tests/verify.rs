//! Whether data sets are what is known of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../mmrest-data/tests/common/mod.rs"]
mod common;

use common::{numbers, shared_data, words, workspace, write};
use mmrest_data::folds::Folds;
use mmrest_datatools::verify::{Check, Known, Outcome, Verification, verify};

fn folds(name: &str) -> Folds {
    Folds::read(&workspace().join(format!("data/folds/{name}.json"))).unwrap()
}

fn named<'a>(verification: &'a Verification, name: &str) -> &'a Check {
    let check = verification.checks.iter().find(|c| c.name.contains(name));
    check.unwrap_or_else(|| panic!("no check {name:?} in\n{verification}"))
}

#[test]
fn real_mosi_is_as_known() {
    let Some(dir) = shared_data("mosi") else {
        return;
    };
    for set in [Known::Mosi, Known::MosiWords] {
        let verification = verify(set, &dir, Some(&folds("mosi"))).unwrap();
        println!("{verification}");
        assert!(verification.as_known(), "{verification}");
        assert!(
            named(&verification, "segments in the table")
                .found
                .starts_with("2199 = 1284")
        );
        assert_eq!(
            named(&verification, "labels other than the table's, of 2199").found,
            "0"
        );
        let texts = named(&verification, "texts other than");
        assert!(
            texts.name.contains("2198") && texts.found == "4",
            "{texts:?}"
        );
        let coverage = named(&verification, "something in every sequence");
        assert!(coverage.detail.contains("2WGyTLYerpo[43]"), "{coverage:?}");
        let speakers = named(&verification, "speakers");
        assert_eq!(speakers.outcome, Outcome::CannotBeChecked);
    }
}

#[test]
fn another_data_set_under_the_name_differs_in_every_count() {
    let folder = tempfile::tempdir().unwrap();
    let row: &[([f64; 2], &[f32])] = &[([0.0, 1.0], &[1.0]), ([1.0, 2.0], &[4.0])];
    write(
        folder.path(),
        "CMU_MOSI_Opinion_Labels.csd",
        &[("a", numbers(row))],
    );
    let spoken = words(&[([0.0, 0.5], "hello"), ([0.5, 0.9], "sp")]);
    write(folder.path(), "words.csd", &[("a", spoken)]);
    let nan: &[([f64; 2], &[f32])] = &[([0.0, 1.0], &[f32::NAN])];
    write(folder.path(), "audio.csd", &[("b", numbers(nan))]);
    std::fs::write(folder.path().join("broken.csd"), "nothing").unwrap();
    let table = "video_id,clip_id,text,label,mode\na,1,hello,2,train\na,3,else,1,test\n";
    std::fs::write(folder.path().join("label.csv"), table).unwrap();
    let verification = verify(Known::MosiWords, folder.path(), Some(&folds("mosi"))).unwrap();
    for name in [
        "labelled videos",
        "labelled intervals",
        "labels in -3 to 3",
        "fold videos here",
        "videos in no fold",
        "segments in the table",
        "videos in two splits",
        "without a row in the table",
        "labels other than the table's",
        "audio.csd: labelled videos without an entry",
        "audio.csd: NaN",
        "broken.csd",
    ] {
        let check = named(&verification, name);
        assert_eq!(check.outcome, Outcome::Differs, "{check:?}");
    }
    let coverage = named(&verification, "something in every sequence");
    assert_eq!(coverage.found, "0 of 2");
    assert!(coverage.detail.contains("words.csd (a[1])"), "{coverage:?}");
    let text = verification.to_string();
    assert!(
        text.contains("differs            labelled videos: 1, expected 93"),
        "{text}"
    );
}

#[test]
fn a_release_is_known_by_its_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let pickles = workspace().join("crates/mmrest-data/tests/pickles");
    let none = verify(Known::Sims, folder.path(), None).unwrap();
    assert_eq!(named(&none, "pickles").outcome, Outcome::Differs);
    std::fs::copy(
        pickles.join("sims.pkl"),
        folder.path().join("unaligned_39.pkl"),
    )
    .unwrap();
    let other = verify(Known::Sims, folder.path(), None).unwrap();
    assert_eq!(named(&other, "SHA-256").outcome, Outcome::Differs);
    let segments = named(&other, "unaligned_39.pkl: segments");
    assert_eq!(segments.outcome, Outcome::Differs, "{other}");
    assert_eq!(
        segments.expected,
        "2281 = 1368 train + 456 valid + 457 test"
    );
    let two = named(&other, "unaligned_39.pkl: videos in two splits");
    assert_eq!(two.outcome, Outcome::CannotBeChecked);
}

#[test]
fn names_and_folders_that_are_not_there_are_errors() {
    let error = Known::from_name("imdb").unwrap_err().to_string();
    assert!(
        error.contains("imdb") && error.contains("mosei-mmsa"),
        "{error}"
    );
    for set in Known::ALL {
        assert_eq!(Known::from_name(set.name()).unwrap(), set);
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(verify(Known::Mosi, &folder.path().join("none"), None).is_err());
}
