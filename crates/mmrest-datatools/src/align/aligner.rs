//! Aligns sequences of one data set, video by video.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::report::{AlignReport, Listed, SequenceReport};
use super::sequence::Sequence;
use super::video::{AlignedVideo, Lane, key};
use super::{AlignConfig, Collapse};
use mmrest_data::csd::{ComputationalSequence, Entry, split_id};
use mmrest_data::{DataError, Result};

/// One aligned entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned<'a> {
    /// The sequence it is of, by its place among the files given.
    pub sequence: usize,
    /// That sequence's root name.
    pub root: &'a str,
    /// `id[i]`, `i` being the reference's row; `id` when reverted.
    pub key: String,
    /// Its rows.
    pub entry: Entry,
}

/// Computational sequences about to be aligned. One video at a time is in memory.
pub struct Aligner {
    pub(super) config: AlignConfig,
    pub(super) sequences: Vec<Sequence>,
    pub(super) reference: usize,
    pub(super) then: Option<usize>,
    /// Ids that all sequences have, in the order of the reference.
    videos: Vec<String>,
    /// Ids that not all have, by sequence.
    dropped: Vec<Listed>,
}

impl fmt::Debug for Aligner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aligner")
            .field("config", &self.config)
            .field("roots", &self.roots().collect::<Vec<_>>())
            .field("videos", &self.videos.len())
            .finish_non_exhaustive()
    }
}

impl Aligner {
    /// Opens the files and finds the ids they share.
    ///
    /// # Errors
    ///
    /// Those of [`ComputationalSequence::open`]; [`DataError::Align`] for no file, a file given twice, two files of one
    /// root name, a name that is none of theirs, or no id that all share; [`DataError::Entry`] for features of no width.
    pub fn open<P: AsRef<Path>>(files: &[P], config: AlignConfig) -> Result<Self> {
        distinct(files)?;
        let files = files
            .iter()
            .map(|file| ComputationalSequence::open(file.as_ref()));
        let files: Vec<ComputationalSequence> = files.collect::<Result<_>>()?;
        one_name_each(&files)?;
        let reference = named(&files, &config.reference)?;
        let then = config.then.as_ref().map(|name| named(&files, name));
        let then = then.transpose()?;
        if then == Some(reference) {
            let reason = format!(
                "{:?} is both the first and the second reference",
                config.reference
            );
            return Err(DataError::Align(reason));
        }
        let (videos, dropped) = unify(&files, reference)?;
        let sequences = files.into_iter().map(|file| Sequence::new(file, &videos));
        Ok(Self {
            config,
            sequences: sequences.collect::<Result<_>>()?,
            reference,
            then,
            videos,
            dropped,
        })
    }

    /// What is asked for.
    pub fn config(&self) -> &AlignConfig {
        &self.config
    }

    /// The sequences' root names, in the order of the files.
    pub fn roots(&self) -> impl ExactSizeIterator<Item = &str> {
        self.sequences.iter().map(|sequence| sequence.file.root())
    }

