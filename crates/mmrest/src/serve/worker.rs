//! The one thread that uses the model: scores segments of several requests in batches of similar length.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mmrest_data::{Modality, Segment};
use mmrest_learner::{Placement, Predictor, is_finite};

use super::metrics::Metrics;
use super::queue::{Failure, PendingRequest, Queue, Waiting};
use super::{Limits, MAX_PADDED_FRAMES};
use crate::failure::panic_message;
use crate::lines::not_finite;
use crate::numbers::{rate, thousands};

/// How many batches are taken from the queue at a time, at most: among more segments, more have a similar length.
const BATCHES: usize = 4;

/// Bytes of text that count as one frame.
const BYTES_A_FRAME: usize = 4;

/// A model that scores segments.
pub(crate) trait Scorer: Send + Sync + 'static {
    /// Checks that a segment can be scored; the error says what is wrong and what to do.
    fn check(&self, segment: &Segment) -> Result<(), String>;

    /// The modalities that the model uses and a segment lacks.
    fn missing(&self, segment: &Segment) -> Vec<Modality>;

    /// The modalities of a segment with features unlike any that the model was trained on.
    fn beyond_training(&self, _: &Segment) -> Vec<Modality> {
        Vec::new()
    }

    /// One placement per segment, in their order.
    fn place(&self, segments: &[Segment]) -> Result<Vec<Placement>, String>;
}

impl Scorer for Predictor {
    fn check(&self, segment: &Segment) -> Result<(), String> {
        Predictor::check(self, segment)
    }

    fn missing(&self, segment: &Segment) -> Vec<Modality> {
        Predictor::missing(self, segment)
    }

    fn beyond_training(&self, segment: &Segment) -> Vec<Modality> {
        Predictor::beyond_training(self, segment)
    }

    fn place(&self, segments: &[Segment]) -> Result<Vec<Placement>, String> {
        Predictor::place(self, segments).map_err(|error| error.to_string())
    }
}

/// Scores the segments of the queue until it is closed and empty. However this ends, the queue is closed.
pub(crate) fn work(scorer: &dyn Scorer, queue: &Queue, limits: &Limits, metrics: &Metrics) {
    let _closed = CloseAtEnd(queue);
    let mut load = Load::default();
    while let Some(mut taken) = queue.take(BATCHES * limits.batch, limits.batch, limits.wait) {
        let before = taken.len();
        taken.retain(|waiting| waiting.ticket.wanted());
        metrics.abandoned((before - taken.len()) as u64);
        taken.sort_by_key(|waiting| length(&waiting.segment));
        while !taken.is_empty() {
            let rest = taken.split_off(batch(&taken, limits.batch));
            let count = taken.len();
            score(scorer, taken, metrics);
            taken = rest;
            if let Some(told) = load.scored(count, taken.len() + queue.len()) {
                tracing::info!("{told}");
            }
        }
    }
}

/// The time between two lines about work that does not end.
const EVERY: Duration = Duration::from_secs(10);

/// What was scored since segments have had to wait without a pause.
#[derive(Default)]
struct Load(Option<(Instant, Instant, usize)>);

impl Load {
    /// Counts what was scored; now and then says how fast that goes and how many wait.
    fn scored(&mut self, count: usize, waiting: usize) -> Option<String> {
        let now = Instant::now();
        let (since, told, scored) = self.0.take().unwrap_or((now, now, 0));
        if waiting == 0 {
            return None;
        }
        let scored = scored + count;
        let tell = told.elapsed() >= EVERY;
        self.0 = Some((since, if tell { now } else { told }, scored));
        tell.then(|| {
            let rate = rate(scored, since.elapsed().as_secs_f64());
            format!(
                "busy: {} scored, {rate}, {waiting} waiting",
                thousands(scored)
            )
        })
    }
}

struct CloseAtEnd<'a>(&'a Queue);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The length of a segment in frames, for sorting.
fn length(segment: &Segment) -> usize {
    frames(segment) + segment.text.len() / BYTES_A_FRAME
}

fn frames(segment: &Segment) -> usize {
    let frames = |modality| segment.frames(modality).map_or(0, mmrest_data::Frames::len);
    frames(Modality::Vision).max(frames(Modality::Audio))
}

/// The number of first segments, sorted by length, that make a batch: at least one.
fn batch(waiting: &[Waiting], most: usize) -> usize {
    let mut longest = 0;
    let mut count = 0;
    for waiting in waiting.iter().take(most) {
        longest = longest.max(frames(&waiting.segment));
        if longest * (count + 1) > MAX_PADDED_FRAMES {
            break;
        }
        count += 1;
    }
    count.max(1)
}

/// Scores one batch and passes the results on. If it fails, each segment is scored alone, so that a segment that cannot be
/// scored fails only its own request.
fn score(scorer: &dyn Scorer, batch: Vec<Waiting>, metrics: &Metrics) {
    metrics.batch(batch.len());
    let mut segments = Vec::with_capacity(batch.len());
    let mut owners = Vec::with_capacity(batch.len());
    for waiting in batch {
        segments.push(waiting.segment);
        owners.push((waiting.ticket, waiting.place));
    }
    match attempt(scorer, &segments, metrics) {
        Ok(placements) => {
            let owners = segments.iter().zip(&owners);
            for ((segment, (ticket, place)), placement) in owners.zip(placements) {
                answer(segment, ticket, *place, placement);
            }
        }
        Err(failure) if segments.len() == 1 => owners[0].0.fail(failure),
        Err(_) => {
            for (segment, (ticket, place)) in segments.chunks(1).zip(owners) {
                match attempt(scorer, segment, metrics) {
                    Ok(placements) => placements
                        .into_iter()
                        .for_each(|placement| answer(&segment[0], &ticket, place, placement)),
                    Err(failure) => ticket.fail(failure),
                }
            }
        }
    }
}

