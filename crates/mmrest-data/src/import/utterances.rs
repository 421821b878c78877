//! The utterance features of CMU-MOSI that Poria et al. published with "Context-Dependent Sentiment Analysis in
//! User-Generated Videos" (ACL 2017), as computational sequences.
//!
//! The release is a folder of tables without headers:
//!
//! | file | a row |
//! |---|---|
//! | `transcripts.csv` | `video_clip`, text, ...; an utterance's number is its row here, from 0 |
//! | `text_train.csv`, `text_test.csv` | an utterance's number, then what is not read |
//! | `audio/audio_train0.csv`, `audio/audio_test0.csv` | features, then a class: the utterances of `text_*.csv`, in that order |
//! | `video/video_train0.csv`, `video/video_test0.csv` | likewise |

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::csd::{self, ComputationalSequence, Entry, Features, LabelledInterval};
use crate::text::{count, quoted};
use crate::{DataError, Result};

/// The table of all utterances.
const TRANSCRIPTS: &str = "transcripts.csv";

/// What the SDK writes for a pause.
const PAUSE: &str = "sp";

/// The sequences that are written: a row per word, and a row per utterance.
const WORD_ACOUSTIC: &str = "CMU_MOSI_WordAcoustic";
const UTTERANCE_VISUAL: &str = "CMU_MOSI_UtteranceVisual";

/// What was made of a release of utterance features.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UtteranceReport {
    /// Labelled intervals with features.
    pub utterances: usize,
    /// Labelled intervals without, as `video[i]`.
    pub absent: Vec<String>,
    /// Words with acoustic features.
    pub words: usize,
    /// The files that were written.
    pub files: Vec<PathBuf>,
}

/// Features by utterance: `video_clip`, clips counting from 1.
type ByUtterance = HashMap<String, Vec<f32>>;

/// Makes two computational sequences in `out` of a folder of utterance features, for the videos of `labels`, whose i-th
/// labelled interval (from 1) is clip i there:
///
/// - `CMU_MOSI_WordAcoustic.csd`, a row per word of `words` that is no pause and whose middle lies in a labelled interval:
///   the utterance's acoustic features, the word's duration, and the pause before it within the interval, in seconds;
/// - `CMU_MOSI_UtteranceVisual.csd`, a row per labelled interval: the utterance's visual features.
///
/// ```no_run
/// use mmrest_data::import::import_utterances;
///
/// let (labels, words) = ("CMU_MOSI_Opinion_Labels.csd", "CMU_MOSI_ModifiedTimestampedWords.csd");
/// let report = import_utterances("data".as_ref(), labels.as_ref(), words.as_ref(), ".".as_ref())?;
/// println!("{} utterances, {} words", report.utterances, report.words);
/// # Ok::<(), mmrest_data::DataError>(())
/// ```
///
/// # Errors
///
/// [`DataError::Io`]; [`DataError::Row`] for a row that is not as the layout says; [`DataError::Release`] where no labelled
/// interval is of the release; those of reading and writing computational sequences.
pub fn import_utterances(
    release: &Path,
    labels: &Path,
    words: &Path,
    out: &Path,
) -> Result<UtteranceReport> {
    let labels = ComputationalSequence::open(labels)?;
    let words = ComputationalSequence::open(words)?;
    let audio = features(release, "audio")?;
    let video = features(release, "video")?;
    let mut report = UtteranceReport {
        utterances: 0,
        absent: Vec::new(),
        words: 0,
        files: Vec::new(),
    };
    let (mut spoken, mut seen) = (Vec::new(), Vec::new());
    for id in labels.videos() {
        let intervals = csd::labelled_intervals(&labels, id, 0)?;
        let mut known = BTreeMap::new();
        for (place, interval) in intervals {
            let utterance = format!("{id}_{}", place + 1);
            match (audio.get(&utterance), video.get(&utterance)) {
                (Some(audio), Some(video)) => {
                    known.insert(place, (interval, audio, video));
                }
                _ => report.absent.push(format!("{id}[{place}]")),
            }
        }
        if known.is_empty() {
            continue;
        }
        report.utterances += known.len();
        let rows = known
            .values()
            .map(|(of, _, video)| (of.interval, &video[..]));
        seen.push((id.clone(), entry(rows.map(|(at, row)| (at, row.to_vec())))));
        let rows = known.values().map(|&(of, audio, _)| (of, audio));
        let rows = word_rows(&words, id, rows)?;
        report.words += rows.len();
        if !rows.is_empty() {
            spoken.push((id.clone(), entry(rows.into_iter())));
        }
    }
    let useless = |reason: String| {
        Err(DataError::Release {
            path: release.join(TRANSCRIPTS),
            place: "the whole".to_owned(),
            reason,
        })
    };
    if report.utterances == 0 {
        let (known, labels) = (audio.len(), labels.path().display());
        return useless(format!(
            "none of its {known} utterances is of a video in {labels}"
        ));
    }
    if spoken.is_empty() {
        let words = words.path().display();
        return useless(format!("none of its utterances has a word in {words}"));
    }
    let audio = "per word: the utterance's acoustic features, the word's duration, the pause before it (seconds)";
    let video = "per labelled interval: the utterance's visual features, fitted on the labels of the release's training videos";
    let files = [
        (WORD_ACOUSTIC, audio, spoken),
        (UTTERANCE_VISUAL, video, seen),
    ];
    for (root, about, entries) in files {
        let path = out.join(format!("{root}.csd"));
        let mut metadata = csd::metadata(root, about);
        let source = "Poria et al. 2017, Context-Dependent Sentiment Analysis in User-Generated Videos (ACL)";
        metadata.insert("dataset name".into(), "CMU-MOSI".into());
        metadata.insert("featureset bib citation".into(), source.into());
        csd::write(&path, root, &metadata, entries)?;
        report.files.push(path);
    }
    Ok(report)
}

