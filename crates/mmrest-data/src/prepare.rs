//! Makes the packed set of a data set once and keeps it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::config::SENTENCES;
use crate::packed::{About, PackedSet, VERSION, pack};
use crate::source::watched;
use crate::text::hex;
use crate::{
    DataConfig, DataError, FramesOf, Kind, Missing, Modality, Result, SourceFile, Split, files,
    open,
};

/// What a segment is made of, beside files and configuration: raised when reading, cutting or mending changes, so that
/// sets made by an older program are made again.
const RECIPE: u32 = 4;

/// Where checksums of files are remembered, in the folder of packed sets.
const STAMPS: &str = "checksums.json";

/// A file changed less than this before it was stamped may change again without its time telling.
const SETTLED: Duration = Duration::from_secs(2);

/// A data set ready to be read in any order.
#[derive(Debug)]
pub struct Prepared {
    /// Its segments.
    pub set: PackedSet,
    /// The files it comes from, with their checksums.
    pub files: Vec<SourceFile>,
}

/// Opens the packed set of the data that a configuration describes, after making it where it is not there yet.
///
/// It is kept in the configured cache folder under a name that follows from the files' SHA-256 and from what the
/// configuration asks of them, so that a changed file or a changed key leads to another set. Checksums are computed anew
/// where a file's size or time has changed. A set that is there is read through once and compared with the checksums in
/// it: one of the cache that is damaged is made again, with a warning. `watch` hears how many segments are packed (0
/// while checksums are computed), and says whether to go on. A configuration of [`Kind::Packed`] whose set already is as
/// asked is opened as it is.
///
/// # Errors
///
/// Those of [`open`](crate::open()) and of reading; [`DataError::Packed`] for a set that is damaged and is not of the cache;
/// [`DataError::Io`] where the cache folder cannot be written;
/// [`DataError::Stopped`] when `watch` says so. A set that was being made is then not left behind.
pub fn prepare(
    config: &DataConfig,
    root: &Path,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<Prepared> {
    let mut prepared = prepare_own_splits(config, root, watch)?;
    if let Some(fold) = config.fold {
        let own: Vec<Split> = (0..prepared.set.len())
            .map(|row| prepared.set.split_of(row))
            .collect();
        let splits = fold.splits(prepared.set.videos(), &own)?;
        prepared.set.set_splits(splits);
    }
    Ok(prepared)
}

/// [`prepare`], with the data set's own splits: all folds of a cross-validation read the same packed set.
fn prepare_own_splits(
    config: &DataConfig,
    root: &Path,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<Prepared> {
    let named = config.files(root)?;
    let cache = root.join(&config.cache);
    let paths: Vec<&Path> = named.all();
    let hashed = checksums(&paths, &cache, &mut || watch(0))?;
    if let (Kind::Packed, Some(path)) = (config.kind, &named.file) {
        let set = PackedSet::open(path)?;
        if is_as_asked(&set, config) {
            set.verify()?;
            return Ok(Prepared { set, files: hashed });
        }
    }
    let roles = named.roles().map(|(role, _)| role).zip(&hashed);
    // Sentences about the segments are no part of them.
    let sources: Vec<_> = roles.filter(|(role, _)| *role != SENTENCES).collect();
    let key = key(config, &sources)?;
    let path = cache.join(format!("data-{}.h5", &key[..32]));
    if let Some(set) = kept(&path, &key) {
        return Ok(Prepared { set, files: hashed });
    }
    std::fs::create_dir_all(&cache).map_err(|error| DataError::io(&cache, error))?;
    let source = open(config, root)?;
    let about = About {
        key,
        files: hashed.clone(),
        label_range: config.label_range,
        ..About::default()
    };
    let text = config.uses(Modality::Text);
    pack(source.as_ref(), text, about, &path, watch)?;
    Ok(Prepared {
        set: PackedSet::open(&path)?,
        files: hashed,
    })
}

/// The set that is there, if it is whole and of this key; one that is not is made again.
fn kept(path: &Path, key: &str) -> Option<PackedSet> {
    if !path.exists() {
        return None;
    }
    match PackedSet::open_verified(path) {
        Ok(set) if set.about().key == key => Some(set),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!("a packed set is damaged and made again: {error}");
            None
        }
    }
}

/// Whether a packed set holds exactly what a configuration asks for.
fn is_as_asked(set: &PackedSet, config: &DataConfig) -> bool {
    let [least, greatest] = set.about().label_range;
    let most = config.max_frames.unwrap_or(usize::MAX);
    let lacks = |modality, row| match modality {
        Modality::Text => set.text(row).trim().is_empty(),
        Modality::Vision | Modality::Audio => set.frame_count(modality, row) == 0,
    };
    let fits = |row| {
        let long = [Modality::Vision, Modality::Audio]
            .iter()
            .any(|&modality| set.frame_count(modality, row) > most);
        let incomplete = config
            .modalities
            .iter()
            .any(|&modality| lacks(modality, row));
        let labelled = set.label(row).is_some();
        labelled && !long && (config.missing == Missing::Zero || !incomplete)
    };
    Modality::ALL
        .iter()
        .all(|&modality| config.uses(modality) == set.has(modality))
        && config.label_range[0] <= least
        && greatest <= config.label_range[1]
        && (0..set.len()).all(fits)
}

/// SHA-256 of all that a set depends on.
fn key(config: &DataConfig, sources: &[(&str, &SourceFile)]) -> Result<String> {
    let sources = sources.iter().map(|(role, file)| (role, &file.sha256));
    let sources: Vec<_> = sources.collect();
    let mut about = json!({
        "version": VERSION,
        "recipe": RECIPE,
        "sources": sources,
        "kind": config.kind,
        "modalities": config.modalities,
        "label_column": config.label_column,
        "columns": config.columns,
        "text_from": config.text_from,
        "split_from": config.split_from,
        "split_seed": config.split_seed,
        "split_shares": config.split_shares,
        "pause_token": config.pause_token,
        "max_frames": config.max_frames,
        "shorten": config.shorten,
        "label_range": config.label_range,
        "missing": config.missing,
    });
    if config.frames != FramesOf::Own {
        about["frames"] = json!(config.frames);
    }
    if config.times_words() {
        about["audio_from"] = json!(config.audio_from);
    }
    Ok(hex(&Sha256::digest(about.to_string())))
}

/// What is remembered of a file: as long as size and time are these, so is its checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified: Duration,
    sha256: String,
}

