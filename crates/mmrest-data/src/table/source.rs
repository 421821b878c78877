//! A table alone as a data set.

use std::collections::HashSet;
use std::path::Path;

use super::{Required, Row, Table};
use crate::clean::{check_modalities, clamp_label};
use crate::config::Files;
use crate::folds::Folds;
use crate::missing::MissingFiles;
use crate::stream::{SegmentSource, Visit};
use crate::{
    DataConfig, DataError, DataReport, Download, DropReason, Frames, Result, Segment, Split,
    SplitFrom, Unit, Widths,
};

/// A table and who decides the splits.
pub(crate) struct TableSource {
    config: DataConfig,
    table: Table,
    /// None where the table decides.
    folds: Option<Folds>,
}

impl TableSource {
    pub(crate) fn open(config: &DataConfig, files: &Files) -> Result<Self> {
        let required = Required {
            text: true,
            label: true,
            split: config.split_from == SplitFrom::Table,
        };
        let path = files.table.as_deref().unwrap_or(Path::new(""));
        let table = Table::read_with(path, &config.columns, required)?;
        table.check_videos_apart()?;
        Ok(Self {
            config: config.clone(),
            table,
            folds: files.folds.as_deref().map(Folds::read).transpose()?,
        })
    }

    fn split(&self, row: &Row) -> Option<Split> {
        match &self.folds {
            Some(folds) => folds.split(&row.video),
            None => row.split,
        }
    }

    /// The segment of a row with its split, or why there is none.
    fn segment(
        &self,
        row: &Row,
        report: &mut DataReport,
    ) -> Result<Result<(Split, Segment), DropReason>> {
        let Some(split) = self.split(row) else {
            return Ok(Err(DropReason::NoFold));
        };
        let Some(label) = row.label else {
            return Ok(Err(DropReason::NoLabel));
        };
        let label = clamp_label(label, &self.config, report);
        let segment = segment(row, Some(label));
        Ok(check_modalities(&segment, &self.config, report)?.map(|()| (split, segment)))
    }

    /// What can be told of the videos before any row becomes a segment.
    fn about_videos(&self) -> DataReport {
        let mut report = DataReport {
            unit: Unit::Rows,
            intervals: self.table.rows().len(),
            ..DataReport::default()
        };
        for split in Split::ALL {
            report.segments.insert(split, 0);
        }
        let mut videos = HashSet::new();
        for row in self.table.rows() {
            if videos.insert(row.video.as_str()) && self.split(row).is_none() {
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

impl SegmentSource for TableSource {
    fn widths(&self) -> Widths {
        Widths::default()
    }

    /// In the order of the table.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        let mut report = self.about_videos();
        for row in self.table.rows() {
            match self.segment(row, &mut report)? {
                Ok((split, segment)) => {
                    *report.segments.entry(split).or_default() += 1;
                    visit(split, segment)?;
                }
                Err(reason) => *report.dropped.entry(reason).or_default() += 1,
            }
        }
        if report.total() == 0 {
            return Err(DataError::Empty {
                labels: self.table.path().to_path_buf(),
                report: Box::new(report),
            });
        }
        Ok(report)
    }
}

fn segment(row: &Row, label: Option<f32>) -> Segment {
    Segment {
        id: row.id(),
        video: row.video.clone(),
        text: row.text.clone(),
        vision: Frames::default(),
        audio: Frames::default(),
        label,
    }
}

/// Every row of the configuration's table in `dir` as a segment to be scored; a label that is there is kept.
pub(crate) fn unlabelled(config: &DataConfig, dir: &Path) -> Result<Vec<Segment>> {
    let path = dir.join(config.table.as_deref().unwrap_or_default());
    if !path.is_file() {
        return Err(DataError::Missing(MissingFiles {
            files: vec![path],
            folder: dir.to_path_buf(),
            download: Download::None,
        }));
    }
    let required = Required {
        text: true,
        label: false,
        split: false,
    };
    let table = Table::read_with(&path, &config.columns, required)?;
    let mut report = DataReport::default();
    let rows = table.rows().iter();
    let segments = rows.map(|row| {
        let label = row
            .label
            .map(|label| clamp_label(label, config, &mut report));
        segment(row, label)
    });
    Ok(segments.collect())
}
