//! Packed sets as a source of segments.

use std::path::Path;

use super::PackedSet;
use crate::load::tidy::{clamped, tidy};
use crate::stream::{SegmentSource, Visit};
use crate::{
    DataConfig, DataError, DataReport, DropReason, Frames, Missing, Modality, Result, Segment,
    Split, Widths,
};

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
            Ok(tidy(frames, modality, &self.config, report))
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
                .map(|label| clamped(label, &self.config, report)),
        })
    }

    /// Whether a segment stays, by what it lacks.
    fn stays(&self, segment: &Segment, report: &mut DataReport) -> Result<bool> {
        let used = self.config.modalities.iter().copied();
        let absent: Vec<Modality> = used.filter(|&modality| segment.lacks(modality)).collect();
        for &modality in &absent {
            *report.absent.entry(modality).or_default() += 1;
        }
        match (absent.first(), self.config.missing) {
            (None, _) | (Some(_), Missing::Zero) => Ok(true),
            (Some(_), Missing::Drop) => {
                *report
                    .dropped
                    .entry(DropReason::MissingModality)
                    .or_default() += 1;
                Ok(false)
            }
            (Some(&modality), Missing::Error) => Err(DataError::MissingModality {
                id: segment.id.clone(),
                modality,
            }),
        }
    }

    /// The stored report without what is counted anew, or is about a modality not in use.
    fn report(&self) -> DataReport {
        let mut report = self.set.about().report.clone();
        report.segments = Split::ALL.map(|split| (split, 0)).into();
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
            if !self.stays(&segment, &mut report)? {
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
