//! Computational sequences: what is written is read back, and what is no such file is refused in words.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{numbers, shared_data, words, write};
use hdf5_writer::{DatasetBuilder, Hdf5Builder, WriteOptions};
use mmrest_data::DataError;
use mmrest_data::csd::{self, ComputationalSequence, Entry, Features, Metadata};
use proptest::prelude::*;

/// Writes any HDF5 file, for what the crate's own writer refuses.
fn raw(path: &Path, datasets: Vec<DatasetBuilder>) {
    let builder = datasets
        .into_iter()
        .fold(Hdf5Builder::new(), Hdf5Builder::dataset);
    let bytes = builder
        .into_plan()
        .unwrap()
        .encode(WriteOptions::default())
        .unwrap();
    fs::write(path, bytes).unwrap();
}

fn floats(name: &str, shape: &[u64]) -> DatasetBuilder {
    let values = vec![0.5_f32; shape.iter().product::<u64>() as usize];
    DatasetBuilder::typed_data(name, shape.to_vec(), &values).unwrap()
}

#[test]
fn numbers_words_and_metadata_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/s.csd");
    let entries = [
        (
            "b",
            numbers(&[
                ([0.0, 0.1], &[1.0, -2.5]),
                ([0.1, 0.25], &[f32::NEG_INFINITY, 0.0]),
            ]),
        ),
        (
            "a[0]",
            words(&[
                ([1.0, 2.0], "café"),
                ([2.0, 3.0], ""),
                ([3.0, 4.0], "don't"),
            ]),
        ),
        (
            "empty",
            Entry {
                intervals: vec![],
                features: Features::Numeric {
                    values: vec![],
                    width: 2,
                },
            },
        ),
    ];
    let mut metadata = csd::metadata("s", "a test — with more than ASCII");
    metadata.insert("dimension names".into(), serde_json::json!(["x", "y"]));
    csd::write(&path, "s", &metadata, entries.clone()).unwrap();

    let sequence = ComputationalSequence::open(&path).unwrap();
    assert_eq!(sequence.root(), "s");
    assert_eq!(sequence.metadata(), &metadata);
    assert_eq!(sequence.ids().len(), 3);
    for (id, entry) in &entries {
        assert_eq!(&sequence.read(id).unwrap(), entry, "{id}");
    }
    assert!(matches!(sequence.read("c"), Err(DataError::NoEntry { id, .. }) if id == "c"));
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "no temporary file is left");
}

#[test]
fn pieces_of_a_video_are_merged_by_start() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "p.csd",
        &[
            (
                "v[0]",
                numbers(&[([2.0, 3.0], &[2.0]), ([0.0, 1.0], &[0.0])]),
            ),
            (
                "v[1]",
                numbers(&[([1.0, 2.0], &[1.0]), ([2.0, 4.0], &[2.5])]),
            ),
            ("vv", numbers(&[([0.0, 1.0], &[9.0])])),
        ],
    );
    let sequence = ComputationalSequence::open(&folder.path().join("p.csd")).unwrap();
    assert_eq!(sequence.videos(), ["v", "vv"]);
    let merged = sequence.read_video("v").unwrap().unwrap();
    let expected: &[([f64; 2], &[f32])] = &[
        ([0.0, 1.0], &[0.0]),
        ([1.0, 2.0], &[1.0]),
        ([2.0, 3.0], &[2.0]),
        ([2.0, 4.0], &[2.5]),
    ];
    assert_eq!(merged, numbers(expected));
    assert_eq!(sequence.read_video("w").unwrap(), None);
}

