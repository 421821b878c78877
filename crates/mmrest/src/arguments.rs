//! The command line.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use mmrest_data::Split;
use mmrest_learner::{Backend, CONFIDENCE};
use serde::Serialize;

use crate::commands::data::DataCommand;
use crate::project::find_run;
use crate::recording::CutArguments;
use crate::shipped;

/// Multimodal sentiment analysis by multi-metric learning on clusters (MMRest, CVPR 2026).
#[derive(Debug, Parser)]
#[command(
    name = "mmrest",
    version,
    propagate_version = true,
    max_term_width = 80
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model and write a run's folder.
    Train(TrainArguments),
    /// Train variants of a configuration with several seeds, and compare them.
    Ablate(AblateArguments),
    /// Evaluate the model of a run.
    Eval(EvalArguments),
    /// Calibrate the intervals of a run on all its training and validation videos.
    Calibrate(CalibrateArguments),
    /// Score new data with the model of a run.
    Predict(PredictArguments),
    /// Score new data over HTTP with the model of a run.
    Serve(ServeArguments),
    /// Write the model of a run for other programs: an ONNX graph, or its text encoder for transformers.
    Export(ExportArguments),
    /// Make a report with pictures of a run, or compare several runs.
    Report(ReportArguments),
    /// Compute golden numbers from given inputs, to compare implementations.
    Conformance(ConformanceArguments),
    /// Fetch, inspect, verify, align, extract, import or generate data.
    #[command(subcommand)]
    Data(DataCommand),
    /// Print the script that makes a shell complete this program's commands and options.
    Completions(CompletionsArguments),
    /// Write manual pages: one for the program and one for each command.
    Man(ManArguments),
}

impl Command {
    /// Finds the runs that a command reads, where `latest` stands for one.
    ///
    /// # Errors
    ///
    /// Where there is no run yet.
    pub(crate) fn find_runs(&mut self) -> anyhow::Result<()> {
        let runs = match self {
            Self::Eval(eval) => std::slice::from_mut(&mut eval.run),
            Self::Calibrate(calibrate) => std::slice::from_mut(&mut calibrate.run),
            Self::Predict(predict) => std::slice::from_mut(&mut predict.run),
            Self::Serve(serve) => std::slice::from_mut(&mut serve.run),
            Self::Export(export) => std::slice::from_mut(&mut export.run),
            Self::Report(report) => &mut report.runs[..],
            Self::Train(_)
            | Self::Ablate(_)
            | Self::Conformance(_)
            | Self::Data(_)
            | Self::Completions(_)
            | Self::Man(_) => &mut [],
        };
        for run in runs {
            *run = find_run(run)?;
        }
        Ok(())
    }

    /// The backend that a command computes on.
    pub(crate) fn backend(&self) -> Backend {
        match self {
            Self::Train(train) => train.device.backend,
            Self::Eval(eval) => eval.device.backend,
            Self::Calibrate(calibrate) => calibrate.device.backend,
            Self::Predict(predict) => predict.device.backend,
            Self::Serve(serve) => serve.device.backend,
            Self::Conformance(conformance) => conformance.device.backend,
            // The runs of a study are child processes.
            Self::Ablate(_)
            | Self::Export(_)
            | Self::Report(_)
            | Self::Data(_)
            | Self::Completions(_)
            | Self::Man(_) => Backend::Cpu,
        }
    }
}

/// Where tensors live.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DeviceArguments {
    /// cpu, wgpu or cuda.
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub(crate) backend: Backend,
    /// Number of the device, from 0.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) device: usize,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    #[arg(help = configuration_help())]
    pub(crate) config: String,
    /// Folder of the data, instead of the configured one.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Directory of a BERT (config.json, vocab.txt, weights), instead of the configured one.
    #[arg(long, value_name = "DIR")]
    pub(crate) bert: Option<PathBuf>,
    /// Seed of all random numbers.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Maximum number of epochs.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Numbers of several devices, such as 0,1: each computes a part of every batch.
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        conflicts_with = "device"
    )]
    pub(crate) devices: Vec<usize>,
    /// Any key of the configuration, such as model.mmrest.loss.margin=2 or data.modalities=["text"]; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The run's folder [default: runs/CONFIG/TIME-SEED].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A safetensors file of weights to begin with, named as in the state dict of the model's published code.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) init: Option<PathBuf>,
    /// Resume the run in --out, with its own configuration; begin it where there is none.
    #[arg(long, requires = "out")]
    pub(crate) resume: bool,
    /// What may differ from when the run began: data, for the contents of the data files, or keys that are given again, such
    /// as train.patience.
    #[arg(
        long,
        value_name = "KEY,...",
        value_delimiter = ',',
        requires = "resume"
    )]
    pub(crate) accept_changed: Vec<String>,
    /// Print nothing but warnings and errors.
    #[arg(long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Print JSON, one object per line: the run's folder, notes, each epoch, and at the end the metrics.
    #[arg(long)]
    pub(crate) json: bool,
    /// Show training in a dashboard that fills the terminal, with plots; its key q stops the run.
    #[arg(long, conflicts_with_all = ["quiet", "json"])]
    pub(crate) tui: bool,
    /// What else the epochs are written for: tensorboard, as event files in the run's folder tensorboard/.
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) log: Option<Log>,
    /// A run of a study: ends with the program that holds the other end of standard input.
    #[arg(long, hide = true)]
    pub(crate) of_study: bool,
    /// A run of a study: ends after this epoch as one that is interrupted.
    #[arg(long, value_name = "EPOCH", hide = true)]
    pub(crate) until: Option<usize>,
}