/// The words of each interval in turn, with their features.
fn word_rows<'a>(
    words: &ComputationalSequence,
    video: &str,
    utterances: impl Iterator<Item = (LabelledInterval, &'a Vec<f32>)>,
) -> Result<Vec<([f64; 2], Vec<f32>)>> {
    let Some(entry) = words.read_video(video)? else {
        return Ok(Vec::new());
    };
    let Features::Text(spoken) = &entry.features else {
        let reason = "holds numbers where words are expected".to_owned();
        return Err(DataError::entry(words.path(), video, reason));
    };
    let mut rows = Vec::new();
    for (LabelledInterval { interval, .. }, features) in utterances {
        let [first, last] = interval;
        let mut before = first;
        for (&[start, end], word) in entry.intervals.iter().zip(spoken) {
            let middle = (start + end) / 2.0;
            if word == PAUSE || !(first..last).contains(&middle) {
                continue;
            }
            let timing = [end - start, (start - before).max(0.0)];
            let timing = timing.map(|seconds| seconds as f32);
            // In single precision, as the features are.
            let at = [start, end].map(|seconds| f64::from(seconds as f32));
            rows.push((at, [&features[..], &timing].concat()));
            before = end;
        }
    }
    Ok(rows)
}

/// An entry of rows of one width.
fn entry(rows: impl Iterator<Item = ([f64; 2], Vec<f32>)>) -> Entry {
    let (intervals, rows): (Vec<_>, Vec<_>) = rows.unzip();
    let width = rows.first().map_or(0, Vec::len);
    Entry {
        intervals,
        features: Features::Numeric {
            values: rows.concat(),
            width,
        },
    }
}

