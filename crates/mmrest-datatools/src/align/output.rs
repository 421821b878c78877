//! Writes aligned sequences to files.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

use mmrest_data::csd::{self, ComputationalSequence, Entry, Metadata};
use mmrest_data::files::{TempFolder, same_file};
use mmrest_data::text::hex;
use mmrest_data::{DataError, Result};
use rand::RngExt;
use serde_json::{Value, json};

use super::{AlignConfig, AlignReport, Aligned, Aligner};

/// Entries on their way to a file at most, so that what is not yet written stays little.
const WAITING: usize = 16;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The files, in the order of the sequences.
    pub files: Vec<PathBuf>,
    /// What was met.
    pub report: AlignReport,
}

impl Aligner {
    /// Aligns, and writes every sequence as `folder/<root name>.csd`: all of them whole, or none.
    ///
    /// The inputs are read once. Each file's metadata is carried over with what the SDK's own `deploy` changes. `watch` is
    /// told the number of entries made so far, and answers whether to go on.
    ///
    /// # Errors
    ///
    /// Those of [`visit`](Self::visit) and of [`csd::write`]; [`DataError::Io`] for a file that is there already, unless
    /// `overwrite`, and always for one of the inputs; [`DataError::Stopped`] when `watch` says so.
    pub fn write(
        &self,
        folder: &Path,
        overwrite: bool,
        watch: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Written> {
        let files = self.targets(folder, overwrite)?;
        let new = !folder.exists();
        std::fs::create_dir_all(folder).map_err(|error| DataError::io(folder, error))?;
        let written = self.write_to(folder, &files, watch);
        if new && written.is_err() {
            // Only an empty folder can be removed so; whether it can changes nothing.
            let _ = std::fs::remove_dir(folder);
        }
        Ok(Written {
            report: written?,
            files,
        })
    }

    fn targets(&self, folder: &Path, overwrite: bool) -> Result<Vec<PathBuf>> {
        let mut targets = Vec::new();
        for root in self.roots() {
            let name = format!("{root}.csd");
            let mut parts = Path::new(&name).components();
            let (first, rest) = (parts.next(), parts.next());
            if !matches!((first, rest), (Some(Component::Normal(_)), None)) {
                let reason = format!("the root name {root:?} is no name for a file");
                return Err(DataError::Align(reason));
            }
            let target = folder.join(name);
            if self.files().any(|file| same_file(file.path(), &target)) {
                let target = target.display();
                let reason = format!("{target} is one of the inputs; write to another folder");
                return Err(DataError::Align(reason));
            }
            if target.exists() && !overwrite {
                let there = std::io::Error::new(ErrorKind::AlreadyExists, "it is there already");
                return Err(DataError::io(&target, there));
            }
            targets.push(target);
        }
        Ok(targets)
    }

    /// Everything is written into a folder of its own first.
    fn write_to(
        &self,
        folder: &Path,
        targets: &[PathBuf],
        watch: &mut dyn FnMut(usize) -> bool,
    ) -> Result<AlignReport> {
        let staging = TempFolder::within(folder, ".aligning-")?;
        let drafts: Vec<PathBuf> = (0..targets.len())
            .map(|i| staging.path().join(format!("{i}.csd")))
            .collect();
        let report = self.write_drafts(&drafts, watch)?;
        put(&drafts, targets)?;
        Ok(report)
    }

    /// One thread a file takes entries as they are made.
    fn write_drafts(
        &self,
        drafts: &[PathBuf],
        watch: &mut dyn FnMut(usize) -> bool,
    ) -> Result<AlignReport> {
        let mut made = 0;
        std::thread::scope(|scope| {
            let mut lines: Vec<SyncSender<(String, Entry)>> = Vec::new();
            let mut writers: Vec<ScopedJoinHandle<'_, Result<()>>> = Vec::new();
            for (file, draft) in self.files().zip(drafts) {
                let (line, entries) = sync_channel(WAITING);
                let metadata = self.metadata(file);
                lines.push(line);
                writers.push(scope.spawn(move || write(draft, file.root(), &metadata, entries)));
            }
            let aligned = self.visit(&mut |aligned: Aligned<'_>| {
                made += 1;
                if !watch(made) {
                    return Err(DataError::Stopped);
                }
                let gone = || stopped(aligned.root);
                let line = lines.get(aligned.sequence).ok_or_else(gone)?;
                line.send((aligned.key, aligned.entry)).map_err(|_| gone())
            });
            drop(lines);
            let wrote: Result<Vec<()>> = writers
                .into_iter()
                .zip(self.roots())
                .map(|(writer, root)| writer.join().unwrap_or_else(|_| Err(stopped(root))))
                .collect();
            match (aligned, wrote) {
                // A writer that gave up is why nothing more could be handed over.
                (Err(error), Err(cause)) if is_stopped(&error) => Err(cause),
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                (Ok(report), Ok(_)) => Ok(report),
            }
        })
    }
}

