//! Pickles and packed sets as what is to be scored.

use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, anyhow, bail};
use mmrest_data::inspect::FileKind;
use mmrest_data::{DataConfig, DataError, Kind, Missing};
use mmrest_learner::Predictor;

use super::output::Output;
use super::{CHUNK, score};

/// How to read an input that is a pickle or a packed set, or a folder with the one that the model was trained on; none for
/// any other. `config` is the model's own.
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

/// Scores a whole set, a chunk at a time; its labels and splits play no part.
pub(super) fn score_set(
    predictor: &Predictor,
    config: &DataConfig,
    output: &mut Output,
) -> Result<()> {
    let source = mmrest_data::open(config, Path::new(""))?;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut failed = None;
    let visited = source.visit(&mut |_, segment| {
        let checked = predictor.check(&segment);
        let scored = match checked.map_err(|message| anyhow!("{}: {message}", segment.id)) {
            Ok(()) if chunk.len() + 1 < CHUNK => {
                chunk.push(segment);
                return Ok(());
            }
            Ok(()) => {
                chunk.push(segment);
                score(predictor, &chunk, output)
            }
            Err(error) => Err(error),
        };
        chunk.clear();
        scored.map_err(|error| {
            failed = Some(error);
            DataError::Stopped
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let left_out: usize = visited?.dropped.values().sum();
    if left_out > 0 {
        tracing::warn!("{left_out} segments without a label are not scored");
    }
    score(predictor, &chunk, output)
}
