//! Both HDF5 libraries read the same files to the same values.
#![cfg(feature = "libhdf5")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{numbers, shared_data, words, write};
use mmrest_data::csd::{Backend, ComputationalSequence, Entry, Features};
use mmrest_data::packed::{About, PackedWriter};
use mmrest_data::{Frames, Segment, Split, Widths};

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

/// One with many entries and several levels of trees, one with chunks of which there are several.
#[test]
fn large_files_written_here_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    for count in [33, 5_000] {
        let ids: Vec<String> = (0..count)
            .map(|i| format!("vidéo{}[{i}]", i * 7919 % count))
            .collect();
        let entry = words(&[([0.0, 1.0], "café")]);
        let entries: Vec<_> = ids.iter().map(|id| (id.as_str(), entry.clone())).collect();
        write(folder.path(), "s.csd", &entries);
        compare(&folder.path().join("s.csd"));
    }
    let long = Entry {
        intervals: (0..200_000)
            .map(|i| [f64::from(i), f64::from(i + 1)])
            .collect(),
        features: Features::Numeric {
            values: (0..600_000).map(|i| i as f32).collect(),
            width: 3,
        },
    };
    write(folder.path(), "s.csd", &[("long", long)]);
    compare(&folder.path().join("s.csd"));
}

/// The system's library finds every dataset of a packed set, and the values of one segment.
#[test]
fn packed_sets_are_read_by_libhdf5() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let widths = Widths {
        vision: 0,
        audio: 2,
    };
    let mut writer = PackedWriter::create(&path, widths, true).unwrap();
    for i in 0..40_u8 {
        let segment = Segment {
            id: format!("vidéo[{i}]"),
            video: "vidéo".to_owned(),
            text: "naïve".to_owned(),
            vision: Frames::default(),
            audio: Frames {
                values: vec![f32::from(i); 2 * usize::from(i)],
                width: 2,
            },
            label: (i % 2 == 0).then_some(0.5),
        };
        writer.push(Split::Test, &segment).unwrap();
    }
    writer.finish(About::default()).unwrap();

    let file = hdf5::File::open(&path).unwrap();
    let offsets = file
        .dataset("audio/offsets")
        .unwrap()
        .read_raw::<i64>()
        .unwrap();
    let values = file.dataset("audio/values").unwrap();
    assert_eq!(values.shape(), [offsets[40] as usize, 2]);
    let values = values.read_raw::<f32>().unwrap();
    assert_eq!(
        values[2 * offsets[7] as usize..2 * offsets[8] as usize],
        [7.0; 14]
    );
    let text = file
        .dataset("text/values")
        .unwrap()
        .read_raw::<u8>()
        .unwrap();
    assert_eq!(text, "naïve".repeat(40).as_bytes());
    let ids = file.dataset("id").unwrap();
    let ids = ids.read_raw::<hdf5::types::FixedUnicode<32>>().unwrap();
    assert_eq!(ids[39].as_str(), "vidéo[39]");
    let splits = file.dataset("split").unwrap();
    let splits = splits.read_raw::<hdf5::types::FixedAscii<8>>().unwrap();
    assert!(splits.iter().all(|split| split.as_str() == "test"));
    assert_eq!(
        file.dataset("label").unwrap().read_raw::<f32>().unwrap()[2],
        0.5
    );
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
