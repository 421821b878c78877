//! Pickles, packed sets, tables and folders as what is to be scored.

use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, bail};
use mmrest_data::{DataConfig, Kind, Modality};
use mmrest_datatools::inspect::FileKind;

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
        _ => return Ok(None),
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
