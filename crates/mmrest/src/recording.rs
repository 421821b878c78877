//! Recordings with their transcripts: found by name, cut by a table, and what a model takes of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mmrest_data::DataConfig;
use mmrest_learner::Predictor;
use mmrest_learner::run::RunFolder;
use mmrest_media::{
    Cut, FeatureRecord, MediaFile, Recording, RecordingInputs, SegmentTable, Transcript,
};

use crate::failure::panic_message;
use crate::interrupt::say;
use crate::numbers::clock;
use crate::screen;

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
    /// Recordings by id. `transcript` is that of the one recording, or a folder with one for each; without recordings there
    /// is a job for each transcript.
    pub(crate) fn of(media: &[PathBuf], transcript: &Path) -> Result<Vec<Self>> {
        if media.is_empty() {
            let alone = |path: &PathBuf| {
                let (id, transcript) = (stem(path)?, path.clone());
                Ok(Self {
                    id,
                    media: None,
                    transcript,
                })
            };
            return transcripts(transcript)?.iter().map(alone).collect();
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

/// The transcripts in a folder, by name, of several of a name the first by [`ENDINGS`]; one that is given is alone.
fn transcripts(given: &Path) -> Result<Vec<PathBuf>> {
    if !given.is_dir() {
        return Ok(vec![given.to_path_buf()]);
    }
    let told = || format!("cannot read {}", given.display());
    let mut found = BTreeMap::new();
    for entry in given.read_dir().with_context(told)? {
        let path = entry.with_context(told)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let rank = ENDINGS.iter().position(|known| Some(*known) == ending);
        if let Some(rank) = rank.filter(|_| path.is_file()) {
            found.insert((stem(&path)?, rank), path);
        }
    }
    if found.is_empty() {
        let endings = ENDINGS.join(", .");
        bail!("no transcript in {} (.{endings})", given.display());
    }
    let mut found: Vec<((String, usize), PathBuf)> = found.into_iter().collect();
    found.dedup_by(|((id, _), _), ((first, _), _)| id == first);
    Ok(found.into_iter().map(|(_, path)| path).collect())
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

/// Where recordings are cut, and tables that other programs wrote of them.
#[derive(Debug, Args)]
pub(crate) struct CutArguments {
    /// Cut recordings at these stretches instead of the transcripts' cues: a table with start and end in seconds; id names
    /// the segments, video_id tells recordings apart.
    #[arg(long, value_name = "FILE", requires = "transcript")]
    pub(crate) segments: Option<PathBuf>,
    /// Take each recording as one segment.
    #[arg(long, requires = "transcript", conflicts_with = "segments")]
    pub(crate) whole: bool,
    /// A table of visual features that OpenFace or py-feat wrote of the recording (.csv), or a folder with one for each
    /// recording, of the same name.
    #[arg(long, value_name = "FILE|DIR", requires = "transcript")]
    pub(crate) vision: Option<PathBuf>,
    /// A table of audio features that openSMILE wrote (.csv, .arff), or a folder with one for each recording.
    #[arg(long, value_name = "FILE|DIR", requires = "transcript")]
    pub(crate) audio_table: Option<PathBuf>,
    /// Frames of the video in a second, for tables of py-feat; those of mp4 and mov files are read.
    #[arg(long, value_name = "N", requires = "vision")]
    pub(crate) frame_rate: Option<f64>,
}

/// Endings of tables.
const TABLE_ENDINGS: [&str; 2] = ["csv", "arff"];

impl CutArguments {
    /// Reads the table of segments.
    pub(crate) fn table(&self) -> Result<Option<SegmentTable>> {
        let table = self.segments.as_deref().map(SegmentTable::read);
        Ok(table.transpose()?)
    }

    /// The stretches of a recording; none where those are its transcript's cues. `alone` says that it is the only one.
    pub(crate) fn cuts(
        &self,
        table: Option<&SegmentTable>,
        job: &Job,
        transcript: &Transcript,
        alone: bool,
    ) -> Result<Option<Vec<Cut>>> {
        if self.whole {
            let whole = Cut {
                start: 0.0,
                end: transcript.end(),
                id: None,
            };
            return Ok(Some(vec![whole]));
        }
        let cuts = table.map(|table| table.cuts(&job.id, alone, transcript));
        Ok(cuts.transpose()?)
    }

    /// Hands a recording with its transcript and tables to `take`. A panic, perhaps of a decoder on a file that was made
    /// for it, is an error of this recording alone.
    pub(crate) fn with<T>(
        &self,
        table: Option<&SegmentTable>,
        job: &Job,
        alone: bool,
        take: impl FnOnce(&Recording<'_>) -> Result<T>,
    ) -> Result<T> {
        let transcript = Transcript::read(job.transcript()?)?;
        let cuts = self.cuts(table, job, &transcript, alone)?;
        let vision = table_of(self.vision.as_deref(), &job.id)?;
        let audio_table = table_of(self.audio_table.as_deref(), &job.id)?;
        let recording = Recording {
            cuts: cuts.as_deref(),
            vision: vision.as_deref().map(MediaFile::Disk),
            audio_table: audio_table.as_deref().map(MediaFile::Disk),
            frame_rate: self.frame_rate,
            ..Recording::new(job.media.as_deref(), &transcript)
        };
        let taken = catch_unwind(AssertUnwindSafe(|| take(&recording)));
        taken.unwrap_or_else(|panic| {
            let path = job.media.as_deref().unwrap_or(&job.transcript).display();
            let said = panic_message(&*panic);
            bail!("{path}: internal error: {said}; convert the recording, and please report it")
        })
    }
}

/// The table of a recording: the given one, or the one of its name in the folder.
pub(crate) fn table_of(given: Option<&Path>, id: &str) -> Result<Option<PathBuf>> {
    let Some(given) = given.filter(|given| given.is_dir()) else {
        return Ok(given.map(Path::to_path_buf));
    };
    let named = TABLE_ENDINGS.map(|ending| given.join(format!("{id}.{ending}")));
    let found = named.into_iter().find(|path| path.is_file());
    let found = found.with_context(|| {
        let (folder, endings) = (given.display(), TABLE_ENDINGS.join(", ."));
        format!("no table {id} in {folder} (.{endings})")
    })?;
    Ok(Some(found))
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
    let files = [&config.vision, &config.audio].into_iter().flatten();
    for file in files.filter(|file| folder.join(file).is_file()) {
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

/// A bar on a terminal: how many recordings are done, and which is next.
pub(crate) struct Progress {
    bar: ProgressBar,
    total: usize,
}

impl Progress {
    /// A bar of so many recordings; of one alone it shows that something is done.
    pub(crate) fn new(total: usize) -> Self {
        let bar = match total {
            1 => ProgressBar::new_spinner(),
            _ => ProgressBar::new(total as u64),
        };
        let template = match total {
            1 => "{spinner} {msg}, {elapsed}",
            _ => "{msg} {wide_bar}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, total }
    }

    pub(crate) fn show(&self, name: &str) {
        let done = self.bar.position();
        let left = (done > 0).then(|| format!("about {} left", clock(self.bar.eta())));
        self.bar.set_message(match self.total {
            1 => name.to_owned(),
            total => screen::bar_line(&[
                format!("{done} of {total} recordings"),
                left.unwrap_or_default(),
                name.to_owned(),
            ]),
        });
    }

    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }
}
