//! What the tests share.

#![allow(dead_code)]

use std::path::{Path, PathBuf};

use mmrest_data::csd::{self, Entry, Features};
use mmrest_data::{DataConfig, Modality, SplitFrom, TextFrom};

/// A folder of real data beside the workspace, when it is there; says so when it is not.
pub(crate) fn shared_data(name: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared/data").join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no {}", path.display());
    None
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rows of numbers at these times.
pub(crate) fn numbers(rows: &[([f64; 2], &[f32])]) -> Entry {
    Entry {
        intervals: rows.iter().map(|row| row.0).collect(),
        features: Features::Numeric {
            values: rows.iter().flat_map(|row| row.1).copied().collect(),
            width: rows.first().map_or(1, |row| row.1.len()),
        },
    }
}

/// Words at these times.
pub(crate) fn words(rows: &[([f64; 2], &str)]) -> Entry {
    Entry {
        intervals: rows.iter().map(|row| row.0).collect(),
        features: Features::Text(rows.iter().map(|row| row.1.to_owned()).collect()),
    }
}

/// Writes a computational sequence named as its file.
pub(crate) fn write(folder: &Path, name: &str, entries: &[(&str, Entry)]) {
    let root = name.trim_end_matches(".csd");
    let metadata = csd::metadata(root, "made by a test");
    csd::write(&folder.join(name), root, &metadata, entries.iter().cloned()).unwrap();
}

/// CMU-MOSI in a folder: transcripts and split from the table, the voice by word.
pub(crate) fn mosi_config(dir: &Path) -> DataConfig {
    DataConfig {
        dir: dir.to_path_buf(),
        modalities: vec![Modality::Text, Modality::Audio],
        labels: "CMU_MOSI_Opinion_Labels.csd".into(),
        words: Some("CMU_MOSI_ModifiedTimestampedWords.csd".into()),
        table: Some("MOSI-label.csv".into()),
        text_from: TextFrom::Table,
        split_from: SplitFrom::Table,
        folds: "data/folds/mosi.json".into(),
        audio: Some("CMU_MOSI_WordAcoustic.csd".into()),
        ..DataConfig::default()
    }
}
