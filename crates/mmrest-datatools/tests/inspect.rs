//! What the inspector says of files, good and bad.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../mmrest-data/tests/common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../../mmrest-data/tests/made/mod.rs"]
mod made;

use std::path::{Path, PathBuf};

use common::{numbers, shared_data, words, workspace, write};
use mmrest_data::folds::Folds;
use mmrest_data::packed::{About, PackedWriter};
use mmrest_data::{Frames, Modality, Segment, Split, Widths};
use mmrest_datatools::inspect::{
    self, FileKind, IdStyle, Inspection, Level, Options, Role, Scale, compare,
};
use mmrest_datatools::sample::{self, SampleConfig};

fn look(path: &Path) -> Inspection {
    inspect::inspect(path, &Options::default()).unwrap()
}

/// Writes a file and looks at it.
fn of_bytes(name: &str, bytes: &[u8]) -> Inspection {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    look(&path)
}

fn codes(inspection: &Inspection) -> Vec<&'static str> {
    inspection.findings.iter().map(|f| f.code).collect()
}

fn sample_options(folder: &Path) -> Options {
    Options {
        folds: vec![(
            "own".into(),
            Folds::read(&folder.join(sample::FOLDS)).unwrap(),
        )],
        ..Options::default()
    }
}

#[test]
fn the_sample_is_known_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    sample::write(&SampleConfig::default(), folder.path()).unwrap();
    let options = sample_options(folder.path());
    let files = inspect::expand(folder.path()).unwrap();
    let files: Vec<Inspection> = files
        .iter()
        .map(|file| inspect::inspect(file, &options).unwrap())
        .collect();
    let of = |role: Role| files.iter().find(|f| f.usable.role == Some(role)).unwrap();
    assert_eq!(of(Role::Folds).splits[&Split::Train], 36);
    assert_eq!(of(Role::TextEncoder).kind, FileKind::Bert);

    let labels = of(Role::Labels);
    let facts = labels.labels.as_ref().unwrap();
    assert_eq!((facts.count, facts.out_of_range), (600, 1));
    let by_bin: usize = facts.bins.iter().map(|bin| bin.count).sum();
    let by_split: usize = facts.bins.iter().flat_map(|b| b.by_split.values()).sum();
    assert_eq!((by_bin, by_split), (600, 600));
    assert_eq!(labels.folds[0].here[&Split::Test], 16);
    assert!(codes(labels).contains(&"label_out_of_range"));

    let vision = of(Role::Vision);
    let sequence = &vision.sequences[0];
    assert!((sequence.rate.unwrap().p50 - 15.0).abs() < 0.1);
    assert_eq!(sequence.intervals.as_ref().unwrap().zero_length, 1);
    let names = sample::VISION_FEATURES;
    let values = sequence.values.as_ref().unwrap();
    assert_eq!(values.columns[0].name.as_deref(), Some(names[0]));
    assert_eq!(vision.stored[0].dtype, "f4");

    let audio = of(Role::Audio).sequences[0].values.as_ref().unwrap();
    assert!(audio.minus_infinity > 0 && audio.nan > 0 && audio.plus_infinity == 0);
    let spoken = of(Role::Words).sequences[0].words.as_ref().unwrap();
    assert!(spoken.pauses > 0 && spoken.distinct > 20);
}

