//! A table of segments: where they lie in their recordings, what they are called, and their labels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mmrest_data::table::{Sheet, number};
use mmrest_data::text::quoted;
use mmrest_data::{DataError, Split};

use crate::error::{MediaError, Result};
use crate::extract::{Cut, WordsByMiddle};
use crate::transcript::Transcript;

/// The most words of all segments of a recording together: those of segments that overlap count in each.
const MOST_WORDS: usize = 1 << 20;

/// Seconds within which two times of a segment are the same.
const SAME: f64 = 1e-3;

/// A table of segments. Its columns, of which each may be absent: `video_id`, the recording; `clip_id` or `id`, the segment;
/// `start` and `end` in seconds; `label`; `mode`, the split. Separators are commas, semicolons or tabs.
#[derive(Clone, Debug)]
pub struct SegmentTable {
    path: PathBuf,
    columns: Columns,
    rows: Vec<Row>,
}

/// Which columns there are.
#[derive(Clone, Copy, Debug)]
struct Columns {
    video: Option<usize>,
    clip: Option<usize>,
    times: Option<(usize, usize)>,
    label: Option<usize>,
    split: Option<usize>,
}

#[derive(Clone, Debug)]
struct Row {
    video: String,
    clip: String,
    times: Option<[f64; 2]>,
    label: Option<f32>,
    split: Option<Split>,
}

/// The label of a segment and its split, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SegmentLabel {
    /// The sentiment.
    pub label: Option<f32>,
    /// The split.
    pub split: Option<Split>,
}

