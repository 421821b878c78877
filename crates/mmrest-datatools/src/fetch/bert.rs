//! A folder with a BERT, from the Hugging Face hub or from the user's cache of it.

use std::path::{Path, PathBuf};

use crate::weights::NAMES as WEIGHTS;

use super::check::{check_bert, check_config, check_vocabulary};
use super::probe::{Known, probe};
use super::target::record_sha256;
use super::{Content, Fetched, Fetcher, Hub, ModelName, Progress, Source, Target};
use mmrest_data::files::sync_name;
use mmrest_data::{DataError, Result, SourceFile};

const CONFIG: &str = "config.json";
const VOCABULARY: &str = "vocab.txt";
const TOKENIZER: &str = "tokenizer_config.json";

/// A BERT that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedBert {
    /// Its folder.
    pub folder: PathBuf,
    /// Its files; none are told of a BERT that was there already.
    pub files: Vec<Fetched>,
}

/// Gets a BERT into `folder`: `config.json`, `vocab.txt`, `tokenizer_config.json` if there
/// is one, and `model.safetensors` or else `pytorch_model.bin`; from the hub's cache where that has them all. The folder
/// appears whole or not at all. One that is there and whole stays, unless `force` says otherwise.
///
/// # Errors
///
/// [`DataError::Fetch`] where the hub does not give a file, where the model is no BERT, or where something else is in
/// the folder; [`DataError::Io`]. Files that have arrived wait in `.NAME-*.part` for the next call.
///
/// ```no_run
/// use mmrest_datatools::fetch::{Fetcher, Hub, Policy, Silent, fetch_bert};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fetcher = Fetcher::new(Policy::default());
/// let model = "bert-base-uncased".parse()?;
/// let bert = fetch_bert(&fetcher, &Hub::from_env(), &model, "data/bert/base".as_ref(), false, &Silent)?;
/// assert!(bert.folder.join("config.json").is_file());
/// # Ok(())
/// # }
/// ```
pub fn fetch_bert(
    fetcher: &Fetcher,
    hub: &Hub,
    model: &ModelName,
    folder: &Path,
    force: bool,
    progress: &dyn Progress,
) -> Result<FetchedBert> {
    if folder.exists() && !force {
        let whole = check_bert(folder);
        whole.map_err(|reason| {
            refused(
                &folder.display().to_string(),
                format!("the folder is there but holds no whole BERT ({reason}): move it away, or fetch by force"),
            )
        })?;
        return Ok(FetchedBert {
            folder: folder.to_path_buf(),
            files: Vec::new(),
        });
    }
    let job = Job {
        folder,
        fetcher,
        hub,
        model,
        progress,
    };
    let (staging, mut files) = match job.cached().filter(|_| !force) {
        Some(cached) => job.copy(cached)?,
        None => job.download()?,
    };
    check_bert(&staging).map_err(|reason| {
        let _ = std::fs::remove_dir_all(&staging);
        refused(&job.hub_address(), reason.to_string())
    })?;
    swap(&staging, folder)?;
    for file in &mut files {
        file.path = folder.join(file.path.file_name().unwrap_or_default());
    }
    let folder = folder.to_path_buf();
    Ok(FetchedBert { folder, files })
}

fn refused(url: &str, reason: String) -> DataError {
    DataError::Fetch {
        url: url.to_owned(),
        reason,
    }
}

/// One model to get.
struct Job<'a> {
    folder: &'a Path,
    fetcher: &'a Fetcher,
    hub: &'a Hub,
    model: &'a ModelName,
    progress: &'a dyn Progress,
}

