//! What the inspector says of files as people have them; what the loader refuses is a problem, in the loader's words.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../mmrest-data/tests/common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../../mmrest-data/tests/made/mod.rs"]
mod made;

use std::path::Path;

use common::{numbers, words, write};
use made::{array, dict, list, number, pickle, text};
use mmrest_data::import::import;
use mmrest_datatools::inspect::{self, FileKind, Inspection, Options, compare};

type Key = (&'static str, Vec<u8>);

fn look(path: &Path) -> Inspection {
    inspect::inspect(path, &Options::default()).unwrap()
}

/// Writes a file and looks at it.
fn of_bytes(name: &str, bytes: &[u8]) -> Inspection {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    look(&path)
}

fn codes(inspection: &Inspection) -> Vec<&'static str> {
    inspection.findings.iter().map(|f| f.code).collect()
}

/// A release of three splits in MMSA's layout, with one key replaced or removed.
fn release(key: &'static str, value: Option<&[u8]>) -> Vec<u8> {
    let parts = ["train", "valid", "test"].map(|split| {
        let ids = [1, 2].map(|clip| text(&format!("{split}$_${clip}")));
        let mut part: Vec<Key> = vec![
            ("raw_text", list(&[text("how nice"), text("nan")])),
            ("id", list(&ids)),
            ("regression_labels", array(&[2], &[1.0, -2.0])),
            ("vision", array(&[2, 2, 1], &[1.0, 2.0, 3.0, 0.0])),
            ("audio", array(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0])),
        ];
        part.retain(|(known, _)| *known != key);
        part.extend(value.map(|value| (key, value.to_vec())));
        (split, dict(&part))
    });
    pickle(&dict(&parts))
}

#[test]
fn what_import_refuses_is_a_problem_and_no_configuration_is_printed() {
    for (key, value) in [
        ("vision_lengths", list(&[number(99.0), number(1.0)])),
        (
            "vision",
            list(&[array(&[2, 1], &[1.0; 2]), array(&[1, 2], &[1.0; 2])]),
        ),
        ("regression_labels", array(&[2, 4, 2], &[0.0; 16])),
        ("raw_text", list(&[number(1.0), text("b")])),
        ("id", list(&[text("a$_$1"), text("a$_$1")])),
        ("regression_labels", list(&[text("a"), text("b")])),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.pkl");
        std::fs::write(&path, release(key, Some(&value))).unwrap();
        let refused = import(
            &path,
            None,
            [-3.0, 3.0],
            &folder.path().join("out.h5"),
            &mut |_| true,
        );
        let refused = refused.unwrap_err().to_string();
        let seen = look(&path);
        let said: Vec<&str> = seen
            .problems()
            .map(|finding| finding.found.as_str())
            .collect();
        assert!(
            said.iter().any(|said| refused.ends_with(said)),
            "{refused}\n{seen}"
        );
        assert_eq!(compare(&[seen], &Options::default()).config, None);
    }
}

