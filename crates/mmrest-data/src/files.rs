//! Writes files that appear complete or not at all.
//!
//! They are written beside their future path and renamed; what is dropped before is gone. A program that is told to end
//! at once calls [`remove_unfinished`], since nothing is dropped then.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempDir};

use crate::{DataError, Result};

/// Bytes that a writer holds back.
const BUFFER: usize = 1 << 16;

/// Everything of this process that is still being written.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what this process is still writing, for a process that ends without dropping it.
///
/// Nothing can be begun or finished afterwards: a thread that tries waits for the process to end, so that nothing appears
/// behind its back.
pub fn remove_unfinished() {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        // What cannot be removed stays: there is nobody left to tell.
        let _ = if path.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
    }
    std::mem::forget(unfinished);
}

/// A place in the list of what is being written.
#[derive(Debug)]
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        unfinished().remove(&self.0);
    }
}

/// Creates something and puts it on the list, with no moment between.
fn listed<T>(
    create: impl FnOnce() -> std::io::Result<T>,
    path: impl Fn(&T) -> &Path,
) -> std::io::Result<(T, Listed)> {
    let mut unfinished = unfinished();
    let made = create()?;
    let path = path(&made).to_path_buf();
    unfinished.insert(path.clone());
    Ok((made, Listed(path)))
}

/// A file being written beside its future path; dropped without [`keep`](Self::keep) it is gone. It has the permissions
/// any new file gets.
///
/// ```
/// use std::io::Write;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("new/words.txt");
/// let file = mmrest_data::files::NewFile::create(&path)?;
/// file.file().write_all(b"well")?;
/// assert!(!path.exists());
/// file.keep()?;
/// assert_eq!(std::fs::read(&path)?, b"well");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    // Dropped before its place in the list.
    file: NamedTempFile,
    listed: Listed,
}

impl NewFile {
    /// Creates a file in the folder of `path`, and the folder.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        let folder = folder(path);
        make_folder(folder)?;
        let (file, listed) = listed(|| draft(folder), NamedTempFile::path)
            .map_err(|error| DataError::io(path, error))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            listed,
        })
    }

    /// Where the file will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is so far.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Writes into it; the file's own handle keeps it alive.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`].
    pub fn writer(&self) -> Result<BufWriter<File>> {
        let file = self.file().try_clone();
        let file = file.map_err(|error| DataError::io(&self.path, error))?;
        Ok(BufWriter::with_capacity(BUFFER, file))
    }

    /// A file without a name beside it, for what has to wait; gone when dropped.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`].
    pub fn spool(&self) -> Result<File> {
        tempfile::tempfile_in(folder(&self.path)).map_err(|error| DataError::io(&self.path, error))
    }

    /// Puts the file at its path, over whatever is there.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`]; what was there then stays, unless the folder could not be synced.
    pub fn keep(self) -> Result<()> {
        let Self { path, file, listed } = self;
        let wrap = |error| DataError::io(&path, error);
        file.as_file().sync_all().map_err(wrap)?;
        let mut unfinished = unfinished();
        // By the standard library rather than by tempfile, whose system calls tests of power cuts do not see.
        let kept = std::fs::rename(file.path(), &path);
        if kept.is_ok() {
            let _ = file.into_temp_path().keep(); // nothing is there to be removed any more
        }
        unfinished.remove(&listed.0);
        drop(unfinished);
        kept.map_err(wrap)?;
        sync_name(&path)
    }
}

/// How the name of a draft begins and ends.
const DRAFT: &str = ".tmp";

