//! The loader of a split: batches in the split's own order, or in one set by (seed, epoch), prepared by another thread while
//! a step runs.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use burn::tensor::Device;
use mmrest_models::{Batch, Example, HostBatch, seed};
use rand::seq::SliceRandom;

use crate::error::LearnerError;
use crate::modality_dropout::ModalityDropout;
use crate::source::ExampleSource;

/// Batches that wait ready while a step runs; with the one in preparation, all that a pass holds beside the step's own.
const READY: usize = 2;

/// Yields the batches of a split: in the split's own order, or shuffled by (seed, epoch).
#[derive(Clone)]
pub struct SegmentLoader {
    examples: Arc<dyn ExampleSource>,
    batch_size: usize,
    smallest: usize,
    shuffle: Option<Shuffle>,
    dropout: Option<ModalityDropout>,
    device: Device,
}

/// Order by (seed, epoch): a resumed run sees the same order as one that was never stopped.
#[derive(Clone)]
struct Shuffle {
    seed: u64,
    epoch: Arc<AtomicUsize>,
    /// Which of the epoch's passes; later ones have orders of their own.
    pass: Arc<AtomicUsize>,
}

impl SegmentLoader {
    /// Batches in the split's own order.
    pub fn in_order(examples: Arc<dyn ExampleSource>, batch_size: usize, device: &Device) -> Self {
        Self {
            examples,
            batch_size,
            smallest: 1,
            shuffle: None,
            dropout: None,
            device: device.clone(),
        }
    }

    /// Batches in an order set by `seed` and the epoch that [`SegmentLoader::set_epoch`] names.
    pub fn shuffled(self, seed: u64) -> Self {
        let [epoch, pass] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        Self {
            shuffle: Some(Shuffle { seed, epoch, pass }),
            ..self
        }
    }

    /// Segments that are without some of their modalities, by the epoch that [`SegmentLoader::set_epoch`] names.
    pub(crate) fn dropping(self, dropout: Option<ModalityDropout>) -> Self {
        Self { dropout, ..self }
    }

    /// Names the epoch whose order the next iteration has; every clone of this loader follows.
    pub fn set_epoch(&self, epoch: usize) {
        self.set_pass(epoch, 0);
    }

    /// As [`SegmentLoader::set_epoch`], for one of an epoch's passes, from 0.
    pub fn set_pass(&self, epoch: usize, pass: usize) {
        if let Some(shuffle) = &self.shuffle {
            shuffle.epoch.store(epoch, Ordering::Relaxed);
            shuffle.pass.store(pass, Ordering::Relaxed);
        }
    }

    /// The fewest segments of a batch: a smaller last batch joins the one before.
    #[must_use]
    pub fn at_least(self, smallest: usize) -> Self {
        Self { smallest, ..self }
    }

    /// How many batches a pass has.
    pub fn batches(&self) -> usize {
        batch_count(self.len(), self.batch_size, self.smallest)
    }

    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is no segment.
    pub fn is_empty(&self) -> bool {
        self.examples.len() == 0
    }

    /// The id of the example at `row`.
    pub fn id(&self, row: usize) -> &str {
        self.examples.id(row)
    }

    /// The sentiments of the split, in its own order.
    pub fn labels(&self) -> Vec<f32> {
        (0..self.examples.len())
            .map(|row| self.examples.label(row))
            .collect()
    }

    /// The batches of one pass. A thread of their own prepares them; it ends with the pass, or when the pass is dropped.
    pub fn pass(&self) -> Batches<'_> {
        Batches {
            parted: self.pass_on(std::slice::from_ref(&self.device)),
        }
    }

    /// The batches of one pass, each in even parts, the first on the first device.
    pub(crate) fn pass_on<'a>(&self, devices: &'a [Device]) -> PartedBatches<'a> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        let mut named = 0;
        if let Some(Shuffle { seed, epoch, pass }) = &self.shuffle {
            named = epoch.load(Ordering::Relaxed) as u64;
            let pass = pass.load(Ordering::Relaxed) as u64;
            let path = [seed::ORDER, named, pass];
            let path = if pass == 0 { &path[..2] } else { &path };
            order.shuffle(&mut seed::rng(*seed, path));
        }
        let (ready, batches) = sync_channel(READY);
        let (total, parts) = (order.len(), devices.len());
        let reading = Reading {
            examples: Arc::clone(&self.examples),
            dropout: self.dropout.clone(),
            epoch: named,
        };
        let chunks = chunks(total, self.batch_size, self.smallest);
        std::thread::spawn(move || prepare(&reading, &order, chunks, parts, &ready));
        PartedBatches {
            devices,
            batches,
            done: 0,
            total,
        }
    }
}

/// A batch in its parts, or why there is none.
type Prepared = Result<Vec<HostBatch>, LearnerError>;

/// How a pass reads its examples.
struct Reading {
    examples: Arc<dyn ExampleSource>,
    dropout: Option<ModalityDropout>,
    epoch: u64,
}

impl Reading {
    fn example(&self, row: usize) -> Result<Example, LearnerError> {
        let example = self.examples.example(row)?;
        Ok(match &self.dropout {
            Some(dropout) => dropout.apply(example, self.examples.has_text(row), self.epoch, row),
            None => example,
        })
    }
}

/// How many batches a pass over `total` segments has.
pub(crate) fn batch_count(total: usize, batch_size: usize, smallest: usize) -> usize {
    chunks(total, batch_size, smallest).len()
}

