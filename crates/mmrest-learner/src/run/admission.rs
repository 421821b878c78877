//! What must hold before a run may begin or go on.

use mmrest_data::packed::PackedSet;
use mmrest_data::{Kind, Modality, Split};
use mmrest_models::{AbsentNeed, Recipe};
use toml::Value;

use super::changes::{Accepted, Change, DATA, differences};
use super::folder::RunFolder;
use super::record::RunRecord;
use super::start::RunOptions;
use crate::config::{Config, Selection};
use crate::digests::Checked;
use crate::error::LearnerError;
use crate::files;
use crate::loader::batch_count;
use crate::sentences;
use crate::train::{Checkpoints, Observer, Restored};

/// A new run wants a folder without a run; a resumed one a folder with the same configuration, but for changes that were
/// meant. Returns these.
pub(super) fn check_folder(
    config: &Config,
    options: &RunOptions,
    accepted: &Accepted,
) -> Result<Vec<Change>, LearnerError> {
    let folder = &options.folder;
    match (folder.exists(), options.resume) {
        (true, false) => Err(LearnerError::RunExists(folder.path().to_path_buf())),
        (true, true) => check_configuration(folder, config, accepted),
        // Ended before it began: there is nothing yet to be the same.
        (false, _) => Ok(Vec::new()),
    }
}

fn check_configuration(
    folder: &RunFolder,
    config: &Config,
    accepted: &Accepted,
) -> Result<Vec<Change>, LearnerError> {
    let mut changes = Vec::new();
    for difference in differences(&folder.read_config()?, config)? {
        let stretches = difference.key == "train.epochs" && config.train.schedule_follows_epochs();
        if !accepted.has(&difference.key) || (stretches && !accepted.names(&difference.key)) {
            let acceptable = difference.is_acceptable();
            return Err(LearnerError::ConfigChanged {
                path: folder.config(),
                difference: difference.sentence(),
                acceptable: acceptable.then_some(difference.key),
            });
        }
        changes.push(difference.change());
    }
    Ok(changes)
}

/// Training needs segments to fit on, and segments to choose by.
pub(super) fn check_splits(config: &Config, set: &PackedSet) -> Result<(), LearnerError> {
    let mut needed = vec![Split::Train, Split::Valid];
    if config.train.selection == Selection::TestAmongImproving || config.train.record_test {
        needed.push(Split::Test);
    }
    match needed.into_iter().find(|&split| set.rows(split).is_empty()) {
        None => Ok(()),
        Some(split) => {
            let dev = if split == Split::Valid {
                " (or dev)"
            } else {
                ""
            };
            let look = if set.about().report.splits_absent.contains(&split) {
                format!("the pickle has no part {split}{dev}")
            } else if config.data.kind == Kind::Mmsa {
                format!("look at the pickle's part {split}{dev}")
            } else {
                "look at data.split_from, data.folds and data.table".to_owned()
            };
            let reason = format!("the {split} split has no segment: {look}");
            Err(LearnerError::Training(reason))
        }
    }
}

/// What the model asks of the data beyond segments: enough of them for a batch and a step. Says which modalities a zero
/// frame stands for, and where batches are not those of the preset.
pub(super) fn check_needs(
    config: &Config,
    set: &PackedSet,
    recipe: &Recipe,
    observer: &dyn Observer,
) -> Result<(), LearnerError> {
    let needs = config.model.needs();
    let name = config.model.name();
    let (all, batch_size) = (set.rows(Split::Train).len(), config.train.batch_size);
    let segments = all.min(batch_size);
    if segments < needs.smallest_batch {
        return Err(LearnerError::Training(format!(
            "{name} trains on batches of at least {} segments, but train.batch_size and the training split leave {segments}",
            needs.smallest_batch
        )));
    }
    check_steps(
        name,
        recipe,
        batch_count(all, batch_size, needs.smallest_batch),
    )?;
    let published = config
        .recipe()
        .get("batch_size")
        .and_then(Value::as_integer);
    if let Some(published) = published.filter(|&of| usize::try_from(of) != Ok(batch_size)) {
        observer.note(&format!(
            "{name}'s preset {} has train.batch_size = {published}; this run has {batch_size}.",
            config.preset
        ));
    }
    if needs.sentences > 0 && sentences::count(config) == 0 {
        observer.note(&format!(
            "{name} reads {} sentences about each segment, of which the data have none (data.sentences): their place stays \
             empty.",
            needs.sentences
        ));
    }
    for (modality, most) in [
        (Modality::Vision, needs.longest.vision),
        (Modality::Audio, needs.longest.audio),
    ] {
        let Some(most) = most.filter(|_| config.uses(modality)) else {
            continue;
        };
        let longer = (0..set.len()).filter(|&row| set.frame_count(modality, row) > most);
        let cut = longer.count();
        if cut > 0 {
            observer.note(&format!(
                "{name} reads at most {most} frames of {modality}: {cut} of {} segments lose their end (data.max_frames shortens \
                 them otherwise).",
                set.len()
            ));
        }
    }
    if let Some(most) = needs
        .longest
        .text
        .filter(|&most| most < config.text.max_tokens)
    {
        observer.note(&format!(
            "{name} reads at most {most} tokens of a text, fewer than text.max_tokens, {}.",
            config.text.max_tokens
        ));
    }
    if needs.absent == AbsentNeed::ZeroFrame {
        for modality in Modality::ALL {
            if !config.uses(modality) {
                observer.note(&format!(
                    "{name} cannot go without {modality}, which is not in use: it gets one zero frame."
                ));
            }
        }
    }
    Ok(())
}

