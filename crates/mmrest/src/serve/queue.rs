//! The queue between the requests and the one thread that uses the model: bounded, in order of arrival.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mmrest_data::Segment;
use mmrest_learner::Placement;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// A segment that waits, with the request it belongs to.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) segment: Segment,
    pub(crate) ticket: Arc<PendingRequest>,
    /// The segment's place in its request.
    pub(crate) place: usize,
}

/// Why segments are not queued.
#[derive(Debug, PartialEq)]
pub(crate) enum NotTaken {
    /// The queue is full.
    Full,
    /// The server is stopping.
    Closed,
}

/// Segments in order of arrival.
#[derive(Debug)]
pub(crate) struct Queue {
    line: Mutex<Line>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

impl Queue {
    /// An empty queue of at most `capacity` segments.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            line: Mutex::default(),
            changed: Condvar::new(),
            capacity,
        }
    }

    /// Queues all segments of a request, of which there is at least one, or none of them.
    pub(crate) fn push(&self, segments: Vec<Segment>) -> Result<Receiver<Answer>, NotTaken> {
        let mut line = self.line();
        if line.closed {
            return Err(NotTaken::Closed);
        }
        if line.waiting.len() + segments.len() > self.capacity {
            return Err(NotTaken::Full);
        }
        let (ticket, answer) = PendingRequest::new(segments.len());
        let segments = segments.into_iter().enumerate();
        line.waiting
            .extend(segments.map(|(place, segment)| Waiting {
                segment,
                ticket: Arc::clone(&ticket),
                place,
            }));
        drop(line);
        self.changed.notify_one();
        Ok(answer)
    }

    /// Takes up to `most` segments, as soon as `enough` are queued, or `wait` after the first. `None` when the queue is
    /// closed and empty.
    pub(crate) fn take(&self, most: usize, enough: usize, wait: Duration) -> Option<Vec<Waiting>> {
        let idle = |line: &mut Line| line.waiting.is_empty() && !line.closed;
        let line = self.changed.wait_while(self.line(), idle);
        let line = line.unwrap_or_else(PoisonError::into_inner);
        let few = |line: &mut Line| line.waiting.len() < enough && !line.closed;
        let line = self.changed.wait_timeout_while(line, wait, few);
        let (mut line, _) = line.unwrap_or_else(PoisonError::into_inner);
        let count = line.waiting.len().min(most);
        match count {
            0 => None,
            _ => Some(line.waiting.drain(..count).collect()),
        }
    }

    /// The number of segments that wait.
    pub(crate) fn len(&self) -> usize {
        self.line().waiting.len()
    }

    /// The most segments that may wait.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether it accepts no more segments.
    pub(crate) fn is_closed(&self) -> bool {
        self.line().closed
    }

    /// Accepts no more segments; those that wait can still be taken.
    pub(crate) fn close(&self) {
        self.line().closed = true;
        self.changed.notify_all();
    }

    /// Accepts no more segments, and fails those that wait.
    pub(crate) fn abandon(&self) {
        self.close();
        let waiting = std::mem::take(&mut self.line().waiting);
        for waiting in waiting {
            waiting.ticket.fail(Failure::Stopped);
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a request: one placement per segment, in the request's order.
pub(crate) type Answer = Result<Vec<Placement>, Failure>;

/// Why a request was not scored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// The model refused a segment, for this reason.
    Refused(String),
    /// The score is not a finite number, for this reason.
    NotFinite(String),
    /// A bug: the message of the panic.
    Panicked(String),
    /// The server stopped before it was scored.
    Stopped,
}

/// A request that waits until all its segments are scored.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    placements: Vec<Option<Placement>>,
    missing: usize,
    /// `None` once the request is answered.
    answer: Option<Sender<Answer>>,
}

impl PendingRequest {
    /// A request of `segments` segments, at least one, and the receiver of its answer.
    pub(super) fn new(segments: usize) -> (Arc<Self>, Receiver<Answer>) {
        let (answer, receiver) = channel();
        let open = Mutex::new(Open {
            placements: vec![None; segments],
            missing: segments,
            answer: Some(answer),
        });
        (Arc::new(Self { open }), receiver)
    }

    /// Whether the client still waits for the answer.
    pub(crate) fn wanted(&self) -> bool {
        let open = self.open();
        open.answer.as_ref().is_some_and(|a| !a.is_closed())
    }

    /// Stores the result of the segment at `place`; the last one sends the answer.
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

    /// Fails the request.
    pub(crate) fn fail(&self, failure: Failure) {
        if let Some(answer) = self.open().answer.take() {
            let _ = answer.send(Err(failure));
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{placement, segment};
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;

    #[test]
    fn a_request_is_taken_whole_or_not_at_all() {
        let queue = Queue::new(3);
        let mut first = queue.push(vec![segment("a"), segment("b")]).unwrap();
        assert_eq!(
            queue.push(vec![segment("c"), segment("d")]).unwrap_err(),
            NotTaken::Full
        );
        let _second = queue.push(vec![segment("c")]).unwrap();
        assert_eq!(queue.len(), 3);
        let taken = queue.take(2, 1, NO_WAIT).unwrap();
        let ids: Vec<&str> = taken.iter().map(|w| w.segment.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        taken[1].ticket.put(1, placement(1.0));
        assert!(first.try_recv().is_err(), "half of it is no answer");
        taken[0].ticket.put(0, placement(0.0));
        let scores = first.try_recv().unwrap().unwrap();
        let scores: Vec<f32> = scores.iter().map(|p| p.prediction.score).collect();
        assert_eq!(scores, [0.0, 1.0]);
    }

    #[test]
    fn what_waits_can_be_taken_after_closing_and_nothing_else_comes() {
        let queue = Queue::new(3);
        let _answer = queue.push(vec![segment("a")]).unwrap();
        queue.close();
        assert_eq!(
            queue.push(vec![segment("b")]).unwrap_err(),
            NotTaken::Closed
        );
        assert_eq!(queue.take(9, 9, Duration::from_secs(60)).unwrap().len(), 1);
        assert!(queue.take(9, 9, NO_WAIT).is_none());
    }

    #[test]
    fn what_is_given_up_is_said_to_be() {
        let queue = Queue::new(3);
        let mut answer = queue.push(vec![segment("a"), segment("b")]).unwrap();
        queue.abandon();
        assert_eq!(answer.try_recv().unwrap().unwrap_err(), Failure::Stopped);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_batch_that_is_not_full_waits_for_more() {
        let queue = Arc::new(Queue::new(3));
        let _first = queue.push(vec![segment("a")]).unwrap();
        let other = Arc::clone(&queue);
        let taker = std::thread::spawn(move || other.take(2, 2, Duration::from_secs(60)));
        let _second = queue.push(vec![segment("b")]).unwrap();
        assert_eq!(taker.join().unwrap().unwrap().len(), 2);
    }
}
