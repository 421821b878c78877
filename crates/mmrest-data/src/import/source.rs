//! The segments of a release, one after another.

use std::collections::HashSet;
use std::path::Path;

use super::cells::Columns;
use super::frames::{Padding, unpad};
use super::ids::{self, Stored};
use super::part::{Part, Reader, Track};
use super::survey::StoredFrames;
use super::{Place, Release, join};
use crate::clean::{Admitted, Intake, Purpose, Taken};
use crate::config::Files;
use crate::in_two_splits;
use crate::segment::{SegmentSource, Visit};
use crate::table::Table;
use crate::text::count;
use crate::{
    DataConfig, DataReport, DropReason, Frames, FramesOf, Modality, Result, Segment, Unit, Widths,
};

/// Bytes of frames read at a time.
const BLOCK: usize = 8 << 20;

/// Segments read at a time at most.
const MOST_AT_A_TIME: usize = 1 << 16;

/// The whole of a release, as a place of an error.
const WHOLE: Place<'_> = Place {
    view: None,
    key: "",
};

/// A release, checked and joined to its table; its frames still in the file.
pub(crate) struct ReleaseSource {
    config: DataConfig,
    purpose: Purpose,
    release: Release,
    parts: Vec<Part>,
    widths: Widths,
    /// The report as far as it is known before any frame is read.
    report: DataReport,
}

impl ReleaseSource {
    pub(crate) fn open(config: &DataConfig, files: &Files, purpose: Purpose) -> Result<Self> {
        let path = files.file.as_deref().unwrap_or(Path::new(""));
        Self::new(Release::open(path)?, config, files, purpose)
    }

    /// A release of which the configuration says what to take.
    pub(crate) fn new(
        release: Release,
        config: &DataConfig,
        files: &Files,
        purpose: Purpose,
    ) -> Result<Self> {
        if purpose == Purpose::Training {
            release.check_splits()?;
        }
        let table = join::table(config, files, !release.has_text())?;
        let mut parts = parts(&release, config, purpose, table.as_ref())?;
        check_ids(&release, &parts)?;
        if config.frames == FramesOf::Word {
            check_aligned(&release, &parts)?;
        }
        let mut report = about(&parts);
        report.unused.clone_from(&release.unused);
        if purpose == Purpose::Training {
            report.splits_absent = release.splits_absent();
        }
        if let Some(table) = table {
            join::join(&release, config, &table, &mut parts, &mut report)?;
        }
        Ok(Self {
            config: config.clone(),
            purpose,
            widths: Widths {
                vision: width(&release, &parts, Modality::Vision)?,
                audio: width(&release, &parts, Modality::Audio)?,
            },
            release,
            parts,
            report,
        })
    }

    pub(super) fn release(&self) -> &Release {
        &self.release
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The report before any frame is read.
    pub(super) fn about(&self) -> &DataReport {
        &self.report
    }

    /// Reads the frames of one modality of some segments of a part.
    fn block<'a>(
        &self,
        part: &'a Part,
        modality: Modality,
        start: usize,
        end: usize,
    ) -> Result<Option<Block<'a>>> {
        let Some(track) = part.tracks.get(&modality) else {
            return Ok(None);
        };
        let view = self.release.views.get(part.view);
        let Some(pickle) = view.and_then(|view| self.release.pickle(view)) else {
            return Ok(None);
        };
        let mut columns = Columns::of_file(self.release.bytes());
        Ok(Some(Block {
            track,
            start,
            rows: track.stored.rows(pickle, start..end, &mut columns)?,
            per_token: self.config.frames == FramesOf::Word,
        }))
    }

    /// Gives the frames of one modality as they are stored.
    pub(super) fn visit_stored(
        &self,
        modality: Modality,
        visit: &mut dyn FnMut(StoredFrames),
    ) -> Result<()> {
        for part in &self.parts {
            let step = step(part);
            for start in (0..part.ids.len()).step_by(step) {
                let end = part.ids.len().min(start.saturating_add(step));
                let Some(block) = self.block(part, modality, start, end)? else {
                    break;
                };
                let track = block.track;
                let lengths = track.lengths.as_ref();
                for (row, values) in (start..end).zip(block.rows) {
                    visit(StoredFrames {
                        values,
                        width: track.stored.width,
                        length: lengths.and_then(|lengths| lengths.get(row)).copied(),
                        padding: track.padding,
                    });
                }
            }
        }
        Ok(())
    }

    fn visit_part(&self, part: &Part, seen: &mut Seen<'_>, visit: &mut Visit<'_>) -> Result<()> {
        let step = step(part);
        let mut start = 0;
        while start < part.ids.len() {
            let end = part.ids.len().min(start.saturating_add(step));
            let vision = self.block(part, Modality::Vision, start, end)?;
            let audio = self.block(part, Modality::Audio, start, end)?;
            for row in start..end {
                let vision = seen.frames(vision.as_ref(), Modality::Vision, row);
                let audio = seen.frames(audio.as_ref(), Modality::Audio, row);
                let taken = self.segment(part, row, [vision, audio], &mut seen.intake)?;
                seen.intake.pass(taken, visit)?;
            }
            start = end;
        }
        Ok(())
    }

    fn segment(
        &self,
        part: &Part,
        row: usize,
        [vision, audio]: [Frames; 2],
        intake: &mut Intake<'_>,
    ) -> Result<Taken> {
        let (Some(id), Some(key)) = (part.ids.get(row), part.keys.get(row)) else {
            return Ok(Err(DropReason::NoLabel));
        };
        let split = part.split.ok_or(DropReason::NoFold);
        let Admitted { label, split } = match intake.admit(part.labels.get(row).copied(), split) {
            Ok(admitted) => admitted,
            Err(reason) => return Ok(Err(reason)),
        };
        let texts = part
            .texts
            .as_ref()
            .filter(|_| self.config.uses(Modality::Text));
        let segment = Segment {
            id: id.clone(),
            video: key.video().to_owned(),
            text: texts
                .and_then(|texts| texts.get(row))
                .map(|text| text.to_string())
                .unwrap_or_default(),
            vision,
            audio,
            label,
        };
        intake.take(split, segment)
    }
}

