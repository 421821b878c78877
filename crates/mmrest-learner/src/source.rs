//! Where a split's examples come from: memory, or a packed set on disk.

use std::sync::Arc;

use mmrest_data::packed::PackedSet;
use mmrest_data::{Frames, Modality};

use crate::error::LearnerError;
use mmrest_models::{Example, TextFeatures};

use crate::example::FramePreparation;
use crate::predict::{Subset, bit};
use crate::sentences::EncodedSentences;

/// The examples of a split, each made when it is asked for.
pub trait ExampleSource: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of one.
    fn id(&self, row: usize) -> &str;

    /// The sentiment of one; NaN when unknown.
    fn label(&self, row: usize) -> f32;

    /// Whether the text of one is more than empty.
    fn has_text(&self, row: usize) -> bool;

    /// One of them, whole.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn example(&self, row: usize) -> Result<Example, LearnerError>;
}

impl ExampleSource for Vec<Example> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn id(&self, row: usize) -> &str {
        &self[row].id
    }

    fn label(&self, row: usize) -> f32 {
        self[row].label
    }

    fn has_text(&self, row: usize) -> bool {
        match &self[row].text {
            TextFeatures::Absent => false,
            // The first and the last token stand in every text.
            TextFeatures::Tokens(ids) => ids.len() > 2,
            TextFeatures::Hidden(states) | TextFeatures::Layers { states, .. } => states.len() > 2,
            TextFeatures::First(_) => true,
        }
    }

    fn example(&self, row: usize) -> Result<Example, LearnerError> {
        Ok(self[row].clone())
    }
}

/// A split of a packed set: texts are in memory, frames are read when they are needed.
#[derive(Clone)]
pub(crate) struct PackedSplit {
    /// The set.
    pub set: Arc<PackedSet>,
    /// The split's rows of the set.
    pub rows: Vec<usize>,
    /// What the text encoder gets, a row each.
    pub texts: Vec<TextFeatures>,
    /// Which frame belongs to each token of a row's text, of a model that needs frames per token.
    pub token_rows: Option<Vec<Vec<Option<usize>>>>,
    /// What is done to frames.
    pub frames: FramePreparation,
    /// Further sentences about the segments, where the model reads any and the data have them.
    pub sentences: Option<Arc<EncodedSentences>>,
    /// The modalities whose frames are not read, as if no segment had any.
    pub removed: Subset,
}

/// What a segment without text gives the text encoder, and which frame belongs to each of its tokens.
#[derive(Clone)]
pub(crate) struct AbsentText {
    pub features: TextFeatures,
    pub token_rows: Option<Vec<Option<usize>>>,
}

impl PackedSplit {
    /// The split as if its segments were without some modalities.
    pub(crate) fn without(&self, removed: Subset, absent: &AbsentText) -> Self {
        let mut left = Self {
            removed: self.removed | removed,
            ..self.clone()
        };
        if removed & bit(Modality::Text) != 0 {
            left.texts.fill(absent.features.clone());
            left.token_rows = absent
                .token_rows
                .clone()
                .map(|rows| vec![rows; left.rows.len()]);
        }
        left
    }

    /// Which of the modalities in use, which are `used`, each segment lacks.
    pub(crate) fn lacking(&self, used: Subset) -> Vec<Subset> {
        let lacks = |row: usize, modality: Modality| match modality {
            Modality::Text => self.set.text(row).trim().is_empty(),
            _ => self.set.frame_count(modality, row) == 0,
        };
        let of = |&row: &usize| {
            let lacked = Modality::ALL
                .into_iter()
                .filter(|&modality| lacks(row, modality));
            lacked.map(bit).sum::<Subset>() & used
        };
        self.rows.iter().map(of).collect()
    }

    fn frames(&self, modality: Modality, row: usize) -> Result<Frames, LearnerError> {
        let frames = if self.removed & bit(modality) == 0 {
            self.set.frames(modality, self.rows[row])?
        } else {
            let widths = self.set.widths();
            Frames::empty(match modality {
                Modality::Text => 0,
                Modality::Vision => widths.vision,
                Modality::Audio => widths.audio,
            })
        };
        let tokens = self.token_rows.as_ref().map(|rows| rows[row].as_slice());
        Ok(self.frames.of_tokens(modality, frames, tokens))
    }
}

impl ExampleSource for PackedSplit {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn id(&self, row: usize) -> &str {
        self.set.id(self.rows[row])
    }

    fn label(&self, row: usize) -> f32 {
        self.set.label(self.rows[row]).unwrap_or(f32::NAN)
    }

    fn has_text(&self, row: usize) -> bool {
        !self.set.text(self.rows[row]).trim().is_empty()
    }

    fn example(&self, row: usize) -> Result<Example, LearnerError> {
        Ok(Example {
            id: self.id(row).to_owned(),
            text: self.texts[row].clone(),
            vision: self.frames(Modality::Vision, row)?,
            audio: self.frames(Modality::Audio, row)?,
            sentences: self
                .sentences
                .as_ref()
                .map_or_else(Vec::new, |sentences| sentences.of(self.id(row))),
            label: self.label(row),
        })
    }
}