/// Where the batches of `total` segments begin and end; a last one of fewer than `smallest` joins the one before.
fn chunks(total: usize, batch_size: usize, smallest: usize) -> Vec<Range<usize>> {
    let size = batch_size.max(1);
    let mut chunks: Vec<Range<usize>> = (0..total)
        .step_by(size)
        .map(|first| first..(first + size).min(total))
        .collect();
    if chunks.len() > 1
        && let Some(last) = chunks.pop_if(|last| last.len() < smallest)
        && let Some(before) = chunks.last_mut()
    {
        before.end = last.end;
    }
    chunks
}

/// Prepares batches in order until nobody wants more.
fn prepare(
    reading: &Reading,
    order: &[usize],
    chunks: Vec<Range<usize>>,
    parts: usize,
    ready: &SyncSender<Prepared>,
) {
    for rows in chunks {
        let rows = &order[rows];
        let chosen: Result<Vec<_>, _> = rows.iter().map(|&row| reading.example(row)).collect();
        let batch = chosen.map(|chosen| HostBatch::split(&chosen, rows, parts));
        let failed = batch.is_err();
        if ready.send(batch).is_err() || failed {
            return;
        }
    }
}

/// One pass over a split.
pub struct Batches<'a> {
    parted: PartedBatches<'a>,
}

/// One pass over a split, on several devices.
pub(crate) struct PartedBatches<'a> {
    devices: &'a [Device],
    batches: Receiver<Prepared>,
    done: usize,
    total: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch, LearnerError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.parted.next()? {
            Ok(parts) => parts.into_iter().next().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

impl Iterator for PartedBatches<'_> {
    type Item = Result<Vec<Batch>, LearnerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done == self.total {
            return None;
        }
        let Ok(batch) = self.batches.recv() else {
            let lost = "the thread that prepares batches has ended before its work was done";
            self.done = self.total;
            return Some(Err(LearnerError::Internal(lost.into())));
        };
        Some(match batch {
            Ok(parts) => {
                let parts = HostBatch::upload_parts(parts, self.devices);
                self.done += parts.iter().map(Batch::len).sum::<usize>();
                Ok(parts)
            }
            Err(error) => {
                self.done = self.total;
                Err(error)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use mmrest_data::Frames;
    use mmrest_models::TextFeatures;

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
            sentences: Vec::new(),
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
        assert_eq!(loader.pass().count(), 3);
        let batch = loader.pass().next().unwrap().unwrap();
        assert!(batch.audio.is_none());
        assert_eq!(batch.vision.unwrap().lengths, [1, 1, 2, 3]);
    }

    #[test]
    fn a_last_batch_that_is_too_small_joins_the_one_before() {
        let sizes = |count: usize, smallest: usize| {
            let loader = SegmentLoader::in_order(examples(count), 4, &Device::flex());
            let loader = loader.at_least(smallest);
            let sizes: Vec<usize> = loader.pass().map(|b| b.unwrap().len()).collect();
            assert_eq!(sizes.len(), loader.batches());
            sizes
        };
        assert_eq!(sizes(9, 1), [4, 4, 1]);
        assert_eq!(sizes(9, 2), [4, 5]);
        assert_eq!(sizes(10, 2), [4, 4, 2]);
        assert_eq!(sizes(1, 2), [1], "there is none before");
    }

    #[test]
    fn passes_of_an_epoch_have_orders_of_their_own() {
        let loader = SegmentLoader::in_order(examples(50), 8, &Device::flex()).shuffled(1);
        loader.set_epoch(3);
        let first = order(&loader);
        loader.set_pass(3, 1);
        assert_ne!(order(&loader), first);
        loader.set_pass(3, 0);
        assert_eq!(order(&loader), first);
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
    fn modalities_are_dropped_by_the_epoch_and_of_the_same_rows_in_any_order() {
        let dropout = ModalityDropout::new(0.5, 1, TextFeatures::First(vec![-1.0]));
        let frames = |loader: &SegmentLoader| {
            let mut lengths = std::collections::BTreeMap::new();
            for batch in loader.pass() {
                let batch = batch.unwrap();
                lengths.extend(batch.rows.into_iter().zip(batch.vision.unwrap().lengths));
            }
            lengths
        };
        let make = |batch_size, seed| {
            SegmentLoader::in_order(examples(50), batch_size, &Device::flex()).shuffled(seed)
        };
        let (whole, a) = (make(8, 1), make(8, 1).dropping(Some(dropout.clone())));
        let b = make(5, 2).dropping(Some(dropout)); // other batches, in another order
        for loader in [&whole, &a, &b] {
            loader.set_epoch(3);
        }
        let third = frames(&a);
        assert_eq!(third, frames(&b));
        assert_ne!(third, frames(&whole));
        a.set_epoch(4);
        assert_ne!(third, frames(&a));
    }

    #[test]
    fn a_batch_is_split_evenly_and_in_order() {
        let devices = [Device::flex(), Device::flex(), Device::flex()];
        let loader = SegmentLoader::in_order(examples(9), 4, &devices[0]);
        let batches: Vec<Vec<Vec<usize>>> = loader
            .pass_on(&devices)
            .map(|parts| parts.unwrap().into_iter().map(|part| part.rows).collect())
            .collect();
        let four = |first: usize| vec![vec![first, first + 1], vec![first + 2], vec![first + 3]];
        assert_eq!(batches, [four(0), four(4), vec![vec![8]]]);
    }
}
