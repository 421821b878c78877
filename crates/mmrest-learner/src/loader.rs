//! The loader of a split: batches in the split's own order, or in one set by (seed, epoch).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use rand::seq::SliceRandom;

use crate::batch::Batch;
use crate::example::Example;
use crate::seed;

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
    use mmrest_data::Frames;

    use super::*;
    use crate::example::TextFeatures;

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
        assert_eq!(loader.pass().count(), 3);
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
