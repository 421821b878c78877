//! The alignment against what the SDK itself returned for a small set, at every stage, where that set is there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../mmrest-data/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::shared_data;
use mmrest_data::csd::{ComputationalSequence, Entry, Features};
use mmrest_datatools::align::{AlignConfig, Aligner, Collapse, Padding, revert, tensor};
use serde_json::Value;

const ALL: [&str; 4] = ["words", "acoustic", "visual", "labels"];

type Entries = Vec<(String, Entry)>;

/// Aligned entries by sequence.
fn align(folder: &Path, config: AlignConfig) -> BTreeMap<String, Entries> {
    let files: Vec<PathBuf> = ALL
        .iter()
        .map(|name| folder.join(format!("{name}.csd")))
        .collect();
    let mut all: BTreeMap<String, Entries> = BTreeMap::new();
    let aligner = Aligner::open(&files, config).unwrap();
    let report = aligner
        .visit(&mut |aligned| {
            let entries = all.entry(aligned.root.to_owned()).or_default();
            entries.push((aligned.key, aligned.entry));
            Ok(())
        })
        .unwrap();
    println!("{report}");
    assert_eq!(report.sequences[1].non_finite, 2);
    assert_eq!(report.sequences[0].dropped.first, ["onlywords"]);
    all
}

fn expected(folder: &Path, name: &str) -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let Value::Object(all) = serde_json::from_str(&text).unwrap() else {
        panic!("{name}")
    };
    all
}

/// What stands for numbers that are none in the SDK's output: here they are 0 before anything else.
struct Repaired<'a>(&'a dyn Fn(&str, usize, usize) -> f32);

/// Keys, intervals and features, to the last bit of an f32 (the SDK's own values are f32, imputed zeros f64).
fn compare(
    found: &BTreeMap<String, Entries>,
    theirs: &serde_json::Map<String, Value>,
    repaired: &Repaired<'_>,
) {
    assert_eq!(found.len(), theirs.len());
    for (root, theirs) in theirs {
        let theirs = theirs.as_object().unwrap();
        let found = &found[root];
        let mut keys: Vec<&String> = found.iter().map(|entry| &entry.0).collect();
        let mut their_keys: Vec<&String> = theirs.keys().collect();
        // Files hold them by name. In memory the SDK has imputed keys after those of all ids, here they are after their
        // id's.
        keys.sort();
        their_keys.sort();
        assert_eq!(keys, their_keys, "{root}");
        for (key, entry) in found {
            let theirs = &theirs[key];
            let times: Vec<f64> = numbers(&theirs["intervals"]);
            assert_eq!(entry.intervals.as_flattened(), times, "{root} {key}");
            features(&entry.features, &theirs["features"], &|row, column| {
                repaired.0(key, row, column)
            });
        }
    }
}

fn features(found: &Features, theirs: &Value, repaired: &dyn Fn(usize, usize) -> f32) {
    let rows = theirs.as_array().unwrap();
    match found {
        Features::Text(words) => {
            let theirs: Vec<&str> = rows.iter().map(|row| row[0].as_str().unwrap()).collect();
            assert_eq!(words, &theirs);
        }
        Features::Numeric { values, width } => {
            assert_eq!(values.len(), rows.len() * width);
            for (i, found) in values.iter().enumerate() {
                let (row, column) = (i / width, i % width);
                let expected = match &rows[row][column] {
                    Value::Number(number) => number.as_f64().unwrap() as f32,
                    _ => repaired(row, column),
                };
                assert_eq!(
                    found.to_bits(),
                    expected.to_bits(),
                    "row {row}, column {column}"
                );
            }
        }
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    let rows = value.as_array().unwrap().iter();
    rows.flat_map(|row| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()))
        .collect()
}

fn to_words() -> AlignConfig {
    AlignConfig::to("words")
}

fn averaged() -> AlignConfig {
    AlignConfig {
        collapse: vec![Collapse::Mean],
        ..to_words()
    }
}

/// The first words' average of a column, its one value that is no number being 0.
fn first_average(folder: &Path) -> impl Fn(&str, usize, usize) -> f32 + use<> {
    let acoustic = ComputationalSequence::open(&folder.join("acoustic.csd")).unwrap();
    let Features::Numeric { values, width } = acoustic.read("vidA").unwrap().features else {
        panic!("text")
    };
    move |key, row, column| {
        assert!(key.starts_with("vidA") && row == 0 && (column == 1 || column == 2));
        let column = values.iter().skip(column).step_by(width).take(5);
        let finite = column.map(|&x| if x.is_finite() { x } else { 0.0 });
        finite.fold(0.0, |sum: f32, x| sum + x) / 5.0
    }
}

