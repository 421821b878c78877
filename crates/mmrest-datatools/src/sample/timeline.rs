//! When each word is said, and when each segment begins and ends. Times are whole milliseconds until they are stored.

use super::PAUSE;
use super::grammar::Sentence;
use super::noise::Noise;
use mmrest_data::csd::{Entry, Features};

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    /// Start and end in seconds.
    pub(super) fn seconds(self) -> [f64; 2] {
        [f64::from(self.start) / 1000.0, f64::from(self.end) / 1000.0]
    }

    /// Where `time` (ms) is within the span: 0 at its start, 1 at its end; none outside.
    pub(super) fn position(self, time: f64) -> Option<f64> {
        let (start, end) = (f64::from(self.start), f64::from(self.end));
        (start <= time && time < end).then(|| (time - start) / (end - start))
    }
}

/// How long a segment lasts at least.
const SHORTEST: u32 = 1500;
/// How long the words and pauses of a segment last together at most.
const LONGEST: u32 = 4700;
/// By how much a straddling word begins before its segment.
const STRADDLE: u32 = 60;

/// One video's speech.
#[derive(Default)]
pub(super) struct Timeline {
    /// What is said when, without pauses.
    pub(super) words: Vec<(&'static str, Span)>,
    /// The labelled segments.
    pub(super) segments: Vec<Span>,
    /// When the video ends.
    pub(super) end: u32,
}

impl Timeline {
    /// Lays sentences out one after the other. The first word of the sentence number `straddling` begins while the previous
    /// segment is still going on.
    pub(super) fn new(
        sentences: &[Sentence],
        straddling: Option<usize>,
        noise: &mut Noise,
    ) -> Self {
        let mut timeline = Self::default();
        let mut now = noise.whole(200, 1500);
        for (i, sentence) in sentences.iter().enumerate() {
            let straddles = i > 0 && straddling == Some(i);
            if i > 0 && !straddles {
                now += gap(noise);
            }
            timeline.say(sentence, &mut now, straddles, noise);
        }
        timeline.end = now + noise.whole(200, 600);
        timeline
    }

    /// Adds one segment that begins at `now`, and moves `now` to its end.
    fn say(&mut self, sentence: &Sentence, now: &mut u32, straddles: bool, noise: &mut Noise) {
        let start = *now;
        let before = noise.whole(60, 180);
        let mut time = if straddles {
            start - STRADDLE
        } else {
            start + before
        };
        for (word, silence, length) in pace(sentence, noise) {
            time += silence;
            self.words.push((
                word,
                Span {
                    start: time,
                    end: time + length,
                },
            ));
            time += length;
        }
        // Long enough that the next segment's straddling word begins after this one's last word.
        time += noise.whole(STRADDLE + 20, STRADDLE + 100);
        *now = time.max(start + SHORTEST);
        self.segments.push(Span { start, end: *now });
    }

    /// The words, with [`PAUSE`] wherever nobody speaks for 50 ms or more.
    pub(super) fn entry(&self) -> Entry {
        let mut said: Vec<(&str, Span)> = Vec::new();
        let mut silent_since = 0;
        for &(word, span) in &self.words {
            if span.start >= silent_since + 50 {
                said.push((
                    PAUSE,
                    Span {
                        start: silent_since,
                        end: span.start,
                    },
                ));
            }
            said.push((word, span));
            silent_since = span.end;
        }
        Entry {
            intervals: said.iter().map(|(_, span)| span.seconds()).collect(),
            features: Features::Text(said.iter().map(|(word, _)| (*word).to_owned()).collect()),
        }
    }

    /// Whether somebody speaks at `time` (ms).
    pub(super) fn speaks(&self, time: f64) -> bool {
        let next = self
            .words
            .partition_point(|(_, span)| f64::from(span.end) <= time);
        self.words
            .get(next)
            .is_some_and(|(_, span)| span.position(time).is_some())
    }

    /// The segment going on at `time` (ms), and where in it that is (0 to 1).
    pub(super) fn segment(&self, time: f64) -> Option<(usize, f64)> {
        let next = self
            .segments
            .partition_point(|span| f64::from(span.end) <= time);
        let position = self.segments.get(next)?.position(time)?;
        Some((next, position))
    }
}

/// Silence between two segments, sometimes long.
fn gap(noise: &mut Noise) -> u32 {
    if noise.chance(0.04) {
        noise.whole(1800, 3000)
    } else {
        noise.whole(100, 800)
    }
}

/// The words, each with the silence before it and its length, in milliseconds.
fn pace(sentence: &Sentence, noise: &mut Noise) -> Vec<(&'static str, u32, u32)> {
    let mut paced: Vec<_> = sentence
        .words
        .iter()
        .enumerate()
        .map(|(i, &word)| {
            let pauses = sentence.clause == Some(i) || (i > 0 && i == sentence.opening);
            let silence = if pauses && noise.chance(0.6) {
                noise.whole(120, 450)
            } else {
                0
            };
            let letters = u32::try_from(word.len()).unwrap_or(0);
            (word, silence, 90 + 36 * letters + noise.whole(0, 90))
        })
        .collect();
    let total = |paced: &[(&str, u32, u32)]| paced.iter().map(|(_, s, l)| s + l).sum::<u32>();
    let lasts = total(&paced);
    if lasts > LONGEST {
        for (_, silence, length) in &mut paced {
            *silence = *silence * LONGEST / lasts;
            *length = *length * LONGEST / lasts;
        }
    }
    // Now and then somebody has to think.
    if lasts + 1600 < LONGEST && noise.chance(0.05) {
        paced[sentence.opening].1 += noise.whole(1000, 1500);
    }
    paced
}
