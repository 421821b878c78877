//! The message for files that are not there: all of them, and where they are to be had.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Download;

/// The server of the CMU-MultimodalSDK. It speaks no HTTPS, is slow and often down.
const SERVER: &str = "http://immortal.multicomp.cs.cmu.edu";

/// Folders of the server and what the names of their files contain, after `CMU_MOSI_` or `CMU_MOSEI_`.
const FOLDERS: [(&str, &[&str]); 4] = [
    ("language", &["TimestampedWord", "TimestampedPhones"]),
    ("visual", &["Visual"]),
    ("acoustic", &["COVAREP", "OpenSmile", "openSMILE"]),
    ("labels", &["Label"]),
];

/// Files a configuration names that are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFiles {
    /// All that are missing.
    pub files: Vec<PathBuf>,
    /// The folder the data files belong into.
    pub folder: PathBuf,
    /// The public data set they are part of.
    pub download: Download,
}

impl Download {
    /// Name of the data set and address of its public files.
    fn public(self) -> Option<(&'static str, String)> {
        let name = match self {
            Self::None => return None,
            Self::Mosi => "CMU-MOSI",
            Self::Mosei => "CMU-MOSEI",
        };
        Some((name, format!("{SERVER}/{name}")))
    }
}

/// Where on the server a file is, going by its name.
fn server_folder(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    if !name.starts_with("CMU_MOS") {
        return None;
    }
    let known = |&&(_, parts): &&(_, &[&str])| parts.iter().any(|part| name.contains(part));
    FOLDERS.iter().find(known).map(|&(folder, _)| folder)
}

impl fmt::Display for MissingFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.files.len();
        let s = if count == 1 { "" } else { "s" };
        write!(f, "{count} data file{s} not found:")?;
        let public = self.download.public();
        for path in &self.files {
            write!(f, "\n  {}", path.display())?;
            if let (Some((_, base)), Some(folder)) = (&public, server_folder(path)) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                write!(f, "\n    from {base}/{folder}/{name}")?;
            }
        }
        if let Some((name, base)) = public {
            write!(
                f,
                "\n{name} is public at {base}/; its server is slow and often down."
            )?;
        }
        write!(f, "\nPut data files into {}", self.folder.display())
    }
}
