//! A file that appears whole or not at all.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{DataError, Result};

/// A file being written beside its future path; dropped without [`keep`](Self::keep) it is gone.
pub(crate) struct NewFile {
    path: PathBuf,
    folder: PathBuf,
    file: NamedTempFile,
}

impl NewFile {
    /// Creates a file in the folder of `path`, and the folder.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(|error| DataError::io(folder, error))?;
        let file = shared(tempfile::Builder::new().suffix(".tmp"))
            .tempfile_in(folder)
            .map_err(|error| DataError::io(path, error))?;
        Ok(Self {
            path: path.to_path_buf(),
            folder: folder.to_path_buf(),
            file,
        })
    }

    /// Where the file will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes into it; the file's own handle keeps it alive.
    pub(crate) fn writer(&self) -> Result<BufWriter<std::fs::File>> {
        let file = self.file.as_file().try_clone();
        let file = file.map_err(|error| DataError::io(&self.path, error))?;
        Ok(BufWriter::with_capacity(1 << 16, file))
    }

    /// A file without a name beside it, for what has to wait; gone when dropped.
    pub(crate) fn spool(&self) -> Result<std::fs::File> {
        tempfile::tempfile_in(&self.folder).map_err(|error| DataError::io(&self.path, error))
    }

    /// Puts the file at its path, over whatever is there.
    pub(crate) fn keep(self) -> Result<()> {
        let wrap = |error| DataError::io(&self.path, error);
        self.file.as_file().sync_all().map_err(wrap)?;
        self.file
            .persist(&self.path)
            .map_err(|error| wrap(error.error))?;
        Ok(())
    }
}

/// The permissions any new file gets, rather than a temporary file's private ones.
#[cfg(unix)]
fn shared<'a>(
    builder: &'a mut tempfile::Builder<'static, 'static>,
) -> &'a mut tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(std::fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn shared<'a>(
    builder: &'a mut tempfile::Builder<'static, 'static>,
) -> &'a mut tempfile::Builder<'static, 'static> {
    builder
}
