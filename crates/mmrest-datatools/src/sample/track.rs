//! Frames at a constant rate, and the kinds of disturbance that every recorded feature has.

use super::noise::Noise;
use mmrest_data::csd::{Entry, Features};

/// Values are stored as multiples of this, as extractors that print a few decimals do; it also halves the files.
const STEP: f64 = 1.0 / 128.0;

/// Frames per second, from 0 to `end` (ms): calls `frame` with the middle of each (ms) for its features.
pub(super) fn record<const W: usize>(
    rate: u32,
    end: u32,
    mut frame: impl FnMut(f64) -> [f64; W],
) -> Entry {
    // At most 2^32 / 50: it fits again.
    let count = (u64::from(end) * u64::from(rate) / 1000) as u32;
    let mut intervals = Vec::new();
    let mut values = Vec::new();
    for k in 0..count {
        let [start, stop] = [k, k + 1].map(|edge| f64::from(edge) / f64::from(rate));
        intervals.push([start, stop]);
        values.extend(frame(500.0 * (start + stop)).map(|value| quantise(value, STEP)));
    }
    Entry {
        intervals,
        features: Features::Numeric { values, width: W },
    }
}

/// The nearest multiple of `step`, a power of two, so that f32 holds it exactly.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn quantise(value: f64, step: f64) -> f32 {
    ((value / step).round() * step) as f32
}

/// Noise that remembers: x' = r x + e, of standard deviation `deviation`, in each of `W` features.
pub(super) struct Drift<const W: usize> {
    state: [f64; W],
    memory: f64,
    deviation: [f64; W],
}

impl<const W: usize> Drift<W> {
    pub(super) fn new(memory: f64, deviation: [f64; W]) -> Self {
        Self {
            state: [0.0; W],
            memory,
            deviation,
        }
    }

    /// The next frame's disturbance.
    pub(super) fn next(&mut self, noise: &mut Noise) -> [f64; W] {
        // Stationary with unit variance: the innovation has variance 1 - r^2.
        let fresh = (1.0 - self.memory * self.memory).sqrt();
        for state in &mut self.state {
            *state = self.memory * *state + fresh * noise.normal();
        }
        std::array::from_fn(|i| self.deviation[i] * self.state[i])
    }
}

/// A smooth step from 0 at `from` to 1 at `to`: 3x^2 - 2x^3.
pub(super) fn smooth_step(from: f64, to: f64, at: f64) -> f64 {
    let x = ((at - from) / (to - from)).clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}
