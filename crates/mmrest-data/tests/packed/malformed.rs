//! Sets that are cut, spoilt or contradict themselves.

use std::fs;

use hdf5_writer::DatasetBuilder;
use mmrest_data::packed::{About, PackedSet};
use mmrest_data::{Segment, Split, csd};

use crate::parts::{Parts, refusal, vector};
use crate::{WIDTHS, set_of};

#[test]
fn the_parts_are_a_good_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    Parts::good().write(&path, "", None);
    let set = PackedSet::open(&path).unwrap();
    assert_eq!((set.text(0), set.text(1)), ("n", "é"));
    assert_eq!(set.segment(1).unwrap().audio.values, [3.0, 4.0, 5.0, 6.0]);
    let message = set.verify().unwrap_err().to_string();
    assert!(message.contains("no checksum"), "{message}");
}

#[test]
fn what_is_no_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    assert!(refusal(&path).contains("set.h5"));
    fs::write(&path, "").unwrap();
    assert!(refusal(&path).contains("empty"));
    fs::write(&path, "no HDF5 at all").unwrap();
    assert!(refusal(&path).contains("HDF5"));
    assert!(refusal(folder.path()).contains("folder"));
    let entry = csd::Entry {
        intervals: vec![[0.0, 1.0]],
        features: csd::Features::Text(vec!["word".to_owned()]),
    };
    csd::write(&path, "words", &csd::metadata("words", ""), [("v", entry)]).unwrap();
    assert!(refusal(&path).contains("no dataset /metadata"));
}

#[test]
fn metadata_that_are_not_ours_are_refused() {
    let with = |key: &str, value: serde_json::Value| {
        let mut parts = Parts::good();
        parts.metadata[key] = value;
        parts.refusal()
    };
    assert!(with("format", "another".into()).contains("format"));
    assert!(with("version", 2.into()).contains("version 2"));
    assert!(with("version", "1".into()).contains("version"));
    assert!(with("report", 3.into()).contains("/metadata"));
    assert!(with("files", "x".into()).contains("/metadata"));
    assert!(with("sha256", 1.into()).contains("/metadata"));
    assert!(with("label_range", serde_json::json!([1.0, 1.0])).contains("label_range"));
    let text = DatasetBuilder::fixed_string_data("metadata", vec![], &["{not JSON"]).unwrap();
    assert!(
        Parts::good()
            .refusal_with("metadata", Some(text))
            .contains("no JSON")
    );
    let listed = DatasetBuilder::fixed_string_data("metadata", vec![1], &["{}"]).unwrap();
    assert!(
        Parts::good()
            .refusal_with("metadata", Some(listed))
            .contains("/metadata")
    );
}

#[test]
fn datasets_that_lack_or_are_of_another_type_are_refused_by_name() {
    for name in [
        "id",
        "video",
        "split",
        "label",
        "text/values",
        "text/offsets",
        "audio/values",
        "audio/offsets",
    ] {
        let message = Parts::good().refusal_with(name, None);
        assert!(message.contains(&format!("/{name}")), "{message}");
        // Three bytes: no type and no length that any of them has, but that of the text.
        let other = match name {
            "text/values" => vector(name, &[1_u16, 2, 3]),
            _ => vector(name, &[1_u8, 2, 3]),
        };
        let message = Parts::good().refusal_with(name, Some(other));
        assert!(
            message.contains(&format!("/{name}: elements are")),
            "{message}"
        );
    }
    let flat = vector("audio/values", &[1.0_f32; 6]);
    let message = Parts::good().refusal_with("audio/values", Some(flat));
    assert!(message.contains("2 dimensions"), "{message}");
    let chunked = DatasetBuilder::typed_data("label", vec![2], &[0.0_f32; 2]).unwrap();
    let message = Parts::good().refusal_with("label", Some(chunked.chunked([1])));
    assert!(
        message.contains("/label") && message.contains("one after another"),
        "{message}"
    );
}

