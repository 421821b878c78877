//! Features of many columns, cheap to make.

use super::super::noise::{Noise, Purpose};
use super::script::{Mood, Script};
use mmrest_data::csd::{Entry, Features};

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
                values.push(quantise(gain(column) * shown + shift + noise.rough()));
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

#[allow(clippy::cast_possible_truncation)]
fn quantise(value: f64) -> f32 {
    ((value / STEP).round() * STEP) as f32
}