#[test]
fn other_number_types_and_ranks_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csd");
    raw(
        &path,
        vec![
            DatasetBuilder::typed_data(
                "s/data/ints/features",
                vec![2, 3],
                &[1_i64, -2, 3, 4, 5, 6],
            )
            .unwrap(),
            floats("s/data/ints/intervals", &[2, 2]),
            DatasetBuilder::typed_data("s/data/flat/features", vec![2], &[1_u8, 200]).unwrap(),
            floats("s/data/flat/intervals", &[2, 2]),
            DatasetBuilder::typed_data("s/data/deep/features", vec![1, 2, 2], &[0.5_f64; 4])
                .unwrap(),
            floats("s/data/deep/intervals", &[1, 2]),
            DatasetBuilder::vlen_string_data("s/data/words/features", vec![2], &["naïve", ""])
                .unwrap(),
            floats("s/data/words/intervals", &[2, 2]),
            DatasetBuilder::vlen_string_data("s/metadata/creator", vec![1], &["plain text"])
                .unwrap(),
        ],
    );
    let sequence = ComputationalSequence::open(&path).unwrap();
    assert_eq!(sequence.metadata()["creator"], "plain text");
    let features = |id: &str| sequence.read(id).unwrap().features;
    let numeric = |values: &[f32], width| Features::Numeric {
        values: values.to_vec(),
        width,
    };
    assert_eq!(
        features("ints"),
        numeric(&[1.0, -2.0, 3.0, 4.0, 5.0, 6.0], 3)
    );
    assert_eq!(features("flat"), numeric(&[1.0, 200.0], 1));
    assert_eq!(features("deep"), numeric(&[0.5; 4], 4));
    assert_eq!(
        features("words"),
        Features::Text(vec!["naïve".into(), String::new()])
    );
}

#[test]
fn words_cut_inside_a_character_are_still_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csd");
    let kind = DatasetBuilder::fixed_string_data("x", vec![1], &["abcd"]).unwrap();
    let cut = DatasetBuilder::new("s/data/v/features", kind.datatype().clone(), vec![1, 1])
        .raw_data(b"caf\xc3".to_vec());
    raw(&path, vec![cut, floats("s/data/v/intervals", &[1, 2])]);
    let entry = ComputationalSequence::open(&path)
        .unwrap()
        .read("v")
        .unwrap();
    assert_eq!(entry.features, Features::Text(vec!["caf\u{fffd}".into()]));
}

/// Message of opening the file and, when that works, of reading `v`.
fn refusal(path: &Path) -> String {
    let error = ComputationalSequence::open(path)
        .and_then(|sequence| sequence.read("v"))
        .expect_err("a malformed file is refused");
    let message = error.to_string();
    assert!(message.contains(&*path.to_string_lossy()), "{message}");
    message
}

#[test]
fn files_that_are_no_computational_sequence_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csd");
    assert!(matches!(
        ComputationalSequence::open(&path),
        Err(DataError::Io { .. })
    ));

    fs::write(&path, "").unwrap();
    assert!(refusal(&path).contains("empty"));
    fs::write(&path, "<html>503 Service Unavailable</html>").unwrap();
    assert!(refusal(&path).contains("HDF5"));
    assert!(refusal(folder.path()).contains("folder"));

    raw(
        &path,
        vec![
            floats("a/data/v/features", &[1]),
            floats("b/data/v/features", &[1]),
        ],
    );
    assert!(refusal(&path).contains("one top group"));
    raw(&path, vec![floats("values", &[1])]);
    assert!(refusal(&path).contains("one top group"));
    raw(&path, vec![floats("a/other/v/features", &[1])]);
    assert!(refusal(&path).contains("no group \"data\""));
    raw(&path, vec![floats("a/data/v", &[1])]);
    assert!(refusal(&path).contains("not an entry"));
}

#[test]
fn malformed_entries_are_refused_by_id_and_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csd");
    let entry = |features: DatasetBuilder, intervals: DatasetBuilder| {
        raw(&path, vec![features, intervals]);
        let message = refusal(&path);
        assert!(message.contains("entry \"v\""), "{message}");
        message
    };
    let (features, intervals) = ("s/data/v/features", "s/data/v/intervals");
    assert!(entry(floats(features, &[2, 1]), floats(intervals, &[2, 3])).contains("[2, 3]"));
    assert!(entry(floats(features, &[2, 1]), floats(intervals, &[4])).contains("[4]"));
    assert!(entry(floats(features, &[3, 5]), floats(intervals, &[2, 2])).contains("[3, 5]"));
    assert!(entry(floats(features, &[]), floats(intervals, &[1, 2])).contains("[]"));
    let text = |name, shape: &[u64]| {
        let strings = vec!["x"; shape.iter().product::<u64>() as usize];
        DatasetBuilder::fixed_string_data(name, shape.to_vec(), &strings).unwrap()
    };
    assert!(entry(text(features, &[2, 2]), floats(intervals, &[2, 2])).contains("one word a row"));
    assert!(entry(floats(features, &[1, 1]), text(intervals, &[1, 2])).contains("text"));

    raw(&path, vec![floats(features, &[1, 1])]);
    assert!(refusal(&path).contains("/s/data/v/intervals"));
}

