//! Where the project is, and configurations by name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::study::file::is_study;

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

/// What a TOML file under `configs/` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Configuration,
    Study,
}

impl Kind {
    fn of(path: &Path) -> Self {
        match is_study(path) {
            true => Self::Study,
            false => Self::Configuration,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Study => "study",
        }
    }
}

/// Finds a configuration by its name under `configs/`, or by its path.
pub(crate) fn find_config(given: &str) -> Result<ConfigFile> {
    find(given, Kind::Configuration)
}

/// Finds a study likewise.
pub(crate) fn find_study(given: &str) -> Result<ConfigFile> {
    find(given, Kind::Study)
}

fn find(given: &str, kind: Kind) -> Result<ConfigFile> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    find_from(given, kind, &here)
}

fn find_from(given: &str, kind: Kind, here: &Path) -> Result<ConfigFile> {
    let root = root(here);
    let by_path = here.join(given);
    let by_name = root.join("configs").join(format!("{given}.toml"));
    let path = match (by_path.is_file(), by_name.is_file()) {
        (true, _) => by_path,
        (false, true) => by_name,
        (false, false) => bail!(
            "no {} '{given}': it is neither a file nor one of {} under {}",
            kind.name(),
            known(&root, kind).join(", "),
            root.join("configs").display()
        ),
    };
    if Kind::of(&path) != kind {
        bail!(
            "{} is a {}, not a {}",
            path.display(),
            Kind::of(&path).name(),
            kind.name()
        );
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(ConfigFile {
        name: name.into_owned(),
        path,
        root,
    })
}

/// The configurations, or the studies, that have a name.
fn known(root: &Path, kind: Kind) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join("configs")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let name = name.strip_suffix(".toml")?.to_string();
            (Kind::of(&entry.path()) == kind).then_some(name)
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
        let by_name = find_from("a", Kind::Configuration, &root.join("crates/deep")).unwrap();
        assert_eq!((by_name.name.as_str(), by_name.root.as_path()), ("a", root));
        let by_path = find_from("b.toml", Kind::Configuration, &root.join("crates/deep")).unwrap();
        assert_eq!(by_path.name, "b");
        assert!(by_name.is_own("a") && !by_name.is_own("b"));
        assert!(!by_path.is_own("b"), "b.toml is not under configs/");
        let by_own_path = find_from(
            "../configs/a.toml",
            Kind::Configuration,
            &root.join("crates"),
        )
        .unwrap();
        assert!(by_own_path.is_own("a"));
        let error = find_from("c", Kind::Configuration, root)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("'c'") && error.contains("one of a"),
            "{error}"
        );
        std::fs::write(root.join("configs/s.toml"), "[[variant]]\nname = \"x\"").unwrap();
        assert_eq!(find_from("s", Kind::Study, root).unwrap().name, "s");
        for (name, kind, said) in [
            ("s", Kind::Configuration, "s.toml is a study"),
            ("a", Kind::Study, "not a study"),
            ("c", Kind::Study, "one of s under"),
            ("c", Kind::Configuration, "one of a under"),
        ] {
            let error = find_from(name, kind, root).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