/// Frames the inspector counts as not finite are those the loader sets to 0.
#[test]
fn counts_agree_with_the_loader() {
    let folder = tempfile::tempdir().unwrap();
    sample::write(&SampleConfig::default(), folder.path()).unwrap();
    let files = inspect::expand(folder.path()).unwrap();
    let files: Vec<Inspection> = files.iter().map(|file| look(file)).collect();
    let config = compare(&files, &Options::default()).config.unwrap();
    for line in [
        "labels = \"SAMPLE_Labels.csd\"",
        "words = \"SAMPLE_TimestampedWords.csd\"",
        "vision = \"SAMPLE_Vision.csd\"",
        "audio = \"SAMPLE_Acoustic.csd\"",
        "folds = \"folds.json\"",
        "from_scratch = true",
    ] {
        assert!(config.contains(line), "{line} is not in\n{config}");
    }
    let data = mmrest_data::load(
        &mmrest_data::DataConfig {
            dir: folder.path().to_path_buf(),
            labels: sample::LABELS.into(),
            words: Some(sample::WORDS.into()),
            vision: Some(sample::VISION.into()),
            audio: Some(sample::ACOUSTIC.into()),
            ..mmrest_data::DataConfig::default()
        },
        folder.path(),
    )
    .unwrap();
    let audio = look(&folder.path().join(sample::ACOUSTIC));
    let seen = audio.sequences[0].values.as_ref().unwrap().not_finite();
    let loaded = data.report.non_finite[&Modality::Audio];
    assert!(loaded > 0 && loaded <= seen, "{loaded} of {seen}");
    let clamped = look(&folder.path().join(sample::LABELS)).labels.unwrap();
    assert_eq!(data.report.labels_clamped, clamped.out_of_range);
}

#[test]
fn odd_sequences_get_findings() {
    let folder = tempfile::tempdir().unwrap();
    let nan = f32::NAN;
    let twice = numbers(&[([0.0, 1.0], &[1.0, 5.0]), ([1.0, 2.0], &[2.0, 5.0])]);
    write(
        folder.path(),
        "audio.csd",
        &[
            ("a", twice.clone()),
            ("b", twice),
            (
                "c",
                numbers(&[
                    ([3.0, 4.0], &[0.0, 5.0]),
                    ([0.0, 1.0], &[nan, 5.0]),
                    ([0.0, 1.0], &[f32::INFINITY, 5.0]),
                    ([0.5, 2.0], &[-f32::INFINITY, 5.0]),
                    ([6.0, 5.0], &[1.0, 5.0]),
                ]),
            ),
            ("d", numbers(&[([0.0, 1.0], &[0.0, 0.0, 0.0])])),
            ("e", numbers(&[])),
        ],
    );
    let audio = look(&folder.path().join("audio.csd"));
    let found = codes(&audio);
    for code in [
        "entries_identical",
        "entry_empty",
        "widths_differ",
        "not_a_number",
        "interval_twice",
        "unsorted",
        "overlapping",
        "backwards",
        "zero_entry",
    ] {
        assert!(found.contains(&code), "{code} is not in {found:?}");
    }
    let text = audio.to_string();
    assert!(
        text.contains("1 NaN, 1 -inf, 1 +inf, in columns 0"),
        "{text}"
    );
    assert!(text.contains("a = b"), "{text}");
}

