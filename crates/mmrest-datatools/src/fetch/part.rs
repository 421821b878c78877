//! A partial download, with the server's description of the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Target;
use mmrest_data::files::{self, sync_name};
use mmrest_data::{DataError, Result};

/// What the server said of the file that is being downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// Where it is from.
    pub(super) url: String,
    /// Its version, if the server gives one.
    pub(super) etag: Option<String>,
    /// When it changed last, as the server writes it.
    pub(super) last_modified: Option<String>,
    /// Its size.
    pub(super) total: Option<u64>,
}

impl Note {
    /// What proves to the server that it speaks of the same file: a strong entity tag, or else the date.
    fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        strong.or(self.last_modified.as_deref())
    }
}

/// `NAME.part` and `NAME.part.json`, held by one process at a time.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    note_path: PathBuf,
    file: File,
    note: Note,
    length: u64,
}

impl Part {
    /// Opens what there is of a file, or begins it.
    pub(super) fn open(target: &Target) -> Result<Self> {
        let path = target.beside(".part");
        let note_path = target.beside(".part.json");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| DataError::io(folder, error))?;
        }
        let wrap = |error| DataError::io(&path, error);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(wrap)?;
        lock(&file, &path, target)?;
        let note = read_note(&note_path).filter(|note| note.url == target.url);
        let length = match &note {
            Some(_) if !target.force => file.seek(SeekFrom::End(0)).map_err(wrap)?,
            _ => {
                file.set_len(0).map_err(wrap)?;
                0
            }
        };
        Ok(Self {
            path,
            note_path,
            file,
            note: note.unwrap_or_default(),
            length,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that have arrived.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn note(&self) -> &Note {
        &self.note
    }

    /// Whether all has arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.length > 0 && self.note.total == Some(self.length)
    }

    /// Where to go on and what to show the server, if there is something to go on with.
    pub(super) fn resumption(&self) -> Option<(u64, &str)> {
        let unfinished = self.note.total.is_some_and(|total| self.length < total);
        let validator = self.note.validator()?;
        (self.length > 0 && unfinished).then_some((self.length, validator))
    }

    /// Throws away what there is and begins with what the server says now.
    pub(super) fn restart(&mut self, note: Note) -> Result<()> {
        let wrap = |error| DataError::io(&self.path, error);
        self.file.set_len(0).map_err(wrap)?;
        self.file.seek(SeekFrom::Start(0)).map_err(wrap)?;
        self.length = 0;
        let text = serde_json::to_string(&note).unwrap_or_default();
        files::write(&self.note_path, format!("{text}\n").as_bytes())?;
        self.note = note;
        Ok(())
    }

    /// Adds what has arrived.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| DataError::io(&self.path, error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes through to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| DataError::io(&self.path, error))
    }

    /// Gives the file its own name.
    pub(super) fn rename(self, path: &Path) -> Result<()> {
        let Self {
            path: part,
            note_path,
            file,
            ..
        } = self;
        drop(file);
        std::fs::rename(&part, path).map_err(|error| DataError::io(path, error))?;
        sync_name(path)?;
        let _ = std::fs::remove_file(note_path);
        Ok(())
    }

    /// Throws everything away.
    pub(super) fn discard(self) {
        drop(self.file);
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.note_path);
    }
}

/// A second download of the same file would write into the first one's.
fn lock(file: &File, path: &Path, target: &Target) -> Result<()> {
    let busy = || DataError::Fetch {
        url: target.url.clone(),
        reason: format!(
            "another download is writing {}: wait for it or stop it",
            path.display()
        ),
    };
    match file.try_lock() {
        // Locked only after the other download had renamed it.
        Ok(()) if !path.exists() => Err(busy()),
        Err(TryLockError::WouldBlock) => Err(busy()),
        // A file system without locks: go on without.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

fn read_note(path: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
