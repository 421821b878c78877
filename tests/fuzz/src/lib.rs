//! What the fuzz targets share: a folder for each process, and the readers of `mmrest-mutation` on what libFuzzer gives.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[cfg(feature = "models")]
mod models;

#[cfg(feature = "models")]
pub use models::{numbered, within};

/// A reader of a folder.
pub type Reader = fn(&Path) -> Result<(), String>;

/// A folder of this process.
pub fn folder(target: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("mmrest-fuzz-{target}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Reads the input as the one file of a folder. A refusal names it.
pub fn one(target: &str, file: &str, input: &[u8], read: Reader) {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| folder(target));
    std::fs::write(folder.join(file), input).expect("a file");
    if let Err(refusal) = read(folder) {
        assert!(refusal.contains(file), "{refusal}");
    }
}