/// An epoch of `batches` batches must come to a step at least.
fn check_steps(name: &str, recipe: &Recipe, batches: usize) -> Result<(), LearnerError> {
    let taken = recipe.passes.iter().map(|pass| pass.batches_of(batches));
    let least = taken.min().unwrap_or(batches);
    if recipe.flush_rest || least >= recipe.accumulate {
        return Ok(());
    }
    Err(LearnerError::Training(format!(
        "{name} takes a step per {} batches and drops the rest of an epoch, of which the training split makes {least}: lower \
         train.batch_size or model.{name}.accumulate, or let the rest make a step (model.{name}.flush_rest = true, \
         model.{name}.published = false)",
        recipe.accumulate
    )))
}

/// The record of this start; a resumed run must have the text encoder that it began with, and the data, unless another is
/// meant. `changes` are those of the configuration.
pub(super) fn admit(
    mut record: RunRecord,
    mut changes: Vec<Change>,
    options: &RunOptions,
    accepted: &Accepted,
) -> Result<RunRecord, LearnerError> {
    if !(options.resume && options.folder.exists()) {
        return Ok(record);
    }
    let path = options.folder.record();
    let first: RunRecord = files::read_json(&path)?;
    if let Some(changed) = first.changed_file(&record.data_files) {
        if !accepted.has(DATA) {
            return Err(LearnerError::DataChanged {
                path: changed.path.clone(),
            });
        }
        changes.push(first.data_change(&record));
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
    for change in &changes {
        options
            .observer
            .note(&format!("Going on with another {}, as meant.", change.key));
    }
    record.resumption(first, changes);
    Ok(record)
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
    let mut damaged = Vec::new();
    for epoch in checkpoints.epochs()? {
        match read_checkpoint(options, checkpoints, epoch) {
            Ok(restored) => {
                let done = restored.progress.done();
                if config.train.epochs < done {
                    return Err(LearnerError::FewerEpochs {
                        folder: options.folder.path().to_path_buf(),
                        done,
                        asked: config.train.epochs,
                    });
                }
                options
                    .observer
                    .note(&format!("Going on after epoch {done}."));
                return Ok(Some(restored));
            }
            Err(error) => {
                options
                    .observer
                    .warning(&format!("{error}; trying the checkpoint before"));
                damaged.push(error.to_string());
            }
        }
    }
    if damaged.is_empty() && options.folder.metrics().exists() {
        return Err(LearnerError::format(
            options.folder.path(),
            "is finished, and its checkpoints are gone, as in every run of a study: start a new run",
        ));
    }
    if damaged.is_empty() {
        options.observer.note(if options.folder.exists() {
            "No checkpoint yet: from the beginning."
        } else {
            "The run had not begun: it begins, with the options given now."
        });
        Ok(None)
    } else {
        Err(LearnerError::format(
            &options.folder.checkpoints(),
            format!(
                "holds no checkpoint that can be read ({}): restore one, or start a new run",
                damaged.join("; ")
            ),
        ))
    }
}

/// Reads a checkpoint whose files are what was written.
fn read_checkpoint(
    options: &RunOptions,
    checkpoints: &Checkpoints,
    epoch: usize,
) -> Result<Restored, LearnerError> {
    match checkpoints.verify(epoch)? {
        Checked::Whole => {}
        Checked::Listed => options.observer.note(&format!(
            "An older version wrote the checkpoint of epoch {epoch}: that none of its files is missing cannot be checked."
        )),
        Checked::Unlisted => options.observer.note(&format!(
            "The checkpoint of epoch {epoch} has no SHA256SUMS: what it holds cannot be checked."
        )),
    }
    checkpoints.restore(epoch)
}

#[cfg(test)]
mod tests {
    use mmrest_models::{SelfMm, SelfMmConfig, SentimentModel};

    use super::*;

    #[test]
    fn an_epoch_without_a_step_is_refused() {
        let rates = Config::default().train.rates();
        let recipe = |published| {
            let config = SelfMmConfig {
                published,
                ..SelfMmConfig::default()
            };
            SelfMm::recipe(&config, &rates)
        };
        for (published, batches, refused) in [(true, 3, true), (true, 4, false), (false, 1, false)]
        {
            let checked = check_steps("self-mm", &recipe(published), batches);
            assert_eq!(checked.is_err(), refused, "{published} {batches}");
        }
        let told = check_steps("self-mm", &recipe(true), 3)
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("a step per 4 batches")
                && told.contains("makes 3")
                && !told.contains("\n"),
            "{told}"
        );
    }
}
