//! Batches: examples on the host, padded and packed, then tensors on a device.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::{Frames, Modality, PaddedFrames};
use mmrest_encoders::{Bert, PackedTokens};

use crate::all_gather::Part;
use crate::sequences::{PackedStates, SequenceBatch};

/// What a segment gives the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub enum TextFeatures {
    /// Text is not in use.
    Absent,
    /// Token ids, `[CLS]` to `[SEP]`.
    Tokens(Vec<u32>),
    /// Output of the untrained lower layers, `[tokens, hidden]`.
    Hidden(Frames),
    /// As `Hidden`, with the parts of `text.pooling` that are taken below those layers, side by side.
    Layers {
        /// Output of the untrained lower layers, `[tokens, hidden]`.
        states: Frames,
        /// `[parts * hidden]`.
        below: Vec<f32>,
    },
    /// What stands for the text (`text.pooling`), `[text width]`: the encoder is not trained at all.
    First(Vec<f32>),
}

/// A segment as a model takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The segment's id.
    pub id: String,
    /// Input of the text encoder.
    pub text: TextFeatures,
    /// Standardised vision frames; width 0 when not in use.
    pub vision: Frames,
    /// Standardised audio frames; width 0 when not in use.
    pub audio: Frames,
    /// States of further sentences about the segment, `[tokens, hidden]` each, where the model asks for them
    /// ([`Needs::sentences`](crate::Needs)).
    pub sentences: Vec<Arc<Frames>>,
    /// Sentiment in `data.label_range`; NaN when unknown.
    pub label: f32,
}

/// A batch's input to the text encoder.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // one for each batch
pub enum TextBatch {
    /// Token ids laid end to end.
    Tokens(PackedTokens),
    /// Output of the untrained lower layers, `[tokens, hidden]`, with the sequences' offsets (batch + 1).
    Hidden(Tensor<2>, Vec<usize>),
    /// As `Hidden`, with the parts of `text.pooling` that are taken below those layers.
    Layers {
        /// `[tokens, hidden]`.
        states: Tensor<2>,
        /// Where each text's tokens begin: batch + 1 values.
        offsets: Vec<usize>,
        /// `[batch, parts * hidden]`.
        below: Tensor<2>,
    },
    /// What stands for each text (`text.pooling`), `[batch, text width]`.
    First(Tensor<2>),
}

impl TextBatch {
    /// What stands for each text, `[batch, text width]`: the first token's last state, or what else `text.pooling` says,
    /// from whatever the batch carries. `lower_layers`: how many layers [`TextBatch::Hidden`] has passed.
    pub fn pooled(&self, bert: &Bert, lower_layers: usize) -> Tensor<2> {
        match self {
            Self::Tokens(tokens) => bert.pooled(tokens),
            Self::Hidden(states, offsets) => {
                bert.pooled_from(states.clone(), offsets, lower_layers, None)
            }
            Self::Layers {
                states,
                offsets,
                below,
            } => bert.pooled_from(states.clone(), offsets, lower_layers, Some(below.clone())),
            Self::First(state) => state.clone(),
        }
    }

    /// Last hidden states of all tokens, from whatever the batch carries. `lower_layers` as for
    /// [`pooled`](Self::pooled).
    pub fn all_tokens(&self, bert: &Bert, lower_layers: usize) -> PackedStates {
        match self {
            Self::Tokens(tokens) => PackedStates {
                states: bert.forward(tokens),
                offsets: tokens.offsets.clone(),
            },
            Self::Hidden(states, offsets)
            | Self::Layers {
                states, offsets, ..
            } => PackedStates {
                states: bert.layers(states.clone(), offsets, lower_layers..bert.depth()),
                offsets: offsets.clone(),
            },
            Self::First(states) => PackedStates {
                offsets: (0..=states.dims()[0]).collect(),
                states: states.clone(),
            },
        }
    }
}

/// Examples of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Input of the text encoder, when text is in use.
    pub text: Option<TextBatch>,
    /// Vision frames, when in use.
    pub vision: Option<SequenceBatch>,
    /// Audio frames, when in use.
    pub audio: Option<SequenceBatch>,
    /// States of further sentences about each segment, one batch per sentence, where the model asks for them.
    pub sentences: Vec<SequenceBatch>,
    /// Sentiments, `[batch]`.
    pub labels: Vec<f32>,
    /// Where each example stands in its split.
    pub rows: Vec<usize>,
    /// Which part of a larger batch this is, where several devices take a step together.
    pub part: Option<Arc<Part>>,
}

