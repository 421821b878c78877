//! From segments to examples: tokens and standardised frames, ready for batches.

use mmrest_data::packed::PackedSet;
use mmrest_data::{
    FeatureMoments, FeatureStats, Frames, FramesOf, Kind, Modality, Segment, Split, Widths,
};
use mmrest_encoders::Tokenizer;
use mmrest_models::{Example, FrameNeed, TextFeatures};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::LearnerError;

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
    /// Learns the statistics from the training split, one segment after another.
    ///
    /// # Errors
    ///
    /// The set cannot be read, or somebody asked to stop.
    pub fn fit(
        config: &Config,
        set: &PackedSet,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, LearnerError> {
        let fit = |modality: Modality| {
            if !config.data.standardize || !config.uses(modality) {
                return Ok(None);
            }
            let mut moments = FeatureMoments::default();
            for &row in set.rows(Split::Train) {
                if stop() {
                    return Err(LearnerError::Interrupted);
                }
                moments.push(&set.frames(modality, row)?);
            }
            Ok(Some(moments.stats()))
        };
        Ok(Self {
            widths: set.widths(),
            vision: fit(Modality::Vision)?,
            audio: fit(Modality::Audio)?,
        })
    }
}

/// Prepares frames and texts, the same way in training and prediction.
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
        let texts: Vec<&str> = segments.iter().map(|s| s.text.as_str()).collect();
        let texts = self.texts(&texts);
        let frames = self.frames();
        segments
            .into_iter()
            .zip(texts)
            .map(|(segment, text)| {
                let tokens = self.token_rows(&segment.text);
                let of = |modality, own| frames.of_tokens(modality, own, tokens.as_deref());
                Example {
                    text,
                    vision: of(Modality::Vision, segment.vision),
                    audio: of(Modality::Audio, segment.audio),
                    sentences: Vec::new(),
                    label: segment.label.unwrap_or(f32::NAN),
                    id: segment.id,
                }
            })
            .collect()
    }

    /// Which of a segment's frames belongs to each token of its text, of a model that needs frames per token; none for
    /// others. A token without a frame, such as `[CLS]`, has none.
    pub(crate) fn token_rows(&self, text: &str) -> Option<Vec<Option<usize>>> {
        let tokenizer = self.tokenizer?;
        if self.config.model.needs().frames != FrameNeed::PerToken {
            return None;
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let (ids, words) = tokenizer.encode_words(&words, self.config.text.max_tokens);
        Some(match self.config.data.kind {
            // The rows of an aligned release stand for tokens, whatever words they come from.
            Kind::Mmsa => (0..ids.len()).map(Some).collect(),
            _ => words,
        })
    }

    /// The tokens of texts, where text is in use.
    pub fn texts(&self, texts: &[&str]) -> Vec<TextFeatures> {
        match self.tokenizer {
            Some(tokenizer) => tokenizer
                .encode_all(texts, self.config.text.max_tokens)
                .into_iter()
                .map(TextFeatures::Tokens)
                .collect(),
            None => vec![TextFeatures::Absent; texts.len()],
        }
    }

    /// How many of some texts are longer than the text encoder's input, `text.max_tokens`, and lose their end.
    pub fn texts_cut(&self, texts: &[&str]) -> usize {
        use rayon::prelude::*;

        let Some(tokenizer) = self.tokenizer else {
            return 0;
        };
        let most = self.config.text.max_tokens;
        let is_cut = |text: &&&str| tokenizer.encode(text, most + 1).len() > most;
        texts.par_iter().filter(is_cut).count()
    }

    /// What is done to frames.
    pub fn frames(&self) -> FramePreparation {
        FramePreparation {
            features: self.features.clone(),
            drop_zero_frames: self.config.sequence.drop_zero_frames
                && self.config.data.frames == FramesOf::Own,
        }
    }
}

/// What is done to every sequence before the network sees it.
#[derive(Clone, Debug)]
pub struct FramePreparation {
    features: FeatureSpec,
    drop_zero_frames: bool,
}

impl FramePreparation {
    /// A modality's frames as the network takes them.
    pub fn of(&self, modality: Modality, frames: Frames) -> Frames {
        let mut frames = if self.drop_zero_frames {
            without_zero_frames(&frames)
        } else {
            frames
        };
        let stats = match modality {
            Modality::Vision => self.features.vision.as_ref(),
            Modality::Audio => self.features.audio.as_ref(),
            Modality::Text => None,
        };
        if let Some(stats) = stats {
            stats.apply(&mut frames);
        }
        frames
    }
}

impl FramePreparation {
    /// As [`of`](Self::of); then, of a model that needs frames per token, one frame a token: the row that `tokens` names for
    /// it, zeros where it names none or the sequence has no such row.
    pub(crate) fn of_tokens(
        &self,
        modality: Modality,
        frames: Frames,
        tokens: Option<&[Option<usize>]>,
    ) -> Frames {
        let frames = self.of(modality, frames);
        let Some(tokens) = tokens.filter(|_| frames.width > 0) else {
            return frames;
        };
        let (rows, width) = (frames.len(), frames.width);
        let mut values = vec![0.0; tokens.len() * width];
        for (token, row) in values.chunks_exact_mut(width).zip(tokens) {
            if let Some(row) = row.filter(|&row| row < rows) {
                token.copy_from_slice(frames.row(row));
            }
        }
        Frames { values, width }
    }
}

/// Drops every frame whose features sum to 0, as the published code does (docs/src/method.md, "presets").
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
    fn tokens_get_the_frames_of_their_words_and_zeros_without_one() {
        let none = FeatureSpec {
            widths: Widths {
                vision: 0,
                audio: 2,
            },
            vision: None,
            audio: None,
        };
        let frames = FramePreparation {
            features: none,
            drop_zero_frames: false,
        };
        let words = Frames {
            values: vec![1.0, 2.0, 3.0, 4.0],
            width: 2,
        };
        // [CLS], two pieces of the first word, the second word, one word too many, [SEP].
        let tokens = [None, Some(0), Some(0), Some(1), Some(2), None];
        let of_tokens = frames.of_tokens(Modality::Audio, words.clone(), Some(&tokens));
        let expected = [0.0, 0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(of_tokens.values, expected);
        let missing = frames.of_tokens(Modality::Audio, Frames::empty(2), Some(&tokens));
        assert_eq!(missing.values, [0.0; 12]);
        assert_eq!(
            frames.of_tokens(Modality::Audio, words.clone(), None),
            words
        );
    }

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
