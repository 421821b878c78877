//! Files that are read: on disk, or in memory.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use symphonia::core::io::MediaSource;

use crate::error::{MediaError, Result};

/// A recording or a table to read: a file, or the content of one that was sent under a name of its own.
#[derive(Clone, Copy, Debug)]
pub enum MediaFile<'a> {
    /// A file on disk.
    Disk(&'a Path),
    /// The content of a file.
    Memory {
        /// What errors and notes call it; its ending hints at the format of a recording.
        name: &'a Path,
        /// All of its bytes.
        content: &'a Arc<[u8]>,
    },
}

impl<'a> MediaFile<'a> {
    /// What errors call it.
    pub fn name(self) -> &'a Path {
        match self {
            Self::Disk(path) => path,
            Self::Memory { name, .. } => name,
        }
    }

    /// Opens it anew, at its beginning.
    pub(crate) fn open(self) -> Result<OpenFile> {
        match self {
            Self::Disk(path) => {
                let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
                Ok(OpenFile::Disk(file))
            }
            Self::Memory { content, .. } => Ok(OpenFile::Memory(Cursor::new(Arc::clone(content)))),
        }
    }
}

impl<'a> From<&'a Path> for MediaFile<'a> {
    fn from(path: &'a Path) -> Self {
        Self::Disk(path)
    }
}

/// An open [`MediaFile`].
#[derive(Debug)]
pub(crate) enum OpenFile {
    Disk(File),
    Memory(Cursor<Arc<[u8]>>),
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Disk(file) => file.read(buffer),
            Self::Memory(content) => content.read(buffer),
        }
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Disk(file) => file.seek(to),
            Self::Memory(content) => content.seek(to),
        }
    }
}

impl MediaSource for OpenFile {
    fn is_seekable(&self) -> bool {
        match self {
            Self::Disk(file) => file.is_seekable(),
            Self::Memory(_) => true,
        }
    }

    fn byte_len(&self) -> Option<u64> {
        match self {
            Self::Disk(file) => file.byte_len(),
            Self::Memory(content) => Some(content.get_ref().len() as u64),
        }
    }
}
