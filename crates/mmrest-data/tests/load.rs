//! From configuration to segments, on small files made here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{numbers, words, workspace, write};
use mmrest_data::folds::Folds;
use mmrest_data::{
    DataConfig, DataError, DropReason, FramesOf, Missing, Modality, Split, SplitFrom, TextFrom,
    load,
};
use tempfile::TempDir;

/// Three videos: "a" trains, "b" validates, "c" tests; "d" is in no fold.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let label = |rows: &[([f64; 2], f32)]| {
        let rows: Vec<_> = rows.iter().map(|(at, label)| (*at, [*label])).collect();
        let rows: Vec<_> = rows.iter().map(|(at, label)| (*at, &label[..])).collect();
        numbers(&rows)
    };
    let labels = [
        // Out of order, as the SDK leaves them; the third is too short, the fourth without a label.
        (
            "a",
            label(&[
                ([2.0, 4.0], 1.0),
                ([0.0, 2.0], -3.5),
                ([4.0, 4.0], 0.0),
                ([4.0, 5.0], f32::NAN),
            ]),
        ),
        ("b", label(&[([0.0, 1.0], 0.5)])),
        ("c", label(&[([0.0, 1.0], 3.0)])),
        ("d", label(&[([0.0, 1.0], 2.0), ([1.0, 2.0], 2.0)])),
    ];
    write(at, "labels.csd", &labels);
    let spoken = [
        (
            "a",
            words(&[
                ([0.0, 0.5], "so"),
                ([0.5, 1.5], "sp"),
                ([1.5, 2.5], "very"),
                ([2.5, 3.0], "good"),
            ]),
        ),
        ("b", words(&[([0.0, 1.0], "fine")])),
        ("c", words(&[([5.0, 6.0], "late")])),
    ];
    write(at, "words.csd", &spoken);
    let heard = [
        (
            "a",
            numbers(&[
                ([0.0, 1.0], &[1.0, 2.0]),
                ([1.0, 2.0], &[f32::NEG_INFINITY, 4.0]),
                ([2.0, 3.0], &[5.0, f32::NAN]),
                ([3.0, 4.0], &[7.0, 8.0]),
            ]),
        ),
        ("c", numbers(&[([0.0, 1.0], &[9.0, 9.0])])),
    ];
    write(at, "audio.csd", &heard);
    fs::write(
        at.join("folds.json"),
        r#"{"train": ["a", "x"], "valid": ["b"], "test": ["c"]}"#,
    )
    .unwrap();
    let table = "\u{feff}video_id,clip_id,text,label,annotation,mode\r\n\
        a,3,no time at all,0,Neutral,train\r\na,1,\"VERY, good\",1.0,Positive,train\r\na,2,so very,-3.5,,train\r\n\
        b,1,quite another thing,0.5,,dev\r\nc,1,something said,2.0,,test\r\nc,9,,,,test\r\n";
    fs::write(at.join("label.csv"), table).unwrap();
    folder
}

fn config() -> DataConfig {
    DataConfig {
        dir: ".".into(),
        modalities: vec![Modality::Text, Modality::Audio],
        words: Some("words.csd".into()),
        audio: Some("audio.csd".into()),
        ..DataConfig::default()
    }
}

#[test]
fn frames_per_word_are_the_means_of_those_that_overlap_it() {
    let folder = folder();
    let by_word = DataConfig {
        frames: FramesOf::Word,
        max_frames: Some(1),
        ..config()
    };
    let data = load(&by_word, folder.path()).unwrap();
    let [late, early] = data.train.as_slice() else {
        panic!("two")
    };
    assert_eq!((&*late.text, &*early.text), ("very good", "so very"));
    // "very" overlaps two frames; what is not finite counts as 0.
    assert_eq!(late.audio.values, [2.5, 2.0, 5.0, 0.0]);
    assert_eq!(early.audio.values, [1.0, 2.0, 2.5, 2.0]);
    assert!(data.valid[0].audio.is_empty(), "a video without frames");
}

#[test]
fn segments_hold_the_words_and_frames_of_their_interval() {
    let folder = folder();
    let data = load(&config(), folder.path()).unwrap();
    let ids: Vec<_> = data.segments().map(|segment| segment.id.as_str()).collect();
    assert_eq!(ids, ["a[0]", "a[1]", "b[0]", "c[0]"]);
    let [late, early] = data.train.as_slice() else {
        panic!("two")
    };
    assert_eq!(
        (late.text.as_str(), early.text.as_str()),
        ("very good", "so very")
    );
    assert_eq!(late.audio.values, [5.0, 0.0, 7.0, 8.0]);
    assert_eq!(early.audio.values, [1.0, 2.0, 0.0, 4.0]);
    assert_eq!((late.label, early.label), (Some(1.0), Some(-3.0)));
    assert_eq!((data.widths.vision, data.widths.audio), (0, 2));
    let [valid] = data.split(Split::Valid) else {
        panic!("one")
    };
    assert_eq!(
        (valid.audio.width, valid.audio.len(), valid.vision.width),
        (2, 0, 0)
    );
    assert_eq!(data.test[0].text, "");
}

