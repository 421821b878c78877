//! `mmrest data extract`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use mmrest_data::text::count;
use mmrest_media::{
    ExtractConfig, FeatureFolder, FeatureRecord, FeatureSet, Finished, OpenFaceColumns, Presence,
    SegmentTable, TABLE, TableSet,
};
use rayon::prelude::*;

use crate::recording::{CutArguments, Job, Progress, table_of};
use crate::{interrupt, screen};

/// `mmrest data extract`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ExtractArguments {
    /// Recordings: wav, flac, mp3, ogg, m4a and mp4 (AAC-LC); others through ffmpeg, where it is installed. A file's name
    /// without its ending is the recording's id.
    #[arg(value_name = "MEDIA", required = true)]
    pub(crate) media: Vec<PathBuf>,
    /// The recording's transcript (Whisper's JSON, srt, vtt, TextGrid, CTM, text with times), or a folder with one for each
    /// recording, of the same name.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) transcript: PathBuf,
    /// What to extract: sims33, fet33, log-mel, mfcc or rms; timing for the words' durations and pauses [default:
    /// sims33,timing, with --audio-table timing].
    #[arg(long, value_name = "SETS", value_delimiter = ',')]
    pub(crate) features: Vec<String>,
    #[command(flatten)]
    pub(crate) cut: CutArguments,
    /// Columns that are taken of OpenFace's tables: 709 (CH-SIMS) or 177 (CH-SIMS v2) [default: the larger that is there].
    #[arg(long, value_name = "N", requires = "vision")]
    pub(crate) vision_columns: Option<OpenFaceColumns>,
    /// Labels: a table with video_id and label, perhaps mode; joined by clip_id (a segment's id, or its number from 1),
    /// or by start and end, which then cut the recordings.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// The folder for the computational sequences, the table label.csv and feature.json. Recordings that are already in it
    /// are not read again, unless their transcript, cut or files have changed.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// `mmrest data extract`.
pub(crate) fn run(arguments: &ExtractArguments) -> Result<ExitCode> {
    let jobs = Job::of(&arguments.media, &arguments.transcript)?;
    let config = config(arguments, &jobs)?;
    let labels = arguments.labels.as_deref().map(SegmentTable::read);
    let labels = labels.transpose()?;
    if let Some(labels) = &labels {
        labels.check_labels()?;
    }
    let table = arguments.cut.table()?;
    let by_labels = labels
        .as_ref()
        .filter(|labels| labels.has_times() && !arguments.cut.whole);
    let table = table.as_ref().or(by_labels);
    let folder = FeatureFolder::open(&arguments.out, &FeatureRecord::new(&config))?;
    let go_on = interrupt::watched();
    let alone = jobs.len() == 1;
    let bar = Progress::new(jobs.len());
    let (there, anew) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    let extract = |job: &Job| -> Result<()> {
        if !go_on() {
            return Ok(());
        }
        bar.show(&job.id);
        let notes = arguments.cut.with(table, job, alone, |recording| {
            let presence = folder.presence(&job.id, recording)?;
            let notes = match presence {
                Presence::Present => Vec::new(),
                Presence::Absent | Presence::Changed => folder.add(&job.id, recording)?,
            };
            let counted = match presence {
                Presence::Absent => return Ok(notes),
                Presence::Present => &there,
                Presence::Changed => &anew,
            };
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(notes)
        });
        match notes {
            Ok(notes) => notes
                .iter()
                .for_each(|note| bar.say(&format!("{}: {note}", job.id))),
            Err(error) if alone => return Err(error),
            Err(error) => {
                bar.say(&format!("{}: {error:#}", job.id));
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push(job.id.clone());
            }
        }
        bar.step();
        Ok(())
    };
    jobs.par_iter().try_for_each(extract)?;
    bar.done();
    if !go_on() {
        interrupt::say("stopped; the same command goes on with the recordings that are left");
        return Ok(interrupt::code());
    }
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    if failed.len() == jobs.len() {
        bail!(
            "none of {} could be extracted",
            count(jobs.len(), "recording")
        );
    }
    let finished = folder.finish(labels.as_ref())?;
    let before = [there, anew].map(AtomicUsize::into_inner);
    let about = about(&finished, before, &failed, labels.is_some());
    screen::result(&format!("{about}\n{}", arguments.out.join(TABLE).display()))?;
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

/// What was done, in a line. The numbers are of recordings that were there before, and of those extracted anew.
fn about(
    finished: &Finished,
    [there, anew]: [usize; 2],
    failed: &[String],
    with_labels: bool,
) -> String {
    let mut about = format!(
        "{}, {}",
        count(finished.videos, "recording"),
        count(finished.segments, "segment")
    );
    if with_labels {
        about += &format!(", {} with a label", finished.labelled);
        if finished.unused > 0 {
            about += &format!("; {} of no segment", count(finished.unused, "label"));
        }
    }
    let were = |number| if number == 1 { "was" } else { "were" };
    if there > 0 {
        about += &format!("; {there} {} there before", were(there));
    }
    if anew > 0 {
        let whose = if anew == 1 { "its" } else { "their" };
        about += &format!(
            "; {anew} {} extracted anew, {whose} transcript, cut or files have changed",
            were(anew)
        );
    }
    if !failed.is_empty() {
        about += &format!("; {} failed: {}", failed.len(), failed.join(", "));
    }
    about
}

fn config(arguments: &ExtractArguments, jobs: &[Job]) -> Result<ExtractConfig> {
    let audio_table = arguments.cut.audio_table.as_deref();
    let mut config = ExtractConfig {
        vision: table_set(
            arguments.cut.vision.as_deref(),
            jobs,
            arguments.vision_columns,
        )?,
        audio_table: table_set(audio_table, jobs, None)?,
        ..ExtractConfig::default()
    };
    if arguments.features.is_empty() {
        config.timing = true;
        config.audio = audio_table.is_none().then_some(FeatureSet::Sims33);
    }
    for name in arguments.features.iter().map(|name| name.trim()) {
        if name == "timing" {
            config.timing = true;
            continue;
        }
        let set: FeatureSet = name
            .parse()
            .map_err(|error| anyhow!("--features: {error}, timing"))?;
        if let Some(first) = config.audio.replace(set) {
            bail!("--features: {first} and {set}: a folder holds one set of audio features");
        }
        if audio_table.is_some() {
            bail!("--features {set} and --audio-table: a folder holds one set of audio features");
        }
    }
    Ok(config)
}

/// What is taken of the tables of all recordings: what the first of them holds.
fn table_set(
    given: Option<&Path>,
    jobs: &[Job],
    columns: Option<OpenFaceColumns>,
) -> Result<Option<TableSet>> {
    let Some(given) = given else {
        return Ok(None);
    };
    if !given.is_dir() && jobs.len() > 1 {
        let path = given.display();
        bail!("{path}: several recordings need a folder of tables, one of each recording's name");
    }
    // A recording without a table is reported when its turn comes.
    let mut tables = jobs.iter().map(|job| table_of(Some(given), &job.id));
    let first = tables.find_map(|table| table.ok().flatten());
    let first = first.with_context(|| {
        format!(
            "{}: no table of any recording's name in the folder",
            given.display()
        )
    })?;
    Ok(Some(TableSet::of(&first, columns)?))
}