fn write(
    path: &Path,
    root: &str,
    metadata: &Metadata,
    entries: Receiver<(String, Entry)>,
) -> Result<()> {
    csd::write(path, root, metadata, entries)
}

/// The error of handing over to a writer that has ended.
fn stopped(root: &str) -> DataError {
    DataError::Write {
        path: PathBuf::from(format!("{root}.csd")),
        reason: STOPPED.to_owned(),
    }
}

const STOPPED: &str = "its writer stopped";

fn is_stopped(error: &DataError) -> bool {
    matches!(error, DataError::Write { reason, .. } if reason == STOPPED)
}

/// Renames all drafts; where one cannot be, those already renamed are taken away again, unless they replaced a file.
fn put(drafts: &[PathBuf], targets: &[PathBuf]) -> Result<()> {
    let mut fresh: Vec<&Path> = Vec::new();
    for (draft, target) in drafts.iter().zip(targets) {
        let new = !target.exists();
        if let Err(error) = std::fs::rename(draft, target) {
            for file in fresh {
                // What cannot be removed either is named by no better error than the one at hand.
                let _ = std::fs::remove_file(file);
            }
            return Err(DataError::io(target, error));
        }
        if new {
            fresh.push(target);
        }
    }
    Ok(())
}

impl Aligner {
    /// The file's own metadata, as the SDK carries it over: with a new `uuid` and no `md5`. Keys the SDK asks for are
    /// there; `alignment` says what was done, and by whom.
    pub(super) fn metadata(&self, file: &ComputationalSequence) -> Metadata {
        let root = file.root();
        let mut metadata = csd::metadata(root, "");
        metadata.extend(file.metadata().clone());
        metadata.insert("root name".to_owned(), json!(root));
        metadata.insert("uuid".to_owned(), json!(uuid()));
        metadata.insert("md5".to_owned(), Value::Null);
        metadata.insert("alignment".to_owned(), alignment(&self.config));
        if let Some(Value::Array(dimensions)) = metadata.get_mut("dimension names") {
            *dimensions = dimension_names(dimensions, &self.config);
        }
        metadata
    }
}

fn alignment(config: &AlignConfig) -> Value {
    let mut alignment = json!(config);
    if let Value::Object(alignment) = &mut alignment {
        let creator = json!(concat!("mmrest-data ", env!("CARGO_PKG_VERSION")));
        alignment.insert("creator".to_owned(), creator);
    }
    alignment
}

/// Several functions make a dimension several: `mean pitch`, ..., `max pitch`, ....
fn dimension_names(dimensions: &[Value], config: &AlignConfig) -> Vec<Value> {
    if config.collapse.len() < 2 {
        return dimensions.to_vec();
    }
    let functions = config.collapse.iter();
    let named = functions.flat_map(|function| {
        dimensions.iter().map(move |name| match name {
            Value::String(name) => json!(format!("{function} {name}")),
            other => json!(format!("{function} {other}")),
        })
    });
    named.collect()
}

/// A random UUID (version 4).
fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let (a, b, c, d, e) = (
        &bytes[..4],
        &bytes[4..6],
        &bytes[6..8],
        &bytes[8..10],
        &bytes[10..],
    );
    [a, b, c, d, e].map(hex).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::Collapse;

    #[test]
    fn uuids_are_random_and_say_so() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }

    #[test]
    fn dimensions_are_named_by_their_function() {
        let dimensions = [json!("pitch"), json!("energy")];
        let mut config = AlignConfig::to("words");
        assert_eq!(dimension_names(&dimensions, &config), dimensions);
        config.collapse = vec![Collapse::Mean, Collapse::Max];
        let names = ["mean pitch", "mean energy", "max pitch", "max energy"];
        assert_eq!(
            dimension_names(&dimensions, &config),
            names.map(|name| json!(name))
        );
    }
}
