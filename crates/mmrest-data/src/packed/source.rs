//! Packed sets as a source of segments, and any source packed.

use std::path::Path;

use super::{About, PackedSet, PackedWriter};
use crate::clean::{Admitted, Intake, Purpose, Taken};
use crate::in_two_splits;
use crate::segment::Visit;
use crate::{
    DataConfig, DataError, DataReport, Frames, LabelSummary, Modality, Result, Segment,
    SegmentSource, Split, Widths,
};

impl SegmentSource for PackedSet {
    fn widths(&self) -> Widths {
        PackedSet::widths(self)
    }

    /// Gives the segments in the order of rows; the report is the stored one.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        for row in 0..self.len() {
            visit(Some(self.split_of(row)), self.segment(row)?)?;
        }
        let report = self.about().report.clone();
        if self.is_empty() {
            return Err(DataError::Empty {
                labels: self.path().to_path_buf(),
                report: Box::new(report),
            });
        }
        Ok(report)
    }
}

/// What a configuration chooses of a packed set.
pub(crate) struct Chosen {
    set: PackedSet,
    config: DataConfig,
    purpose: Purpose,
}

impl Chosen {
    pub(crate) fn open(config: &DataConfig, path: &Path, purpose: Purpose) -> Result<Self> {
        let set = PackedSet::open_verified(path)?;
        if let Some(modality) = config
            .modalities
            .iter()
            .find(|modality| !set.has(**modality))
        {
            let reason = format!("it has no {modality}, which modalities asks for");
            return Err(DataError::packed(path, reason));
        }
        Ok(Self {
            set,
            config: config.clone(),
            purpose,
        })
    }

    /// A row with its split, or why it is left out.
    fn segment(&self, row: usize, intake: &mut Intake<'_>) -> Result<Taken> {
        let set = &self.set;
        let Admitted { label, split } = match intake.admit(set.label(row), Ok(set.split_of(row))) {
            Ok(admitted) => admitted,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut frames = |modality| {
            if !self.config.uses(modality) {
                return Ok(Frames::default());
            }
            Ok(intake.frames(modality, set.frames(modality, row)?))
        };
        let vision = frames(Modality::Vision)?;
        let audio = frames(Modality::Audio)?;
        let text = if self.config.uses(Modality::Text) {
            set.text(row).to_owned()
        } else {
            String::new()
        };
        let segment = Segment {
            id: set.id(row).to_owned(),
            video: set.video(row).to_owned(),
            text,
            vision,
            audio,
            label,
        };
        intake.take(split, segment)
    }

    /// The stored report without what is counted anew, or is about a modality not in use.
    fn report(&self) -> DataReport {
        let mut report = self.set.about().report.clone();
        report.segments = Split::ALL.map(|split| (split, 0)).into();
        let rows = 0..self.set.len();
        let of = rows.map(|row| (self.set.video(row), self.set.split_of(row)));
        report.videos_in_two_splits = in_two_splits(of).len();
        report.absent.clear();
        report.labels = LabelSummary::default();
        report
            .non_finite
            .retain(|&modality, _| self.config.uses(modality));
        report
            .shortened
            .retain(|&modality, _| self.config.uses(modality));
        report
    }
}

impl SegmentSource for Chosen {
    fn widths(&self) -> Widths {
        let Widths { vision, audio } = self.set.widths();
        let used = |modality, width| if self.config.uses(modality) { width } else { 0 };
        Widths {
            vision: used(Modality::Vision, vision),
            audio: used(Modality::Audio, audio),
        }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<DataReport> {
        let mut intake = Intake::new(&self.config, self.purpose, self.report());
        for row in 0..self.set.len() {
            let taken = self.segment(row, &mut intake)?;
            intake.pass(taken, visit)?;
        }
        // On the set's own scale its summary knows more: the labels before they were clamped.
        let stored = &self.set.about().report.labels;
        let counted = &mut intake.report.labels;
        if counted.scale.is_some() && counted.scale == stored.scale {
            counted.clone_from(stored);
        }
        intake.report.finish(self.set.path())
    }
}

/// Writes all segments of a source into a packed set at `path`, holding one of them in memory at a time; `text` says
/// whether text is in use. The report stored is the source's, whatever `about` has.
///
/// `watch` gets the number of segments written so far, and returns whether to go on.
///
/// ```
/// use mmrest_data::packed::{About, PackedSet, pack};
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
/// let path = folder.path().join("set.h5");
/// let source = open(&config, folder.path())?;
/// pack(source.as_ref(), true, About::default(), &path, &mut |_| true)?;
/// assert_eq!(PackedSet::open(&path)?.rows(Split::Train).len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of reading and of [`PackedWriter`]; [`DataError::Stopped`] when `watch` says so. Nothing is left behind then.
pub fn pack(
    source: &dyn SegmentSource,
    text: bool,
    about: About,
    path: &Path,
    watch: &mut dyn FnMut(usize) -> bool,
) -> Result<()> {
    let mut writer = PackedWriter::create(path, source.widths(), text)?;
    let mut written = 0;
    let report = source.visit(&mut |split, segment| {
        let Some(split) = split else {
            let reason = format!("segment {:?} has no split, which it must name", segment.id);
            return Err(DataError::packed(path, reason));
        };
        writer.push(split, &segment)?;
        written += 1;
        if watch(written) {
            Ok(())
        } else {
            Err(DataError::Stopped)
        }
    })?;
    writer.finish(About { report, ..about })
}
