//! Folds files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Finding, Ids, Inspection, Options, Role, Usable};
use mmrest_data::Split;
use mmrest_data::folds::Folds;
use mmrest_data::text::{count, few};

/// Tells how many videos each list has, and what the program makes of it.
pub(super) fn inspect(inspection: &mut Inspection, options: &Options) {
    let lists = std::fs::read(&inspection.path)
        .ok()
        .and_then(|text| serde_json::from_slice::<BTreeMap<String, Value>>(&text).ok())
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
