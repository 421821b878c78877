//! One program at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::LearnerError;
use crate::files;

/// The time between two tries to take a lock.
const LOOK: Duration = Duration::from_millis(20);

/// Keeps every other program out of a folder for as long as it, or a clone of it, lives: a lock of the operating system on
/// a file in the folder. A program that is killed holds it no longer.
///
/// ```
/// use mmrest_learner::LearnerError;
/// use mmrest_learner::run::FolderLock;
///
/// let folder = tempfile::tempdir()?;
/// let lock = FolderLock::take(folder.path(), "run.lock")?;
/// let second = FolderLock::take(folder.path(), "run.lock");
/// assert!(matches!(second, Err(LearnerError::Busy(_))));
/// drop(lock);
/// FolderLock::take(folder.path(), "run.lock")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FolderLock {
    file: Arc<File>,
    path: PathBuf,
}

impl FolderLock {
    /// Takes the lock `name` of a folder, which is made where it is not there. A file system without locks is trusted.
    ///
    /// # Errors
    ///
    /// [`LearnerError::Busy`] where another program has it; the folder cannot be made or written.
    pub fn take(folder: &Path, name: &str) -> Result<Self, LearnerError> {
        files::make_folder(folder)?;
        let path = folder.join(name);
        loop {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|e| LearnerError::io("write", &path, e))?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(LearnerError::Busy(folder.to_path_buf()));
            }
            // Whoever had it may have removed it meanwhile: then the file is locked, and its name is another's.
            if is_at(&file, &path) {
                return Ok(Self {
                    file: Arc::new(file),
                    path,
                });
            }
        }
    }

    /// As [`take`](Self::take), after waiting for a program that may be about to end.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take), [`LearnerError::Busy`] only after `patience`.
    pub fn take_within(
        folder: &Path,
        name: &str,
        patience: Duration,
    ) -> Result<Self, LearnerError> {
        let began = Instant::now();
        loop {
            match Self::take(folder, name) {
                Err(LearnerError::Busy(_)) if began.elapsed() < patience => {
                    std::thread::sleep(LOOK);
                }
                outcome => return outcome,
            }
        }
    }

    /// That the folder is still the one that was locked.
    ///
    /// # Errors
    ///
    /// It was removed, or another has taken its place.
    pub fn check(&self) -> Result<(), LearnerError> {
        if is_at(&self.file, &self.path) {
            Ok(())
        } else {
            Err(LearnerError::format(
                self.path.parent().unwrap_or(&self.path),
                "is not there any more, or another folder has taken its place: the run in it is lost, start a new one",
            ))
        }
    }

    /// Removes the lock's file, so that its folder can be removed.
    pub fn remove(&self) {
        if is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path); // an empty file more
        }
    }
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: std::fs::Metadata| (found.dev(), found.ino());
    let [open, named] = [file.metadata(), path.metadata()].map(|found| found.map(place).ok());
    open.is_some() && open == named
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists() // an open file cannot be removed there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_removed_or_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("a/run");
        let lock = FolderLock::take(&run, "lock").unwrap();
        lock.check().unwrap();
        if cfg!(unix) {
            std::fs::remove_dir_all(&run).unwrap();
            assert!(
                lock.check()
                    .unwrap_err()
                    .to_string()
                    .contains("run: is not there")
            );
            let other = FolderLock::take(&run, "lock").unwrap();
            assert!(lock.check().is_err());
            lock.remove(); // not its own
            other.check().unwrap();
        }
    }

    #[test]
    fn a_program_that_is_about_to_end_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path(), "lock").unwrap();
        let take =
            |millis| FolderLock::take_within(folder.path(), "lock", Duration::from_millis(millis));
        assert!(matches!(take(50), Err(LearnerError::Busy(_))));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| take(60_000));
            std::thread::sleep(Duration::from_millis(50));
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_clone_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path(), "lock").unwrap();
        let clone = lock.clone();
        drop(lock);
        assert!(FolderLock::take(folder.path(), "lock").is_err());
        clone.remove();
        drop(clone);
        assert!(files::below(folder.path()).unwrap().is_empty());
    }
}