impl SegmentTable {
    /// Reads a table.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no table, or has a row whose times, label or split are none; the error names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let sheet = Sheet::read(path).map_err(|error| match error {
            DataError::Io { path, source } => MediaError::Io { path, source },
            other => MediaError::text(path, other.to_string()),
        })?;
        let mut lines = sheet.lines();
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(sheet.separator())
            .trim(csv::Trim::All)
            .from_reader(sheet.text());
        let broken = |error: &csv::Error| MediaError::text(path, error.to_string());
        let header = reader.headers().map_err(|error| broken(&error))?.clone();
        let find = |wanted: &str| header.iter().position(|column| column == wanted);
        let columns = Columns {
            video: find("video_id"),
            clip: find("clip_id").or_else(|| find("id")),
            times: find("start").zip(find("end")),
            label: find("label"),
            split: find("mode"),
        };
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| broken(&error))?;
            let line = record.position().map_or(1, |at| lines.line(at.byte()));
            let wrong = |reason: &str| MediaError::text(path, format!("line {line}: {reason}"));
            let cell = |place: Option<usize>| place.and_then(|at| record.get(at)).unwrap_or("");
            let time = |place: usize| {
                let time: Option<f64> = cell(Some(place)).replacen(',', ".", 1).parse().ok();
                time.filter(|time| time.is_finite() && *time >= 0.0)
            };
            let times = match columns.times {
                None => None,
                Some((start, end)) => match (time(start), time(end)) {
                    (Some(start), Some(end)) if end > start => Some([start, end]),
                    _ => return Err(wrong("start and end must be seconds, end after start")),
                },
            };
            let label = match cell(columns.label) {
                "" => None,
                cell => Some(
                    number(cell)
                        .ok_or_else(|| wrong(&format!("label {} is no number", quoted(cell))))?,
                ),
            };
            let split = match cell(columns.split) {
                "" => None,
                cell => Some(Split::from_name(cell).ok_or_else(|| {
                    wrong(&format!(
                        "mode {} is none of train, valid (or dev) and test",
                        quoted(cell)
                    ))
                })?),
            };
            rows.push(Row {
                video: cell(columns.video).to_owned(),
                clip: cell(columns.clip).to_owned(),
                times,
                label: label.filter(|label| label.is_finite()),
                split,
            });
        }
        if rows.is_empty() {
            return Err(MediaError::text(path, "no row below its header"));
        }
        Ok(Self {
            path: path.to_path_buf(),
            columns,
            rows,
        })
    }

    fn lacking(&self, reason: &str) -> MediaError {
        MediaError::text(&self.path, reason)
    }

    /// Refuses a table without labels.
    ///
    /// # Errors
    ///
    /// It has no column `label`.
    pub fn check_labels(&self) -> Result<()> {
        match self.columns.label {
            Some(_) => Ok(()),
            None => Err(self.lacking("no column \"label\"")),
        }
    }

    /// Whether it says where segments lie.
    pub fn has_times(&self) -> bool {
        self.columns.times.is_some()
    }

    /// Whether it says of segments to which split they belong.
    pub fn has_splits(&self) -> bool {
        self.rows.iter().any(|row| row.split.is_some())
    }

    /// Rows of a recording; all where the table names none.
    fn of<'a>(&'a self, video: &'a str) -> impl Iterator<Item = &'a Row> {
        let named = self.columns.video.is_some();
        self.rows
            .iter()
            .filter(move |row| !named || row.video == video)
    }

    /// Where the segments of a recording are to be cut; `alone` says that it is the only one.
    ///
    /// # Errors
    ///
    /// The table has no times, none of the recording, or does not tell several recordings apart; or its segments overlap so
    /// much that they would hold a million words of the transcript.
    pub fn cuts(&self, video: &str, alone: bool, transcript: &Transcript) -> Result<Vec<Cut>> {
        if !self.has_times() {
            return Err(self.lacking("no columns \"start\" and \"end\", in seconds"));
        }
        self.check_videos(alone)?;
        let cut = |row: &Row| {
            let [start, end] = row.times?;
            Some(Cut {
                start,
                end,
                id: Some(row.clip.clone()).filter(|clip| !clip.is_empty()),
            })
        };
        let cuts: Vec<Cut> = self.of(video).filter_map(cut).collect();
        if cuts.is_empty() {
            return Err(self.lacking(&format!("no row of {video}")));
        }
        let words = WordsByMiddle::new(transcript);
        let held: usize = cuts.iter().map(|cut| words.count(cut)).sum();
        if held > MOST_WORDS {
            return Err(self.lacking(&format!(
                "the segments of {video} overlap so much that they hold {held} words together, at most {MOST_WORDS} are taken"
            )));
        }
        Ok(cuts)
    }

    fn check_videos(&self, alone: bool) -> Result<()> {
        if self.columns.video.is_none() && !alone {
            return Err(
                self.lacking("no column \"video_id\", which tells several recordings apart")
            );
        }
        Ok(())
    }

    /// The labels of a recording's segments, which are given by times and names in the order of their starts: rows are
    /// joined to them by `clip_id`, a name or a number from 1; else by times; else a row is of a recording of one segment.
    /// Also tells how many rows of the recording are of no segment.
    ///
    /// # Errors
    ///
    /// The table does not tell several recordings, or segments, apart.
    pub fn labels(
        &self,
        video: &str,
        alone: bool,
        segments: &[([f64; 2], Option<&str>)],
    ) -> Result<(Vec<SegmentLabel>, usize)> {
        self.check_videos(alone)?;
        let by_clip = self.columns.clip.is_some();
        if !by_clip && !self.has_times() && segments.len() != 1 && self.of(video).next().is_some() {
            return Err(self.lacking(&format!(
                "a label for the recording {video}, which has {} segments: extract it as one segment, or add a column \
                 \"clip_id\" or \"start\" and \"end\"",
                segments.len()
            )));
        }
        let mut labels = vec![SegmentLabel::default(); segments.len()];
        let mut unused = 0;
        let places = Places::new(segments);
        for row in self.of(video) {
            let place = match row.times {
                _ if by_clip => places.of_clip(&row.clip),
                Some(times) => places.of_times(times),
                None => Some(0).filter(|_| !segments.is_empty()),
            };
            match place {
                Some(place) => {
                    labels[place] = SegmentLabel {
                        label: row.label,
                        split: row.split,
                    };
                }
                None => unused += 1,
            }
        }
        Ok((labels, unused))
    }
}

/// Where the segments of a recording are, by what rows of a table say of them; of several the first.
struct Places<'a> {
    named: HashMap<&'a str, usize>,
    /// Segments without a name count from 1.
    unnamed: Vec<bool>,
    /// Starts and ends, by the starts.
    times: Vec<([f64; 2], usize)>,
}

