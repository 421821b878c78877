//! What was found once stays found.

use std::path::Path;

use mmrest_mutation::mutator::Form;
use mmrest_mutation::read::{self, CONFIG, CSD, PICKLE, TABLE};
use mmrest_mutation::seed;
use mmrest_mutation::trial::{Reader, Subject, Trial};

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

/// A dataset that claims 768 MiB in a file of 10 KiB was made room for, and filled with zeros.
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
