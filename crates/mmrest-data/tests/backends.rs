//! Both HDF5 libraries read the same files to the same values.
#![cfg(feature = "libhdf5")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{numbers, shared_data, words, write};
use mmrest_data::csd::{Backend, ComputationalSequence, Entry, Features};

/// Bits, so that NaN equals itself.
fn comparable(entry: Entry) -> (Vec<[f64; 2]>, Vec<u32>, Vec<String>) {
    match entry.features {
        Features::Numeric { values, .. } => {
            let bits = values.into_iter().map(f32::to_bits).collect();
            (entry.intervals, bits, Vec::new())
        }
        Features::Text(words) => (entry.intervals, Vec::new(), words),
    }
}

fn compare(path: &Path) {
    let rust = ComputationalSequence::open_with(path, Backend::Rust).unwrap();
    let native = ComputationalSequence::open_with(path, Backend::LibHdf5).unwrap();
    assert_eq!(rust.root(), native.root());
    assert_eq!(rust.metadata(), native.metadata());
    let sorted = |sequence: &ComputationalSequence| {
        let mut ids = sequence.ids().to_vec();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&rust), sorted(&native));
    for id in rust.ids() {
        let ours = comparable(rust.read(id).unwrap());
        let theirs = comparable(native.read(id).unwrap());
        assert!(ours == theirs, "{} {id}", path.display());
    }
}

#[test]
fn files_written_here_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(70);
    let entries = [
        ("a", words(&[([0.0, 1.0], "plain"), ([1.0, 2.0], &long)])),
        ("b", words(&[([0.0, 1.0], "café"), ([1.0, 2.0], "")])),
        (
            "c",
            numbers(&[
                ([0.0, 1.0], &[1.0, f32::NAN]),
                ([1.0, 2.0], &[-0.5, f32::NEG_INFINITY]),
            ]),
        ),
        ("d", numbers(&[])),
    ];
    write(folder.path(), "s.csd", &entries);
    compare(&folder.path().join("s.csd"));
}

#[test]
fn real_files_read_alike() {
    for name in ["sdk-toy", "mosi"] {
        let Some(folder) = shared_data(name) else {
            continue;
        };
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "csd") {
                compare(&path);
            }
        }
    }
}

#[test]
fn both_refuse_what_is_no_hdf5() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csd");
    fs::write(
        &path,
        "no HDF5 at all, but longer than a superblock would have to be",
    )
    .unwrap();
    for &backend in Backend::ALL {
        assert!(ComputationalSequence::open_with(&path, backend).is_err());
    }
}