/// Who else is told of the epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// TensorBoard.
    Tensorboard,
}

impl TrainArguments {
    /// The numbers of the devices to train on.
    pub(crate) fn devices(&self) -> Vec<usize> {
        if self.devices.is_empty() {
            vec![self.device.device]
        } else {
            self.devices.clone()
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AblateArguments {
    #[arg(default_value = "mosi-words", help = configuration_help())]
    pub(crate) config: String,
    #[arg(long, default_value = "ablate", value_name = "NAME|FILE", help = study_help())]
    pub(crate) study: String,
    /// Seeds per variant, from 1 to N [default: the study's, or 5].
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) seeds: Option<usize>,
    /// Train only these variants: names, or keys of sweeps, separated by commas.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Any key of the configuration, for every variant; a variant's own keys win. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Folder of the data, instead of the configured one.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Directory of a BERT, instead of the configured one.
    #[arg(long, value_name = "DIR")]
    pub(crate) bert: Option<PathBuf>,
    /// Maximum number of epochs.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Cross-validate: K folds by video over all segments, in place of the data's own splits.
    #[arg(long, value_name = "K", value_parser = parse_folds)]
    pub(crate) folds: Option<usize>,
    /// What bootstrap intervals and tests draw; segments only where those of a video are independent.
    #[arg(long, value_enum, default_value_t = Resample::Videos, value_name = "UNIT")]
    pub(crate) resample: Resample,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Numbers of several devices, such as 0,1: runs at a time are spread over them.
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        conflicts_with = "device"
    )]
    pub(crate) devices: Vec<usize>,
    /// Number of runs at a time, which share the processor's threads [default: one per device].
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) jobs: Option<usize>,
    /// The study's folder [default: runs/studies/STUDY-CONFIG].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Delete runs of another configuration than the study has now, and run them again.
    #[arg(long, conflicts_with = "collect")]
    pub(crate) fresh: bool,
    /// Also write the report's pictures as PNG.
    #[arg(long)]
    pub(crate) png: bool,
    /// Print nothing but warnings and errors.
    #[arg(long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Print JSON, one object per line: each run's start, epochs and end, and at the end the summary.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print one JSON line per run, with the command that trains it alone, and train nothing.
    #[arg(long, group = "part")]
    pub(crate) plan: bool,
    /// Train run N of --plan alone: begin it or go on with it.
    #[arg(long, value_name = "N", group = "part")]
    pub(crate) task: Option<usize>,
    /// Train nothing; make tables and report of the runs that are finished.
    #[arg(long, group = "part")]
    pub(crate) collect: bool,
    /// Write the study as a job array for Slurm, with a job that collects after it.
    #[arg(long, group = "part")]
    pub(crate) slurm: bool,
    #[command(flatten)]
    pub(crate) slurm_options: SlurmArguments,
}

/// What the jobs of `--slurm` ask for.
#[derive(Clone, Debug, Args)]
pub(crate) struct SlurmArguments {
    /// Partition of the jobs.
    #[arg(long, requires = "slurm", value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// GPUs per run.
    #[arg(long, requires = "slurm", value_name = "N")]
    pub(crate) gpus: Option<usize>,
    /// Time limit of a run, such as 2:00:00; a run that needs longer goes on in another.
    #[arg(long, requires = "slurm", value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Number of runs at a time.
    #[arg(long, requires = "slurm", value_name = "N", value_parser = parse_count)]
    pub(crate) max_parallel: Option<usize>,
    /// Submit the jobs with sbatch.
    #[arg(long, requires = "slurm")]
    pub(crate) submit: bool,
}

/// What is resampled: groups of segments that are not independent, or segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Resample {
    /// All segments of a video together.
    Videos,
    /// Every segment by itself.
    Segments,
}

