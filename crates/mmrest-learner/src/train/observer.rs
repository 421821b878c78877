//! Who watches a run: progress bars, lines, JSON.

use super::progress::EpochRow;

/// Told what happens while a run goes on. Every method may be left out.
pub trait Observer: Send + Sync {
    /// A stage begins, such as "clustering" or "evaluating the test split".
    fn stage(&self, _name: &str) {}
    /// A batch is done: `done` of `total` segments of `epoch`, with the batch's loss.
    fn batch(&self, _epoch: usize, _epochs: usize, _done: usize, _total: usize, _loss: f64) {}
    /// An epoch is done.
    fn epoch(&self, _row: &EpochRow, _epochs: usize) {}
    /// Something worth a line.
    fn note(&self, _message: &str) {}
    /// Something that should not be, and that the run goes on after. Logged as a warning, unless this is overridden.
    fn warning(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

/// Watches in silence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}