impl Job<'_> {
    fn hub_address(&self) -> String {
        format!("{}/{}", self.hub.endpoint.trim_end_matches('/'), self.model)
    }

    /// The folder that files wait in until all are there; one for each version of the model, so that two never mix. Of
    /// an unknown version nothing is resumed.
    fn staging(&self, version: Option<&str>) -> Result<PathBuf> {
        let Some(name) = self.folder.file_name() else {
            let reason = "it names no folder to put a BERT into".to_owned();
            return Err(refused(&self.folder.display().to_string(), reason));
        };
        let parent = self
            .folder
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|error| DataError::io(parent, error))?;
        let prefix = format!(".{}-", name.to_string_lossy());
        let current = version.map(|version| format!("{prefix}{version}.part"));
        let entries = std::fs::read_dir(parent).map_err(|error| DataError::io(parent, error))?;
        for entry in entries.flatten() {
            let other = entry.file_name().to_string_lossy().into_owned();
            let version = other.strip_prefix(&prefix);
            let version = version.and_then(|rest| rest.strip_suffix(".part"));
            // Another folder's name may begin with this one's.
            let old = version.is_some_and(|version| !version.contains(['-', '.']));
            if old && Some(&other) != current.as_ref() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let staging = parent.join(current.unwrap_or_else(|| format!("{prefix}unknown.part")));
        std::fs::create_dir_all(&staging).map_err(|error| DataError::io(&staging, error))?;
        Ok(staging)
    }

    /// The files in the user's cache, if it has all that are needed.
    fn cached(&self) -> Option<Vec<PathBuf>> {
        let find = |name: &str| self.hub.cached(self.model, name);
        let weights = WEIGHTS.into_iter().find_map(find)?;
        let needed = [find(CONFIG)?, find(VOCABULARY)?, weights];
        Some(needed.into_iter().chain(find(TOKENIZER)).collect())
    }

    fn copy(&self, cached: Vec<PathBuf>) -> Result<(PathBuf, Vec<Fetched>)> {
        let staging = self.staging(None)?;
        let mut files = Vec::new();
        for from in cached {
            let name = from.file_name().unwrap_or_default().to_string_lossy();
            let path = staging.join(&*name);
            std::fs::copy(&from, &path).map_err(|error| DataError::io(&from, error))?;
            let file = std::fs::File::open(&path).and_then(|file| file.sync_all());
            file.map_err(|error| DataError::io(&path, error))?;
            let SourceFile { bytes, sha256, .. } = SourceFile::read(&path)?;
            record_sha256(&path, &sha256)?;
            files.push(Fetched {
                url: self.hub.url(self.model, &name),
                path,
                bytes,
                sha256,
                source: Source::Cache,
            });
        }
        Ok((staging, files))
    }

    /// Small files first: a model that is no BERT is refused before its weights are fetched.
    fn download(&self) -> Result<(PathBuf, Vec<Fetched>)> {
        let config = self.known(CONFIG)?.ok_or_else(|| self.lacks(CONFIG))?;
        let staging = self.staging(config.commit.as_deref())?;
        let refuse = |reason| {
            let _ = std::fs::remove_dir_all(&staging);
            refused(&self.hub_address(), reason)
        };
        let mut files = vec![self.file(&staging, CONFIG, &config)?];
        check_config(&staging.join(CONFIG)).map_err(refuse)?;
        let vocabulary = self
            .known(VOCABULARY)?
            .ok_or_else(|| self.lacks(VOCABULARY))?;
        self.same_version(&config, &vocabulary)?;
        files.push(self.file(&staging, VOCABULARY, &vocabulary)?);
        check_vocabulary(&staging).map_err(refuse)?;
        if let Some(tokenizer) = self.known(TOKENIZER)? {
            self.same_version(&config, &tokenizer)?;
            files.push(self.file(&staging, TOKENIZER, &tokenizer)?);
        }
        let (name, weights) = self.weights()?;
        self.same_version(&config, &weights)?;
        files.push(self.file(&staging, name, &weights)?);
        Ok((staging, files))
    }

    fn weights(&self) -> Result<(&'static str, Known)> {
        for name in WEIGHTS {
            if let Some(known) = self.known(name)? {
                return Ok((name, known));
            }
        }
        Err(self.lacks(&WEIGHTS.join(" or ")))
    }

    fn lacks(&self, name: &str) -> DataError {
        refused(
            &self.hub_address(),
            format!("there is no such model, or it has no {name} (404)"),
        )
    }

    fn known(&self, name: &str) -> Result<Option<Known>> {
        let url = self.hub.url(self.model, name);
        probe(self.fetcher, &url, self.hub.token.as_deref(), self.progress)
    }

    fn file(&self, staging: &Path, name: &str, known: &Known) -> Result<Fetched> {
        let target = Target {
            url: known.url.clone(),
            path: staging.join(name),
            content: Content::Any,
            sha256: known.sha256.clone(),
            token: self.hub.token.clone(),
            force: false,
        };
        let fetched = self.fetcher.fetch(&target, self.progress)?;
        // What an earlier call got was got from the hub all the same.
        let source = Source::Server;
        Ok(Fetched { source, ..fetched })
    }

    /// A model that is changed while it is fetched would be put together from two.
    fn same_version(&self, one: &Known, other: &Known) -> Result<()> {
        if one.commit == other.commit {
            return Ok(());
        }
        let reason = "the model changed on the hub meanwhile: run it again".to_owned();
        Err(refused(&self.hub_address(), reason))
    }
}

/// Puts the finished folder into its place. An old one makes room, if nothing but a BERT's files would be lost with it.
fn swap(staging: &Path, folder: &Path) -> Result<()> {
    let wrap = |error| DataError::io(folder, error);
    if !folder.exists() {
        std::fs::rename(staging, folder).map_err(wrap)?;
        return sync_name(folder);
    }
    for entry in std::fs::read_dir(folder).map_err(wrap)? {
        let name = entry.map_err(wrap)?.file_name();
        if !is_own(&name.to_string_lossy()) {
            let reason =
                format!("the folder holds {name:?}, which is none of a BERT's files: move it away");
            return Err(refused(&folder.display().to_string(), reason));
        }
    }
    let old = staging.with_extension("old");
    std::fs::rename(folder, &old).map_err(wrap)?;
    if let Err(error) = std::fs::rename(staging, folder) {
        let _ = std::fs::rename(&old, folder);
        return Err(wrap(error));
    }
    sync_name(folder)?;
    std::fs::remove_dir_all(&old).map_err(|error| DataError::io(&old, error))
}

/// Whether a file is one that is fetched, or belongs to one.
fn is_own(name: &str) -> bool {
    let name = name.strip_suffix(".sha256").unwrap_or(name);
    [CONFIG, VOCABULARY, TOKENIZER].contains(&name) || WEIGHTS.contains(&name)
}
