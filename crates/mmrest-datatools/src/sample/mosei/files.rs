//! The files of a data set like CMU-MOSEI, written video by video: none is in memory whole.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::FOLDS;
use super::super::files::bert_files;
use super::super::files::pretty;
use super::super::noise::{Noise, Purpose};
use super::LikeMosei;
use super::script::Recorder;
use super::script::Script;
use mmrest_data::csd::{self, Entry, Features};
use mmrest_data::{DataError, Result, Split, files};

/// Columns of the labels, in the order of CMU-MOSEI's.
const LABELS: [&str; 7] = [
    "sentiment",
    "happy",
    "sad",
    "anger",
    "surprise",
    "disgust",
    "fear",
];

/// What one sequence says of a video, by its script and number.
type Tell<'a> = dyn Fn(&Script, usize) -> Entry + 'a;

/// One computational sequence: its file, its root (both named as CMU-MOSEI's), a description, and what it holds of a video.
struct Sequence<'a> {
    file: &'static str,
    root: &'static str,
    about: &'static str,
    entry: Box<Tell<'a>>,
}

/// Writes a data set like CMU-MOSEI into a folder, making it if need be: `CMU_MOSEI_TimestampedWords.csd`,
/// `CMU_MOSEI_VisualFacet42.csd`, `CMU_MOSEI_COVAREP.csd`, `CMU_MOSEI_Labels.csd` (seven columns, the first is sentiment),
/// `folds.json`, and the small BERT without weights of the [sample](crate::sample::write). The content is the same on every
/// machine. Returns the files' paths. `progress` is told the file that is being written and how many videos of how many are
/// in it, and answers whether to go on; of the file that is being written when it is to stop nothing is left.
///
/// At its full size it takes some gigabytes and many minutes: lower rates and fewer features make it smaller.
///
/// ```
/// use mmrest_datatools::sample::{LikeMosei, write_like_mosei};
///
/// # fn main() -> mmrest_data::Result<()> {
/// let folder = tempfile::tempdir().unwrap();
/// let config = LikeMosei { segments: 20, audio_features: 5, audio_rate: 20, ..LikeMosei::default() };
/// let files = write_like_mosei(&config, folder.path(), &mut |_, _, _| true)?;
/// assert!(files[0].ends_with("CMU_MOSEI_TimestampedWords.csd"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`DataError::Config`] for a size that cannot be made; [`DataError::Io`] where the folder cannot be written to;
/// [`DataError::Stopped`] when `progress` says so.
pub fn write_like_mosei(
    config: &LikeMosei,
    dir: &Path,
    progress: &mut dyn FnMut(&str, usize, usize) -> bool,
) -> Result<Vec<PathBuf>> {
    config.check()?;
    let counts = segments_by_video(config);
    let videos = counts.len();
    let mut written = Vec::new();
    for sequence in sequences(config) {
        let path = dir.join(sequence.file);
        let mut metadata = csd::metadata(sequence.root, sequence.about);
        metadata.insert(
            "dataset name".to_owned(),
            json!("made by mmrest, like CMU-MOSEI"),
        );
        let entries = counts.iter().enumerate().map(|(index, &segments)| {
            if !progress(sequence.file, index, videos) {
                return Err(DataError::Stopped);
            }
            let script = Script::new(config, index, segments);
            Ok((name(index), (sequence.entry)(&script, index)))
        });
        csd::try_write(&path, sequence.root, &metadata, GZIP_LEVEL, entries)?;
        progress(sequence.file, videos, videos);
        written.push(path);
    }
    let small = [(PathBuf::from(FOLDS), pretty(&folds(config, videos)))];
    for (name, text) in small.into_iter().chain(bert_files()) {
        let path = dir.join(name);
        files::write(&path, text.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

/// Gigabytes of noise are hardly smaller at higher levels, and take many minutes.
const GZIP_LEVEL: u32 = 1;

/// The four sequences; of each video they tell of the same script.
fn sequences(config: &LikeMosei) -> [Sequence<'_>; 4] {
    let face = Recorder {
        seed: config.seed,
        purpose: Purpose::Face,
        rate: config.vision_rate,
        width: config.vision_features,
        shows: |mood| mood.vision,
    };
    let voice = Recorder {
        seed: config.seed,
        purpose: Purpose::Voice,
        rate: config.audio_rate,
        width: config.audio_features,
        shows: |mood| mood.audio,
    };
    [
        Sequence {
            file: "CMU_MOSEI_TimestampedWords.csd",
            root: "words",
            about: "words and pauses",
            entry: Box::new(|script, _| script.timeline.entry()),
        },
        Sequence {
            file: "CMU_MOSEI_VisualFacet42.csd",
            root: "FACET 4.2",
            about: "a face, made up",
            entry: Box::new(move |script, index| face.record(script, index)),
        },
        Sequence {
            file: "CMU_MOSEI_COVAREP.csd",
            root: "COVAREP",
            about: "a voice, made up",
            entry: Box::new(move |script, index| voice.record(script, index)),
        },
        Sequence {
            file: "CMU_MOSEI_Labels.csd",
            root: "All Labels",
            about: "sentiment in -3 to 3, six emotions in 0 to 3",
            entry: Box::new(|script, index| labels(config, script, index)),
        },
    ]
}

fn labels(config: &LikeMosei, script: &Script, index: usize) -> Entry {
    let mut noise = Noise::new(config.seed, Purpose::Emotions, index);
    let spans = script.timeline.segments.iter();
    let rows = script.moods.iter().flat_map(|mood| {
        let [a, b, c, d, e, f] = mood.emotions(&mut noise);
        let row: [f32; LABELS.len()] = [mood.label(), a, b, c, d, e, f];
        row
    });
    Entry {
        intervals: spans.map(|span| span.seconds()).collect(),
        features: Features::Numeric {
            values: rows.collect(),
            width: LABELS.len(),
        },
    }
}

fn name(index: usize) -> String {
    format!("video_{:05}", index + 1)
}

/// How many segments each video has: one at least, the others fall where they fall.
fn segments_by_video(config: &LikeMosei) -> Vec<usize> {
    let videos = config.videos();
    let mut counts = vec![1; videos];
    let mut noise = Noise::new(config.seed, Purpose::Counts, 0);
    for _ in videos..config.segments {
        counts[noise.index(videos)] += 1;
    }
    counts
}

/// The share of CMU-MOSEI's standard folds (2249, 300 and 678 videos), in random order; none is empty.
fn folds(config: &LikeMosei, videos: usize) -> Value {
    let valid = (videos * 300 / 3227).max(1);
    let test = (videos * 678 / 3227).max(1);
    let mut splits = vec![Split::Train; videos];
    splits[..valid].fill(Split::Valid);
    splits[valid..valid + test].fill(Split::Test);
    Noise::new(config.seed, Purpose::Folds, 0).shuffle(&mut splits);
    let of = |split: Split| -> Vec<String> {
        let indices = (0..videos).filter(|&index| splits[index] == split);
        indices.map(name).collect()
    };
    let folds = Split::ALL.map(|split| (split.name().to_owned(), json!(of(split))));
    Value::Object(Map::from_iter(folds))
}
