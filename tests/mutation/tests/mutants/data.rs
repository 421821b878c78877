//! Computational sequences, packed sets, pickles, tables.

use std::path::{Path, PathBuf};

use mmrest_datatools::sample;
use mmrest_mutation::mutator::Form;
use mmrest_mutation::read::{self, CSD, PACKED, PICKLE, TABLE};
use mmrest_mutation::seed;
use mmrest_mutation::trial::{Subject, Trial};

use crate::{anywhere, form, scratch, subjects, valid};

#[test]
fn computational_sequences() {
    let valid = seed::csd(&valid("csd"));
    Trial {
        kind: "csd",
        subjects: vec![Subject::new(CSD, Form::Hdf5, valid)],
        beside: vec![],
        read: &read::csd,
        place: anywhere,
    }
    .run(&scratch());
}

#[test]
fn packed_sets() {
    let valid = seed::packed(&valid("packed"));
    Trial {
        kind: "packed",
        subjects: vec![Subject::new(PACKED, Form::Hdf5, valid)],
        beside: vec![],
        read: &read::packed,
        place: anywhere,
    }
    .run(&scratch());
}

fn at_a_byte(_: &Path, refusal: &str) -> bool {
    // A compressed file has none that can be told.
    refusal.contains("byte ") || refusal.contains("cannot be unpacked")
}

#[test]
fn pickles() {
    Trial {
        kind: "pickle",
        subjects: vec![Subject::new(PICKLE, Form::Bytes, seed::pickle())],
        beside: vec![],
        read: &read::pickle,
        place: at_a_byte,
    }
    .run(&scratch());
}

#[test]
fn releases() {
    Trial {
        kind: "release",
        subjects: vec![Subject::new(PICKLE, Form::Bytes, seed::release())],
        beside: vec![],
        read: &read::release,
        place: anywhere,
    }
    .run(&scratch());
}

/// A line, or a column that is not there.
fn at_a_line(_: &Path, refusal: &str) -> bool {
    ["line ", "column", "video \"", "no segment is left"]
        .iter()
        .any(|word| refusal.contains(word))
}

#[test]
fn tables() {
    Trial {
        kind: "table",
        subjects: vec![Subject::new(TABLE, Form::Text, seed::table())],
        beside: vec![],
        read: &read::table,
        place: at_a_line,
    }
    .run(&scratch());
}

#[test]
fn data_sets_of_sequences() {
    let folder = valid("sequences");
    let files = seed::sequences(&folder);
    Trial {
        kind: "sequences",
        subjects: subjects(&folder, &files, form),
        beside: vec![],
        read: &read::sequences,
        place: anywhere,
    }
    .run(&scratch());
}

#[test]
fn files_told_by_their_content() {
    let folder = valid("inspected");
    let valid = [
        seed::csd(&folder),
        seed::packed(&folder),
        seed::release(),
        seed::table(),
    ];
    Trial {
        kind: "inspected",
        subjects: vec![Subject::new(read::ANY, Form::Hdf5, valid.concat())],
        beside: vec![],
        read: &read::inspected,
        place: anywhere,
    }
    .run(&scratch());
}

#[test]
fn utterance_features() {
    let folder = valid("utterances");
    let tables = seed::utterances(&folder);
    let sequences = [sample::LABELS, sample::WORDS].map(PathBuf::from);
    Trial {
        kind: "utterances",
        subjects: subjects(&folder, &tables, |_| Form::Text),
        beside: subjects(&folder, &sequences, form),
        read: &read::utterances,
        place: anywhere,
    }
    .run(&scratch());
}
