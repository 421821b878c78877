//! Batches of examples, laid out on a device.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::{Frames, PaddedFrames};
use mmrest_encoders::PackedTokens;
use mmrest_models::SequenceBatch;

use crate::example::{Example, TextFeatures};
use crate::meeting::Part;

/// A batch's input to the text encoder.
#[derive(Clone, Debug)]
pub enum TextBatch {
    /// Token ids laid end to end.
    Tokens(PackedTokens),
    /// Output of the untrained lower layers, `[tokens, hidden]`, with the sequences' offsets (batch + 1).
    Hidden(Tensor<2>, Vec<usize>),
    /// Last hidden state of the first tokens, `[batch, hidden]`.
    First(Tensor<2>),
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
    /// Sentiments, `[batch]`.
    pub labels: Vec<f32>,
    /// Where each example stands in its split.
    pub rows: Vec<usize>,
    /// Which part of a larger batch this is, where several devices take a step together.
    pub part: Option<Arc<Part>>,
}

/// A batch on no device yet: what is prepared on another thread while a step runs.
#[derive(Clone, Debug)]
pub struct HostBatch {
    text: Option<HostText>,
    vision: Option<PaddedFrames>,
    audio: Option<PaddedFrames>,
    labels: Vec<f32>,
    rows: Vec<usize>,
}

/// Input of the text encoder, on no device yet.
#[derive(Clone, Debug)]
enum HostText {
    Tokens(PackedTokens),
    /// Values, width, offsets.
    Hidden(Vec<f32>, usize, Vec<usize>),
    /// Values, width.
    First(Vec<f32>, usize),
}

impl HostBatch {
    /// Lays examples side by side. `rows` are their places in the split.
    pub fn new(examples: &[Example], rows: Vec<usize>) -> Self {
        Self {
            text: host_text(examples),
            vision: padded(examples, |e| &e.vision),
            audio: padded(examples, |e| &e.audio),
            labels: examples.iter().map(|e| e.label).collect(),
            rows,
        }
    }

    /// Lays examples side by side in at most `parts` even parts, in order.
    pub(crate) fn split(examples: &[Example], rows: &[usize], parts: usize) -> Vec<Self> {
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
    pub(crate) fn upload_parts(parts: Vec<Self>, devices: &[Device]) -> Vec<Batch> {
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
                HostText::Hidden(values, width, offsets) => {
                    TextBatch::Hidden(tensor(values, width), offsets)
                }
                HostText::First(values, width) => TextBatch::First(tensor(values, width)),
            }),
            vision: self.vision.map(|frames| SequenceBatch::upload(frames, device)),
            audio: self.audio.map(|frames| SequenceBatch::upload(frames, device)),
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
        TextFeatures::Hidden(first) => {
            let width = first.width;
            let mut offsets = vec![0];
            let mut values = Vec::new();
            for example in examples {
                if let TextFeatures::Hidden(states) = &example.text {
                    values.extend_from_slice(&states.values);
                }
                offsets.push(values.len() / width);
            }
            Some(HostText::Hidden(values, width, offsets))
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
