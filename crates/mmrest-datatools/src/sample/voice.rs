//! The voice: pitch, energy and voice quality, of which some rise or fall with sentiment.

use super::noise::Noise;
use super::timeline::Timeline;
use super::track::{Drift, record};
use mmrest_data::csd::Entry;

/// Features in a frame.
pub(super) const WIDTH: usize = 10;
/// Frames per second: another rate than the face's.
const RATE: u32 = 20;

/// What the columns are: the first five carry sentiment, `VUV` (voiced or not) tells speech from silence, the
/// others nothing of use.
pub(super) const NAMES: [&str; WIDTH] = [
    "log_F0",
    "log_energy",
    "HNR",
    "NAQ",
    "spectral_tilt",
    "VUV",
    "QOQ",
    "MFCC_1",
    "MFCC_2",
    "MFCC_3",
];

/// Column of the logarithmic energy, which is -inf where a recording is all zero.
pub(super) const ENERGY: usize = 1;
/// Column of the harmonics-to-noise ratio, which is NaN where there is nothing to divide by.
pub(super) const HNR: usize = 2;

/// Column that says whether somebody speaks.
pub(super) const VOICED: usize = 5;

/// Change of each feature with one unit of the voice's valence.
const GAIN: [f64; WIDTH] = [0.8, 0.8, 0.6, -0.7, -0.6, 0.0, 0.0, 0.0, 0.0, 0.0];
/// How far each feature shifts from video to video (speaker, microphone).
const SHIFT: [f64; WIDTH] = [0.3, 0.3, 0.25, 0.25, 0.3, 0.0, 0.5, 0.8, 0.7, 0.7];
/// How much it wanders within a video.
const WANDER: [f64; WIDTH] = [0.35, 0.35, 0.4, 0.4, 0.4, 0.0, 0.5, 0.6, 0.6, 0.6];
/// How much of a wandering remains after a frame.
const MEMORY: f64 = 0.75;
/// Half the distance between low and high voices in `log_F0`.
const VOICE: f64 = 0.8;

/// The frames of a video in which segment `i` is said with the vocal valence `valence[i]`.
pub(super) fn voice(timeline: &Timeline, valence: &[f64], noise: &mut Noise) -> Entry {
    let mut shift = SHIFT.map(|deviation| deviation * noise.normal());
    shift[0] += noise.pick([-VOICE, VOICE]);
    let mut drift = Drift::new(MEMORY, WANDER);
    record::<WIDTH>(RATE, timeline.end, |time| {
        let (heard, at) = timeline
            .segment(time)
            .map_or((0.0, 0.0), |(i, at)| (valence[i], at));
        // Emphasis grows towards the end, where the pitch of a statement falls.
        let emphasis = heard * (0.85 + 0.3 * at);
        let speaks = timeline.speaks(time);
        let disturbed = drift.next(noise);
        std::array::from_fn(|i| {
            let signal = GAIN[i] * emphasis * if speaks { 1.0 } else { 0.5 };
            signal + prosody(i, at, speaks) + shift[i] + disturbed[i]
        })
    })
}

/// What speech does to a feature whatever it means: energy falls in pauses, pitch along a sentence.
fn prosody(feature: usize, at: f64, speaks: bool) -> f64 {
    match (feature, speaks) {
        (0, _) => 0.3 - 0.6 * at,
        (ENERGY, false) => -1.2,
        (VOICED, true) => 1.0,
        _ => 0.0,
    }
}
