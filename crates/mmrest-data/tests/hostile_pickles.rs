//! Pickles built to exhaust their reader: one sentence, at once, within the memory of any other file of their size.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
mod made;

use std::io::Write;
use std::time::Duration;

use cpu_time::ProcessTime;
use made::{array, dict, list, pickle, text};
use mmrest_data::import::Survey;
use mmrest_data::pickle::Pickle;

/// No pickle of less than a MiB takes more processor time; that of the tests beside it counts too.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Opens a release as its inspection does, and gives the refusal.
fn refusal(bytes: &[u8]) -> String {
    assert!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.pkl");
    std::fs::write(&path, bytes).unwrap();
    let begin = ProcessTime::now();
    let error = Pickle::open(&path)
        .and_then(Survey::of)
        .err()
        .expect("it should be refused")
        .to_string();
    assert!(begin.elapsed() < MOST_TIME, "{:?}", begin.elapsed());
    assert!(!error.contains('\n'), "{error}");
    error
}

fn with(key: &'static str, value: Vec<u8>) -> Vec<u8> {
    let mut part = vec![
        ("raw_text", list(&[text("a"), text("b")])),
        ("id", list(&[text("v$_$1"), text("v$_$2")])),
        ("regression_labels", array(&[2], &[1.0, 2.0])),
    ];
    part.retain(|(known, _)| *known != key);
    part.push((key, value));
    pickle(&dict(&[("train", dict(&part))]))
}

/// `levels` lists, each of `width` references to the one before it.
fn laughs(first: &[u8], levels: u8, width: usize) -> Vec<u8> {
    let mut value = [first, b"q\x01"].concat();
    for level in 1..=levels {
        let references = [b'h', level].repeat(width);
        value.extend([b"0](".to_vec(), references, vec![b'e', b'q', level + 1]].concat());
    }
    value
}

#[test]
fn a_list_that_contains_itself_is_refused() {
    for key in ["id", "raw_text", "regression_labels", "vision"] {
        let error = refusal(&with(key, b"]q\x00h\x00a".to_vec()));
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn references_are_not_followed_without_end() {
    for key in ["id", "raw_text", "regression_labels", "vision"] {
        for (levels, width) in [(60, 2), (4, 1000), (3, 100_000)] {
            for first in [text("a"), b"]".to_vec(), text(&"a".repeat(60_000))] {
                refusal(&with(key, laughs(&first, levels, width)));
            }
        }
    }
}

#[test]
fn a_text_that_is_encoded_again_and_again_is_encoded_once() {
    let text = text(&"é".repeat(30_000));
    let again = b"h\x02h\x01h\x03\x86R0".repeat(100_000);
    let value = [
        text,
        b"q\x01X\x06\x00\x00\x00latin1q\x030".to_vec(),
        b"0c_codecs\nencode\nq\x020".to_vec(),
        again,
        b"]".to_vec(),
    ];
    refusal(&pickle(&value.concat()));
}

#[test]
fn shapes_without_elements_are_not_counted_through() {
    let huge = |rows: &[u8]| {
        let mut bytes =
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01("
                .to_vec();
        bytes.extend([b"\x8a\x08".as_slice(), rows, b"K\x00K\x05"].concat());
        bytes.extend(b"tcnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89B\x00\x00\x00\x00tb");
        bytes
    };
    let rows = (1_u64 << 40).to_le_bytes();
    for key in ["id", "raw_text", "regression_labels", "vision", "audio"] {
        let error = refusal(&with(key, huge(&rows)));
        assert!(error.contains("train["), "{error}");
    }
}

/// What gzip makes of bytes.
fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Numbers that are not compressed, for gzip may not make 256 times of a file.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f32::from_bits(state)
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn a_compressed_file_is_believed_as_far_as_its_own_size_goes() {
    let numbers = noise(100_000);
    let noise = array(&[100_000], &numbers);
    let frames = array(&[2, 1, 12_000_000], &vec![0.0; 24_000_000]);
    let part = dict(&[
        ("raw_text", list(&[text("a"), text("b")])),
        ("id", list(&[text("v$_$1"), text("v$_$2")])),
        ("regression_labels", array(&[2], &[1.0, 2.0])),
        ("vision", frames),
        ("noise", noise.clone()),
    ]);
    let error = refusal(&gzipped(&pickle(&dict(&[("train", part)]))));
    assert!(
        error.contains("more frames than a file of its size"),
        "{error}"
    );
    // Few bytes again and again: values, what is remembered, and steps that leave nothing.
    for piece in [&b"N"[..], b"\x85\x94", b"q\x00", b"(1"] {
        let many = piece.repeat((90 << 20) / piece.len());
        let program = [noise.clone(), many].concat();
        let error = refusal(&gzipped(&pickle(&program)));
        assert!(error.contains("more than 4194304 steps"), "{error}");
    }
    // Repeated as data are, it is read.
    let said = text(&"a wonderful film ".repeat(1000));
    let part = |name: &'static str| {
        let id = |clip: u8| text(&format!("{name}$_${clip}"));
        let part = dict(&[
            ("raw_text", list(&[said.clone(), said.clone()])),
            ("id", list(&[id(1), id(2)])),
            ("regression_labels", array(&[2], &[1.0, 2.0])),
            ("vision", array(&[2, 500, 35], &numbers[..35_000])),
        ]);
        (name, part)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.pkl.gz");
    let parts = ["train", "valid", "test"].map(part);
    std::fs::write(&path, gzipped(&pickle(&dict(&parts)))).unwrap();
    Survey::of(Pickle::open(&path).unwrap()).map(drop).unwrap();
}
