//! The segments of a release, one after another.

use std::collections::HashSet;
use std::path::Path;

use super::part::{Padding, unpad};
use super::part::{Part, Reader, Track};
use super::{Layout, Release, join};
use crate::clean::{Admitted, Intake, Purpose, Taken};
use crate::config::Files;
use crate::in_two_splits;
use crate::segment::{SegmentSource, Visit};
use crate::{
    DataConfig, DataReport, DropReason, Frames, FramesOf, Modality, Result, Segment, Unit, Widths,
};

/// Bytes of frames read at a time.
const BLOCK: usize = 8 << 20;

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
        if release.layout == Layout::Mult && config.uses(Modality::Text) && files.table.is_none() {
            let reason =
                "a release of MulT's kind, which holds no words: its label.csv is needed as table";
            return Err(release.wrong("the whole", reason));
        }
        let parts = release.splits.iter().map(|(split, name)| {
            let (release, config) = (&release, config);
            Reader {
                release,
                config,
                name,
                purpose,
            }
            .part(*split)
        });
        let mut parts: Vec<Part> = parts.collect::<Result<_>>()?;
        check_ids(&release, &parts)?;
        if config.frames == FramesOf::Word {
            check_aligned(&release, &parts)?;
        }
        let mut report = about(&parts);
        if let Some(table) = join::table(config, files, release.layout)? {
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

    /// Reads the frames of one modality of some segments of a part.
    fn block<'a>(
        &'a self,
        part: &'a Part,
        modality: Modality,
        start: usize,
        end: usize,
    ) -> Result<Option<Block<'a>>> {
        let Some(track) = part.tracks.get(&modality) else {
            return Ok(None);
        };
        let array = self.release.frames(&part.name, modality)?;
        Ok(Some(Block {
            track,
            start,
            row: array.row_elements(),
            values: array.rows_f32(start..end)?,
            padding: self.release.layout.padding(),
            per_token: self.config.frames == FramesOf::Word,
        }))
    }

    /// Segments of a part that are read at a time.
    fn step(&self, part: &Part) -> Result<usize> {
        let mut bytes = 1_usize;
        for &modality in part.tracks.keys() {
            let array = self.release.frames(&part.name, modality)?;
            let row = array
                .row_elements()
                .saturating_mul(array.dtype().size.max(4));
            bytes = bytes.saturating_add(row);
        }
        Ok((BLOCK / bytes).max(1))
    }

    fn visit_part(&self, part: &Part, seen: &mut Seen<'_>, visit: &mut Visit<'_>) -> Result<()> {
        let step = self.step(part)?;
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
                .cloned()
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
    /// Sequences with frames beyond their stated length.
    contradicted: usize,
}

impl Seen<'_> {
    /// The frames of a segment, without padding, cleaned.
    fn frames(&mut self, block: Option<&Block<'_>>, modality: Modality, row: usize) -> Frames {
        let Some(block) = block else {
            return Frames::default();
        };
        let (values, contradicted) = block.values_of(row);
        self.contradicted += usize::from(contradicted);
        let frames = Frames::new(values, block.track.width);
        self.intake.frames(modality, frames)
    }
}

/// Frames of some segments.
struct Block<'a> {
    track: &'a Track,
    start: usize,
    /// Values in a segment, padding and all.
    row: usize,
    values: Vec<f32>,
    padding: Padding,
    /// Whether row i belongs to token i, so that no row may go but those at the end.
    per_token: bool,
}

impl Block<'_> {
    /// The values of one segment without padding, and whether its stated length contradicts them.
    fn values_of(&self, row: usize) -> (Vec<f32>, bool) {
        let from = (row - self.start) * self.row;
        let padded = self.values.get(from..from + self.row).unwrap_or_default();
        let lengths = self.track.lengths.as_ref();
        let length = lengths.and_then(|lengths| lengths.get(row)).copied();
        let width = self.track.width;
        let found = unpad(padded, width, length, self.padding);
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
            contradicted: 0,
        };
        for part in &self.parts {
            self.visit_part(part, &mut seen, visit)?;
        }
        if seen.contradicted > 0 {
            tracing::warn!(
                "{}: {} sequences have frames that are not zero beyond their stated length; the lengths are followed",
                self.release.path().display(),
                seen.contradicted
            );
        }
        seen.intake.report.finish(self.release.path())
    }
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
                return Err(release.wrong(&format!("{}[\"id\"]", part.name), reason));
            }
        }
    }
    Ok(())
}

/// Refuses a release that states lengths of its own for frames: it is not aligned.
fn check_aligned(release: &Release, parts: &[Part]) -> Result<()> {
    let tracks = parts
        .iter()
        .flat_map(|part| part.tracks.iter().map(move |track| (part, track)));
    for (part, (modality, track)) in tracks {
        if track.lengths.is_some() || release.layout == Layout::Mult {
            let reason = "frames have lengths of their own, but one row per token is asked for \
                          (data.frames = \"word\"): take an aligned release, such as aligned_50.pkl";
            return Err(release.wrong(&format!("{}[\"{modality}\"]", part.name), reason));
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
        match first {
            Some((other, width)) if width != track.width => {
                let reason = format!(
                    "frames of {} features, but of {width} in {}",
                    track.width, other.name
                );
                return Err(release.wrong(&format!("{}[\"{modality}\"]", part.name), reason));
            }
            _ => first = Some((part, track.width)),
        }
    }
    Ok(first.map_or(0, |(_, width)| width))
}
