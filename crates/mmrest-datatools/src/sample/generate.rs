//! Sentiment first, then what shows it.

use super::SampleConfig;
use super::causes::{self, Causes};
use super::face::face;
use super::flaws;
use super::folds::folds;
use super::grammar::{Sentence, sentence};
use super::noise::{Noise, Purpose};
use super::timeline::Timeline;
use super::voice::voice;
use mmrest_data::Split;
use mmrest_data::csd::{Entry, Features};

/// The whole sample, in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// In the order of their ids.
    pub videos: Vec<SampleVideo>,
}

impl Sample {
    /// All segments, video by video.
    pub fn segments(&self) -> impl Iterator<Item = &SampleSegment> {
        self.videos.iter().flat_map(|video| &video.segments)
    }
}

/// One video with everything recorded of it. NaN frames make it unequal to itself: compare bits.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleVideo {
    /// `review_01` and so on.
    pub id: String,
    /// What the video is for.
    pub split: Split,
    /// Its labelled segments in the order of time.
    pub segments: Vec<SampleSegment>,
    /// Words and pauses.
    pub words: Entry,
    /// 15 frames a second of [`VISION_FEATURES`](super::VISION_FEATURES).
    pub vision: Entry,
    /// 20 frames a second of [`ACOUSTIC_FEATURES`](super::ACOUSTIC_FEATURES).
    pub acoustic: Entry,
}

impl SampleVideo {
    /// The labels as rows of a computational sequence: one column, the sentiment.
    pub fn labels(&self) -> Entry {
        Entry {
            intervals: self
                .segments
                .iter()
                .map(|segment| segment.interval)
                .collect(),
            features: Features::Numeric {
                values: self.segments.iter().map(|segment| segment.label).collect(),
                width: 1,
            },
        }
    }
}

/// One labelled stretch of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSegment {
    /// Start and end in seconds.
    pub interval: [f64; 2],
    /// What is said in it, without pauses.
    pub text: String,
    /// Sentiment, a multiple of 0.2 in -3 to 3 (one of the sample is beyond).
    pub label: f32,
    /// What the label is made of.
    pub causes: Causes,
}

/// Makes the sample. The same configuration gives the same sample, bit by bit, on every machine.
///
/// On purpose, and as in real recordings, it contains (in a sample of the default size)
///
/// - energies of -inf and harmonics-to-noise ratios of NaN in a few silent acoustic frames;
/// - 4 segments without any acoustic frame, of all three splits;
/// - pauses of more than a second inside segments and of more than 1.8 seconds between them;
/// - 3 words that begin in one segment and end in the next;
/// - one vision frame of no duration;
/// - one label of 3.4.
pub fn generate(config: &SampleConfig) -> Sample {
    let scripts = scripts(config);
    let mut sample = Sample {
        videos: scripts.iter().map(|script| video(config, script)).collect(),
    };
    flaws::add(&mut sample, config.seed);
    sample
}

/// What happens in a video, before anything is recorded.
struct Script {
    index: usize,
    split: Split,
    sentences: Vec<Sentence>,
    /// One for each sentence.
    causes: Vec<Causes>,
}

/// All videos' scripts: what is said, and then, split by split, what faces and voices add.
fn scripts(config: &SampleConfig) -> Vec<Script> {
    let mut scripts: Vec<Script> = folds(config.videos, config.seed)
        .into_iter()
        .enumerate()
        .map(|(index, split)| {
            let mut noise = Noise::new(config.seed, Purpose::Text, index);
            let straddling = flaws::straddling(index);
            let sentences = (0..config.segments_per_video)
                .map(|i| sentence(&mut noise, straddling == Some(i)))
                .collect();
            Script {
                index,
                split,
                sentences,
                causes: Vec::new(),
            }
        })
        .collect();
    for (i, split) in Split::ALL.into_iter().enumerate() {
        let of_split = || scripts.iter().filter(|script| script.split == split);
        let said = of_split()
            .flat_map(|script| &script.sentences)
            .map(|s| s.valence);
        let said: Vec<f64> = said.collect();
        let mut drawn =
            causes::draw(&said, &mut Noise::new(config.seed, Purpose::Sentiment, i)).into_iter();
        for script in scripts.iter_mut().filter(|script| script.split == split) {
            script.causes = drawn.by_ref().take(script.sentences.len()).collect();
        }
    }
    scripts
}

/// Records one video, without its [`flaws`].
fn video(config: &SampleConfig, script: &Script) -> SampleVideo {
    let Script {
        index,
        split,
        sentences,
        causes,
    } = script;
    let stream = |purpose| Noise::new(config.seed, purpose, *index);
    let timeline = Timeline::new(
        sentences,
        flaws::straddling(*index),
        &mut stream(Purpose::Timing),
    );
    let shown: Vec<f64> = causes.iter().map(|cause| cause.vision).collect();
    let heard: Vec<f64> = causes.iter().map(|cause| cause.audio).collect();
    let segments = sentences.iter().zip(&timeline.segments).zip(causes);
    SampleVideo {
        id: format!("review_{:02}", index + 1),
        split: *split,
        segments: segments
            .map(|((sentence, span), causes)| SampleSegment {
                interval: span.seconds(),
                text: sentence.words.join(" "),
                label: fifths(causes.sentiment(config)),
                causes: *causes,
            })
            .collect(),
        words: timeline.entry(),
        vision: face(&timeline, &shown, &mut stream(Purpose::Face)),
        acoustic: voice(&timeline, &heard, &mut stream(Purpose::Voice)),
    }
}

/// The nearest multiple of 0.2: the mean of five annotators' whole numbers.
#[allow(clippy::cast_possible_truncation)]
fn fifths(sentiment: f64) -> f32 {
    // Adding 0 makes -0 a plain 0.
    ((sentiment * 5.0).round() / 5.0 + 0.0) as f32
}
