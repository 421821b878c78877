//! Videos and folds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Checks, Known};
use mmrest_data::Split;
use mmrest_data::folds::Folds;
use mmrest_data::in_two_splits;
use mmrest_data::table::Table;
use mmrest_data::text::few;

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