/// Passes a score on, unless it is not finite: that is no score.
fn answer(segment: &Segment, ticket: &PendingRequest, place: usize, placement: Placement) {
    if is_finite(&placement.prediction) {
        ticket.put(place, placement);
    } else {
        let message = format!("segment {:?}: {}", segment.id, not_finite(segment));
        ticket.fail(Failure::NotFinite(message));
    }
}

fn attempt(
    scorer: &dyn Scorer,
    segments: &[Segment],
    metrics: &Metrics,
) -> Result<Vec<Placement>, Failure> {
    match catch_unwind(AssertUnwindSafe(|| scorer.place(segments))) {
        Ok(Ok(placements)) if placements.len() == segments.len() => Ok(placements),
        Ok(Ok(placements)) => Err(Failure::Panicked(format!(
            "{} segments gave {} scores",
            segments.len(),
            placements.len()
        ))),
        Ok(Err(refused)) => Err(Failure::Refused(refused)),
        Err(panic) => {
            metrics.panicked();
            Err(Failure::Panicked(panic_message(&*panic)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::queue::Answer;
    use super::super::tests::{Fake, limits, segment, segment_of_frames};
    use super::*;

    /// What the scorer saw of requests that were all there before it began, and what each got.
    fn worked(requests: Vec<Vec<Segment>>, limits: &Limits) -> (Fake, Vec<Answer>) {
        let (fake, metrics, queue) = (Fake::default(), Metrics::new(), Queue::new(1000));
        let push = |request| queue.push(request).unwrap();
        let answers: Vec<_> = requests.into_iter().map(push).collect();
        queue.close();
        work(&fake, &queue, limits, &metrics);
        let answers = answers.into_iter().map(|mut a| a.try_recv().unwrap());
        let answers = answers.collect();
        (fake, answers)
    }

    #[test]
    fn batches_go_across_requests_and_by_length() {
        let limits = Limits {
            batch: 2,
            ..limits()
        };
        let requests =
            ["long long long", "a", "long long long long", "b"].map(|t| vec![segment(t)]);
        let (fake, answers) = worked(requests.to_vec(), &limits);
        assert_eq!(
            fake.batches(),
            [
                vec!["a", "b"],
                vec!["long long long", "long long long long"]
            ]
        );
        let scores: Vec<f32> = answers
            .iter()
            .map(|a| a.as_ref().unwrap()[0].prediction.score)
            .collect();
        assert_eq!(scores, [14.0, 1.0, 19.0, 1.0], "each got its own");
    }

    #[test]
    fn a_batch_is_no_larger_than_its_padded_frames_may_be() {
        let requests = [
            1,
            1,
            MAX_PADDED_FRAMES / 2,
            MAX_PADDED_FRAMES / 2,
            MAX_PADDED_FRAMES + 1,
        ];
        let requests = requests.map(|frames| vec![segment_of_frames(frames)]);
        let (fake, _) = worked(requests.to_vec(), &limits());
        let sizes: Vec<usize> = fake.batches().iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn a_panic_fails_its_own_request_and_the_thread_goes_on() {
        let requests = vec![
            vec![segment("a"), segment("b")],
            vec![segment("c"), segment("panic"), segment("d")],
            vec![segment("refuse")],
        ];
        let (_, answers) = worked(requests, &limits());
        assert_eq!(answers[0].as_ref().unwrap().len(), 2);
        assert_eq!(answers[1], Err(Failure::Panicked("asked to".to_string())));
        assert_eq!(answers[2], Err(Failure::Refused("as asked".to_string())));
    }

    #[test]
    fn a_score_that_is_not_finite_fails_its_own_request() {
        let requests = vec![vec![segment("a"), segment("infinite")], vec![segment("b")]];
        let (_, answers) = worked(requests, &limits());
        let Err(Failure::NotFinite(told)) = &answers[0] else {
            panic!("{:?}", answers[0]);
        };
        assert!(told.contains("its score is not a finite number"), "{told}");
        assert_eq!(answers[1].as_ref().unwrap().len(), 1);
    }

    #[test]
    fn what_nobody_waits_for_is_not_scored() {
        let (fake, metrics, queue) = (Fake::default(), Metrics::new(), Queue::new(9));
        drop(queue.push(vec![segment("gone")]).unwrap());
        let _kept = queue.push(vec![segment("kept")]).unwrap();
        queue.close();
        let limits = Limits {
            wait: Duration::ZERO,
            ..limits()
        };
        work(&fake, &queue, &limits, &metrics);
        assert_eq!(fake.batches(), [vec!["kept"]]);
        assert!(
            metrics
                .text(&[], 0, 9)
                .contains("mmrest_abandoned_segments_total 1")
        );
    }
}
