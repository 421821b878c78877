//! The rows of a table, in the order of their times.

use std::collections::VecDeque;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use mmrest_data::csd::{Entry, Features};
use mmrest_data::text::{count, quoted};

use super::{Header, TableSet, Tool};
use crate::error::{MediaError, Result};
use crate::file::{MediaFile, OpenFile};

/// Where the time of a row is.
#[derive(Clone, Copy)]
enum Times {
    /// Its start; it lasts until the next row.
    Start(usize),
    /// Start and end.
    Both(usize, usize),
    /// The number of a video's frame, of so many in a second.
    Frame(usize, f64),
    /// Nowhere: a row is of the whole recording.
    Whole,
}

/// A row that is to be taken, or not.
struct Row {
    start: f64,
    end: f64,
    confidence: f32,
    /// None where the face is not found, or not surely.
    values: Option<Vec<f32>>,
}

/// Reads the rows of a table in the order of their times: memory holds those of one segment.
pub(crate) struct TableReader {
    path: PathBuf,
    records: csv::StringRecordsIntoIter<BufReader<OpenFile>>,
    /// Lines before the first row.
    lines: usize,
    /// Cells that a row has, as the header says.
    columns: usize,
    places: Vec<usize>,
    times: Times,
    confidence: Option<usize>,
    success: Option<usize>,
    least_confidence: f32,
    /// The row after those in the buffer.
    ahead: Option<Row>,
    /// The last that was read of the file.
    raw: Option<Row>,
    /// Its start.
    latest: f64,
    step: f64,
    buffer: VecDeque<Row>,
    rows: usize,
    unsure: usize,
    several: usize,
}

impl TableReader {
    /// Opens a table; `frame_rate` is that of the video, for tables that count frames.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no rows, is not of the set's program, lacks columns, or counts frames of an unknown
    /// frame rate.
    pub(crate) fn open(
        file: MediaFile<'_>,
        set: &TableSet,
        frame_rate: Option<f64>,
    ) -> Result<Self> {
        let path = file.name();
        let header = Header::read(file)?;
        let places = set.places(path, &header)?;
        let frame = header.place("frame").or(header.place("Frame"));
        let times = match (
            header.place("timestamp"),
            header.place("frameTime"),
            set.tool,
        ) {
            (Some(start), _, Tool::OpenFace) | (_, Some(start), Tool::OpenSmile) => {
                Times::Start(start)
            }
            (_, _, Tool::PyFeat) => {
                let reason = |reason: &str| MediaError::text(path, reason);
                let frame =
                    frame.ok_or_else(|| reason("a table of py-feat without a column frame"))?;
                let rate = frame_rate.filter(|rate| *rate > 0.0).ok_or_else(|| {
                    reason("counts frames, and the recording does not tell how many there are in a second: give the frame rate")
                })?;
                Times::Frame(frame, rate)
            }
            _ => match (header.place("start"), header.place("end")) {
                (Some(start), Some(end)) => Times::Both(start, end),
                _ => Times::Whole,
            },
        };
        let io = |error| MediaError::io(path, error);
        let mut file = file.open()?;
        file.seek(SeekFrom::Start(header.length)).map_err(io)?;
        let records = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(header.separator)
            .quote(if header.numeric.is_some() {
                b'\''
            } else {
                b'"'
            })
            .trim(csv::Trim::All)
            .comment(header.numeric.is_some().then_some(b'%'))
            .flexible(true)
            .from_reader(BufReader::new(file))
            .into_records();
        let mut reader = Self {
            path: path.to_path_buf(),
            records,
            lines: header.lines,
            columns: header.named(),
            places,
            times,
            confidence: match set.tool {
                Tool::OpenFace => header.place("confidence"),
                Tool::PyFeat => header.place("FaceScore"),
                Tool::OpenSmile => None,
            },
            success: header
                .place("success")
                .filter(|_| set.tool == Tool::OpenFace),
            least_confidence: set.least_confidence.unwrap_or(f32::NEG_INFINITY),
            ahead: None,
            raw: None,
            latest: f64::NEG_INFINITY,
            step: 0.0,
            buffer: VecDeque::new(),
            rows: 0,
            unsure: 0,
            several: 0,
        };
        reader.raw = reader.read()?;
        if reader.raw.is_none() {
            return Err(MediaError::text(path, "no row below its header"));
        }
        reader.ahead = reader.group()?;
        Ok(reader)
    }

    /// The rows that overlap a stretch of time, their intervals cut to it. Rows before it and before `keep`, the start of
    /// the next stretch, are forgotten.
    ///
    /// # Errors
    ///
    /// A row cannot be read, or lies before the one above it.
    pub(crate) fn rows(&mut self, [start, end]: [f64; 2], keep: f64) -> Result<Entry> {
        let kept = start.min(keep);
        self.buffer.retain(|row| row.end > kept);
        while self.ahead.as_ref().is_some_and(|row| row.start < end) {
            let next = self.group()?;
            let row = std::mem::replace(&mut self.ahead, next);
            let taken = |row: &Row| row.values.is_some() && row.end > kept;
            self.buffer.extend(row.filter(taken));
        }
        let (mut intervals, mut values) = (Vec::new(), Vec::new());
        for row in &self.buffer {
            let interval = [row.start.max(start), row.end.min(end)];
            if interval[1] - interval[0] > mmrest_data::TOLERANCE {
                intervals.push(interval);
                values.extend(row.values.iter().flatten());
            }
        }
        let width = self.places.len();
        Ok(Entry {
            intervals,
            features: Features::Numeric { values, width },
        })
    }