/// The features of every utterance, of `audio` or `video`.
fn features(release: &Path, name: &str) -> Result<ByUtterance> {
    let transcripts = table(&release.join(TRANSCRIPTS))?;
    let mut features = ByUtterance::new();
    let mut width = None;
    for split in ["train", "test"] {
        let numbers = release.join(format!("text_{split}.csv"));
        let path = release.join(name).join(format!("{name}_{split}0.csv"));
        let (utterances, rows) = (table(&numbers)?, table(&path)?);
        if utterances.len() != rows.len() {
            let reason = format!(
                "{} rows, but {} has {}: they are of the same utterances, in the same order",
                rows.len(),
                numbers.display(),
                utterances.len()
            );
            return Err(wrong(&path, rows.len(), reason));
        }
        for (place, (utterance, row)) in utterances.iter().zip(&rows).enumerate() {
            let number = utterance.get(0).unwrap_or_default().trim();
            let id = number
                .parse()
                .ok()
                .and_then(|at: usize| transcripts.get(at)?.get(0));
            let Some(id) = id else {
                let reason = format!(
                    "{} is no row of transcripts.csv, which are 0 to {}",
                    quoted(number),
                    transcripts.len().saturating_sub(1)
                );
                return Err(wrong(&numbers, place + 1, reason));
            };
            let row = numbers_of(row).map_err(|reason| wrong(&path, place + 1, reason))?;
            if *width.get_or_insert(row.len()) != row.len() {
                let expected = width.unwrap_or_default();
                let reason = format!(
                    "{}, where others have {expected}",
                    count(row.len(), "feature")
                );
                return Err(wrong(&path, place + 1, reason));
            }
            if features.insert(id.trim().to_owned(), row).is_some() {
                let reason = format!("{} is listed already", quoted(id));
                return Err(wrong(&numbers, place + 1, reason));
            }
        }
    }
    Ok(features)
}

/// A row's features: all cells but the last, which is the class.
fn numbers_of(row: &StringRecord) -> Result<Vec<f32>, String> {
    let features = row.len().saturating_sub(1);
    if features == 0 {
        return Err("no features, where numbers and a class are expected".to_owned());
    }
    let number = |cell: &str| -> Result<f32, String> {
        let number: Option<f64> = cell.trim().parse().ok();
        number
            .map(|number| number as f32)
            .ok_or_else(|| format!("{} is no number", quoted(cell)))
    };
    row.iter().take(features).map(number).collect()
}

/// The rows of a table without names of columns.
fn table(path: &Path) -> Result<Vec<StringRecord>> {
    let file = std::fs::File::open(path).map_err(|error| DataError::io(path, error))?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(file);
    let mut rows = Vec::new();
    for row in reader.byte_records() {
        let row = row.map_err(|error| wrong(path, rows.len() + 1, error.to_string()))?;
        rows.push(StringRecord::from_byte_record_lossy(row));
    }
    Ok(rows)
}

