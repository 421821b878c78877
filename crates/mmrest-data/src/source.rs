//! Which bytes a data set was read from.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{DataError, Result};

/// A file that was read, and what proves it the same file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Where it was.
    pub path: PathBuf,
    /// SHA-256 in lowercase hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

impl SourceFile {
    /// Reads a file once, in pieces, for its size and checksum.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when it cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("abc");
    /// std::fs::write(&path, "abc").unwrap();
    /// let file = mmrest_data::SourceFile::read(&path).unwrap();
    /// assert_eq!(file.bytes, 3);
    /// assert!(file.sha256.starts_with("ba7816bf8f01cfea"));
    /// ```
    pub fn read(path: &Path) -> Result<Self> {
        let wrap = |error| DataError::io(path, error);
        let mut file = File::open(path).map_err(wrap)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            let read = file.read(&mut buffer).map_err(wrap)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            bytes += read as u64;
        }
        let digest = hasher.finalize();
        Ok(Self {
            path: path.to_path_buf(),
            sha256: hex(&digest),
            bytes,
        })
    }
}

/// Lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
