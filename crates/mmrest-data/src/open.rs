//! Opens and loads data sets, whatever they are stored in.

use std::path::Path;

use crate::clean::Purpose;
use crate::import::ReleaseSource;
use crate::packed::Chosen;
use crate::sequences::Sequences;
use crate::table::TableSource;
use crate::text::count;
use crate::{DataConfig, DataReport, Dataset, Kind, Result, Segment, SegmentSource, SourceFile};

/// Opens the data set that a configuration describes, to train on: every segment that is given has a label and a split.
/// Relative paths are relative to `root`.
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
///     train += usize::from(split == Some(Split::Train));
///     Ok(())
/// })?;
/// assert_eq!((report.videos, train), (2, 1));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`DataError::Config`](crate::DataError::Config) for a configuration that contradicts itself;
/// [`DataError::Missing`](crate::DataError::Missing) naming every file that is not there; the errors of opening each
/// file.
pub fn open(config: &DataConfig, root: &Path) -> Result<Box<dyn SegmentSource>> {
    let files = config.files(root)?;
    match config.kind {
        Kind::Sdk => Ok(Box::new(Sequences::open(config, &files)?)),
        Kind::Table => Ok(Box::new(TableSource::open(config, &files)?)),
        Kind::Mmsa => Ok(Box::new(ReleaseSource::open(
            config,
            &files,
            Purpose::Training,
        )?)),
        Kind::Packed => {
            let path = files.file.as_deref().unwrap_or(Path::new(""));
            Ok(Box::new(Chosen::open(config, path, Purpose::Training)?))
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
/// Those of [`open()`] and of reading; [`DataError::MissingModality`](crate::DataError::MissingModality) when the
/// configuration asks for it; [`DataError::Empty`](crate::DataError::Empty) when no segment is left.
pub fn load(config: &DataConfig, root: &Path) -> Result<Dataset> {
    let source = open(config, root)?;
    let mut parts: [Vec<Segment>; 3] = Default::default();
    let report = source.visit(&mut |split, segment| {
        if let Some(split) = split {
            parts[split as usize].push(segment);
        }
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

/// Opens new data to score: the files in `dir` that have the configuration's names. Every segment is given, with its label
/// and its split where it has them; [`load_unlabelled`] says what is read.
///
/// # Errors
///
/// Those of [`load_unlabelled`] that opening can meet.
pub fn open_unlabelled(config: &DataConfig, dir: &Path) -> Result<Box<dyn SegmentSource>> {
    match config.kind {
        Kind::Sdk => Ok(Box::new(Sequences::open_unlabelled(config, dir)?)),
        Kind::Table => Ok(Box::new(TableSource::open_unlabelled(config, dir)?)),
        Kind::Mmsa => {
            let mut config = config.clone();
            config.dir = dir.to_path_buf();
            config.table.take_if(|table| !dir.join(table).is_file());
            let files = config.files(Path::new(""))?;
            let source = ReleaseSource::open(&config, &files, Purpose::Prediction)?;
            Ok(Box::new(source))
        }
        Kind::Packed => {
            let mut config = config.clone();
            config.dir = dir.to_path_buf();
            let files = config.files(Path::new(""))?;
            let path = files.file.as_deref().unwrap_or(Path::new(""));
            Ok(Box::new(Chosen::open(&config, path, Purpose::Prediction)?))
        }
    }
}

/// Loads new data to score: the files in `dir` that have the configuration's names.
///
/// Of the modalities in use, those are read whose file is in `dir` (`config.dir`, the folds and `missing` play no
/// part). A modality whose file is not there is lacking in all segments: empty text, or no frames, of width 0. Text
/// comes from the words, whatever `text_from` says, or from the table where there is no file of words.
///
/// With the configuration's label file in the folder, its intervals are the segments, cut as [`load`](crate::load) cuts
/// them and in its order; a label that is a number is kept. Without it, every id of any of the sequences is one segment
/// with all its words and all its frames, in the order of videos and then of pieces (`video[2]` before `video[10]`); the
/// table's text of a whole video is that of all its clips. Of a table alone, every row is a segment; with
/// `kind = "table"` its id is `video$_$clip`, as in training, and its label is kept. With `kind = "mmsa"` or `"packed"`
/// every segment of the file is taken, labelled or not; a pickle's table is read where it is there.
///
/// NaN and infinite values become 0 and `max_frames` holds, as in [`load`](crate::load); standardisation is left to the
/// model's own statistics. What was changed or is lacking is logged in one line.
///
/// # Errors
///
/// [`DataError::Missing`](crate::DataError::Missing) naming every file looked for, when none is there;
/// [`DataError::Config`](crate::DataError::Config) when the configuration names none; the errors of reading each file;
/// [`DataError::Entry`](crate::DataError::Entry) for a video that is whole in one sequence and in pieces in another,
/// without labelled intervals to cut both by; [`DataError::Empty`](crate::DataError::Empty) when the files hold no
/// segment.
///
/// ```
/// use mmrest_data::csd::{self, Entry, Features};
/// use mmrest_data::{DataConfig, Modality, load_unlabelled};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// let entry = Entry {
///     intervals: vec![[0.0, 0.4], [0.4, 1.0], [1.0, 1.5]],
///     features: Features::Text(vec!["really".into(), "sp".into(), "good".into()]),
/// };
/// let path = folder.path().join("words.csd");
/// csd::write(&path, "words", &csd::metadata("words", "an example"), [("new", entry)])?;
///
/// let config = DataConfig {
///     modalities: vec![Modality::Text, Modality::Audio],
///     words: Some("words.csd".into()),
///     audio: Some("audio.csd".into()), // the model knows audio; this folder has none
///     ..DataConfig::default()
/// };
/// let segments = load_unlabelled(&config, folder.path())?;
/// assert_eq!(segments[0].id, "new");
/// assert_eq!(segments[0].text, "really good");
/// assert!(segments[0].lacks(Modality::Audio) && segments[0].label.is_none());
/// # Ok(())
/// # }
/// ```
pub fn load_unlabelled(config: &DataConfig, dir: &Path) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    visit_unlabelled(config, dir, &mut |segment| {
        segments.push(segment);
        Ok(())
    })?;
    Ok(segments)
}

/// As [`load_unlabelled`], one segment after another: of the features no more is in memory than a few videos' (of a table,
/// which has none, all texts).
///
/// # Errors
///
/// As [`load_unlabelled`], some of them after segments have been handed over; and those of `take`, which end the visit.
pub fn visit_unlabelled(
    config: &DataConfig,
    dir: &Path,
    take: &mut dyn FnMut(Segment) -> Result<()>,
) -> Result<()> {
    let source = open_unlabelled(config, dir)?;
    let report = source.visit(&mut |_, segment| take(segment))?;
    log(&report, config);
    Ok(())
}

/// Logs one sentence of what a user should know: a lack is a warning, the rest a note.
fn log(report: &DataReport, config: &DataConfig) {
    let lacking: Vec<String> = config
        .modalities
        .iter()
        .filter_map(|modality| Some((report.absent.get(modality)?, modality)))
        .filter(|&(&count, _)| count > 0)
        .map(|(count, modality)| format!("{count} without {modality}"))
        .collect();
    let changed = [
        (
            report.non_finite.values().sum(),
            "value",
            "not finite and now 0",
        ),
        (report.shortened.values().sum(), "sequence", "shortened"),
        (report.dropped.values().sum(), "segment", "left out"),
    ];
    let changed = changed.into_iter().filter(|(number, ..)| *number > 0);
    let changed = changed.map(|(number, one, how)| format!("{} {how}", count(number, one)));
    let said: Vec<String> = lacking.iter().cloned().chain(changed).collect();
    let new = count(report.total(), "new segment");
    match (lacking.is_empty(), said.is_empty()) {
        (_, true) => tracing::info!("{new}"),
        (true, false) => tracing::info!("{new}: {}", said.join(", ")),
        (false, false) => tracing::warn!("{new}: {}", said.join(", ")),
    }
}
