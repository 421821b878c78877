//! The layouts of pickles that people have: what is read of each, and what is said of those that are not read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod made;

use std::io::Write;
use std::path::Path;

use made::{array, dict, list, number, pickle, text};
use mmrest_data::import::import;
use mmrest_data::{
    DataConfig, DataReport, Dataset, DropReason, Kind, Modality, Split, is_too_short, load,
};

type Key = (&'static str, Vec<u8>);

/// A tuple of up to three values, or of any number of them.
fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(".to_vec(), items.concat(), b"t".to_vec()].concat()
}

fn bytes(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [b"C", [length].as_slice(), text.as_bytes()].concat()
}

fn integer(number: u8) -> Vec<u8> {
    vec![b'K', number]
}

fn texts(texts: &[&str]) -> Vec<u8> {
    list(&texts.iter().map(|item| text(item)).collect::<Vec<_>>())
}

/// A split of two segments in MMSA's layout.
fn mmsa(ids: [&str; 2]) -> Vec<Key> {
    vec![
        ("raw_text", texts(&["how nice", "how dull"])),
        ("id", texts(&ids)),
        ("regression_labels", array(&[2], &[1.0, -2.0])),
        ("vision", array(&[2, 2, 1], &[1.0, 2.0, 3.0, 0.0])),
        ("audio", array(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0])),
    ]
}

/// The three splits, each changed alike.
fn release(mut change: impl FnMut(&str, &mut Vec<Key>)) -> Vec<u8> {
    let parts = ["train", "valid", "test"].map(|split| {
        let ids = [format!("{split}$_$1"), format!("{split}$_$2")];
        let mut part = mmsa([&ids[0], &ids[1]]);
        change(split, &mut part);
        (split, dict(&part))
    });
    pickle(&dict(&parts))
}

/// Replaces a key's value, or removes the key.
fn set(part: &mut Vec<Key>, key: &'static str, value: impl Into<Option<Vec<u8>>>) {
    part.retain(|(known, _)| *known != key);
    part.extend(value.into().map(|value| (key, value)));
}

fn config(folder: &Path, file: &str) -> DataConfig {
    DataConfig {
        kind: Kind::Mmsa,
        dir: folder.to_path_buf(),
        file: Some(file.to_owned()),
        ..DataConfig::default()
    }
}

/// Loads a pickle of these bytes, with a table where there is one, as the configuration is changed.
fn load_as(
    bytes: &[u8],
    table: Option<&str>,
    change: impl FnOnce(&mut DataConfig),
) -> Result<Dataset, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("made.pkl"), bytes).unwrap();
    let mut config = config(folder.path(), "made.pkl");
    if let Some(table) = table {
        std::fs::write(folder.path().join("label.csv"), table).unwrap();
        config.table = Some("label.csv".to_owned());
    }
    change(&mut config);
    load(&config, folder.path()).map_err(|error| error.to_string())
}

fn load_bytes(bytes: &[u8]) -> Result<Dataset, String> {
    load_as(bytes, None, |_| {})
}

/// What every part of the usual release gives: six segments with their frames.
fn assert_usual(dataset: &Dataset) {
    assert_eq!(dataset.report.total(), 6);
    for split in Split::ALL {
        let [first, second] = dataset.split(split) else {
            panic!("{split}: not two segments");
        };
        assert_eq!((first.text.as_str(), first.label), ("how nice", Some(1.0)));
        assert_eq!(first.vision.values, [1.0, 2.0]);
        assert_eq!(second.vision.values, [3.0]);
        assert_eq!(second.audio.values, [3.0, 4.0]);
    }
}

fn without_text(config: &mut DataConfig) {
    config.modalities = vec![Modality::Vision, Modality::Audio];
}

/// MulT's split of two segments: no words, ids of three columns.
fn mult(ids: [[&str; 3]; 2]) -> Vec<u8> {
    let ids = ids.map(|row| list(&row.map(bytes)));
    dict(&[
        ("id", list(&ids)),
        ("labels", array(&[2, 1, 1], &[1.0, -2.0])),
        ("vision", array(&[2, 2, 1], &[1.0, 2.0, 0.0, 3.0])),
        ("audio", array(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0])),
    ])
}

