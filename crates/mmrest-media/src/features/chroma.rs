//! Chroma of the constant-Q transform: the share of the twelve pitch classes in every frame.
//!
//! The constant-Q transform has 36 bins an octave over seven octaves from C1 (32.703 Hz), moved by the clip's tuning. Each
//! octave uses the same filters: the clip is halved in rate for every octave down (Schoerkhuber and Klapuri, 2010), so the
//! filters of the lowest octave are as short as those of the highest. Conventions are those of librosa 0.11.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::{Complex32, Complex64};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::FftPlanner;

use super::spectrum::{Stft, copy_frame, frame_count, hann};

/// Bins of an octave.
const BINS: usize = 36;
/// Octaves, from C1 up.
const OCTAVES: usize = 7;
/// The pitch C1 in Hz, equal temperament with A4 = 440 Hz.
const C1: f64 = 32.703_195_662_574_83;
/// Of a filter's spectrum the smallest magnitudes, together this share of all, are left out.
const SPARSITY: f64 = 0.01;

/// Chroma of every frame of a clip of this tuning, each frame's largest class being 1 (all 0 in silence): `[frames][12]`.
pub(crate) fn chroma(samples: &[f32], sample_rate: u32, hop: usize, tuning: f64) -> Vec<[f64; 12]> {
    constant_q(samples, sample_rate, hop, tuning)
        .into_iter()
        .map(|bins| {
            let mut classes = [0.0; 12];
            for (bin, magnitude) in bins.into_iter().enumerate() {
                classes[(bin % BINS + 1) / (BINS / 12) % 12] += magnitude;
            }
            let largest = classes.iter().copied().fold(0.0, f64::max);
            // The smallest normal number of 32 bits: below it a frame is silent.
            if largest >= f64::from(f32::MIN_POSITIVE) {
                classes.iter_mut().for_each(|value| *value /= largest);
            }
            classes
        })
        .collect()
}

/// Magnitudes of the constant-Q transform, `[frames][252]`, in single precision.
pub(crate) fn constant_q(
    samples: &[f32],
    sample_rate: u32,
    hop: usize,
    tuning: f64,
) -> Vec<Vec<f64>> {
    let ratio = 2f64.powf(1.0 / BINS as f64);
    // Bandwidth of a bin relative to its frequency.
    let bandwidth = (ratio * ratio - 1.0) / (ratio * ratio + 1.0);
    let lowest = C1 * 2f64.powf(tuning / BINS as f64);
    let frequency = |bin: usize| lowest * 2f64.powf(bin as f64 / BINS as f64);
    let filters_of = |octave: usize, rate: f64| {
        let bins = octave * BINS..(octave + 1) * BINS;
        Filters::new(bins.map(frequency), rate, bandwidth)
    };

    let mut frames: Vec<Vec<f64>> = Vec::new();
    let mut signal = samples.to_vec();
    let (mut rate, mut step) = (f64::from(sample_rate), hop);
    let mut filters = filters_of(OCTAVES - 1, rate);
    let halving = Halving::new();
    for octave in (0..OCTAVES).rev() {
        let bins = octave * BINS..(octave + 1) * BINS;
        let transform = RealFftPlanner::<f32>::new().plan_fft_forward(filters.length);
        let mut frame_in = transform.make_input_vec();
        let mut spectrum = transform.make_output_vec();
        let mut scratch = transform.make_scratch_vec();
        let count = frame_count(signal.len(), step);
        if octave + 1 == OCTAVES {
            frames = vec![vec![0.0; BINS * OCTAVES]; count];
        }
        frames.truncate(count);
        let scale = (f64::from(sample_rate) / rate).sqrt();
        let scales: Vec<f64> = bins
            .clone()
            .map(|bin| scale / (f64::from(sample_rate) / (bandwidth * frequency(bin))).sqrt())
            .collect();
        for (t, frame) in frames.iter_mut().enumerate() {
            copy_frame(&signal, t, step, &mut frame_in);
            let done = transform.process_with_scratch(&mut frame_in, &mut spectrum, &mut scratch);
            debug_assert!(done.is_ok(), "buffers come from the transform");
            let bins = frame[bins.clone()].iter_mut().zip(&filters.spectra);
            for ((value, filter), scale) in bins.zip(&scales) {
                *value = f64::from(filter.apply(&spectrum)) * scale;
            }
        }
        if octave == 0 {
            break;
        }
        if step.is_multiple_of(2) {
            // An octave down at half the rate, the filters are the same.
            signal = halving.apply(&signal);
            rate /= 2.0;
            step /= 2;
        } else {
            filters = filters_of(octave - 1, rate);
        }
    }
    frames
}

