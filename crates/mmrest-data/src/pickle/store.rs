//! The file, read anywhere.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{DataError, Result};

/// A file whose length is known, read at any place and from any thread.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let wrap = |error| DataError::io(path, error);
        let file = File::open(path).map_err(wrap)?;
        let metadata = file.metadata().map_err(wrap)?;
        if metadata.is_dir() {
            let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            return Err(DataError::io(path, error));
        }
        Ok(Self {
            path: path.to_path_buf(),
            length: metadata.len(),
            file: Mutex::new(file),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Fills a buffer from an offset.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let wrap = |error| DataError::io(&self.path, error);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset)).map_err(wrap)?;
        match file.read_exact(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.wrong(offset, "the file became shorter while it was read"))
            }
            other => other.map_err(wrap),
        }
    }

    /// An error at an offset.
    pub(super) fn wrong(&self, offset: u64, reason: impl Into<String>) -> DataError {
        DataError::Pickle {
            path: self.path.clone(),
            offset,
            reason: reason.into(),
        }
    }
}
