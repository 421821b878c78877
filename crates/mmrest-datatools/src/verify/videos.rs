//! Checks of videos, folds, tables and released pickles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mmrest_data::folds::Folds;
use mmrest_data::table::Table;
use mmrest_data::text::few;
use mmrest_data::{SourceFile, Split, in_two_splits};

use super::{Checks, Known};
use crate::inspect::{self, Inspection, Options};

/// `1284 + 229 + 686`.
pub(super) fn sum(counts: [usize; 3]) -> String {
    let total: usize = counts.iter().sum();
    let [train, valid, test] = counts;
    format!("{total} = {train} train + {valid} valid + {test} test")
}

/// The standard folds themselves, and whether the videos are those of the folds.
pub(super) fn check_folds(
    checks: &mut Checks,
    set: Known,
    folds: Option<&Folds>,
    videos: &BTreeSet<&str>,
) {
    let (Some(name), Some(sizes)) = (set.folds(), set.fold_sizes()) else {
        return;
    };
    let Some(folds) = folds else {
        let why = format!("data/folds/{name}.json is not at hand: start where the project is");
        checks.unknown("standard folds", "none", why);
        return;
    };
    let of = |split: Split| folds.videos().filter(move |video| video.1 == split);
    checks.equal(
        "videos of the folds",
        sum(Split::ALL.map(|split| of(split).count())),
        sum(sizes),
    );
    let present = |split| {
        of(split)
            .filter(|(video, _)| videos.contains(video))
            .count()
    };
    let missing: Vec<&str> = folds
        .videos()
        .map(|(video, _)| video)
        .filter(|video| !videos.contains(video))
        .collect();
    let check = checks.equal("fold videos here", sum(Split::ALL.map(present)), sum(sizes));
    if !missing.is_empty() {
        check.detail = format!("not here: {}", few(&missing, 5));
    }
    let in_none: Vec<&str> = videos
        .iter()
        .copied()
        .filter(|video| folds.split(video).is_none())
        .collect();
    // The label sequence of CMU-MOSEI has more videos than its folds.
    if set.folds() == Some("mosei") && !in_none.is_empty() {
        let why =
            "files of different dates have videos beyond the folds; they are left out of training";
        checks.unknown("videos in no fold", in_none.len(), why);
    } else {
        let check = checks.equal("videos in no fold", in_none.len(), 0);
        check.detail = few(&in_none, 5);
    }
}

/// Counts and splits of a table, and that no video is in two.
pub(super) fn check_table(checks: &mut Checks, set: Known, table: &Table, folds: Option<&Folds>) {
    let count = |split| {
        table
            .rows()
            .iter()
            .filter(|row| row.split == Some(split))
            .count()
    };
    let name = "segments in the table";
    checks.equal(name, sum(Split::ALL.map(count)), sum(set.released()));
    let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for row in table.rows() {
        splits.entry(&row.video).or_default().extend(row.split);
    }
    let rows = table.rows().iter();
    let of = rows.filter_map(|row| Some((row.video.as_str(), row.split?)));
    check_in_two(checks, set, "videos in two splits", &in_two_splits(of));
    let Some(folds) = folds else { return };
    let other: Vec<String> = splits
        .iter()
        .filter_map(|(video, splits)| {
            let (split, fold) = (splits.first()?, folds.split(video)?);
            (*split != fold).then(|| format!("{video} ({split} in the table, {fold} in the folds)"))
        })
        .collect();
    let name = "videos split otherwise than by the folds";
    checks.equal(name, other.len(), 0).detail = few(&other, 3);
}

/// That no video is in two splits, where a set is split by video.
pub(super) fn check_in_two<T: ToString>(checks: &mut Checks, set: Known, name: &str, two: &[T]) {
    // CH-SIMS was split by segment: clips of one video are in several.
    if set == Known::Sims {
        let why = "CH-SIMS is split by segment, not by video: speakers of the test are known from training";
        checks.unknown(name, two.len(), why);
    } else {
        checks.equal(name, two.len(), 0).detail = few(two, 5);
    }
}

/// The first of these tables that is in the folder, read; a damaged one is a difference.
pub(super) fn find_table(checks: &mut Checks, dir: &Path, names: &[&str]) -> Option<Table> {
    let path = names
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.is_file())?;
    match Table::read(&path) {
        Ok(table) => Some(table),
        Err(error) => {
            checks.differs("table", error, "a table that can be read");
            None
        }
    }
}

pub(super) fn check_release(checks: &mut Checks, set: Known, dir: &Path, folds: Option<&Folds>) {
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
