//! Features of three signals at two sample rates against those of librosa 0.11, and their recordings' decoding.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use mmrest_media::{AudioReader, ClipReader, FeatureSet, resample};
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/audio")
}

fn golden(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(folder().join("features.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let words = tensors.tensor(name).unwrap().data().to_vec();
    let words = words.as_chunks::<4>().0.iter();
    words.map(|&word| f32::from_le_bytes(word)).collect()
}

fn samples(name: &str) -> (Vec<f32>, u32) {
    let mut reader = AudioReader::open(&folder().join(format!("{name}.wav"))).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend(block);
    }
    (samples, reader.sample_rate())
}

/// The largest difference in columns `from..to` of rows of `width`.
fn largest(ours: &[f32], theirs: &[f32], width: usize, from: usize, to: usize) -> (f32, f32) {
    assert_eq!(ours.len(), theirs.len());
    let mut largest = 0f32;
    let (mut sum, mut count) = (0f32, 0f32);
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        if (from..to).contains(&(i % width)) {
            let difference = (ours - theirs).abs();
            largest = largest.max(difference);
            sum += difference;
            count += 1.0;
        }
    }
    (largest, sum / count)
}

const SIGNALS: [&str; 6] = [
    "glide-16000",
    "glide-22050",
    "bursts-16000",
    "bursts-22050",
    "silence-16000",
    "silence-22050",
];

#[test]
fn sims33_equals_librosa() {
    for name in SIGNALS {
        let (samples, rate) = samples(name);
        let ours = FeatureSet::Sims33.compute_at(&samples, rate).values;
        let theirs = golden(&format!("{name}.sims33"));
        assert_eq!(
            largest(&ours, &theirs, 33, 0, 1).0,
            0.0,
            "{name}: zero crossings"
        );
        let mfcc = largest(&ours, &theirs, 33, 1, 21).0;
        // One unit in the last place of the first coefficient of silence, -1131.371.
        assert!(mfcc < 1.3e-4, "{name}: MFCC differ by {mfcc}");
        let (chroma, mean) = largest(&ours, &theirs, 33, 21, 33);
        println!("{name}: MFCC {mfcc:.1e}, chroma {chroma:.1e}, mean {mean:.1e}");
        assert!(chroma < 2e-3, "{name}: chroma differ by {chroma}");
    }
}

#[test]
fn fet33_equals_librosa() {
    for name in SIGNALS {
        let (samples, rate) = samples(name);
        let ours = FeatureSet::Fet33.compute_at(&samples, rate).values;
        let theirs = golden(&format!("{name}.fet33"));
        let mfcc = largest(&ours, &theirs, 33, 0, 20).0;
        assert!(mfcc < 2e-4, "{name}: MFCC differ by {mfcc}");
        assert_eq!(
            largest(&ours, &theirs, 33, 20, 21).0,
            0.0,
            "{name}: zero crossings"
        );
        let chroma = largest(&ours, &theirs, 33, 21, 33).0;
        println!("{name}: MFCC {mfcc:.1e}, chroma {chroma:.1e}");
        assert!(chroma < 2e-3, "{name}: chroma differ by {chroma}");
    }
}

#[test]
fn levels_and_energy_equal_librosa() {
    for name in SIGNALS {
        let (samples, rate) = samples(name);
        let ours = FeatureSet::LogMel.compute_at(&samples, rate).values;
        let mel = largest(
            &ours,
            &golden(&format!("{name}.log_mel_db_htk")),
            128,
            0,
            128,
        )
        .0;
        let ours = FeatureSet::Rms.compute_at(&samples, rate).values;
        let rms = largest(&ours, &golden(&format!("{name}.rms")), 1, 0, 1).0;
        assert!(mel < 2e-3 && rms < 1e-6, "{name}: {mel} dB, {rms}");
    }
}

