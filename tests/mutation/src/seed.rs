//! Small valid files of every kind, made here: never real data, nor anything made from them.

mod data;
mod media;
#[cfg(feature = "models")]
mod model;

pub use data::{csd, gzipped, linked, packed, pickle, release, sequences, table, utterances};
pub use media::{features, recordings, segments, transcripts};
#[cfg(feature = "models")]
pub use model::{Run, bert, config, lines, pytorch};

use std::path::Path;

/// The files of a folder and of those below it, as paths from it.
#[must_use]
pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).expect("below").to_path_buf()),
            }
        }
    }
    found.sort();
    found
}