#[test]
fn what_is_no_data_is_said_in_a_sentence() {
    let cases: [(&str, &[u8], FileKind, &str); 8] = [
        ("a.csd", b"", FileKind::Empty, "empty"),
        (
            "b.csd",
            b"\n<!DOCTYPE html><html>",
            FileKind::WebPage,
            "web page",
        ),
        (
            "c.pkl",
            b"version https://git-lfs.github.com/spec/v1\n",
            FileKind::LfsPointer,
            "git lfs",
        ),
        (
            "d.csd",
            b"\x89HDF\r\n\x1a\n cut short",
            FileKind::Hdf5,
            "cannot be read as HDF5",
        ),
        ("e.csd", b"PK\x03\x04....", FileKind::Zip, "unzip"),
        ("f.csd", b"\x1f\x8b\x08....", FileKind::Gzip, "gunzip"),
        ("g.json", b"{\"train\": [", FileKind::Json, "cannot be read"),
        (
            "h.pkl",
            b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
            FileKind::Pickle,
            "os.system",
        ),
    ];
    for (name, bytes, kind, part) in cases {
        let inspection = of_bytes(name, bytes);
        assert_eq!(inspection.kind, kind, "{name}");
        assert_eq!(inspection.problems().count(), 1, "{name}");
        assert!(inspection.usable.role.is_none(), "{name}");
        let text = inspection.to_string();
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(of_bytes("i.bin", &[0, 1, 2, 3]).kind, FileKind::Unknown);
    assert_eq!(of_bytes("readme", b"Hello.\n").kind, FileKind::Text);
    let folder = tempfile::tempdir().unwrap();
    assert!(inspect::inspect(&folder.path().join("none"), &Options::default()).is_err());
    assert!(inspect::expand(folder.path()).is_err());
}

#[test]
fn cut_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let config = SampleConfig {
        videos: 3,
        ..SampleConfig::default()
    };
    sample::write(&config, folder.path()).unwrap();
    let whole = std::fs::read(folder.path().join(sample::LABELS)).unwrap();
    for share in 1..40 {
        let cut = &whole[..whole.len() * share / 40];
        let inspection = of_bytes("cut.csd", cut);
        assert!(inspection.problems().count() > 0, "{share}/40");
    }
    let mut flipped = 0;
    for place in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xff;
        of_bytes("flipped.csd", &bytes);
        flipped += 1;
    }
    assert!(flipped >= 60);
}

#[test]
fn every_fault_of_a_table_is_told_at_once() {
    let table = of_bytes(
        "label.csv",
        b"video_id,clip_id,text,label,mode\na,1,one,4,train\na,1,one,x,test\nb,2,,0.5,holdout\nc,3,x\n",
    );
    assert_eq!(table.kind, FileKind::Table);
    let found = codes(&table);
    for code in [
        "id_twice",
        "video_in_two_splits",
        "mode_unknown",
        "ragged",
        "label_no_number",
        "label_out_of_range",
        "text_empty",
    ] {
        assert!(found.contains(&code), "{code} is not in {found:?}");
    }
    assert!(table.usable.role.is_none());
    let other = of_bytes("x.csv", b"video_id;clip_id;sentence\na;1;hello\n");
    assert_eq!(codes(&other), ["column_missing", "column_spared"]);
    let five = Options {
        scale: Scale::Five,
        ..Options::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sims");
    std::fs::write(
        &path,
        "video_id,clip_id,text,label,mode\nv,0001,x,-0.7,train\nv,2,y,1.2,test\n",
    )
    .unwrap();
    let sims = inspect::inspect(&path, &five).unwrap().labels.unwrap();
    assert_eq!(sims.bins.len(), 5);
    assert_eq!((sims.bins[0].count, sims.out_of_range), (1, 1));
}

#[test]
fn folds_and_weights_are_checked() {
    let folds = of_bytes(
        "f.json",
        br#"{"train": ["a", "b"], "valid": ["a"], "test": []}"#,
    );
    assert_eq!(folds.kind, FileKind::Folds);
    assert_eq!(codes(&folds), ["id_twice"]);
    assert!(folds.usable.role.is_none());

    let header = br#"{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 16]);
    let whole = of_bytes("w", &bytes);
    assert_eq!(whole.kind, FileKind::Weights);
    assert_eq!(
        (whole.findings.len(), whole.metadata["parameters"].as_u64()),
        (0, Some(4))
    );
    let cut = of_bytes("w", &bytes[..bytes.len() - 1]);
    assert!(cut.findings[0].found.contains("breaks off"), "{cut}");
}

#[test]
fn files_are_put_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let row: &[([f64; 2], &[f32])] = &[([0.0, 1.0], &[1.0])];
    let one = || numbers(row);
    write(folder.path(), "labels.csd", &[("a_1", one()), ("b", one())]);
    write(
        folder.path(),
        "audio.csd",
        &[("a_1[0]", one()), ("c[1]", one())],
    );
    write(
        folder.path(),
        "words.csd",
        &[("a_1", words(&[([0.0, 1.0], "hi")]))],
    );
    let table = "video_id,clip_id,text,label,mode\na_1,1,hi,1,train\nb,1,ho,1,valid\n";
    std::fs::write(folder.path().join("label.csv"), table).unwrap();
    let files = inspect::expand(folder.path()).unwrap();
    let files: Vec<Inspection> = files.iter().map(|file| look(file)).collect();
    let together = compare(&files, &Options::default());
    assert_eq!(together.in_all, 1);
    assert_eq!(together.in_some["c"].len(), 3);
    let styles: Vec<_> = together.files.iter().map(|file| file.style).collect();
    assert!(styles.contains(&Some(IdStyle::Brackets)));
    assert!(styles.contains(&Some(IdStyle::Dollar)));
    let found: Vec<_> = together.findings.iter().map(|f| f.code).collect();
    assert!(found.contains(&"videos_lacking") && found.contains(&"id_styles"));
    assert!(together.config.unwrap().contains("split_from = \"table\""));
}