impl Resample {
    /// One of what is drawn.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Videos => "video",
            Self::Segments => "segment",
        }
    }

    /// Several of it.
    pub(crate) fn units(self) -> &'static str {
        match self {
            Self::Videos => "videos",
            Self::Segments => "segments",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct EvalArguments {
    /// The run's folder, or latest for the newest run.
    pub(crate) run: PathBuf,
    /// train, valid or test.
    #[arg(long, default_value = "test", value_parser = parse_split)]
    pub(crate) split: Split,
    /// Folder of the data, instead of the run's.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Evaluate although the data are not those that the model was trained on.
    #[arg(long)]
    pub(crate) accept_changed_data: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Print the metrics as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArguments {
    /// The run's folder, or latest for the newest run.
    pub(crate) run: PathBuf,
    /// How many parts the videos are dealt into, at least 2; for each a model is trained on the others.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) parts: usize,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Print nothing but warnings and errors.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print JSON, one object per line, as train does.
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "mmrest predict [OPTIONS] <RUN> <FILE|DIR|->\n       \
                            mmrest predict [OPTIONS] <RUN> --transcript <FILE|DIR>"
)]
#[command(group(ArgGroup::new("scored").args(["file", "input", "transcript"]).required(true).multiple(true)))]
pub(crate) struct PredictArguments {
    /// The run's folder, or latest for the newest run.
    pub(crate) run: PathBuf,
    /// What to score, as --input.
    #[arg(value_name = "FILE|DIR|-", conflicts_with = "input")]
    pub(crate) file: Option<PathBuf>,
    /// JSON ({"id", "text", "vision": [[...]], "audio": [[...]]}, one per line or an array of them), a table (.csv), a
    /// folder of computational sequences, a pickle of a processed release, a packed set, or - for JSON on standard input.
    #[arg(long, value_name = "FILE|DIR|-")]
    pub(crate) input: Option<PathBuf>,
    /// Recordings to score, in place of --input: features are computed as those that the model was trained on.
    #[arg(long, value_name = "MEDIA", num_args = 1.., requires = "transcript", conflicts_with_all = ["file", "input"])]
    pub(crate) media: Vec<PathBuf>,
    /// The recording's transcript (Whisper's JSON, srt, vtt, TextGrid, CTM, text with times), or a folder with one for each
    /// recording, of the same name; enough for a model of text and word timing.
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["file", "input"])]
    pub(crate) transcript: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cut: CutArguments,
    /// Where the scores go [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// How scores are written [default: by the ending of --output, else jsonl].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ScoreFormat>,
    /// Stop at the first line that cannot be scored, instead of skipping it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Confidence of each score's interval, between 0 and 1.
    #[arg(long, default_value_t = CONFIDENCE, value_name = "P", value_parser = parse_confidence)]
    pub(crate) confidence: f64,
    /// Add the contribution of each modality and the nearest training segments to each line.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Number of training segments that --explain lists; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "explain")]
    pub(crate) neighbours: usize,
    /// Where the segments' representations go, with their ids and scores: a file .npz (NumPy), .csv or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub(crate) embeddings: Option<PathBuf>,
    /// Score files of the run's own data although they have changed since the model was trained.
    #[arg(long)]
    pub(crate) accept_changed_data: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// Do not print how many segments were scored and how fast.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// How scores are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScoreFormat {
    /// JSON, one object per line.
    Jsonl,
    /// A table.
    Csv,
    /// Subtitles of a recording, with the score before the text.
    Srt,
    /// A page that plays a recording, with its sentiment as a curve over time and its transcript.
    Html,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The run's folder, or latest for the newest run.
    pub(crate) run: PathBuf,
    /// The port; 0 for any free port.
    #[arg(long, value_name = "N")]
    pub(crate) port: u16,
    /// The address to listen on; any other than loopback is open to other machines and needs --token-file or --insecure.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) host: IpAddr,
    /// File of a token that every request must carry, as "Authorization: Bearer TOKEN".
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Let other machines use the model without a token.
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) insecure: bool,
    /// Maximum number of segments per batch.
    #[arg(long, default_value = "32", value_name = "N", value_parser = parse_count)]
    pub(crate) batch: usize,
    /// Milliseconds that a batch which is not full waits for more segments.
    #[arg(long, default_value_t = 2, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=1000))]
    pub(crate) wait: u64,
    /// Maximum number of segments that wait; more are refused with 503.
    #[arg(long, default_value = "256", value_name = "N", value_parser = parse_count)]
    pub(crate) queue: usize,
    /// Maximum size of a request in MiB.
    #[arg(long, default_value_t = 8, value_name = "MIB", value_parser = parse_mebibytes)]
    pub(crate) max_body: usize,
    /// Maximum time of a request in seconds.
    #[arg(long, default_value_t = 30, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
    /// Confidence of each score's interval, between 0 and 1.
    #[arg(long, default_value_t = CONFIDENCE, value_name = "P", value_parser = parse_confidence)]
    pub(crate) confidence: f64,
    /// Seconds that requests in progress have to end when the server is stopped.
    #[arg(long, default_value_t = 30, value_name = "S", value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub(crate) drain: u64,
    /// Write the log as JSON, one object per line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("format").args(["onnx", "safetensors"]).required(true).multiple(true)))]
