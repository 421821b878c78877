//! What features were made by, and what a model that was trained on them takes of a recording.

use std::fs;
use std::path::{Path, PathBuf};

use mmrest_data::csd::Entry;
use mmrest_data::{
    DataConfig, Kind, Modality, Segment, SegmentEntries, TextFrom, segment_of_entries,
};
use serde::{Deserialize, Serialize};

use crate::audio::AudioLimits;
use crate::error::{MediaError, Result};
use crate::extract::{ExtractConfig, ExtractedSegment, Extraction, Recording};
use crate::features::FeatureParameters;
use crate::file::MediaFile;
use crate::tables::TableSet;

/// The file of a folder of features that holds its [`FeatureRecord`].
pub const RECORD: &str = "feature.json";

/// What features were made by: the content of `feature.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureRecord {
    /// Version of this crate.
    pub version: String,
    /// What was extracted.
    pub config: ExtractConfig,
    /// Parameters of the audio features.
    pub parameters: Option<FeatureParameters>,
    /// Columns of `audio.csd`.
    pub audio_columns: Vec<String>,
    /// Columns of `timing.csd`.
    pub timing_columns: Vec<String>,
    /// Columns of `vision.csd`.
    #[serde(default)]
    pub vision_columns: Vec<String>,
}

impl FeatureRecord {
    /// The record of an extraction by this version.
    pub fn new(config: &ExtractConfig) -> Self {
        let timing = ["duration", "pause_before"].map(str::to_owned);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.clone(),
            parameters: config.audio.map(|set| set.parameters()),
            audio_columns: match &config.audio_table {
                Some(table) => table.columns.clone(),
                None => config.audio.map(|set| set.columns()).unwrap_or_default(),
            },
            vision_columns: config
                .vision
                .as_ref()
                .map(|table| table.columns.clone())
                .unwrap_or_default(),
            timing_columns: if config.timing {
                timing.to_vec()
            } else {
                Vec::new()
            },
        }
    }

    /// The record of a folder of features; none where the folder has none.
    ///
    /// # Errors
    ///
    /// Its file cannot be read, or is no record.
    pub fn of_folder(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(RECORD);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|error| MediaError::io(&path, error))?;
        Self::parse(&path, &text).map(Some)
    }

    /// The record in the text of a file, `path`.
    ///
    /// # Errors
    ///
    /// It is no record.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| MediaError::text(path, error.to_string()))
    }

    /// How another extraction differs in what it gives for a sequence of this name, `audio` for `audio.csd`; none where it
    /// gives the same. Versions may differ.
    pub fn difference(&self, other: &Self, sequence: &str) -> Option<String> {
        let table = |set: &Option<TableSet>| {
            let set = set.as_ref()?;
            Some(format!(
                "{} columns of {}",
                set.columns.len(),
                set.tool.name()
            ))
        };
        let of = |record: &Self| match sequence {
            "audio" => (
                record
                    .config
                    .audio
                    .map(|set| set.name().to_owned())
                    .or_else(|| table(&record.config.audio_table)),
                record.parameters,
                record.audio_columns.clone(),
            ),
            "timing" => {
                let named = record.config.timing.then(|| "word timing".to_owned());
                (named, None, record.timing_columns.clone())
            }
            "vision" => (
                table(&record.config.vision),
                None,
                record.vision_columns.clone(),
            ),
            _ => (None, None, Vec::new()),
        };
        let (own, others) = (of(self), of(other));
        let name = |of: &Option<String>| of.clone().unwrap_or_else(|| "absent".to_owned());
        if own == others {
            return None;
        }
        Some(if own.0 == others.0 {
            format!("{sequence}.csd was made with other parameters")
        } else {
            let (own, others) = (name(&own.0), name(&others.0));
            format!("{sequence}.csd is {own}, not {others}")
        })
    }
}

/// A sequence that is taken of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequence {
    Audio,
    Timing,
    Vision,
}

/// What the modalities of a model take of a recording: text its words, vision and audio the sequences that the model was
/// trained on.
#[derive(Clone, Debug)]
pub struct RecordingInputs {
    data: DataConfig,
    config: ExtractConfig,
    vision: Option<Sequence>,
    audio: Option<Sequence>,
    limits: AudioLimits,
}