#[test]
fn pickles_of_the_releases_are_understood() {
    let folder = workspace().join("crates/mmrest-data/tests/pickles");
    for (name, text) in [("mmsa-unaligned.pkl", true), ("mult-mosi.pkl", false)] {
        let pickle = look(&folder.join(name));
        assert_eq!(pickle.usable.role, Some(Role::Pickle), "{pickle}");
        let labels = pickle.labels.as_ref().unwrap();
        let segments: usize = pickle.splits.values().sum();
        assert_eq!(labels.count, segments, "{pickle}");
        assert_eq!(pickle.ids.as_ref().unwrap().count, segments);
        let of = |name: &str| pickle.sequences.iter().find(|s| s.name == name);
        assert_eq!(of("text").is_some(), text);
        for modality in ["vision", "audio"] {
            assert_eq!(of(modality).unwrap().entries, segments, "{pickle}");
        }
    }
    let truth = std::fs::read(folder.join("releases.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_slice(&truth).unwrap();
    let frames: Vec<usize> = ["train", "valid", "test"]
        .iter()
        .flat_map(|split| truth["mmsa-unaligned"][split].as_array().unwrap())
        .map(|segment| segment["vision"].as_array().unwrap().len())
        .collect();
    let pickle = look(&folder.join("mmsa-unaligned.pkl"));
    let vision = pickle
        .sequences
        .iter()
        .find(|s| s.name == "vision")
        .unwrap();
    assert_eq!(vision.lengths, frames);
    let left = look(&folder.join("mult-mosi.pkl")).to_string();
    assert!(left.contains("before the frames (left)"), "{left}");
    let values = look(&folder.join("values-np1-p2.pkl"));
    assert!(values.usable.role.is_none() && !values.stored.is_empty());
}

#[test]
fn packed_sets_are_read_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.h5");
    let widths = Widths {
        vision: 0,
        audio: 2,
    };
    let mut writer = PackedWriter::create(&path, widths, true).unwrap();
    for (row, split) in Split::ALL.into_iter().enumerate() {
        let segment = Segment {
            id: format!("v{row}$_$1"),
            video: format!("v{row}"),
            text: "how nice".into(),
            vision: Frames::default(),
            audio: Frames {
                values: vec![0.5; 2 * row],
                width: 2,
            },
            label: Some(1.5),
        };
        writer.push(split, &segment).unwrap();
    }
    writer.finish(About::default()).unwrap();
    let check = Options {
        check: true,
        ..Options::default()
    };
    let set = inspect::inspect(&path, &check).unwrap();
    assert_eq!(
        (set.kind, set.usable.role),
        (FileKind::Packed, Some(Role::Packed))
    );
    assert_eq!(set.splits.values().sum::<usize>(), 3);
    assert_eq!(set.labels.as_ref().unwrap().bins[5].count, 3);
    let audio = &set.sequences[1];
    assert_eq!(
        (audio.name.as_str(), audio.width, audio.rows),
        ("audio", 2, 3)
    );
    assert!(
        codes(&set).contains(&"absent") && set.problems().next().is_none(),
        "{set}"
    );

    let mut bytes = std::fs::read(&path).unwrap();
    let value = 0.5f32.to_le_bytes().repeat(3);
    let place = bytes
        .windows(12)
        .position(|window| window == value)
        .unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let broken = inspect::inspect(&path, &check).unwrap();
    assert!(codes(&broken).contains(&"checksum"), "{broken}");
}

#[test]
fn mosi_is_known_to_the_last_interval() {
    let Some(dir) = shared_data("mosi") else {
        return;
    };
    let options = Options::default().with_folds_of(&workspace().join("data/folds"));
    let look = |name: &str| inspect::inspect(&dir.join(name), &options).unwrap();
    let labels = look("CMU_MOSI_Opinion_Labels.csd");
    assert_eq!(labels.usable.role, Some(Role::Labels));
    assert_eq!(labels.ids.as_ref().unwrap().videos, 93);
    assert_eq!(labels.sequences[0].rows, 2199);
    let intervals = labels.sequences[0].intervals.as_ref().unwrap();
    assert_eq!(intervals.zero_length_at, ["2WGyTLYerpo[43]"]);
    assert_eq!(labels.folds.len(), 1);
    assert_eq!(labels.folds[0].here, labels.folds[0].expected);
    let table = look("MOSI-label.csv");
    let count = |split| table.splits[&split];
    assert_eq!(Split::ALL.map(count), [1284, 229, 686]);
    assert_eq!(table.labels.unwrap().bins, labels.labels.unwrap().bins);
    let words = look("CMU_MOSI_ModifiedTimestampedWords.csd");
    assert_eq!(words.metadata["contact"], "asdfasdfasd");
    assert!(
        words.findings.iter().all(|f| f.level == Level::Note),
        "{words}"
    );
}

#[test]
fn a_video_in_two_splits_is_noted_of_a_pickle_and_of_a_packed_set() {
    use made::{array, dict, list, pickle, text};

    let part = |ids: [&str; 2]| {
        dict(&[
            ("raw_text", list(&[text("a"), text("b")])),
            ("id", list(&ids.map(text))),
            ("regression_labels", array(&[2], &[1.0, f32::NAN])),
            ("vision", array(&[2, 2, 1], &[1.0, 2.0, 3.0, 0.0])),
            ("audio", array(&[2, 1, 2], &[1.0, f32::INFINITY, 3.0, 4.0])),
        ])
    };
    let both = dict(&[
        ("train", part(["v$_$1", "v$_$2"])),
        ("test", part(["v$_$3", "w$_$1"])),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.pkl");
    std::fs::write(&made, pickle(&both)).unwrap();
    let set = folder.path().join("made.h5");
    mmrest_data::import::import(&made, None, [-3.0, 3.0], &set, &mut |_| true).unwrap();
    for path in [made, set] {
        let seen = look(&path);
        assert_eq!(seen.videos_in_two_splits, ["v"], "{}", path.display());
        let mut found = seen.findings.iter();
        let found = found.find(|finding| finding.code == "video_in_two_splits");
        assert_eq!(found.unwrap().level, Level::Note);
    }
}

/// The configuration that is printed for files, read from its text and tried on the loader: how many segments it gives.
fn segments_of_printed(paths: &[PathBuf]) -> Option<usize> {
    let options = Options::default().with_folds_of(&workspace().join("data/folds"));
    let files = paths.iter().flat_map(|path| inspect::expand(path).unwrap());
    let files: Vec<Inspection> = files
        .map(|file| inspect::inspect(&file, &options).unwrap())
        .collect();
    let together = compare(&files, &options);
    let Some(printed) = together.config else {
        let problems = together.findings.iter().map(|finding| finding.code);
        let refused = ["not_loadable", "no_splits"];
        let usable = |role| files.iter().any(|file| file.usable.role == Some(role));
        assert!(
            problems.into_iter().any(|code| refused.contains(&code))
                || ![Role::Pickle, Role::Packed].map(usable).contains(&true),
            "{paths:?}"
        );
        return None;
    };
    let parsed: toml::Table = printed.parse().unwrap();
    let config: mmrest_data::DataConfig = parsed["data"].clone().try_into().unwrap();
    let source = mmrest_data::open(&config, &workspace()).unwrap_or_else(|error| panic!("{error}"));
    let report = source.visit(&mut |_, _| Ok(()));
    Some(report.unwrap_or_else(|error| panic!("{error}")).total())
}

#[test]
fn every_configuration_that_is_printed_loads() {
    let pickles = workspace().join("crates/mmrest-data/tests/pickles");
    let of =
        |names: &[&str]| -> Vec<PathBuf> { names.iter().map(|name| pickles.join(name)).collect() };
    for names in [
        &["mmsa-unaligned.pkl"][..],
        &["mmsa-aligned.pkl"],
        &["sims.pkl"],
        &["mult-mosi.pkl"],
        &["mult-mosi.pkl", "mult-mosi.csv"],
        &["mult-mosei.pkl", "mult-mosei.csv"],
    ] {
        assert!(segments_of_printed(&of(names)).unwrap() > 0, "{names:?}");
    }
    // A table that is another release's, and tables alone, may be refused, but not printed.
    for names in [
        &["mult-mosi.pkl", "mult-mosei.csv"][..],
        &["mult-mosi.csv"],
        &["mult-mosei.csv"],
        &["values-np1-p2.pkl"],
    ] {
        let _ = segments_of_printed(&of(names));
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    sample::write(&SampleConfig::default(), &at.join("sample")).unwrap();
    assert_eq!(segments_of_printed(&[at.join("sample")]), Some(600));
    std::fs::remove_file(at.join("sample").join(sample::FOLDS)).unwrap();
    assert_eq!(segments_of_printed(&[at.join("sample")]), None);
    let table = "video_id,clip_id,text,label,mode\na,1,hi,1,train\nb,1,ho,1,valid\nc,1,hm,0,test\n";
    std::fs::write(at.join("label.csv"), table).unwrap();
    assert_eq!(segments_of_printed(&[at.join("label.csv")]), Some(3));
    let set = at.join("sims.h5");
    let sims = pickles.join("sims.pkl");
    mmrest_data::import::import(&sims, None, [-1.0, 1.0], &set, &mut |_| true).unwrap();
    assert!(segments_of_printed(&[set]).unwrap() > 0);
    if let Some(mosi) = shared_data("mosi") {
        assert_eq!(segments_of_printed(&[mosi]), Some(2199));
    }
}

/// What training cannot join is not printed: clips that are no numbers beside labelled intervals.
#[test]
fn what_the_loader_refuses_is_said_in_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let one = || numbers(&[([0.0, 1.0], &[1.0])]);
    write(folder.path(), "labels.csd", &[("a", one()), ("b", one())]);
    write(folder.path(), "audio.csd", &[("a", one()), ("b", one())]);
    let table = "video_id,clip_id,text,label,mode\na,first,hi,1,train\nb,1,ho,1,test\n";
    std::fs::write(folder.path().join("label.csv"), table).unwrap();
    let files = inspect::expand(folder.path()).unwrap();
    let files: Vec<Inspection> = files.iter().map(|file| look(file)).collect();
    let together = compare(&files, &Options::default());
    assert_eq!(together.config, None);
    let mut findings = together.findings.iter();
    let refused = findings.find(|finding| finding.code == "not_loadable");
    let refused = &refused.unwrap().found;
    assert!(refused.contains("is no whole number"), "{refused}");
}
