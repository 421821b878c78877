//! From computational sequences to segments: one for each labelled interval, holding the words and frames that lie in it
//! ([`overlapping`](crate::overlapping)).

mod feature_sources;
mod features;
mod unlabelled;
mod video;

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;

use crate::config::Files;
use crate::csd::ComputationalSequence;
use crate::folds::Folds;
use crate::stream::{SegmentSource, Visit};
use crate::table::{Required, Table};
use crate::{
    DataConfig, DataError, DataReport, Modality, Result, Split, SplitFrom, TextFrom, Widths,
};
use feature_sources::FeatureSources;

pub use unlabelled::{load_unlabelled, visit_unlabelled};

/// Videos in memory at a time: enough for every core to have some, few enough to be small.
const VIDEOS_AT_A_TIME: usize = 32;

/// Everything that is read from, open.
pub(crate) struct Sources {
    config: DataConfig,
    labels: ComputationalSequence,
    features: FeatureSources,
    table: Option<Table>,
    splits: Splits,
}

/// Who decides the split of a segment.
enum Splits {
    Folds(Folds),
    Table,
}

impl Sources {
    pub(crate) fn open(config: &DataConfig, files: &Files) -> Result<Self> {
        let table = files.table.as_deref();
        let table = table
            .map(|path| Self::open_table(config, path))
            .transpose()?;
        let splits = match &files.folds {
            Some(path) => Splits::Folds(Folds::read(path)?),
            None => Splits::Table,
        };
        let labels = files.labels.as_deref().unwrap_or(Path::new(""));
        Ok(Self {
            config: config.clone(),
            labels: ComputationalSequence::open(labels)?,
            features: FeatureSources::open(
                files.words.as_deref(),
                files.vision.as_deref(),
                files.audio.as_deref(),
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
        };
        let table = Table::read_with(path, &config.columns, required)?;
        table.check_clip_numbers()?;
        table.check_videos_apart()?;
        Ok(table)
    }

    fn fold_videos_without_labels(&self) -> usize {
        let Splits::Folds(folds) = &self.splits else {
            return 0;
        };
        let labelled: HashSet<&str> = self.labels.videos().iter().map(String::as_str).collect();
        let videos = folds.videos();
        videos
            .filter(|(video, _)| !labelled.contains(video))
            .count()
    }
}

impl SegmentSource for Sources {
    fn widths(&self) -> Widths {
        self.features.widths()
    }

    /// Videos are read side by side, a few at a time, and given in the order of the label file.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        let mut report = DataReport::default();
        for split in Split::ALL {
            report.segments.insert(split, 0);
        }
        let mut rows_used = 0;
        for videos in self.labels.videos().chunks(VIDEOS_AT_A_TIME) {
            let loaded: Vec<_> = videos
                .par_iter()
                .map(|video| self.load_video(video))
                .collect::<Result<_>>()?;
            for video in loaded {
                rows_used += video.table_rows;
                report.absorb(video.report);
                for (split, segment) in video.segments {
                    *report.segments.entry(split).or_default() += 1;
                    visit(split, segment)?;
                }
            }
        }
        if let Some(table) = &self.table {
            report.table_rows_unused = table.rows().len() - rows_used;
        }
        report.fold_videos_without_labels = self.fold_videos_without_labels();
        if report.total() == 0 {
            return Err(DataError::Empty {
                labels: self.labels.path().to_path_buf(),
                report: Box::new(report),
            });
        }
        Ok(report)
    }
}