impl RecordingInputs {
    /// What a model takes that was trained on data of this configuration, whose features were made by `record`, where they
    /// were extracted from recordings.
    ///
    /// # Errors
    ///
    /// Features that are not known how to make.
    pub fn new(data: &DataConfig, record: Option<&FeatureRecord>) -> Result<Self> {
        let mut config = ExtractConfig::default();
        let mut sequence = |modality: Modality, file: &Option<String>| {
            if !data.uses(modality) {
                return Ok(None);
            }
            if modality == Modality::Audio && data.times_words() {
                config.timing = true;
                return Ok(Some(Sequence::Timing));
            }
            let unknown = || MediaError::UnknownOrigin {
                modality,
                file: file.clone(),
            };
            let record = record.filter(|_| data.kind == Kind::Sdk);
            let (Some(record), Some(file)) = (record, file) else {
                return Err(unknown());
            };
            match file.strip_suffix(".csd") {
                Some("audio") if !record.audio_columns.is_empty() => {
                    config.audio = record.config.audio;
                    config.audio_table.clone_from(&record.config.audio_table);
                    Ok(Some(Sequence::Audio))
                }
                Some("vision") if !record.vision_columns.is_empty() => {
                    config.vision.clone_from(&record.config.vision);
                    Ok(Some(Sequence::Vision))
                }
                Some("timing") if record.config.timing => {
                    config.timing = true;
                    Ok(Some(Sequence::Timing))
                }
                _ => Err(unknown()),
            }
        };
        let vision = sequence(Modality::Vision, &data.vision)?;
        let audio = sequence(Modality::Audio, &data.audio)?;
        Ok(Self {
            // Words are read as they are, whatever the model was trained on.
            data: DataConfig {
                text_from: TextFrom::Words,
                ..data.clone()
            },
            config,
            vision,
            audio,
            limits: AudioLimits::default(),
        })
    }

    /// The same, within limits of a recording's sound.
    #[must_use]
    pub fn within(self, limits: AudioLimits) -> Self {
        Self { limits, ..self }
    }

    /// Whether anything is taken of a recording's sound: otherwise its transcript is enough.
    pub fn needs_sound(&self) -> bool {
        self.config.audio.is_some()
    }

    /// What is taken of recordings.
    pub fn config(&self) -> &ExtractConfig {
        &self.config
    }

    /// The segments of a recording, as the model takes them; `id` is the recording's.
    ///
    /// # Errors
    ///
    /// The recording cannot be opened.
    pub fn segments<'a>(&'a self, id: &str, recording: &Recording<'_>) -> Result<Segments<'a>> {
        let media = recording.media.map_or(Path::new(id), MediaFile::name);
        Ok(Segments {
            inputs: self,
            id: id.to_owned(),
            media: media.to_path_buf(),
            extraction: Extraction::open_within(recording, &self.config, self.limits)?,
            number: 0,
        })
    }
}

/// A segment of a recording, ready for a model.
#[derive(Clone, Debug)]
pub struct RecordedSegment {
    /// Start in seconds of the recording.
    pub start: f64,
    /// End in seconds.
    pub end: f64,
    /// The text with its punctuation.
    pub text: String,
    /// Words, times of each: for pages that show them.
    pub words: Entry,
    /// What the model takes. Its id is that of its [`Cut`](crate::Cut), or `recording[k]`, k counting from 0.
    pub segment: Segment,
}

/// The segments of a recording one after another: memory holds one, and the words of all.
pub struct Segments<'a> {
    inputs: &'a RecordingInputs,
    id: String,
    media: PathBuf,
    extraction: Extraction,
    number: usize,
}

impl Segments<'_> {
    /// How many segments there are, taken or not.
    pub fn len(&self) -> usize {
        self.extraction.len()
    }

    /// Whether there is no segment.
    pub fn is_empty(&self) -> bool {
        self.extraction.is_empty()
    }

    /// Reads the recording to its end, and says what was left out or is odd, in sentences.
    ///
    /// # Errors
    ///
    /// The recording cannot be read on.
    pub fn finish(self) -> Result<Vec<String>> {
        self.extraction.finish()
    }

    fn segment(&mut self, extracted: ExtractedSegment) -> Result<RecordedSegment> {
        let id = extracted.id.clone();
        let id = id.unwrap_or_else(|| format!("{}[{}]", self.id, self.number));
        self.number += 1;
        let entry = |sequence| {
            let entry = match sequence {
                None => None,
                Some(Sequence::Audio) => extracted.audio.clone(),
                Some(Sequence::Timing) => extracted.timing.clone(),
                Some(Sequence::Vision) => extracted.vision.clone(),
            };
            entry.filter(|entry| !entry.is_empty())
        };
        let entries = SegmentEntries {
            words: Some(extracted.words.clone()),
            vision: entry(self.inputs.vision),
            audio: entry(self.inputs.audio),
        };
        let segment = segment_of_entries(&self.inputs.data, &self.media, &id, entries);
        let segment = segment.map_err(|error| MediaError::text(&self.media, error.to_string()))?;
        Ok(RecordedSegment {
            start: extracted.start,
            end: extracted.end,
            text: extracted.text,
            words: extracted.words,
            segment,
        })
    }
}

impl Iterator for Segments<'_> {
    type Item = Result<RecordedSegment>;

    fn next(&mut self) -> Option<Self::Item> {
        let extracted = self.extraction.next()?;
        Some(extracted.and_then(|extracted| self.segment(extracted)))
    }
}