/// An error about a row, from 1.
fn wrong(path: &Path, row: usize, reason: String) -> DataError {
    DataError::Row {
        path: path.to_path_buf(),
        line: row as u64,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A release of two videos: `a` with three utterances, listed out of order, and `b` with one.
    fn release(folder: &Path) {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "transcripts.csv",
            "\"a_1\",\"GOOD\",\"3\",\"1\"\n\"a_3\",\"X\",\"3\",\"0\"\n\"a_2\",\"Y\",\"3\",\"0\"\n\"b_1\",\"Z\",\"1\",\"1\"\n",
        );
        write(
            "text_train.csv",
            "\"1\",\"0.5\"\n\"0\",\"0.5\"\n\"2\",\"0.5\"\n",
        );
        write("text_test.csv", "\"3\",\"0.5\"\n");
        write(
            "audio/audio_train0.csv",
            "\"3.0\",\"30\",\"0\"\n\"1.0\",\"10\",\"1\"\n\"2.0\",\"20\",\"0\"\n",
        );
        write("audio/audio_test0.csv", "\"4.0\",\"40\",\"1\"\n");
        write(
            "video/video_train0.csv",
            "\"0.3\",\"0\"\n\"0.1\",\"1\"\n\"0.2\",\"0\"\n",
        );
        write("video/video_test0.csv", "\"0.4\",\"1\"\n");
    }

    fn sequences(folder: &Path) -> [PathBuf; 2] {
        let [labels, words] = ["labels.csd", "words.csd"].map(|name| folder.join(name));
        let numeric = |intervals: Vec<[f64; 2]>| Entry {
            features: Features::Numeric {
                values: vec![1.0; intervals.len()],
                width: 1,
            },
            intervals,
        };
        let of_a = numeric(vec![[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]);
        let of_b = numeric(vec![[1.0, 3.0], [3.0, 4.0]]);
        let entries = [("a", of_a), ("b", of_b)];
        csd::write(&labels, "labels", &csd::metadata("labels", ""), entries).unwrap();
        let spoken = [
            ("good", [0.25, 0.75]),
            ("sp", [0.75, 1.25]),
            ("film", [1.25, 1.75]),
            ("across", [1.75, 2.75]), // its middle is in the second interval
            ("end", [5.0, 5.5]),
        ];
        let entry = Entry {
            intervals: spoken.map(|(_, at)| at).to_vec(),
            features: Features::Text(spoken.map(|(word, _)| word.into()).to_vec()),
        };
        csd::write(&words, "words", &csd::metadata("words", ""), [("a", entry)]).unwrap();
        [labels, words]
    }

    fn rows(path: &Path, id: &str) -> (Vec<[f64; 2]>, Vec<Vec<f32>>) {
        let entry = ComputationalSequence::open(path).unwrap().read(id).unwrap();
        let Features::Numeric { values, width } = entry.features else {
            panic!("no numbers");
        };
        let rows = values.chunks(width).map(<[f32]>::to_vec);
        (entry.intervals, rows.collect())
    }

    #[test]
    fn words_have_their_utterances_features_and_their_own_timing() {
        let folder = tempfile::tempdir().unwrap();
        release(folder.path());
        let [labels, words] = sequences(folder.path());
        let report = import_utterances(folder.path(), &labels, &words, folder.path()).unwrap();
        assert_eq!((report.utterances, report.words), (4, 4));
        assert_eq!(report.absent, ["b[1]"]);
        let (intervals, audio) = rows(&report.files[0], "a");
        assert_eq!(intervals[2], [1.75, 2.75]);
        let expected = [
            [1.0, 10.0, 0.5, 0.25],
            [1.0, 10.0, 0.5, 0.5],
            [2.0, 20.0, 1.0, 0.0], // it begins before its interval
            [3.0, 30.0, 0.5, 1.0],
        ];
        assert_eq!(audio, expected.map(Vec::from));
        let (intervals, video) = rows(&report.files[1], "a");
        assert_eq!(intervals, [[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]);
        assert_eq!(video, [[0.1], [0.2], [0.3]].map(Vec::from));
        let spoken = ComputationalSequence::open(&report.files[0]).unwrap();
        assert_eq!(spoken.ids(), ["a"], "no words of b are known");
    }

    #[test]
    fn a_row_that_is_not_as_the_layout_says_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let [labels, words] = sequences(folder.path());
        let refused = |file: &str, text: &str| {
            release(folder.path());
            std::fs::write(folder.path().join(file), text).unwrap();
            let found = import_utterances(folder.path(), &labels, &words, folder.path());
            found.unwrap_err().to_string()
        };
        for (file, text, words) in [
            ("audio/audio_test0.csv", "4,x,1\n", "\"x\" is no number"),
            (
                "audio/audio_test0.csv",
                "4,1\n",
                "1 feature, where others have 2",
            ),
            ("video/video_test0.csv", "1,1\n1,1\n", "2 rows, but"),
            (
                "text_test.csv",
                "9,1\n",
                "\"9\" is no row of transcripts.csv, which are 0 to 3",
            ),
            ("text_test.csv", "0,1\n", "\"a_1\" is listed already"),
            (
                "transcripts.csv",
                "c_1\nc_2\nc_3\nc_4\n",
                "none of its 4 utterances is of a video",
            ),
        ] {
            let message = refused(file, text);
            assert!(message.contains(words), "{file}: {message}");
        }
    }
}