#[test]
fn mult_ids_of_three_columns_are_clips_where_the_table_or_their_form_says_so() {
    let release = pickle(&dict(&[
        (
            "train",
            mult([["a_b_1", "0.0", "2.0"], ["a_b_2", "2.0", "4.0"]]),
        ),
        (
            "valid",
            mult([["c_1", "0.0", "2.0"], ["c_2", "2.0", "4.0"]]),
        ),
    ]));
    let table = "video_id,clip_id,text,label,mode\n\
        a_b,1,how nice,1,train\na_b,2,how dull,-2,train\nc,1,how nice,1,valid\nc,2,how dull,-2,valid\n";
    let dataset = load_as(&release, Some(table), |_| {}).unwrap();
    assert_eq!(dataset.train[1].id, "a_b$_$2");
    assert_eq!(dataset.train[1].text, "how dull");
    assert_eq!(
        (
            dataset.report.labels_compared,
            dataset.report.label_mismatches
        ),
        (4, 0)
    );
    let alone = load_as(&release, None, without_text).unwrap();
    assert_eq!(alone.report.videos, 2);
    assert_eq!(
        (alone.train[0].id.as_str(), alone.train[0].video.as_str()),
        ("a_b$_$1", "a_b")
    );
    // The same name in two rows is a video's.
    let stretches = pickle(&dict(&[(
        "train",
        mult([["v_7", "0.0", "2.0"], ["v_7", "2.0", "4.0"]]),
    )]));
    let dataset = load_as(&stretches, None, without_text).unwrap();
    assert_eq!(
        (dataset.train[1].id.as_str(), dataset.report.videos),
        ("v_7$_$2.0_4.0", 1)
    );
}

#[test]
fn ids_in_brackets_are_pieces_of_videos() {
    let bytes = release(|split, part| {
        set(
            part,
            "id",
            texts(&[&format!("my_{split}[0]"), &format!("my_{split}[1]")]),
        );
    });
    let dataset = load_bytes(&bytes).unwrap();
    assert_eq!(dataset.report.videos, 3);
    assert_eq!(dataset.train[1].id, "my_train[1]");
    assert_eq!(dataset.train[1].video, "my_train");
    // The SDK counts from 0, tables from 1.
    let wordless = release(|split, part| {
        set(
            part,
            "id",
            texts(&[&format!("{split}[0]"), &format!("{split}[1]")]),
        );
        set(part, "raw_text", None);
    });
    let rows =
        Split::ALL.map(|split| format!("{split},1,one,1,{split}\n{split},2,two,-2,{split}\n"));
    let table = format!("video_id,clip_id,text,label,mode\n{}", rows.concat());
    let dataset = load_as(&wordless, Some(&table), |_| {}).unwrap();
    assert_eq!(
        (
            dataset.train[1].text.as_str(),
            dataset.report.label_mismatches
        ),
        ("two", 0)
    );
}

#[test]
fn ids_that_are_numbers_are_ids_and_their_videos_unknown() {
    let mut next = 0;
    let distinct = release(|_, part| {
        next += 2;
        set(part, "id", list(&[integer(next), integer(next + 1)]));
    });
    let dataset = load_bytes(&distinct).unwrap();
    assert_eq!(dataset.train[0].id, "2");
    assert!(dataset.report.videos_unknown);
    assert!(
        dataset
            .report
            .to_string()
            .starts_with("6 segments of unknown videos")
    );
    let anew = release(|_, part| set(part, "id", array(&[2, 1], &[0.0, 1.0])));
    assert_eq!(load_bytes(&anew).unwrap().test[1].id, "test/1");
}

