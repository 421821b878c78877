//! Cuts a video into segments.

use super::feature_sources::{VideoFeatures, VideoFrames};
use super::{Sequences, Splits};
use crate::clean::{Admitted, Intake, Purpose, Taken};
use crate::cross_check::{same_label, same_text};
use crate::csd::{ComputationalSequence, LabelledInterval, labelled_intervals, split_id};
use crate::table::Row;
use crate::{
    DataConfig, DataReport, DropReason, Frames, FramesOf, Modality, Result, Segment, Split,
    TextFrom, is_too_short,
};

/// What one video, or one id, contributes.
pub(super) struct Loaded {
    pub(super) segments: Vec<(Option<Split>, Segment)>,
    pub(super) report: DataReport,
    /// Rows of the table that belong to its intervals.
    pub(super) table_rows: usize,
}

impl Sequences {
    /// Reads a video and cuts it by its labelled intervals. One that is in no fold is counted, not read.
    pub(super) fn labelled(&self, labels: &ComputationalSequence, video: &str) -> Result<Loaded> {
        let intervals = labelled_intervals(labels, video, self.config.label_column)?;
        let row = |index: usize| self.row(video, index);
        let table_rows = intervals
            .keys()
            .filter(|&&index| row(index).is_some())
            .count();
        let mut report = DataReport {
            videos: 1,
            intervals: intervals.len(),
            ..DataReport::default()
        };
        let mut segments = Vec::new();
        if let Splits::Folds(folds) = &self.splits
            && folds.split(video).is_none()
        {
            report.videos_in_no_fold.push(video.to_owned());
            report.dropped.insert(DropReason::NoFold, intervals.len());
            return Ok(Loaded {
                segments,
                report,
                table_rows,
            });
        }
        let mut features = self.features.video(video)?;
        features.cut_at(&intervals);
        let times: Vec<[f64; 2]> = intervals.values().map(|of| of.interval).collect();
        features.count_other_times(&times, &mut report);
        let mut intake = Intake::new(&self.config, self.purpose, report);
        for (index, interval) in intervals {
            let cut = Cut {
                sequences: self,
                features: &features,
                video,
                index,
                interval,
                row: row(index),
            };
            match cut.segment(&mut intake)? {
                Ok(kept) => segments.push(kept),
                Err(reason) => intake.drop(reason),
            }
        }
        Ok(Loaded {
            segments,
            report: intake.report,
            table_rows,
        })
    }

    /// One segment: all there is of an id.
    pub(super) fn whole(&self, id: &str) -> Result<Loaded> {
        let features = self.features.entry(id)?;
        let (video, piece) = split_id(id);
        let text = features.words.is_none();
        let text = text.then(|| self.table_text(video, piece));
        let mut intake = Intake::new(&self.config, self.purpose, DataReport::default());
        let segment = whole(&self.config, id, text, features, &mut intake);
        let mut segments = Vec::new();
        match intake.take(None, segment)? {
            Ok(taken) => segments.push(taken),
            Err(reason) => intake.drop(reason),
        }
        Ok(Loaded {
            segments,
            report: intake.report,
            table_rows: 0,
        })
    }

    /// The table's row of a labelled interval, which count from 0; its clips count from 1.
    fn row(&self, video: &str, index: usize) -> Option<&Row> {
        self.table.as_ref()?.row(video, index.checked_add(1)?)
    }

    /// The table's text of one piece, or of all clips of a video.
    fn table_text(&self, video: &str, piece: Option<usize>) -> String {
        let Some(table) = &self.table else {
            return String::new();
        };
        if let Some(piece) = piece {
            let row = self.row(video, piece);
            return row.map(|row| row.text.clone()).unwrap_or_default();
        }
        let texts: Vec<&str> = table.clips(video).map(|row| row.text.as_str()).collect();
        texts.join(" ")
    }
}

/// A segment of all there is of an id, without a label. Its text is `text`, or that of its words.
pub(super) fn whole(
    config: &DataConfig,
    id: &str,
    text: Option<String>,
    features: VideoFeatures,
    intake: &mut Intake<'_>,
) -> Segment {
    let words = features.words.as_ref();
    let spoken = || words.map(|words| words.whole(&config.pause_token));
    let text = text.or_else(spoken).filter(|_| config.uses(Modality::Text));
    let times = words.filter(|_| config.frames == FramesOf::Word);
    let times = times.map(|words| words.times(None, &config.pause_token));
    let mut frames = |modality, frames: Option<VideoFrames>| {
        let frames = frames.map(|frames| match &times {
            Some(times) => frames.of_words(times, None),
            None => frames.whole(),
        });
        intake.frames(modality, frames.unwrap_or_default())
    };
    Segment {
        id: id.to_owned(),
        video: split_id(id).0.to_owned(),
        text: text.unwrap_or_default(),
        vision: frames(Modality::Vision, features.vision),
        audio: frames(Modality::Audio, features.audio),
        label: None,
    }
}

