//! The script of a video: words with their times, sentiment, and the frames that show it.

use mmrest_data::csd::{Entry, Features};

use super::super::grammar::sentence;
use super::super::noise::{Noise, Purpose};
use super::super::timeline::{Span, Timeline};
use super::super::track::quantise;
use super::LikeMosei;

/// Words a second.
const PACE: f64 = 2.5;
/// Words that a sentence runs beyond the length aimed at, in the mean.
const OVERRUN: f64 = 4.5;

/// One video: its words, its segments and their sentiment.
pub(super) struct Script {
    pub(super) timeline: Timeline,
    /// One for each segment of the timeline.
    pub(super) moods: Vec<Mood>,
}

/// What a segment's label is made of, each of about unit variance.
///
/// ```text
/// sentiment = 0.7 text + 0.4 vision + 0.35 audio + 0.5 noise
/// label     = nearest third to 0.25 + sentiment, after moving it by 0.15 towards 0, within -3 to 3
/// ```
///
/// That gives the shape of CMU-MOSEI's labels: one in five is 0, half are above, a quarter below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mood {
    pub(super) text: f64,
    pub(super) vision: f64,
    pub(super) audio: f64,
    pub(super) noise: f64,
}

impl Mood {
    /// The sentiment, a third of a whole number in -3 to 3.
    pub(super) fn label(self) -> f32 {
        let weighted = 0.7 * self.text + 0.4 * self.vision + 0.35 * self.audio + 0.5 * self.noise;
        let sentiment = 0.25 + weighted;
        thirds((sentiment.abs() - 0.15).clamp(0.0, 3.0) * sentiment.signum())
    }

    /// Happiness, sadness, anger, surprise, disgust and fear, thirds in 0 to 3 and mostly 0.
    pub(super) fn emotions(self, noise: &mut Noise) -> [f32; 6] {
        let sentiment = f64::from(self.label());
        let [happy, sad, angry, disgusted] = [0.8, -0.6, -0.5, -0.4].map(|gain| gain * sentiment);
        [happy, sad, angry, -0.8, disgusted, -1.0]
            .map(|level| thirds((level + 0.5 * noise.normal() - 0.3).clamp(0.0, 3.0)))
    }
}

/// The nearest third; never -0.
#[allow(clippy::cast_possible_truncation)]
fn thirds(value: f64) -> f32 {
    ((value * 3.0).round() / 3.0 + 0.0) as f32
}

impl Script {
    /// The script of video `index`, which has `segments`.
    pub(super) fn new(config: &LikeMosei, index: usize, segments: usize) -> Self {
        let stream = |purpose| Noise::new(config.seed, purpose, index);
        let (mut text, mut timing) = (stream(Purpose::Text), stream(Purpose::Timing));
        let mut causes = stream(Purpose::Sentiment);
        let mut timeline = Timeline::default();
        let mut now = timing.whole(200, 1500);
        let mut moods = Vec::with_capacity(segments);
        for _ in 0..segments {
            let (words, valence) = speech(target(&mut timing), &mut text);
            now = say(&mut timeline, &words, now, &mut timing) + timing.whole(100, 900);
            moods.push(Mood {
                text: valence,
                vision: causes.normal(),
                audio: causes.normal(),
                noise: causes.normal(),
            });
        }
        timeline.end = now;
        Self { timeline, moods }
    }
}

/// Seconds a segment shall last: the square of a normal number, which has a long tail, and now and then twice that.
fn target(noise: &mut Noise) -> f64 {
    let root = 2.2 + 0.925 * noise.normal();
    let seconds = 0.6 + root * root;
    if noise.chance(0.05) {
        2.0 * seconds
    } else {
        seconds
    }
}

/// Sentences that last about so many seconds, and their valence.
fn speech(seconds: f64, noise: &mut Noise) -> (Vec<&'static str>, f64) {
    let aim = seconds * PACE - OVERRUN;
    let (mut words, mut valence, mut sentences) = (Vec::new(), 0.0, 0.0_f64);
    loop {
        let said = sentence(noise, false);
        valence += said.valence;
        sentences += 1.0;
        words.extend(said.words);
        if words.len() as f64 >= aim {
            return (words, valence / sentences.sqrt());
        }
    }
}