#[test]
fn clips_shorter_than_a_window_have_frames_and_empty_ones_have_none() {
    let (samples, _) = samples("glide-22050");
    for (length, frames) in [(0, 0), (1, 1), (100, 1), (511, 1), (512, 2), (2047, 4)] {
        for set in FeatureSet::ALL {
            let features = set.compute(&samples[..length]);
            let hop = set.parameters().hop_length;
            let expected = if length == 0 { 0 } else { 1 + length / hop };
            assert_eq!(features.len(), expected, "{set} of {length} samples");
            assert!(hop != 512 || expected == frames);
            assert_eq!(features.width, set.columns().len());
            assert!(features.values.iter().all(|value| value.is_finite()));
        }
    }
}

#[test]
fn resampling_keeps_time_and_tone() {
    let (samples, rate) = samples("glide-16000");
    let ours = resample(&samples, rate, 22_050).unwrap();
    let theirs = golden("glide-16000.resampled_22050_soxr_hq");
    assert_eq!(ours.len(), theirs.len());
    let power = |samples: &[f32]| samples.iter().map(|value| value * value).sum::<f32>();
    let difference: Vec<f32> = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
    let share = power(&difference) / power(&theirs);
    assert!(share < 1e-4, "{share} of the power differs");
}

#[test]
fn compressed_recordings_begin_where_the_sound_does() {
    let (original, _) = samples("glide-22050");
    for (name, loss) in [("flac", 1e-6), ("m4a", 0.05), ("mp3", 0.05), ("ogg", 0.05)] {
        let path = folder().join(format!("glide.{name}"));
        let mut reader = AudioReader::open(&path).unwrap();
        assert_eq!(reader.sample_rate(), 22_050);
        let mut decoded = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            decoded.extend(block);
        }
        let shortest = original.len().min(decoded.len());
        assert!(
            decoded.len().abs_diff(original.len()) < 2400,
            "{name}: {}",
            decoded.len()
        );
        let power: f32 = original.iter().map(|value| value * value).sum();
        let differs: f32 = original[..shortest]
            .iter()
            .zip(&decoded)
            .map(|(a, b)| (a - b) * (a - b))
            .sum();
        let share = differs / power;
        println!("{name}: {share:.1e} of the power differs");
        assert!(share < loss, "{name}: {share} of the power differs");
    }
}

#[test]
fn clips_are_cut_where_they_lie() {
    let (samples, rate) = samples("bursts-16000");
    let open = || ClipReader::new(AudioReader::open(&folder().join("bursts-16000.wav")).unwrap());
    let mut clips = open();
    let place = |seconds: f64| (seconds * f64::from(rate)).round() as usize;
    let cuts = [(0.1, 0.4), (0.2, 0.3), (0.25, 1.0), (0.9, 1.2), (0.9, 9.0)];
    for (i, &(start, end)) in cuts.iter().enumerate() {
        let next = cuts.get(i + 1).map_or(9.0, |&(start, _)| start);
        let expected = &samples[place(start)..place(end).min(samples.len())];
        assert_eq!(
            clips.clip(start, end, next).unwrap(),
            expected,
            "{start} to {end}"
        );
    }
    assert!(clips.clip(7.0, 9.0, 9.0).unwrap().is_empty());
    let seconds = samples.len() as f64 / f64::from(rate);
    assert_eq!(open().finish().unwrap(), seconds);
    assert_eq!(clips.finish().unwrap(), seconds);
}

#[test]
fn a_later_clip_may_begin_within_an_earlier_one() {
    let (samples, rate) = samples("bursts-16000");
    let path = folder().join("bursts-16000.wav");
    let mut clips = ClipReader::new(AudioReader::open(&path).unwrap());
    let place = |seconds: f64| (seconds * f64::from(rate)).round() as usize;
    // A long segment in two clips, then one that begins in the first of them.
    clips.clip(0.0, 0.7, 0.1).unwrap();
    clips.clip(0.7, 1.4, 0.1).unwrap();
    let again = clips.clip(0.1, 0.3, 9.0).unwrap();
    assert_eq!(again, &samples[place(0.1)..place(0.3)]);
}
