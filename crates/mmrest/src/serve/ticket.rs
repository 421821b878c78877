//! What ties the segments of a request together until all of them are scored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mmrest_learner::Placement;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// What a request gets: a placement a segment, in the request's order.
pub(crate) type Answer = Result<Vec<Placement>, Failure>;

/// Why a request got none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// The model says why.
    Refused(String),
    /// The program is wrong: what the panic said.
    Panicked(String),
    /// The server stopped first.
    Stopped,
}

/// A request that waits for its segments.
#[derive(Debug)]
pub(crate) struct Ticket {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    placements: Vec<Option<Placement>>,
    missing: usize,
    /// Gone when the request is answered.
    answer: Option<Sender<Answer>>,
}

impl Ticket {
    /// For a request of `segments` segments, at least one; its answer comes out of the receiver.
    pub(super) fn new(segments: usize) -> (Arc<Self>, Receiver<Answer>) {
        let (answer, receiver) = channel();
        let open = Mutex::new(Open {
            placements: vec![None; segments],
            missing: segments,
            answer: Some(answer),
        });
        (Arc::new(Self { open }), receiver)
    }

    /// Whether anybody still waits for the answer.
    pub(crate) fn wanted(&self) -> bool {
        let open = self.open();
        open.answer.as_ref().is_some_and(|a| !a.is_closed())
    }

    /// The segment at `place` is scored; the last one sends the answer.
    pub(crate) fn put(&self, place: usize, placement: Placement) {
        let mut open = self.open();
        let Some(empty) = open.placements.get_mut(place).filter(|p| p.is_none()) else {
            return;
        };
        *empty = Some(placement);
        open.missing -= 1;
        if open.missing > 0 {
            return;
        }
        let placements = std::mem::take(&mut open.placements);
        if let Some(answer) = open.answer.take() {
            let _ = answer.send(Ok(placements.into_iter().flatten().collect()));
        }
    }

    /// The request cannot be answered.
    pub(crate) fn fail(&self, failure: Failure) {
        if let Some(answer) = self.open().answer.take() {
            let _ = answer.send(Err(failure));
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