#[test]
fn everything_unusual_is_counted() {
    let folder = folder();
    let data = load(&config(), folder.path()).unwrap();
    let report = &data.report;
    assert_eq!((report.videos, report.intervals, report.total()), (4, 8, 4));
    assert_eq!(
        (
            report.empty_intervals,
            report.dropped[&DropReason::EmptyInterval]
        ),
        (1, 1)
    );
    assert_eq!(report.dropped[&DropReason::NoLabel], 1);
    assert_eq!(report.dropped[&DropReason::NoFold], 2);
    assert_eq!(report.videos_in_no_fold, ["d"]);
    assert_eq!(report.fold_videos_without_labels, 1);
    assert_eq!(report.labels_clamped, 1);
    assert_eq!(report.non_finite[&Modality::Audio], 2);
    assert_eq!(report.absent[&Modality::Audio], 1);
    assert_eq!(report.absent[&Modality::Text], 1);
    let said = report.to_string();
    assert!(
        said.starts_with("4 segments of 4 videos: 2 train, 1 valid, 1 test."),
        "{said}"
    );
    assert!(
        said.contains("Segments lacking a modality: 1 text, 1 audio."),
        "{said}"
    );
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["segments"]["train"], 2);
    let names: Vec<_> = data
        .files
        .iter()
        .map(|file| file.path.file_name().unwrap())
        .collect();
    assert_eq!(
        names,
        ["labels.csd", "words.csd", "folds.json", "audio.csd"]
    );
    assert!(
        data.files
            .iter()
            .all(|file| file.sha256.len() == 64 && file.bytes > 0)
    );
}

#[test]
fn the_table_gives_text_and_split_and_is_checked_against_the_words() {
    let folder = folder();
    let config = DataConfig {
        table: Some("label.csv".into()),
        text_from: TextFrom::Table,
        split_from: SplitFrom::Table,
        ..config()
    };
    let data = load(&config, folder.path()).unwrap();
    assert_eq!(data.train[0].text, "VERY, good");
    // An interval of no length still has its transcript.
    assert_eq!(
        (data.train[2].id.as_str(), data.train[2].text.as_str()),
        ("a[2]", "no time at all")
    );
    assert!(data.train[2].audio.is_empty());
    assert_eq!(data.valid[0].text, "quite another thing");
    let report = &data.report;
    assert_eq!(report.dropped[&DropReason::NoTableRow], 2);
    assert_eq!(report.table_rows_unused, 1);
    assert_eq!((report.labels_compared, report.label_mismatches), (5, 1));
    assert_eq!((report.texts_compared, report.text_mismatches), (4, 2));
}

#[test]
fn a_missing_modality_is_kept_dropped_or_refused() {
    let folder = folder();
    let with = |missing| {
        load(
            &DataConfig {
                missing,
                ..config()
            },
            folder.path(),
        )
    };
    assert_eq!(with(Missing::Zero).unwrap().report.total(), 4);
    let dropped = with(Missing::Drop).unwrap();
    assert_eq!(
        (dropped.train.len(), dropped.valid.len(), dropped.test.len()),
        (2, 0, 0)
    );
    assert_eq!(dropped.report.dropped[&DropReason::MissingModality], 2);
    assert!(matches!(
        with(Missing::Error),
        Err(DataError::MissingModality { .. })
    ));
}

#[test]
fn long_sequences_are_averaged_down() {
    let folder = folder();
    let config = DataConfig {
        max_frames: Some(1),
        ..config()
    };
    let data = load(&config, folder.path()).unwrap();
    assert_eq!(data.train[0].audio.values, [6.0, 4.0]);
    assert_eq!(data.report.shortened[&Modality::Audio], 2);
}

#[test]
fn labels_already_cut_into_pieces_keep_their_index() {
    let folder = folder();
    let piece = |start: f64| numbers(&[([start, start + 1.0], &[1.0])]);
    write(
        folder.path(),
        "labels.csd",
        &[("a[0]", piece(0.0)), ("a[3]", piece(2.0))],
    );
    let data = load(&config(), folder.path()).unwrap();
    let ids: Vec<_> = data
        .train
        .iter()
        .map(|segment| segment.id.as_str())
        .collect();
    assert_eq!(ids, ["a[0]", "a[3]"]);
}