pub(crate) struct ExportArguments {
    /// The run's folder, or latest for the newest run.
    pub(crate) run: PathBuf,
    /// Write the model as an ONNX graph, from token ids and frames to scores and representations.
    #[arg(long, value_name = "FILE")]
    pub(crate) onnx: Option<PathBuf>,
    /// Write the text encoder to a folder that transformers loads: safetensors, configuration, vocabulary.
    #[arg(long, value_name = "DIR")]
    pub(crate) safetensors: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Folders of finished runs, or latest for the newest run; two or more are compared.
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder of the report [default: RUN/report, or runs/reports/NAMES of several].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Split of the predictions and the shared space: train, valid or test.
    #[arg(long, default_value = "test", value_parser = parse_split)]
    pub(crate) split: Split,
    /// Folder of the data, instead of the runs', for the texts of examples.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Also write the pictures as PNG.
    #[arg(long)]
    pub(crate) png: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConformanceArguments {
    /// Folder of inputs, laid out as tests/golden.
    pub(crate) input: PathBuf,
    /// Directory of the BERT for bert.json; without it that part is left out.
    #[arg(long, value_name = "DIR")]
    pub(crate) bert: Option<PathBuf>,
    /// Where the results go, under the same file and tensor names.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// bash, elvish, fish, powershell or zsh.
    #[arg(hide_possible_values = true)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Folder of the pages; existing pages are overwritten.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

impl PredictArguments {
    /// What is to be scored.
    pub(crate) fn input(&self) -> anyhow::Result<&std::path::Path> {
        let given = self.input.as_deref().or(self.file.as_deref());
        given.context("--input is missing")
    }

    /// How scores are written.
    pub(crate) fn format(&self) -> anyhow::Result<ScoreFormat> {
        let ending = self.output.as_deref().and_then(std::path::Path::extension);
        let ending = ending.and_then(|ending| ScoreFormat::from_str(ending.to_str()?, true).ok());
        let format = self.format.or(ending).unwrap_or(ScoreFormat::Jsonl);
        let of_one = match format {
            ScoreFormat::Jsonl | ScoreFormat::Csv => return Ok(format),
            ScoreFormat::Srt => "subtitles (srt) are",
            ScoreFormat::Html => "a page (html) is",
        };
        let transcript = self.transcript.as_deref();
        let several =
            self.media.len() > 1 || (self.media.is_empty() && transcript.is_some_and(Path::is_dir));
        if transcript.is_none() || several {
            anyhow::bail!("{of_one} of one recording: give one by --media and --transcript");
        }
        if self.explain {
            anyhow::bail!(
                "{of_one} without explanations: leave --explain out, or choose jsonl or csv"
            );
        }
        Ok(format)
    }
}

impl AblateArguments {
    /// The numbers of the devices that runs are placed on.
    pub(crate) fn devices(&self) -> Vec<usize> {
        if self.devices.is_empty() {
            vec![self.device.device]
        } else {
            self.devices.clone()
        }
    }
}

/// What names a configuration.
fn configuration_help() -> String {
    format!(
        "A configuration: a name under configs/ ({}), or a TOML file",
        shipped::names(false).join(", ")
    )
}

/// What names a study.
fn study_help() -> String {
    format!(
        "The variants: a name under configs/ ({}), or a TOML file",
        shipped::names(true).join(", ")
    )
}

fn parse_count(number: &str) -> Result<usize, String> {
    match number.parse() {
        Ok(0) | Err(_) => Err("give a whole number, at least 1".to_string()),
        Ok(count) => Ok(count),
    }
}

fn parse_folds(number: &str) -> Result<usize, String> {
    match number.parse() {
        Ok(folds) if folds >= 3 => Ok(folds),
        _ => Err("give a whole number, at least 3".to_string()),
    }
}

fn parse_confidence(number: &str) -> Result<f64, String> {
    match number.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("give a number between 0 and 1, such as 0.9".to_string()),
    }
}

fn parse_mebibytes(number: &str) -> Result<usize, String> {
    match number.parse() {
        Ok(mebibytes @ 1..=256) => Ok(mebibytes),
        _ => Err("give a whole number from 1 to 256".to_string()),
    }
}

fn parse_split(name: &str) -> Result<Split, String> {
    Split::ALL
        .into_iter()
        .find(|split| split.to_string() == name)
        .ok_or_else(|| "choose train, valid or test".to_string())
}
