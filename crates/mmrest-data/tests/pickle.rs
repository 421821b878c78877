//! Pickles that Python wrote are read as Python reads them; those made to harm are refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::{Path, PathBuf};

use mmrest_data::pickle::{Array, Kind, Pickle, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn folder() -> PathBuf {
    common::workspace().join("crates/mmrest-data/tests/pickles")
}

fn every_values_file() -> impl Iterator<Item = PathBuf> {
    let versions = [1, 2]
        .into_iter()
        .flat_map(|numpy| (2..=5).map(move |protocol| (numpy, protocol)));
    versions.map(|(numpy, protocol)| folder().join(format!("values-np{numpy}-p{protocol}.pkl")))
}

/// Writes a pickle of these bytes and opens it.
fn open_bytes(bytes: &[u8]) -> mmrest_data::Result<(tempfile::TempDir, Pickle)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.pkl");
    std::fs::write(&path, bytes).unwrap();
    Pickle::open(&path).map(|pickle| (folder, pickle))
}

/// Why a pickle is refused.
fn refusal(bytes: &[u8]) -> String {
    let error = open_bytes(bytes)
        .expect_err("it should be refused")
        .to_string();
    assert!(error.contains("made.pkl: byte "), "{error}");
    assert!(!error.contains('\n'), "{error}");
    error
}

/// A value as JSON; arrays as `make.py` writes them.
fn to_json(value: Value<'_>) -> Json {
    let items = || value.items().unwrap().into_iter().map(to_json).collect();
    match value.kind() {
        Kind::None => Json::Null,
        Kind::Bool(truth) => json!(truth),
        Kind::Int(n) => i64::try_from(n).map_or_else(|_| json!(n.to_string()), |n| json!(n)),
        Kind::Float(n) => json!(n),
        Kind::Text | Kind::Bytes => json!(value.text().unwrap()),
        Kind::List | Kind::Tuple => Json::Array(items()),
        Kind::Dict => {
            let entries = value.entries().unwrap().into_iter();
            let entries = entries.map(|(key, of)| (key.text().unwrap().unwrap(), to_json(of)));
            Json::Object(entries.collect())
        }
        Kind::Array(array) => json!({
            "shape": array.shape(),
            "dtype": array.dtype().to_string(),
            "values": value.items().map_or_else(|| elements(array), |items| {
                items.into_iter().map(to_json).collect()
            }),
        }),
        other => panic!("{other:?}"),
    }
}

fn elements(array: &Array) -> Vec<Json> {
    let rows = 0..array.rows();
    if !array.dtype().is_numeric() {
        return array.texts().unwrap().into_iter().map(Json::from).collect();
    }
    let dtype = array.dtype().to_string();
    match array.rows_int(rows.clone()) {
        Ok(whole) if dtype.ends_with("b1") => whole.iter().map(|&n| json!(n != 0)).collect(),
        Ok(whole) => whole
            .iter()
            .map(|&n| json!(i64::try_from(n).unwrap()))
            .collect(),
        Err(_) => array
            .rows_f64(rows)
            .unwrap()
            .into_iter()
            .map(Json::from)
            .collect(),
    }
}

#[test]
fn values_of_every_protocol_and_numpy_are_those_python_wrote() {
    let expected = std::fs::read_to_string(folder().join("values.json")).unwrap();
    let expected: Json = serde_json::from_str(&expected).unwrap();
    for path in every_values_file() {
        let pickle = Pickle::open(&path).unwrap();
        for part in ["plain", "arrays"] {
            let (found, expected) = (to_json(pickle.root().get(part).unwrap()), &expected[part]);
            let keys = |json: &Json| {
                json.as_object()
                    .unwrap()
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
            };
            assert_eq!(keys(&found), keys(expected), "{}", path.display());
            for (key, expected) in expected.as_object().unwrap() {
                assert_eq!(found[key], *expected, "{}: {key}", path.display());
            }
        }
    }
}

