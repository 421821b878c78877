//! Packed sets as a source of segments.

use std::path::Path;

use super::PackedSet;
use crate::clean::{check_modalities, clamp_label, clean};
use crate::split::in_two_splits;
use crate::stream::{SegmentSource, Visit};
use crate::{DataConfig, DataError, DataReport, Frames, Modality, Result, Segment, Split, Widths};

impl SegmentSource for PackedSet {
    fn widths(&self) -> Widths {
        PackedSet::widths(self)
    }

    /// Gives the segments in the order of rows; the report is the stored one.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        for row in 0..self.len() {
            visit(self.split_of(row), self.segment(row)?)?;
        }
        let report = self.about().report.clone();
        if self.is_empty() {
            return Err(empty(self, report));
        }
        Ok(report)
    }
}

/// What a configuration chooses of a packed set.
pub(crate) struct Chosen {
    set: PackedSet,
    config: DataConfig,
}

impl Chosen {
    pub(crate) fn open(config: &DataConfig, path: &Path) -> Result<Self> {
        let set = PackedSet::open(path)?;
        if let Some(modality) = config
            .modalities
            .iter()
            .find(|modality| !set.has(**modality))
        {
            let reason = format!("it has no {modality}, which modalities asks for");
            return Err(DataError::packed(path, reason));
        }
        Ok(Self {
            set,
            config: config.clone(),
        })
    }

    fn segment(&self, row: usize, report: &mut DataReport) -> Result<Segment> {
        let set = &self.set;
        let mut frames = |modality| {
            if !self.config.uses(modality) {
                return Ok(Frames::default());
            }
            let frames = set.frames(modality, row)?;
            Ok(clean(frames, modality, &self.config, report))
        };
        let vision = frames(Modality::Vision)?;
        let audio = frames(Modality::Audio)?;
        let text = match self.config.uses(Modality::Text) {
            true => set.text(row).to_owned(),
            false => String::new(),
        };
        Ok(Segment {
            id: set.id(row).to_owned(),
            video: set.video(row).to_owned(),
            text,
            vision,
            audio,
            label: set
                .label(row)
                .map(|label| clamp_label(label, &self.config, report)),
        })
    }

    /// The stored report without what is counted anew, or is about a modality not in use.
    fn report(&self) -> DataReport {
        let mut report = self.set.about().report.clone();
        report.segments = Split::ALL.map(|split| (split, 0)).into();
        let rows = 0..self.set.len();
        let of = rows.map(|row| (self.set.video(row), self.set.split_of(row)));
        report.videos_in_two_splits = in_two_splits(of).len();
        report.absent.clear();
        report
            .non_finite
            .retain(|&modality, _| self.config.uses(modality));
        report
            .shortened
            .retain(|&modality, _| self.config.uses(modality));
        report
    }
}

impl SegmentSource for Chosen {
    fn widths(&self) -> Widths {
        let Widths { vision, audio } = self.set.widths();
        let used = |modality, width| if self.config.uses(modality) { width } else { 0 };
        Widths {
            vision: used(Modality::Vision, vision),
            audio: used(Modality::Audio, audio),
        }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        let mut report = self.report();
        for row in 0..self.set.len() {
            let segment = self.segment(row, &mut report)?;
            if let Err(reason) = check_modalities(&segment, &self.config, &mut report)? {
                *report.dropped.entry(reason).or_default() += 1;
                continue;
            }
            let split = self.set.split_of(row);
            *report.segments.entry(split).or_default() += 1;
            visit(split, segment)?;
        }
        if report.total() == 0 {
            return Err(empty(&self.set, report));
        }
        Ok(report)
    }
}

fn empty(set: &PackedSet, report: DataReport) -> DataError {
    DataError::Empty {
        labels: set.path().to_path_buf(),
        report: Box::new(report),
    }
}
