//! Batches of examples, and the loader that yields them in an order set by (seed, epoch).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::{Device, Tensor, TensorData};
use mmrest_data::{Frames, SequenceBatch};
use mmrest_encoders::PackedTokens;
use rand::seq::SliceRandom;

use crate::example::{Example, TextFeatures};
use crate::seed;

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

/// Yields the batches of a split: in the split's own order, or shuffled by (seed, epoch).
#[derive(Clone)]
pub struct SegmentLoader {
    examples: Arc<Vec<Example>>,
    range: std::ops::Range<usize>,
    batch_size: usize,
    shuffle: Option<Shuffle>,
    device: Device,
}

/// Order by (seed, epoch): a resumed run sees the same order as one that was never stopped.
#[derive(Clone)]
struct Shuffle {
    seed: u64,
    epoch: Arc<AtomicUsize>,
}

impl SegmentLoader {
    /// Batches in the split's own order.
    pub fn in_order(examples: Arc<Vec<Example>>, batch_size: usize, device: &Device) -> Self {
        Self {
            range: 0..examples.len(),
            examples,
            batch_size,
            shuffle: None,
            device: device.clone(),
        }
    }

    /// Batches in an order set by `seed` and the epoch that [`SegmentLoader::set_epoch`] names.
    pub fn shuffled(self, seed: u64) -> Self {
        let epoch = Arc::new(AtomicUsize::new(0));
        Self {
            shuffle: Some(Shuffle { seed, epoch }),
            ..self
        }
    }

    /// Names the epoch whose order the next iteration has; every clone of this loader follows.
    pub fn set_epoch(&self, epoch: usize) {
        if let Some(shuffle) = &self.shuffle {
            shuffle.epoch.store(epoch, Ordering::Relaxed);
        }
    }

    /// The id of the example at `row`.
    pub fn id(&self, row: usize) -> &str {
        &self.examples[row].id
    }

    /// The sentiments of the split, in its own order.
    pub fn labels(&self) -> Vec<f32> {
        self.examples.iter().map(|e| e.label).collect()
    }

    /// How many batches an iteration has.
    pub fn batches(&self) -> usize {
        self.range.len().div_ceil(self.batch_size)
    }

    /// The batches of one pass, each made when it is asked for.
    pub fn pass(&self) -> Batches<'_> {
        let mut order: Vec<usize> = self.range.clone().collect();
        if let Some(Shuffle { seed, epoch }) = &self.shuffle {
            let epoch = epoch.load(Ordering::Relaxed) as u64;
            order.shuffle(&mut seed::rng(*seed, &[seed::ORDER, epoch]));
        }
        Batches {
            loader: self,
            order,
            done: 0,
        }
    }
}

/// One pass over a split.
pub struct Batches<'a> {
    loader: &'a SegmentLoader,
    order: Vec<usize>,
    done: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = (self.done + self.loader.batch_size).min(self.order.len());
        let rows = self.order[self.done..end].to_vec();
        self.done = end;
        (!rows.is_empty()).then(|| Ok(Batch::new(&self.loader.examples, rows, &self.loader.device)))
    }
}

impl DataLoaderIterator<Batch> for Batches<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.order.len(), Some("segments".into()))
    }
}

impl DataLoader<Batch> for SegmentLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        Box::new(self.pass())
    }

    fn num_items(&self) -> usize {
        self.range.len()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Self {
            device: device.clone(),
            ..self.clone()
        })
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        let first = self.range.start;
        Arc::new(Self {
            range: (first + start).min(self.range.end)..(first + end).min(self.range.end),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(count: usize) -> Arc<Vec<Example>> {
        let example = |index: usize| Example {
            id: format!("v[{index}]"),
            text: TextFeatures::First(vec![index as f32]),
            vision: Frames {
                values: vec![1.0; index * 2],
                width: 2,
            },
            audio: Frames {
                values: vec![],
                width: 0,
            },
            label: index as f32,
        };
        Arc::new((0..count).map(example).collect())
    }

    fn order(loader: &SegmentLoader) -> Vec<usize> {
        loader.pass().flat_map(|b| b.unwrap().rows).collect()
    }

    #[test]
    fn a_pass_yields_every_row_once() {
        let loader = SegmentLoader::in_order(examples(10), 4, &Device::flex());
        assert_eq!(order(&loader), (0..10).collect::<Vec<_>>());
        assert_eq!(loader.batches(), 3);
        let batch = loader.pass().next().unwrap().unwrap();
        assert!(batch.audio.is_none());
        assert_eq!(batch.vision.unwrap().lengths, [1, 1, 2, 3]);
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_alone() {
        let make = |seed| SegmentLoader::in_order(examples(50), 8, &Device::flex()).shuffled(seed);
        let (a, b, c) = (make(1), make(1), make(2));
        for loader in [&a, &b, &c] {
            loader.set_epoch(3);
        }
        let third = order(&a);
        assert_eq!(third, order(&b));
        assert_ne!(third, order(&c));
        a.set_epoch(4);
        assert_ne!(third, order(&a));
        let mut sorted = third.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_slice_keeps_to_its_rows() {
        let loader = SegmentLoader::in_order(examples(10), 4, &Device::flex());
        let slice = loader.slice(2, 5);
        assert_eq!(slice.num_items(), 3);
        let rows: Vec<usize> = slice.iter().flat_map(|b| b.unwrap().rows).collect();
        assert_eq!(rows, [2, 3, 4]);
    }
}
