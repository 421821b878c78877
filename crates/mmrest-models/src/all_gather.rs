//! A step on several devices: each computes its part of the batch; what concerns the whole batch is gathered from all parts.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Tensor, TensorData};

use crate::error::ModelError;

/// A worker's part of a step that several devices take together. Dropping it before its rows are gathered tells the others
/// not to wait.
#[derive(Debug)]
pub struct Part {
    index: usize,
    /// Where its segments begin in the batch.
    first: usize,
    /// Segments of the whole batch.
    segments: usize,
    group: Arc<Group>,
}

/// The parts of one step.
#[derive(Debug)]
struct Group {
    parts: usize,
    /// Whether the parts draw their dropout from one generator, and so take turns.
    one_generator: bool,
    shared: Mutex<Shared>,
    changed: Condvar,
}

type Value = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
struct Shared {
    contributed: Vec<(usize, PartRows)>,
    combined: Option<Value>,
    /// Which part may draw random numbers.
    turn: usize,
    /// Why there will be no result: a part failed, or the contributions led to an error.
    failed: Option<String>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.contributed.len();
        write!(f, "{count} contributed, failed: {:?}", self.failed)
    }
}

/// What a part contributes: its rows, modality after modality, on the host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartRows {
    /// `[modalities * segments, dim]`
    pub values: Vec<f32>,
    /// The label of each row.
    pub labels: Vec<f32>,
    /// The place of each segment in its split.
    pub places: Vec<usize>,
}

impl Part {
    /// The parts of workers that take so many segments of a batch each. `one_generator`: two of them are on one device and
    /// share its random generator.
    pub fn of(sizes: &[usize], one_generator: bool) -> Vec<Self> {
        let group = Arc::new(Group {
            parts: sizes.len(),
            one_generator,
            shared: Mutex::default(),
            changed: Condvar::new(),
        });
        let part = |index: usize| Self {
            index,
            first: sizes[..index].iter().sum(),
            segments: sizes.iter().sum(),
            group: Arc::clone(&group),
        };
        (0..sizes.len()).map(part).collect()
    }

    /// The index of the part, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Segments of the whole batch.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Runs work that draws random numbers from the device: after the parts before this one where they share a generator,
    /// so that each draws the same numbers every time.
    pub fn draw<T>(&self, work: impl FnOnce() -> T) -> T {
        if !self.group.one_generator {
            return work();
        }
        let waiting = |shared: &mut Shared| shared.turn != self.index && shared.failed.is_none();
        drop(
            self.group
                .changed
                .wait_while(self.group.lock(), waiting)
                .unwrap_or_else(PoisonError::into_inner),
        );
        let done = work();
        self.group.lock().turn = self.index + 1;
        self.group.changed.notify_all();
        done
    }

    /// Contributes rows and waits for those of every other part; the last part runs `combine` once, with the rows in the
    /// parts' order, and all get the result.
    ///
    /// # Errors
    ///
    /// The error of `combine`; or another part failed.
    pub(crate) fn all_gather<T: Send + Sync + 'static>(
        &self,
        rows: PartRows,
        combine: impl FnOnce(&[PartRows]) -> Result<T, ModelError>,
    ) -> Result<Arc<T>, ModelError> {
        let mut shared = self.group.lock();
        shared.contributed.push((self.index, rows));
        if shared.contributed.len() < self.group.parts {
            return self.group.wait(shared);
        }
        let mut contributed = std::mem::take(&mut shared.contributed);
        contributed.sort_by_key(|(index, _)| *index);
        let rows: Vec<PartRows> = contributed.into_iter().map(|(_, rows)| rows).collect();
        let combined = combine(&rows).map(Arc::new);
        match &combined {
            Ok(combined) => shared.combined = Some(Arc::clone(combined) as Value),
            Err(error) => shared.failed = Some(error.to_string()),
        }
        self.group.changed.notify_all();
        combined
    }

    /// The rows of the whole batch, `values`, as a tensor in which this part's own `rows` are those that gradients flow to.
    ///
    /// The gradient of a loss of all rows is then, for the part's encoders, what it is on one device: the parts' gradients
    /// add up to the batch's.
    pub(crate) fn among(&self, rows: Tensor<2>, values: &[f32], modalities: usize) -> Tensor<2> {
        let [own, dim] = rows.dims();
        let own = own / modalities.max(1);
        let shape = [values.len() / dim.max(1), dim];
        let data = TensorData::new(values.to_vec(), shape);
        let mut all = Tensor::<2>::from_data(data, &rows.device());
        for modality in 0..modalities {
            let at = modality * self.segments + self.first;
            let mine = rows.clone().narrow(0, modality * own, own);
            all = all.slice_assign([at..at + own, 0..dim], mine);
        }
        all
    }
}

/// Rows and labels of the whole batch: all rows of one modality, then all of the next, segments in the batch's order.
pub(crate) fn concatenate(parts: &[PartRows], modalities: usize, dim: usize) -> PartRows {
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for modality in 0..modalities {
        for part in parts {
            let segments = part.labels.len() / modalities.max(1);
            let rows = modality * segments..(modality + 1) * segments;
            values.extend_from_slice(&part.values[rows.start * dim..rows.end * dim]);
            labels.extend_from_slice(&part.labels[rows]);
        }
    }
    let places = parts.iter().flat_map(|part| &part.places).copied();
    PartRows {
        values,
        labels,
        places: places.collect(),
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut shared = self.group.lock();
        if shared.combined.is_none() && shared.failed.is_none() {
            shared.failed = Some("another device's part of the step failed".into());
            self.group.changed.notify_all();
        }
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T: Send + Sync + 'static>(
        &self,
        shared: MutexGuard<'_, Shared>,
    ) -> Result<Arc<T>, ModelError> {
        let waiting = |shared: &mut Shared| shared.combined.is_none() && shared.failed.is_none();
        let shared = self
            .changed
            .wait_while(shared, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        let combined = shared.combined.clone();
        combined
            .and_then(|value| value.downcast::<T>().ok())
            .ok_or_else(|| ModelError::OtherPart(shared.failed.clone().unwrap_or_default()))
    }
}