#[test]
fn frames_that_are_not_padded_are_read_as_they_are() {
    let frames = || list(&[array(&[2, 1], &[1.0, 2.0]), array(&[1, 1], &[3.0])]);
    let lists = || {
        list(&[
            list(&[list(&[number(1.0)]), list(&[number(2.0)])]),
            array(&[1, 1], &[3.0]),
        ])
    };
    for vision in [frames(), lists()] {
        assert_usual(&load_bytes(&release(|_, part| set(part, "vision", vision.clone()))).unwrap());
    }
    // Zero frames at the ends are frames here; nothing, no rows and zeros alone are none.
    let odd = list(&[array(&[3, 1], &[0.0, 1.0, 0.0]), b"N".to_vec()]);
    let dataset = load_bytes(&release(|_, part| set(part, "vision", odd.clone()))).unwrap();
    assert_eq!(dataset.train[0].vision.values, [0.0, 1.0, 0.0]);
    assert!(dataset.train[1].vision.is_empty());
    assert_eq!(dataset.report.absent[&Modality::Vision], 3);
    for (vision, why) in [
        (
            list(&[array(&[2, 1], &[1.0; 2]), array(&[1, 2], &[1.0; 2])]),
            "row 1: frames of 2 features, but of 1",
        ),
        (
            list(&[array(&[1, 1], &[1.0])]),
            "a list of 1, but there are 2 ids",
        ),
        (
            list(&[text("a"), text("b")]),
            "row 0: text, not an array of frames",
        ),
    ] {
        let error =
            load_bytes(&release(|_, part| set(part, "vision", vision.clone()))).unwrap_err();
        assert!(
            error.contains("train[\"vision\"]") && error.contains(why),
            "{error}"
        );
    }
}

