//! Small valid data.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use hdf5_writer::{
    DatasetBuilder, FILTER_DEFLATE, FILTER_FLETCHER32, FILTER_SHUFFLE, FilterDescription,
    Hdf5Builder, WriteOptions,
};
use mmrest_data::csd::{self as sequence, Entry, Features};
use mmrest_data::packed::{About, PackedWriter};
use mmrest_data::{Frames, Segment, Split, Widths};
use mmrest_datatools::sample::{self, SampleConfig};

/// Pickles as Python wrote them, of made-up values: `crates/mmrest-data/tests/pickles/make.py`.
const PICKLES: &str = "../../crates/mmrest-data/tests/pickles";

/// Computational sequences: words, numbers, pieces; compressed, shuffled, compact, linked, in the old and the new format.
#[must_use]
pub fn csd(scratch: &Path) -> Vec<Vec<u8>> {
    let words = [
        ("v[0]", words(&["well", "sp"])),
        ("v[1]", words(&["naïve"])),
    ];
    let small = [("a", numbers(2, 3)), ("b", numbers(1, 3))];
    // 4 KiB and more are compressed.
    let large = [("a", numbers(700, 3))];
    vec![
        written(scratch, "words", &words),
        written(scratch, "small", &small),
        written(scratch, "large", &large),
        linked(scratch, 3, 700, 3),
        new_format(),
    ]
}

/// A computational sequence in which one entry has many names (hard links).
///
/// # Panics
///
/// Where it cannot be written.
#[must_use]
pub fn linked(scratch: &Path, names: usize, rows: usize, width: usize) -> Vec<u8> {
    const HEAD: usize = 8;
    const ENTRY: usize = 40;
    let names: Vec<String> = (0..names).map(|at| format!("{at:04}")).collect();
    let entry = |(at, name)| match at {
        0 => (name, numbers(rows, width)),
        _ => (name, numbers(1, width)),
    };
    let entries: Vec<(&str, Entry)> = names
        .iter()
        .map(String::as_str)
        .enumerate()
        .map(entry)
        .collect();
    let mut file = written(scratch, "linked", &entries);
    // The symbol tables in which all are groups, three or more, are those of the entries; a symbol's address comes after
    // its name.
    let tables = (0..file.len() - 3).filter(|&at| file[at..].starts_with(b"SNOD"));
    let entries: Vec<usize> = tables
        .filter(|&at| usize::from(file[at + 6]) >= 3)
        .map(|at| (at + HEAD..).step_by(ENTRY).take(file[at + 6].into()))
        .filter(|symbols| symbols.clone().all(|symbol| file[symbol + 16] == 1))
        .flatten()
        .collect();
    assert_eq!(entries.len(), names.len(), "the symbols of the entries");
    let first = file[entries[0] + 8..entries[0] + ENTRY].to_vec();
    for symbol in entries {
        file[symbol + 8..symbol + ENTRY].copy_from_slice(&first);
    }
    file
}

fn times(rows: usize) -> Vec<[f64; 2]> {
    (0..rows)
        .map(|row| [row as f64, row as f64 + 1.0])
        .collect()
}

fn words(words: &[&str]) -> Entry {
    Entry {
        intervals: times(words.len()),
        features: Features::Text(words.iter().map(ToString::to_string).collect()),
    }
}

fn numbers(rows: usize, width: usize) -> Entry {
    let values = (0..rows * width).map(|at| (at / 64) as f32 * 0.5);
    Entry {
        intervals: times(rows),
        features: Features::Numeric {
            values: values.collect(),
            width,
        },
    }
}

fn written(scratch: &Path, root: &str, entries: &[(&str, Entry)]) -> Vec<u8> {
    let path = scratch.join(format!("{root}.csd"));
    std::fs::create_dir_all(scratch).expect("a folder");
    let metadata = sequence::metadata(root, "made by a test");
    sequence::write(&path, root, &metadata, entries.iter().cloned()).expect("a sequence");
    std::fs::read(&path).expect("a sequence")
}

/// A superblock of version 2 and object headers with checksums, chunks behind three filters, data inside headers.
fn new_format() -> Vec<u8> {
    let values: Vec<f32> = (0..64).map(|at| (at / 4) as f32).collect();
    let times: Vec<f64> = times(16).into_iter().flatten().collect();
    let filter = |id, client_data| FilterDescription {
        id,
        name: None,
        client_data,
    };
    let features = DatasetBuilder::typed_data("new/data/a/features", vec![16, 4], &values)
        .expect("values")
        .chunked(vec![8, 4])
        .filter(filter(FILTER_SHUFFLE, vec![4]))
        .filter(filter(FILTER_DEFLATE, vec![6]))
        .filter(filter(FILTER_FLETCHER32, vec![]));
    let intervals = DatasetBuilder::typed_data("new/data/a/intervals", vec![16, 2], &times)
        .expect("values")
        .compact();
    let note = DatasetBuilder::vlen_string_data("new/metadata/creator", vec![1], &["\"a test\""]);
    let plan = Hdf5Builder::new()
        .dataset(features)
        .dataset(intervals)
        .dataset(note.expect("text"));
    let plan = plan.into_plan().expect("a file");
    plan.encode(WriteOptions::default()).expect("a file")
}