#[test]
fn aligned_to_the_words() {
    let Some(folder) = shared_data("sdk-toy") else {
        return;
    };
    let found = align(&folder, to_words());
    compare(
        &found,
        &expected(&folder, "align_words_nocollapse"),
        &Repaired(&|_, _, _| 0.0),
    );
}

#[test]
fn averaged_imputed_and_unified() {
    let Some(folder) = shared_data("sdk-toy") else {
        return;
    };
    let average = first_average(&folder);
    let imputed = AlignConfig {
        impute: true,
        ..averaged()
    };
    let unified = AlignConfig {
        hard_unify: true,
        ..averaged()
    };
    for (config, name) in [
        (averaged(), "align_words_avg"),
        (imputed, "align_words_avg_impute"),
        (unified, "align_words_avg_hardunify"),
    ] {
        compare(
            &align(&folder, config),
            &expected(&folder, name),
            &Repaired(&average),
        );
    }
}

/// The words averaged and imputed, then the labelled intervals: what the SDK's users do.
fn two_stages() -> AlignConfig {
    AlignConfig {
        impute: true,
        then: Some("labels".into()),
        ..averaged()
    }
}

#[test]
fn then_aligned_to_the_labels_and_reverted() {
    let Some(folder) = shared_data("sdk-toy") else {
        return;
    };
    let average = first_average(&folder);
    let found = align(&folder, two_stages());
    compare(
        &found,
        &expected(&folder, "twostage_align_labels"),
        &Repaired(&average),
    );
    let unified = AlignConfig {
        hard_unify: true,
        ..two_stages()
    };
    let unified = align(&folder, unified);
    compare(
        &unified,
        &expected(&folder, "twostage_hardunify"),
        &Repaired(&average),
    );

    let reverted = align(
        &folder,
        AlignConfig {
            revert: true,
            ..two_stages()
        },
    );
    let by_numbers = numbered(&folder, reverted.clone());
    compare(
        &by_numbers,
        &expected(&folder, "twostage_reverted"),
        &Repaired(&average),
    );
    for (root, entries) in unified {
        assert_eq!(revert(entries).unwrap(), reverted[&root]);
    }
}

/// Words as the numbers that the SDK's user gave them.
fn numbered(folder: &Path, mut all: BTreeMap<String, Entries>) -> BTreeMap<String, Entries> {
    let vocabulary = expected(folder, "vocab");
    for (_, entry) in all.get_mut("words").unwrap() {
        let Features::Text(words) = &entry.features else {
            panic!("numbers")
        };
        let number = |word: &String| vocabulary[word].as_f64().unwrap() as f32;
        entry.features = Features::Numeric {
            values: words.iter().map(number).collect(),
            width: 1,
        };
    }
    all
}

/// The SDK's tensors for these entries by its rule, which `tensor`'s own documentation tests with numbers: three rows, zeros
/// before or after them.
#[test]
fn tensors_are_padded_on_either_side() {
    let Some(folder) = shared_data("sdk-toy") else {
        return;
    };
    let config = AlignConfig {
        hard_unify: true,
        ..two_stages()
    };
    let all = numbered(&folder, align(&folder, config));
    let words = |padding| tensor(all["words"].clone(), 3, padding).unwrap();
    let right = words(Padding::Right);
    assert_eq!(right.ids, ["vidA[0]", "vidA[1]", "vidB[0]", "vidC[0]"]);
    assert_eq!(right.shape, [4, 3, 1]);
    let rows = [1., 2., 3., 3., 4., 0., 5., 6., 0., 7., 0., 0.];
    assert_eq!(right.values, rows);
    let rows = [1., 2., 3., 0., 3., 4., 0., 5., 6., 0., 0., 7.];
    assert_eq!(words(Padding::Left).values, rows);
    let labels = tensor(all["labels"].clone(), 1, Padding::Left).unwrap();
    assert_eq!(labels.values, [2.4, -1.0, 0.0, 3.0]);
    let acoustic = tensor(all["acoustic"].clone(), 3, Padding::Left).unwrap();
    assert_eq!(acoustic.shape, [4, 3, 5]);
    assert_eq!(acoustic.values[15..20], [0.0; 5]);
    assert_eq!(acoustic.values[45..], [0.0; 15]);
}