type Stamps = BTreeMap<PathBuf, Stamp>;

/// What is remembered of all files, with its own checksum: a damaged one is forgotten.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    files: Stamps,
    sha256: String,
}

impl Remembered {
    fn of(files: Stamps) -> serde_json::Result<Self> {
        let sha256 = hex(&Sha256::digest(serde_json::to_vec(&files)?));
        Ok(Self { files, sha256 })
    }

    fn read(path: &Path) -> Option<Stamps> {
        let read: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let again = Self::of(read.files).ok()?;
        (again.sha256 == read.sha256).then_some(again.files)
    }
}

/// The files with their checksums; those of unchanged files are remembered, for a data set may be many gigabytes.
fn checksums(
    paths: &[&Path],
    cache: &Path,
    watch: &mut dyn FnMut() -> bool,
) -> Result<Vec<SourceFile>> {
    let stamps_file = cache.join(STAMPS);
    let mut stamps = Remembered::read(&stamps_file).unwrap_or_default();
    let known = stamps.clone();
    let hashed = watched(watch, |stop| {
        let hashed = paths.par_iter().map(|path| checksum(path, &known, stop));
        hashed.collect::<Result<Vec<_>>>()
    })?;
    for (file, stamp) in &hashed {
        if let (Some(stamp), Ok(whole)) = (stamp, file.path.canonicalize()) {
            stamps.insert(whole, stamp.clone());
        }
    }
    stamps.retain(|path, _| path.exists());
    if stamps != known
        && let Err(error) = remember(&stamps_file, stamps)
    {
        tracing::warn!("checksums are not remembered: {error}");
    }
    Ok(hashed.into_iter().map(|(file, _)| file).collect())
}

fn checksum(path: &Path, known: &Stamps, stop: &AtomicBool) -> Result<(SourceFile, Option<Stamp>)> {
    let wrong = |error| DataError::io(path, error);
    let about = std::fs::metadata(path).map_err(wrong)?;
    let modified = about.modified().map_err(wrong)?;
    let since_epoch = modified
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let whole = path.canonicalize().map_err(wrong)?;
    if let Some(stamp) = known.get(&whole)
        && (stamp.bytes, stamp.modified) == (about.len(), since_epoch)
    {
        let file = SourceFile {
            path: path.to_path_buf(),
            sha256: stamp.sha256.clone(),
            bytes: stamp.bytes,
        };
        return Ok((file, None));
    }
    let file = SourceFile::read_while(path, &mut || !stop.load(Ordering::Relaxed))?;
    let settled = modified.elapsed().is_ok_and(|age| age > SETTLED);
    let stamp = settled.then(|| Stamp {
        bytes: file.bytes,
        modified: since_epoch,
        sha256: file.sha256.clone(),
    });
    Ok((file, stamp))
}

fn remember(path: &Path, stamps: Stamps) -> Result<()> {
    let text = Remembered::of(stamps).and_then(|stamps| serde_json::to_vec_pretty(&stamps));
    files::write(
        path,
        &text.map_err(|error| DataError::io(path, error.into()))?,
    )
}