/// Packed sets: of all modalities, and of text alone.
#[must_use]
pub fn packed(scratch: &Path) -> Vec<Vec<u8>> {
    let path = scratch.join("set.h5");
    std::fs::create_dir_all(scratch).expect("a folder");
    let frames = |rows: usize, width: usize| Frames {
        values: (0..rows * width).map(|at| at as f32).collect(),
        width,
    };
    let whole = Widths {
        vision: 2,
        audio: 3,
    };
    [whole, Widths::default()]
        .map(|widths| {
            let mut writer = PackedWriter::create(&path, widths, true).expect("a set");
            for (row, split) in Split::ALL.into_iter().enumerate() {
                let segment = Segment {
                    id: format!("v$_${row}"),
                    video: "v".to_owned(),
                    text: "well, naïve".to_owned(),
                    vision: frames(row + 1, widths.vision),
                    audio: frames(2 - row, widths.audio),
                    label: (row > 0).then_some(row as f32 - 0.5),
                };
                writer.push(split, &segment).expect("a segment");
            }
            writer.finish(About::default()).expect("a set");
            std::fs::read(&path).expect("a set")
        })
        .into()
}

fn pickles(names: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(PICKLES);
    let read = |name: &&str| std::fs::read(folder.join(name)).expect("a pickle");
    names.iter().map(read).collect()
}

/// What gzip makes of bytes.
///
/// # Panics
///
/// Never: there is memory.
#[must_use]
pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::best());
    writer.write_all(bytes).expect("memory");
    writer.finish().expect("memory")
}

/// Pickles, and the last of them compressed.
fn and_gzipped(mut pickles: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    pickles.extend(pickles.last().map(|last| gzipped(last)));
    pickles
}

/// Pickles of every value and array, by protocols 2 to 5, and one compressed.
#[must_use]
pub fn pickle() -> Vec<Vec<u8>> {
    and_gzipped(pickles(&[
        "values-np1-p2.pkl",
        "values-np2-p3.pkl",
        "values-np1-p4.pkl",
        "values-np2-p5.pkl",
        "mmsa-aligned.pkl",
    ]))
}

/// Pickles laid out as the processed releases', and one compressed.
#[must_use]
pub fn release() -> Vec<Vec<u8>> {
    and_gzipped(pickles(&[
        "mmsa-aligned.pkl",
        "mmsa-unaligned.pkl",
        "sims.pkl",
        "mult-mosi.pkl",
        "mult-mosei.pkl",
    ]))
}

/// Tables: commas and semicolons, quotes and line ends of every kind.
#[must_use]
pub fn table() -> Vec<Vec<u8>> {
    [
        "video_id,clip_id,text,label,mode\n\
         a,1,\"well, fine\",0.8,train\na,2,not \"good\",-1.5,train\n\
         b,1,\"two\nlines\",NaN,valid\nc,0003,naïve,,test\n",
        "\u{feff}label;mode;clip_id;video_id;text;other\r\n\
         1.0;dev;1;x$y;one;\r\n-3;train;1;y;\"a \"\"quote\"\"\";7\r\n0;test;4;z;;\r\n",
    ]
    .map(|table| table.as_bytes().to_vec())
    .into()
}

/// A data set of computational sequences in a folder: its files, as paths from it.
#[must_use]
pub fn sequences(folder: &Path) -> Vec<PathBuf> {
    let config = SampleConfig {
        videos: 3,
        segments_per_video: 1,
        ..SampleConfig::default()
    };
    sample::write(&config, folder).expect("a sample");
    super::files(folder)
        .into_iter()
        .filter(|path| !path.starts_with(sample::BERT))
        .collect()
}

/// Writes the utterance features of Poria et al., of made-up values, with the labels and words of their videos; gives the
/// names of the release's tables.
///
/// # Panics
///
/// Where the folder cannot be written.
#[must_use]
pub fn utterances(folder: &Path) -> Vec<PathBuf> {
    let files = [
        (
            "transcripts.csv",
            "\"b_1\",\"x\"\n\"a_1\",\"x\"\n\"a_2\",\"x\"\n\"b_2\",\"x\"\n",
        ),
        (
            "text_train.csv",
            "\"2\",\"0.5\"\n\"0\",\"0.5\"\n\"1\",\"0.5\"\n",
        ),
        ("text_test.csv", "\"3\",\"0.5\"\n"),
        (
            "audio/audio_train0.csv",
            "\"3.0\",\"30\",\"0\"\n\"1.0\",\"10\",\"1\"\n\"2.0\",\"20\",\"0\"\n",
        ),
        ("audio/audio_test0.csv", "\"4.0\",\"40\",\"1\"\n"),
        (
            "video/video_train0.csv",
            "\"0.3\",\"0\"\n\"0.1\",\"1\"\n\"0.2\",\"0\"\n",
        ),
        ("video/video_test0.csv", "\"0.4\",\"1\"\n"),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    let label = |rows| Entry {
        intervals: times(rows),
        features: Features::Numeric {
            values: vec![1.0; rows],
            width: 1,
        },
    };
    let labels = [("a", label(2)), ("b", label(2))];
    let spoken = [("a", words(&["well", "sp"])), ("b", words(&["made"]))];
    let write = |name: &str, entries: &[(&str, Entry)]| {
        let bytes = written(&folder.join("made"), name.trim_end_matches(".csd"), entries);
        std::fs::write(folder.join(name), bytes).expect("a sequence");
    };
    write(sample::LABELS, &labels);
    write(sample::WORDS, &spoken);
    files.map(|(name, _)| PathBuf::from(name)).into()
}