/// What is met while visiting.
struct Seen<'a> {
    intake: Intake<'a>,
    widths: Widths,
    /// Sequences with frames beyond their stated length.
    contradicted: usize,
}

impl Seen<'_> {
    /// Features in a frame of the data set, though a part without frames cannot tell.
    fn width(&self, modality: Modality) -> usize {
        match modality {
            Modality::Text => 0,
            Modality::Vision => self.widths.vision,
            Modality::Audio => self.widths.audio,
        }
    }

    /// The frames of a segment, without padding, cleaned.
    fn frames(&mut self, block: Option<&Block<'_>>, modality: Modality, row: usize) -> Frames {
        let Some(block) = block else {
            return Frames::default();
        };
        let (values, contradicted) = block.values_of(row);
        self.contradicted += usize::from(contradicted);
        let frames = Frames::new(values, self.width(modality));
        self.intake.frames(modality, frames)
    }
}

/// Frames of some segments.
struct Block<'a> {
    track: &'a Track,
    start: usize,
    /// The values of each segment, padding and all.
    rows: Vec<Vec<f32>>,
    /// Whether row i belongs to token i, so that no row may go but those at the end.
    per_token: bool,
}

impl Block<'_> {
    /// The values of one segment without padding, and whether its stated length contradicts them.
    fn values_of(&self, row: usize) -> (Vec<f32>, bool) {
        let padded = self.rows.get(row - self.start);
        let padded = padded.map(Vec::as_slice).unwrap_or_default();
        let lengths = self.track.lengths.as_ref();
        let length = lengths.and_then(|lengths| lengths.get(row)).copied();
        let width = self.track.stored.width;
        let found = unpad(padded, width, length, self.track.padding);
        let start = if self.per_token {
            0
        } else {
            found.frames.start
        };
        let kept = padded.get(start * width..found.frames.end * width);
        (kept.unwrap_or_default().to_vec(), found.contradicted)
    }
}

impl SegmentSource for ReleaseSource {
    fn widths(&self) -> Widths {
        self.widths
    }

    /// Training, validation, test, each in the order of the file.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        let mut seen = Seen {
            intake: Intake::new(&self.config, self.purpose, self.report.clone()),
            widths: self.widths,
            contradicted: 0,
        };
        for part in &self.parts {
            self.visit_part(part, &mut seen, visit)?;
        }
        if seen.contradicted > 0 {
            tracing::warn!(
                "{}: {} with frames that are not zero beyond the stated length; the lengths are followed",
                self.release.path().display(),
                count(seen.contradicted, "sequence")
            );
        }
        seen.intake.report.finish(self.release.path())
    }
}

/// Segments of a part that are read at a time.
fn step(part: &Part) -> usize {
    let bytes = part.tracks.values().map(|track| track.stored.row_bytes());
    (BLOCK / bytes.fold(1_usize, usize::saturating_add)).clamp(1, MOST_AT_A_TIME)
}

