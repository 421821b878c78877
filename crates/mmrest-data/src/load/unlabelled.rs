//! New data: segments to be scored, whose labels nobody need know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::feature_sources::{FeatureSources, VideoFeatures};
use super::features::VideoFrames;
use crate::clean::{clamp_label, clean};
use crate::csd::{ComputationalSequence, LabelledInterval, labelled_intervals, split_id};
use crate::missing::MissingFiles;
use crate::table::{Required, Row, Table};
use crate::{
    DataConfig, DataError, DataReport, Download, DropReason, Frames, Kind, Modality, Result,
    Segment, TextFrom, is_too_short,
};

/// Loads new data to score: a folder of computational sequences that have the configuration's file names.
///
/// Of the modalities in use, those are read whose file is in `dir` (`config.dir`, the folds and `missing` play no
/// part). A modality whose file is not there is lacking in all segments: empty text, or no frames, of width 0. Text
/// comes from the words, whatever `text_from` says, or from the table where there is no file of words.
///
/// With the configuration's label file in the folder, its intervals are the segments, cut as [`load`](crate::load) cuts
/// them and in its order; a label that is a number is kept. Without it, every id of any of the sequences is one segment
/// with all its words and all its frames, in the order of videos and then of pieces (`video[2]` before `video[10]`); the
/// table's text of a whole video is that of all its clips. Of a table alone, every row is a segment; with
/// `kind = "table"` its id is `video$_$clip`, as in training, and its label is kept.
///
/// NaN and infinite values become 0 and `max_frames` holds, as in [`load`](crate::load); standardisation is left to the
/// model's own statistics. What was changed or is lacking is logged in one line.
///
/// # Errors
///
/// [`DataError::Missing`] naming every file looked for, when none is there; [`DataError::Config`] when the
/// configuration names none; the errors of reading each file; [`DataError::Entry`] for a video that is whole in one
/// sequence and in pieces in another, without labelled intervals to cut both by; [`DataError::Empty`] when the files
/// hold no segment.
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
    if config.kind == Kind::Table {
        return crate::table::unlabelled(config, dir)?
            .into_iter()
            .try_for_each(take);
    }
    let new = NewData::open(config, dir)?;
    let labels = dir.join(&config.labels);
    let mut seen = Seen::default();
    let from = if labels.is_file() {
        let sequence = ComputationalSequence::open(&labels)?;
        let videos = sequence.videos();
        seen.visit(videos, config, |video| new.labelled(&sequence, video), take)?;
        labels
    } else {
        seen.visit(&new.ids()?, config, |id| new.whole(id), take)?;
        dir.to_path_buf()
    };
    if seen.segments == 0 {
        return Err(DataError::Empty {
            labels: from,
            report: Box::new(seen.report),
        });
    }
    seen.log(config);
    Ok(())
}

/// Videos, or ids, that are read at a time.
const ABREAST: usize = 16;

/// What was seen of the segments that were handed over.
#[derive(Default)]
struct Seen {
    segments: usize,
    lacking: BTreeMap<Modality, usize>,
    report: DataReport,
}

impl Seen {
    /// Reads some at a time, side by side, and hands over their segments in order.
    fn visit<T: Sync>(
        &mut self,
        all: &[T],
        config: &DataConfig,
        read: impl Fn(&T) -> Result<Part> + Sync,
        take: &mut dyn FnMut(Segment) -> Result<()>,
    ) -> Result<()> {
        for some in all.chunks(ABREAST) {
            let parts = some.par_iter().map(&read).collect::<Result<Vec<_>>>()?;
            for part in parts {
                self.report.absorb(part.report);
                for segment in part.segments {
                    self.segments += 1;
                    for &modality in &config.modalities {
                        *self.lacking.entry(modality).or_default() +=
                            usize::from(segment.lacks(modality));
                    }
                    take(segment)?;
                }
            }
        }
        Ok(())
    }
}

/// The files of the folder, open.
struct NewData<'a> {
    config: &'a DataConfig,
    features: FeatureSources,
    table: Option<Table>,
}

/// What one video or id contributes.
struct Part {
    segments: Vec<Segment>,
    report: DataReport,
}

impl<'a> NewData<'a> {
    fn open(config: &'a DataConfig, dir: &Path) -> Result<Self> {
        let named = |modality, name: &Option<String>| {
            let name = name.as_ref().filter(|_| config.uses(modality));
            name.map(|name| dir.join(name))
        };
        let files = [
            named(Modality::Text, &config.words),
            named(Modality::Text, &config.table),
            named(Modality::Vision, &config.vision),
            named(Modality::Audio, &config.audio),
        ];
        let there = files
            .each_ref()
            .map(|file| file.as_deref().filter(|path| path.is_file()));
        if there.iter().all(Option::is_none) {
            return Err(nothing(dir, files.into_iter().flatten().collect()));
        }
        let [words, table, vision, audio] = there;
        Ok(Self {
            config,
            features: FeatureSources::open(words, vision, audio)?,
            table: table.map(|path| open_table(config, path)).transpose()?,
        })
    }

    /// Every id once: by video, then by piece.
    fn ids(&self) -> Result<Vec<String>> {
        let mut ids = BTreeMap::new();
        for sequence in self.features.sequences() {
            for id in sequence.ids() {
                let (video, piece) = split_id(id);
                ids.entry((video, piece, id.as_str()))
                    .or_insert(sequence.path());
            }
        }
        if ids.is_empty() {
            return Ok(self.table_ids());
        }
        let mut whole = None;
        for (&(video, _, id), path) in &ids {
            if id == video {
                whole = Some(video);
            } else if whole == Some(video) {
                let reason = format!(
                    "a piece of {video:?}, which is there as a whole too: without the labelled intervals of {:?} \
                     all files must cut a video alike",
                    self.config.labels
                );
                return Err(DataError::entry(path, id, reason));
            }
        }
        Ok(ids.into_keys().map(|(_, _, id)| id.to_owned()).collect())
    }

