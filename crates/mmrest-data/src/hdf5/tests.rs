//! Written files are read back by `hdf5-reader`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Cursor;

use hdf5_reader::Hdf5File;

use super::{Kind, Sink};

fn file(build: impl FnOnce(&mut Sink<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut sink = Sink::new(Cursor::new(Vec::new())).unwrap();
    build(&mut sink);
    sink.finish().unwrap().into_inner()
}

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A file of one group with `count` members, their names given in an order that is not the sorted one.
fn group_of(count: usize) -> Vec<u8> {
    file(|sink| {
        for i in 0..count {
            let i = (i * 7919) % count;
            let bytes = (i as i64).to_le_bytes();
            let path = format!("g/{i:x}é");
            sink.dataset(&path, Kind::I64, &[1], &bytes).unwrap();
        }
    })
}

#[test]
fn groups_of_any_size_list_and_find_their_members() {
    for count in [1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 257, 5_000, 120_000] {
        let file = Hdf5File::from_vec(group_of(count)).unwrap();
        let group = file.group("/g").unwrap();
        let (groups, datasets) = group.member_names().unwrap();
        assert!(groups.is_empty());
        assert_eq!(datasets.len(), count);
        assert!(datasets.is_sorted(), "names are sorted by bytes");
        for i in (0..count).step_by(1 + count / 97) {
            let dataset = group.dataset(&format!("{i:x}é")).unwrap();
            assert_eq!(
                dataset.read_array::<i64>().unwrap()[[0]],
                i as i64,
                "of {count}"
            );
        }
    }
}

#[test]
fn every_kind_of_dataset_is_read_back() {
    let words = ["plain", "naïve", ""];
    let kind = Kind::text(words).unwrap();
    assert_eq!(
        kind,
        Kind::Text {
            bytes: 6,
            utf8: true
        }
    );
    let padded: Vec<u8> = words
        .iter()
        .flat_map(|word| word.bytes().chain([0; 6]).take(6).collect::<Vec<_>>())
        .collect();
    let bytes = file(|sink| {
        sink.dataset(
            "f4",
            Kind::F32,
            &[2, 3],
            &floats([1.0, -2.5, f32::MIN, 0.0, 1e-40, 3.0]),
        )
        .unwrap();
        sink.dataset("a/f8", Kind::F64, &[], &0.1_f64.to_le_bytes())
            .unwrap();
        sink.dataset("a/i8", Kind::I64, &[2], &[[255; 8], [1; 8]].concat())
            .unwrap();
        sink.dataset("a/b/u1", Kind::U8, &[4], &[0, 1, 128, 255])
            .unwrap();
        sink.dataset("a/b/s", kind, &[3], &padded).unwrap();
        sink.dataset("none", Kind::F32, &[0, 5], &[]).unwrap();
        sink.gzipped("none compressed", Kind::F32, &[0, 5], 3, &[])
            .unwrap();
        sink.strings([("m/x", "\"é\""), ("m/y", "")]).unwrap();
    });
    let file = Hdf5File::from_vec(bytes).unwrap();
    let f4 = file.dataset("/f4").unwrap();
    assert_eq!(f4.shape(), [2, 3]);
    let values: Vec<f32> = f4.read_array().unwrap().into_iter().collect();
    assert_eq!(values, [1.0, -2.5, f32::MIN, 0.0, 1e-40, 3.0]);
    let f8 = file.dataset("/a/f8").unwrap();
    assert!(f8.shape().is_empty());
    assert_eq!(
        f8.read_array::<f64>().unwrap().into_iter().next(),
        Some(0.1)
    );
    let i8: Vec<i64> = file
        .dataset("/a/i8")
        .unwrap()
        .read_array()
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(i8, [-1, 0x0101_0101_0101_0101]);
    let u1: Vec<u8> = file
        .dataset("/a/b/u1")
        .unwrap()
        .read_array()
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(u1, [0, 1, 128, 255]);
    assert_eq!(
        file.dataset("/a/b/s").unwrap().read_strings().unwrap(),
        words
    );
    for name in ["/none", "/none compressed"] {
        assert_eq!(file.dataset(name).unwrap().shape(), [0, 5]);
        assert_eq!(
            file.dataset(name)
                .unwrap()
                .read_array::<f32>()
                .unwrap()
                .len(),
            0
        );
    }
    assert_eq!(
        file.dataset("/m/x").unwrap().read_strings().unwrap(),
        ["\"é\""]
    );
    assert_eq!(file.dataset("/m/y").unwrap().read_strings().unwrap(), [""]);
}

#[test]
fn chunks_of_any_number_are_put_together_again() {
    for (length, rows) in [
        (1, 1),
        (7, 7),
        (7, 3),
        (64, 1),
        (65, 1),
        (5_000, 1),
        (4_100, 2),
    ] {
        let values: Vec<f32> = (0..length * 2).map(|i| i as f32 * 0.5).collect();
        let bytes = file(|sink| {
            let shape = [length as u64, 2];
            sink.gzipped("x", Kind::F32, &shape, rows, &floats(values.clone()))
                .unwrap();
        });
        let file = Hdf5File::from_vec(bytes).unwrap();
        let dataset = file.dataset("/x").unwrap();
        assert_eq!(dataset.chunks(), Some(vec![rows, 2]));
        let read: Vec<f32> = dataset.read_array().unwrap().into_iter().collect();
        assert_eq!(read, values, "{length} rows, {rows} a chunk");
    }
}

#[test]
fn many_strings_share_one_heap() {
    let items: Vec<(String, String)> = (0..300)
        .map(|i| (format!("m/{i}"), "ü".repeat(i)))
        .collect();
    let bytes = file(|sink| {
        sink.strings(
            items
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str())),
        )
        .unwrap();
    });
    let file = Hdf5File::from_vec(bytes).unwrap();
    for (path, text) in &items {
        assert_eq!(
            &file.dataset(path).unwrap().read_strings().unwrap(),
            std::slice::from_ref(text)
        );
    }
}

