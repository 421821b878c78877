//! Folds files, how videos stand in standard folds, and JSON that is no folds file.

use std::collections::{BTreeMap, BTreeSet};

use mmrest_data::Split;
use mmrest_data::folds::Folds;
use mmrest_data::text::{count, few};
use serde::Serialize;
use serde_json::Value;

use super::{Finding, Ids, Inspection, Options, Role, Usable};

/// Counts the videos of each list, and asks the loader.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    let lists = std::fs::read(&inspection.path)
        .ok()
        .and_then(|text| serde_json::from_slice::<BTreeMap<String, Value>>(unmarked(&text)).ok())
        .unwrap_or_default();
    let mut videos = Vec::new();
    for (name, list) in &lists {
        let list = list.as_array().into_iter().flatten();
        let list: Vec<String> = list.filter_map(|v| v.as_str().map(str::to_owned)).collect();
        match Split::from_name(name) {
            Some(split) => *inspection.splits.entry(split).or_default() += list.len(),
            None => inspection.find(Finding::problem(
                "list_unknown",
                format!("{name:?} is no split"),
                "the program refuses the file: name the lists train, valid and test",
            )),
        }
        videos.extend(list);
    }
    inspection.usable = match Folds::read(&inspection.path) {
        Ok(_) => Usable::yes(Role::Folds, "folds by video"),
        Err(error) => Usable::no(error.to_string()),
    };
    let ids = Ids::of(videos, &|video| options.knows(video));
    if !ids.duplicates.is_empty() {
        inspection.find(Finding::problem(
            "id_twice",
            format!(
                "{} listed twice: {}",
                count(ids.duplicates.len(), "video"),
                few(&ids.duplicates, 4)
            ),
            "a video in two folds leaks from training into testing: list it once",
        ));
    }
    inspection.folds = options.memberships(&ids, &mut inspection.findings);
    if inspection.usable.role.is_none() && inspection.findings.is_empty() {
        let why = inspection.usable.why.clone();
        inspection.unreadable(
            why,
            "write {\"train\": [..], \"valid\": [..], \"test\": [..]}",
        );
    }
    inspection.ids = Some(ids);
}

/// JSON without what some editors put before it.
fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Videos of a file, by the fold they are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// Name of the folds (`mosi`).
    pub name: String,
    /// Videos here, by fold.
    pub here: BTreeMap<Split, usize>,
    /// Videos of each fold.
    pub expected: BTreeMap<Split, usize>,
    /// Videos here that are in no fold.
    pub in_none: Vec<String>,
    /// Videos of a fold that are not here.
    pub missing: BTreeMap<Split, Vec<String>>,
}

impl Membership {
    /// Looks videos up; none where no video is in any fold.
    pub(super) fn of(name: &str, folds: &Folds, videos: &BTreeSet<&str>) -> Option<Self> {
        let mut membership = Self {
            name: name.to_owned(),
            here: BTreeMap::new(),
            expected: BTreeMap::new(),
            in_none: Vec::new(),
            missing: BTreeMap::new(),
        };
        for (video, split) in folds.videos() {
            *membership.expected.entry(split).or_default() += 1;
            if videos.contains(video) {
                *membership.here.entry(split).or_default() += 1;
            } else {
                let missing = membership.missing.entry(split).or_default();
                missing.push(video.to_owned());
            }
        }
        let in_none = videos.iter().filter(|video| folds.split(video).is_none());
        membership.in_none = in_none.map(ToString::to_string).collect();
        (!membership.here.is_empty()).then_some(membership)
    }

    pub(super) fn findings(&self, found: &mut Vec<Finding>) {
        let name = &self.name;
        if !self.in_none.is_empty() {
            found.push(Finding::problem(
                "in_no_fold",
                format!(
                    "{} in no fold of {name}: {}",
                    count(self.in_none.len(), "video"),
                    few(&self.in_none, 4)
                ),
                "with split_from = \"folds\" their segments are left out; add them to a folds file of your own to use them",
            ));
        }
        for (split, missing) in &self.missing {
            found.push(Finding::problem(
                "fold_video_missing",
                format!(
                    "{} of {name}'s {split} fold not here: {}",
                    count(missing.len(), "video"),
                    few(missing, 4)
                ),
                "figures will not compare with published ones unless every file has them",
            ));
        }
    }
}

impl Options {
    /// Every membership of these ids, with its findings.
    pub(super) fn memberships(&self, ids: &Ids, found: &mut Vec<Finding>) -> Vec<Membership> {
        let videos = ids.video_names(&|video| self.knows(video));
        let of = |(name, folds): &(String, Folds)| Membership::of(name, folds, &videos);
        let memberships: Vec<Membership> = self.folds.iter().filter_map(of).collect();
        for membership in &memberships {
            membership.findings(found);
        }
        memberships
    }

    /// Whether any of the folds has this video.
    pub(super) fn knows(&self, video: &str) -> bool {
        self.split(video).is_some()
    }

    /// The split of a video by the first folds that have it.
    pub(super) fn split(&self, video: &str) -> Option<Split> {
        self.folds.iter().find_map(|(_, folds)| folds.split(video))
    }
}

/// Lists the top level of JSON, or says where it breaks off.
pub(super) fn inspect_json(inspection: &mut Inspection) {
    const MOST: u64 = 64 << 20;
    if inspection.bytes > MOST {
        inspection.usable = Usable::no("JSON, too large to be a folds file");
        return;
    }
    let parsed = std::fs::read(&inspection.path)
        .map_err(|error| error.to_string())
        .and_then(|text| {
            serde_json::from_slice::<Value>(unmarked(&text)).map_err(|error| error.to_string())
        });
    match parsed {
        Err(error) => inspection.unreadable(
            format!("JSON that cannot be read: {error}"),
            "mend it where it says, or copy it again",
        ),
        Ok(Value::Object(object)) => {
            let keys: Vec<&str> = object.keys().take(12).map(String::as_str).collect();
            let why = format!("no folds file; its keys are {}", keys.join(", "));
            inspection.usable = Usable::no(why);
        }
        Ok(_) => {
            inspection.usable = Usable::no("no folds file: an object of three lists is expected");
        }
    }
}
