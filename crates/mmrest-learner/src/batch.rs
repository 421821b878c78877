//! Batches of examples, laid out on a device.

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::{Frames, SequenceBatch};
use mmrest_encoders::PackedTokens;

use crate::example::{Example, TextFeatures};

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
}

impl Batch {
    /// Lays examples out on a device. `rows` are their places in `examples`.
    pub fn new(examples: &[Example], rows: Vec<usize>, device: &Device) -> Self {
        let chosen: Vec<&Example> = rows.iter().map(|&row| &examples[row]).collect();
        let labels = chosen.iter().map(|e| e.label).collect();
        Self {
            text: text_batch(&chosen, device),
            vision: sequences(&chosen, |e| &e.vision, device),
            audio: sequences(&chosen, |e| &e.audio, device),
            labels,
            rows,
        }
    }

    /// How many examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

fn sequences(
    examples: &[&Example],
    frames: fn(&Example) -> &Frames,
    device: &Device,
) -> Option<SequenceBatch> {
    let sequences: Vec<&Frames> = examples.iter().map(|e| frames(e)).collect();
    let width = sequences.iter().map(|s| s.width).max().unwrap_or(0);
    (width > 0).then(|| SequenceBatch::pad(&sequences, width, device))
}

/// Every example of a split has the same kind of text features; the first decides.
fn text_batch(examples: &[&Example], device: &Device) -> Option<TextBatch> {
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
            Some(TextBatch::Tokens(PackedTokens::from_sequences(&tokens)))
        }
        TextFeatures::Hidden(first) => {
            let hidden = first.width;
            let mut offsets = vec![0];
            let mut values = Vec::new();
            for example in examples {
                if let TextFeatures::Hidden(states) = &example.text {
                    values.extend_from_slice(&states.values);
                }
                offsets.push(values.len() / hidden);
            }
            let shape = [values.len() / hidden, hidden];
            let states = Tensor::from_data(TensorData::new(values, shape), device);
            Some(TextBatch::Hidden(states, offsets))
        }
        TextFeatures::First(first) => {
            let shape = [examples.len(), first.len()];
            let values: Vec<f32> = examples
                .iter()
                .filter_map(|e| match &e.text {
                    TextFeatures::First(state) => Some(state.as_slice()),
                    _ => None,
                })
                .flatten()
                .copied()
                .collect();
            Some(TextBatch::First(Tensor::from_data(
                TensorData::new(values, shape),
                device,
            )))
        }
    }
}