#[test]
fn what_json_cannot_say_is_read_too() {
    for path in every_values_file() {
        let pickle = Pickle::open(&path).unwrap();
        let others = pickle.root().get("others").unwrap();
        let items = |key: &str| others.get(key).unwrap().items().unwrap();
        let bytes = |key| -> Vec<_> {
            let items = items(key).into_iter();
            items.map(|item| item.bytes().unwrap().unwrap()).collect()
        };
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes("bytes"), [Vec::new(), b"abc".to_vec(), every]);
        assert_eq!(bytes("bytearray"), [Vec::new(), b"\x00\xffa".to_vec()]);
        let numbers: Vec<f64> = items("scalars")
            .iter()
            .map(|n| n.as_f64().unwrap())
            .collect();
        assert_eq!(numbers, [2.5, -1.0, -7.0, 200.0, 1.0]);
        assert_eq!(items("scalars")[2].as_i64(), Some(-7));
        let named: Vec<_> = items("named")
            .iter()
            .map(|n| n.text().unwrap().unwrap())
            .collect();
        assert_eq!(named, ["你", "ab"]);
        let long = others.get("long").unwrap().kind();
        assert!(matches!(long, Kind::Int(n) if n == i128::from(u64::MAX)));
        let dtype = others.get("dtype").unwrap().kind();
        assert!(matches!(dtype, Kind::DType(dtype) if dtype.to_string() == ">f4"));
    }
}

#[test]
fn rows_are_read_one_by_one_as_all_together() {
    for path in every_values_file() {
        let pickle = Pickle::open(&path).unwrap();
        for (_, value) in pickle.root().get("arrays").unwrap().entries().unwrap() {
            let Some(array) = value.array().filter(|array| array.dtype().is_numeric()) else {
                continue;
            };
            let all = array.rows_f32(0..array.rows()).unwrap();
            let each = (0..array.rows()).flat_map(|row| array.rows_f32(row..row + 1).unwrap());
            assert_eq!(each.collect::<Vec<_>>(), all);
            assert!(array.rows_f32(0..array.rows() + 1).is_err());
        }
    }
}

/// `{"a": array}` of u1 and shape (rows, 1000), its data given by `data`.
fn large(rows: u16, fortran: bool, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01M".to_vec();
    bytes.extend(rows.to_le_bytes());
    bytes.extend(b"M\xe8\x03\x86cnumpy\ndtype\nX\x02\x00\x00\x00u1\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
    bytes.push(if fortran { 0x88 } else { 0x89 });
    bytes.extend(data);
    bytes.extend(b"tbs.");
    bytes
}

/// The bytes as protocol 2, 3, 4 and 5 write them.
fn written(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let mut latin1 = b"c_codecs\nencode\nX".to_vec();
    latin1.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    latin1.extend(text.as_bytes());
    latin1.extend(b"X\x06\x00\x00\x00latin1\x86R");
    let mut all = vec![latin1];
    for (opcode, width) in [(b'B', 4), (0x8e, 8), (0x96, 8)] {
        let mut data = vec![opcode];
        data.extend(&(bytes.len() as u64).to_le_bytes()[..width]);
        data.extend(bytes);
        all.push(data);
    }
    all
}

#[test]
fn large_arrays_stay_in_the_file_and_their_rows_are_the_same() {
    let rows = 150_usize;
    let bytes: Vec<u8> = (0..rows * 1000)
        .map(|i| (i * 7 % 253 + i / 999) as u8)
        .collect();
    let c = |row: usize, column: usize| f32::from(bytes[row * 1000 + column]);
    let f = |row: usize, column: usize| f32::from(bytes[column * rows + row]);
    for data in written(&bytes) {
        for fortran in [false, true] {
            let (_folder, pickle) = open_bytes(&large(150, fortran, &data)).unwrap();
            let array = pickle.root().get("a").unwrap().array().unwrap();
            for range in [0..1, 3..5, 100..150, 149..150, 7..7] {
                let found = array.rows_f32(range.clone()).unwrap();
                let places = range.flat_map(|row| (0..1000).map(move |column| (row, column)));
                let expected = places.map(|(row, column)| {
                    if fortran {
                        f(row, column)
                    } else {
                        c(row, column)
                    }
                });
                assert!(expected.eq(found), "fortran {fortran}");
            }
        }
    }
}

#[test]
fn an_array_of_another_size_than_it_states_is_refused() {
    for data in written(&vec![200; 149_999]) {
        let error = refusal(&large(150, false, &data));
        assert!(
            error.contains("(150, 1000)") && error.contains("149999 bytes"),
            "{error}"
        );
    }
}

#[test]
fn whatever_a_pickle_asks_to_run_is_refused_by_name() {
    for (pickle, name) in [
        (
            &b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..],
            "os.system",
        ),
        (
            b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.",
            "posix.system",
        ),
        (
            b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
            "__builtin__.eval",
        ),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
            "builtins.eval",
        ),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
            "builtins.getattr",
        ),
        (
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02ls\x85R.",
            "posix.system",
        ),
        (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\n.",
            "os.system",
        ),
        (b"\x80\x02cnumpy\nload\n.", "numpy.load"),
        (
            b"\x80\x02cnumpy.core.multiarray\nfromfile\n.",
            "numpy.core.multiarray.fromfile",
        ),
        (b"\x80\x02c_codecs\nlookup\n.", "_codecs.lookup"),
        (b"\x80\x02cnumpy\nndarray.tofile\n.", "numpy.ndarray.tofile"),
        (
            b"\x80\x02ccopyreg\n_reconstructor\n.",
            "copyreg._reconstructor",
        ),
    ] {
        let error = refusal(pickle);
        assert!(error.contains(&format!("asks for {name},")), "{error}");
    }
    let error = refusal(b"\x80\x02]cos\nsystem\n.");
    assert!(error.contains("byte 3: asks for os.system"), "{error}");
    let error = refusal(b"\x80\x04\x8c\x04a\n\x1bb\x8c\x01c\x93.");
    assert!(error.contains(r"a\n\u{1b}b.c"), "{error}");
}