/// A new draft in a folder. It is locked for as long as it is open, so that [`remove_drafts`] leaves it alone.
fn draft(folder: &Path) -> std::io::Result<NamedTempFile> {
    loop {
        let mut builder = tempfile::Builder::new();
        let file = shared(builder.prefix(DRAFT).suffix(DRAFT)).tempfile_in(folder)?;
        let locked = file.as_file().try_lock();
        // Taken for left behind before it was locked, it is gone.
        if locked.is_err() || file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes the drafts that killed programs left in a folder; none that is still being written. A folder that is not there
/// has none.
///
/// # Errors
///
/// [`DataError::Io`].
pub fn remove_drafts(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).map_err(|error| DataError::io(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| DataError::io(folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let inner = name
            .strip_prefix(DRAFT)
            .and_then(|rest| rest.strip_suffix(DRAFT));
        if inner.is_none() || !path.is_file() {
            continue;
        }
        let open = File::options().write(true).open(&path);
        // Somebody's who is still at it, or not ours to touch; another may have been quicker.
        if open.is_ok_and(|file| file.try_lock().is_ok())
            && let Err(error) = std::fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(DataError::io(&path, error));
        }
    }
    Ok(())
}

/// Writes a small file whole or not at all, and the folder it is in.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("notes/today.txt");
/// mmrest_data::files::write(&path, b"nothing")?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"nothing");
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
///
/// # Errors
///
/// [`DataError::Io`]; what was there then stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = NewFile::create(path)?;
    let written = file.file().write_all(bytes);
    written.map_err(|error| DataError::io(path, error))?;
    file.keep()
}

/// A temporary folder; dropped, it is removed with all that is in it.
#[derive(Debug)]
pub struct TempFolder {
    // Dropped before its place in the list.
    folder: TempDir,
    _listed: Listed,
}

impl TempFolder {
    /// Makes a folder in another one, its name beginning with `prefix`.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`].
    pub fn within(folder: &Path, prefix: &str) -> Result<Self> {
        let create = || tempfile::Builder::new().prefix(prefix).tempdir_in(folder);
        let made = listed(create, TempDir::path);
        let (made, _listed) = made.map_err(|error| DataError::io(folder, error))?;
        Ok(Self {
            folder: made,
            _listed,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A path with something after its name: `words.csd` and `.part` make `words.csd.part`.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Whether two paths lead to one file that is there.
pub fn same_file(one: &Path, other: &Path) -> bool {
    let [one, other] = [one, other].map(Path::canonicalize);
    matches!((one, other), (Ok(one), Ok(other)) if one == other)
}

/// Makes a folder and what is missing above it, so that they outlast a power cut.
///
/// # Errors
///
/// [`DataError::Io`].
pub fn make_folder(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = folder(path);
    make_folder(above)?;
    match std::fs::create_dir(path) {
        Err(error) if !(error.kind() == ErrorKind::AlreadyExists && path.is_dir()) => {
            Err(DataError::io(path, error))
        }
        _ => sync_folder(above),
    }
}

/// Makes a rename to `path` lasting: syncs its folder.
///
/// # Errors
///
/// [`DataError::Io`].
pub fn sync_name(path: &Path) -> Result<()> {
    sync_folder(folder(path))
}

/// Makes what was made, renamed or removed in a folder lasting, where the system lets folders be synced.
///
/// # Errors
///
/// [`DataError::Io`] where the system has tried and failed.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let Ok(opened) = File::open(folder) else {
        return Ok(()); // Windows; a folder that may be written and not read
    };
    match opened.sync_all() {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Err(DataError::io(folder, error))
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn what_is_dropped_is_gone_and_off_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = NewFile::create(&folder.path().join("a")).unwrap();
        let temp = TempFolder::within(folder.path(), ".temp-").unwrap();
        let (draft, place) = (file.listed.0.clone(), temp.path().to_path_buf());
        assert!(draft.is_file() && place.is_dir());
        assert!(unfinished().contains(&draft) && unfinished().contains(&place));
        drop((file, temp));
        assert!(names(folder.path()).is_empty());
        assert!(!unfinished().contains(&draft) && !unfinished().contains(&place));
    }

    #[test]
    fn what_is_kept_is_whole_alone_and_off_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for text in ["one", "two"] {
            let file = NewFile::create(&path).unwrap();
            file.file().write_all(text.as_bytes()).unwrap();
            let draft = file.listed.0.clone();
            file.keep().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert!(!unfinished().contains(&draft));
        }
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn drafts_that_nobody_writes_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        remove_drafts(&folder.path().join("nowhere")).unwrap();
        let file = NewFile::create(&folder.path().join("a")).unwrap();
        for name in [".tmpA1b2.tmp", ".tmp", "mine.tmp", "x"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        remove_drafts(folder.path()).unwrap();
        let mut left = names(folder.path());
        left.retain(|name| !file.listed.0.ends_with(name));
        left.sort();
        assert_eq!(left, [".tmp", "mine.tmp", "x"]);
        let mut writer = file.writer().unwrap();
        writer.write_all(b"whole").unwrap();
        drop(writer);
        remove_drafts(folder.path()).unwrap();
        file.keep().unwrap();
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"whole");
    }

    #[test]
    fn folders_are_made_down_to_the_last_and_a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();
        assert!(deep.is_dir());
        let file = folder.path().join("file");
        write(&file, b"1").unwrap();
        let refused = make_folder(&file.join("b")).unwrap_err().to_string();
        assert!(refused.contains("file"), "{refused}");
        assert_eq!(std::fs::read(&file).unwrap(), b"1");
    }

    #[cfg(unix)]
    #[test]
    fn files_are_as_readable_as_any_new_one() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (own, any) = (folder.path().join("own"), folder.path().join("any"));
        write(&own, b"1").unwrap();
        std::fs::write(&any, "1").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&own), mode(&any));
    }
}
