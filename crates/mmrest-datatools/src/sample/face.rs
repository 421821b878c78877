//! The face: action units that show sentiment, others that do not, head pose and gaze.

use super::noise::Noise;
use super::timeline::Timeline;
use super::track::{Drift, record, smooth_step};
use mmrest_data::csd::Entry;

/// Features in a frame.
pub(super) const WIDTH: usize = 12;
/// Frames per second.
const RATE: u32 = 15;

/// What the columns are: the first four show sentiment, `AU25` speech, the others nothing of use.
pub(super) const NAMES: [&str; WIDTH] = [
    "AU12_lip_corner_puller",
    "AU06_cheek_raiser",
    "AU15_lip_corner_depressor",
    "AU04_brow_lowerer",
    "AU25_lips_part",
    "AU45_blink",
    "AU01_inner_brow_raiser",
    "pose_pitch",
    "pose_yaw",
    "pose_roll",
    "gaze_x",
    "gaze_y",
];

/// How far each feature shifts from video to video (face shape, camera).
const SHIFT: [f64; WIDTH] = [0.3, 0.3, 0.3, 0.3, 0.3, 0.1, 0.6, 0.8, 0.8, 0.6, 0.6, 0.6];
/// How much it wanders within a video.
const WANDER: [f64; WIDTH] = [0.3, 0.35, 0.3, 0.35, 0.3, 0.1, 0.5, 0.6, 0.7, 0.5, 0.6, 0.6];
/// How much of a wandering remains after a frame.
const MEMORY: f64 = 0.8;

/// The frames of a video in which segment `i` has the facial valence `valence[i]`.
pub(super) fn face(timeline: &Timeline, valence: &[f64], noise: &mut Noise) -> Entry {
    let shift = SHIFT.map(|deviation| deviation * noise.normal());
    // When in its segment an expression begins and when it is fully there.
    let onsets: Vec<(f64, f64)> = valence
        .iter()
        .map(|_| {
            let begins = noise.between(0.0, 0.2);
            (begins, begins + noise.between(0.08, 0.2))
        })
        .collect();
    let mut drift = Drift::new(MEMORY, WANDER);
    let mut blink = 0.0_f64;
    record::<WIDTH>(RATE, timeline.end, |time| {
        let shown = timeline.segment(time).map_or(0.0, |(i, at)| {
            let (begins, full) = onsets[i];
            // After its apex an expression fades a little.
            valence[i] * smooth_step(begins, full, at) * (1.0 - 0.15 * smooth_step(0.7, 1.0, at))
        });
        blink = if noise.chance(0.05) { 1.0 } else { 0.3 * blink };
        let disturbed = drift.next(noise);
        let signal = expression(shown, timeline.speaks(time), blink);
        std::array::from_fn(|i| signal[i] + shift[i] + disturbed[i])
    })
}

/// Action units of an expression: smiles raise lip corners and cheeks, frowns lower lip corners and brows, and each
/// relaxes the other's a little.
fn expression(shown: f64, speaks: bool, blink: f64) -> [f64; WIDTH] {
    let (smile, frown) = (shown.max(0.0), (-shown).max(0.0));
    let lips = if speaks { 0.8 } else { 0.0 };
    let mut units = [0.0; WIDTH];
    units[..6].copy_from_slice(&[
        smile - 0.4 * frown,
        0.8 * smile - 0.3 * frown,
        0.9 * frown - 0.4 * smile,
        0.8 * frown - 0.3 * smile,
        lips,
        blink,
    ]);
    units
}
