//! Opens new data: files that have the configuration's names, with or without labels, without splits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::feature_sources::FeatureSources;
use super::{Sequences, Splits, timed_by};
use crate::MissingFiles;
use crate::clean::Purpose;
use crate::csd::{ComputationalSequence, split_id};
use crate::table::{Required, Table};
use crate::{DataConfig, DataError, Download, Modality, Result};

impl Sequences {
    /// Opens those files of the configuration that are in `dir`, to be predicted.
    pub(crate) fn open_unlabelled(config: &DataConfig, dir: &Path) -> Result<Self> {
        let named = |modality, name: &Option<String>| {
            let name = name.as_ref().filter(|_| config.uses(modality));
            name.map(|name| dir.join(name))
        };
        let files = [
            named(Modality::Text, &config.words)
                .or_else(|| named(Modality::Audio, &config.words).filter(|_| config.times_words())),
            named(Modality::Text, &config.table),
            named(Modality::Vision, &config.vision),
            named(Modality::Audio, &config.audio),
        ];
        let there = files
            .each_ref()
            .map(|file| file.as_deref().filter(|path| path.is_file()));
        if there.iter().all(Option::is_none) {
            return Err(nothing(dir, files.into_iter().flatten().collect()));
        }
        let [words, table, vision, audio] = there;
        let labels = dir.join(&config.labels);
        let labels = labels.is_file().then_some(labels);
        let features = FeatureSources::open(words, vision, audio, timed_by(config))?;
        Ok(Self {
            config: config.clone(),
            purpose: Purpose::Prediction,
            path: labels.clone().unwrap_or_else(|| dir.to_path_buf()),
            features: match labels {
                Some(_) => features,
                None => features.by_entry()?,
            },
            table: table.map(|path| open_table(config, path)).transpose()?,
            labels: labels
                .map(|path| ComputationalSequence::open(&path))
                .transpose()?,
            splits: Splits::None,
        })
    }

    /// Every id once: by video, then by piece.
    pub(super) fn ids(&self) -> Result<Vec<String>> {
        let mut ids = BTreeMap::new();
        for sequence in self.features.sequences() {
            for id in sequence.ids() {
                let (video, piece) = split_id(id);
                ids.entry((video, piece, id.as_str()))
                    .or_insert(sequence.path());
            }
        }
        if ids.is_empty() {
            return Ok(self.table_ids());
        }
        let mut whole = None;
        for (&(video, _, id), path) in &ids {
            if id == video {
                whole = Some(video);
            } else if whole == Some(video) {
                let reason = format!(
                    "a piece of {video:?}, which is there as a whole too: without the labelled intervals of {:?} \
                     all files must cut a video alike",
                    self.config.labels
                );
                return Err(DataError::entry(path, id, reason));
            }
        }
        Ok(ids.into_keys().map(|(_, _, id)| id.to_owned()).collect())
    }

    /// The SDK's keys of the table's rows, in its order.
    fn table_ids(&self) -> Vec<String> {
        let rows = self.table.iter().flat_map(Table::rows);
        rows.filter_map(|row| Some(format!("{}[{}]", row.video, row.number?.checked_sub(1)?)))
            .collect()
    }
}

/// The table of new data, whose labels and splits nobody need know.
fn open_table(config: &DataConfig, path: &Path) -> Result<Table> {
    let required = Required {
        id: true,
        text: true,
        label: false,
        split: false,
    };
    let table = Table::read_with(path, &config.columns, required)?;
    table.check_clip_numbers()?;
    Ok(table)
}

/// The error for a folder that has none of the files.
fn nothing(dir: &Path, files: Vec<PathBuf>) -> DataError {
    if files.is_empty() {
        return DataError::Config("no file is named for any of the modalities in use".to_owned());
    }
    DataError::Missing(MissingFiles {
        files,
        folder: dir.to_path_buf(),
        download: Download::None,
    })
}
