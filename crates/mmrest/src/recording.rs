//! Recordings with their transcripts: found by name, cut by a table, and what a model takes of them.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mmrest_data::DataConfig;
use mmrest_learner::Predictor;
use mmrest_learner::run::RunFolder;
use mmrest_media::{Cut, FeatureRecord, RecordingInputs};

/// Endings of files in which a transcript is looked for, in this order.
const ENDINGS: [&str; 6] = ["json", "srt", "vtt", "TextGrid", "ctm", "txt"];

/// A recording, and where its transcript should be.
pub(crate) struct Job {
    /// The name of its file without the ending.
    pub(crate) id: String,
    /// Its file; none of a transcript alone.
    pub(crate) media: Option<PathBuf>,
    /// Its transcript, which may not be there.
    pub(crate) transcript: PathBuf,
}

impl Job {
    /// Recordings by id. `transcript` is that of the one recording, or a folder with one for each; without recordings it is
    /// one alone.
    pub(crate) fn of(media: &[PathBuf], transcript: &Path) -> Result<Vec<Self>> {
        if media.is_empty() {
            return Ok(vec![Self {
                id: stem(transcript)?,
                media: None,
                transcript: transcript.to_path_buf(),
            }]);
        }
        let mut jobs = BTreeMap::new();
        for path in media {
            let id = stem(path)?;
            let job = Self {
                transcript: transcript_of(transcript, &id),
                media: Some(path.clone()),
                id: id.clone(),
            };
            if let Some(other) = jobs.insert(id.clone(), job) {
                let (other, path) = (other.media.unwrap_or_default(), path.display());
                bail!(
                    "{} and {path} have the same name, {id}: rename one",
                    other.display()
                );
            }
        }
        if jobs.len() > 1 && !transcript.is_dir() {
            let path = transcript.display();
            bail!("{path}: several recordings need a folder of transcripts (--transcript DIR)");
        }
        Ok(jobs.into_values().collect())
    }

    /// The transcript, or that there is none of the recording's name.
    pub(crate) fn transcript(&self) -> Result<&Path> {
        let path = &self.transcript;
        if path.extension().is_none() && !path.exists() {
            let folder = path.parent().unwrap_or(Path::new("")).display();
            let endings = ENDINGS.join(", .");
            bail!("no transcript {} in {folder} (.{endings})", self.id);
        }
        Ok(path)
    }
}

fn stem(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let stem = stem
        .with_context(|| format!("{}: its name is not UTF-8: rename the file", path.display()))?;
    Ok(stem.to_owned())
}

/// The transcript of a recording: the given one, or the one of its name in the folder; of its name without an ending where
/// there is none.
fn transcript_of(given: &Path, id: &str) -> PathBuf {
    if !given.is_dir() {
        return given.to_path_buf();
    }
    let named = ENDINGS.map(|ending| given.join(format!("{id}.{ending}")));
    let found = named.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| given.join(id))
}

/// The segments of a table: start and end in seconds, and perhaps id.
pub(crate) fn read_cuts(path: &Path) -> Result<Vec<Cut>> {
    let name = path.display();
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("{name}"))?;
    let header = reader.headers().with_context(|| format!("{name}"))?.clone();
    let find = |wanted: &str| header.iter().position(|column| column.trim() == wanted);
    let column = |wanted: &str| {
        find(wanted)
            .with_context(|| format!("{name}: no column \"{wanted}\"; start and end are expected"))
    };
    let (start, end, id) = (column("start")?, column("end")?, find("id"));
    let mut cuts = Vec::new();
    for (i, row) in reader.records().enumerate() {
        let row = row.with_context(|| format!("{name}"))?;
        let number = |i: usize| row.get(i).and_then(|cell| cell.trim().parse::<f64>().ok());
        let id = id.and_then(|id| row.get(id)).map(str::trim);
        match (number(start), number(end)) {
            (Some(start), Some(end)) if start >= 0.0 && end > start && end.is_finite() => {
                cuts.push(Cut {
                    start,
                    end,
                    id: id.filter(|id| !id.is_empty()).map(str::to_owned),
                });
            }
            _ => bail!(
                "{name}: line {}: start and end must be seconds, end after start",
                i + 2
            ),
        }
    }
    if cuts.is_empty() {
        bail!("{name}: no segment");
    }
    Ok(cuts)
}

/// What a run's model takes of a recording; the error says why it can take none.
pub(crate) fn inputs(predictor: &Predictor, run: &Path) -> Result<RecordingInputs> {
    let data = &predictor.saved_model().config.data;
    let record = remembered(predictor, run)?;
    Ok(RecordingInputs::new(data, record.as_ref())?)
}

/// What a run's model remembers of the making of its features.
fn remembered(predictor: &Predictor, run: &Path) -> Result<Option<FeatureRecord>> {
    let record = predictor.saved_model().extraction.as_ref();
    let path = RunFolder::new(run).model().join("extraction.json");
    let record = record.map(|record| FeatureRecord::parse(&path, &record.to_string()));
    Ok(record.transpose()?)
}

/// Refuses a folder of features that were extracted otherwise than those that the model was trained on.
pub(crate) fn check_folder(
    predictor: &Predictor,
    run: &Path,
    config: &DataConfig,
    folder: &Path,
) -> Result<()> {
    let Some(own) = remembered(predictor, run)? else {
        return Ok(());
    };
    let Some(other) = FeatureRecord::of_folder(folder)? else {
        return Ok(());
    };
    for file in [&config.vision, &config.audio].into_iter().flatten() {
        let sequence = file.trim_end_matches(".csd");
        if let Some(difference) = other.difference(&own, sequence) {
            bail!(
                "{}: the features are not those that the model was trained on: {difference}",
                folder.display()
            );
        }
    }
    Ok(())
}

/// A bar for the segments of one recording, on a terminal.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(shown: bool, id: &str) -> Self {
        if !shown || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} {msg}, {eta} left");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(id.to_owned());
        Self(bar)
    }

    pub(crate) fn begin(&self, segments: usize) {
        self.0.set_length(segments as u64);
    }

    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    pub(crate) fn done(&self) {
        self.0.finish_and_clear();
    }
}
