//! The report of loading: how many segments were kept, changed and left out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::text::count;
use crate::{DataError, LabelSummary, Modality, Result, Split};

/// Facts about a loaded data set that its user should know, counted instead of warned about one by one.
///
/// [`Display`](fmt::Display) says them in a few lines; those that are zero are left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DataReport {
    /// What segments are made from.
    #[serde(default)]
    pub unit: Unit,
    /// Videos with labelled intervals (rows, segments).
    pub videos: usize,
    /// Labelled intervals of computational sequences, rows of a table, segments of a release.
    pub intervals: usize,
    /// Labelled intervals shorter than [`TOLERANCE`](crate::TOLERANCE): no frame or word lies in them. One is kept only
    /// where its text comes from the table.
    pub empty_intervals: usize,
    /// Segments kept, by split.
    pub segments: BTreeMap<Split, usize>,
    /// Segments kept that are in no split: new data.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without_split: usize,
    /// Intervals, rows or segments that were left out, by reason.
    pub dropped: BTreeMap<DropReason, usize>,
    /// Whether the files do not say which videos the segments are cut from: each then counts as one of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub videos_unknown: bool,
    /// Splits that the file has no part for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits_absent: Vec<Split>,
    /// What of the file is not read, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
    /// Labelled videos that are in no fold.
    pub videos_in_no_fold: Vec<String>,
    /// Videos with segments in more than one split, as where a release is split by segment.
    #[serde(default)]
    pub videos_in_two_splits: usize,
    /// Videos of the folds without any labelled interval.
    pub fold_videos_without_labels: usize,
    /// Rows of the table that belong to no labelled interval.
    pub table_rows_unused: usize,
    /// Labels beyond the scale, clamped.
    pub labels_clamped: usize,
    /// The scale they were clamped to, `label_range`; none where no label was beyond it.
    pub clamped_to: Option<[f32; 2]>,
    /// What the labels show, before they were clamped; nothing where they are not needed.
    #[serde(default)]
    pub labels: LabelSummary,
    /// NaN and infinite feature values, set to 0, by modality.
    pub non_finite: BTreeMap<Modality, usize>,
    /// Segments in a split that lack a modality in use, by modality.
    pub absent: BTreeMap<Modality, usize>,
    /// Sequences shortened to the greatest length, by modality.
    pub shortened: BTreeMap<Modality, usize>,
    /// Videos whose frames or words reach [many times](crate::csd::other_units) as far in time as their labelled intervals,
    /// or a small part of it, by modality.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_times: BTreeMap<Modality, usize>,
    /// Texts that are `nan`, `None` or the like, as an empty cell is written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub texts_nan: usize,
    /// Words with a character in place of bytes that are not UTF-8.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub words_not_utf8: usize,
    /// Segments whose label could be compared with the table's.
    pub labels_compared: usize,
    /// Those where the two differ by more than 0.001: a sign that ids are joined wrongly.
    pub label_mismatches: usize,
    /// Segments whose words could be compared with the table's text.
    pub texts_compared: usize,
    /// Those where less than half of the table's words were found: a sign that ids are joined wrongly.
    pub text_mismatches: usize,
}

/// What the segments of a data set are made from, one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Labelled intervals of computational sequences.
    #[default]
    Intervals,
    /// Rows of a table.
    Rows,
    /// Segments that are cut already.
    Segments,
}

impl Unit {
    /// One of many.
    fn one(self) -> &'static str {
        match self {
            Self::Intervals => "labelled interval",
            Self::Rows => "row",
            Self::Segments => "segment",
        }
    }
}

/// Why a labelled interval, row or segment was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// It is shorter than [`TOLERANCE`](crate::TOLERANCE) and has no text from the table.
    EmptyInterval,
    /// Its label is not a number.
    NoLabel,
    /// Its video is in no fold.
    NoFold,
    /// The table, which decides the split, has no row for it.
    NoTableRow,
    /// It lacks a modality in use.
    MissingModality,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyInterval => "of no length",
            Self::NoLabel => "without a label",
            Self::NoFold => "of a video in no fold",
            Self::NoTableRow => "without a row in the table",
            Self::MissingModality => "without one of the modalities",
        })
    }
}

impl DataReport {
    /// A report that begins: of every split there is nothing yet.
    pub(crate) fn begin(unit: Unit) -> Self {
        Self {
            unit,
            segments: Split::ALL.map(|split| (split, 0)).into(),
            ..Self::default()
        }
    }

    /// The report at the end of a pass over `labels`: [`DataError::Empty`] where no segment is left,
    /// [`DataError::Scale`] where the labels are plainly of another scale.
    pub(crate) fn finish(self, labels: &Path) -> Result<Self> {
        if self.labels.is_off_the_scale() {
            return Err(DataError::Scale {
                path: labels.to_path_buf(),
                labels: Box::new(self.labels),
            });
        }
        if self.total() > 0 {
            return Ok(self);
        }
        Err(DataError::Empty {
            labels: labels.to_path_buf(),
            report: Box::new(self),
        })
    }

