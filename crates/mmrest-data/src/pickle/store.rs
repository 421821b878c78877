//! The file, read anywhere.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::container::{self, Container};
use crate::{DataError, Result};

/// A file whose length is known, read at any place and from any thread.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
    /// The file's own size, compressed or not.
    on_disk: u64,
}

/// How many times its own size a file is believed to be worth: what unpacks to more is padding.
const EXPANSION: u64 = 4;

/// A compressed file of less is believed to be of this size: a small one may be compressed well.
const SMALL_FILE: u64 = 1 << 20;

impl Store {
    /// Opens a file; one compressed by gzip or xz is unpacked into a temporary file, which goes with the store.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let wrap = |error| DataError::io(path, error);
        let mut file = File::open(path).map_err(wrap)?;
        let metadata = file.metadata().map_err(wrap)?;
        if metadata.is_dir() {
            let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            return Err(DataError::io(path, error));
        }
        let on_disk = metadata.len();
        let mut length = on_disk;
        let mut head = Vec::new();
        let mut start = (&file).take(container::HEAD as u64);
        start.read_to_end(&mut head).map_err(wrap)?;
        let container = Container::of(&head);
        if let Some(packed @ (Container::Gzip | Container::Xz)) = container {
            file = unpacked(path, packed, file, on_disk)?;
            length = file.metadata().map_err(wrap)?.len();
        } else if let Some(container) = container {
            return Err(not_a_pickle(path, container));
        }
        Ok(Self {
            path: path.to_path_buf(),
            length,
            on_disk,
            file: Mutex::new(file),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What bounds the values, steps and texts of the pickle: its length, and where it was compressed no more than a few
    /// times its size on the disk, for a few bytes stand there for a million.
    pub(super) fn worth(&self) -> u64 {
        self.length
            .min(EXPANSION.saturating_mul(self.on_disk.max(SMALL_FILE)))
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

/// The content of a compressed file, in a file without a name.
fn unpacked(path: &Path, packed: Container, mut file: File, length: u64) -> Result<File> {
    let wrap = |error: std::io::Error| {
        let reason = format!("{}, and cannot be unpacked: {error}", packed.what());
        DataError::io(path, std::io::Error::new(error.kind(), reason))
    };
    file.seek(SeekFrom::Start(0)).map_err(wrap)?;
    let content = tempfile::tempfile().map_err(wrap)?;
    let mut writer = std::io::BufWriter::with_capacity(1 << 16, content);
    container::unpack(packed, file, length, &mut writer).map_err(wrap)?;
    writer.flush().map_err(wrap)?;
    let mut content = writer
        .into_inner()
        .map_err(|error| wrap(error.into_error()))?;
    content.seek(SeekFrom::Start(0)).map_err(wrap)?;
    let mut head = Vec::new();
    let mut start = (&content).take(container::HEAD as u64);
    start.read_to_end(&mut head).map_err(wrap)?;
    if head.get(257..262) == Some(b"ustar") {
        let reason = "a compressed archive of files (tar): unpack it first: tar xf FILE";
        return Err(DataError::Pickle {
            path: path.to_path_buf(),
            offset: 0,
            reason: reason.to_owned(),
        });
    }
    match Container::of(&head) {
        Some(container) => Err(not_a_pickle(path, container)),
        None => Ok(content),
    }
}

fn not_a_pickle(path: &Path, container: Container) -> DataError {
    DataError::Pickle {
        path: path.to_path_buf(),
        offset: 0,
        reason: container.sentence(),
    }
}
