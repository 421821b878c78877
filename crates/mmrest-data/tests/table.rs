//! A table alone as a data set.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::workspace;
use cpu_time::ProcessTime;
use mmrest_data::table::{Required, Table};
use mmrest_data::{
    Columns, DataConfig, DataError, Dataset, DropReason, Kind, Missing, Modality, Result, Split,
    SplitFrom, load, load_unlabelled,
};
use tempfile::TempDir;

const HEADER: &str = "video_id,clip_id,text,label,mode\n";

fn config() -> DataConfig {
    DataConfig {
        kind: Kind::Table,
        dir: ".".into(),
        modalities: vec![Modality::Text],
        table: Some("label.csv".into()),
        split_from: SplitFrom::Table,
        ..DataConfig::default()
    }
}

fn folder(table: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("label.csv"), table).unwrap();
    folder
}

fn read(table: impl AsRef<[u8]>) -> Result<Dataset> {
    load(&config(), folder(table).path())
}

/// Reads rows below the usual header, which must be refused; the sentence after the file's name.
fn refused(table: impl AsRef<[u8]>) -> String {
    let folder = folder(table);
    let error = load(&config(), folder.path()).unwrap_err().to_string();
    let path = folder.path().join(".").join("label.csv");
    let prefix = format!("{}: ", path.display());
    let sentence = error.strip_prefix(&prefix);
    sentence
        .unwrap_or_else(|| panic!("{error} begins with {prefix}"))
        .to_owned()
}

#[test]
fn every_labelled_row_is_a_segment() {
    let table = format!(
        "{HEADER}b,0002,\"well, \"\"fine\"\"\",0.5,dev\nb,0001,so,-3.5,valid\na,x,good,1.0,train\nc,1, bad ,-2,test\n\
         d,1,nothing,,train\nd,2,nothing,NaN,train\nd,3,nothing,inf,train\n"
    );
    let folder = folder(&table);
    let data = load(&config(), folder.path()).unwrap();
    let told: Vec<_> = data
        .segments()
        .map(|s| (s.id.as_str(), s.video.as_str(), s.text.as_str(), s.label))
        .collect();
    assert_eq!(
        told,
        [
            ("a$_$x", "a", "good", Some(1.0)),
            ("b$_$0002", "b", "well, \"fine\"", Some(0.5)),
            ("b$_$0001", "b", "so", Some(-3.0)),
            ("c$_$1", "c", "bad", Some(-2.0)),
        ]
    );
    assert!(data.segments().all(|s| s.vision.width + s.audio.width == 0));
    assert_eq!(data.widths.vision + data.widths.audio, 0);
    let report = &data.report;
    assert_eq!((report.videos, report.intervals, report.total()), (4, 7, 4));
    let told = report.to_string();
    assert!(
        told.contains("Of 7 rows, 3 were left out: 3 without a label."),
        "{told}"
    );
    assert_eq!(report.segments[&Split::Valid], 2);
    assert_eq!(report.dropped[&DropReason::NoLabel], 3);
    assert_eq!(report.labels_clamped, 1);
    let files: Vec<_> = data.files.iter().map(|file| file.bytes).collect();
    assert_eq!(files, [table.len() as u64]);
}

#[test]
fn separators_line_ends_and_byte_order_marks_make_no_difference() {
    let plain = format!("{HEADER}a,1,so it is,1,train\nb,1,fine,0,dev\nc,1,\"a\nb\",-1,test\n");
    let expected: Vec<_> = read(&plain).unwrap().segments().cloned().collect();
    assert_eq!(expected[2].text, "a\nb");
    for table in [
        plain.replace('\n', "\r\n").replace("a\r\nb", "a\nb"),
        format!("\u{feff}{plain}"),
        plain.replace(',', ";"),
        plain.replace(',', "\t"),
        plain.replace("b,1", "\n\nb,1"),
        plain.replace("video_id,clip_id", "\"video_id\", clip_id "),
        plain.trim_end().to_owned(),
    ] {
        let found: Vec<_> = read(&table).unwrap().segments().cloned().collect();
        assert_eq!(found, expected, "{table:?}");
    }
}