    /// The ids that all sequences have, in the order of the reference.
    pub fn videos(&self) -> &[String] {
        &self.videos
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &ComputationalSequence> {
        self.sequences.iter().map(|sequence| &sequence.file)
    }

    /// Aligns, and hands over every entry: video after video, sequence after sequence, keys as the reference has them
    /// (those imputed after the others).
    ///
    /// # Errors
    ///
    /// Those of [`ComputationalSequence::read`] and of `visit`; [`DataError::Entry`] for rows of different widths or kinds
    /// within a sequence, and for several words that would have to be averaged; [`DataError::Duplicate`] for a reference
    /// with two rows of one key; [`DataError::Align`] when a sequence comes out empty.
    pub fn visit(&self, visit: &mut dyn FnMut(Aligned<'_>) -> Result<()>) -> Result<AlignReport> {
        let mut report = self.blank_report();
        for video in &self.videos {
            let AlignedVideo { lanes, lost } = self.align(video)?;
            if lost {
                report.lost.push(video);
            }
            for (sequence, lane) in lanes.into_iter().enumerate() {
                report.sequences[sequence].count(video, &lane);
                self.hand_over(video, sequence, lane, visit)?;
            }
        }
        self.none_is_empty(&report)?;
        Ok(report)
    }

    fn hand_over(
        &self,
        video: &str,
        sequence: usize,
        lane: Lane,
        visit: &mut dyn FnMut(Aligned<'_>) -> Result<()>,
    ) -> Result<()> {
        for (index, entry) in lane.pieces {
            visit(Aligned {
                sequence,
                root: self.sequences[sequence].file.root(),
                key: if self.config.revert {
                    video.to_owned()
                } else {
                    key(video, index)
                },
                entry,
            })?;
        }
        Ok(())
    }

    fn blank_report(&self) -> AlignReport {
        let sequences = self.files().zip(&self.dropped);
        AlignReport {
            config: self.config.clone(),
            videos: self.videos.len(),
            lost: Listed::default(),
            sequences: sequences
                .map(|(file, dropped)| SequenceReport::new(file, dropped.clone()))
                .collect(),
        }
    }

    fn none_is_empty(&self, report: &AlignReport) -> Result<()> {
        for (i, sequence) in report.sequences.iter().enumerate() {
            if sequence.entries > 0 {
                continue;
            }
            let name = &sequence.root;
            let reason = if i == self.reference || Some(i) == self.then {
                format!("the reference {name:?} has no rows left that the other sequences share")
            } else {
                format!(
                    "no row of {name:?} lies in any interval of the reference; are its times in seconds, and its ids the same videos?"
                )
            };
            return Err(DataError::Align(reason));
        }
        Ok(())
    }
}

/// `mean`, or `mean, max`.
pub(super) fn names(functions: &[Collapse]) -> String {
    let names: Vec<&str> = functions.iter().map(|function| function.name()).collect();
    names.join(", ")
}

fn distinct<P: AsRef<Path>>(files: &[P]) -> Result<()> {
    if files.is_empty() {
        return Err(DataError::Align("no file is given".to_owned()));
    }
    let mut seen: HashSet<PathBuf> = HashSet::new();
    for file in files.iter().map(AsRef::as_ref) {
        let same = file
            .canonicalize()
            .map_err(|error| DataError::io(file, error))?;
        if !seen.insert(same) {
            return Err(DataError::Align(format!(
                "{} is given twice",
                file.display()
            )));
        }
    }
    Ok(())
}

fn one_name_each(files: &[ComputationalSequence]) -> Result<()> {
    let mut seen = HashMap::new();
    for file in files {
        if let Some(other) = seen.insert(file.root(), file.path()) {
            return Err(DataError::Align(format!(
                "{} and {} both have the root name {:?}, and only one can be written under it",
                other.display(),
                file.path().display(),
                file.root()
            )));
        }
    }
    Ok(())
}

fn named(files: &[ComputationalSequence], name: &str) -> Result<usize> {
    let found = files.iter().position(|file| file.root() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = files.iter().map(ComputationalSequence::root).collect();
        let names = names.join(", ");
        DataError::Align(format!(
            "no sequence has the root name {name:?}; there are {names}"
        ))
    })
}

/// The ids that all files have, and by file those that it has and some other has not.
fn unify(files: &[ComputationalSequence], reference: usize) -> Result<(Vec<String>, Vec<Listed>)> {
    let everywhere = |video: &str| files.iter().all(|file| !file.video_ids(video).is_empty());
    let mut videos = Vec::new();
    let mut dropped = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let mut missing = Listed::default();
        let mut seen = HashSet::new();
        let ids = file.ids().iter().map(|id| split_id(id).0);
        for video in ids.filter(|&video| seen.insert(video)) {
            if !everywhere(video) {
                missing.push(video);
            } else if i == reference {
                videos.push(video.to_owned());
            }
        }
        dropped.push(missing);
    }
    if videos.is_empty() {
        let first = |file: &ComputationalSequence| {
            let id = file.ids().first().map_or("", String::as_str);
            format!("{} begins with {:?}", file.root(), split_id(id).0)
        };
        let firsts: Vec<String> = files.iter().map(first).collect();
        let firsts = firsts.join(", ");
        return Err(DataError::Align(format!(
            "no id is in every sequence: {firsts}"
        )));
    }
    Ok((videos, dropped))
}
