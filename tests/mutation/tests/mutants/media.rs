//! Recordings, transcripts, tables of features, tables of segments.

use mmrest_mutation::mutator::Form;
use mmrest_mutation::read::{self, ANY, CSV};
use mmrest_mutation::seed;
use mmrest_mutation::trial::{Reader, Subject, Trial};

use crate::{anywhere, scratch};

fn run(kind: &'static str, path: &str, form: Form, valid: Vec<Vec<u8>>, read: &Reader<'_>) {
    Trial {
        kind,
        subjects: vec![Subject::new(path, form, valid)],
        beside: vec![],
        read,
        place: anywhere,
    }
    .run(&scratch());
}

#[test]
fn recordings() {
    let valid = seed::recordings();
    run("recording", ANY, Form::Bytes, valid, &read::recording);
}

#[test]
fn transcripts() {
    let valid = seed::transcripts();
    run("transcript", ANY, Form::Text, valid, &read::transcript);
}

#[test]
fn tables_of_features() {
    let valid = seed::features();
    run("features", CSV, Form::Text, valid, &read::features);
}

#[test]
fn tables_of_segments() {
    let valid = seed::segments();
    run("segments", CSV, Form::Text, valid, &read::segments);
}