#[test]
fn columns_have_the_names_that_are_configured() {
    let folder =
        folder("name;part;wörter;score;fold;text\na;1;yes;1;train;no\na;2;oh;0;train;no\n");
    let columns = Columns {
        id: "name".into(),
        video: "name".into(),
        clip: "part".into(),
        text: "wörter".into(),
        label: "score".into(),
        split: "fold".into(),
    };
    let named = DataConfig {
        columns,
        ..config()
    };
    let data = load(&named, folder.path()).unwrap();
    assert_eq!(
        (data.train[0].id.as_str(), data.train[0].text.as_str()),
        ("a$_$1", "yes")
    );
    let error = load(&config(), folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "no column \"label\"; the columns are name, part, wörter, score, fold, text"
        ),
        "{error}"
    );
}

#[test]
fn with_folds_no_column_of_splits_is_needed() {
    let folder =
        folder("video_id,clip_id,text,label\na,1,x,1\nd,1,x,1\nd,2,x,\nb,1,x,1\nc,1,x,1\n");
    let by_folds = DataConfig {
        split_from: SplitFrom::Folds,
        ..config()
    };
    fs::write(
        folder.path().join("folds.json"),
        r#"{"train": ["a", "e"], "valid": ["b"], "test": ["c"]}"#,
    )
    .unwrap();
    let data = load(&by_folds, folder.path()).unwrap();
    let sizes = Split::ALL.map(|split| data.split(split).len());
    assert_eq!(sizes, [1, 1, 1]);
    assert_eq!(data.report.videos_in_no_fold, ["d"]);
    assert_eq!(data.report.dropped[&DropReason::NoFold], 2);
    assert_eq!(data.report.fold_videos_without_labels, 1);
    assert_eq!(data.files.len(), 2, "table and folds");
    // What the column holds does not matter then, nor that it would split a video.
    let table = "video_id,clip_id,text,label,mode\na,1,x,1,train\na,2,x,1,test\nb,1,x,1,whatever\n";
    fs::write(folder.path().join("label.csv"), table).unwrap();
    assert_eq!(load(&by_folds, folder.path()).unwrap().train.len(), 2);
}

