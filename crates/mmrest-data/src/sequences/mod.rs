//! From computational sequences to segments: one for each labelled interval, holding the words and frames that lie in it
//! ([`overlapping`](crate::overlapping)); without labelled intervals one for each id.

mod feature_sources;
mod recorded;
mod segments;
mod unlabelled;

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::clean::Purpose;
use crate::config::Files;
use crate::csd::ComputationalSequence;
use crate::folds::Folds;
use crate::segment::{SegmentSource, Visit};
use crate::table::{Required, Table};
use crate::{DataConfig, DataReport, Modality, Result, SplitFrom, TextFrom, Unit, Widths};
use feature_sources::FeatureSources;

pub use recorded::{SegmentEntries, segment_of_entries};

/// Videos in memory at a time: enough for every core to have some, few enough to be small.
const VIDEOS_AT_A_TIME: usize = 32;

/// The open files of a data set.
pub(crate) struct Sequences {
    config: DataConfig,
    purpose: Purpose,
    /// The file of labels, or the folder of new data without one.
    path: PathBuf,
    labels: Option<ComputationalSequence>,
    features: FeatureSources,
    table: Option<Table>,
    splits: Splits,
}

/// What decides the split of a segment.
enum Splits {
    Folds(Folds),
    Table,
    /// Nothing: new data.
    None,
}

impl Sequences {
    /// Opens the files of a data set to train on.
    pub(crate) fn open(config: &DataConfig, files: &Files) -> Result<Self> {
        let table = files.table.as_deref();
        let table = table
            .map(|path| Self::open_table(config, path))
            .transpose()?;
        let path = files.labels.as_deref().unwrap_or(Path::new(""));
        let labels = ComputationalSequence::open(path)?;
        let splits = match config.split_from {
            SplitFrom::Folds => {
                let folds = files.folds.as_deref().unwrap_or(Path::new(""));
                Splits::Folds(Folds::read(folds)?)
            }
            SplitFrom::Table => Splits::Table,
            SplitFrom::Random => {
                let videos = labels.videos().iter().map(String::as_str);
                Splits::Folds(Folds::random(
                    videos,
                    config.split_shares,
                    config.split_seed,
                ))
            }
        };
        Ok(Self {
            config: config.clone(),
            purpose: Purpose::Training,
            path: path.to_path_buf(),
            labels: Some(labels),
            features: FeatureSources::open(
                files.words.as_deref(),
                files.vision.as_deref(),
                files.audio.as_deref(),
                timed_by(config),
            )?,
            table,
            splits,
        })
    }

    /// The table, fit to be joined to labelled intervals.
    fn open_table(config: &DataConfig, path: &Path) -> Result<Table> {
        let required = Required {
            text: config.uses(Modality::Text) && config.text_from == TextFrom::Table,
            label: false,
            split: config.split_from == SplitFrom::Table,
            id: true,
        };
        let table = Table::read_with(path, &config.columns, required)?;
        table.check_clip_numbers()?;
        table.check_videos_apart()?;
        Ok(table)
    }

    fn fold_videos_without_labels(&self, labels: &ComputationalSequence) -> usize {
        let Splits::Folds(folds) = &self.splits else {
            return 0;
        };
        let labelled: HashSet<&str> = labels.videos().iter().map(String::as_str).collect();
        let videos = folds.videos();
        videos
            .filter(|(video, _)| !labelled.contains(video))
            .count()
    }
}

/// The word that stands for a pause, where audio is the times of the words.
fn timed_by(config: &DataConfig) -> Option<&str> {
    config.times_words().then_some(&*config.pause_token)
}

impl SegmentSource for Sequences {
    fn widths(&self) -> Widths {
        self.features.widths()
    }

    /// Videos (or ids) are read side by side, a few at a time, and given in the order of the label file.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        let mut report = DataReport::begin(Unit::Intervals);
        let mut rows_used = 0;
        let parts = match &self.labels {
            Some(labels) => Cow::Borrowed(labels.videos()),
            None => Cow::Owned(self.ids()?),
        };
        for some in parts.chunks(VIDEOS_AT_A_TIME) {
            let loaded: Vec<_> = some
                .par_iter()
                .map(|part| match &self.labels {
                    Some(labels) => self.labelled(labels, part),
                    None => self.whole(part),
                })
                .collect::<Result<_>>()?;
            for part in loaded {
                rows_used += part.table_rows;
                report.absorb(part.report);
                for (split, segment) in part.segments {
                    report.keep(split);
                    visit(split, segment)?;
                }
            }
        }
        if let Some(labels) = &self.labels {
            if let Some(table) = &self.table {
                report.table_rows_unused = table.rows().len() - rows_used;
            }
            report.fold_videos_without_labels = self.fold_videos_without_labels(labels);
        }
        report.finish(&self.path)
    }
}