/// Filters of an octave, as spectra.
struct Filters {
    /// Samples of a frame, a power of two.
    length: usize,
    spectra: Vec<SparseSpectrum>,
}

/// The bins of a spectrum that matter.
struct SparseSpectrum(Vec<(usize, Complex32)>);

impl SparseSpectrum {
    /// The magnitude of its product with another spectrum.
    fn apply(&self, spectrum: &[Complex32]) -> f32 {
        let products = self.0.iter().map(|&(k, value)| value * spectrum[k]);
        products.sum::<Complex32>().norm_sqr().sqrt()
    }
}

impl Filters {
    fn new(
        frequencies: impl ExactSizeIterator<Item = f64> + Clone,
        rate: f64,
        bandwidth: f64,
    ) -> Self {
        let lengths: Vec<f64> = frequencies
            .clone()
            .map(|frequency| rate / (bandwidth * frequency))
            .collect();
        let longest = lengths.iter().copied().fold(1.0, f64::max);
        let length = (longest.ceil() as usize).next_power_of_two();
        let transform = FftPlanner::new().plan_fft_forward(length);
        let spectrum = |(frequency, support): (f64, &f64)| {
            let mut filter = wavelet(frequency, *support, rate);
            let taps = filter.len();
            filter.resize(length, Complex64::default());
            filter.rotate_right((length - taps) / 2);
            let scale = support / length as f64;
            filter.iter_mut().for_each(|value| *value *= scale);
            transform.process(&mut filter);
            filter.truncate(length / 2 + 1);
            sparse(&filter)
        };
        Self {
            length,
            spectra: frequencies.zip(&lengths).map(spectrum).collect(),
        }
    }
}

/// A complex sinusoid under a Hann window, of absolute sum 1.
fn wavelet(frequency: f64, support: f64, rate: f64) -> Vec<Complex64> {
    let (start, end) = ((-support / 2.0).floor(), (support / 2.0).floor());
    let taps = (end - start) as usize;
    let window = hann(taps);
    let sum: f64 = window.iter().sum();
    window
        .into_iter()
        .enumerate()
        .map(|(i, weight)| {
            let angle = 2.0 * PI * frequency / rate * (start + i as f64);
            Complex64::from_polar(weight / sum, angle)
        })
        .collect()
}

fn sparse(spectrum: &[Complex64]) -> SparseSpectrum {
    let mut magnitudes: Vec<f64> = spectrum.iter().map(|value| value.norm()).collect();
    magnitudes.sort_by(f64::total_cmp);
    let all: f64 = magnitudes.iter().sum();
    let mut sum = 0.0;
    let least = magnitudes.iter().copied().find(|magnitude| {
        sum += magnitude;
        sum >= SPARSITY * all
    });
    let least = least.unwrap_or(0.0);
    let bins = spectrum.iter().copied().enumerate();
    let bins = bins.filter(|(_, value)| value.norm() >= least);
    let single = |value: Complex64| Complex32::new(value.re as f32, value.im as f32);
    SparseSpectrum(bins.map(|(k, value)| (k, single(value))).collect())
}

/// Halves the sample rate, keeping power: a linear-phase low-pass filter with a Kaiser window (attenuation 120 dB, pass
/// band up to 0.91 of the new half rate), applied block by block in the frequency domain, then every second sample.
struct Halving {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    response: Vec<Complex32>,
    /// Taps before the filter's middle.
    half: usize,
}

impl Halving {
    /// Samples of a block.
    const BLOCK: usize = 4096;

    fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(Self::BLOCK);
        let inverse = planner.plan_fft_inverse(Self::BLOCK);
        let mut taps = low_pass();
        let half = taps.len() / 2;
        taps.iter_mut().for_each(|tap| *tap /= Self::BLOCK as f32);
        taps.resize(Self::BLOCK, 0.0);
        let mut response = forward.make_output_vec();
        let done = forward.process(&mut taps, &mut response);
        debug_assert!(done.is_ok(), "buffers come from the transform");
        Self {
            forward,
            inverse,
            response,
            half,
        }
    }

    fn apply(&self, samples: &[f32]) -> Vec<f32> {
        let mut halved = Vec::with_capacity(samples.len().div_ceil(2));
        let mut block = self.forward.make_input_vec();
        let mut spectrum = self.forward.make_output_vec();
        // Of a block's circular convolution what the filter's length lies before is the filtered signal; an even number.
        let step = Self::BLOCK - 2 * self.half;
        for start in (0..samples.len()).step_by(step) {
            let before = self.half.saturating_sub(start);
            let from = start.saturating_sub(self.half);
            let inside = (Self::BLOCK - before).min(samples.len() - from);
            block[..before].fill(0.0);
            block[before..before + inside].copy_from_slice(&samples[from..from + inside]);
            block[before + inside..].fill(0.0);
            let mut done = self.forward.process(&mut block, &mut spectrum);
            let products = spectrum.iter_mut().zip(&self.response);
            products.for_each(|(value, response)| *value *= response);
            // At both ends a real signal's spectrum is real.
            for end in [0, Self::BLOCK / 2] {
                spectrum[end].im = 0.0;
            }
            done = done.and(self.inverse.process(&mut spectrum, &mut block));
            debug_assert!(done.is_ok(), "buffers come from the transforms");
            let length = step.min(samples.len() - start);
            let filtered = &block[2 * self.half..2 * self.half + length];
            halved.extend(filtered.iter().step_by(2));
        }
        halved
    }
}

/// The filter of [`Halving`]: its power makes up for the samples that are left out.
fn low_pass() -> Vec<f32> {
    let attenuation: f64 = 120.0;
    let (pass, stop) = (0.91 * 0.25, 0.25); // cycles a sample
    let width = 2.0 * PI * (stop - pass);
    let order = ((attenuation - 8.0) / (2.285 * width)).ceil() as usize;
    let half = order.div_ceil(2) as isize;
    let beta = 0.1102 * (attenuation - 8.7);
    let cutoff = (pass + stop) / 2.0;
    (-half..=half)
        .map(|i| {
            let sinc = if i == 0 {
                2.0 * cutoff
            } else {
                (2.0 * PI * cutoff * i as f64).sin() / (PI * i as f64)
            };
            let x = i as f64 / half as f64;
            let window = bessel(beta * (1.0 - x * x).max(0.0).sqrt()) / bessel(beta);
            (2f64.sqrt() * sinc * window) as f32
        })
        .collect()
}

/// The modified Bessel function of the first kind, order 0.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..200 {
        let factor = x / (2.0 * f64::from(k));
        term *= factor * factor;
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

/// How far a clip's pitches lie from equal temperament: gathers the peaks of its power spectra, of frames of 2,048 samples
/// every 512 under a Hann window.
pub(crate) struct Tuning {
    bin: f64,
    peaks: Vec<Peak>,
    magnitude: Vec<f64>,
}

struct Peak {
    hertz: f32,
    strength: f32,
}

impl Tuning {
    /// Samples of a frame.
    pub(crate) const LENGTH: usize = 2048;
    /// Samples from one frame to the next.
    pub(crate) const HOP: usize = 512;

    pub(crate) fn new(sample_rate: u32) -> Self {
        Self {
            bin: f64::from(sample_rate) / Self::LENGTH as f64,
            peaks: Vec::new(),
            magnitude: Vec::new(),
        }
    }

    /// Takes the peaks of a power spectrum from 150 Hz to 4 kHz that are at least a tenth of its maximum, refined by a
    /// parabola through three bins.
    pub(crate) fn push(&mut self, power: &[f64]) {
        self.magnitude.clear();
        self.magnitude
            .extend(power.iter().map(|power| power.sqrt()));
        let magnitude = &self.magnitude;
        let threshold = 0.1 * magnitude.iter().copied().fold(0.0, f64::max);
        let loud = |k: usize| {
            if magnitude[k] > threshold {
                magnitude[k]
            } else {
                0.0
            }
        };
        let first = ((150.0 / self.bin) as usize).max(1);
        let last = ((4000.0 / self.bin).ceil() as usize + 1).min(power.len().saturating_sub(1));
        for k in first..last {
            let hertz = k as f64 * self.bin;
            let within = (150.0..4000.0).contains(&hertz);
            if !within || loud(k) <= loud(k - 1) || loud(k) < loud(k + 1) {
                continue;
            }
            let curve = magnitude[k + 1] + magnitude[k - 1] - 2.0 * magnitude[k];
            let slope = 0.5 * (magnitude[k + 1] - magnitude[k - 1]);
            let shift = if slope.abs() >= curve.abs() {
                0.0
            } else {
                -slope / curve
            };
            self.peaks.push(Peak {
                hertz: ((k as f64 + shift) * self.bin) as f32,
                strength: (magnitude[k] + 0.5 * slope * shift) as f32,
            });
        }
    }

