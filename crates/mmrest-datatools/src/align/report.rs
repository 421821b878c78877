//! The report of an alignment.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::AlignConfig;
use super::aligner::names;
use super::video::{Lane, key};
use mmrest_data::csd::ComputationalSequence;

/// How many, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listed {
    /// How many there are.
    pub count: usize,
    /// The first three.
    pub first: Vec<String>,
}

impl Listed {
    const SHOWN: usize = 3;

    /// Counts one more.
    pub(super) fn push(&mut self, id: &str) {
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push(id.to_owned());
        }
    }
}

impl fmt::Display for Listed {
    /// `5 (a, b, c, ...)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)?;
        if !self.first.is_empty() {
            write!(f, " ({}", self.first.join(", "))?;
            f.write_str(if self.count > self.first.len() {
                ", ...)"
            } else {
                ")"
            })?;
        }
        Ok(())
    }
}

/// What one sequence brought and gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceReport {
    /// Its root name.
    pub root: String,
    /// Its file.
    pub file: PathBuf,
    /// Entries in the file.
    pub entries_read: usize,
    /// Ids left out because some other sequence lacks them.
    pub dropped: Listed,
    /// Entries it has now.
    pub entries: usize,
    /// Rows they have together.
    pub rows: usize,
    /// Keys of the reference that none of its rows belongs to; those imputed are not among them.
    pub missing: Listed,
    /// Keys filled with zeros.
    pub imputed: usize,
    /// Keys taken away because some other sequence lacks them (hard unify).
    pub removed: usize,
    /// NaN and infinite values, set to 0.
    pub non_finite: usize,
    /// Rows of no length (or whose times are no numbers): they are in no interval, and as the reference make no key.
    pub no_length: usize,
}

impl SequenceReport {
    pub(super) fn new(file: &ComputationalSequence, dropped: Listed) -> Self {
        Self {
            root: file.root().to_owned(),
            file: file.path().to_path_buf(),
            entries_read: file.ids().len(),
            dropped,
            entries: 0,
            rows: 0,
            missing: Listed::default(),
            imputed: 0,
            removed: 0,
            non_finite: 0,
            no_length: 0,
        }
    }

    pub(super) fn count(&mut self, video: &str, lane: &Lane) {
        self.entries += lane.pieces.len();
        self.rows += lane.pieces.iter().map(|piece| piece.1.len()).sum::<usize>();
        for &index in &lane.missing {
            self.missing.push(&key(video, index));
        }
        self.imputed += lane.imputed;
        self.removed += lane.removed;
        self.non_finite += lane.met.non_finite;
        self.no_length += lane.met.no_length;
    }
}

impl fmt::Display for SequenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            root,
            entries_read,
            entries,
            rows,
            ..
        } = self;
        write!(
            f,
            "{root}: {entries_read} entries in, {entries} out, {rows} rows"
        )?;
        for (listed, what) in [
            (&self.dropped, "ids dropped that another sequence lacks"),
            (&self.missing, "keys without rows"),
        ] {
            if listed.count > 0 {
                write!(f, "; {what}: {listed}")?;
            }
        }
        for (count, what) in [
            (self.imputed, "keys imputed"),
            (self.removed, "keys removed that another sequence lacks"),
            (self.non_finite, "non-finite values set to 0"),
            (self.no_length, "rows of no length left out"),
        ] {
            if count > 0 {
                write!(f, "; {what}: {count}")?;
            }
        }
        Ok(())
    }
}

/// What an alignment met. [`Display`](fmt::Display) says it in a line, and one for each sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignReport {
    /// What was asked for.
    pub config: AlignConfig,
    /// Ids that all sequences have.
    pub videos: usize,
    /// Those of them of which some sequence had nothing left for the second reference.
    pub lost: Listed,
    /// By sequence, in the order of the files.
    pub sequences: Vec<SequenceReport>,
}

impl fmt::Display for AlignReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        write!(
            f,
            "{} shared ids, aligned to {}",
            self.videos, config.reference
        )?;
        if !config.collapse.is_empty() {
            write!(f, " ({})", names(&config.collapse))?;
        }
        if let Some(then) = &config.then {
            write!(f, ", then to {then}")?;
        }
        if self.lost.count > 0 {
            write!(
                f,
                "; ids of which nothing was left for {}: {}",
                config.then.as_deref().unwrap_or("it"),
                self.lost
            )?;
        }
        for sequence in &self.sequences {
            write!(f, "\n{sequence}")?;
        }
        Ok(())
    }
}
