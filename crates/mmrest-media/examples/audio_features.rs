//! Prints the energy and the loudest pitch class of every second of a recording.

use std::path::PathBuf;

use mmrest_media::{AudioReader, ClipReader, FeatureSet, resample};

const PITCHES: [&str; 12] = [
    "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.ok_or("usage: audio_features FILE")?;
    let mut clips = ClipReader::new(AudioReader::open(&path)?);
    let rate = clips.reader().sample_rate();
    for second in 0.. {
        let start = f64::from(second);
        let samples = clips.clip(start, start + 1.0)?;
        if samples.is_empty() {
            break;
        }
        let samples = resample(&samples, rate, FeatureSet::Rms.parameters().sample_rate)?;
        let energy = FeatureSet::Rms.compute(&samples);
        let energy = energy.values.iter().sum::<f32>() / energy.len() as f32;
        let features = FeatureSet::Sims33.compute(&samples);
        let mut classes = [0f32; 12];
        for row in features.rows() {
            for (sum, chroma) in classes.iter_mut().zip(&row[21..]) {
                *sum += chroma;
            }
        }
        let loudest = (0..12).max_by(|&a, &b| classes[a].total_cmp(&classes[b]));
        println!(
            "{second:4} s  energy {energy:.4}  {}",
            PITCHES[loudest.unwrap_or(0)]
        );
    }
    Ok(())
}
