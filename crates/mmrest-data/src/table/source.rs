//! A table by itself as a data set.

use std::collections::HashSet;
use std::path::Path;

use super::{Required, Row, Table};
use crate::MissingFiles;
use crate::clean::{Admitted, Intake, Purpose, Taken};
use crate::config::Files;
use crate::folds::Folds;
use crate::segment::{SegmentSource, Visit};
use crate::text::few;
use crate::{
    DataConfig, DataError, DataReport, Download, DropReason, Frames, Result, Segment, Split,
    SplitFrom, Unit, Widths,
};

/// A table and what decides the splits.
pub(crate) struct TableSource {
    config: DataConfig,
    purpose: Purpose,
    table: Table,
    /// None where the table decides.
    folds: Option<Folds>,
}

impl TableSource {
    pub(crate) fn open(config: &DataConfig, files: &Files) -> Result<Self> {
        let required = Required {
            id: false,
            text: true,
            label: true,
            split: config.split_from == SplitFrom::Table,
        };
        let path = files.table.as_deref().unwrap_or(Path::new(""));
        let table = Table::read_with(path, &config.columns, required);
        let table = table.map_err(|error| no_split(error, config))?;
        table.check_videos_apart()?;
        let folds = match config.split_from {
            SplitFrom::Folds => files.folds.as_deref().map(Folds::read).transpose()?,
            SplitFrom::Table => None,
            SplitFrom::Random => {
                let videos = table.rows().iter().map(|row| row.video.as_str());
                Some(Folds::random(
                    videos,
                    config.split_shares,
                    config.split_seed,
                ))
            }
        };
        Ok(Self {
            config: config.clone(),
            purpose: Purpose::Training,
            table,
            folds,
        })
    }

    /// Opens the configuration's table in `dir`, to be predicted: neither labels nor splits need be there.
    pub(crate) fn open_unlabelled(config: &DataConfig, dir: &Path) -> Result<Self> {
        let path = dir.join(config.table.as_deref().unwrap_or_default());
        if !path.is_file() {
            return Err(DataError::Missing(MissingFiles {
                files: vec![path],
                folder: dir.to_path_buf(),
                download: Download::None,
            }));
        }
        let required = Required {
            id: false,
            text: true,
            label: false,
            split: false,
        };
        Ok(Self {
            config: config.clone(),
            purpose: Purpose::Prediction,
            table: Table::read_with(&path, &config.columns, required)?,
            folds: None,
        })
    }

    fn split(&self, row: &Row) -> Option<Split> {
        match &self.folds {
            Some(folds) => folds.split(&row.video),
            None => row.split,
        }
    }

    /// The segment of a row with its split, or why there is none.
    fn segment(&self, row: &Row, intake: &mut Intake<'_>) -> Result<Taken> {
        let split = self.split(row).ok_or(DropReason::NoFold);
        let Admitted { label, split } = match intake.admit(row.label, split) {
            Ok(admitted) => admitted,
            Err(reason) => return Ok(Err(reason)),
        };
        let segment = Segment {
            id: row.id(),
            video: row.video.clone(),
            text: row.text.clone(),
            vision: Frames::default(),
            audio: Frames::default(),
            label,
        };
        intake.take(split, segment)
    }

    /// Starts the report with what the rows show: videos, and those in no fold.
    fn about_videos(&self) -> DataReport {
        let mut report = DataReport {
            intervals: self.table.rows().len(),
            videos_unknown: !self.table.knows_videos(),
            ..DataReport::begin(Unit::Rows)
        };
        let mut videos = HashSet::new();
        for row in self.table.rows() {
            let new = videos.insert(row.video.as_str());
            if new && self.purpose == Purpose::Training && self.split(row).is_none() {
                report.videos_in_no_fold.push(row.video.clone());
            }
        }
        report.videos = videos.len();
        if let Some(folds) = &self.folds {
            let folds = folds.videos();
            report.fold_videos_without_labels =
                folds.filter(|(video, _)| !videos.contains(video)).count();
        }
        report
    }
}

/// Of a table without the column that says the split: what to do instead.
fn no_split(error: DataError, config: &DataConfig) -> DataError {
    match error {
        DataError::Column {
            path,
            column,
            found,
        } if column == config.columns.split => DataError::Row {
            path,
            line: 1,
            reason: format!(
                "no column {column:?}; the columns are {}; without it set split_from = \"random\", or name another in \
                 columns.split",
                few(&found, 30)
            ),
        },
        other => other,
    }
}

impl SegmentSource for TableSource {
    fn widths(&self) -> Widths {
        Widths::default()
    }

    /// In the order of the table.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        let mut intake = Intake::new(&self.config, self.purpose, self.about_videos());
        for row in self.table.rows() {
            let taken = self.segment(row, &mut intake)?;
            intake.pass(taken, visit)?;
        }
        intake.report.finish(self.table.path())
    }
}
