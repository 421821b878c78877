//! `mmrest data extract`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mmrest_data::text::count;
use mmrest_media::{
    ExtractConfig, FeatureFolder, FeatureRecord, FeatureSet, Recording, TABLE, Transcript,
};

use crate::recording::{Job, read_cuts};
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
    /// What to extract: sims33, fet33, log-mel, mfcc or rms; timing for the words' durations and pauses.
    #[arg(
        long,
        value_name = "SETS",
        value_delimiter = ',',
        default_value = "sims33,timing"
    )]
    pub(crate) features: Vec<String>,
    /// Cut the recording here instead of at the transcript's cues: a CSV with the columns start and end in seconds. Of one
    /// recording only.
    #[arg(long, value_name = "FILE")]
    pub(crate) segments: Option<PathBuf>,
    /// The folder for words.csd, audio.csd, timing.csd, the table label.csv and feature.json. Recordings that are already
    /// in it are not read again.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// `mmrest data extract`.
pub(crate) fn run(arguments: &ExtractArguments) -> Result<ExitCode> {
    let config = config(&arguments.features)?;
    let jobs = Job::of(&arguments.media, &arguments.transcript)?;
    if jobs.len() > 1 && arguments.segments.is_some() {
        bail!("--segments cuts one recording; {} are given", jobs.len());
    }
    let cuts = arguments.segments.as_deref().map(read_cuts).transpose()?;
    let folder = FeatureFolder::open(&arguments.out, &FeatureRecord::new(&config))?;
    let go_on = interrupt::watched();
    let bar = bar(jobs.len());
    let (mut done, mut failed) = (0, Vec::new());
    for job in &jobs {
        let video = &job.id;
        if !go_on() {
            bar.finish_and_clear();
            interrupt::say("stopped; the same command goes on with the recordings that are left");
            return Ok(interrupt::code());
        }
        bar.set_message(video.clone());
        if folder.has(video) {
            done += 1;
        } else {
            let extracted = job
                .transcript()
                .and_then(|path| Ok(Transcript::read(path)?))
                .and_then(|transcript| {
                    let recording = Recording {
                        media: job.media.as_deref(),
                        transcript: &transcript,
                        cuts: cuts.as_deref(),
                    };
                    Ok(folder.add(video, &recording)?)
                });
            match extracted {
                Ok(notes) => {
                    for note in notes {
                        bar.suspend(|| interrupt::say(&format!("{video}: {note}")));
                    }
                }
                Err(error) if jobs.len() == 1 => return Err(error),
                Err(error) => {
                    bar.suspend(|| interrupt::say(&format!("{video}: {error:#}")));
                    failed.push(video.as_str());
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if failed.len() == jobs.len() {
        bail!(
            "none of {} could be extracted",
            count(jobs.len(), "recording")
        );
    }
    let (videos, segments) = folder.finish()?;
    let mut told = format!(
        "{}, {}",
        count(videos, "recording"),
        count(segments, "segment")
    );
    if done > 0 {
        told += &format!("; {done} were there before");
    }
    if !failed.is_empty() {
        told += &format!("; {} failed: {}", failed.len(), failed.join(", "));
    }
    screen::result(&format!("{told}\n{}", arguments.out.join(TABLE).display()))?;
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

fn config(names: &[String]) -> Result<ExtractConfig> {
    let mut config = ExtractConfig {
        audio: None,
        timing: false,
    };
    for name in names.iter().map(|name| name.trim()) {
        if name == "timing" {
            config.timing = true;
            continue;
        }
        let set: FeatureSet = name
            .parse()
            .map_err(|error| anyhow::anyhow!("--features: {error}, timing"))?;
        if let Some(first) = config.audio.replace(set) {
            bail!("--features: {first} and {set}: a folder holds one set of audio features");
        }
    }
    Ok(config)
}

fn bar(recordings: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() || recordings == 1 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} {msg}, {eta} left");
    ProgressBar::with_draw_target(Some(recordings as u64), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