/// One labelled interval about to become a segment.
struct Cut<'a> {
    sequences: &'a Sequences,
    features: &'a VideoFeatures,
    video: &'a str,
    index: usize,
    interval: LabelledInterval,
    row: Option<&'a Row>,
}

impl Cut<'_> {
    /// The segment with its split, or why there is none.
    fn segment(&self, intake: &mut Intake<'_>) -> Result<Taken> {
        if is_too_short(self.interval.interval) {
            intake.report.empty_intervals += 1;
            if self.transcript().is_none() {
                return Ok(Err(DropReason::EmptyInterval));
            }
        }
        let Admitted { label, split } = match intake.admit(Some(self.interval.label), self.split())
        {
            Ok(admitted) => admitted,
            Err(reason) => return Ok(Err(reason)),
        };
        self.compare_labels(&mut intake.report);
        let segment = Segment {
            id: format!("{}[{}]", self.video, self.index),
            video: self.video.to_owned(),
            text: self.text(&mut intake.report),
            vision: self.frames(Modality::Vision, self.features.vision.as_ref(), intake),
            audio: self.frames(Modality::Audio, self.features.audio.as_ref(), intake),
            label,
        };
        intake.take(split, segment)
    }

    fn split(&self) -> Result<Split, DropReason> {
        match &self.sequences.splits {
            Splits::Folds(folds) => folds.split(self.video).ok_or(DropReason::NoFold),
            Splits::Table => self
                .row
                .and_then(|row| row.split)
                .ok_or(DropReason::NoTableRow),
            Splits::None => Err(DropReason::NoFold),
        }
    }

    /// Cross-checks the label with the table's, where both are there.
    fn compare_labels(&self, report: &mut DataReport) {
        let own = self.interval.label;
        if let Some(theirs) = self.row.and_then(|row| row.label)
            && own.is_finite()
        {
            report.labels_compared += 1;
            report.label_mismatches += usize::from(!same_label(own, theirs));
        }
    }

    /// The text, from the words or from the table; where both are there, they are compared. New data have the words'
    /// wherever there are words.
    fn text(&self, report: &mut DataReport) -> String {
        let config = &self.sequences.config;
        if !config.uses(Modality::Text) {
            return String::new();
        }
        let interval = self.interval.interval;
        let words = self.features.words.as_ref();
        let spoken = words.map(|words| words.slice(interval, self.index, &config.pause_token));
        if let (Some(spoken), Some(row)) = (&spoken, self.row)
            && let Some(same) = same_text(&row.text, spoken)
            && !is_too_short(interval)
        {
            report.texts_compared += 1;
            report.text_mismatches += usize::from(!same);
        }
        let by_words = match self.sequences.purpose {
            Purpose::Training => config.text_from == TextFrom::Words,
            Purpose::Prediction => spoken.is_some() && !is_too_short(interval),
        };
        if by_words {
            spoken.unwrap_or_default()
        } else {
            self.transcript().unwrap_or_default().to_owned()
        }
    }

    /// The table's text where it is the segment's: the one thing an interval of no length can have.
    /// (CMU-MOSI has one such interval; the published 2,199 segments count it, the SDK's alignment leaves it out.)
    fn transcript(&self) -> Option<&str> {
        let config = &self.sequences.config;
        let wordless =
            self.sequences.purpose == Purpose::Prediction && self.features.words.is_none();
        let used = config.uses(Modality::Text) && (config.text_from == TextFrom::Table || wordless);
        let row = self.row.filter(|row| used && !row.text.is_empty())?;
        Some(&row.text)
    }

    /// The frames of one modality that lie in the interval, cleaned.
    fn frames(
        &self,
        modality: Modality,
        frames: Option<&VideoFrames>,
        intake: &mut Intake<'_>,
    ) -> Frames {
        let config = &self.sequences.config;
        let interval = self.interval.interval;
        let frames = frames.map(|frames| match (config.frames, &self.features.words) {
            (FramesOf::Word, Some(words)) => {
                let own = Some((interval, self.index));
                frames.of_words(&words.times(own, &config.pause_token), Some(self.index))
            }
            _ => frames.slice(interval, self.index),
        });
        frames.map_or_else(Frames::default, |frames| intake.frames(modality, frames))
    }
}