#[test]
fn every_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config: DataConfig = serde_json::from_str(
        r#"{"dir": "mosi", "labels": "CMU_MOSI_Opinion_Labels.csd", "words": "CMU_MOSI_TimestampedWords.csd",
            "vision": "CMU_MOSI_Visual_Facet_42.csd", "audio": "CMU_MOSI_COVAREP.csd", "table": "label.csv",
            "folds": "folds.json", "download": "mosi"}"#,
    )
    .unwrap();
    let error = load(&config, folder.path()).unwrap_err();
    let DataError::Missing(missing) = &error else {
        panic!("{error}")
    };
    assert_eq!(missing.files.len(), 6);
    let message = error.to_string();
    for part in [
        "6 data files not found",
        "CMU_MOSI_Opinion_Labels.csd",
        "CMU_MOSI_TimestampedWords.csd",
        "CMU_MOSI_Visual_Facet_42.csd",
        "CMU_MOSI_COVAREP.csd",
        "label.csv",
        "folds.json",
        "Put data files into",
        &folder.path().join("mosi").display().to_string(),
    ] {
        assert!(message.contains(part), "{part:?} in {message}");
    }
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let refused = |json: &str| {
        let config: DataConfig = serde_json::from_str(json).unwrap();
        let error = load(&config, Path::new(".")).unwrap_err();
        assert!(matches!(error, DataError::Config(_)), "{error}");
        error.to_string()
    };
    assert!(refused(r#"{"modalities": []}"#).contains("empty"));
    assert!(refused(r#"{"modalities": ["text"]}"#).contains("words"));
    assert!(refused(r#"{"modalities": ["text"], "text_from": "table"}"#).contains("table"));
    assert!(refused(r#"{"modalities": ["vision"]}"#).contains("vision"));
    assert!(refused(r#"{"modalities": ["audio", "audio"], "audio": "a.csd"}"#).contains("twice"));
    assert!(
        refused(r#"{"modalities": ["audio"], "audio": "a.csd", "max_frames": 0}"#)
            .contains("max_frames")
    );
    for unknown in [
        r#"{"modality": "text"}"#,
        r#"{"kind": "pickle"}"#,
        r#"{"download": "youtube"}"#,
    ] {
        assert!(
            serde_json::from_str::<DataConfig>(unknown).is_err(),
            "{unknown}"
        );
    }
    let json = serde_json::to_string(&config()).unwrap();
    assert_eq!(serde_json::from_str::<DataConfig>(&json).unwrap(), config());
}

#[test]
fn files_that_contradict_each_other_are_refused() {
    let folder = folder();
    let at = folder.path();
    let fails = |config: &DataConfig| load(config, at).unwrap_err();
    let table = DataConfig {
        table: Some("label.csv".into()),
        split_from: SplitFrom::Table,
        ..config()
    };

    let column = fails(&DataConfig {
        label_column: 1,
        ..config()
    });
    assert!(column.to_string().contains("label_column"), "{column}");
    let numbers_as_words = fails(&DataConfig {
        words: Some("audio.csd".into()),
        ..config()
    });
    assert!(matches!(numbers_as_words, DataError::Entry { .. }));
    let words_as_audio = fails(&DataConfig {
        audio: Some("words.csd".into()),
        ..config()
    });
    assert!(matches!(words_as_audio, DataError::Entry { .. }));

    let rows = |rows: &str| {
        fs::write(
            at.join("label.csv"),
            format!("video_id,clip_id,text,label,mode\n{rows}"),
        )
        .unwrap();
        fails(&table)
    };
    assert!(
        matches!(rows("a,1,x,0,train\na,2,x,0,test\n"), DataError::TwoFolds { video, .. } if video == "a")
    );
    assert!(matches!(
        rows("a,1,x,0,train\na,1,x,0,train\n"),
        DataError::Row { line: 3, .. }
    ));
    assert!(matches!(
        rows("a,1,x,0,train\na,2,x,0,later\n"),
        DataError::Row { line: 3, .. }
    ));
    assert!(matches!(
        rows("a,one,x,0,train\n"),
        DataError::Row { line: 2, .. }
    ));
    assert!(matches!(rows("a,1,x\n"), DataError::Row { .. }));
    assert!(matches!(rows("z,1,x,0,train\n"), DataError::Empty { .. }));
    fs::write(at.join("label.csv"), "video_id,clip_id,text,label\n").unwrap();
    let column = fails(&table).to_string();
    assert!(
        column.contains("\"mode\"") && column.contains("video_id, clip_id, text, label"),
        "{column}"
    );

    let folds = |json: &str| {
        fs::write(at.join("folds.json"), json).unwrap();
        fails(&config())
    };
    assert!(matches!(
        folds(r#"{"train": ["a"], "valid": ["b"], "test": ["a"]}"#),
        DataError::TwoFolds { video, first: Split::Train, second: Split::Test, .. } if video == "a"
    ));
    assert!(matches!(
        folds(r#"{"train": ["a", "a"], "valid": [], "test": []}"#),
        DataError::Duplicate { .. }
    ));
    assert!(matches!(
        folds(r#"{"train": ["a"], "valid": []}"#),
        DataError::Folds { .. }
    ));
    assert!(matches!(folds("train: a"), DataError::Folds { .. }));
}

#[test]
fn the_standard_folds_are_whole() {
    for (name, sizes) in [("mosi", [52, 10, 31]), ("mosei", [2249, 300, 678])] {
        let path = workspace().join(format!("data/folds/{name}.json"));
        let folds = Folds::read(&path).unwrap();
        let count = |split| folds.videos().filter(|&(_, of)| of == split).count();
        assert_eq!(Split::ALL.map(count), sizes, "{name}");
    }
}
