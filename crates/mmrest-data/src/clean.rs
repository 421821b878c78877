//! Cleans segments: non-finite values, sequences that are too long, labels beyond the scale, lacking modalities; all counted.

use crate::{
    DataConfig, DataError, DataReport, DropReason, Frames, Missing, Modality, Result, Segment,
};

/// Frames of one modality made finite, and no more than the configuration allows.
pub(crate) fn clean(
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
        Some(greatest) if frames.len() > greatest => {
            *report.shortened.entry(modality).or_default() += 1;
            frames.shortened(greatest, config.shorten)
        }
        _ => frames,
    }
}

/// A sentiment within the scale.
pub(crate) fn clamp_label(label: f32, config: &DataConfig, report: &mut DataReport) -> f32 {
    let [least, greatest] = config.label_range;
    let clamped = label.clamp(least, greatest);
    if clamped.to_bits() != label.to_bits() {
        report.labels_clamped += 1;
        report.clamped_to = Some(config.label_range);
    }
    clamped
}

/// Whether all modalities in use are there, or may lack.
pub(crate) fn check_modalities(
    segment: &Segment,
    config: &DataConfig,
    report: &mut DataReport,
) -> Result<Result<(), DropReason>> {
    let used = config.modalities.iter().copied();
    let absent: Vec<Modality> = used.filter(|&modality| segment.lacks(modality)).collect();
    for &modality in &absent {
        *report.absent.entry(modality).or_default() += 1;
    }
    match (absent.first(), config.missing) {
        (None, _) | (Some(_), Missing::Zero) => Ok(Ok(())),
        (Some(_), Missing::Drop) => Ok(Err(DropReason::MissingModality)),
        (Some(&modality), Missing::Error) => Err(DataError::MissingModality {
            id: segment.id.clone(),
            modality,
        }),
    }
}
