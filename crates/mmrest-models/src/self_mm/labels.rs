//! The labels that Self-MM makes for its helpers during training, with the features and centres they come from.

use serde::{Deserialize, Serialize};

use super::{Distance, EPSILON, Settings};
use crate::error::{ConfigError, ModelError};

/// Labels, features and centres of the training split. Empty in a saved model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelState {
    /// Of the fusion; its labels are the true ones and do not move.
    pub fusion: LabelMemory,
    /// Of text.
    pub text: LabelMemory,
    /// Of audio.
    pub audio: LabelMemory,
    /// Of vision.
    pub vision: LabelMemory,
}

/// Labels, features and centres of one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelMemory {
    /// Y, `[segments]`.
    pub labels: Vec<f32>,
    /// F as of each segment's last step, `[segments, P]`; 0 before its first.
    pub features: Vec<f32>,
    /// c+, `[P]`; none before there was a segment with a positive label.
    pub positive: Option<Vec<f32>>,
    /// c-, `[P]`; none before there was a segment with a negative label.
    pub negative: Option<Vec<f32>>,
}

impl LabelState {
    pub(super) fn memories(&self) -> [&LabelMemory; 4] {
        [&self.fusion, &self.text, &self.audio, &self.vision]
    }

    fn memories_mut(&mut self) -> [&mut LabelMemory; 4] {
        [
            &mut self.fusion,
            &mut self.text,
            &mut self.audio,
            &mut self.vision,
        ]
    }

    pub(super) fn check_rows(&self, rows: &[usize]) -> Result<(), ModelError> {
        let segments = self.fusion.labels.len();
        match rows.iter().find(|&&row| row >= segments) {
            None => Ok(()),
            Some(row) => Err(ModelError::Internal(format!(
                "training segment {row} of {segments} has no label"
            ))),
        }
    }

    /// Takes a batch's features, `[rows, P_fusion + P_text + P_audio + P_vision]`: new labels, features, centres.
    pub(super) fn update(
        &mut self,
        rows: &[usize],
        features: &[f32],
        epoch: usize,
        settings: &Settings,
    ) {
        let widths = self.memories().map(LabelMemory::width);
        let width = widths.iter().sum::<usize>().max(1);
        for (&row, features) in rows.iter().zip(features.chunks_exact(width)) {
            let mut rest = features;
            let own = widths.map(|width| {
                let (own, others) = rest.split_at(width);
                rest = others;
                own
            });
            if epoch > 1 {
                self.move_labels(row, own, epoch as f64, settings);
            }
            for (memory, features) in self.memories_mut().into_iter().zip(own) {
                let width = features.len();
                memory.features[row * width..][..width].copy_from_slice(features);
            }
        }
        for memory in self.memories_mut() {
            memory.move_centres(settings.config.exclude_zero);
        }
    }

    /// Moves the labels that text, audio and vision have of a segment, by the centres that the batch before left.
    fn move_labels(&mut self, row: usize, own: [&[f32]; 4], epoch: f64, settings: &Settings) {
        let truth = f64::from(self.fusion.labels[row]);
        let [least, greatest] = settings.label_range.map(f64::from);
        let distance = settings.config.distance();
        let Some(d_fusion) = self.fusion.place(own[0], distance) else {
            return;
        };
        for (memory, features) in self.memories_mut().into_iter().zip(own).skip(1) {
            let Some(d) = memory.place(features, distance) else {
                continue;
            };
            let ratio = 0.5 * truth * d / (d_fusion + EPSILON);
            let new = ratio + 0.5 * (truth + d - d_fusion);
            if new.is_nan() {
                continue;
            }
            let new = new.max(least).min(greatest);
            let before = f64::from(memory.labels[row]);
            let moved = (epoch - 1.0) / (epoch + 1.0) * before + 2.0 / (epoch + 1.0) * new;
            memory.labels[row] = moved as f32;
        }
    }
}

impl LabelMemory {
    pub(super) fn new(labels: &[f32], width: usize) -> Self {
        Self {
            labels: labels.to_vec(),
            features: vec![0.0; labels.len() * width],
            positive: None,
            negative: None,
        }
    }

    fn width(&self) -> usize {
        self.features.len() / self.labels.len().max(1)
    }

    /// d: where features lie between the centres; greater is nearer to the positive one. None without both centres.
    fn place(&self, features: &[f32], distance: Distance) -> Option<f64> {
        let positive = distance.between(features, self.positive.as_ref()?);
        let negative = distance.between(features, self.negative.as_ref()?);
        Some((negative - positive) / (positive + EPSILON))
    }

    /// Sets the centres to the means of their sides; a side without a segment keeps its centre.
    fn move_centres(&mut self, exclude_zero: bool) {
        let width = self.width();
        let mut sums = [vec![0.0f64; width], vec![0.0f64; width]];
        let mut counts = [0usize; 2];
        let rows = self.features.chunks_exact(width.max(1));
        for (&label, features) in self.labels.iter().zip(rows) {
            let side = if label > 0.0 || (label == 0.0 && !exclude_zero) {
                0
            } else if label < 0.0 {
                1
            } else {
                continue;
            };
            counts[side] += 1;
            for (sum, &value) in sums[side].iter_mut().zip(features) {
                *sum += f64::from(value);
            }
        }
        let centres = [&mut self.positive, &mut self.negative];
        for ((centre, sum), count) in centres.into_iter().zip(sums).zip(counts) {
            if count > 0 {
                let mean = sum.iter().map(|sum| (sum / count as f64) as f32);
                *centre = Some(mean.collect());
            }
        }
    }

    /// Checks sizes and numbers of a memory that was read from a file.
    pub(super) fn check(
        &self,
        name: &str,
        segments: usize,
        width: usize,
    ) -> Result<(), ModelError> {
        let found = (self.labels.len(), self.features.len());
        if found != (segments, segments * width) {
            return Err(ModelError::Config(ConfigError(format!(
                "holds {} labels and {} features of {name}, expected {segments} and {segments} times {width}",
                found.0, found.1
            ))));
        }
        let centres = [&self.positive, &self.negative];
        if let Some(centre) = centres.into_iter().flatten().find(|c| c.len() != width) {
            return Err(ModelError::Config(ConfigError(format!(
                "holds a centre of {} numbers, but the head of {name} is {width} wide",
                centre.len()
            ))));
        }
        let centres = centres.into_iter().flatten().flatten();
        let mut values = self.labels.iter().chain(&self.features).chain(centres);
        if values.all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(ModelError::NonFinite(format!(
            "holds a label, feature or centre of {name} that is not finite"
        )))
    }
}
