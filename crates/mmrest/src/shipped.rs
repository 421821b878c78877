//! Files that are part of the program: the project's configurations and studies, and the standard folds.
//!
//! `shipped/` holds links to the project's own files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mmrest_data::folds::Folds;
use mmrest_data::{DataConfig, DataError, SplitFrom, files};

use crate::study::file::is_study;

/// Name and text of files below `shipped/`.
macro_rules! shipped {
    ($folder:literal, $ending:literal, $($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../shipped/", $folder, "/", $name, $ending)))),+]
    };
}

/// Whether the texts are no links: where git makes none (Windows without `core.symlinks`), each is the path of its target.
const fn are_files(shipped: &[(&str, &str)]) -> bool {
    let mut at = 0;
    while at < shipped.len() {
        if let [b'.', b'.', b'/', ..] = shipped[at].1.as_bytes() {
            return false;
        }
        at += 1;
    }
    true
}

const _: () = assert!(
    are_files(CONFIGS) && are_files(&FOLDS),
    "crates/mmrest/shipped holds the paths of links in place of files: clone by git -c core.symlinks=true"
);

/// Configurations and studies, by name.
pub(crate) const CONFIGS: &[(&str, &str)] = &shipped!(
    "configs",
    ".toml",
    "ablate",
    "compare",
    "compare-words",
    "fine-tuned",
    "fine-tuned-clusters",
    "fine-tuned-search",
    "kernel",
    "media",
    "mosei",
    "mosei-mmsa",
    "mosi",
    "mosi-mmsa",
    "mosi-text",
    "mosi-timing",
    "mosi-words",
    "ordinal",
    "ordinal-search",
    "sample",
    "sensitivity",
    "sims",
    "table",
);

/// The standard folds, by name of the data set.
const FOLDS: [(&str, &str); 2] = shipped!("folds", ".json", "mosei", "mosi");

/// The names of the studies, or of the configurations.
pub(crate) fn names(studies: bool) -> Vec<&'static str> {
    let of_kind = CONFIGS.iter().filter(|(_, text)| is_study(text) == studies);
    of_kind.map(|(name, _)| *name).collect()
}

/// The configuration or study of that name.
pub(crate) fn config(name: &str) -> Option<&'static str> {
    let found = CONFIGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// Where the standard folds of a data set belong, below the root.
fn place(name: &str) -> PathBuf {
    Path::new("data/folds").join(format!("{name}.json"))
}

/// The standard folds by name: the files in `data/folds` below `root`, or else the program's own.
pub(crate) fn folds(root: &Path) -> Vec<(&'static str, Result<Folds, DataError>)> {
    let read = |(name, text): &(&'static str, &str)| {
        let path = root.join(place(name));
        let folds = if path.is_file() {
            Folds::read(&path)
        } else {
            Folds::parse(text, &path)
        };
        (*name, folds)
    };
    FOLDS.iter().rev().map(read).collect()
}

/// Writes the standard folds where a configuration looks for them, unless they exist; returns the path if it did.
pub(crate) fn ensure_folds(data: &DataConfig, root: &Path) -> Result<Option<PathBuf>> {
    let named = FOLDS.iter().find(|(name, _)| data.folds == place(name));
    let Some((_, text)) = named.filter(|_| data.split_from == SplitFrom::Folds) else {
        return Ok(None);
    };
    let path = root.join(&data.folds);
    if path.exists() || data.folder(root).join(&data.folds).exists() {
        return Ok(None);
    }
    let written = files::write(&path, text.as_bytes());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmrest_learner::Config;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// Name and text of the files of a folder of the project.
    fn files_of(folder: &str, ending: &str) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(workspace().join(folder)).unwrap();
        let mut files: Vec<(String, String)> = entries
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name()?.to_str()?.strip_suffix(ending)?.to_owned();
                Some((name, std::fs::read_to_string(&path).unwrap()))
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn the_program_carries_all_configurations_and_folds_of_the_project() {
        let owned = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|&(a, b)| (a.into(), b.into())).collect()
        };
        assert_eq!(owned(CONFIGS), files_of("configs", ".toml"));
        assert_eq!(owned(&FOLDS), files_of("data/folds", ".json"));
    }

    #[test]
    fn folds_are_written_where_they_are_named_and_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mosi = Config::parse(config("mosi").unwrap(), &[]).unwrap().data;
        let path = ensure_folds(&mosi, root).unwrap().unwrap();
        assert_eq!(path, root.join("data/folds/mosi.json"));
        assert_eq!(ensure_folds(&mosi, root).unwrap(), None);
        let found = || folds(root).swap_remove(0);
        assert_eq!(found().0, "mosi");
        assert_eq!(found().1.unwrap(), Folds::read(&path).unwrap());
        std::fs::write(&path, r#"{"train": ["a"], "valid": ["b"], "test": ["c"]}"#).unwrap();
        assert_eq!(found().1.unwrap().videos().count(), 3, "the folder's win");
        std::fs::write(&path, "{").unwrap();
        assert!(found().1.is_err());
        let sample = Config::parse(config("sample").unwrap(), &[]).unwrap().data;
        assert_eq!(ensure_folds(&sample, root).unwrap(), None);
    }
}
