//! Files that a configuration names and that are not there.

use std::fmt;
use std::path::PathBuf;

use crate::Download;
use crate::text::count;

/// Files a configuration names that are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFiles {
    /// All that are missing.
    pub files: Vec<PathBuf>,
    /// The folder that data files belong in.
    pub folder: PathBuf,
    /// The public data set they are part of.
    pub download: Download,
}

impl fmt::Display for MissingFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not found:", count(self.files.len(), "data file"))?;
        for path in &self.files {
            write!(f, "\n  {}", path.display())?;
        }
        write!(f, "\nPut data files into {}", self.folder.display())
    }
}
