//! Reading all there is to read in an input.
//!
//! Each function takes a folder and reads the file or files in it whose names are given here, as the program does. What is
//! wrong comes back as the sentence that a user would see.

mod data;
mod media;
#[cfg(feature = "models")]
mod model;

pub use data::{csd, inspected, packed, pickle, release, sequences, table, utterances};
pub use media::{features, recording, segments, transcript};
#[cfg(feature = "models")]
pub use model::{bert, checkpoint, config, model};

/// A computational sequence.
pub const CSD: &str = "input.csd";
/// A packed set.
pub const PACKED: &str = "input.h5";
/// A pickle.
pub const PICKLE: &str = "input.pkl";
/// A table.
pub const TABLE: &str = "label.csv";
/// A table of features, or of segments.
pub const CSV: &str = "input.csv";
/// A file of any of these kinds: it is told by its content.
pub const ANY: &str = "input";
/// A configuration.
pub const CONFIG: &str = "input.toml";

/// An error and the errors that caused it, as the program tells them.
fn told(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        cause = error.source();
    }
    sentence
}
