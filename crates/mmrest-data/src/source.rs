//! Files that a data set was read from, with their checksums.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::text::hex;
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
        Self::read_while(path, &mut || true)
    }

    /// As [`read`](Self::read), as long as `go_on` says so: [`DataError::Stopped`] otherwise.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when it cannot be read; [`DataError::Stopped`].
    pub fn read_while(path: &Path, go_on: &mut dyn FnMut() -> bool) -> Result<Self> {
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
            if !go_on() {
                return Err(DataError::Stopped);
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

/// Does work on other threads, with a flag that is set once `watch` says no: the work looks at it and ends.
pub(crate) fn watched<T: Send>(
    watch: &mut dyn FnMut() -> bool,
    work: impl FnOnce(&AtomicBool) -> T + Send,
) -> T {
    let stop = AtomicBool::new(false);
    let (done, waits) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let _done = done; // dropped at the end of the work, which ends the waiting
            work(&stop)
        });
        while waits.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if !watch() {
                stop.store(true, Ordering::Relaxed);
                break;
            }
        }
        match worker.join() {
            Ok(made) => made,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Time between two looks at whether to go on.
const LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_that_is_not_wanted_any_more_is_not_computed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zeros");
        std::fs::write(&path, vec![0; 3 << 20]).unwrap();
        let mut pieces = 0;
        let stopped = SourceFile::read_while(&path, &mut || {
            pieces += 1;
            pieces < 2
        });
        assert!(matches!(stopped, Err(DataError::Stopped)), "{stopped:?}");
        assert_eq!(pieces, 2);
    }

    #[test]
    fn work_on_other_threads_hears_that_it_is_to_stop() {
        let wait = |stop: &AtomicBool| {
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            "stopped"
        };
        let mut looks = 0;
        let mut watch = || {
            looks += 1;
            looks < 3
        };
        assert_eq!(watched(&mut watch, wait), "stopped");
        assert_eq!(looks, 3);
        assert_eq!(watched(&mut || false, |_| "done"), "done");
    }
}
