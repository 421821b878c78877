//! Short-time spectra: frames, power spectra, mel filters, cepstral coefficients.
//!
//! The conventions are librosa's: frames are centred on multiples of the hop, the signal is continued by zeros, the window
//! is a periodic Hann window, and a clip of n samples has `1 + n / hop` frames.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

/// A periodic Hann window: `w[i] = 0.5 - 0.5 cos(2 pi i / n)`.
pub(crate) fn hann(length: usize) -> Vec<f64> {
    let step = 2.0 * PI / length as f64;
    (0..length)
        .map(|i| 0.5 - 0.5 * (step * i as f64).cos())
        .collect()
}

/// The number of centred frames of a clip.
pub(crate) fn frame_count(samples: usize, hop: usize) -> usize {
    1 + samples / hop
}

/// Copies the frame that is centred on sample `t * hop` into `frame`, with zeros beyond the clip.
pub(crate) fn copy_frame<T: From<f32>>(samples: &[f32], t: usize, hop: usize, frame: &mut [T]) {
    let (half, centre) = (frame.len() / 2, t * hop);
    let before = half.saturating_sub(centre).min(frame.len());
    let from = (centre + before).saturating_sub(half).min(samples.len());
    let inside = (frame.len() - before).min(samples.len() - from);
    let (head, rest) = frame.split_at_mut(before);
    let (body, tail) = rest.split_at_mut(inside);
    for (value, &sample) in body.iter_mut().zip(&samples[from..]) {
        *value = T::from(sample);
    }
    head.iter_mut()
        .chain(tail)
        .for_each(|value| *value = T::from(0.0));
}

/// The short-time Fourier transform with a window, one frame at a time.
pub(crate) struct Stft {
    window: Option<Vec<f64>>,
    hop: usize,
    transform: Arc<dyn RealToComplex<f64>>,
    frame: Vec<f64>,
    scratch: Vec<Complex64>,
    spectrum: Vec<Complex64>,
    power: Vec<f64>,
}

impl Stft {
    /// Frames of `length` samples, every `hop` samples. Without a window frames are taken as they are.
    pub(crate) fn new(length: usize, hop: usize, window: Option<Vec<f64>>) -> Self {
        let transform = RealFftPlanner::new().plan_fft_forward(length);
        Self {
            window,
            hop,
            frame: vec![0.0; length],
            scratch: transform.make_scratch_vec(),
            spectrum: transform.make_output_vec(),
            power: Vec::with_capacity(length / 2 + 1),
            transform,
        }
    }

    /// The spectrum of frame `t`, `[length / 2 + 1]`.
    pub(crate) fn frame(&mut self, samples: &[f32], t: usize) -> &[Complex64] {
        copy_frame(samples, t, self.hop, &mut self.frame);
        if let Some(window) = &self.window {
            let frame = self.frame.iter_mut();
            frame
                .zip(window)
                .for_each(|(value, weight)| *value *= weight);
        }
        let buffers = (&mut self.frame, &mut self.spectrum);
        let transformed =
            self.transform
                .process_with_scratch(buffers.0, buffers.1, &mut self.scratch);
        debug_assert!(transformed.is_ok(), "buffers come from the transform");
        &self.spectrum
    }

    /// The power spectrum of frame `t`, `[length / 2 + 1]`.
    pub(crate) fn power(&mut self, samples: &[f32], t: usize) -> &[f64] {
        self.frame(samples, t);
        self.power.clear();
        let power = self.spectrum.iter().map(|value| value.norm_sqr());
        self.power.extend(power);
        &self.power
    }
}

/// A triangle of a mel filter bank: weights of a range of bins of the spectrum.
struct Triangle {
    first: usize,
    weights: Vec<f64>,
}

/// Triangular mel filters on the scale of HTK (`2595 log10(1 + f / 700)`), each of area 1 in Hz (Slaney's normalisation).
///
/// Where filters are narrower than a bin, some are empty; they stay, as columns must not move.
pub(crate) struct MelFilters {
    triangles: Vec<Triangle>,
}

