//! Files to download, files that are there, and the checksums beside them.

use std::path::{Path, PathBuf};

use mmrest_data::files::{self, beside};
use mmrest_data::{Result, SourceFile};
use serde::Serialize;

use super::Content;
use crate::catalogue::KnownFile;

/// One file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub url: String,
    /// Where it goes.
    pub path: PathBuf,
    /// What it must be.
    pub content: Content,
    /// Its SHA-256 in lowercase hexadecimal, where it is known.
    pub sha256: Option<String>,
    /// Token that is sent with the request (`Authorization: Bearer`); never sent on where the server redirects to.
    pub token: Option<String>,
    /// Fetch it even if it is there, whatever its `.sha256` says.
    pub force: bool,
}

impl Target {
    /// A file of a public data set, from a server, into a folder.
    ///
    /// ```
    /// use mmrest_data::Download;
    /// use mmrest_datatools::{catalogue, fetch::Target};
    ///
    /// let labels = catalogue::find(Download::Mosei, "labels").unwrap();
    /// let target = Target::of(labels, "http://localhost:8000", "data/mosei".as_ref());
    /// assert_eq!(target.url, "http://localhost:8000/CMU-MOSEI/labels/CMU_MOSEI_Labels.csd");
    /// assert!(target.path.ends_with("data/mosei/CMU_MOSEI_Labels.csd"));
    /// ```
    pub fn of(file: &KnownFile, base: &str, folder: &Path) -> Self {
        Self {
            url: file.url(base),
            path: folder.join(file.name),
            content: Content::Sequence {
                root: file.root.map(str::to_owned),
            },
            sha256: None,
            token: None,
            force: false,
        }
    }

    /// Name of the file.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The path with something after its name.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        mmrest_data::files::beside(&self.path, ending)
    }
}

/// Where a file came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It was there already.
    Present,
    /// The server.
    Server,
    /// The user's cache of the Hugging Face hub.
    Cache,
}

/// A file that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// Its address.
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in lowercase hexadecimal.
    pub sha256: String,
    /// Where it came from.
    pub source: Source,
}

/// The file a target asks for, if it is there and whole: of the right content, and of the recorded checksum if there is
/// a record. One without gets it.
pub(super) fn present(target: &Target) -> Result<Option<Fetched>> {
    if target.force || !target.path.is_file() {
        return Ok(None);
    }
    if let Err(reason) = target.content.check_file(&target.path, &target.name()) {
        tracing::warn!("{}: is fetched again: {reason}", target.path.display());
        return Ok(None);
    }
    let file = SourceFile::read(&target.path)?;
    let record = recorded(&target.path);
    let expected = target.sha256.as_ref().or(record.as_ref());
    if expected.is_some_and(|expected| *expected != file.sha256) {
        tracing::warn!(
            "{}: is fetched again: it has another SHA-256",
            target.path.display()
        );
        return Ok(None);
    }
    if record.is_none() {
        record_sha256(&target.path, &file.sha256)?;
    }
    Ok(Some(Fetched {
        path: target.path.clone(),
        url: target.url.clone(),
        bytes: file.bytes,
        sha256: file.sha256,
        source: Source::Present,
    }))
}

/// The checksum that `NAME.sha256` tells of a file, in lowercase.
pub(super) fn recorded(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(beside(path, ".sha256")).ok()?;
    let sha256 = text.split_whitespace().next()?.to_ascii_lowercase();
    is_sha256(&sha256).then_some(sha256)
}

/// Whether a text is a SHA-256 in lowercase hexadecimal.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// Writes `NAME.sha256` as `sha256sum` does, so that `sha256sum -c` checks the file.
pub(super) fn record_sha256(path: &Path, sha256: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("{sha256}  {name}\n");
    files::write(&beside(path, ".sha256"), text.as_bytes())
}