#[test]
fn lengths_and_offsets_that_contradict_each_other_are_refused() {
    let spoilt = |spoil: fn(&mut Parts)| {
        let mut parts = Parts::good();
        spoil(&mut parts);
        parts.refusal()
    };
    assert!(spoilt(|parts| parts.video.push("w")).contains("/video"));
    assert!(spoilt(|parts| parts.split.truncate(1)).contains("/split"));
    assert!(spoilt(|parts| parts.label.push(0.0)).contains("/label"));
    assert!(spoilt(|parts| parts.id[1] = "v[0]").contains("\"v[0]\" occurs twice"));
    assert!(spoilt(|parts| parts.split[1] = "dev").contains("row 1 is \"dev\""));
    assert!(spoilt(|parts| parts.label[0] = f32::INFINITY).contains("/label: row 0"));

    let offsets = |offsets: [i64; 3]| {
        let mut parts = Parts::good();
        parts.audio_offsets = offsets.to_vec();
        let message = parts.refusal();
        assert!(message.contains("/audio/offsets"), "{message}");
        message
    };
    assert!(offsets([1, 1, 3]).contains("first"));
    assert!(offsets([0, 2, 1]).contains("row 1 ends before"));
    assert!(offsets([0, -1, 3]).contains("row 1 ends before"));
    assert!(offsets([0, 1, 4]).contains("the last is 4, not the 3"));
    assert!(offsets([0, 1, 2]).contains("the last is 2"));
    assert!(offsets([0, 1, i64::MAX]).contains("the last"));
    assert!(spoilt(|parts| parts.audio_offsets.truncate(2)).contains("/audio/offsets"));
    assert!(spoilt(|parts| parts.audio_offsets.clear()).contains("/audio/offsets"));

    assert!(spoilt(|parts| parts.text_offsets = vec![0, 2, 3]).contains("inside a character"));
    assert!(spoilt(|parts| parts.text = b"n\xff\xff".into()).contains("/text/values"));
    assert!(
        spoilt(|parts| {
            parts.audio_shape = vec![6, 0];
            parts.audio.clear();
        })
        .contains("width 0")
    );
}

#[test]
fn huge_claims_are_refused_before_anything_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let whole = set_of(&path, 20);
    let frames: usize = (0..20).map(|i| crate::segment(i).audio.len()).sum();
    let shape = |frames: u64| [frames.to_le_bytes(), (WIDTHS.audio as u64).to_le_bytes()].concat();
    let found = shape(frames as u64);
    let at = whole
        .windows(16)
        .position(|window| window == found)
        .unwrap();
    for claim in [frames as u64 + 1, 1 << 40, 1 << 60, u64::MAX] {
        let mut bytes = whole.clone();
        bytes[at..at + 16].copy_from_slice(&shape(claim));
        fs::write(&path, bytes).unwrap();
        assert!(refusal(&path).contains("/audio/values"));
    }
}

#[test]
fn a_set_cut_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let whole = set_of(&path, 12);
    for length in (0..whole.len()).step_by(5).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        refusal(&path);
    }
}

/// Everything that a set tells of its data.
fn content(set: &PackedSet) -> (About, Vec<(Split, Segment)>) {
    let rows = (0..set.len()).map(|row| (set.split_of(row), set.segment(row).unwrap()));
    (set.about().clone(), rows.collect::<Vec<_>>())
}

#[test]
fn a_changed_byte_is_seen_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let whole = set_of(&path, 5);
    let good = content(&PackedSet::open_verified(&path).unwrap());
    let (mut refused, mut same) = (0, 0);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= [0xff, 0x01, 0x80, 0x10][at % 4];
        fs::write(&path, &bytes).unwrap();
        match PackedSet::open_verified(&path) {
            Err(_) => refused += 1,
            Ok(set) => {
                assert!(content(&set) == good, "byte {at} passed unseen");
                same += 1;
            }
        }
    }
    // Reserved space of the HDF5 structure is all that may change.
    assert!(refused > same, "{refused} refused, {same} the same");
}
