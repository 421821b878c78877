//! Processed releases: pickles with known checksums.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::videos::{check_folds, check_in_two, check_table, find_table, sum};
use super::{Checks, Known};
use crate::inspect::{self, Inspection, Options};
use mmrest_data::folds::Folds;
use mmrest_data::{SourceFile, Split};

pub(super) fn check(checks: &mut Checks, set: Known, dir: &Path, folds: Option<&Folds>) {
    let mut found = Vec::new();
    for &(name, sha256) in set.pickles() {
        match find(dir, name) {
            Some(path) => {
                check_sum(checks, &path, name, sha256);
                found.push(path);
            }
            None => checks.unknown(name, "none", "the file is not in the folder"),
        }
    }
    if found.is_empty() {
        let names: Vec<&str> = set.pickles().iter().map(|(name, _)| *name).collect();
        checks.differs("pickles", "none", names.join(" or "));
    }
    for path in &found {
        match inspect::inspect(path, &Options::default()) {
            Ok(facts) => check_facts(checks, set, &facts, folds),
            Err(error) => checks.differs("pickle", error, "a file that can be read"),
        }
    }
    match find_table(
        checks,
        dir,
        &["label.csv", "MOSI-label.csv", "MOSEI-label.csv"],
    ) {
        Some(table) => check_table(checks, set, &table, folds),
        None => checks.unknown("table", "none", "there is no label.csv to compare with"),
    }
    checks.unknown("speakers in two folds", "not known", set.speakers());
}

/// In the folder, or where the archive of the release puts it.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let places = [dir.join(name), dir.join("Processed").join(name)];
    places.into_iter().find(|path| path.is_file())
}

fn check_sum(checks: &mut Checks, path: &Path, name: &str, sha256: &str) {
    match SourceFile::read(path) {
        Ok(file) => {
            let check = checks.equal(&format!("{name}: SHA-256"), &file.sha256, sha256);
            if check.found != check.expected {
                check.detail =
                    "not the released file: cut short, changed, or written anew".to_owned();
            }
        }
        Err(error) => checks.differs(name, error, "a file that can be read"),
    }
}

/// Counts by split, ids, and numbers that are none.
fn check_facts(checks: &mut Checks, set: Known, facts: &Inspection, folds: Option<&Folds>) {
    let name = facts.name();
    let count = |split| facts.splits.get(&split).copied().unwrap_or(0);
    if facts.splits.is_empty() {
        checks.differs(&name, &facts.usable.why, sum(set.released()));
        return;
    }
    checks.equal(
        &format!("{name}: segments"),
        sum(Split::ALL.map(count)),
        sum(set.released()),
    );
    if let Some(ids) = &facts.ids {
        let videos: BTreeSet<&str> = ids.video_names(&|_| false);
        check_folds(checks, set, folds, &videos);
        let twice = format!("{name}: ids that occur twice");
        checks.equal(&twice, ids.duplicates.len(), 0);
        let two = format!("{name}: videos in two splits");
        check_in_two(checks, set, &two, &facts.videos_in_two_splits);
    }
    for sequence in &facts.sequences {
        if let Some(values) = &sequence.values {
            let label = format!("{name}: NaN, -inf, +inf in {}", sequence.name);
            let found = format!(
                "{}, {}, {}",
                values.nan, values.minus_infinity, values.plus_infinity
            );
            if values.not_finite() > 0 {
                let why = "such values occur in the released audio; they are set to 0 when read";
                checks.unknown(&label, found, why);
            } else {
                checks.equal(&label, found, "0, 0, 0");
            }
        }
    }
}