impl MelFilters {
    /// `count` filters between 0 Hz and half the sample rate, for spectra of `length / 2 + 1` bins.
    pub(crate) fn new(sample_rate: u32, length: usize, count: usize) -> Self {
        let to_mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
        let to_hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
        let rate = f64::from(sample_rate);
        let top = to_mel(rate / 2.0);
        let edges: Vec<f64> = (0..count + 2)
            .map(|i| to_hertz(top * i as f64 / (count + 1) as f64))
            .collect();
        let bin = rate / length as f64;
        let triangle = |edges: &[f64]| {
            let (low, centre, high) = (edges[0], edges[1], edges[2]);
            let weight = |k: usize| {
                let hertz = k as f64 * bin;
                let rising = (hertz - low) / (centre - low);
                let falling = (high - hertz) / (high - centre);
                2.0 / (high - low) * rising.min(falling).max(0.0)
            };
            let most = ((high / bin).ceil() as usize).min(length / 2);
            let inside: Vec<usize> = ((low / bin) as usize..=most)
                .filter(|&k| weight(k) > 0.0)
                .collect();
            Triangle {
                first: inside.first().copied().unwrap_or(0),
                weights: inside.into_iter().map(weight).collect(),
            }
        };
        Self {
            triangles: edges.windows(3).map(triangle).collect(),
        }
    }

    /// The power in every filter, `[filters]`.
    fn apply(&self, power: &[f64]) -> Vec<f64> {
        let sum = |triangle: &Triangle| {
            let power = &power[triangle.first..];
            let products = triangle.weights.iter().zip(power).map(|(w, p)| w * p);
            products.sum()
        };
        self.triangles.iter().map(sum).collect()
    }
}

/// Parameters of mel spectra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MelConfig {
    pub(crate) sample_rate: u32,
    pub(crate) length: usize,
    pub(crate) hop: usize,
    pub(crate) filters: usize,
}

/// Power in mel filters in dB (reference 1, at least 1e-10), no more than 80 dB below the clip's maximum:
/// `[frames][filters]`. `see` is given the power spectrum of every frame.
pub(crate) fn log_mel(
    samples: &[f32],
    config: MelConfig,
    mut see: impl FnMut(&[f64]),
) -> Vec<Vec<f64>> {
    let filters = MelFilters::new(config.sample_rate, config.length, config.filters);
    let mut stft = Stft::new(config.length, config.hop, Some(hann(config.length)));
    let mut levels: Vec<Vec<f64>> = (0..frame_count(samples.len(), config.hop))
        .map(|t| {
            let power = stft.power(samples, t);
            see(power);
            let decibels = |power: f64| 10.0 * power.max(1e-10).log10();
            filters.apply(power).into_iter().map(decibels).collect()
        })
        .collect();
    let loudest = levels.iter().flatten().copied().fold(f64::MIN, f64::max);
    for level in levels.iter_mut().flatten() {
        *level = level.max(loudest - 80.0);
    }
    levels
}

/// The first `count` mel-frequency cepstral coefficients of log mel spectra: their orthonormal DCT-II, `[frames][count]`.
pub(crate) fn cepstrum(log_mel: &[Vec<f64>], count: usize) -> Vec<Vec<f64>> {
    let filters = log_mel.first().map_or(0, Vec::len);
    let basis: Vec<Vec<f64>> = (0..count)
        .map(|k| {
            let scale = if k == 0 { 1.0 } else { 2.0 } / filters as f64;
            let angle = |m: usize| PI * k as f64 * (2 * m + 1) as f64 / (2 * filters) as f64;
            (0..filters)
                .map(|m| scale.sqrt() * angle(m).cos())
                .collect()
        })
        .collect();
    let project = |levels: &Vec<f64>| {
        let dot = |row: &Vec<f64>| row.iter().zip(levels).map(|(b, level)| b * level).sum();
        basis.iter().map(dot).collect()
    };
    log_mel.iter().map(project).collect()
}

