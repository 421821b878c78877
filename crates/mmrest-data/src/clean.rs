//! Cleans what sources hold: non-finite values, sequences that are too long, labels beyond the scale, lacking modalities.
//!
//! Everything passes here, whatever it is for: training, evaluation, prediction and serving see the same frames.

use crate::segment::Visit;
use crate::{
    DataConfig, DataError, DataReport, DropReason, Frames, FramesOf, Missing, Modality, Result,
    Segment, Split,
};

/// Makes frames finite (NaN and infinities become 0) and shortens them to `max_frames`; `report` counts both.
///
/// ```
/// use mmrest_data::{DataConfig, DataReport, Frames, Modality, clean};
///
/// let config = DataConfig { max_frames: Some(2), ..DataConfig::default() };
/// let mut report = DataReport::default();
/// let frames = Frames::new(vec![1.0, f32::NAN, 3.0, 5.0], 1);
/// let frames = clean(frames, Modality::Audio, &config, &mut report);
/// assert_eq!(frames.values, [0.5, 4.0]);
/// assert_eq!(report.non_finite[&Modality::Audio], 1);
/// ```
pub fn clean(
    mut frames: Frames,
    modality: Modality,
    config: &DataConfig,
    report: &mut DataReport,
) -> Frames {
    let non_finite = frames.zero_non_finite();
    if non_finite > 0 {
        *report.non_finite.entry(modality).or_default() += non_finite;
    }
    match config.max_frames {
        Some(greatest) if frames.len() > greatest && config.frames == FramesOf::Own => {
            *report.shortened.entry(modality).or_default() += 1;
            frames.shortened(greatest, config.shorten)
        }
        _ => frames,
    }
}

/// What segments are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training: every segment needs a label and a split; those without are left out and counted.
    Training,
    /// Prediction: every segment is taken, with its label and its split where it has them.
    Prediction,
}

/// The one way in: takes what a source holds and says what becomes of it.
pub(crate) struct Intake<'a> {
    config: &'a DataConfig,
    purpose: Purpose,
    pub(crate) report: DataReport,
}

/// A segment with its split, or why there is none.
pub(crate) type Taken = Result<(Option<Split>, Segment), DropReason>;

/// A label and a split, as far as the purpose needs them.
pub(crate) struct Admitted {
    pub(crate) label: Option<f32>,
    pub(crate) split: Option<Split>,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(config: &'a DataConfig, purpose: Purpose, report: DataReport) -> Self {
        Self {
            config,
            purpose,
            report,
        }
    }

    /// Decides by label and split. The label is as stored, perhaps not a number; it is clamped to the scale.
    pub(crate) fn admit(
        &mut self,
        label: Option<f32>,
        split: Result<Split, DropReason>,
    ) -> Result<Admitted, DropReason> {
        let label = label.filter(|label| label.is_finite());
        if self.purpose == Purpose::Training {
            // Of a video in no fold nothing else is asked.
            if split == Err(DropReason::NoFold) {
                return Err(DropReason::NoFold);
            }
            label.ok_or(DropReason::NoLabel)?;
            split?;
        }
        Ok(Admitted {
            label: label.map(|label| self.clamp(label)),
            split: split.ok(),
        })
    }

    /// Brings a sentiment within the scale.
    fn clamp(&mut self, label: f32) -> f32 {
        let [least, greatest] = self.config.label_range;
        let clamped = label.clamp(least, greatest);
        if clamped.to_bits() != label.to_bits() {
            self.report.labels_clamped += 1;
            self.report.clamped_to = Some(self.config.label_range);
        }
        clamped
    }

    /// Cleans the frames of one modality.
    pub(crate) fn frames(&mut self, modality: Modality, frames: Frames) -> Frames {
        clean(frames, modality, self.config, &mut self.report)
    }

    /// Counts the modalities that a segment lacks, and decides whether it may lack them.
    fn check_modalities(&mut self, segment: &Segment) -> Result<Result<(), DropReason>> {
        let used = self.config.modalities.iter().copied();
        let absent: Vec<Modality> = used.filter(|&modality| segment.lacks(modality)).collect();
        for &modality in &absent {
            *self.report.absent.entry(modality).or_default() += 1;
        }
        let Some(&modality) = absent.first() else {
            return Ok(Ok(()));
        };
        match (self.purpose, self.config.missing) {
            (Purpose::Prediction, _) | (_, Missing::Zero) => Ok(Ok(())),
            (_, Missing::Drop) => Ok(Err(DropReason::MissingModality)),
            (_, Missing::Error) => Err(DataError::MissingModality {
                id: segment.id.clone(),
                modality,
            }),
        }
    }

    /// Takes a segment, unless it lacks a modality that it must have.
    pub(crate) fn take(&mut self, split: Option<Split>, segment: Segment) -> Result<Taken> {
        let complete = self.check_modalities(&segment)?;
        Ok(complete.map(|()| (split, segment)))
    }

    /// Counts a segment and hands it on, or counts that it is left out.
    pub(crate) fn pass(&mut self, taken: Taken, visit: &mut Visit<'_>) -> Result<()> {
        match taken {
            Ok((split, segment)) => {
                self.report.keep(split);
                visit(split, segment)
            }
            Err(reason) => {
                self.drop(reason);
                Ok(())
            }
        }
    }

    /// Counts a segment that is left out.
    pub(crate) fn drop(&mut self, reason: DropReason) {
        *self.report.dropped.entry(reason).or_default() += 1;
    }
}

impl DataReport {
    /// Counts a segment that is kept.
    pub(crate) fn keep(&mut self, split: Option<Split>) {
        match split {
            Some(split) => *self.segments.entry(split).or_default() += 1,
            None => self.without_split += 1,
        }
    }
}