#[test]
fn what_import_reads_trains_by_the_configuration_that_is_printed() {
    let vision = list(&[array(&[2, 1], &[1.0, 2.0]), array(&[1, 1], &[3.0])]);
    for (key, value) in [
        ("vision", Some(vision)),
        ("vision", Some(array(&[2, 3], &[1.0; 6]))),
        ("raw_text", Some(list(&[number(f64::NAN), text("b")]))),
        ("regression_labels", Some(array(&[2, 7], &[0.5; 14]))),
        ("none", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.pkl");
        std::fs::write(&path, release(key, value.as_deref())).unwrap();
        let seen = look(&path);
        let printed = compare(std::slice::from_ref(&seen), &Options::default()).config;
        let printed: toml::Table = printed.unwrap_or_else(|| panic!("{seen}")).parse().unwrap();
        let config: mmrest_data::DataConfig = printed["data"].clone().try_into().unwrap();
        let loaded = mmrest_data::load(&config, Path::new("")).unwrap();
        let imported = import(
            &path,
            None,
            [-3.0, 3.0],
            &folder.path().join("out.h5"),
            &mut |_| true,
        );
        assert_eq!(imported.unwrap().total(), 6);
        assert_eq!(loaded.report.total(), 6);
        let vision = seen.sequences.iter().find(|s| s.name == "vision").unwrap();
        let lengths: Vec<usize> = loaded
            .segments()
            .map(|segment| segment.vision.len())
            .collect();
        assert_eq!(vision.lengths, lengths);
    }
}

#[test]
fn texts_that_read_nan_are_counted() {
    let seen = of_bytes("a.pkl", &release("none", None));
    assert!(seen.to_string().contains("3 texts are \"nan\""), "{seen}");
    let table = b"video_id,clip_id,text,label,mode\na,1,nan,1,train\nb,1,well,1,test\n";
    assert!(codes(&of_bytes("label.csv", table)).contains(&"text_nan"));
}

#[test]
fn a_split_that_is_not_there_is_a_problem_and_nothing_is_printed() {
    let bytes = release("none", None);
    let at = bytes
        .windows(5)
        .position(|window| window == b"valid")
        .unwrap();
    let mut without = bytes.clone();
    without[at..at + 5].copy_from_slice(b"other");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pkl");
    std::fs::write(&path, &without).unwrap();
    let seen = look(&path);
    let said = seen.to_string();
    assert!(
        said.contains("! the file has no part valid (or dev)"),
        "{said}"
    );
    assert!(
        said.contains("- the part other (2 segments) is not used"),
        "{said}"
    );
    assert_eq!(compare(&[seen], &Options::default()).config, None);
}

#[test]
fn tables_as_spreadsheets_write_them_are_understood_or_told() {
    let rows = "video_id;clip_id;text;label;mode\r\na;1;hi;1;train\r\nb;1;ho;x;test\r\n";
    let seen = of_bytes("label.csv", format!("sep=;\r\n{rows}").as_bytes());
    assert!(codes(&seen).contains(&"label_no_number"), "{seen}");
    assert!(!codes(&seen).contains(&"column_missing"), "{seen}");
    assert!(seen.to_string().contains("lines 4"), "{seen}");
    let seen = of_bytes("label.csv", rows.as_bytes());
    assert!(seen.to_string().contains("lines 3"), "{seen}");
    let gbk = [
        rows.replace("hi", "").as_bytes(),
        b"c;1;\xc4\xe3\xba\xc3;1;train\r\n",
    ]
    .concat();
    let seen = of_bytes("label.csv", &gbk);
    assert_eq!(seen.kind, FileKind::Table);
    assert!(
        seen.to_string().contains("a table that is not UTF-8"),
        "{seen}"
    );
    let wide: Vec<u8> = std::iter::once(0xfeff)
        .chain(rows.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let seen = of_bytes("label.csv", &wide);
    assert_eq!(seen.kind, FileKind::Table);
    assert!(seen.to_string().contains("UTF-16"), "{seen}");
    let book = [
        b"PK\x03\x04".as_slice(),
        &[0; 22],
        &[19, 0, 0, 0],
        b"[Content_Types].xml",
    ]
    .concat();
    let seen = of_bytes("label.csv", &book);
    assert_eq!(seen.kind, FileKind::Workbook);
    assert!(seen.to_string().contains("an Excel workbook"), "{seen}");
}

#[test]
fn files_that_are_no_data_are_told_as_what_they_are() {
    for (name, bytes, kind, problems) in [
        (
            "c.toml",
            b"[data]\nkind = \"sdk\"\n".as_slice(),
            FileKind::Configuration,
            0,
        ),
        ("d.toml", b"# mine\n[data]\n", FileKind::Configuration, 0),
        ("run.log", b"[INFO] begin\n", FileKind::Text, 0),
        (
            "a.jsonl",
            b"{\"text\": \"a\"}\n{\"text\": \"b\"}\n",
            FileKind::JsonLines,
            0,
        ),
        ("own.mp4", b"\0\0\0\x20ftypisom", FileKind::Recording, 1),
        (
            "old.pkl",
            b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
            FileKind::Torch,
            1,
        ),
    ] {
        let seen = of_bytes(name, bytes);
        assert_eq!(
            (seen.kind, seen.problems().count()),
            (kind, problems),
            "{seen}"
        );
        assert!(seen.usable.role.is_none(), "{seen}");
    }
    let folds = of_bytes(
        "f.json",
        b"\xef\xbb\xbf{\"train\": [\"a\"], \"valid\": [\"b\"], \"test\": [\"c\"]}",
    );
    assert_eq!(
        (folds.kind, folds.problems().count()),
        (FileKind::Folds, 0),
        "{folds}"
    );
}

#[test]
fn words_that_are_not_utf8_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let row = words(&[([0.0, 1.0], "caf\u{fffd}"), ([1.0, 2.0], "well")]);
    write(folder.path(), "words.csd", &[("a", row)]);
    let seen = look(&folder.path().join("words.csd"));
    assert!(seen.to_string().contains("! 1 word is not UTF-8"), "{seen}");
}

#[test]
fn times_in_other_units_are_noticed_beside_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let labels = || numbers(&[([0.0, 4.5], &[1.0]), ([4.5, 12.0], &[-1.0])]);
    let audio = || {
        numbers(&[
            ([0.0, 6000.0], &[1.0, 2.0]),
            ([6000.0, 12_000.0], &[2.0, 1.0]),
        ])
    };
    let near = || numbers(&[([0.0, 6.0], &[1.0, 3.0]), ([6.0, 12.0], &[2.0, 1.0])]);
    write(
        folder.path(),
        "labels.csd",
        &[("a", labels()), ("b", labels())],
    );
    write(
        folder.path(),
        "audio.csd",
        &[("a", audio()), ("b", audio())],
    );
    write(folder.path(), "vision.csd", &[("a", near()), ("b", near())]);
    let files = inspect::expand(folder.path()).unwrap();
    let files: Vec<Inspection> = files.iter().map(|file| look(file)).collect();
    let together = compare(&files, &Options::default());
    let far: Vec<&str> = together
        .findings
        .iter()
        .filter(|finding| finding.code == "other_units")
        .map(|finding| finding.found.as_str())
        .collect();
    let [far] = far.as_slice() else {
        panic!("{far:?}");
    };
    assert!(
        far.contains("audio.csd reaches to 12000 s, the labels to 12 s"),
        "{far}"
    );
}
