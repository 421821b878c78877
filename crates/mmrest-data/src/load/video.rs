//! The segments of one video.

use super::feature_sources::VideoFeatures;
use super::features::VideoFrames;
use super::{Sources, Splits};
use crate::clean::{check_modalities, clamp_label, clean};
use crate::cross_check::{same_label, same_text};
use crate::csd::{LabelledInterval, labelled_intervals};
use crate::table::Row;
use crate::{
    DataReport, DropReason, Frames, Modality, Result, Segment, Split, TextFrom, is_too_short,
};

/// What one video contributes.
pub(super) struct LoadedVideo {
    pub(super) segments: Vec<(Split, Segment)>,
    pub(super) report: DataReport,
    /// Rows of the table that belong to its intervals.
    pub(super) table_rows: usize,
}

impl Sources {
    /// Reads a video and cuts it. One that is in no fold is counted, not read.
    pub(super) fn load_video(&self, video: &str) -> Result<LoadedVideo> {
        let references = labelled_intervals(&self.labels, video, self.config.label_column)?;
        let row = |index: usize| {
            self.table
                .as_ref()
                .and_then(|table| table.row(video, index + 1))
        };
        let mut loaded = LoadedVideo {
            segments: Vec::new(),
            report: DataReport {
                videos: 1,
                intervals: references.len(),
                ..DataReport::default()
            },
            table_rows: references
                .keys()
                .filter(|&&index| row(index).is_some())
                .count(),
        };
        if let Splits::Folds(folds) = &self.splits
            && folds.split(video).is_none()
        {
            loaded.report.videos_in_no_fold.push(video.to_owned());
            loaded
                .report
                .dropped
                .insert(DropReason::NoFold, references.len());
            return Ok(loaded);
        }
        let material = self.features.video(video)?;
        for (index, reference) in references {
            let cut = Cut {
                sources: self,
                material: &material,
                video,
                index,
                reference,
                row: row(index),
            };
            match cut.segment(&mut loaded.report)? {
                Ok(kept) => loaded.segments.push(kept),
                Err(reason) => *loaded.report.dropped.entry(reason).or_default() += 1,
            }
        }
        Ok(loaded)
    }
}

/// One labelled interval about to become a segment.
struct Cut<'a> {
    sources: &'a Sources,
    material: &'a VideoFeatures,
    video: &'a str,
    index: usize,
    reference: LabelledInterval,
    row: Option<&'a Row>,
}

impl Cut<'_> {
    /// The segment with its split, or why there is none.
    fn segment(&self, report: &mut DataReport) -> Result<Result<(Split, Segment), DropReason>> {
        if is_too_short(self.reference.interval) {
            report.empty_intervals += 1;
            if self.transcript().is_none() {
                return Ok(Err(DropReason::EmptyInterval));
            }
        }
        if !self.reference.label.is_finite() {
            return Ok(Err(DropReason::NoLabel));
        }
        let split = match self.split() {
            Ok(split) => split,
            Err(reason) => return Ok(Err(reason)),
        };
        let segment = Segment {
            id: format!("{}[{}]", self.video, self.index),
            video: self.video.to_owned(),
            text: self.text(report),
            vision: self.frames(Modality::Vision, self.material.vision.as_ref(), report),
            audio: self.frames(Modality::Audio, self.material.audio.as_ref(), report),
            label: Some(self.label(report)),
        };
        let complete = check_modalities(&segment, &self.sources.config, report)?;
        Ok(complete.map(|()| (split, segment)))
    }

    fn split(&self) -> Result<Split, DropReason> {
        match &self.sources.splits {
            Splits::Folds(folds) => folds.split(self.video).ok_or(DropReason::NoFold),
            Splits::Table => self
                .row
                .and_then(|row| row.split)
                .ok_or(DropReason::NoTableRow),
        }
    }

    /// The sentiment within its scale.
    fn label(&self, report: &mut DataReport) -> f32 {
        let label = self.reference.label;
        if let Some(theirs) = self.row.and_then(|row| row.label) {
            report.labels_compared += 1;
            report.label_mismatches += usize::from(!same_label(label, theirs));
        }
        clamp_label(label, &self.sources.config, report)
    }

    /// The text, from the words or from the table; where both are there, they are compared.
    fn text(&self, report: &mut DataReport) -> String {
        let config = &self.sources.config;
        if !config.uses(Modality::Text) {
            return String::new();
        }
        let interval = self.reference.interval;
        let words = self.material.words.as_ref();
        let spoken = words.map(|words| words.slice(interval, &config.pause_token));
        if let (Some(spoken), Some(row)) = (&spoken, self.row)
            && let Some(same) = same_text(&row.text, spoken)
            && !is_too_short(interval)
        {
            report.texts_compared += 1;
            report.text_mismatches += usize::from(!same);
        }
        match config.text_from {
            TextFrom::Words => spoken,
            TextFrom::Table => self.transcript().map(str::to_owned),
        }
        .unwrap_or_default()
    }

    /// The table's text where it is the segment's: the one thing an interval of no length can have.
    /// (CMU-MOSI has one such interval; the published 2,199 segments count it, the SDK's alignment leaves it out.)
    fn transcript(&self) -> Option<&str> {
        let config = &self.sources.config;
        let used = config.uses(Modality::Text) && config.text_from == TextFrom::Table;
        let row = self.row.filter(|row| used && !row.text.is_empty())?;
        Some(&row.text)
    }

    /// The frames of one modality: finite, and no more than the configuration allows.
    fn frames(
        &self,
        modality: Modality,
        material: Option<&VideoFrames>,
        report: &mut DataReport,
    ) -> Frames {
        let Some(material) = material else {
            return Frames::default();
        };
        let frames = material.slice(self.reference.interval);
        clean(frames, modality, &self.sources.config, report)
    }
}
