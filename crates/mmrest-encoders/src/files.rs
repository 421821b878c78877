//! Reads the files of a Hugging Face directory, and knows those that are not there but only pointed to.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::EncoderError;

/// How a Git LFS pointer begins.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The text of a file that has to be there; `hint` says what it is.
pub(crate) fn read_text(path: &Path, hint: &str) -> Result<String, EncoderError> {
    check_pointer(path)?;
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => EncoderError::MissingFile {
            path: path.into(),
            hint: hint.into(),
        },
        _ => EncoderError::Io {
            path: path.into(),
            source,
        },
    })
}

/// A JSON file, where it is there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EncoderError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = read_text(path, "")?;
    let json = |source| EncoderError::Json {
        path: path.into(),
        source,
    };
    serde_json::from_str(&text).map(Some).map_err(json)
}

/// Refuses a Git LFS pointer: a few lines of text in the place of a large file.
pub(crate) fn check_pointer(path: &Path) -> Result<(), EncoderError> {
    let mut head = Vec::new();
    let read = File::open(path).map(|file| file.take(POINTER.len() as u64).read_to_end(&mut head));
    match read {
        Ok(Ok(_)) if head == POINTER => Err(EncoderError::GitLfsPointer { path: path.into() }),
        _ => Ok(()),
    }
}

const SAFETENSORS: &str = "model.safetensors";
const PYTORCH: &str = "pytorch_model.bin";

/// Whether a directory has weights to load: `model.safetensors` or `pytorch_model.bin`, whole or in shards.
///
/// One with `config.json` and a vocabulary only can still start from scratch, by
/// [`BertConfig::init`](crate::BertConfig::init).
///
/// ```
/// assert!(!mmrest_encoders::has_weights("no/such/folder".as_ref()));
/// ```
pub fn has_weights(dir: &Path) -> bool {
    [SAFETENSORS, PYTORCH]
        .iter()
        .any(|name| dir.join(name).is_file() || dir.join(format!("{name}.index.json")).is_file())
}

/// The files of a directory's weights, in the order of their names: one, or the shards that `*.index.json` lists.
///
/// # Errors
///
/// There are no weights; the list of shards cannot be read, names a file outside the directory, or one that is missing.
///
/// ```
/// let missing = mmrest_encoders::weights_files("no/such/folder".as_ref()).unwrap_err();
/// assert!(missing.to_string().contains("model.safetensors: no such file"));
/// ```
pub fn weights_files(dir: &Path) -> Result<Vec<PathBuf>, EncoderError> {
    for name in [SAFETENSORS, PYTORCH] {
        let whole = dir.join(name);
        if whole.is_file() {
            return Ok(vec![whole]);
        }
        let index = dir.join(format!("{name}.index.json"));
        if index.is_file() {
            return shards(dir, &index);
        }
    }
    Err(EncoderError::MissingFile {
        path: dir.join(SAFETENSORS),
        hint: format!(
            "nor is there a {PYTORCH}; a directory without weights can only start from scratch"
        ),
    })
}

/// The files that an index names.
fn shards(dir: &Path, index: &Path) -> Result<Vec<PathBuf>, EncoderError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let Index { weight_map } = read_json(index)?.unwrap_or(Index {
        weight_map: Default::default(),
    });
    let mut names: Vec<String> = weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    let wrong = |message: String| EncoderError::Weights {
        path: index.into(),
        message,
    };
    if names.is_empty() {
        return Err(wrong("its weight_map names no file".into()));
    }
    let inside = |name: &String| Path::new(name).file_name() == Some(name.as_ref());
    if let Some(name) = names.iter().find(|name| !inside(name)) {
        return Err(wrong(format!(
            "it names {name:?}, which is no file of this directory"
        )));
    }
    let files: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
    match files.iter().find(|path| !path.is_file()) {
        Some(missing) => Err(EncoderError::MissingFile {
            path: missing.clone(),
            hint: format!("{} names it among the weights", index.display()),
        }),
        None => Ok(files),
    }
}