/// Root mean square of every centred frame, with zeros beyond the clip: `[frames]`.
pub(crate) fn rms(samples: &[f32], length: usize, hop: usize) -> Vec<f64> {
    let mut frame = vec![0.0; length];
    (0..frame_count(samples.len(), hop))
        .map(|t| {
            copy_frame(samples, t, hop, &mut frame);
            let energy: f64 = frame.iter().map(|value| value * value).sum();
            (energy / length as f64).sqrt()
        })
        .collect()
}

/// Zero-crossing rate of every centred frame: sign changes per sample, `[frames]`.
///
/// Beyond the clip its first and last sample are repeated; magnitudes up to 1e-10 count as zero, and zero as positive.
pub(crate) fn zero_crossing_rate(samples: &[f32], length: usize, hop: usize) -> Vec<f64> {
    let Some(last) = samples.len().checked_sub(1) else {
        return vec![0.0];
    };
    let half = length / 2;
    let negative = |sample: f32| sample < 0.0 && sample.abs() > 1e-10;
    // Sign changes up to every sample; beyond the clip there are none.
    let mut changes = Vec::with_capacity(samples.len());
    let (mut count, mut before) = (0u32, negative(samples[0]));
    for &sample in samples {
        let now = negative(sample);
        count += u32::from(now != before);
        before = now;
        changes.push(count);
    }
    let upto = |place: usize| changes[place.saturating_sub(half).min(last)];
    (0..frame_count(samples.len(), hop))
        .map(|t| {
            let start = t * hop;
            f64::from(upto(start + length - 1) - upto(start)) / length as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_cosine_crosses_zero_twice_a_period() {
        let samples: Vec<f32> = (0..4096)
            .map(|i| (2.0 * PI * (i as f64 + 0.5) / 64.0).cos() as f32)
            .collect();
        let rate = zero_crossing_rate(&samples, 1024, 512);
        assert_eq!(rate[4], 2.0 * 16.0 / 1024.0);
        assert!(rate[0] < rate[4], "beyond the clip nothing crosses");
    }

    #[test]
    fn the_spectrum_of_a_frame_is_that_of_the_definition() {
        let samples: Vec<f32> = (0..100).map(|i| ((i * i) % 17) as f32 - 8.0).collect();
        let mut stft = Stft::new(16, 5, Some(hann(16)));
        let spectrum = stft.frame(&samples, 3).to_vec();
        for (k, value) in spectrum.iter().enumerate() {
            let mut sum = Complex64::new(0.0, 0.0);
            for (n, weight) in hann(16).into_iter().enumerate() {
                let sample = f64::from(samples[3 * 5 + n - 8]);
                let angle = -2.0 * PI * (k * n) as f64 / 16.0;
                sum += Complex64::from_polar(weight * sample, angle);
            }
            assert!((sum - value).norm() < 1e-10, "bin {k}: {sum} {value}");
        }
    }

    #[test]
    fn filters_have_area_one() {
        let filters = MelFilters::new(22050, 16384, 40);
        let bin = 22050.0 / 16384.0;
        for triangle in &filters.triangles[5..] {
            let area: f64 = triangle.weights.iter().sum::<f64>() * bin;
            assert!((area - 1.0).abs() < 0.02, "{area}");
        }
    }

    #[test]
    fn coefficients_of_a_flat_spectrum_are_its_level_alone() {
        let flat = vec![vec![-100.0; 128]];
        let coefficients = &cepstrum(&flat, 20)[0];
        assert!((coefficients[0] + 100.0 * 128f64.sqrt()).abs() < 1e-9);
        assert!(coefficients[1..].iter().all(|value| value.abs() < 1e-9));
    }
}
