//! Packed sets: what is written is read back, and what is no whole set is refused in words.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod malformed;
mod parts;

use std::fs;
use std::path::{Path, PathBuf};

use mmrest_data::packed::{About, PackedSet, PackedWriter};
use mmrest_data::{DataError, DataReport, Frames, Modality, Segment, SourceFile, Split, Widths};

const WIDTHS: Widths = Widths {
    vision: 3,
    audio: 2,
};

fn frames(width: usize, count: usize, seed: usize) -> Frames {
    Frames {
        values: (0..count * width)
            .map(|i| (i * 31 + seed) as f32 * 0.25 - 9.0)
            .collect(),
        width,
    }
}

fn segment(i: usize) -> Segment {
    Segment {
        id: format!("vidéo-{}[{i}]", i % 7),
        video: format!("vidéo-{}", i % 7),
        text: ["", "naïve café", "plain", "日本語 😀"][i % 4].to_owned(),
        vision: frames(3, i % 5, i),
        audio: frames(2, (i * 3) % 11, i + 1),
        label: (!i.is_multiple_of(6)).then_some(i as f32 * 0.1 - 1.0),
    }
}

fn split(i: usize) -> Split {
    Split::ALL[(i * i) % 3]
}

fn about(folder: &str) -> About {
    About {
        key: "made by a test".to_owned(),
        files: vec![SourceFile {
            path: PathBuf::from(folder).join("labels.csd"),
            sha256: "00".repeat(32),
            bytes: 7,
        }],
        report: DataReport {
            videos: 7,
            non_finite: [(Modality::Audio, 3)].into(),
            segments: [(Split::Train, 2), (Split::Test, 1)].into(),
            ..DataReport::default()
        },
        label_range: [-1.0, 1.5],
    }
}

/// Writes a set of `count` segments; its bytes.
fn set_of(path: &Path, count: usize) -> Vec<u8> {
    let mut writer = PackedWriter::create(path, WIDTHS, true).unwrap();
    for i in 0..count {
        writer.push(split(i), &segment(i)).unwrap();
    }
    writer.finish(about("/somewhere")).unwrap();
    fs::read(path).unwrap()
}

/// Names in a folder: nothing temporary may be left there.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for count in [0, 1, 2, 100] {
        let path = folder.path().join("deeper/set.h5");
        set_of(&path, count);
        assert_eq!(names(path.parent().unwrap()), ["set.h5"]);
        let set = PackedSet::open(&path).unwrap();
        assert_eq!(
            (set.path(), set.len(), set.widths()),
            (&*path, count, WIDTHS)
        );
        for i in 0..count {
            assert_eq!(set.segment(i).unwrap(), segment(i));
            assert_eq!(
                (set.id(i), set.video(i)),
                (&*segment(i).id, &*segment(i).video)
            );
            assert_eq!(
                (set.text(i), set.label(i)),
                (&*segment(i).text, segment(i).label)
            );
            assert_eq!(set.split_of(i), split(i));
            assert_eq!(set.frame_count(Modality::Audio, i), segment(i).audio.len());
            assert_eq!(
                set.frame_count(Modality::Vision, i),
                segment(i).vision.len()
            );
        }
        for part in Split::ALL {
            let rows: Vec<usize> = (0..count).filter(|&i| split(i) == part).collect();
            assert_eq!(set.rows(part), rows);
        }
        let mut expected = about("");
        expected.files[0].path = PathBuf::from("labels.csd");
        assert_eq!(set.about(), &expected);
        set.verify().unwrap();
        assert!(matches!(
            set.frames(Modality::Audio, count),
            Err(DataError::Packed { .. })
        ));
    }
}