/// Adds one segment that begins at `start` (ms) and returns its end.
fn say(timeline: &mut Timeline, words: &[&'static str], start: u32, noise: &mut Noise) -> u32 {
    // 0.4 seconds a word in the mean, the speaker being faster or slower.
    let slot = noise.whole(300, 501);
    let mut time = start;
    for word in words {
        let silence = if noise.chance(0.08) {
            slot * noise.whole(25, 50) / 100
        } else {
            slot * noise.whole(0, 10) / 100
        };
        timeline.words.push((
            word,
            Span {
                start: time + silence,
                end: time + slot,
            },
        ));
        time += slot;
    }
    timeline.segments.push(Span { start, end: time });
    time
}

/// Values are multiples of this, as of extractors that print few decimals: it quarters the files.
const STEP: f64 = 1.0 / 16.0;

/// Change of a telling feature with one unit of the modality's valence.
const GAIN: f64 = 0.5;

/// One recorded modality.
#[derive(Clone, Copy)]
pub(super) struct Recorder {
    pub(super) seed: u64,
    pub(super) purpose: Purpose,
    /// Frames a second.
    pub(super) rate: u32,
    /// Features in a frame. One in four tells the sentiment, every other one of them reversed.
    pub(super) width: usize,
    /// What of a segment's mood the modality shows.
    pub(super) shows: fn(&Mood) -> f64,
}

impl Recorder {
    /// The frames of video `index` from its begin to its end.
    pub(super) fn record(&self, script: &Script, index: usize) -> Entry {
        let mut noise = Noise::new(self.seed, self.purpose, index);
        let shift: Vec<f64> = (0..self.width).map(|_| 0.5 * noise.normal()).collect();
        let timeline = &script.timeline;
        let count = u64::from(timeline.end) * u64::from(self.rate) / 1000;
        let mut intervals = Vec::new();
        let mut values = Vec::new();
        for frame in 0..count {
            let [start, end] = [frame, frame + 1].map(|edge| edge as f64 / f64::from(self.rate));
            let segment = timeline.segment(500.0 * (start + end));
            let mood = segment.and_then(|(i, _)| script.moods.get(i));
            let shown = mood.map_or(0.0, self.shows);
            intervals.push([start, end]);
            for (column, shift) in shift.iter().enumerate() {
                values.push(quantise(gain(column) * shown + shift + noise.rough(), STEP));
            }
        }
        Entry {
            intervals,
            features: Features::Numeric {
                values,
                width: self.width,
            },
        }
    }
}

fn gain(column: usize) -> f64 {
    match column % 8 {
        0 => GAIN,
        4 => -GAIN,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_labels_are_distributed_like_cmu_mosei_s() {
        let config = LikeMosei::default();
        let (mut lengths, mut words, mut labels) = (Vec::new(), 0, Vec::new());
        for video in 0..400 {
            let script = Script::new(&config, video, 7);
            let spans = &script.timeline.segments;
            lengths.extend(
                spans
                    .iter()
                    .map(|span| f64::from(span.end - span.start) / 1000.0),
            );
            words += script.timeline.words.len();
            labels.extend(script.moods.iter().map(|mood| mood.label()));
        }
        let total: f64 = lengths.iter().sum();
        let mean = total / lengths.len() as f64;
        assert!((6.9..7.7).contains(&mean), "{mean}");
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        assert!((25.0..120.0).contains(&longest), "{longest}");
        let pace = words as f64 / total;
        assert!((2.35..2.65).contains(&pace), "{pace}");
        let share = |of: &dyn Fn(f32) -> bool| {
            labels.iter().filter(|&&label| of(label)).count() as f64 / labels.len() as f64
        };
        let [zero, above, below] = [
            share(&|l| l == 0.0),
            share(&|l| l > 0.0),
            share(&|l| l < 0.0),
        ];
        assert!((0.16..0.28).contains(&zero), "{zero}");
        assert!((0.42..0.55).contains(&above), "{above}");
        assert!((0.22..0.36).contains(&below), "{below}");
        for label in labels {
            let thirds = f64::from(label) * 3.0;
            assert!(
                (thirds - thirds.round()).abs() < 1e-6 && label.abs() <= 3.0,
                "{label}"
            );
        }
    }

    #[test]
    fn a_script_is_its_seed_s() {
        let config = LikeMosei::default();
        let entry = |seed| {
            let config = LikeMosei {
                seed,
                ..config.clone()
            };
            Script::new(&config, 5, 3).timeline.entry()
        };
        assert_eq!(entry(7), entry(7));
        assert_ne!(entry(7), entry(8));
    }
}