/// An array of two objects, the second of which is `element`.
fn objects(element: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89](K\x01".to_vec();
    bytes.extend(element);
    bytes.extend(b"etb.");
    bytes
}

#[test]
fn objects_inside_arrays_are_held_to_the_same() {
    let (_folder, pickle) = open_bytes(&objects(b"K\x02")).unwrap();
    assert_eq!(pickle.root().items().unwrap()[1].as_i64(), Some(2));
    let error = refusal(&objects(b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R"));
    assert!(error.contains("os.system"), "{error}");
    let error = refusal(&objects(b""));
    assert!(
        error.contains("shape (2) and type |O has 1 values"),
        "{error}"
    );
}

#[test]
fn other_opcodes_that_make_objects_are_refused() {
    for (pickle, why) in [
        (&b"\x80\x02X\x01\x00\x00\x00a)R."[..], "calls text"),
        (
            b"\x80\x02cnumpy\ndtype\nK\x01R.",
            "calls numpy.dtype with an integer",
        ),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "NEWOBJ"),
        (b"\x80\x04cnumpy\ndtype\n)}\x92.", "NEWOBJ_EX"),
        (b"\x80\x02(ios\nsystem\n.", "INST"),
        (b"\x80\x02(cnumpy\ndtype\no.", "OBJ"),
        (b"\x80\x02P1\n.", "PERSID"),
        (b"\x80\x02K\x01Q.", "BINPERSID"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"\x80\x04\x8f.", "EMPTY_SET"),
        (b"\x80\x02}}b.", "sets the state of a dictionary"),
        (
            b"\x80\x02cnumpy\ndtype\n}b.",
            "sets the state of numpy.dtype",
        ),
        (
            b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00V8\x85R.",
            "dtype \"V8\"",
        ),
        (
            b"\x80\x02cnumpy\ndtype\nX\x03\x00\x00\x00f16\x85R.",
            "dtype \"f16\"",
        ),
        (
            b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00\xe6\xbc\xa2X\x06\x00\x00\x00latin1\x86R.",
            "not Latin-1",
        ),
        (
            b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00rot_13\x86R.",
            "calls _codecs.encode",
        ),
        (b"\x80\x02I1\n.", "INT"),
    ] {
        let error = refusal(pickle);
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn damage_is_told_with_its_place() {
    for (pickle, why) in [
        (&b""[..], "byte 0: the file is empty"),
        (b"hello", "first byte is 0x68"),
        (b"(lp0\nI1\na.", "protocol 0 or 1"),
        (b"\x80\x01].", "protocol 1"),
        (b"\x80\x06].", "protocol 6"),
        (b"\x80\x02]a.", "byte 3: needs a value"),
        (b"\x80\x02(a.", "needs a value"),
        (b"\x80\x02K\x01(\x85.", "needs a value"),
        (b"\x80\x02K\x01e.", "needs a value"),
        (b"\x80\x02K\x01K\x02a.", "appends to an integer"),
        (b"\x80\x02}(K\x01u.", "a key without a value"),
        (b"\x80\x02h\x05.", "memo 5"),
        (b"\x80\x02\xff.", "0xff is no opcode"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
        (
            b"\x80\x02X\xff\xff\xff\xff.",
            "4294967295 bytes, but the file ends after 1 more",
        ),
        (
            b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
            "18446744073709551615 bytes",
        ),
        (
            b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x7f.",
            "9151314442816847872 bytes",
        ),
        (
            b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x7fN.",
            "a frame of",
        ),
        (
            b"\x80\x02\x8b\xff\xff\xff\x7f.",
            "an integer of 2147483647 bytes",
        ),
        (b"\x80\x02N", "byte 3: the file ends"),
    ] {
        let error = refusal(pickle);
        assert!(error.contains(why), "{error}");
    }
    let long = [b"\x80\x02c".as_slice(), &[b'a'; 5000], b"\nb\n."].concat();
    assert!(refusal(&long).contains("a name of more than 1024 bytes"));
}

#[test]
fn bombs_are_small() {
    // Each list holds the one before ten times: 10^30 items, were they copied.
    let mut bomb = b"\x80\x02]q\x00".to_vec();
    for i in 0..30_u8 {
        bomb.extend([b']', b'q', i + 1, b'(']);
        bomb.extend([b'h', i].repeat(10));
        bomb.push(b'e');
    }
    bomb.push(b'.');
    let (_folder, pickle) = open_bytes(&bomb).unwrap();
    assert_eq!(pickle.root().items().unwrap().len(), 10);

    // A memo index of four billion.
    let (_folder, pickle) = open_bytes(b"\x80\x02Nr\xff\xff\xff\xff0j\xff\xff\xff\xff.").unwrap();
    assert!(matches!(pickle.root().kind(), Kind::None));

    // A list that holds itself, and a million lists in one another.
    let (_folder, pickle) = open_bytes(b"\x80\x02]q\x00h\x00a.").unwrap();
    assert_eq!(pickle.root().items().unwrap()[0].what(), "a list");
    let depth = 1_000_000;
    let deep = [
        b"\x80\x02".to_vec(),
        vec![b']'; depth],
        vec![b'a'; depth - 1],
        vec![b'.'],
    ]
    .concat();
    let (_folder, pickle) = open_bytes(&deep).unwrap();
    assert_eq!(pickle.root().items().unwrap().len(), 1);

    let many = [b"\x80\x02".to_vec(), vec![b'N'; 9_000_000], vec![b'.']].concat();
    assert!(refusal(&many).contains("more than 8388608 values"));
    let marks = [b"\x80\x02".to_vec(), vec![b'('; 9_000_000], vec![b'.']].concat();
    assert!(refusal(&marks).contains("more than 8388608 values"));
}

/// Looks at all there is, without following anything twice.
fn look(pickle: &Pickle) {
    let mut left = 10_000;
    let mut next = vec![pickle.root()];
    while let Some(value) = next.pop() {
        left -= 1;
        if left == 0 {
            return;
        }
        let _ = (value.text(), value.bytes(), value.as_f64(), value.as_i64());
        if let Some(array) = value.array() {
            let rows = array.rows().min(100);
            let _ = (array.rows_f32(0..rows), array.texts());
        }
        next.extend(value.items().unwrap_or_default());
        for (key, value) in value.entries().unwrap_or_default() {
            next.extend([key, value]);
        }
    }
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for name in ["mmsa-aligned.pkl", "mult-mosi.pkl"] {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        let cut = tempfile::tempdir().unwrap();
        let path: &Path = &cut.path().join("cut.pkl");
        for length in 0..bytes.len() {
            std::fs::write(path, &bytes[..length]).unwrap();
            let error = Pickle::open(path).expect_err("it is cut short").to_string();
            assert!(error.contains("cut.pkl: byte "), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_never_panic(
        file in 0..8_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let path = every_values_file().nth(file).unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok((_folder, pickle)) = open_bytes(&bytes) {
            look(&pickle);
        }
    }

    #[test]
    fn random_programs_never_panic(bytes in prop::collection::vec(
        prop::sample::select(b"(.012NKaesutbcRq\x85\x86\x87\x88\x89]})h\x93\x94\x8c\x81\n\x01\x00".to_vec()), 0..60)
    ) {
        if let Ok((_folder, pickle)) = open_bytes(&[b"\x80\x04".as_slice(), &bytes].concat()) {
            look(&pickle);
        }
    }
}
