//! A step on several devices: each works on its part of the batch, and what is about the whole batch is found together.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::LearnerError;

/// A worker's place in a step that several take together. While it waits the others may be at work; dropping it without
/// `Part::meet` tells them not to wait.
#[derive(Debug)]
pub struct Part {
    index: usize,
    /// Where its segments begin in the batch.
    first: usize,
    /// Segments of the whole batch.
    segments: usize,
    meeting: Arc<Meeting>,
}

/// Where the parts of one step come together.
#[derive(Debug)]
struct Meeting {
    parts: usize,
    /// Whether the parts draw their dropout from one generator, and so have to take turns.
    one_generator: bool,
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    brought: Vec<(usize, PartRows)>,
    made: Option<Arc<Gathered>>,
    /// Whose turn it is to draw.
    turn: usize,
    /// Why there will be nothing: somebody does not come, or what was brought led to an error.
    lost: Option<String>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} brought, lost: {:?}", self.brought.len(), self.lost)
    }
}

/// What a part brings: its rows in the shared space, modality after modality.
pub(crate) struct PartRows {
    /// `[modalities * segments, dim]`
    pub values: Vec<f32>,
    /// The label of each row.
    pub labels: Vec<f32>,
}

/// The rows of a whole batch, and what was found on them.
pub(crate) struct Gathered {
    /// `[modalities * segments, dim]`, as if one device had computed them.
    pub values: Vec<f32>,
    /// Clusters, receptive fields, pairs.
    pub on: crate::objective::OnBatch,
}

impl Part {
    /// The places of workers that take so many segments of a batch each. Where two are on one device, its generator is
    /// theirs together.
    pub(crate) fn of(sizes: &[usize], one_generator: bool) -> Vec<Self> {
        let meeting = Arc::new(Meeting {
            parts: sizes.len(),
            one_generator,
            table: Mutex::default(),
            changed: Condvar::new(),
        });
        let part = |index: usize| Self {
            index,
            first: sizes[..index].iter().sum(),
            segments: sizes.iter().sum(),
            meeting: Arc::clone(&meeting),
        };
        (0..sizes.len()).map(part).collect()
    }

    /// Which part of the step this is, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Where its segments begin in the batch.
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// Segments of the whole batch.
    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// Does what draws random numbers from the device: after the parts before this one where they have one generator, so
    /// that each draws the same numbers every time.
    pub(crate) fn draw<T>(&self, work: impl FnOnce() -> T) -> T {
        if !self.meeting.one_generator {
            return work();
        }
        let waiting = |table: &mut Table| table.turn != self.index && table.lost.is_none();
        drop(
            self.meeting
                .changed
                .wait_while(self.meeting.lock(), waiting)
                .unwrap_or_else(PoisonError::into_inner),
        );
        let done = work();
        self.meeting.lock().turn = self.index + 1;
        self.meeting.changed.notify_all();
        done
    }

    /// Brings rows and waits for those of every other part; the last to come does what is to be done once, by `make`, with
    /// the rows in the parts' order.
    ///
    /// # Errors
    ///
    /// What `make` says; or another part failed.
    pub(crate) fn meet(
        &self,
        rows: PartRows,
        make: impl FnOnce(&[PartRows]) -> Result<Gathered, LearnerError>,
    ) -> Result<Arc<Gathered>, LearnerError> {
        let mut table = self.meeting.lock();
        table.brought.push((self.index, rows));
        if table.brought.len() < self.meeting.parts {
            return self.meeting.wait(table);
        }
        let mut brought = std::mem::take(&mut table.brought);
        brought.sort_by_key(|(index, _)| *index);
        let rows: Vec<PartRows> = brought.into_iter().map(|(_, rows)| rows).collect();
        let made = make(&rows).map(Arc::new);
        match &made {
            Ok(made) => table.made = Some(Arc::clone(made)),
            Err(error) => table.lost = Some(error.to_string()),
        }
        self.meeting.changed.notify_all();
        made
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut table = self.meeting.lock();
        if table.made.is_none() && table.lost.is_none() {
            table.lost = Some("another device's part of the step failed".into());
            self.meeting.changed.notify_all();
        }
    }
}

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, table: MutexGuard<'_, Table>) -> Result<Arc<Gathered>, LearnerError> {
        let waiting = |table: &mut Table| table.made.is_none() && table.lost.is_none();
        let table = self
            .changed
            .wait_while(table, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        let why = || LearnerError::Elsewhere(table.lost.clone().unwrap_or_default());
        table.made.clone().ok_or_else(why)
    }
}
