//! What to download, and what came of it.

use std::path::{Path, PathBuf};

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
