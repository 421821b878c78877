//! What was found once stays found.

use std::io::Read;
use std::path::Path;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use hdf5_writer::{DatasetBuilder, FILTER_DEFLATE, FilterDescription, Hdf5Builder, WriteOptions};
use mmrest_mutation::mutator::{Form, generator};
use mmrest_mutation::read::{self, ANY, CONFIG, CSD, CSV, PACKED, PICKLE, TABLE};
use mmrest_mutation::seed;
use mmrest_mutation::trial::{Reader, Subject, Trial};
use rand::RngExt;

use crate::{anywhere, scratch};

fn trial<'a>(kind: &'static str, subject: Subject, read: &'a Reader<'a>) -> Trial<'a> {
    Trial {
        kind,
        subjects: vec![subject],
        beside: vec![],
        read,
        place: anywhere,
    }
}

fn kept(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    std::fs::read(folder.join(name)).unwrap()
}

/// A dataset in a file of 10 KiB claimed a shape that took 768 MiB, and was made room for and filled with zeros.
#[test]
fn a_dataset_larger_than_its_file() {
    let subject = Subject::new(
        CSD,
        Form::Hdf5,
        seed::csd(&scratch().join("valid/found-csd")),
    );
    let found = kept("dataset-larger-than-its-file.csd");
    trial("csd", subject, &read::csd).run_found(&scratch(), &[found]);
}

/// A chunk of 900 KB that gzip would make 600 MB of: decompression ends where the chunk is full.
#[test]
fn a_chunk_that_never_ends() {
    let mut rng = generator("noise", 0);
    let noise: Vec<f32> = (0..220_000).map(|_| rng.random()).collect();
    let times: Vec<f64> = (0..2 * noise.len() / 4).map(|at| at as f64).collect();
    let rows = noise.len() as u64 / 4;
    let gzip = FilterDescription {
        id: FILTER_DEFLATE,
        name: None,
        client_data: vec![1],
    };
    let features = DatasetBuilder::typed_data("r/data/a/features", vec![rows, 4], &noise);
    let features = features
        .unwrap()
        .chunked(vec![rows, 4])
        .filter(gzip.clone());
    let intervals = DatasetBuilder::typed_data("r/data/a/intervals", vec![rows, 2], &times);
    let intervals = intervals.unwrap().chunked(vec![rows, 2]).filter(gzip);
    let plan = Hdf5Builder::new().dataset(features).dataset(intervals);
    let mut file = plan
        .into_plan()
        .unwrap()
        .encode(WriteOptions::default())
        .unwrap();
    let bomb = compressed(600_000_000);
    let mut streams = (0..file.len() - bomb.len()).filter(|&at| {
        file[at] == 0x78 && (u16::from(file[at]) << 8 | u16::from(file[at + 1])) % 31 == 0
    });
    // The features' stream is the first that is as long as the noise.
    let start = streams
        .find(|&at| inflated(&file[at..]) == Some(4 * noise.len()))
        .unwrap();
    file[start..start + bomb.len()].copy_from_slice(&bomb);
    let subject = Subject::new(
        CSD,
        Form::Hdf5,
        seed::csd(&scratch().join("valid/bomb-csd")),
    );
    let trial = trial("bomb", subject, &read::csd);
    trial.run_found(&scratch(), &[file]);
}

/// Zeros, by gzip.
fn compressed(zeros: u64) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(zeros), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that a stream holds, if it is one.
fn inflated(stream: &[u8]) -> Option<usize> {
    let mut bytes = Vec::new();
    let read = ZlibDecoder::new(stream)
        .take(2_000_000)
        .read_to_end(&mut bytes);
    read.ok().map(|_| bytes.len())
}

/// Inline tables that are never closed took TOML's parser one level deeper each, until the stack was used up.
#[test]
fn brackets_without_end() {
    let open = "x = { y]\n".repeat(90_000);
    let found = [
        open.clone(),
        open.replace('{', "["),
        open.replace("x = {", "{a="),
        "[a]\n".repeat(90_000),
        "a.".repeat(400_000) + "b = 1",
        format!("x = \"{}\"", "[{".repeat(400_000)),
    ]
    .map(String::into_bytes);
    let subject = Subject::new(CONFIG, Form::Text, seed::config());
    trial("config", subject, &read::config).run_found(&scratch(), &found);
}

/// Lists within lists, as deep as a file of 1 MiB goes.
#[test]
fn pickles_nested_to_the_end() {
    let lists = [b"\x80\x04".to_vec(), b"](".repeat(500_000)].concat();
    let tuples = [
        b"\x80\x04N".to_vec(),
        b"\x85".repeat(1_000_000),
        b".".to_vec(),
    ]
    .concat();
    let doubled = [b"\x80\x02]".to_vec(), b"2a".repeat(500_000), b".".to_vec()].concat();
    let subject = Subject::new(PICKLE, Form::Bytes, seed::pickle());
    trial("pickle", subject, &read::pickle).run_found(&scratch(), &[lists, tuples, doubled]);
}