/// Reads every part: labels first, which tell whether the set can be used at all; then ids, whose meaning is decided for
/// all parts together; then the rest.
fn parts(
    release: &Release,
    config: &DataConfig,
    purpose: Purpose,
    table: Option<&Table>,
) -> Result<Vec<Part>> {
    let mut columns = Columns::of_file(release.bytes());
    let mut readers = Vec::new();
    for (place, view) in release.views() {
        if let Some(pickle) = release.pickle(view) {
            readers.push(Reader {
                release,
                pickle,
                view,
                place,
                config,
                purpose,
            });
        }
    }
    let labels = readers.iter().map(|reader| reader.labels(&mut columns));
    let labels: Vec<_> = labels.collect::<Result<_>>()?;
    if table.is_none() && config.uses(Modality::Text) && !release.has_text() {
        let reason = "a release of MulT's kind, which holds no words (no key \"raw_text\"): its label.csv is needed as table";
        return Err(release.wrong(WHOLE, reason));
    }
    let stored = readers.iter().map(|reader| reader.ids(&mut columns));
    let stored: Vec<_> = stored.collect::<Result<_>>()?;
    let named: Vec<Stored<'_>> = readers
        .iter()
        .zip(&stored)
        .map(|(reader, column)| Stored {
            part: &reader.view.name,
            column,
        })
        .collect();
    let keys = ids::keys(&named, table, release.bytes()).map_err(|(place, reason)| {
        let key = readers.get(place).and_then(Reader::id_key).unwrap_or("id");
        let view = readers.get(place).map(|reader| reader.place);
        release.wrong(Place { view, key }, reason)
    })?;
    let each = readers.iter().zip(keys).zip(labels);
    each.map(|((reader, keys), labels)| reader.part(keys, labels, &mut columns))
        .collect()
}

/// Starts the report with what the ids show: videos, segments, videos in two splits.
fn about(parts: &[Part]) -> DataReport {
    let mut report = DataReport::begin(Unit::Segments);
    let of = || {
        let parts = parts.iter();
        parts.flat_map(|part| part.keys.iter().map(|key| (key.video(), part.split)))
    };
    report.videos = of().map(|(video, _)| video).collect::<HashSet<_>>().len();
    let with_splits = of().filter_map(|(video, split)| Some((video, split?)));
    report.videos_in_two_splits = in_two_splits(with_splits).len();
    report.intervals = parts.iter().map(|part| part.keys.len()).sum();
    report.videos_unknown = parts
        .iter()
        .flat_map(|part| &part.keys)
        .any(ids::Key::is_plain);
    report
}

/// Refuses an id that is there twice, in one split or in two.
fn check_ids(release: &Release, parts: &[Part]) -> Result<()> {
    let mut known = std::collections::HashMap::new();
    for part in parts {
        for id in &part.ids {
            if let Some(first) = known.insert(id.as_str(), part.name.as_str()) {
                let reason = if first == part.name {
                    format!("{id:?} is there twice")
                } else {
                    format!("{id:?} is in {first:?} as well")
                };
                let view = Some(part.view);
                return Err(release.wrong(Place { view, key: "id" }, reason));
            }
        }
    }
    Ok(())
}

/// Refuses a release that states lengths of its own for frames, or has zeros before them: its rows are not those of tokens.
fn check_aligned(release: &Release, parts: &[Part]) -> Result<()> {
    let tracks = parts
        .iter()
        .flat_map(|part| part.tracks.iter().map(move |track| (part, track)));
    for (part, (modality, track)) in tracks {
        if track.lengths.is_some() || track.padding == Padding::Left {
            let reason = "frames have lengths of their own, but one row per token is asked for \
                          (data.frames = \"word\"): take an aligned release, such as aligned_50.pkl";
            let place = Place {
                view: Some(part.view),
                key: modality.name(),
            };
            return Err(release.wrong(place, reason));
        }
    }
    Ok(())
}

/// Features in a frame, the same in all splits; 0 for a modality not in use.
fn width(release: &Release, parts: &[Part], modality: Modality) -> Result<usize> {
    let tracks = parts
        .iter()
        .filter_map(|part| Some((part, part.tracks.get(&modality)?)));
    let mut first: Option<(&Part, usize)> = None;
    for (part, track) in tracks {
        let own = track.stored.width;
        match first {
            _ if own == 0 => {} // no segment of it has a frame
            Some((other, width)) if width != own => {
                let reason = format!("frames of {own} features, but of {width} in {}", other.name);
                let view = Some(part.view);
                let key = release.key(modality).unwrap_or_default();
                return Err(release.wrong(Place { view, key }, reason));
            }
            _ => first = Some((part, own)),
        }
    }
    Ok(first.map_or(0, |(_, width)| width))
}
