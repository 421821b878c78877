//! Segments one after another, whatever they are stored in.

use std::path::Path;

use crate::{DataConfig, DataReport, Dataset, Kind, Result, Segment, SourceFile, Split, Widths};

/// What takes segments as they come; an error of its own ends the reading.
pub type Visit<'a> = dyn FnMut(Split, Segment) -> Result<()> + 'a;

/// An open data set that gives its segments one after another, so that it need not be in memory whole.
pub trait SegmentSource: Send + Sync {
    /// Features in a frame of each modality; 0 for one not in use.
    fn widths(&self) -> Widths;

    /// Gives every segment with its split, always in the same order, and then says what was met.
    ///
    /// # Errors
    ///
    /// Those of reading, and those of `visit`.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport>;
}

/// Opens the data set that a configuration describes. Relative paths are relative to `root`.
///
/// ```
/// use mmrest_data::{DataConfig, Kind, Modality, Split, SplitFrom, open};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// let table = "video_id,clip_id,text,label,mode\na,1,how nice,1.5,train\nb,1,how dull,-2.0,test\n";
/// std::fs::write(folder.path().join("label.csv"), table).unwrap();
/// let config = DataConfig {
///     kind: Kind::Table,
///     dir: ".".into(),
///     table: Some("label.csv".into()),
///     modalities: vec![Modality::Text],
///     split_from: SplitFrom::Table,
///     ..DataConfig::default()
/// };
/// let source = open(&config, folder.path())?;
/// assert_eq!((source.widths().vision, source.widths().audio), (0, 0)); // text alone
///
/// let mut train = 0;
/// let report = source.visit(&mut |split, _segment| {
///     train += usize::from(split == Split::Train);
///     Ok(())
/// })?;
/// assert_eq!((report.videos, train), (2, 1));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`DataError::Config`](crate::DataError::Config) for a configuration that contradicts itself; [`DataError::Missing`](crate::DataError::Missing) naming every file that is
/// not there; the errors of opening each file.
pub fn open(config: &DataConfig, root: &Path) -> Result<Box<dyn SegmentSource>> {
    let files = config.files(root)?;
    match config.kind {
        Kind::Sdk => Ok(Box::new(crate::load::Sources::open(config, &files)?)),
        Kind::Table => Ok(Box::new(crate::table::TableSource::open(config, &files)?)),
        Kind::Mmsa => Ok(Box::new(crate::import::ReleaseSource::open(
            config, &files,
        )?)),
        Kind::Packed => {
            let path = files.file.as_deref().unwrap_or(Path::new(""));
            Ok(Box::new(crate::packed::Chosen::open(config, path)?))
        }
    }
}

/// Loads a data set into memory: for small ones, and for those who want it as it is.
///
/// Relative paths of the configuration are relative to `root`. Segments are in the order of the source, whatever the
/// number of threads.
///
/// ```
/// use mmrest_data::{DataConfig, Kind, Modality, load};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// let table = "video_id,clip_id,text,label,mode\n\
///     a,1,how nice,1.5,train\n\
///     a,2,how dull,-2.0,train\n\
///     b,1,well,0.0,valid\n\
///     c,1,superb,3.0,test\n";
/// std::fs::write(folder.path().join("label.csv"), table).unwrap();
/// let config = DataConfig {
///     kind: Kind::Table,
///     dir: ".".into(),
///     table: Some("label.csv".into()),
///     modalities: vec![Modality::Text],
///     split_from: mmrest_data::SplitFrom::Table,
///     ..DataConfig::default()
/// };
/// let data = load(&config, folder.path())?;
/// assert_eq!((data.train.len(), data.valid.len(), data.test.len()), (2, 1, 1));
/// assert_eq!((data.train[1].text.as_str(), data.train[1].label), ("how dull", Some(-2.0)));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`open()`] and of reading; [`DataError::MissingModality`](crate::DataError::MissingModality) when the configuration asks for it;
/// [`DataError::Empty`](crate::DataError::Empty) when no segment is left.
pub fn load(config: &DataConfig, root: &Path) -> Result<Dataset> {
    let source = open(config, root)?;
    let mut parts: [Vec<Segment>; 3] = Default::default();
    let report = source.visit(&mut |split, segment| {
        parts[split as usize].push(segment);
        Ok(())
    })?;
    let [train, valid, test] = parts;
    Ok(Dataset {
        train,
        valid,
        test,
        widths: source.widths(),
        files: source_files(config, root)?,
        report,
    })
}

/// The files of a configuration with their checksums.
pub(crate) fn source_files(config: &DataConfig, root: &Path) -> Result<Vec<SourceFile>> {
    use rayon::prelude::*;

    let files = config.files(root)?;
    files.all().into_par_iter().map(SourceFile::read).collect()
}