/// A batch on the host: prepared by another thread while a step runs.
#[derive(Clone, Debug)]
pub struct HostBatch {
    text: Option<HostText>,
    vision: Option<PaddedFrames>,
    audio: Option<PaddedFrames>,
    sentences: Vec<PaddedFrames>,
    labels: Vec<f32>,
    rows: Vec<usize>,
}

/// Input of the text encoder, on no device yet.
#[derive(Clone, Debug)]
enum HostText {
    Tokens(PackedTokens),
    /// Values, width, offsets; below them values and width.
    Hidden(Vec<f32>, usize, Vec<usize>, Option<(Vec<f32>, usize)>),
    /// Values, width.
    First(Vec<f32>, usize),
}

impl HostBatch {
    /// Pads and packs examples. `rows` are their places in the split.
    pub fn new(examples: &[Example], rows: Vec<usize>) -> Self {
        Self {
            text: host_text(examples),
            vision: padded(examples, |e| &e.vision),
            audio: padded(examples, |e| &e.audio),
            sentences: sentences(examples),
            labels: examples.iter().map(|e| e.label).collect(),
            rows,
        }
    }

    /// Pads and packs examples in at most `parts` even parts, in order.
    pub fn split(examples: &[Example], rows: &[usize], parts: usize) -> Vec<Self> {
        let parts = parts.min(examples.len()).max(1);
        let (least, larger) = (examples.len() / parts, examples.len() % parts);
        let mut first = 0;
        let part = |part: usize| {
            let own = first..first + least + usize::from(part < larger);
            first = own.end;
            Self::new(&examples[own.clone()], rows[own].to_vec())
        };
        (0..parts).map(part).collect()
    }

    /// Puts each part of a batch on a device of its own.
    pub fn upload_parts(parts: Vec<Self>, devices: &[Device]) -> Vec<Batch> {
        let sizes: Vec<usize> = parts.iter().map(|part| part.labels.len()).collect();
        let mut batches: Vec<Batch> = parts
            .into_iter()
            .zip(devices)
            .map(|(part, device)| part.upload(device))
            .collect();
        if sizes.len() > 1 {
            let devices = &devices[..batches.len()];
            let twice = (1..devices.len()).any(|at| devices[..at].contains(&devices[at]));
            for (batch, part) in batches.iter_mut().zip(Part::of(&sizes, twice)) {
                batch.part = Some(Arc::new(part));
            }
        }
        batches
    }

    /// The batch on a device.
    pub fn upload(self, device: &Device) -> Batch {
        let tensor = |values: Vec<f32>, width: usize| {
            let shape = [values.len() / width.max(1), width];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Batch {
            text: self.text.map(|text| match text {
                HostText::Tokens(tokens) => TextBatch::Tokens(tokens),
                HostText::Hidden(values, width, offsets, None) => {
                    TextBatch::Hidden(tensor(values, width), offsets)
                }
                HostText::Hidden(values, width, offsets, Some((below, parts))) => {
                    TextBatch::Layers {
                        states: tensor(values, width),
                        offsets,
                        below: tensor(below, parts),
                    }
                }
                HostText::First(values, width) => TextBatch::First(tensor(values, width)),
            }),
            vision: self
                .vision
                .map(|frames| SequenceBatch::upload(frames, device)),
            audio: self
                .audio
                .map(|frames| SequenceBatch::upload(frames, device)),
            sentences: self
                .sentences
                .into_iter()
                .map(|frames| SequenceBatch::upload(frames, device))
                .collect(),
            labels: self.labels,
            rows: self.rows,
            part: None,
        }
    }
}

impl Batch {
    /// How many examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// What stands for each text, `[batch, text width]`; zeros `[batch, 1]` where text is not in use.
    pub fn pooled_text(
        &self,
        bert: Option<&Bert>,
        lower_layers: usize,
        device: &Device,
    ) -> Tensor<2> {
        match (bert, &self.text) {
            (Some(bert), Some(text)) => text.pooled(bert, lower_layers),
            (None, Some(TextBatch::First(states))) => states.clone(),
            _ => Tensor::zeros([self.len(), 1], device),
        }
    }

