//! Aligns computational sequences: writes words and voice of two videos, averages the voice over each word, and prints
//! what comes out.
//!
//! ```sh
//! cargo run --release --example align_sequences
//! ```

use std::path::{Path, PathBuf};

use mmrest_data::csd::{self, ComputationalSequence, Entry, Features};
use mmrest_datatools::align::{AlignConfig, Aligner, Collapse};

/// What is said, each word with its start and end in seconds.
fn words(words: &[(&str, f64, f64)]) -> Entry {
    Entry {
        intervals: words.iter().map(|&(_, start, end)| [start, end]).collect(),
        features: Features::Text(words.iter().map(|(word, ..)| (*word).to_owned()).collect()),
    }
}

/// Ten frames a second, each with the pitch and the energy of the voice.
fn voice(frames: &[[f32; 2]]) -> Entry {
    let start = |frame: usize| frame as f64 / 10.0;
    Entry {
        intervals: (0..frames.len())
            .map(|frame| [start(frame), start(frame + 1)])
            .collect(),
        features: Features::Numeric {
            values: frames.concat(),
            width: 2,
        },
    }
}

fn write(folder: &Path, name: &str, videos: [(&str, Entry); 2]) -> mmrest_data::Result<PathBuf> {
    let path = folder.join(name).with_extension("csd");
    csd::write(&path, name, &csd::metadata(name, "an example"), videos)?;
    Ok(path)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let files = [
        write(
            folder.path(),
            "words",
            [
                (
                    "first",
                    words(&[("what", 0.0, 0.2), ("a", 0.2, 0.3), ("film", 0.3, 0.6)]),
                ),
                ("second", words(&[("dull", 0.1, 0.3)])),
            ],
        )?,
        write(
            folder.path(),
            "voice",
            [
                (
                    "first",
                    voice(&[
                        [210.0, 0.5],
                        [230.0, 0.7],
                        [190.0, 0.2],
                        [200.0, 0.6],
                        [260.0, 0.9],
                        [200.0, 0.6],
                    ]),
                ),
                (
                    "second",
                    voice(&[[120.0, 0.1], [110.0, 0.3], [100.0, 0.1], [0.0, 0.0]]),
                ),
            ],
        )?,
    ];

    let config = AlignConfig {
        collapse: vec![Collapse::Mean],
        ..AlignConfig::to("words")
    };
    let aligner = Aligner::open(&files, config)?;
    let written = aligner.write(&folder.path().join("aligned"), false, &mut |_| true)?;
    println!("{}", written.report);

    let [said, heard] = [0, 1].map(|file| ComputationalSequence::open(&written.files[file]));
    let (said, heard) = (said?, heard?);
    for id in said.ids() {
        let (word, voice) = (said.read(id)?, heard.read(id)?);
        if let (Features::Text(word), Features::Numeric { values, .. }) =
            (word.features, voice.features)
        {
            println!(
                "{id:10} {:5} pitch {:5.1}, energy {:.2}",
                word.concat(),
                values[0],
                values[1]
            );
        }
    }
    Ok(())
}