#[test]
fn one_vector_for_each_segment_is_one_frame() {
    let bytes = release(|_, part| {
        set(
            part,
            "vision",
            array(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        )
    });
    let dataset = load_bytes(&bytes).unwrap();
    assert_eq!(dataset.widths.vision, 3);
    assert_eq!(
        (
            dataset.train[1].vision.len(),
            dataset.train[1].vision.row(0)
        ),
        (1, [4.0, 5.0, 6.0].as_slice())
    );
}

#[test]
fn other_names_of_keys_are_read_and_arrays_under_unknown_ones_are_named() {
    let rename = |part: &mut Vec<Key>| {
        for (from, to) in [
            ("vision", "visual"),
            ("audio", "acoustic"),
            ("regression_labels", "labels"),
        ] {
            let place = part.iter_mut().find(|(key, _)| *key == from).unwrap();
            place.0 = to;
        }
        part.push(("facet", array(&[2, 1, 2], &[1.0; 4])));
    };
    let dataset = load_bytes(&release(|_, part| rename(part))).unwrap();
    assert_usual(&dataset);
    assert_eq!(dataset.report.unused, ["the arrays under \"facet\""]);
}

#[test]
fn a_part_that_is_no_split_is_named_with_its_segments() {
    let parts = ["train", "valid", "test", "train_mix"].map(|split| {
        let ids = [format!("{split}$_$1"), format!("{split}$_$2")];
        (split, dict(&mmsa([&ids[0], &ids[1]])))
    });
    let dataset = load_bytes(&pickle(&dict(&parts))).unwrap();
    assert_usual(&dataset);
    let told = dataset.report.to_string();
    assert!(
        told.contains("\nNot used: the part train_mix (2 segments)."),
        "{told}"
    );
}

#[test]
fn a_pickle_without_one_of_the_splits_says_so() {
    let parts = ["train", "test"].map(|split| {
        let ids = [format!("{split}$_$1"), format!("{split}$_$2")];
        (split, dict(&mmsa([&ids[0], &ids[1]])))
    });
    let report = load_bytes(&pickle(&dict(&parts))).unwrap().report;
    assert_eq!(report.splits_absent, [Split::Valid]);
    assert!(
        report
            .to_string()
            .contains("\nThe file has no part valid (or dev).")
    );
    let again: DataReport = serde_json::from_value(serde_json::to_value(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

#[test]
fn of_seven_columns_of_labels_the_chosen_one_is_read() {
    let rows = [
        0.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.5, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    ];
    let bytes = release(|_, part| set(part, "regression_labels", array(&[2, 7], &rows)));
    let labels = |column| {
        let dataset = load_as(&bytes, None, |config| config.label_column = column)?;
        Ok::<_, String>(
            dataset
                .train
                .iter()
                .map(|s| s.label.unwrap())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(labels(0).unwrap(), [0.5, -1.5]);
    assert_eq!(labels(1).unwrap(), [1.0, 2.0]);
    let error = labels(7).unwrap_err();
    assert!(
        error.contains("label_column is 7, but there are 7 columns"),
        "{error}"
    );
}

#[test]
fn classes_of_emotion_are_no_sentiments() {
    for (labels, why) in [
        (
            array(&[2, 4, 2], &[0.0; 16]),
            "labels of shape (2, 4, 2) are classes of emotion",
        ),
        (
            array(&[2, 3], &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]),
            "mark one of 3 classes in each row",
        ),
    ] {
        let bytes = release(|_, part| {
            set(part, "regression_labels", None);
            set(part, "labels", labels.clone());
            set(part, "raw_text", None);
            set(part, "id", None);
        });
        let error = load_bytes(&bytes).unwrap_err();
        assert!(
            error.contains(why) && error.contains("cannot be used"),
            "{error}"
        );
    }
}

#[test]
fn mmsa_without_texts_takes_them_from_the_table_by_id() {
    let bytes = release(|_, part| set(part, "raw_text", None));
    let rows =
        Split::ALL.map(|split| format!("{split},2,two,-2,{split}\n{split},1,one,1,{split}\n"));
    let table = format!("video_id,clip_id,text,label,mode\n{}", rows.concat());
    let dataset = load_as(&bytes, Some(&table), |_| {}).unwrap();
    assert_eq!(
        (
            dataset.train[0].text.as_str(),
            dataset.train[1].text.as_str()
        ),
        ("one", "two")
    );
    let error = load_bytes(&bytes).unwrap_err();
    assert!(
        error.contains("holds no words") && error.contains("label.csv"),
        "{error}"
    );
}

#[test]
fn a_text_that_is_nan_or_none_is_no_text_and_one_that_reads_nan_is_counted() {
    for nothing in [number(f64::NAN), b"N".to_vec()] {
        let column = list(&[nothing, text("nan")]);
        let report = load_bytes(&release(|_, part| set(part, "raw_text", column.clone())))
            .unwrap()
            .report;
        assert_eq!((report.absent[&Modality::Text], report.texts_nan), (3, 3));
        assert!(
            report.to_string().contains("(\"nan\"): 3 texts."),
            "{report}"
        );
    }
}

/// MAG-BERT's, MISA's and MMIM's tuples, with the frames of the usual release.
fn segments(split: &str, form: &str) -> Vec<u8> {
    let segment = |words: [&str; 3], vision: Vec<u8>, audio: Vec<u8>, label: f32, clip: usize| {
        let words = list(&words.map(text));
        let indices = array(&[3], &[1.0, 2.0, 3.0]);
        let id = text(&format!("{split}[{clip}]"));
        let label = array(&[1, 1], &[label]);
        match form {
            "mag" => tuple(&[tuple(&[words, vision, audio]), label, id]),
            "misa" => tuple(&[tuple(&[indices, vision, audio, words]), label, id]),
            "mmim" => {
                let lengths = [integer(if clip == 0 { 2 } else { 1 }), integer(1)];
                let [v, a] = lengths;
                tuple(&[tuple(&[indices, vision, audio, words, v, a]), label, id])
            }
            _ => tuple(&[words, vision, audio, label, id]),
        }
    };
    list(&[
        segment(
            ["how", "sp", "nice"],
            array(&[2, 1], &[1.0, 2.0]),
            array(&[1, 2], &[1.0, 2.0]),
            1.0,
            0,
        ),
        segment(
            ["how", "sp", "dull"],
            array(&[1, 1], &[3.0]),
            array(&[1, 2], &[3.0, 4.0]),
            -2.0,
            1,
        ),
    ])
}

#[test]
fn lists_of_segments_are_read_as_mag_bert_misa_and_mmim_write_them() {
    for form in ["mag", "misa", "mmim", "flat"] {
        let parts = ["train", "dev", "test"].map(|split| (split, segments(split, form)));
        let dataset = load_bytes(&pickle(&dict(&parts))).unwrap();
        assert_usual(&dataset);
        assert_eq!(
            (dataset.report.videos, dataset.valid[1].id.as_str()),
            (3, "dev[1]"),
            "{form}"
        );
    }
    let odd = dict(&[("train", list(&[tuple(&[text("a"), text("b")])]))]);
    let error = load_bytes(&pickle(&odd)).unwrap_err();
    assert!(
        error.contains("its item 0 is a tuple of 2 fields"),
        "{error}"
    );
}

#[test]
fn a_file_for_each_split_is_read_with_those_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "dev", "test"] {
        let bytes = pickle(&segments(split, "misa"));
        std::fs::write(folder.path().join(format!("{split}.pkl")), bytes).unwrap();
    }
    for named in ["train.pkl", "test.pkl"] {
        let dataset = load(&config(folder.path(), named), folder.path()).unwrap();
        assert_usual(&dataset);
        assert_eq!(dataset.files.len(), 3);
    }
    let out = folder.path().join("set.h5");
    let report = import(
        &folder.path().join("train.pkl"),
        None,
        [-3.0, 3.0],
        &out,
        &mut |_| true,
    );
    assert_eq!(report.unwrap().total(), 6);
    let alone = folder.path().join("mine.pkl");
    std::fs::copy(folder.path().join("train.pkl"), &alone).unwrap();
    let error = load(&config(folder.path(), "mine.pkl"), folder.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("name the files train.pkl, dev.pkl and test.pkl"),
        "{error}"
    );
}

#[test]
fn layouts_that_are_not_read_are_told_as_what_they_are() {
    let dialogues = tuple(&vec![dict(&[]); 9]);
    let numbered = [
        b"}(".to_vec(),
        integer(1),
        text("a"),
        integer(2),
        text("b"),
        b"u".to_vec(),
    ]
    .concat();
    let unit = || array(&[1, 2, 3], &[0.0; 6]);
    let labels = || array(&[1, 2], &[1.0; 2]);
    let lengths = || list(&[integer(2)]);
    let utterances = [
        unit(),
        labels(),
        unit(),
        labels(),
        integer(2),
        lengths(),
        lengths(),
    ];
    let one = dict(&[
        ("vision", array(&[2, 1], &[1.0; 2])),
        ("audio", array(&[2, 1], &[1.0; 2])),
    ]);
    for (value, why) in [
        (dialogues, "as DialogueRNN and MMGCN have them"),
        (numbered, "its keys are 1, 2"),
        (tuple(&utterances), "as Poria et al. (2017) wrote them"),
        (one, "the features of one recording"),
    ] {
        let error = load_bytes(&pickle(&value)).unwrap_err();
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn ordered_and_default_dictionaries_are_dictionaries() {
    let of = |call: &[u8], part: &[Key]| {
        let plain = dict(part);
        [call, plain.strip_prefix(b"}".as_slice()).unwrap()].concat()
    };
    for call in [
        b"ccollections\nOrderedDict\n)R".as_slice(),
        b"ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R",
    ] {
        let parts = ["train", "valid", "test"].map(|split| {
            let ids = [format!("{split}$_$1"), format!("{split}$_$2")];
            (split, of(call, &mmsa([&ids[0], &ids[1]])))
        });
        assert_usual(&load_bytes(&pickle(&of(call, &parts))).unwrap());
    }
    let error = load_bytes(&pickle(b"ccollections\nCounter\n)R")).unwrap_err();
    assert!(error.contains("asks for collections.Counter"), "{error}");
}

#[test]
fn compressed_pickles_are_read_and_what_is_no_pickle_is_told() {
    let bytes = release(|_, _| {});
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    assert_usual(&load_bytes(&packed.finish().unwrap()).unwrap());
    let old_torch = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02K\x01.";
    let torch = [
        b"PK\x03\x04".as_slice(),
        &[0; 22],
        &[16, 0, 0, 0],
        b"archive/data.pkl",
    ]
    .concat();
    for (bytes, why) in [
        (torch.as_slice(), "saved by torch.save"),
        (old_torch, "saved by torch.save"),
        (b"BZh91AY", "bunzip2"),
        (
            b"\xfd7zXZ\0\0\0",
            "compressed by xz, and cannot be unpacked",
        ),
        (b"\x93NUMPY\x01\0", "saved by numpy"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n",
            "tensor.numpy()",
        ),
    ] {
        let error = load_bytes(bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn labels_that_are_nothing_are_left_out() {
    let column = list(&[number(1.0), b"N".to_vec()]);
    let report = load_bytes(&release(|_, part| {
        set(part, "regression_labels", column.clone())
    }))
    .unwrap()
    .report;
    assert_eq!(report.dropped[&DropReason::NoLabel], 3);
}

#[test]
fn an_interval_that_ends_before_it_begins_is_none() {
    assert!(is_too_short([5.0, 2.2]) && is_too_short([f64::NAN, 1.0]) && !is_too_short([2.2, 5.0]));
}
