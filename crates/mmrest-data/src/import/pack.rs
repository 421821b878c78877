//! Imports a release as a packed set.

use std::path::Path;

use super::{Release, ReleaseSource};
use crate::clean::Purpose;
use crate::config::Files;
use crate::files::same_file;
use crate::packed::{About, PackedSet, pack};
use crate::{DataConfig, DataError, DataReport, Kind, Modality, Result, SourceFile};

/// Turns the pickle of a processed release into a [packed set](crate::packed) at `out`, with every modality that the
/// release has, no sequence shortened. A release without words (MulT's, MMIM's, MMRest's) needs its `label.csv` as
/// `table`. Labels beyond `label_range` are clamped and counted.
///
/// The same files make the same set, byte for byte. Frames are read a few megabytes at a time, so that the pickle may be
/// larger than memory.
///
/// `watch` is told the number of segments written so far (0 while checksums are computed), and answers whether to go on.
///
/// ```no_run
/// use mmrest_data::import::import;
///
/// let out = "data/sims.h5".as_ref();
/// let report = import("unaligned_39.pkl".as_ref(), None, [-1.0, 1.0], out, &mut |_| true)?;
/// println!("{report}");
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
///
/// # Errors
///
/// [`DataError::Pickle`] and [`DataError::Release`] for a file that is no such release; the errors of
/// [`Table::read_with`](crate::table::Table::read_with), and [`DataError::Release`] where the table is another one's;
/// [`DataError::Empty`]; those of writing; [`DataError::Stopped`] when `watch` says so. `out` is written whole or not at
/// all.
pub fn import(
    pickle: &Path,
    table: Option<&Path>,
    label_range: [f32; 2],
    out: &Path,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<DataReport> {
    let release = Release::open(pickle)?;
    let mut modalities = release.modalities(table.is_some());
    if !modalities.contains(&Modality::Text) {
        // Said to be in use, so that the lack of a table is told.
        modalities.insert(0, Modality::Text);
    }
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let config = DataConfig {
        kind: Kind::Mmsa,
        file: Some(name(pickle)),
        table: table.map(name),
        modalities,
        label_range,
        ..DataConfig::default()
    };
    config.check()?;
    let files = Files::of_release(pickle, table);
    refuse_own_file(out, &files)?;
    let source = ReleaseSource::new(release, &config, &files, Purpose::Training)?;
    let read: Vec<SourceFile> = files
        .all()
        .into_iter()
        .map(|path| SourceFile::read_while(path, &mut || watch(0)))
        .collect::<Result<_>>()?;
    let about = About {
        key: key(&read, label_range),
        files: read,
        report: DataReport::default(),
        label_range,
    };
    pack(&source, true, about, out, watch)?;
    Ok(PackedSet::open(out)?.about().report.clone())
}

/// What the set is made from, in short.
fn key(files: &[SourceFile], [least, greatest]: [f32; 2]) -> String {
    let sums: Vec<&str> = files.iter().map(|file| file.sha256.as_str()).collect();
    format!(
        "imported from {}, labels in {least} to {greatest}",
        sums.join(" and ")
    )
}

/// Refuses to write over what is read.
fn refuse_own_file(out: &Path, read: &Files) -> Result<()> {
    if read.all().into_iter().any(|path| same_file(path, out)) {
        let error = std::io::Error::other("this file is read; write to another one");
        return Err(DataError::io(out, error));
    }
    Ok(())
}