#[test]
fn the_writer_refuses_what_could_not_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csd");
    let attempt = |entries: Vec<(&str, Entry)>| {
        let error = csd::write(&path, "s", &Metadata::new(), entries).unwrap_err();
        assert!(!path.exists());
        error
    };
    let good = numbers(&[([0.0, 1.0], &[1.0])]);
    let mut short = good.clone();
    short.intervals.clear();
    assert!(matches!(
        attempt(vec![("v", short)]),
        DataError::Entry { .. }
    ));
    assert!(matches!(
        attempt(vec![("a/b", good.clone())]),
        DataError::Entry { .. }
    ));
    assert!(matches!(
        attempt(vec![("v", good.clone()), ("v", good)]),
        DataError::Duplicate { .. }
    ));
    assert!(matches!(
        attempt(vec![("v", words(&[([0.0, 1.0], "a\0b")]))]),
        DataError::Write { .. }
    ));
    assert!(matches!(attempt(vec![]), DataError::Layout { .. }));
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_still_whole() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "s.csd",
        &[(
            "v",
            numbers(&[([0.0, 1.0], &[1.0, 2.0]), ([1.0, 2.0], &[3.0, 4.0])]),
        )],
    );
    let whole = fs::read(folder.path().join("s.csd")).unwrap();
    let path = folder.path().join("cut.csd");
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        let read = ComputationalSequence::open(&path).and_then(|sequence| sequence.read("v"));
        if let Ok(entry) = read {
            assert_eq!(entry.len(), 2, "cut at {length}");
        }
    }
}

#[test]
fn the_sdk_s_own_files_are_read() {
    let Some(folder) = shared_data("sdk-toy") else {
        return;
    };
    let words = ComputationalSequence::open(&folder.join("words.csd")).unwrap();
    assert!(words.contains("onlywords"));
    assert_eq!(words.metadata()["dataset name"], "toy é");
    let Features::Text(text) = words.read("vidA").unwrap().features else {
        panic!("words")
    };
    assert!(text.contains(&"café".to_owned()));
    let visual = ComputationalSequence::open(&folder.join("visual.csd")).unwrap();
    assert!(visual.video_ids("vidA").len() > 1);
    let merged = visual.read_video("vidA").unwrap().unwrap();
    assert!(merged.intervals.is_sorted_by(|a, b| a[0] <= b[0]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_written_is_read_back(
        width in 1_usize..5,
        rows in prop::collection::vec((0.0_f64..100.0, 0.0_f64..9.0), 0..40),
        texts in prop::collection::vec("[a-zà-ÿ' ]{0,9}", 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.csd");
        let intervals: Vec<_> = rows.iter().map(|&(start, length)| [start, start + length]).collect();
        let values = (0..rows.len() * width).map(|i| i as f32 * 0.3 - 7.0).collect();
        let frames = Entry { intervals, features: Features::Numeric { values, width } };
        let spoken = Entry {
            intervals: vec![[0.25, 0.5]; texts.len()],
            features: Features::Text(texts),
        };
        csd::write(&path, "r", &Metadata::new(), [("n", frames.clone()), ("t", spoken.clone())]).unwrap();
        let sequence = ComputationalSequence::open(&path).unwrap();
        prop_assert_eq!(sequence.read("n").unwrap(), frames);
        prop_assert_eq!(sequence.read("t").unwrap(), spoken);
    }
}

/// A file that h5py wrote.
fn by_h5py(name: &str) -> ComputationalSequence {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sequences");
    ComputationalSequence::open(&path.join(name)).unwrap()
}

#[test]
fn numbers_of_half_precision_are_read() {
    let sequence = by_h5py("half.csd");
    let entry = sequence.read(&sequence.ids()[0]).unwrap();
    let Features::Numeric { values, width } = entry.features else {
        panic!("words");
    };
    assert_eq!(values.len(), entry.intervals.len() * width);
    let largest = values
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    assert!((0.01..100.0).contains(&largest), "{largest}");
    // Eleven bits of precision: nothing but their own values can come of them.
    let halves = values
        .iter()
        .map(|value| half::f16::from_f32(*value).to_f32());
    assert!(halves.eq(values.iter().copied()));
}

#[test]
fn ids_of_a_file_in_the_newest_format_are_in_the_order_of_their_bytes() {
    let sequence = by_h5py("latest.csd");
    let ids = sequence.ids();
    assert!(ids.len() > 2 && ids.is_sorted(), "{ids:?}");
}
