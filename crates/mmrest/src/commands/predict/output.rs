//! Where scores go: standard output, or a file that appears with all of them.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

/// The place of the scores.
pub(super) enum Output {
    /// Standard output.
    Stdout(StdoutLock<'static>),
    /// A device or a pipe, which can only be written to as it is.
    Device(BufWriter<File>),
    /// A file, written beside the one it becomes in the end.
    Draft {
        file: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Output {
    /// Opens `path`, or standard output without one. A file that is there stays as it is until [`Output::keep`].
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout(io::stdout().lock()));
        };
        Self::at(path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let Ok(there) = path.metadata() else {
            return Ok(Self::Draft {
                file: BufWriter::new(draft(path)?),
                path: path.to_path_buf(),
            });
        };
        if !there.is_file() {
            let file = File::options().write(true).open(path)?;
            return Ok(Self::Device(BufWriter::new(file)));
        }
        let path = path.canonicalize()?; // a link stays a link
        let file = draft(&path)?;
        file.as_file().set_permissions(there.permissions())?;
        Ok(Self::Draft {
            file: BufWriter::new(file),
            path,
        })
    }

    /// All is written: a file takes its place.
    pub(super) fn keep(mut self) -> Result<()> {
        self.flush().context("cannot write the output")?;
        if let Self::Draft { file, path } = self {
            let place = || format!("cannot write {}", path.display());
            let file = file.into_inner().map_err(|error| error.into_error());
            let file = file.with_context(place)?;
            let kept = file.persist(&path).map_err(|error| error.error);
            kept.with_context(place)?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Device(file) => file.write(bytes),
            Self::Draft { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Device(file) => file.flush(),
            Self::Draft { file, .. } => file.flush(),
        }
    }
}

/// Refuses to put scores in place of the file they are made from, of which a bad line would leave nothing.
pub(super) fn refuse_the_input(input: &Path, output: Option<&Path>) -> Result<()> {
    let input = match input == Path::new("-") {
        true => Path::new("/dev/stdin"), // leads to the file where one is redirected
        false => input,
    };
    let file = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let output = output.and_then(file);
    if output.is_some() && output == file(input) {
        bail!(
            "--output {} is the input: give another file",
            output.unwrap_or_default().display()
        );
    }
    Ok(())
}

/// A new file beside `path`, gone if it is dropped, with the permissions any new file gets.
fn draft(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut prefix = path.file_name().unwrap_or_default().to_os_string();
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    if let Some(permissions) = permissions_of_new_files() {
        builder.permissions(permissions);
    }
    builder.tempfile_in(folder)
}

/// What the system takes the user's mask from; a temporary file is private otherwise.
#[cfg(unix)]
fn permissions_of_new_files() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn permissions_of_new_files() -> Option<Permissions> {
    None
}
