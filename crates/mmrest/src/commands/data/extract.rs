//! `mmrest data extract`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mmrest_data::text::count;
use mmrest_media::{
    Cut, ExtractConfig, FeatureFolder, FeatureRecord, FeatureSet, TABLE, Transcript, extract,
};

use crate::{interrupt, screen};

/// Endings of files in which a transcript is looked for, in this order.
const ENDINGS: [&str; 6] = ["json", "srt", "vtt", "TextGrid", "ctm", "txt"];

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
    let jobs = jobs(arguments)?;
    let cuts = arguments.segments.as_deref().map(read_cuts).transpose()?;
    let folder = FeatureFolder::open(&arguments.out, &FeatureRecord::new(&config))?;
    let go_on = interrupt::watched();
    let bar = bar(jobs.len());
    let (mut done, mut failed) = (0, Vec::new());
    for (video, media) in &jobs {
        if !go_on() {
            bar.finish_and_clear();
            interrupt::say("stopped; the same command goes on with the recordings that are left");
            return Ok(interrupt::code());
        }
        bar.set_message(video.clone());
        if folder.has(video) {
            done += 1;
        } else {
            let extracted = transcript(&arguments.transcript, video)
                .and_then(|path| Ok(Transcript::read(&path)?))
                .and_then(|transcript| Ok(extract(media, &transcript, cuts.as_deref(), &config)?))
                .and_then(|extracted| {
                    folder.add(video, &extracted)?;
                    Ok(extracted)
                });
            match extracted {
                Ok(extracted) => {
                    for note in extracted.notes {
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

/// Recordings by id.
fn jobs(arguments: &ExtractArguments) -> Result<BTreeMap<String, PathBuf>> {
    let mut jobs = BTreeMap::new();
    for path in &arguments.media {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let Some(id) = stem else {
            bail!("{}: its name is not UTF-8: rename the file", path.display());
        };
        if let Some(other) = jobs.insert(id.to_owned(), path.clone()) {
            let (other, path) = (other.display(), path.display());
            bail!("{other} and {path} have the same name, {id}: rename one");
        }
    }
    let many = jobs.len() > 1;
    if many && !arguments.transcript.is_dir() {
        let path = arguments.transcript.display();
        bail!("{path}: several recordings need a folder of transcripts (--transcript DIR)");
    }
    if many && arguments.segments.is_some() {
        bail!("--segments cuts one recording; {} are given", jobs.len());
    }
    Ok(jobs)
}

fn transcript(given: &Path, video: &str) -> Result<PathBuf> {
    if !given.is_dir() {
        return Ok(given.to_path_buf());
    }
    let named = ENDINGS.map(|ending| given.join(format!("{video}.{ending}")));
    let found = named.into_iter().find(|path| path.is_file());
    found.with_context(|| {
        let (folder, endings) = (given.display(), ENDINGS.join(", ."));
        format!("no transcript {video} in {folder} (.{endings})")
    })
}

fn read_cuts(path: &Path) -> Result<Vec<Cut>> {
    let name = path.display();
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("{name}"))?;
    let header = reader.headers().with_context(|| format!("{name}"))?.clone();
    let column = |wanted: &str| {
        let found = header.iter().position(|column| column.trim() == wanted);
        found.with_context(|| format!("{name}: no column \"{wanted}\"; start and end are expected"))
    };
    let (start, end) = (column("start")?, column("end")?);
    let mut cuts = Vec::new();
    for (i, row) in reader.records().enumerate() {
        let row = row.with_context(|| format!("{name}"))?;
        let number = |i: usize| row.get(i).and_then(|cell| cell.trim().parse::<f64>().ok());
        match (number(start), number(end)) {
            (Some(start), Some(end)) if start >= 0.0 && end > start && end.is_finite() => {
                cuts.push(Cut { start, end });
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

fn bar(recordings: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() || recordings == 1 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("[{wide_bar}] {pos}/{len} {msg}, {eta} left");
    ProgressBar::with_draw_target(Some(recordings as u64), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