#[test]
fn closed_groups_are_as_open_ones() {
    let bytes = file(|sink| {
        for i in 0..200 {
            sink.dataset(&format!("r/d/{i}/a"), Kind::U8, &[1], &[i])
                .unwrap();
            sink.dataset(&format!("r/d/{i}/b"), Kind::U8, &[1], &[i + 1])
                .unwrap();
            sink.close(&format!("r/d/{i}")).unwrap();
            assert!(
                sink.dataset(&format!("r/d/{i}/c"), Kind::U8, &[1], &[i])
                    .is_err()
            );
        }
    });
    let file = Hdf5File::from_vec(bytes).unwrap();
    let (groups, _) = file.group("/r/d").unwrap().member_names().unwrap();
    assert_eq!(groups.len(), 200);
    let b = file.dataset("/r/d/77/b").unwrap();
    assert_eq!(b.read_array::<u8>().unwrap()[[0]], 78);
}

#[test]
fn identical_input_gives_identical_bytes() {
    assert_eq!(group_of(100), group_of(100));
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let mut sink = Sink::new(Cursor::new(Vec::new())).unwrap();
    for path in ["", "//a", "a//b", "a/", "a\0", "./a"] {
        let error = sink.dataset(path, Kind::U8, &[1], &[1]).unwrap_err();
        assert!(error.to_string().contains("no name"), "{error}");
    }
    sink.dataset("a", Kind::U8, &[1], &[1]).unwrap();
    assert!(sink.dataset("a", Kind::U8, &[1], &[1]).is_err(), "twice");
    assert!(
        sink.dataset("a/b", Kind::U8, &[1], &[1]).is_err(),
        "below a dataset"
    );
    assert!(
        sink.dataset("c", Kind::F32, &[2], &[1]).is_err(),
        "too short"
    );
    assert!(
        sink.gzipped("c", Kind::F32, &[2], 1, &[1]).is_err(),
        "too short"
    );
    assert!(sink.close("a").is_err() && sink.close("z").is_err());
    assert!(Kind::text(["a\0b"]).is_err());
}