    /// The SDK's keys of the table's rows, in its order.
    fn table_ids(&self) -> Vec<String> {
        let rows = self.table.iter().flat_map(Table::rows);
        rows.filter_map(|row| Some(format!("{}[{}]", row.video, row.number?.checked_sub(1)?)))
            .collect()
    }

    /// One segment: all there is of an id.
    fn whole(&self, id: &str) -> Result<Part> {
        let material = self.features.entry(id)?;
        let (video, piece) = split_id(id);
        let mut report = DataReport::default();
        let text = match &material.words {
            Some(words) => words.whole(&self.config.pause_token),
            None => self.table_text(video, piece),
        };
        let mut frames = |modality, frames: Option<VideoFrames>| {
            let frames = frames.map(VideoFrames::whole).unwrap_or_default();
            clean(frames, modality, self.config, &mut report)
        };
        let segment = Segment {
            id: id.to_owned(),
            video: video.to_owned(),
            text,
            vision: frames(Modality::Vision, material.vision),
            audio: frames(Modality::Audio, material.audio),
            label: None,
        };
        Ok(Part {
            segments: vec![segment],
            report,
        })
    }

    /// The table's text of one piece, or of all clips of a video.
    fn table_text(&self, video: &str, piece: Option<usize>) -> String {
        let Some(table) = &self.table else {
            return String::new();
        };
        match piece {
            Some(piece) => self.row(video, piece).map(|row| row.text.clone()),
            None => {
                let texts: Vec<&str> = table.clips(video).map(|row| row.text.as_str()).collect();
                Some(texts.join(" "))
            }
        }
        .unwrap_or_default()
    }

    fn row(&self, video: &str, index: usize) -> Option<&Row> {
        self.table.as_ref()?.row(video, index.checked_add(1)?)
    }

    /// The segments of a video with labelled intervals.
    fn labelled(&self, labels: &ComputationalSequence, video: &str) -> Result<Part> {
        let references = labelled_intervals(labels, video, self.config.label_column)?;
        let material = self.features.video(video)?;
        let mut report = DataReport {
            videos: 1,
            intervals: references.len(),
            ..DataReport::default()
        };
        let segments = references.into_iter().filter_map(|(index, reference)| {
            let row = self.row(video, index);
            self.cut(&material, video, index, reference, row, &mut report)
        });
        Ok(Part {
            segments: segments.collect(),
            report,
        })
    }

    /// One labelled interval's segment; none where it has no length and so no more than perhaps a transcript.
    fn cut(
        &self,
        material: &VideoFeatures,
        video: &str,
        index: usize,
        LabelledInterval { interval, label }: LabelledInterval,
        row: Option<&Row>,
        report: &mut DataReport,
    ) -> Option<Segment> {
        let too_short = is_too_short(interval);
        let words = material.words.as_ref();
        let by_words = words.map(|words| words.slice(interval, &self.config.pause_token));
        let by_table = row.map(|row| row.text.clone());
        let text = if too_short && self.config.text_from == TextFrom::Table {
            by_table
        } else {
            by_words.or(by_table)
        }
        .unwrap_or_default();
        if too_short {
            report.empty_intervals += 1;
            if text.is_empty() {
                *report.dropped.entry(DropReason::EmptyInterval).or_default() += 1;
                return None;
            }
        }
        let mut frames = |modality, frames: Option<&VideoFrames>| {
            let frames = frames.map_or_else(Frames::default, |frames| frames.slice(interval));
            clean(frames, modality, self.config, report)
        };
        Some(Segment {
            id: format!("{video}[{index}]"),
            video: video.to_owned(),
            text,
            vision: frames(Modality::Vision, material.vision.as_ref()),
            audio: frames(Modality::Audio, material.audio.as_ref()),
            label: label
                .is_finite()
                .then(|| clamp_label(label, self.config, report)),
        })
    }
}

/// The table of new data, whose labels and splits nobody need know.
fn open_table(config: &DataConfig, path: &Path) -> Result<Table> {
    let required = Required {
        text: true,
        label: false,
        split: false,
    };
    let table = Table::read_with(path, &config.columns, required)?;
    table.check_clip_numbers()?;
    Ok(table)
}

/// The error for a folder that has none of the files.
fn nothing(dir: &Path, files: Vec<PathBuf>) -> DataError {
    if files.is_empty() {
        return DataError::Config("no file is named for any of the modalities in use".to_owned());
    }
    DataError::Missing(MissingFiles {
        files,
        folder: dir.to_path_buf(),
        download: Download::None,
    })
}

impl Seen {
    /// One line of what a user should know: a lack is a warning, the rest a note.
    fn log(&self, config: &DataConfig) {
        let lacking: Vec<String> = config
            .modalities
            .iter()
            .filter_map(|modality| Some((self.lacking.get(modality)?, modality)))
            .filter(|&(&count, _)| count > 0)
            .map(|(count, modality)| format!("{count} without {modality}"))
            .collect();
        let (segments, report) = (self.segments, &self.report);
        let non_finite: usize = report.non_finite.values().sum();
        let shortened: usize = report.shortened.values().sum();
        let dropped: usize = report.dropped.values().sum();
        if lacking.is_empty() {
            tracing::info!(segments, non_finite, shortened, dropped, "new data");
        } else {
            let lacking = lacking.join(", ");
            tracing::warn!(
                segments, lacking, non_finite, shortened, dropped, "new data"
            );
        }
    }
}
