//! Scores complete data sets: pickles, packed sets, and folders of computational sequences.

use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::inspect::FileKind;
use mmrest_data::{DataConfig, DataError, Kind, Missing, Segment};

use super::scorer::Scorer;

/// How to read an input that is a pickle or a packed set, or a folder with the one that the model was trained on; `None` for
/// other inputs. `config` is the model's own.
pub(super) fn as_set(config: &DataConfig, input: &Path) -> Result<Option<DataConfig>> {
    let Some(path) = set_file(config, input)? else {
        return Ok(None);
    };
    let kind = match FileKind::of(&path)? {
        FileKind::Pickle => Kind::Mmsa,
        FileKind::Packed => Kind::Packed,
        FileKind::Sequence => bail!(
            "{} is a computational sequence: give the folder it is in",
            path.display()
        ),
        FileKind::Hdf5 => bail!("{} is no packed set", path.display()),
        _ => return Ok(None),
    };
    let path = absolute(&path).with_context(|| format!("{}", path.display()))?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let table = config.table.clone();
    Ok(Some(DataConfig {
        kind,
        dir: folder.to_path_buf(),
        file: Some(name.to_string_lossy().into_owned()),
        table: table.filter(|table| kind == Kind::Mmsa && folder.join(table).is_file()),
        missing: Missing::Zero,
        ..config.clone()
    }))
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

/// Scores a complete set, a window at a time; labels and splits are ignored.
pub(super) fn score_set(scorer: &mut Scorer, config: &DataConfig) -> Result<()> {
    let source = mmrest_data::open(config, Path::new(""))?;
    let mut gather = Gather::new(scorer);
    let visited = source.visit(&mut |_, segment| gather.take(segment));
    let left_out: usize = gather.finish(visited)?.dropped.values().sum();
    if left_out > 0 {
        tracing::warn!("{left_out} segments without a label are not scored");
    }
    Ok(())
}

/// The most bytes of segments that are held at a time; a larger one is held alone.
const MOST_BYTES: usize = 64 << 20;

/// Collects segments one by one and scores them in windows.
pub(super) struct Gather<'a> {
    scorer: &'a mut Scorer,
    segments: Vec<Segment>,
    bytes: usize,
    failed: Option<anyhow::Error>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(scorer: &'a mut Scorer) -> Self {
        Self {
            scorer,
            segments: Vec::new(),
            bytes: 0,
            failed: None,
        }
    }

    /// Adds a segment. [`DataError::Stopped`] after an error that [`finish`](Self::finish) returns.
    pub(super) fn take(&mut self, segment: Segment) -> Result<(), DataError> {
        self.scorer.begin();
        let bytes = bytes(&segment);
        let taken = match self.scorer.check(&segment) {
            Err(message) => Err(anyhow!("{}: {message}", segment.id)),
            Ok(()) if self.bytes + bytes > MOST_BYTES => self.score(),
            Ok(()) => Ok(()),
        };
        let scored = taken.and_then(|()| {
            self.bytes += bytes;
            self.segments.push(segment);
            if self.segments.len() >= Scorer::WINDOW {
                self.score()
            } else {
                Ok(())
            }
        });
        scored.map_err(|error| {
            self.failed = Some(error);
            DataError::Stopped
        })
    }

    fn score(&mut self) -> Result<()> {
        self.scorer.score(&self.segments)?;
        self.segments.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Scores the remaining segments. `visited`: the result of visiting all segments.
    pub(super) fn finish<T>(mut self, visited: Result<T, DataError>) -> Result<T> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let visited = visited?;
        self.score()?;
        Ok(visited)
    }
}

fn bytes(segment: &Segment) -> usize {
    let numbers = segment.vision.values.len() + segment.audio.values.len();
    numbers * size_of::<f32>() + segment.text.len()
}