#[test]
fn a_modality_not_in_use_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    for (widths, text) in [
        (
            Widths {
                vision: 0,
                audio: 2,
            },
            false,
        ),
        (
            Widths {
                vision: 3,
                audio: 0,
            },
            true,
        ),
        (Widths::default(), true),
    ] {
        let mut writer = PackedWriter::create(&path, widths, text).unwrap();
        writer.push(Split::Valid, &segment(7)).unwrap();
        writer.finish(About::default()).unwrap();
        let set = PackedSet::open(&path).unwrap();
        assert_eq!(set.widths(), widths);
        let kept = |width: usize, frames: Frames| match width {
            0 => Frames::default(),
            _ => frames,
        };
        let expected = Segment {
            text: if text { segment(7).text } else { String::new() },
            vision: kept(widths.vision, segment(7).vision),
            audio: kept(widths.audio, segment(7).audio),
            ..segment(7)
        };
        assert_eq!(set.segment(0).unwrap(), expected);
        assert_eq!(set.has(Modality::Text), text);
        assert_eq!(set.has(Modality::Audio), widths.audio > 0);
        assert_eq!(set.has(Modality::Vision), widths.vision > 0);
        set.verify().unwrap();
    }
}

#[test]
fn identical_segments_give_identical_bytes_wherever_they_come_from() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = folders.map(|folder| {
        let path = folder.path().join("set.h5");
        let mut writer = PackedWriter::create(&path, WIDTHS, true).unwrap();
        writer.push(Split::Train, &segment(5)).unwrap();
        let from = folder.path().to_string_lossy().into_owned();
        writer.finish(about(&from)).unwrap();
        fs::read(path).unwrap()
    });
    assert_eq!(one, other);
}

#[test]
fn segments_that_do_not_fit_are_refused_and_leave_the_set_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let mut writer = PackedWriter::create(&path, WIDTHS, true).unwrap();
    writer.push(Split::Train, &segment(4)).unwrap();
    let good = segment(8);
    let cases = [
        (
            Segment {
                id: segment(4).id,
                ..good.clone()
            },
            "occurs twice",
        ),
        (
            Segment {
                id: String::new(),
                ..good.clone()
            },
            "its id",
        ),
        (
            Segment {
                id: "a\0".into(),
                ..good.clone()
            },
            "NUL",
        ),
        (
            Segment {
                video: "v".repeat(1025),
                ..good.clone()
            },
            "longer than 1024",
        ),
        (
            Segment {
                label: Some(f32::INFINITY),
                ..good.clone()
            },
            "infinite",
        ),
        (
            Segment {
                vision: frames(4, 1, 0),
                ..good.clone()
            },
            "vision: frames of width 4, not 3",
        ),
        (
            Segment {
                audio: Frames {
                    values: vec![0.0; 3],
                    width: 2,
                },
                ..good.clone()
            },
            "1 values beyond",
        ),
    ];
    for (wrong, reason) in cases {
        let message = writer.push(Split::Test, &wrong).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
    let unlabelled = Segment {
        label: Some(f32::NAN),
        ..good
    };
    writer.push(Split::Test, &unlabelled).unwrap();
    writer.finish(About::default()).unwrap();
    let set = PackedSet::open(&path).unwrap();
    assert_eq!(set.len(), 2);
    assert_eq!(set.segment(0).unwrap(), segment(4));
    assert_eq!(
        set.segment(1).unwrap(),
        Segment {
            label: None,
            ..unlabelled
        }
    );
}

#[test]
fn a_set_that_is_never_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let old = set_of(&path, 3);
    let mut writer = PackedWriter::create(&path, WIDTHS, true).unwrap();
    writer.push(Split::Train, &segment(1)).unwrap();
    drop(writer);
    assert_eq!(names(folder.path()), ["set.h5"]);
    assert_eq!(fs::read(&path).unwrap(), old);
}

#[test]
fn frames_may_be_read_from_many_threads_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    set_of(&path, 60);
    let set = PackedSet::open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let set = &set;
            scope.spawn(move || {
                for i in (0..60).map(|i| (i * 7 + thread * 11) % 60) {
                    assert_eq!(set.segment(i).unwrap(), segment(i));
                }
            });
        }
    });
}

#[test]
fn a_changed_value_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let mut bytes = set_of(&path, 9);
    let needle: Vec<u8> = segment(8).vision.values[..3]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let at = bytes
        .windows(12)
        .rposition(|window| window == needle)
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    PackedSet::open(&path).unwrap();
    let message = PackedSet::open_verified(&path).unwrap_err().to_string();
    assert!(message.contains("/vision/values"), "{message}");
}