impl<'a> Places<'a> {
    fn new(segments: &[([f64; 2], Option<&'a str>)]) -> Self {
        let mut named = HashMap::new();
        for (place, (_, id)) in segments.iter().enumerate() {
            if let Some(id) = id {
                named.entry(*id).or_insert(place);
            }
        }
        let mut times: Vec<_> = segments.iter().map(|(times, _)| *times).zip(0..).collect();
        times.sort_by(|(a, _), (b, _)| a[0].total_cmp(&b[0]));
        Self {
            named,
            unnamed: segments.iter().map(|(_, id)| id.is_none()).collect(),
            times,
        }
    }

    fn of_clip(&self, clip: &str) -> Option<usize> {
        let number = clip.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let numbered = number.filter(|&place| self.unnamed.get(place) == Some(&true));
        let named = self.named.get(clip).copied();
        named.into_iter().chain(numbered).min()
    }

    fn of_times(&self, [start, end]: [f64; 2]) -> Option<usize> {
        let first = self
            .times
            .partition_point(|([from, _], _)| *from <= start - SAME);
        let near = self.times[first..].iter();
        let near = near.take_while(|([from, _], _)| *from < start + SAME);
        near.filter(|([_, to], _)| (to - end).abs() < SAME)
            .map(|(_, place)| *place)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<SegmentTable> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        SegmentTable::read(&path)
    }

    const TWO: [([f64; 2], Option<&str>); 2] = [([0.0, 1.0], None), ([1.0, 2.0], None)];

    fn labels(text: &str) -> (Vec<Option<f32>>, usize) {
        let (labels, unused) = table(text).unwrap().labels("a", false, &TWO).unwrap();
        (labels.iter().map(|label| label.label).collect(), unused)
    }

    #[test]
    fn labels_are_joined_by_clip_or_by_times() {
        let clips = "video_id,clip_id,label\nb,1,3\na,2,-1.5\na,1,0.5\na,7,1\n";
        assert_eq!(labels(clips), (vec![Some(0.5), Some(-1.5)], 1));
        let times = "video_id;start;end;label\na;1,0;2,0;-1,5\nb;0;1;3\n";
        assert_eq!(labels(times), (vec![None, Some(-1.5)], 0));
        let named = [([0.0, 1.0], Some("x")), ([1.0, 2.0], Some("1"))];
        let table = table("video_id,clip_id,label,mode\na,1,2,dev\n").unwrap();
        let (labels, _) = table.labels("a", false, &named).unwrap();
        assert_eq!(labels[1].label, Some(2.0));
        assert_eq!(labels[1].split, Some(Split::Valid));
        assert_eq!(labels[0], SegmentLabel::default());
    }

    #[test]
    fn cuts_are_those_of_the_recording() {
        let table = table("video_id,start,end,id\na,0.5,1,first\nb,1,2,other\n").unwrap();
        let cut = Cut {
            start: 0.5,
            end: 1.0,
            id: Some("first".to_owned()),
        };
        assert_eq!(table.cuts("a", false, &spoken(1)).unwrap(), [cut]);
        let error = table.cuts("c", false, &spoken(1)).unwrap_err().to_string();
        assert!(error.contains("no row of c"), "{error}");
    }

    fn spoken(words: usize) -> Transcript {
        let text = format!("0 1 {}\n", "a ".repeat(words));
        Transcript::from_bytes(Path::new("t.txt"), text.as_bytes()).unwrap()
    }

    #[test]
    fn a_million_copies_of_words_are_refused_and_a_hundred_thousand_labels_are_quick() {
        let rows: String = (0..2000).map(|i| format!("0,{}\n", i + 1)).collect();
        let error = table(&format!("start,end\n{rows}")).unwrap();
        let error = error
            .cuts("a", true, &spoken(2000))
            .unwrap_err()
            .to_string();
        assert!(error.contains("hold 4000000 words together"), "{error}");
        let rows: String = (0..100_000).map(|i| format!("{i},1\n")).collect();
        let names: Vec<String> = (0..100_000).map(|i| format!("x{i}")).collect();
        let segments: Vec<_> = names
            .iter()
            .map(|name| ([0.0, 1.0], Some(name.as_str())))
            .collect();
        let table = table(&format!("clip_id,label\n{rows}")).unwrap();
        let begun = std::time::Instant::now();
        assert_eq!(table.labels("a", true, &segments).unwrap().1, 100_000);
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let said = |text: &str| table(text).unwrap_err().to_string();
        assert!(said("start,end\n2,1\n").contains("line 2: start and end must be seconds"));
        assert!(said("label\nx\n").contains("line 2: label \"x\" is no number"));
        assert!(said("label,mode\n1,later\n").contains("mode \"later\""));
        assert!(said("label\n").contains("no row"));
        let whole = table("video_id,label\na,1\n").unwrap();
        let error = whole.labels("a", false, &TWO).unwrap_err().to_string();
        assert!(error.contains("which has 2 segments"), "{error}");
        let error = whole.cuts("a", true, &spoken(1)).unwrap_err().to_string();
        assert!(error.contains("\"start\""), "{error}");
        let unnamed = table("clip_id,label\n1,1\n").unwrap();
        let error = unnamed.labels("a", false, &TWO).unwrap_err().to_string();
        assert!(error.contains("no column \"video_id\""), "{error}");
        assert!(unnamed.labels("a", true, &TWO).is_ok());
    }
}