    /// Adds one video's facts.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.videos += other.videos;
        self.intervals += other.intervals;
        self.empty_intervals += other.empty_intervals;
        add(&mut self.segments, other.segments);
        self.without_split += other.without_split;
        add(&mut self.dropped, other.dropped);
        self.videos_unknown |= other.videos_unknown;
        self.splits_absent.extend(other.splits_absent);
        self.unused.extend(other.unused);
        add(&mut self.other_times, other.other_times);
        self.texts_nan += other.texts_nan;
        self.words_not_utf8 += other.words_not_utf8;
        self.videos_in_no_fold.extend(other.videos_in_no_fold);
        self.videos_in_two_splits += other.videos_in_two_splits;
        self.fold_videos_without_labels += other.fold_videos_without_labels;
        self.table_rows_unused += other.table_rows_unused;
        self.labels_clamped += other.labels_clamped;
        self.clamped_to = self.clamped_to.or(other.clamped_to);
        self.labels.absorb(other.labels);
        add(&mut self.non_finite, other.non_finite);
        add(&mut self.absent, other.absent);
        add(&mut self.shortened, other.shortened);
        self.labels_compared += other.labels_compared;
        self.label_mismatches += other.label_mismatches;
        self.texts_compared += other.texts_compared;
        self.text_mismatches += other.text_mismatches;
    }

    /// Segments kept, all splits together.
    pub fn total(&self) -> usize {
        self.segments.values().sum::<usize>() + self.without_split
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn were(number: usize) -> &'static str {
    if number == 1 { "was" } else { "were" }
}

fn add<K: Ord>(sum: &mut BTreeMap<K, usize>, counts: BTreeMap<K, usize>) {
    for (key, count) in counts {
        *sum.entry(key).or_default() += count;
    }
}

/// `12 text, 3 audio`, without zeros.
fn listed<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    let counts = counts.iter().filter(|&(_, &count)| count > 0);
    let listed: Vec<String> = counts
        .map(|(key, count)| format!("{count} {key}"))
        .collect();
    listed.join(", ")
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let split = |split| self.segments.get(&split).copied().unwrap_or(0);
        let videos = if self.videos_unknown {
            "unknown videos".to_owned()
        } else {
            count(self.videos, "video")
        };
        write!(
            f,
            "{} of {videos}: {} train, {} valid, {} test.",
            count(self.total(), "segment"),
            split(Split::Train),
            split(Split::Valid),
            split(Split::Test),
        )?;
        self.fmt_lost(f)?;
        self.fmt_changed(f)?;
        self.fmt_checks(f)
    }
}

impl DataReport {
    fn fmt_lost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for split in &self.splits_absent {
            let dev = if *split == Split::Valid {
                " (or dev)"
            } else {
                ""
            };
            write!(f, "\nThe file has no part {split}{dev}.")?;
        }
        if !self.unused.is_empty() {
            write!(f, "\nNot used: {}.", self.unused.join(", "))?;
        }
        let dropped: usize = self.dropped.values().sum();
        if dropped > 0 {
            let reasons = listed(&self.dropped);
            write!(
                f,
                "\nOf {}, {dropped} {} left out: {reasons}.",
                count(self.intervals, self.unit.one()),
                were(dropped)
            )?;
        }
        if let Some(first) = self.videos_in_no_fold.first() {
            let videos = count(self.videos_in_no_fold.len(), "labelled video");
            write!(f, "\nIn no fold: {videos}, the first {first:?}.")?;
        }
        if self.videos_in_two_splits > 0 {
            let videos = count(self.videos_in_two_splits, "video");
            write!(f, "\nIn more than one split: {videos}.")?;
        }
        let one = self.unit.one();
        if self.fold_videos_without_labels > 0 {
            let videos = self.fold_videos_without_labels;
            write!(f, "\nVideos of the folds without a {one}: {videos}.")?;
        }
        if self.table_rows_unused > 0 {
            let rows = self.table_rows_unused;
            write!(f, "\nRows of the table that belong to no {one}: {rows}.")?;
        }
        Ok(())
    }

    fn fmt_changed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dropped = self.dropped.get(&DropReason::EmptyInterval);
        let kept = self.empty_intervals - dropped.copied().unwrap_or(0);
        if kept > 0 {
            write!(
                f,
                "\nSegments of no length, kept for their transcript: {kept}."
            )?;
        }
        let absent = listed(&self.absent);
        if !absent.is_empty() {
            write!(f, "\nSegments lacking a modality: {absent}.")?;
        }
        if self.texts_nan > 0 {
            let texts = count(self.texts_nan, "text");
            write!(f, "\nWritten as an empty cell is (\"nan\"): {texts}.")?;
        }
        if self.words_not_utf8 > 0 {
            let words = count(self.words_not_utf8, "word");
            write!(f, "\nNot UTF-8, with letters replaced: {words}.")?;
        }
        for (modality, &videos) in &self.other_times {
            if 2 * videos > self.videos {
                let videos = count(videos, "video");
                write!(
                    f,
                    "\nIn {videos} the times of {modality} and labels are far apart; are they in other units?"
                )?;
            }
        }
        let non_finite = listed(&self.non_finite);
        if !non_finite.is_empty() {
            write!(
                f,
                "\nValues that were NaN or infinite, now 0: {non_finite}."
            )?;
        }
        let shortened = listed(&self.shortened);
        if !shortened.is_empty() {
            write!(f, "\nSequences shortened to max_frames: {shortened}.")?;
        }
        if let Some([least, greatest]) = self.clamped_to {
            let (labels, were) = (
                count(self.labels_clamped, "label"),
                were(self.labels_clamped),
            );
            write!(f, "\n{labels} {were} clamped to [{least}, {greatest}].")?;
        }
        for note in self.labels.notes() {
            write!(f, "\n{note}")?;
        }
        Ok(())
    }

    fn fmt_checks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.labels_compared > 0 {
            let (wrong, of) = (self.label_mismatches, self.labels_compared);
            write!(f, "\nLabels that differ from the table's: {wrong} of {of}.")?;
        }
        if self.texts_compared > 0 {
            let (wrong, of) = (self.text_mismatches, self.texts_compared);
            write!(
                f,
                "\nSegments whose words differ from the table's text: {wrong} of {of}."
            )?;
        }
        Ok(())
    }
}
