//! Where the project is, and configurations by name.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use mmrest_learner::Config;
use mmrest_learner::config::closest;
use mmrest_learner::run::RunRecord;

use crate::shipped;
use crate::study::file::is_study;

/// A configuration or a study: its name, where it is, and the folder that its relative paths are meant from.
#[derive(Debug, PartialEq)]
pub(crate) struct ConfigFile {
    pub(crate) name: String,
    source: Source,
    pub(crate) root: PathBuf,
}

/// Where a configuration is.
#[derive(Debug, PartialEq)]
enum Source {
    File(PathBuf),
    /// In the program itself.
    Shipped(&'static str),
}

impl ConfigFile {
    /// Whether this is the project's own configuration of that name, however it was given.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        let Source::File(path) = &self.source else {
            return self.name == name;
        };
        let own = self.root.join("configs").join(format!("{name}.toml"));
        let whole = |path: &Path| path.canonicalize().ok();
        whole(&own).is_some_and(|own| whole(path) == Some(own))
    }

    /// What it is called in messages.
    pub(crate) fn shown(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Shipped(_) => format!("{}.toml of the program", self.name),
        }
    }

    /// Its text.
    pub(crate) fn text(&self) -> Result<Cow<'static, str>> {
        match &self.source {
            Source::File(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Cow::Owned(text))
            }
            Source::Shipped(text) => Ok(Cow::Borrowed(text)),
        }
    }

    /// The configuration that it and `overrides` make.
    pub(crate) fn load(&self, overrides: &[(String, toml::Value)]) -> Result<Config> {
        match &self.source {
            Source::File(path) => Ok(Config::load(path, overrides)?),
            Source::Shipped(text) => Ok(Config::read(text, Path::new(&self.shown()), overrides)?),
        }
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
    fn of(text: &str) -> Self {
        if is_study(text) {
            Self::Study
        } else {
            Self::Configuration
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Study => "study",
        }
    }
}

/// Finds a configuration by its path, by its name under `configs/`, or by its name among the program's own.
pub(crate) fn find_config(given: &str) -> Result<ConfigFile> {
    find(given, Kind::Configuration)
}

/// Finds a study likewise.
pub(crate) fn find_study(given: &str) -> Result<ConfigFile> {
    find(given, Kind::Study)
}

/// The folder of a run: as given, or the newest run of the project for `latest`.
pub(crate) fn find_run(given: &Path) -> Result<PathBuf> {
    if given != Path::new("latest") || given.exists() {
        return Ok(given.to_path_buf());
    }
    let root = root(&here()?);
    newest_run(&root).ok_or_else(|| {
        anyhow!(
            "latest: there is no run under {}; 'train' makes one",
            root.join("runs").display()
        )
    })
}

/// The run under `runs/` that began last, those of studies aside.
fn newest_run(root: &Path) -> Option<PathBuf> {
    let below = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path()))
    };
    let started = |run: PathBuf| {
        let text = std::fs::read_to_string(run.join("run.json")).ok()?;
        let record: RunRecord = serde_json::from_str(&text).ok()?;
        Some((record.started, run))
    };
    let folders = below(root.join("runs")).filter(|folder| !folder.ends_with("studies"));
    // A run that --out has put into `runs` itself, or those of a configuration.
    let runs = folders.flat_map(|folder| std::iter::once(folder.clone()).chain(below(folder)));
    let runs = runs.filter_map(started);
    let newest = runs.max_by(|a, b| a.0.total_cmp(&b.0));
    newest.map(|(_, run)| run)
}

/// The configuration that has this name; none where nothing has.
pub(crate) fn named_config(name: &str) -> Result<Option<ConfigFile>> {
    Ok(by_name(name, &root(&here()?)))
}

/// A path as it is shown: from the current folder where it lies in that.
pub(crate) fn near(path: &Path) -> String {
    let here = here().unwrap_or_default();
    let near = path.strip_prefix(&here).ok();
    let near = near.filter(|near| !near.as_os_str().is_empty());
    near.unwrap_or(path).display().to_string()
}

fn here() -> Result<PathBuf> {
    std::env::current_dir().context("cannot tell the current folder")
}

fn find(given: &str, kind: Kind) -> Result<ConfigFile> {
    find_from(given, kind, &here()?)
}

