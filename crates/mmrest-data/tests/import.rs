//! The pickles of the processed releases become the segments they were made from.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod made;

use std::path::{Path, PathBuf};

use made::{array, dict, list, number, pickle, text};
use mmrest_data::import::import;
use mmrest_data::packed::PackedSet;
use mmrest_data::{
    DataConfig, DataError, Dataset, DropReason, Frames, FramesOf, Kind, Missing, Modality, Segment,
    Split, Unit, load,
};
use serde_json::Value as Json;

fn folder() -> PathBuf {
    common::workspace().join("crates/mmrest-data/tests/pickles")
}

fn config(dir: &Path, file: &str, table: Option<&str>) -> DataConfig {
    DataConfig {
        kind: Kind::Mmsa,
        dir: dir.to_path_buf(),
        file: Some(file.to_owned()),
        table: table.map(str::to_owned),
        ..DataConfig::default()
    }
}

fn load_it(config: &DataConfig) -> mmrest_data::Result<Dataset> {
    load(config, Path::new("."))
}

fn refusal(config: &DataConfig) -> String {
    let error = load_it(config)
        .expect_err("it should be refused")
        .to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

fn expected(name: &str, split: Split) -> Vec<Segment> {
    let file = std::fs::read_to_string(folder().join("releases.json")).unwrap();
    let releases: Json = serde_json::from_str(&file).unwrap();
    let segments = releases[name][split.name()].as_array().unwrap().iter();
    segments.map(segment).collect()
}

fn segment(json: &Json) -> Segment {
    let frames = |key: &str, width| Frames {
        values: serde_json::from_value::<Vec<Vec<f32>>>(json[key].clone())
            .unwrap()
            .concat(),
        width,
    };
    let id = json["id"].as_str().unwrap();
    Segment {
        id: id.to_owned(),
        video: id.split_once("$_$").unwrap().0.to_owned(),
        text: json["text"].as_str().unwrap().to_owned(),
        vision: frames("vision", 2),
        audio: frames("audio", 3),
        label: serde_json::from_value(json["label"].clone()).unwrap(),
    }
}

#[test]
fn every_release_gives_the_segments_it_was_made_from() {
    for (name, table) in [
        ("mmsa-unaligned", None),
        ("sims", None),
        ("mmsa-aligned", None),
        ("mult-mosi", Some("mult-mosi.csv")),
        ("mult-mosei", Some("mult-mosei.csv")),
    ] {
        let dataset = load_it(&config(&folder(), &format!("{name}.pkl"), table)).unwrap();
        for split in Split::ALL {
            assert_eq!(
                dataset.split(split),
                expected(name, split),
                "{name}: {split}"
            );
        }
        assert_eq!((dataset.widths.vision, dataset.widths.audio), (2, 3));
        assert_eq!(dataset.report.total(), dataset.report.intervals);
        if table.is_some() {
            assert_eq!(dataset.report.labels_compared, dataset.report.intervals);
            assert_eq!(dataset.report.label_mismatches, 0);
            assert_eq!(dataset.files.len(), 2);
        }
    }
}

#[test]
fn rows_per_token_are_those_of_an_aligned_release_alone() {
    let of = |file: &str| DataConfig {
        frames: FramesOf::Word,
        ..config(&folder(), file, None)
    };
    let refused = refusal(&of("mmsa-unaligned.pkl"));
    assert!(refused.contains("aligned_50.pkl"), "{refused}");
    let [own, by_token] = [
        config(&folder(), "mmsa-aligned.pkl", None),
        of("mmsa-aligned.pkl"),
    ]
    .map(|config| load_it(&config).unwrap());
    // No row goes from the front: row i stays with token i.
    for (own, by_token) in own.segments().zip(by_token.segments()) {
        let leading = by_token.audio.len() - own.audio.len();
        let zeros = &by_token.audio.values[..leading * own.audio.width];
        assert!(zeros.iter().all(|&value| value == 0.0));
        assert!(by_token.audio.values.ends_with(&own.audio.values));
    }
}

#[test]
fn what_is_lacking_is_counted_dropped_or_refused_as_asked() {
    let mut config = config(&folder(), "mmsa-aligned.pkl", None);
    let zero = load_it(&config).unwrap();
    assert_eq!(zero.report.absent[&Modality::Vision], 1);
    assert!(zero.train[1].vision.is_empty() && zero.train[1].vision.width == 2);
    config.missing = Missing::Drop;
    let dropped = load_it(&config).unwrap();
    assert_eq!(dropped.train.len(), 2);
    assert_eq!(dropped.report.dropped[&DropReason::MissingModality], 1);
    config.missing = Missing::Error;
    assert!(refusal(&config).contains("\"vtrain$_$1\" has no vision"));
    config.modalities = vec![Modality::Text];
    let text = load_it(&config).unwrap();
    assert_eq!((text.widths.vision, text.train[0].vision.width), (0, 0));
}

#[test]
fn sequences_are_shortened_and_labels_clamped_as_anywhere() {
    let mut config = config(&folder(), "mmsa-unaligned.pkl", None);
    config.max_frames = Some(2);
    config.label_range = [-1.0, 1.0];
    let dataset = load_it(&config).unwrap();
    assert!(
        dataset
            .segments()
            .all(|s| s.vision.len() <= 2 && s.audio.len() <= 2)
    );
    assert_eq!(dataset.train[0].label, Some(1.0));
    assert_eq!(dataset.report.labels_clamped, 3);
}

#[test]
fn a_release_without_words_needs_the_table_unless_text_is_not_in_use() {
    let mut config = config(&folder(), "mult-mosi.pkl", None);
    assert!(refusal(&config).contains("holds no words"));
    config.modalities = vec![Modality::Audio];
    let dataset = load_it(&config).unwrap();
    assert_eq!(dataset.train[0].id, "a_b-$_$1");
    config.file = Some("mult-mosei.pkl".to_owned());
    let dataset = load_it(&config).unwrap();
    assert_eq!(dataset.train[0].id, "-v$_$95.0_100.0");
    assert_eq!(dataset.train[0].video, "-v");
}

/// A copy of a fixture's table with one text replaced by another, beside its pickle.
fn with_table(name: &str, from: &str, to: &str) -> (tempfile::TempDir, DataConfig) {
    let copy = tempfile::tempdir().unwrap();
    let pickle = format!("{name}.pkl");
    std::fs::copy(folder().join(&pickle), copy.path().join(&pickle)).unwrap();
    let table = std::fs::read_to_string(folder().join(format!("{name}.csv"))).unwrap();
    assert!(table.contains(from));
    std::fs::write(copy.path().join("label.csv"), table.replacen(from, to, 1)).unwrap();
    let config = config(copy.path(), &pickle, Some("label.csv"));
    (copy, config)
}

#[test]
fn a_table_of_other_ids_is_refused_with_both_sides() {
    let (_folder, config) = with_table("mult-mosi", "e,1,", "e,2,");
    let error = refusal(&config);
    assert!(error.contains("1 of its segments are not in"), "{error}");
    assert!(
        error.contains("(e$_$1)") && error.contains("(e$_$2)"),
        "{error}"
    );
    let (_folder, config) = with_table("mult-mosi", "e,1,six,-3.0,test\n", "");
    assert!(refusal(&config).contains("0 rows of the table"));
    let (_folder, config) = with_table("mult-mosei", "y,5,", "z,5,");
    let error = refusal(&config);
    assert!(
        error.contains("y$_$47.5_52.5") && error.contains("z$_$5"),
        "{error}"
    );
}

#[test]
fn a_clip_may_be_written_with_zeros() {
    let (_folder, config) = with_table("mult-mosi", "e,1,", "e,0001,");
    assert_eq!(load_it(&config).unwrap().test[1].id, "e$_$0001");
}

#[test]
fn another_split_or_another_label_is_told() {
    let (_folder, config) = with_table("mult-mosi", "d,10,four,2.0,valid", "d,10,four,2.0,test");
    let error = refusal(&config);
    assert!(
        error.contains("valid: \"d$_$10\" is test in the table"),
        "{error}"
    );
    let (_folder, config) = with_table("mult-mosi", "four,2.0", "four,1.0");
    assert_eq!(load_it(&config).unwrap().report.label_mismatches, 1);
    // Without the column of splits there is nothing to contradict.
    let (_folder, config) = with_table("mult-mosi", "label,mode", "label,other");
    assert_eq!(load_it(&config).unwrap().report.total(), 6);
}

#[test]
fn segments_in_time_are_joined_only_where_that_is_proven() {
    // Clips 2 and 7 of video -v have one label, 10 another: exchanging 7 and 10 is seen.
    for (from, to) in [
        ("-v,10,ten,1.0", "-v,10,ten,0.5"),
        ("-v,10,ten,1.0", "-v,3,ten,1.0"),
        ("-v,10,ten,1.0,train\n", ""),
        ("-v,10,ten,1.0", "-v,10,ten,"),
    ] {
        let (_folder, config) = with_table("mult-mosei", from, to);
        let error = refusal(&config);
        assert!(
            error.contains("video \"-v\"") && error.contains("cannot be told"),
            "{error}"
        );
    }
}

#[test]
fn the_table_beside_a_release_with_words_is_only_compared() {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(
        folder().join("mmsa-unaligned.pkl"),
        copy.path().join("a.pkl"),
    )
    .unwrap();
    let table = "video_id,clip_id,text,label,mode\ntrain_0,1,good film,3.0,train\ntrain_0,2,other words,1,train\nz,1,,,test\n";
    std::fs::write(copy.path().join("label.csv"), table).unwrap();
    let dataset = load_it(&config(copy.path(), "a.pkl", Some("label.csv"))).unwrap();
    let report = dataset.report;
    assert_eq!((report.labels_compared, report.label_mismatches), (2, 1));
    assert_eq!((report.texts_compared, report.text_mismatches), (2, 1));
    assert_eq!(report.table_rows_unused, 1);
    assert_eq!(dataset.train[1].text, "don't");
}

/// The keys of a split of two segments.
fn part(first: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("raw_text", list(&[text("a"), text("b")])),
        ("id", list(&[text(first), text("v$_$2")])),
        ("regression_labels", array(&[2], &[1.0, f32::NAN])),
        ("vision", array(&[2, 2, 1], &[1.0, 2.0, 3.0, 0.0])),
        ("audio", array(&[2, 1, 2], &[1.0, f32::INFINITY, 3.0, 4.0])),
    ]
}

