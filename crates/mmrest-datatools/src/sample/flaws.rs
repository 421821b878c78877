//! What is wrong with real recordings, in small numbers.

use super::noise::{Noise, Purpose};
use super::{Sample, SampleVideo, voice};
use mmrest_data::csd::{Entry, Features};
use mmrest_data::{Split, overlapping};

/// How many segments of each split have no sound.
const MUTE: [(Split, usize); 3] = [(Split::Train, 2), (Split::Valid, 1), (Split::Test, 1)];

/// The label that is out of range.
const TOO_HIGH: f32 = 3.4;

/// The segment of video `index` whose first word begins within the segment before.
pub(super) fn straddling(index: usize) -> Option<usize> {
    index.is_multiple_of(20).then_some(1)
}

/// Adds all flaws but the straddling words, which the timeline makes.
pub(super) fn add(sample: &mut Sample, seed: u64) {
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