fn find_from(given: &str, kind: Kind, here: &Path) -> Result<ConfigFile> {
    let root = root(here);
    let by_path = here.join(given);
    let found = if by_path.is_file() {
        let name = by_path.file_stem().unwrap_or_default().to_string_lossy();
        Some(ConfigFile {
            name: name.into_owned(),
            source: Source::File(by_path),
            root: root.clone(),
        })
    } else {
        by_name(given, &root)
    };
    let Some(found) = found else {
        let known = known(&root, kind);
        let meant = closest(given, known.iter().map(String::as_str));
        let meant = meant.map_or(String::new(), |name| format!("did you mean '{name}'? "));
        bail!(
            "no {} '{given}': {meant}it is neither a file nor one of {}, the program's own and those under {}",
            kind.name(),
            known.join(", "),
            root.join("configs").display()
        );
    };
    // What cannot be read is told of when it is read.
    let is = Kind::of(&found.text().unwrap_or_default());
    if is != kind {
        bail!(
            "{} is a {}, not a {}",
            found.shown(),
            is.name(),
            kind.name()
        );
    }
    Ok(found)
}

/// The file of that name under `configs/`, or else what the program has of that name.
fn by_name(name: &str, root: &Path) -> Option<ConfigFile> {
    let path = root.join("configs").join(format!("{name}.toml"));
    let source = if path.is_file() {
        Source::File(path)
    } else {
        Source::Shipped(shipped::config(name)?)
    };
    Some(ConfigFile {
        name: name.to_owned(),
        source,
        root: root.to_path_buf(),
    })
}

/// The configurations, or the studies, that have a name.
fn known(root: &Path, kind: Kind) -> Vec<String> {
    let own = shipped::CONFIGS.iter();
    let own = own.filter(|(_, text)| Kind::of(text) == kind);
    let mut names: Vec<String> = own.map(|(name, _)| (*name).to_owned()).collect();
    let entries = std::fs::read_dir(root.join("configs"));
    names.extend(entries.into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok()?;
        let name = name.strip_suffix(".toml")?.to_string();
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        (Kind::of(&text) == kind).then_some(name)
    }));
    names.sort();
    names.dedup();
    names
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How the program is called where it was started: outside a checkout of the project there is no `cargo xtask`.
pub(crate) fn program() -> &'static str {
    let checkout = here().is_ok_and(|here| {
        let mut folders = here.ancestors();
        folders.any(|folder| folder.join("xtask/Cargo.toml").is_file())
    });
    if checkout { "cargo xtask" } else { "mmrest" }
}

/// Where a page of the book is found, in a checkout or on the web.
pub(crate) fn page(name: &str) -> String {
    let book = match program() {
        "mmrest" => concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/"),
        _ => "",
    };
    format!("{book}docs/src/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("a/b-1.x"), "a/b-1.x");
        assert_eq!(
            quoted("data.modalities=[\"text\"]"),
            "'data.modalities=[\"text\"]'"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_path_below_the_current_folder_is_shown_from_there() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            near(&here.join("runs/a")),
            Path::new("runs/a").display().to_string()
        );
        for elsewhere in [here.as_path(), Path::new("runs/a"), Path::new("/")] {
            assert_eq!(near(elsewhere), elsewhere.display().to_string());
        }
    }

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
        let own = find_from("mosi", Kind::Configuration, root).unwrap();
        assert_eq!(
            own.source,
            Source::Shipped(shipped::config("mosi").unwrap())
        );
        assert_eq!(own.load(&[]).unwrap().data.dir, Path::new("data/mosi"));
        assert!(own.is_own("mosi") && !own.is_own("a"));
        std::fs::write(root.join("configs/mosi.toml"), "").unwrap();
        let found = find_from("mosi", Kind::Configuration, root).unwrap();
        assert_eq!(found.source, Source::File(root.join("configs/mosi.toml")));
        std::fs::write(root.join("configs/s.toml"), "[[variant]]\nname = \"x\"").unwrap();
        assert_eq!(find_from("s", Kind::Study, root).unwrap().name, "s");
        for (name, kind, said) in [
            ("s", Kind::Configuration, "s.toml is a study"),
            ("a", Kind::Study, "not a study"),
            (
                "ablate",
                Kind::Configuration,
                "ablate.toml of the program is a study",
            ),
            (
                "c",
                Kind::Study,
                "one of ablate, compare, compare-words, fine-tuned, fine-tuned-clusters, fine-tuned-search, kernel, ordinal, ordinal-search, s, sensitivity, the",
            ),
            (
                "c",
                Kind::Configuration,
                "one of a, media, mosei, mosei-mmsa, mosi, ",
            ),
        ] {
            let error = find_from(name, kind, root).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