/// A release whose training split has one key replaced.
fn release(key: &'static str, value: Option<Vec<u8>>) -> Vec<u8> {
    let mut train = part("v$_$1");
    train.retain(|(known, _)| *known != key);
    train.extend(value.map(|value| (key, value)));
    pickle(&dict(&[("train", dict(&train))]))
}

/// Loads a pickle of these bytes.
fn load_bytes(bytes: &[u8]) -> Result<Dataset, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("made.pkl"), bytes).unwrap();
    load_it(&config(folder.path(), "made.pkl", None)).map_err(|error| error.to_string())
}

#[test]
fn labels_that_are_no_numbers_are_left_out_and_values_made_finite() {
    let dataset = load_bytes(&release("", None)).unwrap();
    assert_eq!(dataset.report.dropped[&DropReason::NoLabel], 1);
    assert_eq!(dataset.report.non_finite[&Modality::Audio], 1);
    assert_eq!(dataset.train.len(), 1);
    assert_eq!(dataset.train[0].audio.values, [1.0, 0.0]);
}

#[test]
fn lengths_decide_what_is_padding() {
    let lengths = list(&[number(1.0), number(2.0)]);
    let dataset = load_bytes(&release("vision_lengths", Some(lengths))).unwrap();
    assert_eq!(
        dataset.train[0].vision.values,
        [1.0],
        "though the next frame is not zero"
    );
    for (lengths, why) in [
        (
            list(&[number(3.0), number(1.0)]),
            "3 for \"v$_$1\", but vision has room for 2 frames",
        ),
        (list(&[number(-1.0), number(1.0)]), "-1 for"),
        (list(&[number(0.5), number(1.0)]), "0.5 for"),
        (list(&[number(f64::NAN), number(1.0)]), "NaN for"),
        (list(&[number(1.0)]), "shape (1,), but there are 2 ids"),
        (text("one"), "train[\"vision_lengths\"]: shape ()"),
    ] {
        let error = load_bytes(&release("vision_lengths", Some(lengths))).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn parts_that_do_not_fit_are_told_with_their_shapes() {
    for (key, value, why) in [
        (
            "id",
            Some(list(&[text("v$_$1"), text("v$_$1")])),
            "train[\"id\"]: \"v$_$1\" is there twice",
        ),
        (
            "id",
            Some(list(&[text("v_1"), text("v_2")])),
            "\"v_1\" is not of the form video$_$clip",
        ),
        ("id", Some(list(&[text("v$_$1")])), "there are 1 ids"),
        (
            "id",
            Some(array(&[2], &[1.0, 2.0])),
            "an id that is not text",
        ),
        ("id", None, "no key \"id\"; the keys are \"raw_text\""),
        (
            "regression_labels",
            Some(array(&[2, 2], &[0.0; 4])),
            "shape (2, 2), but there are 2 ids",
        ),
        (
            "regression_labels",
            Some(list(&[text("a"), text("b")])),
            "text where sentiments are expected",
        ),
        (
            "raw_text",
            Some(list(&[text("a"), number(1.0)])),
            "1 is no text",
        ),
        (
            "raw_text",
            Some(list(&[text("a"), b"N".to_vec()])),
            "None where text or a number",
        ),
        (
            "vision",
            Some(array(&[2, 2], &[0.0; 4])),
            "train[\"vision\"]: shape (2, 2), not (segments, frames, features)",
        ),
        (
            "vision",
            Some(array(&[3, 1, 1], &[0.0; 3])),
            "shape (3, 1, 1) and type <f4, but there are 2 ids",
        ),
        ("vision", Some(array(&[2, 1, 0], &[])), "shape (2, 1, 0)"),
        (
            "vision",
            Some(list(&[number(1.0)])),
            "a list, not an array of frames",
        ),
        ("vision", None, "no key \"vision\""),
    ] {
        let error = load_bytes(&release(key, value)).unwrap_err();
        assert!(
            error.contains("made.pkl: train") && error.contains(why),
            "{error}"
        );
    }
}

#[test]
fn splits_are_found_by_name_and_kept_apart() {
    let both = dict(&[
        ("train", dict(&part("v$_$1"))),
        ("dev", dict(&part("v$_$1"))),
    ]);
    let error = load_bytes(&pickle(&both)).unwrap_err();
    assert!(
        error.contains("dev[\"id\"]: \"v$_$1\" is in \"train\" as well"),
        "{error}"
    );
    let mut other = part("w$_$1");
    other.retain(|(key, _)| *key != "vision" && *key != "id");
    other.push(("id", list(&[text("w$_$1"), text("w$_$2")])));
    other.push(("vision", array(&[2, 1, 2], &[1.0; 4])));
    let both = dict(&[("train", dict(&part("v$_$1"))), ("test", dict(&other))]);
    let error = load_bytes(&pickle(&both)).unwrap_err();
    assert!(
        error.contains("test[\"vision\"]: frames of 2 features, but of 1 in train"),
        "{error}"
    );
    for (value, why) in [
        (
            list(&[]),
            "a list, not a dictionary of train, valid and test",
        ),
        (dict(&[("a", list(&[]))]), "no processed release"),
        (
            dict(&[("train", list(&[]))]),
            "train: a list, not a dictionary",
        ),
        (
            dict(&[("train", dict(&[("x", list(&[]))]))]),
            "the keys are \"x\"",
        ),
        (
            dict(&[("valid", dict(&[])), ("dev", dict(&[]))]),
            "both the valid split",
        ),
    ] {
        let error = load_bytes(&pickle(&value)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn lists_that_repeat_one_another_are_not_followed_for_ever() {
    // Four levels of a thousand each would be 10^12 cells.
    let mut bomb = [b"](".to_vec(), number(1.0).repeat(1000), b"eq\x00".to_vec()].concat();
    for level in 1..4 {
        let items = [b'h', level - 1].repeat(1000);
        bomb.extend([b"0](".to_vec(), items, vec![b'e', b'q', level]].concat());
    }
    let error = load_bytes(&release("regression_labels", Some(bomb))).unwrap_err();
    assert!(error.contains("more than 4194304 cells"), "{error}");
    let itself = b"]q\x00h\x00a".to_vec();
    let error = load_bytes(&release("regression_labels", Some(itself))).unwrap_err();
    assert!(error.contains("lists in lists"), "{error}");
}

#[test]
fn a_packed_set_holds_the_release_and_is_the_same_when_made_again() {
    let folder_out = tempfile::tempdir().unwrap();
    for (name, table, range) in [
        ("mmsa-unaligned", None, [-3.0, 3.0]),
        ("sims", None, [-1.0, 1.0]),
        (
            "mult-mosei",
            Some(folder().join("mult-mosei.csv")),
            [-3.0, 3.0],
        ),
    ] {
        let pickle = folder().join(format!("{name}.pkl"));
        let made = |out: &str| {
            let out = folder_out.path().join(out);
            let report = import(&pickle, table.as_deref(), range, &out, &mut |_| true).unwrap();
            (std::fs::read(&out).unwrap(), report)
        };
        let (first, second) = (made("first.h5"), made("second.h5"));
        assert!(first == second, "{name}");
        let set = PackedSet::open(&folder_out.path().join("first.h5")).unwrap();
        assert_eq!(set.about().label_range, range);
        for split in Split::ALL {
            let rows = set.rows(split).iter();
            let segments: Vec<_> = rows.map(|&row| set.segment(row).unwrap()).collect();
            assert_eq!(segments, expected(name, split), "{name}");
        }
    }
}

#[test]
fn an_import_that_fails_or_is_stopped_leaves_nothing() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("set.h5");
    let pickle = folder().join("mult-mosi.pkl");
    let run = |range, out: &Path, go_on: bool| {
        import(&pickle, None, range, out, &mut |_| go_on)
            .unwrap_err()
            .to_string()
    };
    assert!(run([-3.0, 3.0], &path, true).contains("holds no words"));
    assert!(run([3.0, -3.0], &path, true).contains("label_range"));
    assert!(run([-3.0, 3.0], &pickle, true).contains("this file is read"));
    let pickle = folder().join("sims.pkl");
    for most in [0, 2] {
        let stopped = import(&pickle, None, [-1.0, 1.0], &path, &mut |count| count < most);
        assert!(matches!(stopped, Err(DataError::Stopped)));
    }
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn a_video_in_two_splits_is_counted_and_told_everywhere() {
    let mut test = part("w$_$1");
    test[1] = ("id", list(&[text("v$_$3"), text("w$_$1")]));
    let both = dict(&[("train", dict(&part("v$_$1"))), ("test", dict(&test))]);
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.pkl");
    std::fs::write(&made, pickle(&both)).unwrap();
    let set = folder.path().join("made.h5");
    let imported = import(&made, None, [-3.0, 3.0], &set, &mut |_| true).unwrap();
    let by_pickle = load_it(&config(folder.path(), "made.pkl", None)).unwrap();
    let packed = DataConfig {
        kind: Kind::Packed,
        ..config(folder.path(), "made.h5", None)
    };
    for report in [imported, by_pickle.report, load_it(&packed).unwrap().report] {
        assert_eq!(report.videos_in_two_splits, 1);
        assert_eq!(report.unit, Unit::Segments);
        let told = report.to_string();
        for said in [
            "\nIn more than one split: 1 video.",
            "\nOf 4 segments, 2 were left out: ",
        ] {
            assert!(told.contains(said), "{told}");
        }
    }
}
