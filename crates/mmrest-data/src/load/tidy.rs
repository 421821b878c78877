//! What is mended in every segment, and counted.

use crate::{DataReport, Frames, Modality};

/// Strongest sentiment of the scale.
const GREATEST_LABEL: f32 = 3.0;

/// Frames of one modality made finite, and no more than the configuration allows.
pub(super) fn tidy(
    mut frames: Frames,
    modality: Modality,
    max_frames: Option<usize>,
    report: &mut DataReport,
) -> Frames {
    let non_finite = frames.zero_non_finite();
    if non_finite > 0 {
        *report.non_finite.entry(modality).or_default() += non_finite;
    }
    match max_frames {
        Some(greatest) if frames.len() > greatest => {
            *report.shortened.entry(modality).or_default() += 1;
            frames.averaged(greatest)
        }
        _ => frames,
    }
}

/// A sentiment within its scale.
pub(super) fn clamped(label: f32, report: &mut DataReport) -> f32 {
    let clamped = label.clamp(-GREATEST_LABEL, GREATEST_LABEL);
    report.labels_clamped += usize::from(clamped.to_bits() != label.to_bits());
    clamped
}
