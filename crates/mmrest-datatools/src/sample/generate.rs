//! Generates the sample: first sentiments, then the words, faces and voices that show them; at last a few flaws.

use mmrest_data::csd::{Entry, Features};
use mmrest_data::{Split, overlapping};
use serde::{Deserialize, Serialize};

use super::causes::{self, Causes};
use super::face::face;
use super::grammar::{Sentence, sentence};
use super::noise::{Noise, Purpose};
use super::timeline::Timeline;
use super::voice;
use super::voice::voice;

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
    add_flaws(&mut sample, config.seed);
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
            let straddling = straddling(index);
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
    let timeline = Timeline::new(sentences, straddling(*index), &mut stream(Purpose::Timing));
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

/// The split of every video: three fifths are for training, two fifteenths for validation, the rest for testing (36, 8
/// and 16 of 60), in random order. From 3 videos on no split is empty.
pub(super) fn folds(videos: usize, seed: u64) -> Vec<Split> {
    let train = (videos * 3 / 5).max(videos.min(1));
    let valid = (videos * 2 / 15).max(1).min(videos - train);
    let mut splits = vec![Split::Test; videos];
    splits[..train].fill(Split::Train);
    splits[train..train + valid].fill(Split::Valid);
    Noise::new(seed, Purpose::Folds, 0).shuffle(&mut splits);
    splits
}

/// Size, seed and difficulty of the sample. The defaults are the sample that the project's documentation speaks of.
///
/// ```
/// use mmrest_datatools::sample::SampleConfig;
///
/// assert_eq!(SampleConfig::default().videos, 60);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Videos, three fifths of them for training and two fifteenths for validation; 3 or more fill every split.
    pub videos: usize,
    /// Labelled segments in a video.
    pub segments_per_video: usize,
    /// Another seed is another sample of the same kind.
    pub seed: u64,
    /// Sentiment units per standard deviation of what is said.
    pub text_weight: f64,
    /// Sentiment units per standard deviation of the face.
    pub vision_weight: f64,
    /// Sentiment units per standard deviation of the voice.
    pub audio_weight: f64,
    /// Standard deviation of what no modality tells, in sentiment units.
    pub noise: f64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            videos: 60,
            segments_per_video: 10,
            seed: 7,
            text_weight: 1.06,
            vision_weight: 0.82,
            audio_weight: 0.76,
            noise: 0.2,
        }
    }
}

/// How many segments of each split have no sound.
const MUTE: [(Split, usize); 3] = [(Split::Train, 2), (Split::Valid, 1), (Split::Test, 1)];

/// The label that is out of range.
const TOO_HIGH: f32 = 3.4;

/// The segment of video `index` whose first word begins within the segment before.
pub(super) fn straddling(index: usize) -> Option<usize> {
    index.is_multiple_of(20).then_some(1)
}

/// Adds all flaws but the straddling words, which the timeline makes.
pub(super) fn add_flaws(sample: &mut Sample, seed: u64) {
    let mut noise = Noise::new(seed, Purpose::Flaws, 0);
    for video in &mut sample.videos {
        break_numbers(&mut video.acoustic, &mut noise);
    }
    for (split, count) in MUTE {
        let mut of_split: Vec<_> = sample
            .videos
            .iter_mut()
            .filter(|v| v.split == split)
            .collect();
        noise.shuffle(&mut of_split);
        for video in of_split.into_iter().take(count) {
            mute(video, &mut noise);
        }
    }
    if let Some(video) = train(sample).next() {
        stop_time(&mut video.vision, &mut noise);
    }
    let highest = train(sample)
        .flat_map(|video| &mut video.segments)
        .max_by(|a, b| a.label.total_cmp(&b.label));
    if let Some(segment) = highest {
        segment.label = TOO_HIGH;
    }
}

fn train(sample: &mut Sample) -> impl Iterator<Item = &mut SampleVideo> {
    sample
        .videos
        .iter_mut()
        .filter(|video| video.split == Split::Train)
}

/// Makes the energy of up to two silent frames -inf, and in every second video the harmonics-to-noise ratio of one NaN.
fn break_numbers(acoustic: &mut Entry, noise: &mut Noise) {
    let Features::Numeric { values, width } = &mut acoustic.features else {
        return;
    };
    let mut silent: Vec<&mut [f32]> = values
        .chunks_exact_mut(*width)
        .filter(|frame| frame[voice::VOICED] < 0.5)
        .collect();
    let count = silent.len();
    if count == 0 {
        return;
    }
    for _ in 0..noise.whole(0, 3) {
        silent[noise.index(count)][voice::ENERGY] = f32::NEG_INFINITY;
    }
    if noise.chance(0.5) {
        silent[noise.index(count)][voice::HNR] = f32::NAN;
    }
}

/// Removes every acoustic frame that one of the video's segments overlaps.
fn mute(video: &mut SampleVideo, noise: &mut Noise) {
    if video.segments.is_empty() {
        return;
    }
    let interval = video.segments[noise.index(video.segments.len())].interval;
    let lost = overlapping(&video.acoustic.intervals, interval);
    let (Some(&first), Some(&last)) = (lost.first(), lost.last()) else {
        return;
    };
    video.acoustic.intervals.drain(first..=last);
    if let Features::Numeric { values, width } = &mut video.acoustic.features {
        values.drain(first * *width..(last + 1) * *width);
    }
}

/// Makes one frame end when it begins.
fn stop_time(vision: &mut Entry, noise: &mut Noise) {
    let frame = noise.index(vision.len());
    if let Some(interval) = vision.intervals.get_mut(frame) {
        interval[1] = interval[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_has_videos() {
        for videos in 3..100 {
            let folds = folds(videos, 7);
            assert_eq!(folds.len(), videos);
            assert!(
                Split::ALL.iter().all(|split| folds.contains(split)),
                "{videos}"
            );
        }
        assert!(folds(0, 7).is_empty());
        let counts = Split::ALL.map(|s| folds(60, 7).iter().filter(|f| **f == s).count());
        assert_eq!(counts, [36, 8, 16]);
    }
}
