//! Folders of several files: a BERT directory, a model folder, a run's checkpoints.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mmrest_mutation::seed::{self, Run};
use mmrest_mutation::trial::unseal;

use crate::{Reader, folder};

/// A folder of which any file may be the input, and the files as they are when whole.
struct Whole {
    folder: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// A folder with whole files, and those of them that may be damaged: a BERT directory, a model folder, or the checkpoints
/// of a run with its model beside them.
fn made(target: &str) -> (PathBuf, Vec<PathBuf>) {
    let scratch = folder(target);
    let (folder, below) = match target {
        "bert" => {
            seed::bert(&scratch);
            (scratch, "")
        }
        "model" => (Run::train(&scratch, "kernel").path().join("model"), ""),
        _ => (Run::train(&scratch, "paper").path(), "checkpoints"),
    };
    // Digests would give any damage away.
    unseal(&folder);
    let files = seed::files(&folder.join(below)).into_iter();
    let files = files.map(|file| Path::new(below).join(file)).collect();
    (folder, files)
}

fn whole(target: &str) -> &'static Whole {
    static WHOLE: OnceLock<Whole> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let (folder, files) = made(target);
        let read = |file: PathBuf| {
            let bytes = std::fs::read(folder.join(&file)).expect("a file");
            (file, bytes)
        };
        let files = files.into_iter().map(read).collect();
        Whole { folder, files }
    })
}

/// Reads a folder in which the input, but for its first byte, takes the place of the file that this byte names.
pub fn within(target: &str, input: &[u8], read: Reader) {
    let Some((&which, input)) = input.split_first() else {
        return;
    };
    let whole = whole(target);
    let (file, valid) = &whole.files[usize::from(which) % whole.files.len()];
    let path = whole.folder.join(file);
    std::fs::write(&path, input).expect("a file");
    drop(read(&whole.folder));
    std::fs::write(&path, valid).expect("a file");
}

/// The valid inputs of [`within`].
pub fn numbered(target: &str) -> Vec<Vec<u8>> {
    let (folder, files) = made(target);
    let input = |(number, file): (usize, &PathBuf)| {
        let number = u8::try_from(number).expect("fewer than 256 files");
        let bytes = std::fs::read(folder.join(file)).expect("a file");
        [vec![number], bytes].concat()
    };
    files.iter().enumerate().map(input).collect()
}