    /// Last hidden states of all tokens; one zero token `[1]` a segment where text is not in use.
    pub fn all_tokens(
        &self,
        bert: Option<&Bert>,
        lower_layers: usize,
        device: &Device,
    ) -> PackedStates {
        match (bert, &self.text) {
            (Some(bert), Some(text)) => text.all_tokens(bert, lower_layers),
            (
                None,
                Some(
                    TextBatch::Hidden(states, offsets)
                    | TextBatch::Layers {
                        states, offsets, ..
                    },
                ),
            ) => PackedStates {
                states: states.clone(),
                offsets: offsets.clone(),
            },
            _ => PackedStates {
                states: Tensor::zeros([self.len(), 1], device),
                offsets: (0..=self.len()).collect(),
            },
        }
    }

    /// The frames of vision or audio; one zero frame of one feature a segment where the modality is not in use.
    pub fn frames(&self, modality: Modality, device: &Device) -> SequenceBatch {
        let own = match modality {
            Modality::Vision => self.vision.clone(),
            Modality::Audio => self.audio.clone(),
            Modality::Text => None,
        };
        own.unwrap_or_else(|| SequenceBatch {
            values: Tensor::zeros([self.len(), 1, 1], device),
            lengths: vec![1; self.len()],
        })
    }

    /// The frames of vision or audio that belong to the batch's tokens, laid end to end as these are, `[tokens, width]`, of
    /// a model that needs frames per token; zeros `[tokens, 1]` where the modality is not in use.
    pub fn token_frames(&self, modality: Modality, tokens: usize, device: &Device) -> Tensor<2> {
        let own = match modality {
            Modality::Vision => &self.vision,
            Modality::Audio => &self.audio,
            Modality::Text => &None,
        };
        match own {
            Some(frames) => frames.packed().states,
            None => Tensor::zeros([tokens, 1], device),
        }
    }
}

/// The sentences of all examples, sentence by sentence.
fn sentences(examples: &[Example]) -> Vec<PaddedFrames> {
    let count = examples.iter().map(|e| e.sentences.len()).min();
    (0..count.unwrap_or(0))
        .map(|place| {
            let sequences: Vec<&Frames> = examples.iter().map(|e| &*e.sentences[place]).collect();
            let width = sequences.iter().map(|s| s.width).max().unwrap_or(0);
            PaddedFrames::pad(&sequences, width)
        })
        .collect()
}

fn padded(examples: &[Example], frames: fn(&Example) -> &Frames) -> Option<PaddedFrames> {
    let sequences: Vec<&Frames> = examples.iter().map(frames).collect();
    let width = sequences.iter().map(|s| s.width).max().unwrap_or(0);
    (width > 0).then(|| PaddedFrames::pad(&sequences, width))
}

/// Every example of a split has the same kind of text features; the first decides.
fn host_text(examples: &[Example]) -> Option<HostText> {
    match &examples.first()?.text {
        TextFeatures::Absent => None,
        TextFeatures::Tokens(_) => {
            let tokens: Vec<&[u32]> = examples
                .iter()
                .map(|e| match &e.text {
                    TextFeatures::Tokens(ids) => ids.as_slice(),
                    _ => &[],
                })
                .collect();
            Some(HostText::Tokens(PackedTokens::from_sequences(&tokens)))
        }
        TextFeatures::Hidden(first) | TextFeatures::Layers { states: first, .. } => {
            let width = first.width;
            let mut offsets = vec![0];
            let (mut values, mut parts) = (Vec::new(), Vec::new());
            for example in examples {
                match &example.text {
                    TextFeatures::Hidden(states) => values.extend_from_slice(&states.values),
                    TextFeatures::Layers { states, below } => {
                        values.extend_from_slice(&states.values);
                        parts.extend_from_slice(below);
                    }
                    _ => {}
                }
                offsets.push(values.len() / width);
            }
            let of_parts = parts.len() / examples.len();
            let below = (of_parts > 0).then_some((parts, of_parts));
            Some(HostText::Hidden(values, width, offsets, below))
        }
        TextFeatures::First(first) => {
            let states = examples.iter().filter_map(|e| match &e.text {
                TextFeatures::First(state) => Some(state.as_slice()),
                _ => None,
            });
            Some(HostText::First(
                states.flatten().copied().collect(),
                first.len(),
            ))
        }
    }
}
