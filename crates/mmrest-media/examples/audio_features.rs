//! Prints the energy and the loudest pitch class of every second of a recording, or of a made-up one: an octave of tones.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mmrest_media::{AudioReader, ClipReader, FeatureSet, resample};

const PITCHES: [&str; 12] = [
    "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let path = match given {
        Some(path) => path,
        None => tones(&std::env::temp_dir().join("tones.wav"))?,
    };
    let mut clips = ClipReader::new(AudioReader::open(&path)?);
    let rate = clips.reader().sample_rate();
    for second in 0.. {
        let start = f64::from(second);
        let samples = clips.clip(start, start + 1.0, start + 1.0)?;
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

/// Writes a recording of one second for each tone of C major from C4, 16 bits at 16 kHz.
fn tones(path: &Path) -> io::Result<PathBuf> {
    let mut samples: Vec<u8> = Vec::new();
    for semitones in [0, 2, 4, 5, 7, 9, 11, 12] {
        let hertz = 261.626 * 2f64.powf(f64::from(semitones) / 12.0);
        for i in 0..16_000 {
            let phase = std::f64::consts::TAU * hertz * f64::from(i) / 16_000.0;
            samples.extend(((phase.sin() * 8000.0) as i16).to_le_bytes());
        }
    }
    let size = samples.len() as u32;
    let mut file = std::fs::File::create(path)?;
    file.write_all(b"RIFF")?;
    file.write_all(&(36 + size).to_le_bytes())?;
    file.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x01\0")?;
    file.write_all(&16_000u32.to_le_bytes())?;
    file.write_all(&32_000u32.to_le_bytes())?;
    file.write_all(b"\x02\0\x10\0data")?;
    file.write_all(&size.to_le_bytes())?;
    file.write_all(&samples)?;
    Ok(path.to_path_buf())
}
