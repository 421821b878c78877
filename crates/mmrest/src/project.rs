//! Where the project is, and configurations by name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A configuration: its name, its file, and the folder that its relative paths are meant from.
#[derive(Debug, PartialEq)]
pub(crate) struct ConfigFile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) root: PathBuf,
}

impl ConfigFile {
    /// Whether this is the project's own configuration of that name, however it was given.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        let own = self.root.join("configs").join(format!("{name}.toml"));
        let whole = |path: &Path| path.canonicalize().ok();
        whole(&own).is_some_and(|own| whole(&self.path) == Some(own))
    }
}

/// The nearest folder at or above `from` that has `configs/`; `from` itself where there is none.
pub(crate) fn root(from: &Path) -> PathBuf {
    find_root(from).unwrap_or_else(|| from.to_path_buf())
}

/// The project that a run belongs to: the one around the current folder, or else the one around the run's.
pub(crate) fn root_of_run(run: &Path) -> Result<PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let found = find_root(&here).or_else(|| find_root(&here.join(run)));
    Ok(found.unwrap_or(here))
}

fn find_root(from: &Path) -> Option<PathBuf> {
    let found = from
        .ancestors()
        .find(|folder| folder.join("configs").is_dir());
    found.map(Path::to_path_buf)
}

/// Finds a configuration by its name under `configs/`, or by its path.
pub(crate) fn find_config(given: &str) -> Result<ConfigFile> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    find_config_from(given, &here)
}

fn find_config_from(given: &str, here: &Path) -> Result<ConfigFile> {
    let root = root(here);
    let by_path = here.join(given);
    let by_name = root.join("configs").join(format!("{given}.toml"));
    let path = match (by_path.is_file(), by_name.is_file()) {
        (true, _) => by_path,
        (false, true) => by_name,
        (false, false) => bail!(
            "no configuration '{given}': it is neither a file nor one of {} under {}",
            known(&root).join(", "),
            root.join("configs").display()
        ),
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(ConfigFile {
        name: name.into_owned(),
        path,
        root,
    })
}

/// The configurations that have a name.
fn known(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join("configs")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_suffix(".toml")?.to_string())
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_found_by_name_from_below_the_root_and_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("configs")).unwrap();
        std::fs::create_dir_all(root.join("crates/deep")).unwrap();
        std::fs::write(root.join("configs/a.toml"), "").unwrap();
        std::fs::write(root.join("crates/deep/b.toml"), "").unwrap();
        let by_name = find_config_from("a", &root.join("crates/deep")).unwrap();
        assert_eq!((by_name.name.as_str(), by_name.root.as_path()), ("a", root));
        let by_path = find_config_from("b.toml", &root.join("crates/deep")).unwrap();
        assert_eq!(by_path.name, "b");
        assert!(by_name.is_own("a") && !by_name.is_own("b"));
        assert!(!by_path.is_own("b"), "b.toml is not under configs/");
        let by_own_path = find_config_from("../configs/a.toml", &root.join("crates")).unwrap();
        assert!(by_own_path.is_own("a"));
        let error = find_config_from("c", root).unwrap_err().to_string();
        assert!(
            error.contains("'c'") && error.contains("one of a"),
            "{error}"
        );
    }
}
