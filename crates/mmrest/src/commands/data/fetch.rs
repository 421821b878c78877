//! `mmrest data fetch`.

mod show;
mod what;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use mmrest_data::Download;
use mmrest_datatools::catalogue::{self, SERVER};
use mmrest_datatools::fetch::{Fetcher, Hub, ModelName, Policy, Target, fetch_bert};
use serde_json::json;

use crate::{project, screen};
use show::Show;
use what::{What, choose};

/// `mmrest data fetch`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// mosi, mosei, mosi-words, bert or bert:NAME (any BERT of the Hugging Face hub).
    #[arg(value_parser = What::parse)]
    pub(crate) what: What,
    /// Address of a server laid out as the data sets' own [default: the CMU-MultimodalSDK's].
    #[arg(long, value_name = "URL")]
    pub(crate) base: Option<String>,
    /// Which files: labels, words, facet42, ..., or vision and audio for the configuration's choice
    /// [default: those the configuration names]; --list tells all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Where they go [default: data/NAME, data/bert/NAME].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Most tries of a request that does not get on.
    #[arg(long, value_name = "N", default_value_t = Policy::default().tries, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tries: u32,
    /// Fetch files anew that are there.
    #[arg(long)]
    pub(crate) force: bool,
    /// Fetch nothing; list the files of a data set, what each holds and where it is.
    #[arg(long)]
    pub(crate) list: bool,
    /// Print JSON, one object per file.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmrest data fetch`.
pub(crate) fn run(arguments: &FetchArguments) -> Result<ExitCode> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let root = project::root(&here);
    match &arguments.what {
        What::Bert(model) => bert(arguments, model, root),
        What::Set(name, set) if arguments.list => list(arguments, name, *set),
        What::Set(name, set) => {
            let folder = arguments.out.clone();
            let folder = folder.unwrap_or_else(|| root.join("data").join(name));
            let targets = targets(arguments, name, *set, &folder)?;
            let by_hand = by_hand(arguments, *set, &folder);
            files(arguments, &targets, &by_hand)
        }
    }
}

fn fetcher(arguments: &FetchArguments) -> Fetcher {
    Fetcher::new(Policy {
        tries: arguments.tries,
        ..Policy::default()
    })
}

fn server(arguments: &FetchArguments) -> &str {
    arguments.base.as_deref().unwrap_or(SERVER)
}

fn targets(
    arguments: &FetchArguments,
    name: &str,
    set: Download,
    folder: &Path,
) -> Result<Vec<Target>> {
    let chosen = choose(name, set, &arguments.only)?;
    let target = |file: &catalogue::KnownFile| Target {
        force: arguments.force,
        ..Target::of(file, server(arguments), folder)
    };
    Ok(chosen.into_iter().map(target).collect())
}

/// What to know of the files that cannot be fetched and are not there.
fn by_hand(arguments: &FetchArguments, set: Download, folder: &Path) -> Vec<String> {
    let files = catalogue::private_files(set).iter();
    let absent = files.filter(|file| arguments.only.is_empty() && !folder.join(file.name).exists());
    let sentence = |file: &catalogue::PrivateFile| {
        format!(
            "{}: {}; {}. It cannot be fetched: {} says how it gets into {}",
            file.name,
            file.about,
            file.source,
            project::page("data.md"),
            folder.display()
        )
    };
    absent.map(sentence).collect()
}

/// Fetches one after another. Those that fail do not keep the others from being tried.
fn files(arguments: &FetchArguments, targets: &[Target], by_hand: &[String]) -> Result<ExitCode> {
    let fetcher = fetcher(arguments);
    let show = Show::new(arguments.json);
    let mut failures = Vec::new();
    for target in targets {
        let fetched = fetcher.fetch(target, &show);
        show.clear();
        match fetched {
            Ok(fetched) => show.fetched(&fetched)?,
            Err(error) => {
                show.failed(target, &error)?;
                failures.push(format!("{} ({error})", target.name()));
            }
        }
    }
    for sentence in by_hand {
        show.note(sentence)?;
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!(
        "{} of {} files not fetched: {}",
        failures.len(),
        targets.len(),
        failures.join("; ")
    )
}

fn list(arguments: &FetchArguments, name: &str, set: Download) -> Result<ExitCode> {
    let chosen = choose(name, set, &arguments.only)?;
    for file in catalogue::public_files(set) {
        let chosen = chosen.contains(&file);
        let mark = if chosen { '*' } else { ' ' };
        let url = file.url(server(arguments));
        if arguments.json {
            let line =
                json!({ "key": file.key, "about": file.about, "url": url, "chosen": chosen });
            show::print(&line.to_string())?;
            continue;
        }
        screen::result(&format!(
            "{mark} {:<14}  {}\n    {url}",
            file.key, file.about
        ))?;
    }
    for file in catalogue::private_files(set) {
        if arguments.json {
            let line = json!({ "name": file.name, "about": file.about, "source": file.source });
            show::print(&line.to_string())?;
            continue;
        }
        screen::result(&format!(
            "- {}  {}\n    not fetched: {}",
            file.name, file.about, file.source
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn bert(arguments: &FetchArguments, model: &ModelName, root: PathBuf) -> Result<ExitCode> {
    if !arguments.only.is_empty() || arguments.list {
        bail!("a BERT is fetched whole: --only and --list are for data sets");
    }
    let mut hub = Hub::from_env();
    if let Some(base) = &arguments.base {
        hub.endpoint.clone_from(base);
    }
    let folder = arguments.out.clone();
    let folder = folder.unwrap_or_else(|| root.join("data").join("bert").join(model.last()));
    let show = Show::new(arguments.json);
    let fetched = fetch_bert(
        &fetcher(arguments),
        &hub,
        model,
        &folder,
        arguments.force,
        &show,
    );
    show.clear();
    let fetched = fetched?;
    for file in &fetched.files {
        show.fetched(file)?;
    }
    if fetched.files.is_empty() {
        show.present(&fetched.folder)?;
    }
    Ok(ExitCode::SUCCESS)
}
