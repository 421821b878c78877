//! Checks of data sets of computational sequences.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::agreement;
use super::videos::{check_folds, check_table, find_table};
use super::{Checks, Known, Outcome};
use crate::inspect::{self, FileKind, Inspection, Options, Role};
use mmrest_data::csd::{Backend, ComputationalSequence};
use mmrest_data::folds::Folds;
use mmrest_data::text::few;

pub(super) fn check(checks: &mut Checks, set: Known, dir: &Path, folds: Option<&Folds>) {
    let path = dir.join(set.labels());
    let labels = match ComputationalSequence::open_with(&path, Backend::Rust) {
        Ok(labels) => labels,
        Err(error) => {
            let expected = format!("{} in {}", set.labels(), dir.display());
            checks.differs("label sequence", error, expected);
            return;
        }
    };
    check_labels(checks, set, &path);
    let videos: BTreeSet<&str> = labels.videos().iter().map(String::as_str).collect();
    check_folds(checks, set, folds, &videos);
    checks.unknown("speakers in two folds", "not known", set.speakers());
    let table = find_table(
        checks,
        dir,
        &["MOSI-label.csv", "MOSEI-label.csv", "label.csv"],
    );
    match &table {
        Some(table) => check_table(checks, set, table, folds),
        None if set == Known::MosiWords => {
            checks.differs("table", "none", "MOSI-label.csv or label.csv");
        }
        None => checks.unknown("table", "none", "there is no label.csv to compare with"),
    }
    let others = others(checks, dir, &path);
    for other in &others {
        check_other(checks, other, &videos);
    }
    let words = others
        .iter()
        .find(|file| file.usable.role == Some(Role::Words));
    let words =
        words.and_then(|file| ComputationalSequence::open_with(&file.path, Backend::Rust).ok());
    if let Some(table) = &table {
        agreement::labels(checks, &labels, table);
        agreement::texts(checks, set, &labels, table, words.as_ref());
    }
    let sequences: Vec<ComputationalSequence> = others
        .iter()
        .filter_map(|file| ComputationalSequence::open_with(&file.path, Backend::Rust).ok())
        .collect();
    agreement::coverage(checks, &labels, &sequences);
}

/// Counts, lengths and range of the label sequence.
fn check_labels(checks: &mut Checks, set: Known, path: &Path) {
    let facts = match inspect::inspect(path, &Options::default()) {
        Ok(facts) => facts,
        Err(error) => return checks.differs("labels", error, "a file that can be read"),
    };
    let broken = facts.findings.iter().find(|f| f.code == "entry_unreadable");
    if let Some(broken) = broken {
        checks.differs("labels", &broken.found, "entries that can be read");
    }
    let videos = facts.ids.as_ref().map_or(0, |ids| ids.videos);
    let rows: usize = facts.sequences.iter().map(|sequence| sequence.rows).sum();
    match set.labelled() {
        Some([known_videos, known_rows]) => {
            checks.equal("labelled videos", videos, known_videos);
            checks.equal("labelled intervals", rows, known_rows);
        }
        None => {
            let why = "files of different dates differ; CMU-MOSEI's authors count 23,453 sentences";
            checks.unknown(
                "labelled intervals",
                format!("{rows} of {videos} videos"),
                why,
            );
        }
    }
    let intervals = facts.sequences.first().and_then(|s| s.intervals.as_ref());
    if let (Some(intervals), Some(_)) = (intervals, set.labelled()) {
        let check = checks.equal(
            "intervals of no length",
            few(&intervals.zero_length_at, 5),
            set.zero_length().join(", "),
        );
        check.detail = "it has a transcript, but no word or frame lies in it".to_owned();
    }
    if let Some(labels) = &facts.labels {
        let odd = format!(
            "{} out of range, {} missing",
            labels.out_of_range, labels.missing
        );
        let name = "labels in -3 to 3";
        if set == Known::Mosei && labels.missing == 0 && labels.out_of_range > 0 {
            checks
                .push(Outcome::Ok, name, odd, "few out of range".to_owned())
                .detail = "known of CMU-MOSEI (10/3, 10/4, ...): they are clamped".to_owned();
        } else {
            checks.equal(name, odd, "0 out of range, 0 missing");
        }
    }
}

/// Every other computational sequence of the folder, looked at; a damaged file is a difference.
fn others(checks: &mut Checks, dir: &Path, labels: &Path) -> Vec<Inspection> {
    let files: Vec<PathBuf> = match inspect::expand(dir) {
        Ok(files) => files,
        Err(error) => {
            checks.differs("folder", error, "a folder that can be read");
            return Vec::new();
        }
    };
    let mut others = Vec::new();
    for file in files.into_iter().filter(|file| file != labels) {
        let is_csd = file.extension().is_some_and(|extension| extension == "csd");
        match inspect::inspect(&file, &Options::default()) {
            Ok(facts) if facts.kind == FileKind::Sequence => others.push(facts),
            Ok(facts) if is_csd => {
                checks.differs(&facts.name(), &facts.usable.why, "a computational sequence")
            }
            Ok(_) => {}
            Err(error) => checks.differs("file", error, "a file that can be read"),
        }
    }
    others
}

/// Whether a sequence has every labelled video, and finite numbers only.
fn check_other(checks: &mut Checks, facts: &Inspection, videos: &BTreeSet<&str>) {
    let name = facts.name();
    let broken = facts.findings.iter().find(|f| f.code == "entry_unreadable");
    if let Some(broken) = broken {
        checks.differs(&name, &broken.found, "entries that can be read");
        return;
    }
    let here = facts.ids.as_ref().map(|ids| ids.video_names(&|_| false));
    let here = here.unwrap_or_default();
    let missing: Vec<&str> = videos.difference(&here).copied().collect();
    let check = checks.equal(
        &format!("{name}: labelled videos without an entry"),
        missing.len(),
        0,
    );
    check.detail = few(&missing, 5);
    let values = facts.sequences.iter().filter_map(|s| s.values.as_ref());
    for values in values {
        let label = format!("{name}: NaN, -inf, +inf");
        let (found, none) = (
            format!(
                "{}, {}, {}",
                values.nan, values.minus_infinity, values.plus_infinity
            ),
            "0, 0, 0",
        );
        if name.contains("COVAREP") && values.not_finite() > 0 {
            let check = checks.push(Outcome::Ok, &label, found, "some".to_owned());
            check.detail = "known of COVAREP; they are set to 0 when read".to_owned();
        } else {
            checks.equal(&label, found, none);
        }
    }
}
