//! From segments to examples: tokens and standardised frames, ready for batches.

use mmrest_data::{FeatureStats, Frames, Modality, Segment, Widths};
use mmrest_encoders::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// What a segment gives the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub enum TextFeatures {
    /// Text is not in use.
    Absent,
    /// Token ids, `[CLS]` to `[SEP]`.
    Tokens(Vec<u32>),
    /// Output of the untrained lower layers, `[tokens, hidden]`.
    Hidden(Frames),
    /// Last hidden state of the first token, `[hidden]`: the encoder is not trained at all.
    First(Vec<f32>),
}

/// A segment as the network takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The segment's id.
    pub id: String,
    /// What the text encoder gets.
    pub text: TextFeatures,
    /// Standardised vision frames; width 0 when not in use.
    pub vision: Frames,
    /// Standardised audio frames; width 0 when not in use.
    pub audio: Frames,
    /// Sentiment in `data.label_range`; NaN when unknown.
    pub label: f32,
}

/// Feature widths and statistics of the training split: with the vocabulary, all that preparing a segment needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// Features per frame; 0 when not in use.
    pub widths: Widths,
    /// Standardisation of vision, when configured.
    pub vision: Option<FeatureStats>,
    /// Standardisation of audio, when configured.
    pub audio: Option<FeatureStats>,
}

impl FeatureSpec {
    /// Learns the statistics from the training split.
    pub fn fit(config: &Config, widths: Widths, train: &[Segment]) -> Self {
        let fit = |modality: Modality, frames: fn(&Segment) -> &Frames| {
            (config.data.standardize && config.uses(modality))
                .then(|| FeatureStats::fit(train.iter().map(frames)))
        };
        Self {
            widths,
            vision: fit(Modality::Vision, |s| &s.vision),
            audio: fit(Modality::Audio, |s| &s.audio),
        }
    }
}

/// Prepares segments, the same way in training and prediction.
#[derive(Debug)]
pub struct Preparation<'a> {
    /// The configuration of the run.
    pub config: &'a Config,
    /// Widths and statistics.
    pub features: &'a FeatureSpec,
    /// The tokenizer, when text is in use.
    pub tokenizer: Option<&'a Tokenizer>,
}

impl Preparation<'_> {
    /// One example a segment, in order.
    pub fn examples(&self, segments: Vec<Segment>) -> Vec<Example> {
        let mut tokens = self.tokenizer.map(|tokenizer| {
            let texts: Vec<&str> = segments.iter().map(|s| s.text.as_str()).collect();
            tokenizer
                .encode_all(&texts, self.config.text.max_tokens)
                .into_iter()
        });
        segments
            .into_iter()
            .map(|segment| Example {
                text: match tokens.as_mut().and_then(Iterator::next) {
                    Some(ids) => TextFeatures::Tokens(ids),
                    None => TextFeatures::Absent,
                },
                vision: self.frames(segment.vision, self.features.vision.as_ref()),
                audio: self.frames(segment.audio, self.features.audio.as_ref()),
                label: segment.label.unwrap_or(f32::NAN),
                id: segment.id,
            })
            .collect()
    }

    fn frames(&self, frames: Frames, stats: Option<&FeatureStats>) -> Frames {
        let mut frames = match self.config.sequence.drop_zero_frames {
            true => without_zero_frames(&frames),
            false => frames,
        };
        if let Some(stats) = stats {
            stats.apply(&mut frames);
        }
        frames
    }
}

/// Drops every frame whose features sum to 0, as the published code does (docs/src/method.md, "length of a sequence").
fn without_zero_frames(frames: &Frames) -> Frames {
    let width = frames.width;
    let values = frames
        .values
        .chunks_exact(width.max(1))
        .filter(|row| row.iter().sum::<f32>() != 0.0)
        .flatten()
        .copied()
        .collect();
    Frames { values, width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_frames_are_dropped_anywhere() {
        let frames = Frames {
            values: vec![0.0, 0.0, 1.0, 2.0, 1.0, -1.0, 3.0, 0.0],
            width: 2,
        };
        assert_eq!(without_zero_frames(&frames).values, [1.0, 2.0, 3.0, 0.0]);
        let none = Frames {
            values: vec![],
            width: 0,
        };
        assert_eq!(without_zero_frames(&none), none);
    }
}