/// Compressed, a MiB is a program of a hundred: values, what is remembered, and steps that leave nothing.
#[test]
fn pickles_compressed_to_a_few_bytes() {
    let mut rng = generator("noise", 1);
    // gzip may make 256 times of a file, and no more.
    let noise: Vec<u8> = (0..400_000).map(|_| rng.random()).collect();
    let found = [
        &b"\x85\x94"[..],
        b"N0",
        b"q\x00",
        b"(1",
        b"\x8c\x08a cinema0",
    ]
    .map(|piece| {
        let start = b"\x80\x04B\x80\x1a\x06\x00";
        let many = piece.repeat((90 << 20) / piece.len());
        let file = seed::gzipped(&[&start[..], &noise, &many, b"."].concat());
        assert!(file.len() < 1 << 20 && file.len() > (91 << 20) / 256);
        file
    });
    let subject = |valid| Subject::new(PICKLE, Form::Bytes, valid);
    trial("compressed", subject(seed::pickle()), &read::pickle).run_found(&scratch(), &found);
    let inspected = Subject::new(ANY, Form::Bytes, seed::release());
    trial("compressed-inspected", inspected, &read::inspected).run_found(&scratch(), &found);
}

/// Four hundred names of one dataset of 40 MB in a file of less than one: what they are read for together is counted.
#[test]
fn one_dataset_under_many_names() {
    let folder = scratch().join("valid/linked-csd");
    let found = [seed::linked(&folder, 400, 100_000, 100)];
    assert!(found[0].len() < 1 << 20, "{}", found[0].len());
    let subject = |path| Subject::new(path, Form::Hdf5, seed::csd(&folder));
    trial("linked", subject(CSD), &read::csd).run_found(&scratch(), &found);
    trial("linked-inspected", subject(ANY), &read::inspected).run_found(&scratch(), &found);
}

/// Rows of one cell below a header of many: each stood for as many values.
#[test]
fn rows_shorter_than_their_header() {
    let found = [100, 10_000, 100_000].map(|columns| {
        let rows: String = (0..100_000).map(|at| format!("{}.5\n", at / 20)).collect();
        format!("frameTime{}\n{rows}", ",a".repeat(columns)).into_bytes()
    });
    let subject = Subject::new(CSV, Form::Text, seed::features());
    trial("short-rows", subject, &read::features).run_found(&scratch(), &found);
}

/// A table of one line, of one column, of nothing but quotes.
#[test]
fn tables_of_one_kind_of_sign() {
    let head = "video_id,clip_id,text,label,mode\n";
    let found = ["\"", ",", "\n", ";\"", "a,1,x,0,train\n", "\u{feff}"]
        .map(|sign| (head.to_owned() + &sign.repeat(1_000_000 / sign.len())).into_bytes());
    let bare = [",", "a,", "\"\n"].map(|sign| sign.repeat(400_000).into_bytes());
    let subject = Subject::new(TABLE, Form::Text, seed::table());
    let trial = trial("table", subject, &read::table);
    trial.run_found(&scratch(), &found);
    trial.run_found(&scratch(), &bare);
}

/// A header that gives 1,025 channels and places for two: its decoder shifted a number by what is missing, which ends a
/// program that checks its arithmetic.
#[test]
fn more_channels_than_places() {
    let subject = Subject::new(ANY, Form::Bytes, seed::recordings());
    let found = kept("more-channels-than-places.wav");
    trial("recording", subject, &read::recording).run_found(&scratch(), &[found]);
}

/// The inputs of the fuzz targets, each of which reaches code that the others do not.
#[test]
fn what_fuzzing_has_kept() {
    let csd = seed::csd(&scratch().join("valid/corpus-csd"));
    let packed = seed::packed(&scratch().join("valid/corpus-packed"));
    let (csd, packed) = (
        Subject::new(CSD, Form::Hdf5, csd),
        Subject::new(PACKED, Form::Hdf5, packed),
    );
    let bytes = |path: &str, valid| Subject::new(path, Form::Bytes, valid);
    let text = |path: &str, valid| Subject::new(path, Form::Text, valid);
    let readers: [(&'static str, Subject, &Reader<'_>); 10] = [
        ("csd", csd, &read::csd),
        ("packed", packed, &read::packed),
        ("pickle", bytes(PICKLE, seed::pickle()), &read::pickle),
        ("release", bytes(PICKLE, seed::release()), &read::release),
        ("table", text(TABLE, seed::table()), &read::table),
        (
            "recording",
            bytes(ANY, seed::recordings()),
            &read::recording,
        ),
        (
            "transcript",
            text(ANY, seed::transcripts()),
            &read::transcript,
        ),
        ("features", text(CSV, seed::features()), &read::features),
        ("segments", text(CSV, seed::segments()), &read::segments),
        ("config", text(CONFIG, seed::config()), &read::config),
    ];
    for (target, subject, read) in readers {
        let folder = format!("../fuzz/corpus/{target}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let files = std::fs::read_dir(folder).unwrap();
        let found: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(found.len() > 10, "{target}: {} inputs", found.len());
        let kind: &'static str = format!("corpus-{target}").leak();
        trial(kind, subject, read).run_found(&scratch(), &found);
    }
}
