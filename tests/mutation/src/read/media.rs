//! Readers of recordings, transcripts, and tables beside them.

use std::path::Path;

use mmrest_data::csd::{Entry, Features};
use mmrest_media::{
    AudioLimits, AudioReader, ExtractConfig, Extraction, MediaError, MediaFile, Recording,
    SegmentTable, TableSet, Tool, Transcript,
};

use super::{ANY, CSV, told};

/// Two cues, of which the times lie within the tables.
const SAID: &str = "0.0 0.1 a well made film\n0.1 0.4 was it not\n";

/// A recording: all of its sound, as far as a minute.
///
/// # Errors
///
/// What is wrong with it.
pub fn recording(folder: &Path) -> Result<(), String> {
    let limits = AudioLimits {
        seconds: 60.0,
        ffmpeg: false,
    };
    let reader = AudioReader::open_within(MediaFile::Disk(&folder.join(ANY)), limits);
    let mut reader = reader.map_err(|error| told(&error))?;
    while let Some(block) = reader.next_block().map_err(|error| told(&error))? {
        assert!(!block.is_empty() && block.iter().all(|sample| sample.is_finite()));
    }
    Ok(())
}

/// A transcript, and the segments of it.
///
/// # Errors
///
/// What is wrong with it.
pub fn transcript(folder: &Path) -> Result<(), String> {
    let transcript = Transcript::read(&folder.join(ANY)).map_err(|error| told(&error))?;
    for cue in &transcript.cues {
        assert!(
            cue.start >= 0.0 && cue.end > cue.start && cue.end.is_finite(),
            "{cue:?}"
        );
        let times = cue.words.iter().flat_map(|word| [word.start, word.end]);
        assert!(times.into_iter().all(f64::is_finite), "{cue:?}");
    }
    let config = ExtractConfig {
        timing: true,
        ..ExtractConfig::default()
    };
    extract(&Recording::new(None, &transcript), &config)
}

/// A table of features that another program wrote.
///
/// # Errors
///
/// What is wrong with it.
pub fn features(folder: &Path) -> Result<(), String> {
    let path = folder.join(CSV);
    let set = TableSet::of(&path, None).map_err(|error| told(&error))?;
    let sound = set.tool == Tool::OpenSmile;
    let transcript = said();
    let recording = Recording {
        vision: Some(MediaFile::Disk(&path)).filter(|_| !sound),
        audio_table: Some(MediaFile::Disk(&path)).filter(|_| sound),
        frame_rate: Some(25.0),
        ..Recording::new(None, &transcript)
    };
    let config = ExtractConfig {
        vision: Some(set.clone()).filter(|_| !sound),
        audio_table: Some(set).filter(|_| sound),
        ..ExtractConfig::default()
    };
    extract(&recording, &config)
}

/// A table of segments: where they are cut, and their labels.
///
/// # Errors
///
/// What is wrong with it.
pub fn segments(folder: &Path) -> Result<(), String> {
    let read = || -> Result<(), MediaError> {
        let table = SegmentTable::read(&folder.join(CSV))?;
        let transcript = said();
        let cuts = table.cuts("a", true, &transcript)?;
        let config = ExtractConfig::default();
        let recording = Recording {
            cuts: Some(&cuts),
            ..Recording::new(None, &transcript)
        };
        let segments: Vec<_> = Extraction::open(&recording, &config)?.collect::<Result<_, _>>()?;
        let places: Vec<_> = segments
            .iter()
            .map(|segment| ([segment.start, segment.end], segment.id.as_deref()))
            .collect();
        let (labels, _) = table.labels("a", true, &places)?;
        assert_eq!(labels.len(), cuts.len());
        Ok(())
    };
    read().map_err(|error| told(&error))
}

fn said() -> Transcript {
    Transcript::from_bytes(Path::new("said"), SAID.as_bytes()).expect("a transcript")
}

/// Every segment.
fn extract(recording: &Recording<'_>, config: &ExtractConfig) -> Result<(), String> {
    let mut extraction = Extraction::open(recording, config).map_err(|error| told(&error))?;
    for segment in extraction.by_ref() {
        let segment = segment.map_err(|error| told(&error))?;
        let entries = [segment.vision, segment.audio, segment.timing];
        entries.iter().flatten().for_each(whole);
    }
    extraction.finish().map(drop).map_err(|error| told(&error))
}

/// As many rows as intervals, which lie in time.
fn whole(entry: &Entry) {
    let Features::Numeric { values, width } = &entry.features else {
        panic!("numbers")
    };
    assert_eq!(values.len(), entry.intervals.len() * width);
    assert!(entry.intervals.iter().all(|[start, end]| start <= end));
}