#[test]
fn empty_text_is_kept_dropped_or_refused() {
    let folder = folder(format!("{HEADER}a,1,,1,train\na,2,x,1,train\n"));
    let with = |missing| {
        load(
            &DataConfig {
                missing,
                ..config()
            },
            folder.path(),
        )
    };
    let kept = with(Missing::Zero).unwrap();
    assert_eq!(
        (kept.train.len(), kept.report.absent[&Modality::Text]),
        (2, 1)
    );
    let dropped = with(Missing::Drop).unwrap();
    assert_eq!(dropped.train.len(), 1);
    assert_eq!(dropped.report.dropped[&DropReason::MissingModality], 1);
    assert!(matches!(
        with(Missing::Error),
        Err(DataError::MissingModality { id, .. }) if id == "a$_$1"
    ));
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_line() {
    let below = |rows: &str| refused(format!("{HEADER}{rows}"));
    for (sentence, expected) in [
        (
            below("a,1,x,1,train\r\na,2,x,1,later\r\n"),
            "line 3: column \"mode\": \"later\" is not train, valid, dev or test",
        ),
        (
            below("a,1,\"x\n\ny\",1,train\n\na,2,x,good,train\n"),
            "line 6: column \"label\": \"good\" is no number",
        ),
        (
            below("a,1,x,1,train\n,2,x,1,train\n"),
            "line 3: column \"video_id\" is empty",
        ),
        (
            below("a,,x,1,train\n"),
            "line 2: column \"clip_id\" is empty",
        ),
        (
            below("a,1,x,1,train\nb,1,x,1,train\na,1,y,1,train\n"),
            "line 4: \"a$_$1\" is on line 2 already",
        ),
        (
            below("a,1,x,1,train\na,2,x,1,test\n"),
            "video \"a\" is in both train and test",
        ),
        (
            below("a,1,x,1,train\na,2,x\n"),
            "line 3: 3 cells, where the first line has 5; a cell with a separator in it must be quoted, and every quote closed",
        ),
        (
            below("a,1,well, fine,1,train\n"),
            "line 2: 6 cells, where the first line has 5; a cell with a separator in it must be quoted, and every quote closed",
        ),
        (
            below("a,1,\"x,1,train\na,2,y,1,train\n"),
            "line 2: a quote opens a cell on this line and is never closed",
        ),
        (
            refused(
                "video_id,clip_id,label,mode,text\na,1,1,train,x\na,2,1,train,\"y\na,3,1,train,z\n",
            ),
            "line 3: a quote opens a cell on this line and is never closed",
        ),
        (
            refused("video_id,clip_id,text,label,\"mode\na,1,x,1,train\n"),
            "line 1: a quote opens a cell on this line and is never closed",
        ),
        (
            // What a later quote closes makes a row of another width, and that is told first.
            below("a,1,\"x,1,train\nb,2,\"y, z\",1,train\nc,1,\"x,1,train\n"),
            "line 2: 6 cells, where the first line has 5; a cell with a separator in it must be quoted, and every quote closed",
        ),
        (
            refused([HEADER.as_bytes(), b"a,1,x,1,train\na,2,caf\xe9,1,train\n"].concat()),
            "line 3: column \"text\" is not UTF-8; save the table as UTF-8",
        ),
        (
            refused(b"\xff\xfev\0i\0d\0e\0o\0"),
            "line 1: text in UTF-16, not a table in UTF-8: save it as UTF-8 (in Excel: CSV UTF-8)",
        ),
        (
            refused(HEADER),
            "line 1: no row follows the names of the columns",
        ),
        (
            refused("video_id,clip_id,text,label,mode,text\na,1,x,1,train,y\n"),
            "line 1: column \"text\" occurs twice",
        ),
        (
            refused("video_id,clip_id,text,label\na,1,x,1\n"),
            "line 1: no column \"mode\"; the columns are video_id, clip_id, text, label; without it set split_from = \"random\", \
             or name another in columns.split",
        ),
    ] {
        assert_eq!(sentence, expected);
    }
    for empty in ["", "\u{feff}", "\n\n", "\r\n"] {
        assert_eq!(
            refused(empty),
            "line 1: the file is empty, where a line with the names of its columns is expected",
            "{empty:?}"
        );
    }
    let unlabelled = below("a,1,x,,train\n");
    assert!(
        unlabelled.starts_with("no segment is left. 0 segments"),
        "{unlabelled}"
    );
    // A column nobody asks for may occur twice.
    assert!(read("video_id,clip_id,text,label,mode,,\na,1,x,1,train,,\n").is_ok());
}

#[test]
fn a_table_holds_no_frames_and_must_be_named() {
    let folder = folder(format!("{HEADER}a,1,x,1,train\n"));
    let refused = |config| load(&config, folder.path()).unwrap_err().to_string();
    let all = refused(DataConfig {
        modalities: Modality::ALL.to_vec(),
        ..config()
    });
    assert!(all.contains("modalities = [\"text\"]"), "{all}");
    let unnamed = refused(DataConfig {
        table: None,
        ..config()
    });
    assert!(unnamed.contains("needs table"), "{unnamed}");
    let absent = refused(DataConfig {
        table: Some("other.csv".into()),
        ..config()
    });
    assert!(absent.contains("other.csv"), "{absent}");
}

#[test]
fn clips_join_labelled_intervals_only_as_numbers() {
    let path = |folder: &TempDir| folder.path().join("label.csv");
    let some = folder(format!("{HEADER}a,0002,x,1,train\na,1,y,1,train\n"));
    let table = Table::read(&path(&some)).unwrap();
    table.check_clip_numbers().unwrap();
    assert_eq!(table.row("a", 2).unwrap().clip, "0002");
    for (rows, expected) in [
        (
            "a,1,x,1,train\na,first,x,1,train\n",
            "line 3: clip \"first\" of video \"a\" is no whole number",
        ),
        (
            "a,1,x,1,train\na,01,x,1,train\n",
            "line 3: clip 1 of video \"a\" is on line 2 already",
        ),
    ] {
        let folder = folder(format!("{HEADER}{rows}"));
        let table = Table::read(&path(&folder)).unwrap();
        let error = table.check_clip_numbers().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let bare = folder("video_id,clip_id\na,1\n");
    let none = Required {
        id: true,
        text: false,
        label: false,
        split: false,
    };
    let table = Table::read_with(&path(&bare), &Columns::default(), none).unwrap();
    let row = table.row("a", 1).unwrap();
    assert_eq!((row.text.as_str(), row.label, row.split), ("", None, None));
}

#[test]
fn new_data_is_a_table_too() {
    let folder = folder("video_id,clip_id,text,label\na,0001,good,\na,0002,bad,-9\n");
    let segments = load_unlabelled(&config(), folder.path()).unwrap();
    let told: Vec<_> = segments
        .iter()
        .map(|s| (s.id.as_str(), s.text.as_str(), s.label))
        .collect();
    assert_eq!(
        told,
        [("a$_$0001", "good", None), ("a$_$0002", "bad", Some(-3.0))]
    );
    let error = load_unlabelled(&config(), Path::new("/nowhere")).unwrap_err();
    assert!(matches!(error, DataError::Missing(_)), "{error}");
}

#[test]
fn a_column_of_ids_names_segments_where_there_are_no_videos() {
    let ids = |table: &str, columns: Columns| {
        let folder = folder(table);
        let config = DataConfig {
            columns,
            ..config()
        };
        let segments = load_unlabelled(&config, folder.path())?;
        Ok::<Vec<String>, DataError>(segments.into_iter().map(|segment| segment.id).collect())
    };
    let usual = Columns::default;
    assert_eq!(
        ids("id,text\nr7,good\nr3,bad\n", usual()).unwrap(),
        ["r7", "r3"]
    );
    assert_eq!(ids("text\ngood\nbad\n", usual()).unwrap(), ["1", "2"]);
    let with_videos = "id,video_id,clip_id,text\nr7,abc,1,good\n";
    assert_eq!(ids(with_videos, usual()).unwrap(), ["abc$_$1"]);
    let named = Columns {
        id: "review".to_owned(),
        ..usual()
    };
    assert_eq!(ids("id,review,text\n1,r7,good\n", named).unwrap(), ["r7"]);
    let twice = ids("id,text\nr7,good\nr7,bad\n", usual()).unwrap_err();
    let twice = twice.to_string();
    assert!(
        twice.contains("line 3") && twice.contains("\"r7\" is on line 2 already"),
        "{twice}"
    );
    let empty = ids("id,text\n,good\n", usual()).unwrap_err().to_string();
    assert!(
        empty.contains("line 2") && empty.contains("column \"id\" is empty"),
        "{empty}"
    );
}

#[test]
fn a_table_of_mosei_s_size_is_read_at_once() {
    let mut table = String::from(HEADER);
    for row in 0..22_788 {
        let (video, clip) = (row / 7, row % 7);
        let split = ["train", "train", "train", "dev", "test"][video % 5];
        let label = (row % 19) as f32 / 3.0 - 3.0;
        let text = "and so it was, in the end, a rather good film ".repeat(2);
        writeln!(table, "video{video},{clip},\"{text}\",{label},{split}").unwrap();
    }
    let folder = folder(&table);
    let start = ProcessTime::now();
    let data = load(&config(), folder.path()).unwrap();
    let took = start.elapsed();
    println!(
        "{} rows of {} bytes in {took:?} of processor time",
        data.report.total(),
        table.len()
    );
    assert_eq!(data.report.total(), 22_788);
    assert!(took.as_secs_f64() < 5.0, "{took:?}");
}

#[test]
fn the_table_of_cmu_mosi_has_its_published_sizes() {
    let Some(mosi) = common::shared_data("mosi") else {
        return;
    };
    let real = DataConfig {
        dir: mosi,
        table: Some("MOSI-label.csv".into()),
        ..config()
    };
    let data = load(&real, &workspace()).unwrap();
    let sizes = Split::ALL.map(|split| data.split(split).len());
    assert_eq!(sizes, [1284, 229, 686]);
    assert!(data.report.dropped.is_empty() && data.report.absent.is_empty());
}
