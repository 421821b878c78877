//! What must hold before a run may begin or go on.

use std::collections::BTreeSet;

use mmrest_data::Split;
use mmrest_data::packed::PackedSet;

use super::folder::RunFolder;
use super::record::RunRecord;
use super::start::RunOptions;
use crate::config::{Config, Selection};
use crate::error::LearnerError;
use crate::files;
use crate::train::{Checkpoints, Restored};

/// A new run wants a folder without a run, a resumed one a folder with the same configuration.
pub(super) fn check_folder(config: &Config, options: &RunOptions) -> Result<(), LearnerError> {
    let folder = &options.folder;
    match (folder.exists(), options.resume) {
        (true, false) => Err(LearnerError::format(
            folder.path(),
            "already holds a run: add --resume to go on with it, or choose another --out",
        )),
        (false, false) => Ok(()),
        (_, true) => check_configuration(folder, config),
    }
}

fn check_configuration(folder: &RunFolder, config: &Config) -> Result<(), LearnerError> {
    let mut stored = folder.read_config()?;
    stored.train.epochs = config.train.epochs;
    if stored == *config {
        return Ok(());
    }
    let difference = first_difference(&stored, config);
    Err(LearnerError::format(
        &folder.config(),
        format!(
            "is not the configuration given now ({difference}): resume with the run's own, or start a new run"
        ),
    ))
}

/// The first key in which two configurations differ, with what each has: `'loss.margin = 3.0' there, ...`.
pub fn first_difference(stored: &Config, given: &Config) -> String {
    let (Ok(stored), Ok(given)) = (toml::Table::try_from(stored), toml::Table::try_from(given))
    else {
        return String::from("unreadable");
    };
    let stored = toml::Value::Table(stored);
    let given = toml::Value::Table(given);
    match differing("", Some(&stored), Some(&given)) {
        Some((key, stored, given)) => {
            let told = |value: Option<String>| match value {
                Some(value) => format!("'{key} = {value}'"),
                None => format!("no {key}"),
            };
            format!("{} there, {} now", told(stored), told(given))
        }
        None => "no key".into(),
    }
}

/// A key and what either side has for it.
type Difference = (String, Option<String>, Option<String>);

/// The first key at or below `key` whose values differ.
fn differing(
    key: &str,
    stored: Option<&toml::Value>,
    given: Option<&toml::Value>,
) -> Option<Difference> {
    use toml::Value::Table;
    if let (Some(Table(stored)), Some(Table(given))) = (stored, given) {
        let names: BTreeSet<&String> = stored.keys().chain(given.keys()).collect();
        return names.into_iter().find_map(|name| {
            let below = match key {
                "" => name.clone(),
                _ => format!("{key}.{name}"),
            };
            differing(&below, stored.get(name), given.get(name))
        });
    }
    let told = |value: Option<&toml::Value>| value.map(ToString::to_string);
    (stored != given).then(|| (key.to_string(), told(stored), told(given)))
}

/// Training needs segments to fit on, and segments to choose by.
pub(super) fn check_splits(config: &Config, set: &PackedSet) -> Result<(), LearnerError> {
    let mut needed = vec![Split::Train, Split::Valid];
    if config.train.selection == Selection::TestAmongImproving || config.train.record_test {
        needed.push(Split::Test);
    }
    match needed.into_iter().find(|&split| set.rows(split).is_empty()) {
        None => Ok(()),
        Some(split) => Err(LearnerError::Training(format!(
            "the {split} split has no segment: look at data.split_from, data.folds and data.table"
        ))),
    }
}

/// The record of this start; a resumed run must have the data and the text encoder that it began with.
pub(super) fn admit(record: RunRecord, options: &RunOptions) -> Result<RunRecord, LearnerError> {
    if !options.resume {
        return Ok(record);
    }
    let path = options.folder.record();
    let first: RunRecord = files::read_json(&path)?;
    if let Some(changed) = first.changed_file(&record.data_files) {
        return Err(LearnerError::format(
            &changed.path,
            "is not the file this run began with (another SHA-256): restore it, or start a new run",
        ));
    }
    if first.text_encoder != record.text_encoder {
        return Err(LearnerError::format(
            &path,
            "names another text encoder than text.bert leads to now: restore it, or start a new run",
        ));
    }
    let (began, now) = (&first.computer, &record.computer);
    if began.backend != now.backend {
        options.observer.note(&format!(
            "This run began on {}; on {} its figures will differ in their last digits.",
            began.backend, now.backend
        ));
    }
    Ok(record.resume(first))
}

/// The newest checkpoint that can be read, where the run is resumed and has one.
pub(super) fn newest_checkpoint(
    config: &Config,
    options: &RunOptions,
    checkpoints: &Checkpoints,
) -> Result<Option<Restored>, LearnerError> {
    if !options.resume {
        return Ok(None);
    }
    let mut damaged = None;
    for epoch in checkpoints.epochs()? {
        match checkpoints.restore(epoch) {
            Ok(restored) => {
                let done = restored.progress.done();
                if config.train.epochs < done {
                    return Err(LearnerError::format(
                        options.folder.path(),
                        format!(
                            "has {done} epochs already, --epochs {} is less: leave it out, or raise it",
                            config.train.epochs
                        ),
                    ));
                }
                options
                    .observer
                    .note(&format!("Going on after epoch {done}."));
                return Ok(Some(restored));
            }
            Err(error) => {
                options
                    .observer
                    .note(&format!("{error}; trying the one before."));
                damaged = Some(error);
            }
        }
    }
    match damaged {
        Some(error) => Err(error),
        None => {
            options
                .observer
                .note("No checkpoint yet: from the beginning.");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_of_two_configurations_is_named() {
        let mut other = Config::default();
        other.loss.margin = 7.0;
        let sentence = first_difference(&Config::default(), &other);
        assert!(
            sentence.contains("margin = 3") && sentence.contains("margin = 7"),
            "{sentence}"
        );
        let mut longer = Config::default();
        longer.text.train_layers = Some(2);
        assert_eq!(
            first_difference(&Config::default(), &longer),
            "no text.train_layers there, 'text.train_layers = 2' now"
        );
    }
}
