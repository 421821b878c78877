//! From files to segments.

mod check;
mod features;
mod references;
mod tidy;
mod tracks;
mod unlabelled;
mod video;

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;

use crate::config::Files;
use crate::csd::ComputationalSequence;
use crate::folds::Folds;
use crate::table::Table;
use crate::{
    DataConfig, DataError, DataReport, Dataset, Result, Segment, SourceFile, Split, SplitFrom,
};
use tracks::Tracks;
use video::LoadedVideo;

pub use unlabelled::load_unlabelled;

/// Loads a data set: one segment for each labelled interval, holding the words and frames that lie in it
/// ([`overlapping`](crate::overlapping)).
///
/// Relative paths of the configuration are relative to `root`. Segments are in the order of the label file,
/// whatever the number of threads.
///
/// # Errors
///
/// [`DataError::Config`] for a configuration that contradicts itself; [`DataError::Missing`] naming every file that is
/// not there; the errors of reading each file; [`DataError::MissingModality`] when the configuration asks for it;
/// [`DataError::Empty`] when no segment is left.
pub fn load(config: &DataConfig, root: &Path) -> Result<Dataset> {
    let files = config.files(root)?;
    let sources = Sources::open(config, &files)?;
    let (loaded, hashed) = rayon::join(
        || {
            let videos = sources.labels.videos().par_iter();
            videos
                .map(|video| sources.load_video(video))
                .collect::<Result<Vec<_>>>()
        },
        || {
            let files = files.all().into_par_iter();
            files.map(SourceFile::read).collect::<Result<Vec<_>>>()
        },
    );
    sources.assemble(loaded?, hashed?)
}

/// Everything that is read from, open.
struct Sources<'a> {
    config: &'a DataConfig,
    labels: ComputationalSequence,
    tracks: Tracks,
    table: Option<Table>,
    splits: Splits,
}

/// Who decides the split of a segment.
enum Splits {
    Folds(Folds),
    Table,
}

impl<'a> Sources<'a> {
    fn open(config: &'a DataConfig, files: &Files) -> Result<Self> {
        let table = files
            .table
            .as_ref()
            .map(|path| Table::read(path))
            .transpose()?;
        if let (Some(table), SplitFrom::Table) = (&table, config.split_from) {
            table.check_videos_apart()?;
        }
        let splits = match &files.folds {
            Some(path) => Splits::Folds(Folds::read(path)?),
            None => Splits::Table,
        };
        Ok(Self {
            config,
            labels: ComputationalSequence::open(&files.labels)?,
            tracks: Tracks::open(
                files.words.as_deref(),
                files.vision.as_deref(),
                files.audio.as_deref(),
            )?,
            table,
            splits,
        })
    }

    /// Sorts the segments into splits and adds up the facts.
    fn assemble(&self, videos: Vec<LoadedVideo>, files: Vec<SourceFile>) -> Result<Dataset> {
        let mut report = DataReport::default();
        let mut rows_used = 0;
        let mut parts: [Vec<Segment>; 3] = Default::default();
        for video in videos {
            rows_used += video.table_rows;
            report.absorb(video.report);
            for (split, segment) in video.segments {
                parts[split as usize].push(segment);
            }
        }
        if let Some(table) = &self.table {
            report.table_rows_unused = table.rows().len() - rows_used;
        }
        report.fold_videos_without_labels = self.fold_videos_without_labels();
        let [train, valid, test] = parts;
        for (split, segments) in Split::ALL.into_iter().zip([&train, &valid, &test]) {
            report.segments.insert(split, segments.len());
        }
        if report.total() == 0 {
            return Err(DataError::Empty {
                labels: self.labels.path().to_path_buf(),
                report: Box::new(report),
            });
        }
        Ok(Dataset {
            train,
            valid,
            test,
            widths: self.tracks.widths(),
            files,
            report,
        })
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
