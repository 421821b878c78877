//! Scores complete data sets: pickles, packed sets, tables, and folders of computational sequences.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::text::quoted as told;
use mmrest_data::{DataConfig, DataError, Kind, Modality, Segment};
use mmrest_datatools::inspect::FileKind;

use super::scorer::{Place, Scorer};
use crate::project::{near, program, quoted};

/// How to read an input that is a set of segments, and the folder it is in: a pickle, a packed set, a table, or a folder
/// with files that have the names of the model's configuration, `config`; none for JSON lines.
pub(super) fn as_set(config: &DataConfig, input: &Path) -> Result<Option<(DataConfig, PathBuf)>> {
    let Some(path) = set_file(config, input)? else {
        let folder = input
            .is_dir()
            .then(|| (config.clone(), input.to_path_buf()));
        return Ok(folder);
    };
    let kind = match FileKind::of(&path)? {
        FileKind::Pickle => Kind::Mmsa,
        FileKind::Packed => Kind::Packed,
        FileKind::Table => Kind::Table,
        FileKind::Sequence => bail!(
            "{} is a computational sequence: give the folder it is in",
            path.display()
        ),
        FileKind::Hdf5 => bail!("{} is no packed set", path.display()),
        FileKind::Empty => return Ok(None),
        kind if may_be_lines(&path, kind)? => return Ok(None),
        FileKind::Text => bail!("{}", plain_text(&path, &config.columns.text)),
        kind => bail!("{}", no_data(&path, kind)),
    };
    let path = absolute(&path).with_context(|| format!("{}", path.display()))?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let folder = folder.to_path_buf();
    let name = Some(name.to_string_lossy().into_owned());
    let mut config = DataConfig {
        kind,
        ..config.clone()
    };
    if kind == Kind::Table {
        if !config.uses(Modality::Text) {
            bail!(
                "{} is a table, which holds text alone, and the model takes none",
                path.display()
            );
        }
        config.modalities = vec![Modality::Text];
        config.table = name;
    } else {
        config.file = name;
    }
    Ok(Some((config, folder)))
}

/// Whether there may be JSON of segments in a file: an object or an array begins in its first lines.
fn may_be_lines(path: &Path, kind: FileKind) -> Result<bool> {
    if !matches!(
        kind,
        FileKind::Json | FileKind::JsonLines | FileKind::Text | FileKind::Unknown
    ) {
        return Ok(false);
    }
    let wrong = || format!("cannot read {}", path.display());
    let mut head = Vec::new();
    let file = File::open(path).with_context(wrong)?;
    file.take(HEAD).read_to_end(&mut head).with_context(wrong)?;
    let begins = |line: &[u8]| matches!(line.trim_ascii_start().first(), Some(b'{' | b'['));
    let text = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&head);
    let mut lines = text.split(|&byte| byte == b'\n');
    Ok(!head.contains(&0) && (text.trim_ascii().is_empty() || lines.any(begins)))
}

/// Bytes that are looked at to tell whether a file is JSON.
const HEAD: u64 = 1 << 16;

/// How to score plain text, or a table without the column of texts, `column`.
fn plain_text(path: &Path, column: &str) -> String {
    let table = ["csv", "tsv"].map(OsStr::new);
    let first = || {
        let line = BufReader::new(File::open(path).ok()?.take(HEAD))
            .lines()
            .next()?
            .ok()?;
        Some(format!(", which {} does not", told(line.trim())))
    };
    let named = table.contains(&path.extension().unwrap_or_default());
    format!(
        "{} is no data to score, but a text: a table's first line names its columns, {} among them{}; of plain text, one text \
         a line: jq -Rc '{{text: .}}' {} | {} predict RUN -",
        path.display(),
        told(column),
        named.then(first).flatten().unwrap_or_default(),
        quoted(&near(path)),
        program(),
    )
}

/// What a file is that holds no segments, and what would.
fn no_data(path: &Path, kind: FileKind) -> String {
    let is = match kind {
        FileKind::Unknown => "is of no kind that is known here".to_owned(),
        kind => format!("is no data to score, but a {}", kind.name()),
    };
    format!(
        "{} {is}: give JSON (one segment per line, or an array of them), a table (.csv), a pickle, a packed set or a folder; \
         '{} data inspect {}' says more of it",
        path.display(),
        program(),
        quoted(&near(path))
    )
}

/// The file itself, or the one of a folder that the model's configuration names.
fn set_file(config: &DataConfig, input: &Path) -> Result<Option<PathBuf>> {
    if !input.is_dir() {
        // Standard input and pipes are read once, as lines.
        return Ok(input.is_file().then(|| input.to_path_buf()));
    }
    let Some(name) = &config.file else {
        return Ok(None);
    };
    if !matches!(config.kind, Kind::Mmsa | Kind::Packed) {
        return Ok(None);
    }
    let path = input.join(name);
    if !path.is_file() {
        bail!(
            "{} holds no {name}, the file that the model was trained on: give another pickle or packed set by its own name, \
             or JSON lines",
            input.display()
        );
    }
    Ok(Some(path))
}

/// The most bytes of segments that are held at a time; a larger one is held alone.
const MOST_BYTES: usize = 64 << 20;

/// Collects segments one by one and scores them in windows.
pub(super) struct Gather<'a> {
    scorer: &'a mut Scorer,
    segments: Vec<Segment>,
    /// Where each of them is.
    places: Vec<Place>,
    bytes: usize,
    failed: Option<anyhow::Error>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(scorer: &'a mut Scorer) -> Self {
        Self {
            scorer,
            segments: Vec::new(),
            places: Vec::new(),
            bytes: 0,
            failed: None,
        }
    }

    /// Adds a segment. [`DataError::Stopped`] after an error that [`finish`](Self::finish) returns.
    pub(super) fn take(&mut self, segment: Segment) -> Result<(), DataError> {
        let place = segment.id.clone().into();
        self.take_at(segment, place)
    }

    /// As [`take`](Self::take), of a segment with a place of its own.
    pub(super) fn take_at(&mut self, segment: Segment, place: Place) -> Result<(), DataError> {
        self.scorer.begin();
        self.scorer.pulse.read(1, 0);
        let bytes = bytes(&segment);
        let taken = match self.scorer.check(&segment) {
            Err(message) => Err(anyhow!("{}: {message}", segment.id)),
            Ok(()) if self.bytes + bytes > MOST_BYTES => self.score(),
            Ok(()) => Ok(()),
        };
        let scored = taken.and_then(|()| {
            self.bytes += bytes;
            self.places.push(place);
            self.segments.push(segment);
            if self.segments.len() >= Scorer::WINDOW {
                self.score()
            } else {
                Ok(())
            }
        });
        if self.scorer.stopped.is_some() {
            return Err(DataError::Stopped);
        }
        scored.map_err(|error| {
            self.failed = Some(error);
            DataError::Stopped
        })
    }

    fn score(&mut self) -> Result<()> {
        self.scorer.score(&self.segments, &self.places)?;
        self.segments.clear();
        self.places.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Scores the remaining segments. `visited`: the result of visiting all segments.
    pub(super) fn finish(mut self, visited: Result<(), DataError>) -> Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.scorer.stopped.is_some() {
            return Ok(());
        }
        visited?;
        self.score()
    }
}

fn bytes(segment: &Segment) -> usize {
    let numbers = segment.vision.values.len() + segment.audio.values.len();
    numbers * size_of::<f32>() + segment.text.len()
}
