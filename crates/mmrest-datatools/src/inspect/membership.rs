//! How the videos of a file stand in standard folds.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Finding, Ids, Options};
use mmrest_data::Split;
use mmrest_data::folds::Folds;
use mmrest_data::text::{count, few};

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
