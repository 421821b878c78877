//! Readers of data.

use std::path::Path;

use mmrest_data::csd::ComputationalSequence;
use mmrest_data::import::import_utterances;
use mmrest_data::packed::PackedSet;
use mmrest_data::pickle::{Array, Kind as Value, Pickle, Value as Node};
use mmrest_data::table::Table;
use mmrest_data::{DataConfig, DataError, Kind, Modality, SplitFrom, TextFrom};
use mmrest_datatools::inspect::{self, Level, Options};
use mmrest_datatools::sample;

use super::{ANY, CSD, PACKED, PICKLE, TABLE, told};

/// Values of a pickle looked at: what it shares is met again and again, and a list may hold itself.
const VALUES: usize = 100_000;

/// The first error, after everything else was read all the same.
#[derive(Default)]
struct First(Option<DataError>);

impl First {
    fn keep<T>(&mut self, result: Result<T, DataError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.get_or_insert(error);
                None
            }
        }
    }

    fn end(self) -> Result<(), String> {
        self.0.map_or(Ok(()), |error| Err(told(&error)))
    }
}

/// A computational sequence: every entry by itself, every video with its pieces merged.
///
/// # Errors
///
/// What is wrong with it.
pub fn csd(folder: &Path) -> Result<(), String> {
    let mut first = First::default();
    let file = ComputationalSequence::open(&folder.join(CSD));
    if let Some(file) = first.keep(file) {
        for id in file.ids() {
            first.keep(file.read(id));
        }
        for video in file.videos() {
            first.keep(file.read_video(video));
        }
    }
    first.end()
}

/// A packed set: every segment, and the checksums.
///
/// # Errors
///
/// What is wrong with it.
pub fn packed(folder: &Path) -> Result<(), String> {
    let mut first = First::default();
    if let Some(set) = first.keep(PackedSet::open(&folder.join(PACKED))) {
        for row in 0..set.len() {
            first.keep(set.segment(row));
        }
        first.keep(set.verify());
    }
    first.end()
}

/// A pickle: every value, every array.
///
/// # Errors
///
/// What is wrong with it.
pub fn pickle(folder: &Path) -> Result<(), String> {
    let mut first = First::default();
    if let Some(pickle) = first.keep(Pickle::open(&folder.join(PICKLE))) {
        let (mut waiting, mut seen) = (vec![pickle.root()], 0);
        while let Some(value) = waiting.pop()
            && seen < VALUES
        {
            seen += 1 + visit(value, &mut waiting, &mut first);
        }
    }
    first.end()
}

/// Looks at a value, and says how many more it holds.
fn visit<'a>(value: Node<'a>, waiting: &mut Vec<Node<'a>>, first: &mut First) -> usize {
    let mut parts = value.items().unwrap_or_default();
    let entries = value.entries().into_iter().flatten();
    parts.extend(entries.flat_map(|(key, of)| [key, of]));
    let _ = (
        value.as_i64(),
        value.as_f64(),
        value.what(),
        value.get("id"),
    );
    match value.kind() {
        Value::Array(array) | Value::Scalar(array) => elements(array, first),
        Value::Text => drop(first.keep(value.text())),
        _ => {
            // Bytes that are not text are no fault of the pickle.
            drop(value.text());
            first.keep(value.bytes());
        }
    }
    let count = parts.len();
    waiting.append(&mut parts);
    count
}

fn elements(array: &Array, first: &mut First) {
    let rows = array.rows();
    // A row at a time and all at once.
    for range in [0..rows.min(1), rows.saturating_sub(1)..rows, 0..rows] {
        if array.dtype().is_numeric() {
            first.keep(array.rows_f32(range.clone()));
            first.keep(array.rows_f64(range));
        }
    }
    if !array.dtype().is_numeric() {
        // Not text is no fault of the pickle.
        drop(array.texts());
    }
}

/// A pickle of a processed release, as segments.
///
/// # Errors
///
/// What is wrong with it.
pub fn release(folder: &Path) -> Result<(), String> {
    let mut config = DataConfig {
        kind: Kind::Mmsa,
        file: Some(PICKLE.to_owned()),
        ..below(folder)
    };
    let words = visited(&config, folder);
    config.modalities = vec![Modality::Audio, Modality::Vision];
    words.or_else(|_| visited(&config, folder))
}

/// Computational sequences, folds and table, as segments.
///
/// # Errors
///
/// What is wrong with them.
pub fn sequences(folder: &Path) -> Result<(), String> {
    let config = DataConfig {
        labels: sample::LABELS.to_owned(),
        words: Some(sample::WORDS.to_owned()),
        vision: Some(sample::VISION.to_owned()),
        audio: Some(sample::ACOUSTIC.to_owned()),
        folds: sample::FOLDS.into(),
        text_from: TextFrom::Words,
        ..below(folder)
    };
    visited(&config, folder)
}

/// A table: every row, as it is and as segments.
///
/// # Errors
///
/// What is wrong with it.
pub fn table(folder: &Path) -> Result<(), String> {
    let table = Table::read(&folder.join(TABLE)).map_err(|error| told(&error))?;
    let mut first = First::default();
    first.keep(table.check_clip_numbers());
    first.end()?;
    let config = DataConfig {
        kind: Kind::Table,
        modalities: vec![Modality::Text],
        table: Some(TABLE.to_owned()),
        split_from: SplitFrom::Table,
        ..below(folder)
    };
    visited(&config, folder)
}

/// Utterance features of Poria et al., made into computational sequences beside them.
///
/// # Errors
///
/// What is wrong with them.
pub fn utterances(folder: &Path) -> Result<(), String> {
    let file = |name: &str| folder.join(name);
    let out = file("out");
    std::fs::create_dir_all(&out).expect("a folder");
    let report = import_utterances(folder, &file(sample::LABELS), &file(sample::WORDS), &out);
    let report = report.map_err(|error| told(&error))?;
    for path in &report.files {
        ComputationalSequence::open(path).expect("what was written can be read");
    }
    Ok(())
}

/// A file of any kind, as `data inspect` looks at it.
///
/// # Errors
///
/// That the file cannot be opened, or the first problem found in it.
pub fn inspected(folder: &Path) -> Result<(), String> {
    let options = Options {
        check: true,
        ..Options::default()
    };
    let path = folder.join(ANY);
    let found = inspect::inspect(&path, &options).map_err(|error| told(&error))?;
    assert!(!serde_json::to_string(&found).expect("JSON").is_empty());
    let problem = found.findings.iter().find(|f| f.level == Level::Problem);
    problem.map_or(Ok(()), |problem| {
        Err(format!("{}: {}", path.display(), problem.found))
    })
}

fn below(folder: &Path) -> DataConfig {
    DataConfig {
        dir: folder.to_path_buf(),
        ..DataConfig::default()
    }
}

/// Every segment of a data set.
fn visited(config: &DataConfig, root: &Path) -> Result<(), String> {
    let source = mmrest_data::open(config, root).map_err(|error| told(&error))?;
    let visited = source.visit(&mut |_, segment| {
        assert!(segment.vision.values.len() % segment.vision.width.max(1) == 0);
        assert!(segment.audio.values.len() % segment.audio.width.max(1) == 0);
        Ok(())
    });
    visited.map(drop).map_err(|error| told(&error))
}