    /// The deviation in constant-Q bins, a multiple of 0.01 in [-0.5, 0.5): the most frequent one of the peaks that are as
    /// strong as the median peak; 0 where there is none.
    pub(crate) fn deviation(&self) -> f64 {
        let mut strengths: Vec<f32> = self.peaks.iter().map(|peak| peak.strength).collect();
        strengths.sort_unstable_by(f32::total_cmp);
        let middle = strengths.len() / 2;
        let median = match strengths.len() {
            0 => return 0.0,
            n if n % 2 == 1 => strengths[middle],
            _ => 0.5 * (strengths[middle - 1] + strengths[middle]),
        };
        let mut counts = [0usize; 100];
        for peak in self.peaks.iter().filter(|peak| peak.strength >= median) {
            let octaves = (f64::from(peak.hertz) / 27.5).log2();
            let mut deviation = (BINS as f64 * octaves).rem_euclid(1.0);
            if deviation >= 0.5 {
                deviation -= 1.0;
            }
            let place = ((deviation + 0.5) * 100.0) as usize;
            counts[place.min(99)] += 1;
        }
        let mut most = 0;
        for (place, &count) in counts.iter().enumerate() {
            if count > counts[most] {
                most = place;
            }
        }
        most as f64 / 100.0 - 0.5
    }
}

/// The [`Tuning`] of a clip.
pub(crate) fn tuning(samples: &[f32], sample_rate: u32) -> f64 {
    let mut stft = Stft::new(Tuning::LENGTH, Tuning::HOP, Some(hann(Tuning::LENGTH)));
    let mut tuning = Tuning::new(sample_rate);
    for t in 0..frame_count(samples.len(), Tuning::HOP) {
        tuning.push(stft.power(samples, t));
    }
    tuning.deviation()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, seconds: f64) -> Vec<f32> {
        let count = (seconds * f64::from(rate)) as usize;
        (0..count)
            .map(|i| (2.0 * PI * hertz * i as f64 / f64::from(rate)).sin() as f32)
            .collect()
    }

    #[test]
    fn a_tone_is_its_pitch_class() {
        // A4 and C5.
        for (hertz, class) in [(440.0, 9), (523.251, 0)] {
            let samples = tone(hertz, 22050, 1.0);
            let frames = chroma(&samples, 22050, 512, tuning(&samples, 22050));
            assert_eq!(frames.len(), 44);
            for frame in &frames[4..40] {
                assert_eq!(frame[class], 1.0);
                let others = (0..12).filter(|&other| (other + 12 - class) % 12 > 1);
                let loudest = others.filter(|&other| (class + 12 - other) % 12 > 1);
                assert!(loudest.map(|other| frame[other]).fold(0.0, f64::max) < 0.2);
            }
        }
    }

    #[test]
    fn silence_has_no_pitch() {
        let frames = chroma(&vec![0.0; 11025], 22050, 512, 0.0);
        assert_eq!(frames.len(), 22);
        assert!(frames.iter().flatten().all(|&value| value == 0.0));
    }

    #[test]
    fn halving_keeps_what_lies_below_and_drops_what_lies_above() {
        let power = |samples: &[f32]| {
            let middle = &samples[samples.len() / 4..3 * samples.len() / 4];
            let energy: f32 = middle.iter().map(|value| value * value).sum();
            energy / middle.len() as f32
        };
        let halve = |samples: &[f32]| Halving::new().apply(samples);
        let low = halve(&tone(1000.0, 16000, 0.5));
        assert!((power(&low) - 1.0).abs() < 1e-3, "twice the power a sample");
        assert!(power(&halve(&tone(4100.0, 16000, 0.5))) < 1e-9);
        assert_eq!(halve(&[1.0; 7]).len(), 4);
    }

    #[test]
    fn a_tone_off_pitch_is_found_out_of_tune() {
        let off = 440.0 * 2f64.powf(0.25 / 36.0);
        let found = tuning(&tone(off, 22050, 1.0), 22050);
        assert!((found - 0.25).abs() < 0.1, "{found}");
        assert_eq!(tuning(&[0.0; 4000], 22050), 0.0);
    }
}