    /// What was left out, in sentences.
    pub(crate) fn notes(&self) -> Vec<String> {
        let name = self.path.display();
        let mut notes = Vec::new();
        if self.unsure > 0 {
            notes.push(format!(
                "{name}: {} of {} without a face of confidence {} or more, left out",
                self.unsure,
                count(self.rows, "frame"),
                self.least_confidence
            ));
        }
        if self.several > 0 {
            let frames = count(self.several, "frame");
            notes.push(format!(
                "{name}: {frames} of several faces: the surest is taken"
            ));
        }
        notes
    }

    /// The next frame: of several faces the one that is found with the most confidence. Ends are filled in.
    fn group(&mut self) -> Result<Option<Row>> {
        let Some(mut row) = self.raw.take() else {
            return Ok(None);
        };
        self.rows += 1;
        let mut faces = 1;
        loop {
            self.raw = self.read()?;
            match &self.raw {
                Some(next) if next.start == row.start && self.confidence.is_some() => {
                    faces += 1;
                    if next.confidence > row.confidence || row.values.is_none() {
                        let next = self.raw.take();
                        row = next.unwrap_or(row);
                    }
                }
                _ => break,
            }
        }
        self.several += usize::from(faces > 1);
        self.unsure += usize::from(row.values.is_none());
        if row.end.is_nan() {
            row.end = match &self.raw {
                Some(next) => next.start,
                None if self.step > 0.0 => row.start + self.step,
                None => f64::INFINITY, // the only row
            };
            self.step = row.end - row.start;
        }
        Ok(Some(row))
    }

    fn read(&mut self) -> Result<Option<Row>> {
        let Some(record) = self.records.next() else {
            return Ok(None);
        };
        let wrong = |line: u64, reason: String| {
            MediaError::text(&self.path, format!("line {line}: {reason}"))
        };
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            wrong(
                line + self.lines as u64,
                "no row of a table in UTF-8".to_owned(),
            )
        })?;
        let line = record.position().map_or(0, csv::Position::line) + self.lines as u64;
        if record.len() < self.columns {
            let (cells, columns) = (count(record.len(), "cell"), self.columns);
            let reason =
                format!("{cells}, but the header names {columns} columns: the row is cut short");
            return Err(wrong(line, reason));
        }
        let cell = |place: usize| record.get(place).unwrap_or("");
        let number = |place: usize| -> Result<f64> {
            let cell = cell(place);
            let value = match cell {
                "" | "?" => Some(f64::NAN),
                _ => cell.parse().ok(),
            };
            value.ok_or_else(|| wrong(line, format!("{} is no number", quoted(cell))))
        };
        let time = |place: usize| -> Result<f64> {
            let value = seconds(cell(place)).filter(|time| time.is_finite());
            value.ok_or_else(|| wrong(line, format!("{} is no time", quoted(cell(place)))))
        };
        let (start, end) = match self.times {
            Times::Start(start) => (time(start)?, f64::NAN),
            Times::Both(start, end) => (time(start)?, time(end)?),
            Times::Frame(frame, rate) => (time(frame)? / rate, f64::NAN),
            Times::Whole => (0.0, f64::INFINITY),
        };
        if start < self.latest {
            let reason = format!("its time, {start} s, is before that of the row above");
            return Err(wrong(line, reason));
        }
        let confidence = self.confidence.map(&number).transpose()?;
        let success = self.success.map(&number).transpose()?;
        let least = self.least_confidence;
        #[allow(clippy::cast_possible_truncation)]
        let confidence =
            confidence.map_or(
                f32::INFINITY,
                |of| if of.is_nan() { -1.0 } else { of as f32 },
            );
        let found = confidence >= least && success != Some(0.0);
        let values: Result<Vec<f32>> = self
            .places
            .iter()
            .map(|&place| {
                #[allow(clippy::cast_possible_truncation)]
                number(place).map(|value| value as f32)
            })
            .collect();
        self.latest = start;
        Ok(Some(Row {
            start,
            end,
            confidence,
            values: Some(values?).filter(|_| found),
        }))
    }
}

/// Seconds of `1.25`, or of pandas' `0 days 00:00:01.250000`.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let (days, clock) = text.split_once(" days")?;
    let days: f64 = days.trim().parse().ok()?;
    let clock = clock.trim().trim_start_matches('+');
    let parts = clock.split(':').filter(|part| !part.is_empty());
    let clock = parts.clone().try_fold(0.0, |sum, part| {
        let part: f64 = part.parse().ok()?;
        Some(sum * 60.0 + part)
    })?;
    Some(days * 86_400.0 + clock)
}
