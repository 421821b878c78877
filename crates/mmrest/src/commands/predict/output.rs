//! Where scores go: standard output, or a file that appears with all of them.

use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use mmrest_data::files::NewFile;

/// The place of the scores.
pub(super) enum Output {
    /// Standard output.
    Stdout(BufWriter<StdoutLock<'static>>),
    /// A device or a pipe, which can only be written to as it is.
    Device(BufWriter<File>),
    /// A file, written beside the one it becomes in the end.
    Draft { file: NewFile, out: BufWriter<File> },
}

impl Output {
    /// Opens `path`, or standard output without one. A file that is there stays as it is until [`Output::keep`].
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout().lock())));
        };
        let Ok(there) = path.metadata() else {
            return Self::draft(NewFile::create(path)?);
        };
        if !there.is_file() {
            let file = File::options().write(true).open(path);
            let file = file.with_context(|| cannot_write(path))?;
            return Ok(Self::Device(BufWriter::new(file)));
        }
        let own = path.canonicalize(); // a link stays a link
        let file = NewFile::create(&own.with_context(|| cannot_write(path))?)?;
        let permitted = file.file().set_permissions(there.permissions());
        permitted.with_context(|| cannot_write(path))?;
        Self::draft(file)
    }

    fn draft(file: NewFile) -> Result<Self> {
        let out = file.writer()?;
        Ok(Self::Draft { file, out })
    }

    /// All is written: a file takes its place.
    pub(super) fn keep(mut self) -> Result<()> {
        self.flush().context("cannot write the output")?;
        if let Self::Draft { file, .. } = self {
            file.keep()?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Device(file) => file.write(bytes),
            Self::Draft { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Device(file) => file.flush(),
            Self::Draft { out, .. } => out.flush(),
        }
    }
}

/// Refuses to put scores in place of the file they are made from, of which a bad line would leave nothing.
pub(super) fn refuse_the_input(input: &Path, output: Option<&Path>) -> Result<()> {
    let input = if input == Path::new("-") {
        Path::new("/dev/stdin") // leads to the file where one is redirected
    } else {
        input
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

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
